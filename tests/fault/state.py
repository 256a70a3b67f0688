#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service's own state fails it: a full disk in the middle of the work, a directory that can't be written, a damaged
database, one of a newer version."""
import contextlib
import os
import pathlib
import sqlite3
import subprocess

import snapshot
from passthrough import ROOT, RUNTIME, STATE, bus_error, check, driver, equal, main, override, wait_until

NIC, NIC2 = "0000:01:00.0", "0000:02:00.0"


@contextlib.contextmanager
def small(directory, kib):
    """The directory on a file system of its own. Its files stay in it."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


class Filler:
    """Takes all the space that is left."""

    def __init__(self, directory):
        self.path = directory / "filler"
        with contextlib.suppress(OSError), open(self.path, "wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
        with contextlib.suppress(OSError), open(self.path, "ab", buffering=0) as file:
            while file.write(b"x"):
                pass

    def remove(self):
        self.path.unlink()


def no_space(seen, what):
    check(seen[0] in ("OutOfSpace",), f"{what}: {seen}")
    check("no space" in seen[1] and str(STATE.parent) in seen[1], f"{what}: which file, and why: {seen[1]}")


def state_full(service):
    """What can't be recorded is not done; what was done stays; when there is space again all goes on."""
    with small(STATE, 4096):
        client = service.start()
        client.pool("nics", NIC)
        client.pool("others", NIC2)
        kept, job = client.allocate("kept", "others", activate=True)
        equal(client.wait_job(job)[0], "done", "before it is full")
        idle, _ = client.allocate("idle", "nics")
        filler = Filler(STATE)

        # SQLite has some space ahead in its log: until that is used up changes go through, and last.
        made, refusal = 0, None
        while refusal is None and made < 2000:
            try:
                client.create_group(f"group-{made}")
                made += 1
            except Exception as error:
                refusal = error.get_dbus_name().rpartition(".")[2], error.get_dbus_message()
        no_space(refusal, "CreateGroup")
        no_space(bus_error(client.allocate, "vm", "nics"), "Allocate")
        equal(len(client.manager("ListDevices", "sa(sss)a{sv}", "pci", [("slot", "eq", NIC)], {})[0]), 1, "reading goes on")

        result = client.run(idle, "Activate")
        equal(result[:2], ("failed", "OutOfSpace"), f"Activate: {result}")
        equal(client.state(idle), "claimed", "what was not activated")
        equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
        equal(client.state(kept), "active", "what was active")
        equal(driver(NIC2), "vfio-pci", NIC2)

        filler.remove()
        client.must(idle, "Activate")
        client.must(idle, "Release")
        client.create_group("after")
        client = service.restart()
        equal(client.state(kept), "active", "after a restart")
        for number in (0, made - 1):
            client.group(f"group-{number}")
        equal(bus_error(client.group, f"group-{made}")[0], "UnknownGroup", "what was refused")
        client.must(kept, "Release")
        service.stop()
        snapshot.databases()
        snapshot.nothing_recorded()


def give_back_while_full(service):
    """A full disk keeps nobody from getting rid of a device: it is given back, and its record follows when there is space."""
    with small(STATE, 4096):
        client = service.start()
        client.pool("nics", NIC)
        allocation, job = client.allocate("vm", "nics", activate=True)
        equal(client.wait_job(job)[0], "done", "activate")
        filler = Filler(STATE)
        made = 0
        while made < 2000:
            try:
                client.create_group(f"group-{made}")
                made += 1
            except Exception:
                break
        result = client.run(allocation, "Deactivate")
        equal((driver(NIC), override(NIC)), ("e1000e", None), f"{NIC} after {result}")
        if result[0] != "done":
            equal(result[1], "OutOfSpace", f"{result}")
        filler.remove()
        client = service.restart()
        equal(client.state(allocation), "claimed", "after a restart with space")
        equal(client.device_state(NIC), "free", NIC)
        client.must(allocation, "Activate")
        client.must(allocation, "Release")
        service.stop()
        snapshot.nothing_recorded()


def runtime_full(service):
    """Steps can't be recorded: none is begun, or what was begun is undone."""
    with small(RUNTIME, 4096):
        client = service.start()
        client.pool("nics", NIC)
        allocation, _ = client.allocate("vm", "nics")
        filler = Filler(RUNTIME)
        failed = 0
        for _ in range(400):
            result = client.run(allocation, "Activate")
            if result[0] != "done":
                equal(result[:2], ("failed", "OutOfSpace"), f"Activate: {result}")
                failed += 1
                equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
                equal(client.state(allocation), "claimed", "undone")
                if failed == 3:
                    break
            else:
                client.run(allocation, "Deactivate")
                equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
        equal(failed, 3, "activations that failed for want of space")
        filler.remove()
        client.must(allocation, "Activate")
        client.must(allocation, "Release")
        service.stop()
        snapshot.nothing_recorded()


@contextlib.contextmanager
def read_only(directory):
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def limited(client, allocation, why):
    """Reads are answered, nothing is changed, and the error says why."""
    equal(client.readiness(), "limited", why)
    equal(client.device_state(NIC), "active", "what was active is known")
    equal(client.state(allocation), "active", "what was active is known")
    for call, arguments in ((client.create_group, ("new",)), (client.allocate, ("vm", "nics")),
                            (client.start, (allocation, "Deactivate"))):
        name, message = bus_error(call, *arguments)
        equal(name, "ReadOnlyState", f"{call.__name__}: {message}")
        check(why in message.lower(), f"{call.__name__}: the reason: {message}")
    equal(driver(NIC), "vfio-pci", NIC)


def active(service):
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    return client, allocation


def state_read_only(service):
    _, allocation = active(service)
    service.stop()
    before = (STATE / "state.db").read_bytes()
    with read_only(STATE):
        client = service.start()
        limited(client, allocation, "read-only")
        service.stop()
    equal((STATE / "state.db").read_bytes(), before, "the database")
    client = service.start()
    equal(client.readiness(), "ready", "when it can be written again")
    client.must(allocation, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)


def newer(service):
    """A newer version has been here: its database is read and left as it is."""
    _, allocation = active(service)
    service.stop()
    version = set_version(STATE / "state.db", 999)
    before = snapshot.dump(STATE / "state.db")
    client = service.start()
    limited(client, allocation, "newer version")
    service.stop()
    equal(snapshot.dump(STATE / "state.db"), before, "the database")
    set_version(STATE / "state.db", version)
    client = service.start()
    client.must(allocation, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)


def set_version(path, version):
    """Returns the one that it had."""
    connection = sqlite3.connect(path)
    before, = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version={version}")
    connection.commit()
    connection.close()
    return before


def damage_middle(path):
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def damage_start(path):
    with open(path, "r+b") as file:
        file.write(b"not a database")


def damage_cut(path):
    os.truncate(path, path.stat().st_size // 2)


def damage_empty(path):
    os.truncate(path, 0)


def damaged(service):
    """Kept aside and reported; no device is touched until somebody says that they know."""
    for damage in (damage_middle, damage_start, damage_cut, damage_empty):
        for path in list(STATE.glob("*")) + list(RUNTIME.glob("*")):
            path.unlink()
        what = damage.__name__
        active(service)
        service.stop()
        damage(STATE / "state.db")
        spoilt = (STATE / "state.db").read_bytes()
        client = service.start()
        equal(client.readiness(), "degraded", what)
        kept = [path for path in STATE.glob("state.db.*") if path.read_bytes() == spoilt]
        check(kept or not spoilt, f"{what}: kept aside: {sorted(path.name for path in STATE.iterdir())}")
        equal(driver(NIC), "vfio-pci", f"{what}: what nobody knows of any more is not touched")
        client.pool("nics", NIC2)
        allocation, _ = client.allocate("vm", "nics")
        name, message = bus_error(client.start, allocation, "Activate")
        equal(name, "Degraded", f"{what}: {message}")
        check("state.db" in message, f"{what}: it says what is damaged: {message}")
        equal(driver(NIC2), "e1000e", f"{what}: {NIC2}")
        equal(service.restart().readiness(), "degraded", f"{what}: it is not forgotten by a restart")

        client.call(ROOT, "Manager", "AcknowledgeDamage", "a{sv}", {})
        equal(client.readiness(), "ready", f"{what}: acknowledged")
        client.must(allocation, "Activate")
        client.must(allocation, "Release")
        equal(service.restart().readiness(), "ready", f"{what}: for good")
        service.stop()
        give_back_by_hand()


def give_back_by_hand():
    for path, text in ((f"/sys/bus/pci/devices/{NIC}/driver_override", "\n"), ("/sys/bus/pci/drivers/vfio-pci/unbind", NIC),
                       ("/sys/bus/pci/drivers_probe", NIC)):
        pathlib.Path(path).write_text(text)
    equal(driver(NIC), "e1000e", NIC)


def runtime_damaged(service):
    """How far things got is not known any more: nothing is guessed and nothing is touched."""
    for damage in (damage_middle, damage_start):
        for path in list(STATE.glob("*")) + list(RUNTIME.glob("*")):
            path.unlink()
        what = damage.__name__
        client, allocation = active(service)
        service.kill()
        damage(RUNTIME / "runtime.db")
        client = service.start()
        equal(client.readiness(), "degraded", what)
        equal((driver(NIC), override(NIC)), ("vfio-pci", "vfio-pci"), f"{what}: {NIC}")
        check(client.device_state(NIC) != "free", f"{what}: the device is not handed out to somebody else")
        other, _ = client.allocate("other", "nics")
        equal(bus_error(client.start, other, "Activate")[0], "Degraded", f"{what}: Activate")
        client.call(ROOT, "Manager", "AcknowledgeDamage", "a{sv}", {})
        wait_until(lambda: client.readiness() == "ready", 10, "readiness")
        equal((driver(NIC), override(NIC)), ("vfio-pci", "vfio-pci"), f"{what}: {NIC} is left as it was found")
        client.must(allocation, "Release")
        service.stop()
        snapshot.nothing_recorded()
        give_back_by_hand()


main([state_full, give_back_while_full, runtime_full, state_read_only, newer, damaged, runtime_damaged])
