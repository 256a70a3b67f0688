# SPDX-License-Identifier: LGPL-2.1-or-later
"""Orders of tests, and other hosts.

Groups of checks that run inside of a simulated host, each on a fresh one. What Linux does is known from its source and
from runs on a real kernel; comments name the rule where it surprises."""

import errno
import json
import os
import socket
import signal
import subprocess
import time

from simhost_tools import (CONTROL, DRIVERS, GPU, NIC, NIC_GROUP, PCI, Background, Events, check, driver,
                           equal, order, read, set_driver, waiting, write, writes)


def group_disturb():
    device = f"{PCI}/{NIC}"
    order("fail", "bind", NIC, "EBUSY")
    write(f"{DRIVERS}/igb/unbind", NIC)
    writes("a probe that fails shows in bind", f"{DRIVERS}/igb/bind", NIC, errno.EBUSY)
    order("fail", "bind", NIC, "EIO")
    writes("but not in drivers_probe", "/sys/bus/pci/drivers_probe", NIC, 0)
    equal("where it only is not bound", driver(NIC), None)
    order("fail", "drivers_probe", "*", "EIO")
    writes("unless that fails itself", "/sys/bus/pci/drivers_probe", NIC, errno.EIO)
    order("fail", "driver_override", NIC, "ENOMEM", 1)
    writes("driver_override", f"{device}/driver_override", "vfio-pci\n", errno.ENOMEM)
    equal("did nothing", read(f"{device}/driver_override"), "(null)")
    writes("orders are checked", f"{CONTROL}/fail", "bind somewhere ENOSUCH", errno.EINVAL)

    order("delay", "bind", 300000)
    begin = time.monotonic()
    slow = Background(lambda: write("/sys/bus/pci/drivers_probe", NIC))
    time.sleep(0.1)
    equal("a slow bind keeps others from the device", Background(lambda: bool(read(f"{device}/uevent")) and 0).done(0.1), None)
    equal("other devices go on", Background(lambda: bool(read(f"{PCI}/{GPU}/uevent")) and 0).done(0.1), 0)
    equal("it ends", slow.done(2), 0)
    check("after what was ordered", time.monotonic() - begin >= 0.3)
    order("delay", "bind", 0)

    order("hang", "unbind", NIC)
    hung = Background(lambda: write(f"{DRIVERS}/igb/unbind", NIC))
    equal("unbind hangs as ordered", hung.done(), None)
    os.kill(hung.pid, signal.SIGKILL)
    equal("and can't be killed, like a process in the kernel", hung.done(), None)
    equal("it can be seen", waiting(), [f"unbind {NIC}: ordered to hang"])
    order("release", "unbind", NIC)
    equal("until it is released", hung.done(2), -signal.SIGKILL)
    equal("and has done its work", driver(NIC), None)

    if tuple(int(x) for x in os.uname().release.split(".")[:2]) >= (6, 2):
        order("hang", "bind", NIC)
        hung = Background(lambda: write("/sys/bus/pci/drivers_probe", NIC))
        equal("a probe hangs as ordered", hung.done(), None)
        equal("while others probe", Background(lambda: write("/sys/bus/pci/drivers_probe", GPU)).done(), 0)
        order("release", "bind", NIC)
        equal("until it is released", hung.done(2), 0)
        write(f"{DRIVERS}/igb/unbind", NIC)

    events = Events()
    order("lose-uevents", 1)
    write("/sys/bus/pci/drivers_probe", NIC)
    equal("one event is lost", events.all(), [("bind", "pci", NIC)])
    order("storm", 500)
    seen = events.all()
    equal("a storm", (len(seen), {e[0] for e in seen}, len({e[2] for e in seen})), (500, {"change"}, 22))
    order("storm", 5, NIC)
    equal("of one device", events.all(), [("change", "pci", NIC)] * 5)
    order("hang", "open", "*")
    set_driver(NIC, "vfio-pci")
    opening = Background(lambda: os.close(os.open(f"/dev/vfio/{NIC_GROUP}", os.O_RDWR)))
    equal("opening can hang", opening.done(), None)
    order("release")
    equal("until released", opening.done(2), 0)


def group_server():
    equal("the host is managed through a real interface", os.path.exists("/sys/class/net/eno1"), True)
    route = subprocess.run(["ip", "route", "show", "default"], text=True, capture_output=True).stdout
    check("with a route", "dev eno1" in route, route)
    link = json.loads(subprocess.run(["ip", "-j", "addr", "show", "eno1"], text=True, capture_output=True).stdout)[0]
    equal("whose number is the same everywhere", link["ifindex"], int(read("/sys/class/net/eno1/ifindex")))
    check("and addresses", "192.0.2.10" in [a["local"] for a in link["addr_info"]], link)
    writes("without its driver", f"{DRIVERS}/e1000e/unbind", "0000:00:1f.6", 0)
    check("it is gone", subprocess.run(["ip", "link", "show", "eno1"], capture_output=True).returncode != 0)
    equal("VFs from the start", len([x for x in os.listdir(f"{PCI}/0000:05:00.0") if x.startswith("virtfn")]), 4)
    check("with interfaces", os.path.exists("/sys/class/net/enp5s0np0v3"))
    equal("the screen", read(f"{PCI}/0000:01:00.0/boot_vga"), "1")
    equal("the group's type follows the command line", read("/sys/kernel/iommu_groups/0/type"), "identity")


def group_kernel_events():
    """With --uevents both: what the kernel would send as well, for a real systemd-udevd."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
    kernel.bind((0, 1))
    kernel.settimeout(2)
    events = Events()
    writes("unbind", f"{DRIVERS}/igb/unbind", NIC, 0)
    equal("udev's events", events.all(), [("remove", "net", "enp2s0"), ("unbind", "pci", NIC)])
    seen = [kernel.recv(65536).split(b"\0") for _ in range(2)]
    device = os.path.realpath(f"{PCI}/{NIC}")[len("/sys"):]
    equal("the kernel's events", [m[0].decode() for m in seen], [f"remove@{device}/net/enp2s0", f"unbind@{device}"])
    check("with a number", any(x.startswith(b"SEQNUM=") for x in seen[1]), seen[1])


def group_no_iommu():
    nic = "0000:01:00.0"
    check("no group", not os.path.exists(f"{PCI}/{nic}/iommu_group"))
    equal("no groups", os.listdir("/sys/kernel/iommu_groups"), [])
    equal("no IOMMU", os.listdir("/sys/class/iommu"), [])
    check("but the firmware's table", os.path.exists("/sys/firmware/acpi/tables/DMAR"))
    set_driver(nic, "vfio-pci")
    equal("vfio-pci does not take it", driver(nic), None)
    writes("and says why", f"{DRIVERS}/vfio-pci/bind", nic, errno.EINVAL)


def group_large():
    equal("devices", len(os.listdir(PCI)), 1000)
    nic = [b for b in sorted(os.listdir(PCI)) if read(f"{PCI}/{b}/class") == "0x020000" and driver(b) == "igb"][0]
    mounts = len(open("/proc/self/mountinfo").readlines())
    check("no mounts but those of drivers", mounts < 150, mounts)
    order("control", nic)
    writes("one device is controlled on demand", f"{PCI}/{nic}/reset", "2", errno.EINVAL)
    set_driver(nic, "vfio-pci")
    equal("bound", driver(nic), "vfio-pci")
    set_driver(nic, "")
    equal("and back", driver(nic), "igb")
