# SPDX-License-Identifier: LGPL-2.1-or-later
"""The emulated hardware of the test VM, as QEMU arguments.

A device set is a list of arguments. Where a device sits decides its IOMMU group: alone behind a root port it
is alone in its group; functions of one device, and all behind a conventional bridge, share one. The ports'
slots give the order of the bus numbers: with all sets they come out as the README says."""


def device(kind, **properties):
    return ["-device", ",".join([kind] + [f"{name}={value}" for name, value in properties.items()])]


def root_port(name, number, slot):
    return device("pcie-root-port", id=name, bus="pcie.0", chassis=number, slot=number, addr=hex(slot))


def hub(name, number):
    """A network back end: a hub that leads nowhere else."""
    return ["-netdev", f"hubport,id={name},hubid={number}"]


def blank_disk(name, size):
    return ["-blockdev", f"null-co,node-name={name},size={size},read-zeroes=on"]


def nic(kind, name, netdev, mac, **properties):
    return device(kind, id=name, netdev=netdev, mac=f"52:54:00:00:{mac}", **properties)


def usb_disk(name, port, serial):
    return (blank_disk(f"{name}-data", 16 << 20) +
            device("usb-storage", id=name, bus="xhci.0", port=port, drive=f"{name}-data", serial=serial))


# Two network cards and an NVMe disk, each alone.
PCI = (
    root_port("rp1", 1, 0x10) + hub("n1", 1) + nic("e1000e", "nic0", "n1", "01:01", bus="rp1") +
    root_port("rp2", 2, 0x11) + hub("n2", 1) + nic("e1000e", "nic1", "n2", "01:02", bus="rp2") +
    root_port("rp3", 3, 0x12) + blank_disk("nvme0-data", 64 << 20) +
    device("nvme", id="nvme0", bus="rp3", serial="PTNVME0", drive="nvme0-data"))

# A display controller and its audio function.
GPU = (
    root_port("rp4", 4, 0x13) +
    device("secondary-vga", id="gpu0", bus="rp4", addr="0.0", multifunction="on") +
    device("intel-hda", id="gpu0a", bus="rp4", addr="0.1"))

# A network card with two functions.
MF = (
    root_port("rp5", 5, 0x14) + hub("n5", 2) + hub("n6", 2) +
    nic("e1000e", "mf0", "n5", "05:00", bus="rp5", addr="0.0", multifunction="on") +
    nic("e1000e", "mf1", "n6", "05:01", bus="rp5", addr="0.1"))

# Two conventional network cards behind a PCIe-to-PCI bridge: one group, with the bridge.
BRIDGE = (
    root_port("rp6", 6, 0x15) + device("pcie-pci-bridge", id="pb0", bus="rp6") +
    hub("n7", 3) + hub("n8", 3) +
    nic("e1000", "br0", "n7", "06:01", bus="pb0", addr=1) +
    nic("e1000", "br1", "n8", "06:02", bus="pb0", addr=2))

# Intel 82576: an SR-IOV network card with 7 virtual functions.
SRIOV = root_port("rp7", 7, 0x16) + hub("n9", 4) + nic("igb", "igb0", "n9", "07:01", bus="rp7")

# An NVMe controller with 4 virtual functions.
NVMESRIOV = (
    root_port("rp8", 8, 0x17) + device("nvme-subsys", id="subsys0") +
    device("nvme", id="nvme1", bus="rp8", serial="PTNVME1", subsys="subsys0", sriov_max_vfs=4,
           sriov_vq_flexible=8, sriov_vi_flexible=4, max_ioqpairs=10, msix_qsize=6))

# QEMU's educational device, for which the kernel has no driver: "modprobe ptvgpu" makes it a vGPU parent.
MDEVPCI = device("edu", id="edu0", addr="0xa") + device("edu", id="edu1", addr="0xc")

# Disks that differ in nothing but the serial number, a keyboard, a serial adapter, a hub with two devices.
USB = (
    device("qemu-xhci", id="xhci", addr="0xb", p2=8, p3=8) +
    usb_disk("ust0", "1", "PTUSB0001") + usb_disk("ust1", "2", "PTUSB0002") +
    device("usb-kbd", id="ukbd", bus="xhci.0", port="3", serial="PTKBD1") +
    ["-chardev", "null,id=user0-data"] +
    device("usb-serial", id="user0", bus="xhci.0", port="4", chardev="user0-data", serial="PTSER1",
           **{"always-plugged": "on"}) +
    device("usb-hub", id="uhub", bus="xhci.0", port="5") +
    device("usb-tablet", id="utab", bus="xhci.0", port="5.1", serial="PTTAB1") +
    usb_disk("ust2", "5.2", "PTUSB0003"))

# What a server has for itself: a watchdog, and a management controller that IPMI reaches.
PLATFORM = (
    device("i6300esb", id="watchdog0", addr="0xd") +
    device("ipmi-bmc-sim", id="bmc0") + device("pci-ipmi-kcs", id="ipmi0", bmc="bmc0", addr="0xe"))

# Empty slots hp0 to hp3.
HOTPLUG = sum((root_port(f"hp{i}", 20 + i, 0x18 + i) for i in range(4)), [])

SETS = {
    "pci": PCI,
    "mf": MF,
    "gpu": GPU,
    "bridge": BRIDGE,
    "sriov": SRIOV,
    "nvmesriov": NVMESRIOV,
    "usb": USB,
    "mdevpci": MDEVPCI,
    "platform": PLATFORM,
    "hotplug": HOTPLUG,
}

# Arguments, and what the kernel must be told. caching-mode and device-iotlb are what VFIO inside needs.
IOMMUS = {
    "intel": (device("intel-iommu", **{"intremap": "on", "caching-mode": "on", "device-iotlb": "on"}),
              "intel_iommu=on iommu=pt"),
    "amd": (device("amd-iommu"), "amd_iommu=on iommu=pt"),
    "none": ([], ""),
}


def sets(text):
    """Names in a comma-separated list; "all" and "none" are lists too."""
    if text == "all":
        return list(SETS)
    names = [] if text == "none" else text.split(",")
    for name in names:
        if name not in SETS:
            raise ValueError(f"unknown device set {name!r} (known: {', '.join(SETS)}, all, none)")
    return names
