# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests on the simulated host need: checks that count, reads and writes that tell the errno, things in the
background that may hang, uevents, inotify."""

import ctypes
import errno
import os
import select
import socket
import struct
import time

PCI = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"
CONTROL = "/run/passthroughd-simhost/control"
# of hosts/demo.json
NIC, NIC_GROUP = "0000:02:00.0", 11
GPU, GPU_AUDIO, GPU_GROUP = "0000:01:00.0", "0000:01:00.1", 10
PF = "0000:07:00.0"
BRIDGE = "0000:00:02.0"

QUICK = 0.4             # seconds in which what does not hang has long been done


class Count:
    ran = 0
    failed = 0


def check(what, held, seen=""):
    """Prints one line, and keeps count."""
    Count.ran += 1
    Count.failed += not held
    print(f"{'ok    ' if held else 'FAILED'} {what}" + ("" if held else f" (seen: {seen!r})"), flush=True)


def equal(what, seen, expected):
    check(what, seen == expected, seen)


def read(path):
    with open(path, "rb", buffering=0) as f:
        return f.read(65536).decode(errors="replace").rstrip("\n")


def write(path, text):
    """0, or the errno of the write."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as e:
        return e.errno
    try:
        os.write(fd, text.encode())
        return 0
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def name(number):
    return errno.errorcode.get(number, number)


def writes(what, path, text, expected):
    equal(what, name(write(path, text)), name(expected))


def driver(bdf):
    try:
        return os.path.basename(os.readlink(f"{PCI}/{bdf}/driver"))
    except FileNotFoundError:
        return None


def order(*words):
    r = write(f"{CONTROL}/{words[0]}", " ".join(str(w) for w in words[1:]) + "\n")
    if r:
        raise OSError(r, f"order {words}")


def waiting():
    return read(f"{CONTROL}/waiting").split("\n")


def set_driver(bdf, wanted):
    """What the service does: override, unbind, probe."""
    write(f"{PCI}/{bdf}/driver_override", wanted + "\n")
    if driver(bdf):
        write(f"{PCI}/{bdf}/driver/unbind", bdf)
    return write("/sys/bus/pci/drivers_probe", bdf)


class Background:
    """Something that may hang, in a process of its own."""

    def __init__(self, action):
        self.pid = os.fork()
        if self.pid == 0:
            for fd in range(3, 64):
                try:
                    os.close(fd)
                except OSError:
                    pass
            try:
                os._exit(action() or 0)
            except BaseException:
                os._exit(111)

    def done(self, seconds=QUICK):
        """Its exit status, or None if it still hangs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None


class Events:
    """Uevents as udev sends them on."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((0, 2))
        self.socket.setblocking(False)

    def all(self):
        """[(action, subsystem, name)] of what has come by now."""
        events = []
        while True:
            try:
                message = self.socket.recv(65536)
            except BlockingIOError:
                return events
            offset, length = struct.unpack_from("=II", message, 16)
            if message[:8] != b"libudev\0":
                raise ValueError(message)
            p = dict(x.split("=", 1) for x in message[offset:offset + length].decode().split("\0") if x)
            events.append((p["ACTION"], p["SUBSYSTEM"], os.path.basename(p["DEVPATH"])))


class Inotify:
    OPEN, CLOSE, CREATE, DELETE = 0x20, 0x18, 0x100, 0x200

    def __init__(self, path, mask):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.libc.inotify_add_watch(self.fd, path.encode(), mask) < 0:
            raise OSError(ctypes.get_errno(), path)

    def masks(self):
        seen = []
        while select.select([self.fd], [], [], 0.2)[0]:
            data = os.read(self.fd, 4096)
            while data:
                _, mask, _, length = struct.unpack_from("=iIII", data)
                seen.append(mask)
                data = data[16 + length:]
        return seen


def libudev_sees(action):
    """What a libudev monitor with a filter for PCI receives while @action is carried out."""
    u = ctypes.CDLL("libudev.so.1")
    for f in ("udev_new", "udev_monitor_new_from_netlink", "udev_monitor_receive_device"):
        getattr(u, f).restype = ctypes.c_void_p
    for f in ("udev_device_get_action", "udev_device_get_sysname", "udev_device_get_property_value"):
        getattr(u, f).restype = ctypes.c_char_p
    monitor = ctypes.c_void_p(u.udev_monitor_new_from_netlink(ctypes.c_void_p(u.udev_new()), b"udev"))
    u.udev_monitor_filter_add_match_subsystem_devtype(monitor, b"pci", None)
    u.udev_monitor_enable_receiving(monitor)
    fd = u.udev_monitor_get_fd(monitor)
    action()
    seen = []
    while select.select([fd], [], [], 0.2)[0]:
        device = u.udev_monitor_receive_device(monitor)
        if device:
            d = ctypes.c_void_p(device)
            seen.append((u.udev_device_get_action(d).decode(), u.udev_device_get_sysname(d).decode(),
                         (u.udev_device_get_property_value(d, b"ID_MODEL_FROM_DATABASE") or b"").decode()))
    return seen
