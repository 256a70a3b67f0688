#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 of the service and of its worker at every point of activate, deactivate and release. Afterwards an allocation is
either active with everything bound, or claimed with everything as found; and reconciling twice is the same as once."""
import contextlib
import os
import signal
import time

import dbus

import snapshot
from passthrough import check, equal, main, wait_until
from place import IN_VM, Holder, hang, hanging, release

NIC = "0000:01:00.0"
MF = ("0000:05:00.0", "0000:05:00.1")
UID = 1001


class Case:
    """One allocation of one group, the state of its host before, and what counts as sound after a crash."""

    def __init__(self, service, slots=MF):
        self.service = service
        self.slots = slots
        self.before = snapshot.host(*slots)
        self.client = service.start()
        self.client.pool("pool", slots[0])
        self.allocation, _ = self.client.allocate("vm", "pool", node_uid=UID)

    def state(self):
        """None once it is released."""
        try:
            return self.client.state(self.allocation)
        except dbus.DBusException as error:
            check("UnknownObject" in error.get_dbus_name(), f"{error}")
            return None

    def restart(self):
        """Waits until whatever the last run left is dealt with."""
        self.client = self.service.start()

    def sound(self, states=("active", "claimed")):
        state = self.state()
        check(state in states, f"after the crash it is {state}, wanted one of {states}\n{self.service.tail(40)}")
        wanted = snapshot.bound(self.slots, UID) if state == "active" else self.before
        equal(snapshot.host(*self.slots), wanted, f"the host, with the allocation {state}")
        for slot in self.slots:
            equal(self.client.device_state(slot), "active" if state == "active" else "free", slot)
        return state

    def settle(self, state):
        """The same state of the allocation, for the next round."""
        if self.state() is None:
            self.allocation, _ = self.client.allocate("vm", "pool", node_uid=UID)
        if self.state() != state:
            self.client.must(self.allocation, "Activate" if state == "active" else "Deactivate")

    def end(self):
        """What survived works as if nothing had happened, and leaves nothing."""
        self.client = snapshot.restart_changes_nothing(self.service, *self.slots)
        self.settle("active")
        self.client.must(self.allocation, "Release")
        equal(snapshot.host(*self.slots), self.before, "the host in the end")
        self.service.stop()
        snapshot.nothing_recorded()


# -- in the middle of each operation of the kernel ----------------------------------------------------------------
# (operation, function): in the order of an activation. A give-back meets them from the last function to the first.
POINTS = [(operation, slot) for slot in MF for operation in ("driver_override", "unbind", "drivers_probe", "bind")]


def kill_at(case, verb, operation, slot, early):
    """Kills the service while the kernel does one operation. The next one starts before it has ended, or after."""
    hang(operation, slot)
    case.client.start(case.allocation, verb)
    wait_until(lambda: hanging(operation, slot), 10, f"{operation} of {slot} to begin")
    if early:
        case.service.kill(wait=False)
        case.client = case.service.start(ready=False)
        release(operation, slot)
        wait_until(lambda: case.client.readiness() != "starting", 30, "readiness")
    else:
        case.service.process.kill()
        release(operation, slot)
        case.service.kill()
        case.restart()


def activate_points(service):
    case = Case(service)
    for early in (False, True):
        for operation, slot in POINTS:
            kill_at(case, "Activate", operation, slot, early)
            equal(case.sound(), "claimed", f"killed in {operation} of {slot}")
            case.client = snapshot.restart_changes_nothing(service, *MF)
    case.end()


def deactivate_points(service):
    case = Case(service)
    for early in (False, True):
        for operation, slot in reversed(POINTS):
            if operation == "drivers_probe":
                continue  # the give-back binds the driver found before by its name
            case.settle("active")
            kill_at(case, "Deactivate", operation, slot, early)
            equal(case.sound(), "claimed", f"killed in {operation} of {slot}")
            case.client = snapshot.restart_changes_nothing(service, *MF)
    case.end()


# -- at any time ---------------------------------------------------------------------------------------------------
def duration(case, verb):
    began = time.monotonic()
    case.client.must(case.allocation, verb)
    return time.monotonic() - began


def sweep(case, verb, first, states, rounds):
    """Kills the service after every so many milliseconds of the verb, from before it begins until after its end."""
    case.settle(first)
    whole = duration(case, verb)
    seen = {}
    for i in range(rounds):
        case.settle(first)
        case.client.start(case.allocation, verb)
        time.sleep(whole * 1.1 * i / rounds)  # the point of the test: an arbitrary instant
        case.service.kill()
        case.restart()
        state = case.sound(states)
        seen[state] = seen.get(state, 0) + 1
    print(f"# {verb}, {whole * 1000:.0f} ms: {seen}", flush=True)
    case.end()


ROUNDS = 5 if IN_VM else 30


def activate_sweep(service):
    sweep(Case(service), "Activate", "claimed", ("active", "claimed"), ROUNDS)


def deactivate_sweep(service):
    sweep(Case(service), "Deactivate", "active", ("active", "claimed"), ROUNDS)


def release_sweep(service):
    sweep(Case(service), "Release", "active", ("active", "claimed", None), ROUNDS)


def what_was_said_holds(service):
    """Whoever heard that a job is done finds it so, however soon after that the service dies."""
    case = Case(service)
    for _ in range(2 if IN_VM else 8):
        for verb, state in (("Activate", "active"), ("Deactivate", "claimed"), ("Activate", "active"), ("Release", None)):
            case.client.must(case.allocation, verb)
            case.service.kill()
            case.restart()
            case.sound((state,))
        case.allocation, _ = case.client.allocate("vm", "pool", node_uid=UID)
        case.service.kill()
        case.restart()
        equal(case.state(), "claimed", "an allocation that was made")
    case.end()


def both_sweep(service):
    """The worker dies with the service, in the middle of what it does: a host that runs out of memory."""
    case = Case(service)
    whole = duration(case, "Activate")
    for i in range(ROUNDS):
        case.settle("claimed")
        case.client.start(case.allocation, "Activate")
        time.sleep(whole * i / ROUNDS)
        for pid in [service.process.pid, *service.workers()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        service.kill()
        case.restart()
        case.sound()
    case.end()


# -- the worker -------------------------------------------------------------------------------------------------------
def kill_worker_when(case, verb, condition, what):
    """(result, error, message) of the verb's job whose worker is killed once the condition holds."""
    job = case.client.start(case.allocation, verb)
    wait_until(condition, 20, what, pause=0)
    for pid in wait_until(case.service.busy_workers, 5, "a worker", pause=0):
        os.kill(pid, signal.SIGKILL)
    if not IN_VM:
        release()
    return case.client.wait_job(job)


def kill_worker_between(case, slot):
    """As above, on a real kernel, which nothing holds between unbind and bind: it may have done both before the worker is dead."""
    for _ in range(10):
        case.settle("claimed")
        before = snapshot.driver(slot)
        job = case.client.start(case.allocation, "Activate")
        wait_until(lambda: snapshot.driver(slot) != before, 20, "the unbind", pause=0)
        for pid in case.service.busy_workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        result = case.client.wait_job(job)
        if result[0] != "done":
            return result
    raise AssertionError("ten activations were done before their worker was dead")


def worker_in_bind(service):
    """The worker is killed between unbind and bind: a device without driver is the worst it can leave."""
    case = Case(service)
    if IN_VM:
        result = kill_worker_between(case, MF[0])
    else:
        hang("drivers_probe", MF[0])
        result = kill_worker_when(case, "Activate", lambda: hanging("drivers_probe", MF[0]), "the bind")
    equal(result[:2], ("failed", "WorkerFailed"), f"the job: {result}")
    check(MF[0] in result[2] or "step" in result[2], f"the message says where: {result[2]}")
    equal(case.sound(), "claimed", "its worker was killed")
    case.end()


def worker_at_each_point(service):
    case = Case(service)
    for operation, slot in POINTS:
        hang(operation, slot)
        result = kill_worker_when(case, "Activate", lambda o=operation, s=slot: hanging(o, s), operation)
        equal(result[:2], ("failed", "WorkerFailed"), f"killed in {operation} of {slot}: {result}")
        equal(case.sound(), "claimed", f"killed in {operation} of {slot}")
    case.end()


def worker_in_give_back(service):
    """What it was about is not known: the allocation stays locked until it is asked again."""
    case = Case(service)
    for operation, slot in reversed(POINTS):
        if operation == "drivers_probe":
            continue
        case.settle("active")
        hang(operation, slot)
        result = kill_worker_when(case, "Deactivate", lambda o=operation, s=slot: hanging(o, s), operation)
        equal(result[:2], ("failed", "WorkerFailed"), f"killed in {operation} of {slot}: {result}")
        equal(case.state(), "failed", "a give-back that did not end")
        check(case.client.device_state(slot) != "free", "a device that was not given back is locked")
        case.client.must(case.allocation, "Deactivate")
        equal(case.sound(), "claimed", "asked again")
    case.end()


def while_draining(service):
    case = Case(service, (NIC,))
    case.settle("active")
    with Holder(NIC) as holder:
        case.client.start(case.allocation, "Deactivate")
        wait_until(lambda: case.state() == "draining", 20, "draining")
        service.kill()
        case.restart()
        equal(case.state(), "draining", "after the crash")
        equal(snapshot.host(NIC), snapshot.bound((NIC,), UID), "the consumer's device")
        holder.close()
    wait_until(lambda: case.state() == "claimed", 20, "the give-back")
    case.sound()
    case.end()


SIM_ONLY = [activate_points, deactivate_points, worker_at_each_point, worker_in_give_back]
main((SIM_ONLY if not IN_VM else [])
     + [activate_sweep, deactivate_sweep, release_sweep, what_was_said_holds, both_sweep, worker_in_bind, while_draining])
