#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""USB devices, on the simulated host and on a real kernel: told apart, taken from the host's drivers and given back, and
followed when they are enumerated anew."""
import os
import pathlib
import subprocess
import time

import dbus

from passthrough import PATIENCE, bus_error, check, equal, main, wait_until
from place import IN_VM, ctl
from usbport import (AWAY, BUS, CONTROLLER, SERIAL, VM_SERIAL, id_of, interfaces, name_away, name_of, owner, usb_node, usb_plug,
                     usb_unplug)
from witness import Signals

# Two disks that differ in nothing but the serial number, one more behind a hub, a keyboard, a hub with a tablet.
DISK, DISK2, BEHIND, KEYBOARD, HUB, TABLET = "1", "2", "5.2", "3", "5", "5.1"
VMUSER = 1001


def fields(client, path):
    return client.get_all(client.device(id_of(path)), "Device.Usb")


def found(*paths):
    return {path: (interfaces(path), owner(path)) for path in paths}


def known_drivers(client, path):
    try:
        return sorted(str(d) for d in fields(client, path)["InterfaceDrivers"])
    except dbus.DBusException:  # its event is under way
        return None


def settled(client, path):
    """The host's drivers have what is at the port, and the service knows."""
    wait_until(lambda: interfaces(path) and None not in interfaces(path).values(), 20, f"drivers at port {path}")
    wait_until(lambda: known_drivers(client, path) == sorted(set(interfaces(path).values())), 20,
               f"the service to know port {path}")


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


def allocated(client, path=SERIAL, consumer="vm", **settings):
    settled(client, path)
    name = f"g{path.replace('.', '-')}"
    pool(client, name, path, **settings)
    allocation, job = client.allocate(consumer, name, activate=True, node_uid=VMUSER)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    return allocation


def ready(client, allocation, path):
    """The allocation has what is at that port, and nobody else does."""
    wait_until(lambda: client.state(allocation) == "active", 30, "active again")
    equal(set(interfaces(path).values()), {None}, f"drivers of {path}")
    equal(owner(path), (VMUSER, 0, 0o600), f"node of {path}")


def follows_replug(service):
    """Pulled and plugged again within the time: the consumer keeps it, and learns of its new numbers."""
    client = service.start()
    allocation = allocated(client)
    changed = Signals("Allocation", "DeviceChanged")
    lost = Signals("Allocation", "DeviceLost")
    before = usb_node(SERIAL)
    for _ in range(2):
        usb_unplug(SERIAL)
        wait_until(lambda: client.state(allocation) == "following", 20, "following")
        check("device-away" in {f["code"] for f in client.explain(allocation, "Allocation")}, "said so")
        error, message = bus_error(client.guest_config, allocation, "qemu")
        equal(error, "WrongState", message)
        usb_plug(SERIAL)
        ready(client, allocation, SERIAL)
    check(usb_node(SERIAL) != before, "it has another address")
    wait_until(lambda: len(changed.so_far()) == 2, 10, "the signals")
    path, (device, values) = changed.so_far()[-1]
    equal((path, device), (allocation, client.device(id_of(SERIAL))), "of whom")
    equal(int(values["device"]), int((BUS / name_of(SERIAL) / "devnum").read_text()), "its address")
    equal(lost.so_far(), [], "nothing was lost")
    check(usb_node(SERIAL) in client.guest_config(allocation, "json"), "the node of now")
    client.must(allocation, "Release")
    settled(client, SERIAL)
    equal(owner(SERIAL), (0, 0, 0o664), "its owner")


def lost_after_the_time(service):
    client = service.start()
    allocation = allocated(client, **{"follow-time": 1})
    lost = Signals("Allocation", "DeviceLost")
    usb_unplug(SERIAL)
    wait_until(lambda: client.state(allocation) == "lost", 20, "lost")
    equal(lost.wait()[1][1], "unplugged", "why")
    usb_plug(SERIAL)
    settled(client, SERIAL)
    equal(client.state(allocation), "lost", "too late")
    client.must(allocation, "Deactivate")
    client.must(allocation, "Activate")
    client.must(allocation, "Release")


def not_followed(service):
    client = service.start()
    allocation = allocated(client, **{"follow-time": 0})
    usb_unplug(SERIAL)
    wait_until(lambda: client.state(allocation) == "lost", 20, "lost at once")
    usb_plug(SERIAL)
    settled(client, SERIAL)
    client.must(allocation, "Release")


def given_up_while_away(service):
    client = service.start()
    allocation = allocated(client)
    usb_unplug(SERIAL)
    wait_until(lambda: client.state(allocation) == "following", 20, "following")
    client.must(allocation, "Deactivate")
    equal(client.state(allocation), "claimed", "given up")
    usb_plug(SERIAL)
    settled(client, SERIAL)
    equal(client.device_state(id_of(SERIAL)), "free", "the host's again")
    client.must(allocation, "Release")


def followed_over_a_restart(service):
    """The service is killed while the device is away, and while it is made ready; and it comes back while nobody looks."""
    client = service.start()
    allocation = allocated(client, **{"follow-time": 60})
    usb_unplug(SERIAL)
    wait_until(lambda: client.state(allocation) == "following", 20, "following")
    service.kill()
    client = service.start()
    equal(client.state(allocation), "following", "after a restart")
    usb_plug(SERIAL)
    ready(client, allocation, SERIAL)

    for pause in (0.0, 0.1, 0.3, 0.35, 0.4, 0.5):
        usb_unplug(SERIAL)
        wait_until(lambda: client.state(allocation) == "following", 20, "following")
        usb_plug(SERIAL)
        time.sleep(pause)
        service.kill()
        client = service.start()
        ready(client, allocation, SERIAL)

    service.kill()
    usb_unplug(SERIAL)
    usb_plug(SERIAL)
    wait_until(lambda: interfaces(SERIAL), 20, "the device")
    client = service.start()
    ready(client, allocation, SERIAL)
    client.must(allocation, "Release")
    settled(client, SERIAL)
    equal(owner(SERIAL), (0, 0, 0o664), "its owner")


def other_firmware(service):
    """Back with other ids at its port: followed, unless the group does not want that."""
    client = service.start()
    allocation = allocated(client)
    usb_unplug(SERIAL)
    wait_until(lambda: client.state(allocation) == "following", 20, "following")
    ctl("usb-ids", name_away(SERIAL), "0547", "2131")
    usb_plug(SERIAL)
    ready(client, allocation, SERIAL)
    equal(str(fields(client, SERIAL)["VendorModel"]), "0547:2131", "its ids")
    client.must(allocation, "Release")
    settled(client, SERIAL)

    pool(client, "strict", SERIAL, **{"follow-other-ids": False, "follow-time": 1})
    allocation, job = client.allocate("vm", "strict", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    usb_unplug(SERIAL)
    wait_until(lambda: client.state(allocation) == "following", 20, "following")
    ctl("usb-ids", name_away(SERIAL), "0403", "6001")
    usb_plug(SERIAL)
    lost = Signals("Allocation", "DeviceLost")
    wait_until(lambda: client.state(allocation) == "lost", 20, "lost")
    equal(lost.wait()[1][1], "replaced", "why")
    client.must(allocation, "Release")


def conflicts_with_its_controller(service):
    """A controller handed out as a PCI device, and what hangs on it, exclude each other and name each other."""
    client = service.start()
    allocation = allocated(client, consumer="vm-usb")
    client.pool("controllers", CONTROLLER)
    other, job = client.allocate("vm-pci", "controllers", activate=True)
    result, error, message = client.wait_job(job)
    equal((result, error), ("failed", "NoDeviceAvailable"), "the controller")
    # In the VM the host's only keyboard hangs on it too, which comes first.
    check("vm-usb" in message or "the host needs it" in message, f"who has it: {message}")
    told = client.explain(client.device(CONTROLLER), "Device")
    check(any("vm-usb" in finding["text"] for finding in told), f"who has it: {told}")
    client.must(other, "Release")
    client.must(allocation, "Release")
    settled(client, SERIAL)


def unplugged_during_activate(service):
    client = service.start()
    settled(client, SERIAL)
    pool(client, "g4", SERIAL)
    allocation, _ = client.allocate("vm", "g4")
    for pause in (0.0, 0.05, 0.2):
        if not IN_VM:
            ctl("delay", "usb-unbind", "100000", f"{name_of(SERIAL)}:1.0")
        job = client.start(allocation, "Activate")
        time.sleep(pause)
        usb_unplug(SERIAL)
        result = client.wait_job(job)[0]
        wait_until(lambda: client.state(allocation) in ("claimed", "following"), 20, "an end of it")
        if not IN_VM:
            ctl("delay", "usb-unbind", "0", "*")
        if client.state(allocation) == "following":
            equal(result, "done", "activated before the plug was pulled")
            client.must(allocation, "Deactivate")
        usb_plug(SERIAL)
        settled(client, SERIAL)
        wait_until(lambda: client.device_state(id_of(SERIAL)) == "free", 20, "the host's again")
        equal(owner(SERIAL), (0, 0, 0o664), "its owner")
    client.must(allocation, "Activate")
    client.must(allocation, "Release")


def reset(service):
    """Not under the host's driver; without one the device is reset and keeps its address."""
    client = service.start()
    settled(client, SERIAL)
    before, name = usb_node(SERIAL), name_of(SERIAL)
    error, message = bus_error(client.call, client.device(id_of(SERIAL)), "Device", "Reset", "a{sv}", {})
    equal(error, "DeviceBusy", message)
    check("ftdi_sio" in message, f"which driver: {message}")
    pathlib.Path("/sys/bus/usb/drivers/ftdi_sio/unbind").write_text(f"{name}:1.0")
    wait_until(lambda: not fields(client, SERIAL)["InterfaceDrivers"], 20, "the service to know")
    job = str(client.call(client.device(id_of(SERIAL)), "Device", "Reset", "a{sv}", {}))
    equal(client.wait_job(job)[:2], ("done", ""), "reset")
    pathlib.Path("/sys/bus/usb/drivers_probe").write_text(f"{name}:1.0")
    settled(client, SERIAL)
    equal(usb_node(SERIAL), before, "its address")


def another_in_its_place(service):
    """A device that differs in its serial number alone is not taken for the one that was pulled."""
    client = service.start()
    allocation = allocated(client, **{"follow-time": 3})
    lost = Signals("Allocation", "DeviceLost")
    usb_unplug(SERIAL)
    subprocess.run(["vm-hmp", "device_add", (VM_SERIAL % SERIAL).replace("PTSER1", "PTSER2")], check=True)
    wait_until(lambda: client.state(allocation) == "lost", 20, "lost")
    equal(lost.wait()[1][1], "replaced", "why")
    settled(client, SERIAL)
    equal(owner(SERIAL), (0, 0, 0o664), "whose it is")
    usb_unplug(SERIAL)
    usb_plug(SERIAL)
    settled(client, SERIAL)
    client.must(allocation, "Release")


def replugged_elsewhere(service):
    """At another port it is followed where the rule goes by its serial number, and not where it goes by the port."""
    client = service.start()
    settled(client, SERIAL)
    client.create_group("by-serial", "usb")
    client.manager("MakeResource", "aosa{sv}", [client.device(id_of(SERIAL))], "by-serial", {})
    allocation, job = client.allocate("vm", "by-serial", activate=True, node_uid=VMUSER)
    equal(client.wait_job(job)[0], "done", "activate")
    changed = Signals("Allocation", "DeviceChanged")
    usb_unplug(SERIAL)
    usb_plug(SERIAL, port="6")
    ready(client, allocation, "6")
    equal(client.devices_of(allocation), [client.device(id_of("6"))], "its device")
    equal(str(changed.wait()[1][1]["former"]), client.device(id_of("6")).replace("_6", "_4"), "what it was")
    check("hostport=6" in client.guest_config(allocation, "qemu"), "where the guest finds it")
    client.must(allocation, "Release")
    AWAY["6"] = name_of("6")
    usb_unplug("6")
    usb_plug(SERIAL)
    settled(client, SERIAL)

    allocation = allocated(client, **{"follow-time": 4})
    usb_unplug(SERIAL)
    usb_plug(SERIAL, port="6")
    wait_until(lambda: client.state(allocation) == "lost", 30, "lost")
    settled(client, "6")
    client.must(allocation, "Release")
    usb_unplug("6")
    usb_plug(SERIAL)
    settled(client, SERIAL)


QEMU = """
for dir in dev sys proc; do mount --rbind /$dir /hostroot/$dir; done
mount -t tmpfs tmpfs /hostroot/tmp
exec timeout 240 chroot --userspec=1001:1001 --groups= /hostroot qemu-system-x86_64 -nodefaults -no-user-config \\
    -display none -machine q35,sata=off,smbus=off,i8042=off,vmport=off -accel tcg -m 64 -no-reboot \\
    -debugcon stdio -global isa-debugcon.iobase=0x402 -device qemu-xhci,id=xhci "$@"
"""


def vm_inside(service):
    """QEMU as an ordinary user with exactly the arguments of GuestConfig: its firmware sees the disk and reads it."""
    if not os.path.exists("/hostroot/usr/bin/qemu-system-x86_64"):
        return
    client = service.start()
    settled(client, DISK)
    before = found(DISK)
    pool(client, "disks", DISK)
    allocation, job = client.allocate("vm", "disks", activate=True, node_uid=VMUSER)
    equal(client.wait_job(job)[0], "done", "activate")
    arguments = client.guest_config(allocation, "qemu").split()
    guest = subprocess.Popen(["unshare", "--mount", "/bin/sh", "-c", QEMU, "sh", *arguments], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    output = []
    try:
        for line in guest.stdout:
            output.append(line.rstrip())
            if "Booting from Hard Disk" in line or "not a bootable disk" in line:
                break
        text = "\n".join(output)
        check("USB MSC vendor='QEMU'" in text, f"the disk: {text}")
        check("Booting from Hard Disk" in text or "bootable" in text, f"its first sector: {text}")
        # While it is open it is not taken away.
        job = client.start(allocation, "Deactivate")
        wait_until(lambda: client.state(allocation) == "draining", 30, "draining")
        check("qemu" in str(client.get(job, "Job", "Step")), "who has it open")
    finally:
        guest.terminate()
        guest.wait(PATIENCE)
    equal(client.wait_job(job)[0], "done", "the give-back when it had ended")
    settled(client, DISK)
    equal(found(DISK), before, "the disk")
    client.must(allocation, "Release")


COMMON = [discovery, identities, round_trip, follows_replug, lost_after_the_time, not_followed, given_up_while_away,
          followed_over_a_restart, unplugged_during_activate, conflicts_with_its_controller]
main(COMMON + ([reset, another_in_its_place, replugged_elsewhere, vm_inside] if IN_VM else [other_firmware]))
