#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs since the last boot: on a host that is started anew with other hardware, and over restarts of the service."""
import json
import os
import pathlib
import shutil
import subprocess

from passthrough import RUNTIME, bus_error, check, equal, main, wait_until
from place import ctl

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
GPU = "0000:04:00.0"
BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")


def changes(client, **options):
    return [{str(key): value for key, value in row.items()} for row in client.manager("TopologyDiff", "a{sv}", options)]


def kinds(client, **options):
    return [str(row["kind"]) for row in changes(client, **options)]


def boots(client):
    return [{str(key): value for key, value in row.items()} for row in client.manager("TopologyBoots", "a{sv}", {})]


def reboot(service, number):
    """What a boot changes for the service: the kernel's id of it, and the runtime directory is empty."""
    service.stop()
    BOOT_ID.write_text(f"00000000-0000-4000-8000-{number:012d}\n")
    shutil.rmtree(RUNTIME)
    return service.start()


def recorded(client, number):
    """The topology of a boot is written when the service is ready."""
    return wait_until(lambda: len(boots(client)) == number and boots(client), 10, f"{number} boots")


def first(service):
    client = service.start()
    rows = recorded(client, 1)
    check(rows[0]["current"] and int(rows[0]["devices"]) > 15, f"{rows}")
    equal(bus_error(changes, client)[0], "UnknownBoot", "nothing to compare with")
    equal(kinds(client, since="0"), [], "as it was recorded")
    # A restart of the service is no boot, and what is plugged later does not belong to it.
    ctl("unplug", NIC2)
    client = service.restart()
    equal(len(recorded(client, 1)), 1, "boots after a restart")
    equal(kinds(client, since="0"), ["gone"], "against what the boot began with")
    ctl("plug", NIC2)
    wait_until(lambda: kinds(client, since="0") == [], 10, "the device to be back")
    for word in ("kernel", "ffff-no", "-3", "12"):
        equal(bus_error(changes, client, since=word)[0], "UnknownBoot", word)
    equal(bus_error(changes, client, from_="0")[0], "UnknownOption", "a misspelt option")


def second(service):
    """A card went, and one took its place; groups, rules and allocations that had it are named."""
    client = service.start()
    client.pool("nics", NIC)
    client.pool("disks", NVME)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    client.must(allocation, "Deactivate")
    ctl("unplug", NIC)
    client = reboot(service, 2)
    rows = recorded(client, 2)
    check(not rows[0]["current"] and rows[1]["current"], f"{rows}")
    row, = changes(client)
    equal((str(row["kind"]), str(row["before"]), str(row["severity"])), ("gone", NIC, "warning"), "what went")
    equal([str(rule) for rule in row["rules"]], [str(rule) for rule in row["rules"] if str(rule).startswith("nics")], "rules")
    check(len(row["rules"]) == 1, f"rules: {row['rules']}")
    equal([str(group) for group in row["groups"]], ["nics"], "groups")
    equal(len(row["allocations"]), 1, "allocations")
    # Back again at the next boot, which is compared with the one before; or with the first.
    ctl("plug", NIC)
    client = reboot(service, 3)
    recorded(client, 3)
    equal(kinds(client), ["came"], "since the boot before")
    equal(kinds(client, since="-2"), [], "since the one before that")
    equal(kinds(client, since="-2", until="-1"), ["gone"], "between the two")
    first_boot = str(boots(client)[0]["boot"])
    equal(kinds(client, since=first_boot[:8]), [], "by its id")
    client.must(allocation, "Release")


def bounded(service):
    """No more boots are kept than there is use for."""
    client = service.start()
    for number in range(10, 30):
        client = reboot(service, number)
    rows = recorded(client, 16)
    equal(str(rows[-1]["boot"])[-2:], "29", "the last one")
    equal(str(rows[0]["boot"])[-2:], "14", "the first that is kept")
    equal(kinds(client, since=str(rows[0]["boot"])), [], "it is whole")


def command(service):
    client = service.start()
    client.pool("nics", NIC)
    ctl("unplug", NIC)
    reboot(service, 40)

    def run(*arguments, code=0):
        done = subprocess.run([os.environ["PT_CTL"], "topology", *arguments], capture_output=True, text=True, timeout=60)
        equal(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    check("00000000-0000-4000-8000-000000000040" in run("list"), "the list")
    text = run("diff", "--boot=-1")
    check("warning gone:" in text and NIC in text and "groups: nics" in text, text)
    equal([row["kind"] for row in json.loads(run("diff", "--json"))], ["gone"], "as JSON")
    check("UnknownBoot" in run("diff", "--boot=kernel", code=3), "no other kernel")
    check("Nothing differs" in run("diff", "--boot=0"), "this boot")
    ctl("plug", NIC)


main([first, second, bounded, command])
