# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that come and go.

Groups of checks that run inside of a simulated host, each on a fresh one. What Linux does is known from its source and
from runs on a real kernel; comments name the rule where it surprises."""

import errno
import os
import shutil
import struct
import subprocess
import time

from simhost_tools import (BRIDGE, DRIVERS, GPU, GPU_AUDIO, NIC, NIC_GROUP, PCI, PF, QUICK, Background,
                           Events, check, driver, equal, name, order, read, set_driver, write, writes)


def group_sriov():
    pf = f"{PCI}/{PF}"
    events = Events()
    equal("how many there may be", read(f"{pf}/sriov_totalvfs"), "7")
    writes("more than there may be", f"{pf}/sriov_numvfs", "8", errno.ERANGE)
    writes("nonsense", f"{pf}/sriov_numvfs", "many", errno.EINVAL)
    writes("none where there are none", f"{pf}/sriov_numvfs", "0", 0)
    equal("none of this made an event", events.all(), [])
    writes("autoprobe off", f"{pf}/sriov_drivers_autoprobe", "0", 0)
    writes("three", f"{pf}/sriov_numvfs", "3\n", 0)
    vfs = ["0000:08:10.0", "0000:08:10.2", "0000:08:10.4"]
    vfs = [v.replace("0000:08", "0000:07") for v in vfs]
    equal("events", events.all(), [(a, "pci", v) for v in vfs for a in ("add", "change")] + [("change", "pci", PF)])
    equal("virtfn links", [os.readlink(f"{pf}/virtfn{i}") for i in range(3)], [f"../{v}" for v in vfs])
    equal("physfn link", os.readlink(f"{PCI}/{vfs[0]}/physfn"), f"../{PF}")
    equal("reads back", read(f"{pf}/sriov_numvfs"), "3")
    equal("their IDs", (read(f"{PCI}/{vfs[0]}/vendor"), read(f"{PCI}/{vfs[0]}/device")), ("0x8086", "0x10ca"))
    groups = [int(os.path.basename(os.readlink(f"{PCI}/{v}/iommu_group"))) for v in vfs]
    equal("each in a group of its own, the lowest that were free", groups, [17, 18, 19])
    equal("no driver", [driver(v) for v in vfs], [None] * 3)
    writes("a probe does nothing while autoprobe is off", "/sys/bus/pci/drivers_probe", vfs[0], 0)
    equal("really", driver(vfs[0]), None)
    set_driver(vfs[0], "vfio-pci")
    equal("except with an override", driver(vfs[0]), "vfio-pci")
    writes("another number", f"{pf}/sriov_numvfs", "5", errno.EBUSY)
    writes("the same number", f"{pf}/sriov_numvfs", "3", 0)

    fd = os.open(f"/dev/vfio/{groups[0]}", os.O_RDWR)
    off = Background(lambda: write(f"{pf}/sriov_numvfs", "0"))
    equal("none hangs while one is open", off.done(), None)
    reading = Background(lambda: bool(read(f"{pf}/sriov_numvfs")) and 0)
    equal("and so does reading the number", reading.done(), None)
    events.all()
    os.close(fd)
    equal("until it is closed", off.done(2), 0)
    reading.done(2)
    equal("reads none", read(f"{pf}/sriov_numvfs"), "0")
    equal("they are gone", [os.path.exists(f"{PCI}/{v}") for v in vfs], [False] * 3)
    check("with their groups", not os.path.exists(f"/sys/kernel/iommu_groups/{groups[1]}"))
    equal("the last event", events.all()[-1], ("change", "pci", PF))

    writes("autoprobe on", f"{pf}/sriov_drivers_autoprobe", "1", 0)
    writes("two", f"{pf}/sriov_numvfs", "2", 0)
    equal("they come bound", [driver(v) for v in vfs[:2]], ["igbvf"] * 2)
    writes("vfio-pci refuses a PF with VFs", f"{pf}/driver_override", "vfio-pci\n", 0)
    writes("unbinding the PF takes the VFs away", f"{DRIVERS}/igb/unbind", PF, 0)
    equal("all", [os.path.exists(f"{PCI}/{v}") for v in vfs[:2]], [False] * 2)
    writes("vfio-pci now takes it", "/sys/bus/pci/drivers_probe", PF, 0)
    equal("really", driver(PF), "vfio-pci")
    writes("but makes no VFs", f"{pf}/sriov_numvfs", "2", errno.ENOENT)
    set_driver(PF, "")
    equal("binding it again does not bring them back", read(f"{pf}/sriov_numvfs"), "0")
    order("limit", PF, 1)
    writes("a driver that gives fewer than it was asked for", f"{pf}/sriov_numvfs", "4", 0)
    equal("says so only when it is read", read(f"{pf}/sriov_numvfs"), "1")
    write(f"{pf}/sriov_numvfs", "0")
    order("fail", "sriov_numvfs", PF, "ENOMEM")
    writes("a failure that was ordered", f"{pf}/sriov_numvfs", "1", errno.ENOMEM)
    writes("once", f"{pf}/sriov_numvfs", "1", 0)


def group_hotplug():
    device = f"{PCI}/{NIC}"
    events = Events()
    write(f"{device}/driver_override", "something\n")
    writes("remove", f"{device}/remove", "1", 0)
    equal("events", events.all(), [("remove", "net", "enp2s0"), ("unbind", "pci", NIC), ("remove", "pci", NIC)])
    check("the device is gone", not os.path.lexists(device))
    check("and its group", not os.path.exists(f"/sys/kernel/iommu_groups/{NIC_GROUP}"))
    check("and its entry in udev's database", not os.path.exists(f"/run/udev/data/+pci:{NIC}"))
    writes("rescan", "/sys/bus/pci/rescan", "1", 0)
    equal("events", events.all(), [("add", "pci", NIC), ("add", "net", "enp2s0"), ("bind", "pci", NIC)])
    equal("it comes back without override", read(f"{device}/driver_override"), "(null)")
    check("with its entry", "I210" in read(f"/run/udev/data/+pci:{NIC}"))

    writes("removing a bridge", f"{PCI}/{BRIDGE}/remove", "1", 0)
    equal("removes what is behind it first", [e for e in events.all() if e[0] == "remove"],
          [("remove", "net", "enp2s0"), ("remove", "pci", NIC), ("remove", "pci", BRIDGE)])
    writes("rescan", "/sys/bus/pci/rescan", "1", 0)
    equal("both are back", (driver(BRIDGE), driver(NIC)), ("pcieport", "igb"))

    events.all()
    order("unplug", GPU)
    equal("pulling a card takes all its functions, the first one last",
          [e for e in events.all() if e[0] == "remove" and e[1] == "pci"],
          [("remove", "pci", GPU_AUDIO), ("remove", "pci", GPU)])
    writes("a rescan does not find it", "/sys/bus/pci/rescan", "1", 0)
    check("really", not os.path.exists(f"{PCI}/{GPU}"))
    equal("the slot is empty", read("/sys/bus/pci/slots/1/adapter"), "0")
    order("plug", GPU)
    equal("back", (driver(GPU), driver(GPU_AUDIO)), ("nouveau", "snd_hda_intel"))
    equal("the slot is not empty", read("/sys/bus/pci/slots/1/adapter"), "1")

    set_driver(NIC, "vfio-pci")
    fd = os.open(f"/dev/vfio/{NIC_GROUP}", os.O_RDWR)
    events.all()
    order("unplug", NIC)
    time.sleep(QUICK)
    equal("no event at all while it is held open", events.all(), [])
    equal("the driver link is gone", driver(NIC), None)
    check("the directory is still there", os.path.exists(device))
    check("what is read from the device is all ones", open(f"{device}/config", "rb").read(4) == b"\xff" * 4)
    with open(f"{PCI}/{BRIDGE}/config", "rb") as f:
        config = f.read()
    check("the port above shows the link down", not struct.unpack_from("<H", config, 0x70 + 0x12)[0] & 0x2000)
    equal("a rescan hangs", Background(lambda: write("/sys/bus/pci/rescan", "1")).done(), None)
    equal("reading uevent hangs", Background(lambda: bool(read(f"{device}/uevent")) and 0).done(), None)
    os.close(fd)
    time.sleep(QUICK)
    equal("closing brings the events", events.all(),
          [("remove", "vfio-dev", "vfio0"), ("remove", "vfio", str(NIC_GROUP)), ("unbind", "pci", NIC),
           ("remove", "pci", NIC)])
    order("plug", NIC)
    equal("another card there gets its own driver", driver(NIC), "igb")


def group_mdev():
    parent = f"{PCI}/{GPU}"
    types = f"{parent}/mdev_supported_types"
    create = f"{types}/nvidia-63/create"
    uuid = "bb8aca09-c739-494c-8327-cb86efd5716e"
    events = Events()
    equal("types", sorted(os.listdir(types)), ["nvidia-63", "nvidia-64"])
    check("the parent is listed", os.path.exists(f"/sys/class/mdev_bus/{GPU}"))
    equal("available", (read(f"{types}/nvidia-63/available_instances"), read(f"{types}/nvidia-64/available_instances")), ("2", "1"))
    writes("nonsense", create, "something", errno.EINVAL)
    writes("create", create, uuid, 0)
    node = os.path.basename(os.readlink(f"/sys/bus/mdev/devices/{uuid}/iommu_group"))
    equal("events", events.all(),
          [("add", "mdev", uuid), ("add", "vfio", node), ("add", "vfio-dev", "vfio0"), ("bind", "mdev", uuid)])
    writes("the same again", create, uuid, errno.EEXIST)
    equal("the other size is no longer available",
          (read(f"{types}/nvidia-63/available_instances"), read(f"{types}/nvidia-64/available_instances")), ("1", "0"))
    equal("its type", os.readlink(f"/sys/bus/mdev/devices/{uuid}/mdev_type"), "../mdev_supported_types/nvidia-63")
    equal("its group has no hardware", read(f"/sys/kernel/iommu_groups/{node}/type"), "unknown")
    check("it has a node", os.path.exists(f"/dev/vfio/{node}"))
    writes("parameters", f"/sys/bus/mdev/devices/{uuid}/nvidia/vgpu_params", "disable_vnc=1", 0)
    equal("read back", read(f"/sys/bus/mdev/devices/{uuid}/nvidia/vgpu_params"), "disable_vnc=1")
    second = uuid.replace("bb", "cc", 1)
    writes("a second one", create, second, 0)
    events.all()
    third = uuid.replace("bb", "dd", 1)
    writes("a third one", create, third, errno.ENOSPC)
    equal("shows as add and remove", events.all(), [("add", "mdev", third), ("remove", "mdev", third)])

    fd = os.open(f"/dev/vfio/{node}", os.O_RDWR)
    removing = Background(lambda: write(f"/sys/bus/mdev/devices/{uuid}/remove", "1"))
    equal("removing hangs while it is open", removing.done(), None)
    os.close(fd)
    equal("until it is closed", removing.done(2), 0)
    check("it is gone", not os.path.exists(f"/sys/bus/mdev/devices/{uuid}") and not os.path.exists(f"/dev/vfio/{node}"))
    writes("unbinding the parent removes the rest", f"{DRIVERS}/nvidia/unbind", GPU, 0)
    equal("all", os.listdir("/sys/bus/mdev/devices"), [])
    check("and the types", not os.path.exists(types) and not os.path.exists(f"/sys/class/mdev_bus/{GPU}"))
    writes("bind", f"{DRIVERS}/nvidia/bind", GPU, 0)
    equal("all are available again", read(f"{types}/nvidia-63/available_instances"), "2")
    writes("create works again", create, uuid, 0)
    order("fail", "create", GPU, "EIO")
    writes("a failure that was ordered", create, third, errno.EIO)


def group_vgpu():
    """The VF stays with its driver, which makes a VFIO device of it."""
    writes("the driver refuses VFs", f"{PCI}/{GPU}/sriov_numvfs", "4", errno.EPERM)
    order("vfs", GPU, 4)
    vfs = [os.path.basename(os.readlink(f"{PCI}/{GPU}/virtfn{i}")) for i in range(4)]
    equal("its own tool makes them", [driver(v) for v in vfs], ["nvidia"] * 4)
    node = f"/dev/vfio/{os.path.basename(os.readlink(f'{PCI}/{vfs[0]}/iommu_group'))}"
    check("each has a node", os.path.exists(node))
    a = f"{PCI}/{vfs[0]}/nvidia"
    header = "ID    : vGPU Name"
    equal("creatable", read(f"{a}/creatable_vgpu_types").split("\n"),
          [header, "1147  : NVIDIA L40S-1Q", "1148  : NVIDIA L40S-2Q", "1167  : NVIDIA L40S-2B"])
    equal("none yet", read(f"{a}/current_vgpu_type"), "0")
    for what in "opening", "reading placement_id":
        try:
            open(node if what == "opening" else f"{a}/placement_id", "rb").read(1)
            seen = None
        except OSError as e:
            seen = name(e.errno)
        equal(f"{what} without a type", seen, "ENODEV" if what == "opening" else "ENXIO")
    writes("parameters of none", f"{a}/vgpu_params", "disable_vnc=1", errno.ENXIO)
    writes("deleting none", f"{a}/current_vgpu_type", "0", errno.EPERM)
    writes("a type that there is not", f"{a}/current_vgpu_type", "7", errno.EINVAL)
    writes("creating", f"{a}/current_vgpu_type", "1148", 0)
    writes("creating twice", f"{a}/current_vgpu_type", "1148", errno.EPERM)
    equal("nothing more here", read(f"{a}/creatable_vgpu_types"), header)
    b = f"{PCI}/{vfs[1]}/nvidia"
    equal("elsewhere only the same size", read(f"{b}/creatable_vgpu_types").split("\n"),
          [header, "1148  : NVIDIA L40S-2Q", "1167  : NVIDIA L40S-2B"])
    writes("another size", f"{b}/current_vgpu_type", "1147", errno.EIO)
    writes("another series of that size", f"{b}/current_vgpu_type", "1167", 0)
    equal("and none when the GPU is full", read(f"{PCI}/{vfs[2]}/nvidia/creatable_vgpu_types"), header)
    writes("parameters", f"{a}/vgpu_params", "disable_vnc=1,frame_rate_limiter=0", 0)
    equal("read back", read(f"{a}/vgpu_params"), "disable_vnc=1,frame_rate_limiter=0")
    writes("a space clears them", f"{a}/vgpu_params", " ", 0)
    equal("all", read(f"{a}/vgpu_params"), "")
    writes("too many", f"{a}/vgpu_params", "x" * 2000, errno.E2BIG)
    fd = os.open(node, os.O_RDWR)
    writes("deleting what is open", f"{a}/current_vgpu_type", "0", errno.EPERM)
    writes("parameters of what is open", f"{a}/vgpu_params", "disable_vnc=1", errno.EPERM)
    os.close(fd)
    writes("deleting", f"{a}/current_vgpu_type", "0", 0)
    order("vfs", GPU, 0)
    check("no VFs, no nodes", not os.path.exists(f"{PCI}/{vfs[0]}") and os.listdir("/dev/vfio") == ["vfio"])


def group_usb():
    usb, drivers = "/sys/bus/usb/devices", "/sys/bus/usb/drivers"
    events = Events()
    equal("devices", sorted(d for d in os.listdir(usb) if ":" not in d), ["1-1", "1-2", "1-2.1", "1-2.2", "1-3", "usb1"])
    equal("a device behind a hub lies in the hub's directory", os.path.basename(os.path.dirname(os.path.realpath(
          f"{usb}/1-2.1"))), "1-2")
    equal("two that differ only in their serial number", [read(f"{usb}/{d}/serial") for d in ("1-2.1", "1-2.2")],
          ["HASP0001", "HASP0002"])
    node = "/dev/bus/usb/%03d/%03d" % (int(read(f"{usb}/1-3/busnum")), int(read(f"{usb}/1-3/devnum")))
    with open(node, "rb") as f:
        equal("the node reads the descriptors", f.read(12)[8:], struct.pack("<HH", 0x0781, 0x5581))

    writes("unbinding from a driver that has not got it", f"{drivers}/usbhid/unbind", "1-3:1.0", errno.ENODEV)
    writes("unbinding an interface", f"{drivers}/usb-storage/unbind", "1-3:1.0", 0)
    equal("event", events.all(), [("unbind", "usb", "1-3:1.0")])
    writes("the wrong driver", f"{drivers}/usbhid/bind", "1-3:1.0", errno.ENODEV)
    writes("a probe", "/sys/bus/usb/drivers_probe", "1-3:1.0", 0)
    equal("binds it", os.path.basename(os.readlink(f"{usb}/1-3:1.0/driver")), "usb-storage")
    writes("binding what has a driver", f"{drivers}/usb-storage/bind", "1-3:1.0", errno.EBUSY)
    events.all()

    writes("deauthorising a device", f"{usb}/1-3/authorized", "0", 0)
    equal("takes its interfaces", events.all(), [("unbind", "usb", "1-3:1.0"), ("remove", "usb", "1-3:1.0")])
    equal("and its configuration", read(f"{usb}/1-3/bConfigurationValue"), "")
    writes("which can't be set then", f"{usb}/1-3/bConfigurationValue", "1", errno.EHOSTUNREACH)
    writes("authorising", f"{usb}/1-3/authorized", "1", 0)
    equal("brings them back", events.all(), [("add", "usb", "1-3:1.0"), ("bind", "usb", "1-3:1.0")])
    writes("deauthorising an interface", f"{usb}/1-3:1.0/authorized", "0", 0)
    equal("unbinds it", events.all(), [("unbind", "usb", "1-3:1.0")])
    writes("no driver gets it", "/sys/bus/usb/drivers_probe", "1-3:1.0", 0)
    equal("really", events.all(), [])
    writes("until it is authorised", f"{usb}/1-3:1.0/authorized", "1", 0)
    writes("and probed", "/sys/bus/usb/drivers_probe", "1-3:1.0", 0)
    equal("bound", events.all(), [("bind", "usb", "1-3:1.0")])

    os.chmod(node, 0o660)
    order("unplug", "1-3")
    equal("pulling it out", events.all(), [("unbind", "usb", "1-3:1.0"), ("remove", "usb", "1-3:1.0"),
                                           ("unbind", "usb", "1-3"), ("remove", "usb", "1-3")])
    check("the node is gone", not os.path.exists(node))
    order("plug", "1-3")
    equal("putting it back", events.all(), [("add", "usb", "1-3"), ("add", "usb", "1-3:1.0"), ("bind", "usb", "1-3:1.0"),
                                            ("bind", "usb", "1-3")])
    equal("it has the next number", read(f"{usb}/1-3/devnum"), "7")
    check("in its uevent too", "DEVNAME=bus/usb/001/007" in read(f"{usb}/1-3/uevent"))
    equal("and a new node, as root's as ever", os.stat("/dev/bus/usb/001/007").st_mode & 0o777, 0o664)
    order("unplug", "1-2")
    equal("a hub takes what is behind it", [e[2] for e in events.all() if e[0] == "remove" and ":" not in e[2]],
          ["1-2.1", "1-2.2", "1-2"])
    order("plug", "1-2")
    equal("and brings it back", [e[2] for e in events.all() if e[0] == "add" and ":" not in e[2]],
          ["1-2", "1-2.1", "1-2.2"])
    check("control files are answered again", write(f"{usb}/1-2.1/authorized", "2") == errno.EINVAL)
    writes("remove in sysfs", f"{usb}/1-2.1/remove", "1", 0)
    check("removes it", not os.path.exists(f"{usb}/1-2.1"))

    xhci = "0000:00:14.0"
    writes("unbinding the controller", f"{DRIVERS}/xhci_hcd/unbind", xhci, 0)
    equal("takes the bus", (os.listdir(usb), os.listdir("/dev/bus/usb/001")), ([], []))
    writes("binding it", f"{DRIVERS}/xhci_hcd/bind", xhci, 0)
    check("brings it back", os.path.exists(f"{usb}/1-3") and os.path.exists("/dev/bus/usb/001/001"))
    if shutil.which("lsusb"):
        check("lsusb is content", "0781:5581" in subprocess.run(["lsusb"], text=True, capture_output=True).stdout)
