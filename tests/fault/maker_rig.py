# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests over modules/maker.c share: the service with that module, its providers' attributes, plans."""
import os
import pathlib
import shutil
import tempfile

import dbus

from passthrough import SYS, equal, wait_until
from place import configured

BUILT = pathlib.Path(os.environ["PT_BUILD"], "tests/fault/modules")
FIRST, SECOND = "0000:01:00.0", "0000:02:00.0"
DEVICES = 4


def number(value):
    return dbus.UInt32(value)


def settings(**values):
    return dbus.Dictionary(values, signature="sv")


def provider(slot=FIRST, type_="maker"):
    return f"{type_}-" + slot.replace(":", "-").replace(".", "-")


def start(service, name="maker"):
    """With one of these modules beside the others, on providers of which nothing is made."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="modules-", dir=os.environ["PT_DIR"]))
    os.chmod(folder, 0o755)
    for file in [*pathlib.Path(os.environ["PT_DIR"], "modules").glob("*.so"), BUILT / f"{name}.so"]:
        shutil.copy(file, folder / file.name)
        os.chmod(folder / file.name, 0o644)
    service.config = configured(f"[Service]\nModuleDirectory={folder}\n")
    for slot in (FIRST, SECOND):
        for name in ("mode", "parts", "trouble", "hangs"):
            write(name, "none", slot)
        (SYS / slot / "maker_journal").write_text("begin\n")
    return service.start()


def write(name, value, slot=FIRST):
    (SYS / slot / f"maker_{name}").write_text(value + "\n")


def read(name, slot=FIRST):
    return (SYS / slot / f"maker_{name}").read_text().splitlines()[0]


def made(slot=FIRST):
    return read("mode", slot), read("parts", slot)


def journal(slot=FIRST):
    """What was set since the last time that this was asked; to be asked when nothing is under way."""
    file = SYS / slot / "maker_journal"
    lines = [line for line in file.read_text().splitlines() if "=" in line]
    file.write_text("begin\n")
    return lines


def remove(client, *groups):
    for group in groups:
        job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
        if job != "/":
            equal(client.wait_job(job), ("done", "", ""), "removing a group")


def plan(client, verb, *objects):
    choices, steps, findings, token = client.manager("Plan", "saoaa{sv}a{sv}", verb, list(objects), [], {})
    return {"choices": choices, "steps": steps, "findings": findings, "token": str(token)}


def blockers(answer):
    return [str(f["code"]) for f in answer["findings"] if str(f["severity"]) == "blocker"]


def trouble(what, slot=FIRST):
    write("hangs", "no", slot)
    write("trouble", what, slot)


def wait_hanging(slot=FIRST):
    wait_until(lambda: read("hangs", slot).startswith("yes"), 120, "the step to hang")


def wait_made(mode, parts, slot=FIRST):
    wait_until(lambda: made(slot) == (mode, parts), 120, f"{mode}/{parts} at {slot}, not {made(slot)}")


def query(client, slot=FIRST, type_="maker"):
    path = client.device(provider(slot, type_))
    return {str(k): v for k, v in client.call(path, "Provider", "Query", "sa{sv}", "demands", {}).items()}
