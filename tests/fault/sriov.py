#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers of virtual functions when things go wrong: kill -9 of the service and of its worker at any time, and a kernel that says
no. Afterwards there are as many as before or as many as asked for, the records say which, and the way back leads to what was
found in the beginning."""
import contextlib
import os
import shutil
import signal
import time

import dbus

import snapshot
from passthrough import RUNTIME, STATE, SYS, bus_error, check, equal, main, wait_until
from place import ctl, hang, hanging, release

NIC, NVME = "0000:08:00.0", "0000:09:00.0"
PF = "sriov-0000-08-00-0"


def number(slot, name="sriov_numvfs"):
    return int((SYS / slot / name).read_text())


def found():
    return tuple((number(slot), number(slot, "sriov_drivers_autoprobe")) for slot in (NIC, NVME))


class Pool:
    def __init__(self, service, vfs, where=("provider.slot", "eq", NIC)):
        for slot in (NIC, NVME):
            (SYS / slot / "sriov_numvfs").write_text("0")
            (SYS / slot / "sriov_drivers_autoprobe").write_text("1")
        self.service, self.before = service, found()
        self.client = service.start()
        self.group = self.client.create_group("nics", "sriov", {"vfs": vfs})
        self.client.add_rule(self.group, [where])

    def begin(self):
        return str(self.client.call(self.group, "Group", "Provision", "a{sv}", {}))

    def provision(self):
        return self.client.wait_job(self.begin())

    def must(self, vfs=None):
        if vfs is not None:
            self.want(vfs)
        equal(self.provision(), ("done", "", ""), "provision")

    def want(self, vfs):
        settings = dbus.Dictionary({"vfs": vfs}, signature="sv")
        self.client.call(self.group, "Group", "Update", "a{sv}a{sv}", {"settings": settings}, {})

    def met(self):
        return "not-provisioned" not in [str(n) for n in self.client.get(self.group, "Group", "Notes")]

    def restart(self):
        self.client = self.service.start()

    def children(self):
        return len(self.client.get(self.client.device(PF), "Provider", "Children"))

    def sound(self, *counts):
        """One of these numbers, which the inventory and the records agree with."""
        count = number(NIC)
        check(count in counts, f"{count} functions, wanted one of {counts}\n{self.service.tail(30)}")
        wait_until(lambda: self.children() == count, 10, "the inventory to agree")
        layout = {str(k): int(v) for k, v in self.client.get(self.client.device(PF), "Provider", "Layout").items()}
        equal(layout, {"vfs": count} if count else {}, "the layout")
        return count

    def end(self):
        job = str(self.client.call(self.group, "Group", "Remove", "a{sv}", {}))
        if job != "/":
            equal(self.client.wait_job(job), ("done", "", ""), "removing the group")
        equal(found(), self.before, "as found")
        self.service.stop()
        snapshot.nothing_recorded()
        for path, tables in ((RUNTIME / "runtime.db", ("provisions", "provision_steps")), (STATE / "state.db", ("layouts",))):
            for table in tables:
                equal(snapshot.rows(path, table), [], f"records in {table}")


def kill_at(pool, operation, early):
    """Kills the service while the kernel does it; the next one starts before it has ended, or after."""
    hang(operation, NIC)
    pool.begin()
    wait_until(lambda: hanging(operation, NIC), 10, f"{operation} to begin")
    if early:
        pool.service.kill(wait=False)
        pool.client = pool.service.start(ready=False)
        release(operation, NIC)
        wait_until(lambda: pool.client.readiness() != "starting", 30, "readiness")
    else:
        pool.service.process.kill()
        release(operation, NIC)
        pool.service.kill()
        pool.restart()


def first_points(service):
    """What was never said to be made is not there afterwards."""
    pool = Pool(service, 3)
    for early in (False, True):
        for operation in ("sriov_drivers_autoprobe", "sriov_numvfs"):
            kill_at(pool, operation, early)
            wait_until(lambda: found() == pool.before, 10, f"the undo after a kill in {operation}")
            pool.sound(0)
            check(not pool.met(), "the group says that it is not made")
    pool.must()
    pool.sound(3)
    pool.end()


def change_points(service):
    """From one number to another: the one before is there again, and stays after one more restart."""
    pool = Pool(service, 3)
    pool.must()
    pool.want(5)
    for early in (False, True):
        kill_at(pool, "sriov_numvfs", early)
        wait_until(lambda: number(NIC) == 3, 10, "the undo")
        pool.sound(3)
        service.stop()
        pool.restart()
        pool.sound(3)
    pool.must()
    pool.sound(5)
    pool.end()


def sweep(pool, verb, counts, step=0.004):
    """Kills the service later and later, until what it does ends first; twice the worker instead."""
    for victim in ("service", "worker"):
        delay, ended = 0.0, False
        while not ended and delay < 2.0:
            job = verb()
            time.sleep(delay)
            if victim == "service":
                with contextlib.suppress(dbus.DBusException):
                    ended = str(pool.client.get(job, "Job", "State")) == "done"
                pool.service.kill()
                pool.restart()
            else:
                for pid in pool.service.busy_workers():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                result = pool.client.wait_job(job)
                check(result[0] in ("done", "failed"), f"{result}")
                ended = result[0] == "done"
            delay += step
            yield pool.sound(*counts)


def any_time(service):
    ctl("delay", "sriov_numvfs", "8000")
    pool = Pool(service, 2)
    pool.must()
    wanted = 4

    def turn():
        return pool.begin()

    pool.want(wanted)
    seen = set()
    for count in sweep(pool, turn, (2, 4)):
        seen.add(count)
        if count == wanted:
            wanted = 6 - wanted
            pool.want(wanted)
    equal(seen, {2, 4}, "both ends were seen")
    release("sriov_numvfs")
    ctl("delay", "sriov_numvfs", "0")
    pool.end()


def removal_any_time(service):
    """The group is gone with its functions, or there with them."""
    ctl("delay", "sriov_numvfs", "8000")
    pool = Pool(service, 2)
    delay = 0.0
    for _ in range(12):
        pool.must()
        pool.client.call(pool.group, "Group", "Remove", "a{sv}", {})
        time.sleep(delay)
        delay += 0.003
        service.kill()
        pool.restart()
        try:
            pool.group = pool.client.group("nics")
        except dbus.DBusException:
            pool.group = pool.client.create_group("nics", "sriov", {"vfs": 2})
            equal(number(NIC), 0, "nobody wants them any more")
            pool.client.add_rule(pool.group, [("provider.slot", "eq", NIC)])
        pool.sound(0, 2)
    ctl("delay", "sriov_numvfs", "0")
    pool.end()


def refusals(service):
    """The kernel's answers reach the caller with what helps, and change nothing."""
    pool = Pool(service, 4)
    for error, code, text in (("ENOMEM", "StepFailed", "Above-4G"), ("EPERM", "StepFailed", "refuses"),
                              ("EIO", "StepFailed", "does not answer"), ("EAGAIN", "DeviceBusy", "resets")):
        ctl("fail", "sriov_numvfs", NIC, error)
        result, fault, message = pool.provision()
        equal((result, fault), ("failed", code), message)
        check(text in message and NIC in message, message)
        equal(found(), pool.before, f"after {error}")
        pool.sound(0)
    ctl("limit", NIC, "3")
    result, fault, message = pool.provision()
    equal((result, fault), ("failed", "StepFailed"), message)
    check("made 3" in message, message)
    equal(found(), pool.before, "after a driver that made fewer")
    ctl("limit", NIC, "7")
    pool.must()
    pool.sound(4)
    pool.end()


def one_of_several(service):
    """All or none: the disk's functions go again when the card's can't be made."""
    pool = Pool(service, 2, ("provider.total-vfs", "ge", "1"))
    for slot in (NIC, NVME):
        ctl("fail", "sriov_numvfs", slot, "ENOMEM")
        equal(pool.provision()[:2], ("failed", "StepFailed"), slot)
        equal(found(), pool.before, f"after {slot} failed")
    pool.must()
    equal((number(NIC), number(NVME)), (2, 2), "both")
    pool.end()


def undo_fails(service):
    """What could not be put back is put back by the next job, or by the next start."""
    pool = Pool(service, 3)
    pool.must()
    for heal in ("job", "start"):
        pool.want(5)
        ctl("limit", NIC, "1")
        # 0 goes through, 5 becomes 1, and so does 3.
        result = pool.provision()
        equal(result[0], "failed", f"{result}")
        ctl("limit", NIC, "7")
        if heal == "start":
            service.stop()
            pool.restart()
            pool.sound(3)
        pool.must()
        pool.sound(5)
        pool.must(3)
    pool.end()


def unbind(driver):
    (SYS.parent / "drivers" / driver / "unbind").write_text(NIC)


def bind(driver):
    (SYS.parent / "drivers" / driver / "bind").write_text(NIC)


def no_driver(service):
    """Only the card's driver makes functions; one that goes takes them along, which the group says."""
    pool = Pool(service, 3)
    unbind("igb")
    wait_until(lambda: str(pool.client.get(pool.client.device(PF), "Device", "Driver")) == "", 10, "no driver")
    error, message = bus_error(pool.begin)
    equal(error, "DeviceBlocked", message)
    check("no driver" in message and NIC in message, message)
    bind("igb")
    wait_until(lambda: str(pool.client.get(pool.client.device(PF), "Device", "Driver")) == "igb", 10, "the driver")
    pool.must()
    check(pool.met(), "it is made")
    unbind("igb")
    wait_until(lambda: pool.children() == 0, 10, "the functions to go")
    check(not pool.met(), "the group says that they are gone")
    bind("igb")
    wait_until(pool.met, 30, "they are made again")
    pool.sound(3)
    pool.end()


def state_of(pool):
    return str(pool.client.call(pool.client.device(PF), "Provider", "Query", "sa{sv}", "demands", {})["state"])


def codes(pool):
    return {str(f["code"]): str(f["text"]) for f in pool.client.explain(pool.group, "Group")}


def reloaded_unseen(service):
    """The driver was loaded anew while the service was down, on the same boot."""
    pool = Pool(service, 3)
    pool.must()
    service.stop()
    unbind("igb")
    bind("igb")
    equal(number(NIC), 0, "they are gone")
    pool.restart()
    equal(pool.client.readiness(), "ready", "ready when they are there")
    pool.sound(3)
    pool.end()


def killed_while_made_again(service):
    """What a crash interrupts is begun anew by the next start."""
    pool = Pool(service, 3)
    pool.must()
    for early in (False, True):
        hang("sriov_numvfs", NIC)
        unbind("igb")
        bind("igb")
        wait_until(lambda: hanging("sriov_numvfs", NIC), 30, "the service to make them by itself")
        service.kill(wait=False) if early else service.process.kill()
        if early:
            pool.client = service.start(ready=False)
            release("sriov_numvfs", NIC)
        else:
            release("sriov_numvfs", NIC)
            service.kill()
            pool.restart()
        wait_until(lambda: state_of(pool) == "made" and pool.children() == 3, 60, "they are there again")
        pool.sound(3)
    pool.end()


def gives_up(service):
    """A card that makes none any more is tried a few times, and then left to people; who waited is told."""
    pool = Pool(service, 3)
    pool.must()
    allocation, _ = pool.client.allocate("vm", "nics")
    ctl("fail", "sriov_numvfs", NIC, "ENOMEM", "100")
    unbind("igb")
    bind("igb")
    wait_until(lambda: pool.children() == 0, 10, "the functions to go")
    job = pool.client.start(allocation, "Activate")
    wait_until(lambda: state_of(pool) == "given-up", 120, "the service to give up")
    equal(pool.client.wait_job(job)[:2], ("failed", "NoDeviceAvailable"), "who waited")
    found_codes = codes(pool)
    check("provision-given-up" in found_codes, f"{found_codes}")
    text = found_codes["provision-given-up"]
    check("5 attempts" in text and "Above-4G" in text and NIC in text, text)
    failed = [r for r in pool.client.manager("History", "a{sv}", {}) if str(r["operation"]) == "provision" and str(r["result"]) != "done"]
    equal(len(failed), 5, "attempts")
    check(not pool.met(), "the group says so too")
    release("sriov_numvfs", NIC)
    pool.must()
    pool.sound(3)
    equal(codes(pool).get("provision-given-up"), None, "forgotten")
    pool.client.must(allocation, "Release")
    pool.end()


def made_again(pool):
    """How often."""
    rows = pool.client.manager("History", "a{sv}", {})
    return len([row for row in rows if "made again" in str(row["message"])])


def drops_them_again(service):
    """A driver that drops them each time does not keep the service busy for ever."""
    pool = Pool(service, 2)
    pool.must()
    for attempt in range(1, 6):
        unbind("igb")
        bind("igb")
        wait_until(lambda: made_again(pool) == attempt and state_of(pool) == "made", 60, f"made again, {attempt}")
    unbind("igb")
    bind("igb")
    wait_until(lambda: state_of(pool) == "given-up", 60, "the service to give up")
    check("vanished again" in codes(pool)["provision-given-up"], f"{codes(pool)}")
    equal(number(NIC), 0, "none")
    pool.must()
    pool.sound(2)
    pool.end()


def late_driver(service):
    """The host starts, and the card's driver comes later than the service: activations wait for it."""
    pool = Pool(service, 2)
    pool.must()
    allocation, _ = pool.client.allocate("vm", "nics")
    service.stop()
    (SYS / NIC / "sriov_numvfs").write_text("0")
    (SYS / NIC / "sriov_drivers_autoprobe").write_text("1")
    unbind("igb")
    shutil.rmtree(RUNTIME)
    pool.client = service.start(ready=False)
    job = pool.client.start(allocation, "Activate")
    time.sleep(0.3)
    equal((pool.client.readiness(), str(pool.client.get(job, "Job", "State"))), ("starting", "waiting"), "it waits")
    bind("igb")
    equal(pool.client.wait_job(job), ("done", "", ""), "once the driver is there")
    wait_until(lambda: pool.client.readiness() == "ready", 10, "readiness")
    pool.client.must(allocation, "Release")
    pool.sound(2)
    pool.end()


main([no_driver, late_driver, reloaded_unseen, killed_while_made_again, gives_up, drops_them_again, first_points, change_points, any_time, removal_any_time, refusals, one_of_several, undo_fails])
