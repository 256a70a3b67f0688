#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB devices, on the simulated host and on a real kernel: told apart, taken from the host's drivers and given back, and
followed when they are enumerated anew."""
import os
import pathlib

from passthrough import bus_error, check, equal, main, wait_until

BUS = pathlib.Path("/sys/bus/usb/devices")
CONTROLLER = "0000:00:0b.0"
# Two disks that differ in nothing but the serial number, one more behind a hub, a keyboard, a serial adapter.
DISK, DISK2, BEHIND, KEYBOARD, SERIAL, HUB, TABLET = "1", "2", "5.2", "3", "4", "5", "5.1"
VMUSER = 1001


def name_of(path):
    """The kernel's name of what is at that port now, on whichever of the two root hubs."""
    for entry in BUS.iterdir():
        real = os.path.realpath(entry)
        if ":" not in entry.name and entry.name.partition("-")[2] == path and CONTROLLER in real:
            return entry.name
    return None


def id_of(path):
    return "usb-" + (CONTROLLER + "/" + path).replace(":", "-").replace(".", "-").replace("/", "-")


def fields(client, path):
    return client.get_all(client.device(id_of(path)), "Device.Usb")


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


def found(*paths):
    return {path: (interfaces(path), owner(path)) for path in paths}


def settled(client, path):
    """The host's drivers have what is at the port, and the service knows."""
    wait_until(lambda: interfaces(path) and None not in interfaces(path).values(), 20, f"drivers at port {path}")
    wait_until(lambda: sorted(str(d) for d in fields(client, path)["InterfaceDrivers"]) == sorted(set(interfaces(path).values())),
               20, f"the service to know port {path}")


def pool(client, name, *paths, **settings):
    """A group with one rule a port."""
    group = client.create_group(name, "usb", settings)
    for path in paths:
        client.add_rule(group, [("port", "eq", f"{CONTROLLER}/{path}")], path)
    return group


def codes(client, path):
    return {finding["code"]: finding for finding in client.explain(client.device(id_of(path)), "Device")}


def discovery(service):
    client = service.start()
    for path in (DISK, DISK2, BEHIND, SERIAL):
        settled(client, path)
    disk = fields(client, DISK)
    equal((str(disk["VendorModel"]), str(disk["Serial"]), str(disk["Path"]), str(disk["Controller"])),
          ("46f4:0001", "PTUSB0001", DISK, CONTROLLER), "the first disk")
    equal(str(disk["Port"]), f"{CONTROLLER}/{DISK}", "its port")
    equal([str(c) for c in disk["InterfaceClasses"]], ["Mass Storage"], "its interface")
    equal([str(c) for c in disk["InterfaceDrivers"]], ["usb-storage"], "its driver")
    check(int(disk["Speed"]) >= 5000, f"it is a USB 3 device: {disk['Speed']}")
    equal(int(disk["Device"]), int((BUS / name_of(DISK) / "devnum").read_text()), "its address")
    equal(str(fields(client, SERIAL)["InterfaceDrivers"][0]), "ftdi_sio", "the serial adapter")
    equal(client.device_state(id_of(DISK)), "free", "the disk")
    # Seen and never offered.
    equal(client.device_state(id_of(HUB)), "forbidden", "the hub")
    equal(client.device_state(id_of("0")), "forbidden", "the root hub")
    check("hub" in codes(client, HUB), f"why: {codes(client, HUB)}")


def identities(service):
    """Rules of MakeResource: the serial number where it is one, and never the numbers that change."""
    client = service.start()
    settled(client, DISK)
    client.create_group("sticks", "usb")
    rules = [client.get_all(rule, "Rule") for rule in client.manager(
        "MakeResource", "aosa{sv}", [client.device(id_of(p)) for p in (DISK, DISK2)], "sticks", {})]
    for rule, serial in ((client.get_all(str(r), "Rule"), s) for r, s in zip(
            client.get(client.group("sticks"), "Group", "Rules"), ("PTUSB0001", "PTUSB0002"))):
        check(any(str(c[0]) == "serial" and str(c[2]) == serial for c in rule["Where"]), f"{serial}: {rule['Where']}")
    group = client.create_group("by-address", "usb")
    error, message = bus_error(client.manager, "MakeResource", "aosa{sv}", [client.device(id_of(HUB))], "by-address", {})
    equal(error, "DeviceBlocked", message)
    # They can be seen and matched; whoever wants such a rule has to write it.
    client.add_rule(group, [("bus", "eq", str(int(fields(client, DISK)["Bus"]))),
                            ("device", "eq", str(int(fields(client, DISK)["Device"])))])
    equal([str(d) for d in client.get(group, "Group", "Devices")], [client.device(id_of(DISK))], "by address")


def round_trip(service):
    """Activate and give back; everything is as found afterwards."""
    client = service.start()
    for path in (DISK, BEHIND, SERIAL):
        settled(client, path)
        before = found(path)
        pool(client, f"g{path.replace('.', '-')}", path)
        allocation, job = client.allocate("vm", f"g{path.replace('.', '-')}", activate=True, node_uid=VMUSER)
        equal(client.wait_job(job), ("done", "", ""), "activate")
        equal(set(interfaces(path).values()), {None}, f"drivers of {path}")
        equal(owner(path), (VMUSER, 0, 0o600), f"node of {path}")
        equal(client.device_state(id_of(path)), "active", path)
        name = name_of(path)
        qemu = client.guest_config(allocation, "qemu")
        equal(qemu.strip(), f"-device usb-host,id=hostdev0,hostbus={name[0]},hostport={name[2:]},guest-reset=on,"
              "guest-resets-all=off", "QEMU")
        libvirt = client.guest_config(allocation, "libvirt")
        check("type='usb'" in libvirt and "guestReset='uninitialized'" in libvirt and "<product id='0x" in libvirt, libvirt)
        check(usb_node(path) in client.guest_config(allocation, "env"), "the node is in the environment")
        client.must(allocation, "Deactivate")
        equal(found(path), before, "after the give-back")
        client.must(allocation, "Release")


main([discovery, identities, round_trip])
