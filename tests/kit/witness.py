# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who watches the service from outside while a test does something to it: signals, and how long its answers take."""
import os
import threading
import time

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

from passthrough import NAME, PATIENCE, ROOT, Client, check


class Signals:
    """Collects the signals of one kind from when it is made: [(path, arguments)...]."""

    def __init__(self, interface, member):
        address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM, None)
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        self.connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
        self.interface, self.member = f"{NAME}.{interface}", member
        self.seen = []
        self.connection.signal_subscribe(None, self.interface, member, None, None, Gio.DBusSignalFlags.NONE, self._take)
        self._settle()

    def _take(self, _connection, _sender, path, _interface, _member, parameters):
        self.seen.append((path, parameters.unpack()))

    def _settle(self):
        """The bus knows of the subscription once it has answered something that came after."""
        self.connection.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", None, None,
                                  Gio.DBusCallFlags.NONE, -1, None)

    def so_far(self):
        while GLib.MainContext.default().iteration(False):
            pass
        return self.seen

    def wait(self, seconds=PATIENCE):
        """The first one."""
        seconds = max(seconds, PATIENCE)
        end = time.monotonic() + seconds
        while not self.so_far():
            check(time.monotonic() < end, f"no {self.member} within {seconds} s")
            time.sleep(0.02)
        return self.seen[0]


# Nobody waits that long for a service whose loop runs, however loaded the machine is; who waits for a kernel that hangs waits longer.
CALL_SECONDS = 20.0


class Patience:
    """Another client that keeps asking; `worst` is the longest that it had to wait for an answer, in seconds. It must have got
    answers, none of them after CALL_SECONDS."""

    def __init__(self):
        self.worst, self.answers, self.problem = 0.0, 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def _ask(self):
        try:
            client = Client()
            while not self.ended.is_set():
                began = time.monotonic()
                client.readiness()
                client.call(ROOT, "Manager", "ListDevices", "sa(sss)a{sv}", "pci", [], {})
                self.worst = max(self.worst, time.monotonic() - began)
                self.answers += 1
                self.ended.wait(0.005)
        except Exception as error:  # told at the end
            self.problem = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        check(self.problem is None, f"the other client: {self.problem}")
        check(self.answers > 0 and self.worst < CALL_SECONDS, f"{self.answers} answers, one took {self.worst:.3f} s")
