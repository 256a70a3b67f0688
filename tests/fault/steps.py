#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernel says no: in every operation of an activation and of a give-back, with every errno, one at a time and several.
Whatever fails, the end is one of three: all is done, all is as it was, or what could not be restored is locked and said, and
is restored as soon as it can be."""
import errno
import os
import random

import snapshot
from passthrough import check, equal, main
from place import ctl, release

MF = ("0000:05:00.0", "0000:05:00.1")
NIC = "0000:01:00.0"
ERRNOS = ("EBUSY", "EINVAL", "EIO", "ENODEV", "ENOMEM", "EPERM", "EAGAIN")
# What an activation of MF asks of the kernel, in order; a give-back does the same from the last function to the first.
OPERATIONS = [(operation, slot) for slot in MF for operation in ("driver_override", "unbind", "drivers_probe", "bind")]


class Bundle:
    """The two functions of a card, in one allocation."""

    def __init__(self, service):
        self.service = service
        self.before = snapshot.host(*MF)
        self.client = service.start()
        self.client.pool("cards", MF[0])
        self.client.pool("second", MF[1])
        self.allocation, _ = self.client.allocate("vm", "cards")

    def state(self):
        return self.client.state(self.allocation)

    def run(self, verb):
        return self.client.run(self.allocation, verb)

    def as_before(self, what):
        equal(self.state(), "claimed", what)
        equal(snapshot.host(*MF), self.before, f"the host: {what}")
        for slot in MF:
            equal(self.client.device_state(slot), "free", f"{slot}: {what}")

    def active(self, what):
        equal(self.state(), "active", what)
        equal(snapshot.host(*MF), snapshot.bound(MF, 0), f"the host: {what}")

    def locked(self, what):
        """Nobody else gets a device that is not as it should be."""
        equal(self.state(), "failed", what)
        for slot in MF:
            equal(self.client.device_state(slot), "failed", f"{slot}: {what}")
        other, job = self.client.allocate("other", "second", activate=True)
        equal(self.client.wait_job(job)[1], "NoDeviceAvailable", f"somebody else: {what}")
        self.client.must(other, "Release")

    def heal(self, what):
        """The kernel does as it is told again, and the give-back is asked for again."""
        release()
        if self.state() != "claimed":
            self.client.must(self.allocation, "Deactivate")
        self.as_before(f"healed after {what}")

    def end(self):
        self.client.must(self.allocation, "Release")
        self.service.stop()
        snapshot.nothing_recorded()


def said(result, slot, error, what):
    """The error is one of ours, and says which device and what the kernel said."""
    check(result[1] not in ("", "Internal", "WorkerFailed", "StoreFailed"), f"{what}: {result}")
    check(slot in result[2], f"{what}: the device is not named: {result[2]}")
    check(os.strerror(getattr(errno, error)) in result[2], f"{what}: not what the kernel said: {result[2]}")


def activate(service):
    """One operation fails so many times in a row. Few are enough for a step to fail, more of them reach the undo too."""
    bundle = Bundle(service)
    ends = {"active": 0, "undone": 0, "locked": 0}
    for operation, slot in OPERATIONS:
        for error in ERRNOS:
            for count in (1, 2, 0):
                what = f"{operation} of {slot} fails {count or 'ever'} times with {error}"
                ctl("fail", operation, slot, error, str(count))
                result = bundle.run("Activate")
                if result[0] == "done":
                    bundle.active(what)
                    release()
                    bundle.client.must(bundle.allocation, "Deactivate")
                    ends["active"] += 1
                elif bundle.state() == "claimed":
                    equal(result[0], "failed", f"{what}: {result}")
                    said(result, slot, error, what)
                    bundle.as_before(what)
                    ends["undone"] += 1
                else:
                    said(result, slot, error, what)
                    bundle.locked(what)
                    ends["locked"] += 1
                bundle.heal(what)
    print(f"# {ends}", flush=True)
    check(all(ends.values()), f"each of the ends was reached: {ends}")
    bundle.end()


def every_first_failure_is_undone(service):
    """A single no, whichever it is, either does not matter or leaves everything as it was."""
    bundle = Bundle(service)
    undone = 0
    for operation, slot in OPERATIONS:
        ctl("fail", operation, slot, "EIO", "1")
        result = bundle.run("Activate")
        if result[0] == "done":
            # drivers_probe that fails is made up for by bind, and the other way round.
            check(operation in ("drivers_probe", "bind"), f"{operation} of {slot} failed unnoticed")
            release()
            bundle.client.must(bundle.allocation, "Deactivate")
        else:
            said(result, slot, "EIO", f"{operation} of {slot}")
            bundle.as_before(f"{operation} of {slot}")
            undone += 1
    equal(undone, 4, "operations that an activation needs")
    bundle.end()


def deactivate(service):
    """The give-back fails: locked, said, and done when it is asked for again."""
    bundle = Bundle(service)
    locked = 0
    for operation, slot in OPERATIONS:
        for error in ("EIO", "ENODEV", "EBUSY"):
            what = f"give-back: {operation} of {slot} fails with {error}"
            bundle.client.must(bundle.allocation, "Activate")
            ctl("fail", operation, slot, error, "0")
            result = bundle.run("Deactivate")
            if result[0] == "done":
                equal(operation, "drivers_probe", f"{what}: is not needed by a give-back")
                bundle.as_before(what)
            else:
                said(result, slot, error, what)
                bundle.locked(what)
                # The other function is given back nevertheless.
                other = MF[1 - MF.index(slot)]
                equal(snapshot.host(other)[other][:2], bundle.before[other][:2], f"{what}: the other function")
                equal(bundle.run("Deactivate")[0], "failed", f"{what}: asked again while it still fails")
                locked += 1
            bundle.heal(what)
    equal(locked, 6 * 3, "give-backs that failed")
    bundle.end()


def restart_heals(service):
    """A start tries a failed give-back again, once, and the one after that too."""
    bundle = Bundle(service)
    for operation, slot in (("bind", MF[0]), ("unbind", MF[1])):
        bundle.client.must(bundle.allocation, "Activate")
        ctl("fail", operation, slot, "EIO", "0")
        equal(bundle.run("Deactivate")[0], "failed", f"{operation} of {slot}")
        for _ in range(2):
            bundle.client = service.restart()
            bundle.locked("after a start with the fault still there")
        release()
        bundle.client = service.restart()
        bundle.as_before(f"restarted after {operation} of {slot}")
    bundle.client = snapshot.restart_changes_nothing(service, *MF)
    bundle.end()


def reset_fails(service):
    """A reset that the kernel refuses does not keep a device from being given back, but is not silent."""
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    ctl("fail", "reset", NIC, "ENOTTY", "0")
    client.must(allocation, "Release")
    equal(snapshot.host(NIC)[NIC][:2], ("e1000e", None), NIC)
    check("reset 0000:01:00.0" in service.tail() and os.strerror(errno.ENOTTY) in service.tail(), "it is in the log")
    release()


def several(service):
    """Up to four things fail at once, on the way there and on the way back. The seed is fixed; the check is the same."""
    bundle = Bundle(service)
    dice = random.Random(20251120)
    ends = {}
    for _ in range(80):
        for verb, first in (("Activate", "claimed"), ("Deactivate", "active")):
            if bundle.state() != first:
                continue
            orders = [(operation, slot, dice.choice(ERRNOS), str(dice.choice((1, 1, 2, 3, 0))))
                      for operation, slot in dice.sample(OPERATIONS, dice.randint(1, 4))]
            for order in orders:
                ctl("fail", *order)
            result = bundle.run(verb)
            what = f"{verb} with {orders}: {result}"
            state = bundle.state()
            if state == "claimed":
                bundle.as_before(what)
            elif state == "active":
                equal((verb, result[0]), ("Activate", "done"), what)
                bundle.active(what)
            else:
                bundle.locked(what)
            ends[verb, result[0], state] = ends.get((verb, result[0], state), 0) + 1
            release()
            if state == "failed":
                bundle.heal(what)
    print(f"# {ends}", flush=True)
    check(len(ends) >= 4, f"few ends were reached: {ends}")
    if bundle.state() == "active":
        bundle.client.must(bundle.allocation, "Deactivate")
    bundle.end()


main([activate, every_first_failure_is_undone, deactivate, restart_heals, reset_fails, several])
