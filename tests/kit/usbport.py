# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB ports of the simulated host and of the VM, which have the same devices: who is where, plugging, drivers, nodes."""
import os
import pathlib
import subprocess

from passthrough import wait_until
from place import IN_VM, ctl

BUS = pathlib.Path("/sys/bus/usb/devices")
CONTROLLER = "0000:00:0b.0"
SERIAL = "4"  # the port of a serial adapter
VM_SERIAL = "usb-serial,id=user0,bus=xhci.0,port=%s,chardev=user0-data,serial=PTSER1,always-plugged=on"
AWAY = {}


def name_of(path, controller=CONTROLLER):
    """The kernel's name of what is at that port now, on whichever of the two root hubs."""
    for entry in BUS.iterdir():
        real = os.path.realpath(entry)
        if ":" not in entry.name and entry.name.partition("-")[2] == path and controller in real:
            return entry.name
    return None


def id_of(path, controller=CONTROLLER):
    return "usb-" + (controller + "/" + path).replace(":", "-").replace(".", "-").replace("/", "-")


def name_away(path):
    return AWAY[path]


def usb_unplug(path=SERIAL):
    AWAY[path] = name_of(path)
    if IN_VM:
        subprocess.run(["vm-hmp", "device_del", "user0"], check=True)
    else:
        ctl("unplug", AWAY[path])
    wait_until(lambda: not (BUS / AWAY[path]).exists(), 20, f"port {path} to be empty")


def usb_plug(path=SERIAL, port=None):
    """Plugs what was unplugged last, at its port or in the VM at another."""
    if IN_VM:
        subprocess.run(["vm-hmp", "device_add", VM_SERIAL % (port or path)], check=True)
    else:
        ctl("plug", AWAY[path])
    wait_until(lambda: name_of(port or path), 20, f"port {port or path} to be taken")


def interfaces(path):
    """{interface: driver} of the device at a port."""
    name = name_of(path)
    return {entry.name.partition(":")[2]: os.path.basename(os.path.realpath(entry / "driver")) if (entry / "driver").exists() else None
            for entry in (BUS / name).glob(f"{name}:*")} if name else {}


def usb_node(path):
    name = name_of(path)
    bus, device = ((BUS / name / what).read_text().strip() for what in ("busnum", "devnum"))
    return f"/dev/bus/usb/{int(bus):03}/{int(device):03}"


def owner(path):
    status = os.stat(usb_node(path))
    return status.st_uid, status.st_gid, status.st_mode & 0o777
