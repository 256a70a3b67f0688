# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drivers, VFIO, and what hangs while a device is in use.

Groups of checks that run inside of a simulated host, each on a fresh one. What Linux does is known from its source and
from runs on a real kernel; comments name the rule where it surprises."""

import errno
import os
import shutil
import subprocess
import time

from simhost_tools import (BRIDGE, DRIVERS, GPU, GPU_AUDIO, GPU_GROUP, NIC, NIC_GROUP, PCI, QUICK,
                           Background, Events, Inotify, check, driver, equal, libudev_sees, name, order,
                           read, set_driver, waiting, write, writes)


def group_reading():
    equal("every described device is there", len(os.listdir(PCI)), 22)
    device = f"{PCI}/{NIC}"
    equal("vendor", read(f"{device}/vendor"), "0x8086")
    equal("class", read(f"{device}/class"), "0x020000")
    equal("modalias", read(f"{device}/modalias"), "pci:v00008086d00001533sv00008086sd00000001bc02sc00i00")
    equal("driver_override reads (null) when unset", read(f"{device}/driver_override"), "(null)")
    equal("subsystem link", os.readlink(f"{device}/subsystem"), "../../../../bus/pci")
    equal("iommu_group link", os.readlink(f"{device}/iommu_group"), f"../../../../kernel/iommu_groups/{NIC_GROUP}")
    equal("both functions of the card are in one group",
          sorted(os.listdir(f"/sys/kernel/iommu_groups/{GPU_GROUP}/devices")), [GPU, GPU_AUDIO])
    equal("the bridge and what is behind it are in one group",
          sorted(os.listdir("/sys/kernel/iommu_groups/14/devices")), ["0000:05:00.0", "0000:06:01.0", "0000:06:02.0"])
    equal("the network interface of the card", os.path.realpath("/sys/class/net/enp2s0/device"), os.path.realpath(device))
    equal("class link of a device names the device", os.readlink("/sys/class/net/enp2s0/device"), f"../../../{NIC}")
    equal("slot", read("/sys/bus/pci/slots/2/address"), "0000:02:00")
    equal("module of a driver", os.path.realpath(f"{DRIVERS}/igb/module"), "/sys/module/igb")
    equal("driver of a module", os.path.realpath("/sys/module/igb/drivers/pci:igb"), f"{DRIVERS}/igb")
    equal("capability list and config size", os.stat(f"{device}/config").st_size, 4096)
    equal("conventional PCI has 256 bytes", os.stat(f"{PCI}/0000:06:01.0/config").st_size, 256)
    check("vital product data", "SN" in read(f"{device}/vpd") and "A0369F000001" in read(f"{device}/vpd"))
    check("the command line", "intel_iommu=on" in read("/proc/cmdline"))
    check("the processor can virtualise", "vmx" in read("/proc/cpuinfo"))
    check("the machine's own processors are kept", os.path.exists("/sys/devices/system/cpu/online"))
    equal("/sys stays a sysfs, which libusb asks for", subprocess.run(["stat", "-f", "-c", "%T", "/sys"], text=True,
          capture_output=True).stdout.strip(), "sysfs")
    equal("attributes can't be seen through to the machine", os.listdir("/sys/class/vfio"), [])
    links = [os.path.realpath(f"/sys/dev/block/{n}") for n in os.listdir("/sys/dev/block")]
    check("every disk number leads to a disk of this host", links and all("/nvme/" in p for p in links), links)
    check("modules can't be loaded into the machine", not os.path.exists("/proc/self/status")
          or not int([x.split()[1] for x in open("/proc/self/status") if x.startswith("CapBnd")][0], 16) >> 16 & 1)
    if shutil.which("lspci"):
        seen = subprocess.run(["lspci", "-D", "-vvv"], text=True, capture_output=True)
        trouble = [x for x in seen.stderr.splitlines() if "libkmod" not in x]   # kernels without modules have no list
        equal("lspci is content", (seen.returncode, trouble), (0, []))
        check("lspci shows every device", seen.stdout.count("\n\n") == 22, seen.stdout.count("\n\n"))
        check("lspci shows the serial number", "52-54-00-ff-ff-00-02-00" in seen.stdout)
        check("lspci shows virtual function capability", "Single Root I/O Virtualization" in seen.stdout)
        check("lspci shows the slot", "Physical Slot: 2" in seen.stdout)
        check("lspci shows drivers", "Kernel driver in use: nouveau" in seen.stdout)
    if shutil.which("lsusb"):
        seen = subprocess.run(["lsusb"], text=True, capture_output=True).stdout
        check("lsusb shows the devices", "0529:0001" in seen and "1d6b:0002" in seen, seen)


def group_bind():
    device = f"{PCI}/{NIC}"
    events = Events()
    writes("an override that is too long", f"{device}/driver_override", "x" * 4095, errno.EINVAL)
    writes("an override", f"{device}/driver_override", "vfio-pci\n", 0)
    equal("reads back", read(f"{device}/driver_override"), "vfio-pci")
    writes("a newline clears it", f"{device}/driver_override", "\n", 0)
    equal("and it reads (null)", read(f"{device}/driver_override"), "(null)")

    writes("unbinding from a driver that has not got it", f"{DRIVERS}/nvme/unbind", NIC, errno.ENODEV)
    writes("unbinding a device that is not there", f"{DRIVERS}/igb/unbind", "0000:99:00.0", errno.ENODEV)
    writes("binding what has a driver", f"{DRIVERS}/igb/bind", NIC, errno.EBUSY)
    writes("binding to a driver that does not know it", f"{DRIVERS}/nvme/bind", NIC, errno.ENODEV)
    writes("probing a device that is not there", "/sys/bus/pci/drivers_probe", "0000:99:00.0", errno.ENODEV)
    equal("none of this made an event", events.all(), [])

    writes("unbinding", f"{DRIVERS}/igb/unbind", NIC + "\n", 0)
    equal("takes the network interface away, then tells", events.all(),
          [("remove", "net", "enp2s0"), ("unbind", "pci", NIC)])
    check("the interface is gone", not os.path.exists("/sys/class/net/enp2s0"))
    equal("no driver", driver(NIC), None)
    check("uevent names no driver", "DRIVER=" not in read(f"{device}/uevent"))

    writes("vfio-pci does not know it by itself", f"{DRIVERS}/vfio-pci/bind", NIC, errno.ENODEV)
    writes("an override for a driver that is not loaded", f"{device}/driver_override", "nosuch\n", 0)
    writes("a probe then succeeds with nothing bound", "/sys/bus/pci/drivers_probe", NIC, 0)
    equal("and nothing is bound", driver(NIC), None)
    writes("its own driver is kept off by the override", f"{DRIVERS}/igb/bind", NIC, errno.ENODEV)
    events.all()

    writes("override for vfio-pci", f"{device}/driver_override", "vfio-pci\n", 0)
    writes("probe", "/sys/bus/pci/drivers_probe", NIC, 0)
    equal("bound", driver(NIC), "vfio-pci")
    equal("events of vfio-pci", events.all(),
          [("add", "vfio", str(NIC_GROUP)), ("add", "vfio-dev", "vfio0"), ("bind", "pci", NIC)])
    check("uevent names the driver", read(f"{device}/uevent").startswith("DRIVER=vfio-pci\nPCI_CLASS=20000\n"))
    equal("vfio-dev", os.listdir(f"{device}/vfio-dev"), ["vfio0"])

    writes("clear", f"{device}/driver_override", "\n", 0)
    writes("unbind", f"{DRIVERS}/vfio-pci/unbind", NIC, 0)
    equal("events", events.all(),
          [("remove", "vfio-dev", "vfio0"), ("remove", "vfio", str(NIC_GROUP)), ("unbind", "pci", NIC)])
    writes("probe", "/sys/bus/pci/drivers_probe", NIC, 0)
    equal("back with its own driver", driver(NIC), "igb")
    equal("and its interface", events.all(), [("add", "net", "enp2s0"), ("bind", "pci", NIC)])
    equal("which is the same", read("/sys/class/net/enp2s0/address"), "52:54:00:00:02:00")

    seen = libudev_sees(lambda: write(f"{DRIVERS}/igb/unbind", NIC))
    equal("libudev's monitor gets the event with the database's entry", seen,
          [("unbind", NIC, "I210 Gigabit Network Connection")])
    writes("a synthetic event", f"{device}/uevent", "change", 0)
    equal("is told", events.all()[-1:], [("change", "pci", NIC)])
    writes("but not a silly one", f"{device}/uevent", "dance", errno.EINVAL)

    writes("new_id takes what has no driver", f"{DRIVERS}/vfio-pci/new_id", "8086 1533", 0)
    equal("at once", driver(NIC), "vfio-pci")
    writes("remove_id", f"{DRIVERS}/vfio-pci/remove_id", "8086 1533", 0)
    writes("remove_id of what is not there", f"{DRIVERS}/vfio-pci/remove_id", "8086 1533", errno.ENODEV)

    # The worker opens control files beneath the device's directory, with symbolic links refused.
    beneath = """
import ctypes, os, struct, sys
d = os.open(sys.argv[1], os.O_PATH | os.O_DIRECTORY)
how = struct.pack("=QQQ", os.O_RDWR | os.O_CLOEXEC, 0, 0x08 | 0x04)  # RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
fd = ctypes.CDLL(None, use_errno=True).syscall(437, d, b"driver_override", how, len(how))
sys.exit(0 if fd >= 0 and os.write(fd, b"vfio-pci\\n") == 9 else 1)
"""
    equal("control files can be opened beneath the device's directory",
          subprocess.run(["/usr/bin/python3", "-c", beneath, os.path.realpath(device)]).returncode, 0)


def group_vfio():
    node = f"/dev/vfio/{NIC_GROUP}"
    watch = Inotify("/dev/vfio", Inotify.CREATE | Inotify.DELETE)
    check("no node before", not os.path.exists(node))
    set_driver(NIC, "vfio-pci")
    check("a node after", os.path.exists(node))
    equal("inotify saw it come", watch.masks(), [Inotify.CREATE])
    st = os.stat(node)
    equal("only root may open it", (st.st_mode & 0o777, st.st_uid), (0o600, 0))
    equal("its number is what sysfs says", f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}",
          read(f"/sys/class/vfio/{NIC_GROUP}/dev"))
    os.chmod(node, 0o660)
    equal("its mode can be changed", os.stat(node).st_mode & 0o777, 0o660)
    os.chown(node, 0, 0)
    if len([x for x in open("/proc/self/uid_map")]) and int(open("/proc/self/uid_map").read().split()[2]) > 1000:
        os.chown(node, 1000, 1000)
        equal("and its owner", (os.stat(node).st_uid, os.stat(node).st_gid), (1000, 1000))
    if shutil.which("setfacl"):
        equal("it takes access lists", subprocess.run(["setfacl", "-m", "u:0:rw", node]).returncode, 0)
        check("and shows them", "user:root:rw-" in subprocess.run(["getfacl", "-p", node], text=True,
              capture_output=True).stdout)

    inotify = Inotify(node, Inotify.OPEN | Inotify.CLOSE)
    fd = os.open(node, os.O_RDWR)
    equal("inotify saw it opened", [m for m in inotify.masks() if m & Inotify.OPEN], [Inotify.OPEN])
    try:
        os.open(node, os.O_RDWR)
        check("a second opener is refused", False)
    except OSError as e:
        equal("a second opener is refused", name(e.errno), "EBUSY")
    equal("who holds it can be seen in /proc", os.readlink(f"/proc/self/fd/{fd}"), node)
    os.close(fd)
    check("inotify saw it closed", any(m & Inotify.CLOSE for m in inotify.masks()))

    writes("vfio-pci takes no bridge: probe succeeds", "/sys/bus/pci/drivers_probe", BRIDGE, 0)
    set_driver(BRIDGE, "vfio-pci")
    equal("but binds nothing", driver(BRIDGE), None)
    writes("and bind says why", f"{DRIVERS}/vfio-pci/bind", BRIDGE, errno.EINVAL)

    set_driver(GPU, "vfio-pci")
    check("one function of two makes the node", os.path.exists(f"/dev/vfio/{GPU_GROUP}"))
    set_driver(GPU_AUDIO, "vfio-pci")
    set_driver(GPU, "")
    check("the node stays for the other one", os.path.exists(f"/dev/vfio/{GPU_GROUP}"))
    fd = os.open(f"/dev/vfio/{GPU_GROUP}", os.O_RDWR)
    write(f"{DRIVERS}/nouveau/unbind", GPU)
    writes("no host driver gets into a group in use: probe", "/sys/bus/pci/drivers_probe", GPU, errno.EINVAL)
    writes("no host driver gets into a group in use: bind", f"{DRIVERS}/nouveau/bind", GPU, errno.EBUSY)
    os.close(fd)
    writes("afterwards it does", "/sys/bus/pci/drivers_probe", GPU, 0)
    equal("and is bound", driver(GPU), "nouveau")
    set_driver(GPU_AUDIO, "")
    check("the node goes with the last member", not os.path.exists(f"/dev/vfio/{GPU_GROUP}"))
    equal("the container node stays", os.listdir("/dev/vfio").count("vfio"), 1)


def group_held():
    """Linux waits without limit until a device is closed, and much else waits with it."""
    device = f"{PCI}/{NIC}"
    set_driver(NIC, "vfio-pci")
    events = Events()
    fd = os.open(f"/dev/vfio/{NIC_GROUP}", os.O_RDWR)
    unbind = Background(lambda: write(f"{DRIVERS}/vfio-pci/unbind", NIC))
    equal("unbind hangs while the device is open", unbind.done(), None)
    equal("it can be seen who waits", waiting(), [f"unbind {NIC}: held open"])
    equal("the driver link is gone already", driver(NIC), None)
    check("the node is still there", os.path.exists(f"/dev/vfio/{NIC_GROUP}"))
    equal("no event yet", events.all(), [])
    hanging = {
        "reading driver_override": lambda: bool(read(f"{device}/driver_override")) and 0,
        "reading uevent": lambda: bool(read(f"{device}/uevent")) and 0,
        "writing driver_override": lambda: write(f"{device}/driver_override", "\n"),
        "reset": lambda: write(f"{device}/reset", "1"),
    }
    background = {what: Background(action) for what, action in hanging.items()}
    for what, b in background.items():
        equal(f"{what} hangs too", b.done(), None)
    for what in ("vendor", "class", "modalias", "config", "resource", "enable", "numa_node", "reset_method"):
        equal(f"reading {what} does not", Background(lambda: bool(read(f"{device}/{what}")) and 0).done(), 0)
    equal("other devices go on", Background(lambda: bool(read(f"{PCI}/{GPU}/uevent")) and 0).done(), 0)
    equal("even with their drivers", Background(lambda: set_driver(GPU, "vfio-pci")).done(), 0)
    equal("and a rescan", Background(lambda: write("/sys/bus/pci/rescan", "1")).done(), 0)
    equal("and the very file that the other one hangs in",
          Background(lambda: write(f"{DRIVERS}/vfio-pci/unbind", GPU)).done(), 0)
    equal("also with a shell's redirection", subprocess.run(["sh", "-c", f"echo {GPU} >{DRIVERS}/vfio-pci/bind"],
          timeout=5).returncode, 0)
    events.all()
    os.close(fd)
    equal("closing ends it", unbind.done(2), 0)
    for what, b in background.items():
        equal(f"{what} ends too", b.done(2), 0)
    equal("and the events come", events.all(),
          [("remove", "vfio-dev", "vfio0"), ("remove", "vfio", str(NIC_GROUP)), ("unbind", "pci", NIC)])

    set_driver(NIC, "vfio-pci")
    fd = os.open(f"/dev/vfio/{NIC_GROUP}", os.O_RDWR)
    waiters = [Background(lambda: write(f"{device}/remove", "1"))]
    equal("remove hangs", waiters[0].done(), None)
    rescan = Background(lambda: write("/sys/bus/pci/rescan", "1"))
    equal("and a rescan with it", rescan.done(), None)
    many = [Background(lambda: bool(read(f"{device}/uevent")) and 0) for _ in range(60)]
    time.sleep(QUICK)
    equal("sixty that hang disturb nobody else", Background(lambda: bool(read(f"{PCI}/{GPU}/uevent")) and 0).done(), 0)
    os.close(fd)
    equal("remove ends", waiters[0].done(2), 0)
    for b in many:
        b.done(2)
    equal("the rescan ends", rescan.done(2), 0)
    check("and finds the device again", os.path.exists(device))


def group_reset():
    device = f"{PCI}/{NIC}"
    writes("reset", f"{device}/reset", "1", 0)
    writes("only 1 resets", f"{device}/reset", "2", errno.EINVAL)
    writes("nothing else", f"{device}/reset", "yes", errno.EINVAL)
    equal("methods", read(f"{device}/reset_method"), "flr pm bus")
    writes("fewer methods", f"{device}/reset_method", "bus", 0)
    equal("read back", read(f"{device}/reset_method"), "bus")
    writes("one that it has not got", f"{device}/reset_method", "acpi", errno.EINVAL)
    writes("half a word", f"{device}/reset_method", "fl", errno.EINVAL)
    writes("none", f"{device}/reset_method", "\n", 0)
    writes("then it can't be reset", f"{device}/reset", "1", errno.ENOTTY)
    writes("all again", f"{device}/reset_method", "default", 0)
    equal("read back", read(f"{device}/reset_method"), "flr pm bus")
    check("no file where nothing can be reset", not os.path.exists(f"{PCI}/0000:00:1f.0/reset"))
    order("fail", "reset", NIC, "EIO", 2)
    writes("a failure that was ordered", f"{device}/reset", "1", errno.EIO)
    writes("twice", f"{device}/reset", "1", errno.EIO)
    writes("not three times", f"{device}/reset", "1", 0)
