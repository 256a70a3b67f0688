#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Modules that can't be had: refused with the reason on the bus, or crashing until they are. The rest of the service goes on,
and no allocation is lost."""
import os
import pathlib
import shutil
import tempfile

import dbus

import snapshot
from passthrough import PATIENCE, ROOT, bus_error, check, driver, equal, main, override, wait_until
from place import configured, hang, hanging, release

BUILT = pathlib.Path(os.environ["PT_BUILD"], "tests/fault/modules")
NIC, NVME = "0000:01:00.0", "0000:03:00.0"
HOW = ("segfault", "abort", "recursion", "exit")


class Folder:
    """A module directory of the test's own, that begins with the project's modules."""

    def __init__(self, service):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="modules-", dir=os.environ["PT_DIR"]))
        os.chmod(self.path, 0o755)
        for file in pathlib.Path(os.environ["PT_DIR"], "modules").glob("*.so"):
            self.add(file.stem, file)
        service.config = configured(f"[Service]\nModuleDirectory={self.path}\n")

    def add(self, name, source=None, mode=0o644):
        file = self.path / f"{name}.so"
        shutil.copy(source or BUILT / f"{name}.so", file)
        os.chmod(file, mode)
        return file


def module(client, name):
    return client.get_all(f"{ROOT}/modules/{name}", "Module")


def refused(client, name, *words):
    """It is an object on the bus that says why."""
    seen = module(client, name)
    equal(str(seen["State"]), "refused", name)
    reason = str(seen["Reason"])
    for word in words:
        check(word in reason, f"{name}: \"{word}\" is not in: {reason}")
    check(name not in client.get(ROOT, "Manager", "Types"), f"{name} is no type")


def works(client, slot=NIC):
    """The other modules do."""
    equal(str(module(client, "pci")["State"]), "loaded", "pci")
    group = client.pool("works", slot)
    allocation, job = client.allocate("vm", "works", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    client.must(allocation, "Release")
    client.call(group, "Group", "Remove", "a{sv}", {})


# -- refused -------------------------------------------------------------------------------------------------------------
def wrong(service):
    folder = Folder(service)
    expected = {
        "wrongmajor": ("version 99 of the module interface",),
        "newerminor": ("99", "module interface"),
        "shortdescriptor": ("16 bytes",),
        "badtype": ("Bad Type", "[a-z][a-z0-9]*"),
        "badfield": ("Not A Field",),
        "noplan": ("plan()",),
        "nodescriptor": ("descriptor",),
        "noentry": ("pt_module_descriptor",),
    }
    for name in (*expected, "takentype"):
        folder.add(name)
    client = service.start()
    for name, words in expected.items():
        refused(client, name, *words)
    refused(client, "takentype", "has the type pci already")
    works(client)


def not_to_be_trusted(service):
    """Files that others could have changed, or that are not what they seem."""
    folder = Folder(service)
    folder.add("groupwritable", BUILT / "unstable.so", 0o664)
    folder.add("worldwritable", BUILT / "unstable.so", 0o646)
    os.chown(folder.add("foreign", BUILT / "unstable.so"), 1000, 0)
    outside = pathlib.Path(os.environ["PT_DIR"], "outside.so")
    shutil.copy(BUILT / "unstable.so", outside)
    (folder.path / "symlink.so").symlink_to(outside)
    (folder.path / "directory.so").mkdir()
    os.mkfifo(folder.path / "fifo.so")
    (folder.path / "garbage.so").write_bytes(bytes(range(256)) * 64)
    (folder.path / "empty.so").write_bytes(b"")
    for name in ("garbage", "empty"):
        os.chmod(folder.path / f"{name}.so", 0o644)
    client = service.start()
    refused(client, "groupwritable", "written by others", "0664")
    refused(client, "worldwritable", "written by others", "0646")
    refused(client, "foreign", "belongs to user 1000")
    refused(client, "symlink", "not a regular file")
    refused(client, "directory", "not a regular file")
    refused(client, "fifo", "not a regular file")
    for name in ("garbage", "empty"):
        refused(client, name, "cannot be loaded")
    equal(bus_error(module, client, "unstable")[0].rpartition(".")[2] in ("UnknownObject", "UnknownInterface"), True,
          "none of them was loaded")
    works(client)


def cut_off(service):
    """The end of the file is missing, as after a copy to a full disk: mapping it is a way to crash, which is counted."""
    whole = (BUILT / "unstable.so").read_bytes()
    crashed = 0
    for part in (4, 8, 12, 16, 24, 32, 64):
        folder = Folder(service)
        file = folder.add("cut", BUILT / "unstable.so")
        os.truncate(file, len(whole) // part)
        (snapshot.RUNTIME / "breadcrumb").unlink(missing_ok=True)
        codes = []
        for _ in range(2):
            try:
                service.start()
                break
            except AssertionError:
                codes.append(service.process.wait(PATIENCE))
        if codes:
            crashed += 1
            client = service.restart()
            equal(len(codes), 2, f"a {part}th of it: starts that crashed")
            refused(client, "cut", "crashed twice", "in load")
        service.stop()
        works(service.start())
        service.stop()
    check(crashed, "one of the lengths is such that it crashes")


def folder_of_others(service):
    """Who can write into the directory could put anything there."""
    folder = Folder(service)
    os.chmod(folder.path, 0o777)
    client = service.start()
    refused(client, "pci", "directory", "written by others")
    equal(list(client.get(ROOT, "Manager", "Types")), [], "types")


# -- crashing ------------------------------------------------------------------------------------------------------------
def crash_start(service, how):
    """Starts a service that ends at once, and returns its exit code."""
    os.environ["PT_UNSTABLE"] = how
    try:
        service.start()
    except AssertionError:
        return service.process.wait(PATIENCE)
    finally:
        del os.environ["PT_UNSTABLE"]
    raise AssertionError(f"the service came up with {how}")


def start_with(service, how):
    os.environ["PT_UNSTABLE"] = how
    try:
        return service.start()
    finally:
        del os.environ["PT_UNSTABLE"]


def at_the_start(service):
    """A module that crashes when it sees a device: twice, then it is refused. What restarts the service is the test."""
    # Which of its devices it sees first is up to the kernel: the order of a directory.
    disks = [f"pci-{path.name}".replace(":", "-").replace(".", "-") for path in pathlib.Path("/sys/bus/pci/devices").iterdir()
             if (path / "class").read_text().startswith("0x0108")]
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    service.stop()
    for how in HOW:
        folder = Folder(service)
        folder.add("unstable")
        (snapshot.RUNTIME / "breadcrumb").unlink()
        for attempt in range(2):
            code = crash_start(service, f"describe:{how}")
            check(how == "exit" or code != 0, f"{how}, {attempt}: ended with {code}")
        client = start_with(service, f"describe:{how}")
        refused(client, "unstable", "crashed twice", "describe")
        reason = str(module(client, "unstable")["Reason"])
        check(any(f"describe of {disk} " in reason for disk in disks), f"none of {disks} is in: {reason}")
        equal(client.readiness(), "ready", f"after {how}")
        equal(client.state(allocation), "active", f"after {how}")
        equal(driver(NIC), "vfio-pci", f"after {how}")
        works(client, "0000:02:00.0")
        # For as long as the machine runs, also when the module were in order now.
        refused(service.restart(), "unstable", "crashed twice")
        service.stop()
    client = service.start()
    client.must(allocation, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)


def once_is_forgiven(service):
    folder = Folder(service)
    folder.add("unstable")
    crash_start(service, "describe:segfault")
    client = service.start()
    equal(str(module(client, "unstable")["State"]), "loaded", "after one crash")
    works(client)


def killed_is_no_crash(service):
    """kill -9 is nobody's fault."""
    folder = Folder(service)
    folder.add("unstable")
    for _ in range(3):
        client = service.start()
        service.kill()
    client = service.start()
    equal(str(module(client, "unstable")["State"]), "loaded", "after three kills")


def when_asked(service):
    """A crash in the answer to a call: the caller sees the service go, and the second time is the last."""
    calls = {
        "check": lambda client, device, allocation: client.explain(device, "Device"),
        "plan": lambda client, device, allocation: client.run(allocation, "Activate"),
        "guest": lambda client, device, allocation: client.guest_config(allocation, "qemu"),
    }
    for operation, call in calls.items():
        for path in [*snapshot.STATE.glob("*"), *snapshot.RUNTIME.glob("*")]:
            path.unlink()
        folder = Folder(service)
        folder.add("unstable")
        client = service.start()
        group = client.create_group("disks", "unstable")
        client.add_rule(group, [("slot", "eq", NVME)])
        allocation, _ = client.allocate("vm", "disks", thick=operation != "plan")
        if operation == "guest":
            client.must(allocation, "Activate")
        service.stop()
        for attempt in range(2):
            client = start_with(service, f"{operation}:segfault")
            device = next(str(path) for path, _ in client.manager("ListDevices", "sa(sss)a{sv}", "unstable", [], {})[0])
            name, _ = bus_error(call, client, device, allocation)
            # It went before it answered; or, where the crash comes after the answer of one of two calls, between them.
            check(name.rpartition(".")[2] in ("NoReply", "ServiceUnknown"), f"{operation} {attempt}: {name}")
            check(service.process.wait(PATIENCE) != 0, f"{operation} {attempt}")
        client = service.start()
        refused(client, "unstable", "crashed twice", f"in {operation}")
        works(client)
        if operation == "guest":
            claim_of_a_refused_module(service, folder, client, allocation)
        service.stop()


def claim_of_a_refused_module(service, folder, client, allocation):
    """It keeps its keys; core steps can be undone from the record, the module's own wait for it."""
    equal(client.state(allocation), "active", "a claim of a refused module")
    equal(driver(NVME), "vfio-pci", NVME)
    client.pool("same", NVME)
    other, job = client.allocate("other", "same", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "its device for somebody else")
    client.must(other, "Release")

    (folder.path / "unstable.so").unlink()
    result = client.run(allocation, "Deactivate")
    equal(result[:2], ("failed", "ModuleMissing"), f"a give-back without its module: {result}")
    check("touch it" in result[2], f"it says what remains: {result[2]}")
    equal((driver(NVME), override(NVME)), ("nvme", None), "what the core can do is done")
    equal(client.state(allocation), "failed", "its allocation")
    check(client.device_state(NVME) != "free", "its device is locked")
    service.stop()
    (snapshot.RUNTIME / "breadcrumb").unlink()
    folder.add("unstable")
    client = service.start()
    equal(client.state(allocation), "claimed", "given back when its module is there again")
    client.must(allocation, "Release")
    service.stop()
    snapshot.nothing_recorded()


# -- in the worker ---------------------------------------------------------------------------------------------------------
def in_the_worker(service):
    """Its own steps run in the worker: a crash there costs a job, not the service."""
    folder = Folder(service)
    folder.add("unstable")
    for operation in ("step-observe", "step-run"):
        for how in HOW:
            client = start_with(service, f"{operation}:{how}")
            if operation == "step-observe" and how == "segfault":
                client.add_rule(client.create_group("disks", "unstable"), [("slot", "eq", NVME)])
            allocation, job = client.allocate("vm", "disks", activate=True)
            result = client.wait_job(job)
            equal(result[:2], ("failed", "WorkerFailed"), f"{operation} {how}: {result}")
            check("touch it" in result[2], f"the step is named: {result[2]}")
            equal((driver(NVME), override(NVME)), ("nvme", None), f"{operation} {how}: {NVME}")
            equal(client.state(allocation), "claimed", f"{operation} {how}")
            client.must(allocation, "Release")
            service.stop()
    client = service.start()
    allocation, job = client.allocate("vm", "disks", activate=True)
    equal(client.wait_job(job)[0], "done", "without a crash")
    client.must(allocation, "Release")
    service.stop()
    undo_crashes(service)


def probe_crashes(service):
    """Nobody knows how the device is: it is given back, and nobody else gets it. Before an activation it is the end of that."""
    folder = Folder(service)
    folder.add("unstable")
    service.config = configured(f"[Service]\nModuleDirectory={folder.path}\nStepTimeoutFactor=0.05\n")
    for how in ("segfault", "exit", "hang"):
        client = start_with(service, f"health:{how}")
        if how == "segfault":
            client.add_rule(client.create_group("disks", "unstable"), [("slot", "eq", NVME)])
        allocation, job = client.allocate("vm", "disks", activate=True)
        equal(client.wait_job(job)[0], "done", how)
        client.must(allocation, "Release")
        equal((driver(NVME), override(NVME)), ("nvme", None), f"{how}: {NVME}")
        for name in (NVME, "unstable-0000-03-00-0"):
            equal(client.device_state(name), "quarantined", f"{how}: {name}, whichever module looks")
        texts = [f["text"] for f in client.explain(client.device(NVME), "Device") if f["code"] == "quarantined"]
        check("could not be probed" in texts[0], f"{how}: {texts}")
        client.call(client.device(NVME), "Device", "ClearQuarantine", "a{sv}", {})
        equal(client.device_state(NVME), "free", how)
        service.stop()
    client = start_with(service, "note:segfault")
    allocation, job = client.allocate("vm", "disks", activate=True)
    equal(client.wait_job(job)[:2], ("failed", "WorkerFailed"), "a crash before the first step")
    equal((driver(NVME), override(NVME)), ("nvme", None), NVME)
    equal(client.state(allocation), "claimed", "its allocation")
    client.must(allocation, "Release")
    service.stop()
    snapshot.nothing_recorded()


def undo_crashes(service):
    """In the undo of its step: the give-back failed, the device is locked, and asked again it works."""
    client = start_with(service, "step-undo:abort")
    allocation, job = client.allocate("vm", "disks", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    equal(client.run(allocation, "Deactivate")[:2], ("failed", "WorkerFailed"), "deactivate")
    equal(client.state(allocation), "failed", "its allocation")
    check(client.device_state(NVME) != "free", "its device")
    client = service.restart()
    wait_until(lambda: client.state(allocation) == "claimed", 10, "the give-back")
    equal((driver(NVME), override(NVME)), ("nvme", None), NVME)
    client.must(allocation, "Release")


def slow_field_crashes(service):
    folder = Folder(service)
    folder.add("unstable")
    client = start_with(service, "observe:segfault")
    device = next(str(path) for path, _ in client.manager("ListDevices", "sa(sss)a{sv}", "unstable", [], {})[0])
    try:
        client.get_all(device, "Device.Unstable")
    except dbus.DBusException as error:
        check("NoReply" not in error.get_dbus_name(), f"{error}")
    equal(client.readiness(), "ready", "the service goes on")
    works(client)


# -- what is read late ---------------------------------------------------------------------------------------------------
def slow_value(client, device):
    """Without asking for it by name, which would have it read."""
    return str(client.get_all(device, "Device.Unstable").get("Slow", ""))


def used_disk(client):
    """An allocation that had the disk; nobody has asked for its slow field."""
    client.add_rule(client.create_group("disks", "unstable"), [("slot", "eq", NVME)])
    allocation, _ = client.allocate("vm", "disks")
    client.must(allocation, "Activate")
    return allocation, client.device("unstable-0000-03-00-0")


def recorded(service, allocation, order, value):
    """After the next start another disk is in the place: that is told, with the number that the allocation has recorded."""
    service.stop()
    value.write_text("two")
    client = start_with(service, order)
    device = client.device("unstable-0000-03-00-0")
    wait_until(lambda: str(client.get(device, "Device.Unstable", "Slow")) == "two", 60, "the other disk to be read")
    found = [f["text"] for f in client.explain(allocation, "Allocation") if f["code"] == "identity-changed"]
    check(found and "slow was one and is two" in found[0], f"what is said of another disk: {found}")
    client.must(allocation, "Release")
    service.stop()


def read_again_after_failure(service):
    """What an allocation used could not be read when it came back: that is tried again, and recorded when it succeeds."""
    Folder(service).add("unstable")
    value = pathlib.Path(os.environ["PT_DIR"], "slow-value")
    value.unlink(missing_ok=True)
    order = f"observe:file:{value}"
    client = start_with(service, order)
    allocation, device = used_disk(client)
    client.must(allocation, "Deactivate")
    wait_until(lambda: f"the slow fields of {NVME} could not be read" in service.log.read_text(), 60, "the first reading to fail")
    equal(slow_value(client, device), "", "before it can be read")
    value.write_text("one")
    wait_until(lambda: slow_value(client, device) == "one", 60, "it to be read again by itself")
    recorded(service, allocation, order, value)


def read_while_driver_changes(service):
    """The reading began before the host's driver was back, ended after it, and is made once more for that: what it found is
    recorded nevertheless."""
    Folder(service).add("unstable")
    value = pathlib.Path(os.environ["PT_DIR"], "slow-gate")
    begun = value.with_suffix(".begun")
    for file in (value, begun):
        file.unlink(missing_ok=True)
    order = f"observe:wait:{value}"
    client = start_with(service, order)
    allocation, device = used_disk(client)
    check(not begun.exists(), "nobody has read it yet")
    hang("bind", NVME)
    job = client.start(allocation, "Deactivate")
    wait_until(lambda: hanging("bind", NVME), 60, "the driver to be on its way")
    wait_until(lambda: str(client.get(device, "Device", "Driver")) == "", 60, "the service to know that there is none now")
    client.get(device, "Device.Unstable", "Slow")
    wait_until(begun.exists, 60, "the reading to begin without a driver")
    release("bind", NVME)
    equal(client.wait_job(job)[0], "done", "deactivate")
    wait_until(lambda: str(client.get(device, "Device", "Driver")) == "nvme", 60, "the service to know of the driver")
    value.write_text("one")
    wait_until(lambda: slow_value(client, device) == "one", 60, "the end of the reading")
    recorded(service, allocation, order, value)


main([wrong, not_to_be_trusted, cut_off, folder_of_others, at_the_start, once_is_forgiven, killed_is_no_crash, when_asked,
      in_the_worker, probe_crashes, slow_field_crashes, read_again_after_failure, read_while_driver_changes], may_crash=True)
