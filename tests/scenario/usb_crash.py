#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 of the service and of its worker while a USB device is away, and while it is made ready again. Whenever that is, the
next start goes on: the consumer has its device, ready, and nobody else has; and when it is given back all is as found."""
import contextlib
import os
import signal
import time

from gi.repository import Gio, GLib

import snapshot
from passthrough import NAME, PATIENCE, check, equal, main, wait_until
from place import IN_VM, hang, hanging, release
from usbport import CONTROLLER, SERIAL, id_of, interfaces, name_away, name_of, owner, usb_plug, usb_unplug
from witness import Signals

UID = 1001
DRIVER = "ftdi_sio"
ROUNDS = 4 if IN_VM else 30


class Case:
    """The serial adapter, given to a consumer, with all the time in the world to come back."""

    def __init__(self, service):
        self.service = service
        self.client = service.start()
        wait_until(lambda: set(interfaces(SERIAL).values()) == {DRIVER}, 20, "its driver")
        wait_until(lambda: self.client.device_state(id_of(SERIAL)) == "free", 20, "it to be free")
        self.before = (interfaces(SERIAL), owner(SERIAL))
        group = self.client.create_group("adapters", "usb", {"follow-time": 600})
        self.client.add_rule(group, [("port", "eq", f"{CONTROLLER}/{SERIAL}")])
        self.allocation, job = self.client.allocate("vm", "adapters", activate=True, node_uid=UID)
        equal(self.client.wait_job(job), ("done", "", ""), "activate")

    def is_ready(self):
        return (self.client.state(self.allocation) == "active" and set(interfaces(SERIAL).values()) == {None}
                and owner(SERIAL) == (UID, 0, 0o600))

    def ready(self, what):
        wait_until(self.is_ready, 30, f"the device to be ready, {what}: {self.client.state(self.allocation)}, {interfaces(SERIAL)}, "
                   f"{owner(SERIAL)}\n{self.service.tail(30)}")
        equal(self.client.devices_of(self.allocation), [self.client.device(id_of(SERIAL))], f"its device, {what}")
        equal(self.client.device_state(id_of(SERIAL)), "active", f"the device, {what}")

    def away(self):
        usb_unplug(SERIAL)
        wait_until(lambda: self.client.state(self.allocation) == "following", 20, "following")

    def restart(self):
        self.client = self.service.start()

    def end(self):
        """Reconciling once more changes nothing; and it can be given back as if nothing had happened."""
        self.service.stop()
        stored = snapshot.databases()
        self.restart()
        self.ready("after one more start")
        self.service.stop()
        equal(snapshot.databases(), stored, "what one more start wrote")
        self.restart()
        self.client.must(self.allocation, "Release")
        wait_until(lambda: (interfaces(SERIAL), owner(SERIAL)) == self.before, 20, f"all to be as before: {self.before}")
        self.service.stop()
        snapshot.nothing_recorded()


class Witness:
    """Counts all signals of the service from now on, and kills it at the one of a number."""

    def __init__(self, pid, last):
        self.pid, self.last, self.count = pid, last, 0
        self.connection = Gio.DBusConnection.new_for_address_sync(
            os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None),
            Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.connection.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, self._take)
        self.connection.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", None, None,
                                  Gio.DBusCallFlags.NONE, -1, None)

    def _take(self, *_):
        self.count += 1
        if self.count == self.last:
            os.kill(self.pid, signal.SIGKILL)

    def look(self):
        while GLib.MainContext.default().iteration(False):
            pass

    def close(self):
        self.connection.close_sync(None)


def at_each_message(service):
    """From the plug being pulled until the device is ready again the service sends so many signals: it dies at each of them."""
    case = Case(service)
    number, killed = 1, 0
    while True:
        witness = Witness(service.process.pid, number)
        usb_unplug(SERIAL)
        end, plugged = time.monotonic() + 20, False
        while service.process.poll() is None and time.monotonic() < end:
            witness.look()
            if not plugged and (service.process.poll() is not None or case_state(case) == "following"):
                usb_plug(SERIAL)
                plugged = True
            if plugged and case_state(case) == "active":
                break
        witness.look()
        witness.close()
        dead = service.process.poll() is not None or wait_dead(service, witness)
        if not plugged:
            usb_plug(SERIAL)
        if dead:
            killed += 1
            service.kill()
            case.restart()
        case.ready(f"killed at signal {number}")
        if not dead:
            break
        number += 1 if not IN_VM else 4
    print(f"# killed at {killed} of {number - 1} signals", flush=True)
    check(killed >= (2 if IN_VM else 8), f"killed at {killed} signals only")
    case.end()


def wait_dead(service, witness):
    """The signal that kills it may have been taken just now."""
    return witness.count >= witness.last and service.process.wait(PATIENCE) is not None


def case_state(case):
    """None while nobody answers."""
    try:
        return case.client.state(case.allocation)
    except Exception:  # it was killed a moment ago
        return None


def at_any_time(service):
    """From the plug until it is ready, so many instants, close together where the steps are; the worker is left or dies too."""
    case = Case(service)
    case.away()
    began = time.monotonic()
    usb_plug(SERIAL)
    case.ready("undisturbed")
    whole = time.monotonic() - began
    first = max(0.0, 0.3 - 0.02)  # the device is left alone for so long
    for both in (False, True):
        for i in range(ROUNDS):
            case.away()
            usb_plug(SERIAL)
            time.sleep(first + (whole * 1.2 - first) * i / ROUNDS)  # the point of the test: an arbitrary instant
            for pid in service.workers() if both else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            service.kill()
            case.restart()
            case.ready(f"killed in round {i}")
    print(f"# {2 * ROUNDS} instants of {whole * 1000:.0f} ms", flush=True)
    case.end()


def while_it_is_away(service):
    """Between the event and the record of it, and after it: the plug is pulled just before."""
    case = Case(service)
    for i in range(ROUNDS // 2):
        usb_unplug(SERIAL)
        time.sleep(0.002 * i)
        service.kill()
        if i % 2:
            usb_plug(SERIAL)
        case.restart()
        if not i % 2:
            wait_until(lambda: case.client.state(case.allocation) == "following", 20, "following")
            usb_plug(SERIAL)
        case.ready(f"killed in round {i}")
    case.end()


def in_each_step(service):
    """The kernel does not come back from a step; the next service starts before it does, or after."""
    case = Case(service)
    for early in (False, True):
        case.away()
        interface = f"{name_away(SERIAL)}:1.0"
        hang("usb-unbind", interface)
        usb_plug(SERIAL)
        wait_until(lambda n=interface: hanging("usb-unbind", n), 20, "the unbind to begin")
        if early:
            service.kill(wait=False)
            case.client = service.start(ready=False)
            release("usb-unbind", interface)
            wait_until(lambda: case.client.readiness() != "starting", 30, "readiness")
        else:
            service.process.kill()
            release("usb-unbind", interface)
            service.kill()
            case.restart()
        case.ready(f"killed in the unbind, {'early' if early else 'late'}")
    case.end()


def the_worker_in_a_step(service):
    """Its worker dies: what it did is undone, the device is the host's, and the consumer is told that it is lost."""
    case = Case(service)
    lost = Signals("Allocation", "DeviceLost")
    case.away()
    interface = f"{name_away(SERIAL)}:1.0"
    hang("usb-unbind", interface)
    usb_plug(SERIAL)
    wait_until(lambda: hanging("usb-unbind", interface), 20, "the unbind to begin")
    for pid in wait_until(service.busy_workers, 5, "a worker"):
        os.kill(pid, signal.SIGKILL)
    release()
    wait_until(lambda: case.client.state(case.allocation) == "lost", 30, "lost")
    equal(lost.wait()[1][1], "not ready", "why")
    wait_until(lambda: (interfaces(SERIAL), owner(SERIAL)) == case.before, 20, f"it to be the host's again: {interfaces(SERIAL)}")
    case.client.must(case.allocation, "Deactivate")
    case.client.must(case.allocation, "Activate")
    case.ready("activated again")
    equal(name_of(SERIAL), name_away(SERIAL), "where it is")
    case.end()


SIM_ONLY = [in_each_step, the_worker_in_a_step]
main([at_each_message, at_any_time, while_it_is_away] + ([] if IN_VM else SIM_ONLY))
