#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""On a real kernel only: whoever is given a device can use it, and nobody else. A VFIO client that maps memory and reads
registers, a VM inside the VM started with nothing but GuestConfig's answer, and ordinary users before a real polkit."""
import pathlib
import re
import shlex
import subprocess
import sys

import dbus

import snapshot
from passthrough import Client, check, driver, equal, iommu_group, main, override, wait_until

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
GPU, AUDIO = "0000:04:00.0", "0000:04:00.1"
VMUSER, TESTER = 1001, 1000
# Exit codes of vfio-probe
USED, NO_GROUP, FORBIDDEN, NOT_VIABLE = 0, 11, 12, 14


def probe(slot, uid, *options):
    """(exit code, output) of a VFIO client that opens the device as that user."""
    command = ["setpriv", f"--reuid={uid}", "--clear-groups", "vfio-probe", *options, iommu_group(slot), slot]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return seen.returncode, seen.stdout + seen.stderr


def vfio_client(service):
    client = service.start()
    client.pool("nics", NIC)
    code, output = probe(NIC, VMUSER)
    equal(code, NO_GROUP, f"before: {output}")
    allocation, job = client.allocate("vm", "nics", activate=True, node_uid=VMUSER)
    equal(client.wait_job(job)[0], "done", "activate")
    code, output = probe(NIC, VMUSER, "--reset")
    equal(code, USED, f"its user: {output}")
    for word in ("dma", "bar0", "reset"):
        check(re.search(rf"\b{word}\b", output, re.IGNORECASE), f"{word}: {output}")
    code, output = probe(NIC, TESTER)
    equal(code, FORBIDDEN, f"another user: {output}")
    client.must(allocation, "Deactivate")
    code, output = probe(NIC, VMUSER)
    equal(code, NO_GROUP, f"afterwards: {output}")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    client.must(allocation, "Release")


def every_function(service):
    """All functions of a bundle are the consumer's, also those that it did not name."""
    client = service.start()
    client.pool("gpus", GPU)
    allocation, job = client.allocate("vm", "gpus", activate=True, node_uid=VMUSER)
    equal(client.wait_job(job)[0], "done", "activate")
    for slot in (GPU, AUDIO):
        code, output = probe(slot, VMUSER)
        equal(code, USED, f"{slot}: {output}")
    client.must(allocation, "Release")


def vm_inside(service):
    """QEMU with exactly the arguments of GuestConfig, as an ordinary user: the guest sees the devices."""
    client = service.start()
    client.pool("nics", NIC)
    client.pool("disks", NVME)
    before = snapshot.host(NIC, NVME)
    allocation, job = client.allocate("vm", [{"group": "nics"}, {"group": "disks"}], activate=True, node_uid=VMUSER)
    equal(client.wait_job(job)[0], "done", "activate")
    arguments = shlex.split(client.guest_config(allocation, "qemu"))
    command = ["nested-qemu", "--user", str(VMUSER), "--seconds", "400", "--", *arguments]
    guest = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        # While it runs its devices are not taken from it.
        wait_until(lambda: devices_are_open() or guest.poll() is not None, 200, "QEMU to open its devices")
        check(guest.poll() is None, f"QEMU ended with {guest.returncode}: {guest.poll() is not None and guest.stdout.read()}")
        job = client.start(allocation, "Deactivate")
        wait_until(lambda: client.state(allocation) == "draining", 30, "draining")
        step = str(client.get(job, "Job", "Step"))
        check("qemu" in step, f"who has it open is named: {step}")
        output, _ = guest.communicate(timeout=420)
    finally:
        guest.kill()
        guest.wait()
    equal(guest.returncode, 0, f"the guest: {output}")
    for device in ("8086:10d3 020000", "1b36:0010 010802"):
        check(re.search(rf"^nested 0000:[0-9a-f:.]+ {device} bar0 0x", output, re.MULTILINE), f"{device}: {output}")
    equal(client.wait_job(job)[0], "done", "the give-back when it had ended")
    equal(snapshot.host(NIC, NVME), before, "the host")
    client.must(allocation, "Release")


def devices_are_open():
    """Whether any process has a VFIO group open, by whatever path its own mounts give the node."""
    for fd in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if re.search(r"/vfio/\d+$", str(fd.readlink())):
                return True
        except OSError:
            continue
    return False


# -- ordinary users ------------------------------------------------------------------------------------------------------
def as_user(verb, *arguments):
    """What this program does when it is started as somebody else: one call, and its error or result on one line."""
    client = Client()
    try:
        if verb == "allocate":
            allocation, job = client.allocate("mine", arguments[0], activate=True)
            print(client.wait_job(job)[0], allocation)
        elif verb == "release":
            print(client.run(arguments[0], "Release")[0])
        elif verb == "group":
            print(client.create_group(arguments[0]))
        else:
            print(client.device_state(arguments[0]))
    except dbus.DBusException as error:
        print(error.get_dbus_name().rpartition(".")[2])


def by(uid, *words):
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--init-groups", sys.executable, __file__, "--as-user", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


RULE = pathlib.Path("/etc/polkit-1/rules.d/40-passthroughd-test.rules")
RULE_TEXT = """
polkit.addRule(function (action, subject) {
    if (action.id == "org.passthroughd1.allocate" && action.lookup("group") == "%s" && subject.user == "tester")
        return polkit.Result.YES;
    return polkit.Result.NOT_HANDLED;
});
"""


def polkit(service):
    """Reads need no permission; devices do, group by group."""
    client = service.start()
    client.pool("open", NIC)
    client.pool("closed", NIC2)
    equal(by(TESTER, "state", NIC), "free", "a read")
    refused = "InteractiveAuthorizationRequired"
    for group in ("open", "closed"):
        equal(by(TESTER, "allocate", group), refused, f"{group} without a rule")
    equal(driver(NIC), "e1000e", NIC)
    RULE.write_text(RULE_TEXT % "open", encoding="utf-8")
    try:
        # polkitd takes the file in when inotify tells it.
        allowed = wait_until(lambda: (seen := by(TESTER, "allocate", "open")).startswith("done") and seen, 60, "the rule to hold")
        equal(driver(NIC), "vfio-pci", NIC)
        equal(by(TESTER, "allocate", "closed"), refused, "the other group")
        equal(by(VMUSER, "allocate", "open"), refused, "another user")
        equal(by(TESTER, "group", "new"), refused, "making groups")
        equal(driver(NIC2), "e1000e", NIC2)
        allocation = allowed.split()[1]
        equal(by(VMUSER, "release", allocation), refused, "somebody else's allocation")
        equal(by(TESTER, "release", allocation), "done", "its own")
        equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    finally:
        RULE.unlink()
    wait_until(lambda: by(TESTER, "allocate", "open") == refused, 60, "the rule to be forgotten")


if sys.argv[1:2] == ["--as-user"]:
    as_user(*sys.argv[2:])
else:
    main([vfio_client, every_function, polkit, vm_inside])
