#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host needs of its USB devices, and who excludes whom. On the simulated host (usb-host.json) and in the VM."""
import os
import pathlib

import dbus

from passthrough import bus_error, check, equal, main, wait_until
from place import IN_VM, ctl
from usbport import BUS, CONTROLLER, SERIAL, id_of, name_of
from witness import Signals

SECOND = "0000:00:0c.0"
KEYBOARD, HUB, TABLET, BOOT = "3", "5", "5.1", "5.2"
# On the second controller of the simulated host.
DONGLE, HUB2, ONE, OTHER = "1", "2", "2.1", "2.2"


def pool(client, name, path, controller=CONTROLLER, **settings):
    group = client.create_group(name, "usb", settings)
    client.add_rule(group, [("port", "eq", f"{controller}/{path}")])
    return name


def blockers(client, device):
    return {f["code"]: f["text"] for f in client.explain(client.device(device), "Device") if f["severity"] == "blocker"}


def is_refused(client, group, words):
    """By the group, and the chain is in the job's message."""
    allocation, job = client.allocate("vm", group, activate=True)
    result, error, message = client.wait_job(job)
    equal((result, error), ("failed", "NoDeviceAvailable"), f"{group}: {message}")
    for word in words:
        check(word in message, f"{group}: no {word!r} in {message!r}")
    client.must(allocation, "Release")


def what_the_host_needs(service):
    """The only keyboard and a disk that is mounted: as USB devices, and as what hangs on a controller. Not in the VM, whose USB
    disks forget what is written."""
    client = service.start()
    name = name_of(BOOT)
    chain = f"/ ← sda1 ← {name}"
    found = blockers(client, id_of(BOOT))
    check(chain in found.get("mount", ""), f"the disk: {found}")
    found = blockers(client, id_of(KEYBOARD))
    check(f"the only keyboard ← QEMU QEMU USB Keyboard ← {name_of(KEYBOARD)}" in found.get("keyboard", ""), f"the keyboard: {found}")
    # The hub on the way, and the controller of both.
    found = blockers(client, id_of(HUB))
    check(f"{chain} ← {name_of(HUB)}" in found.get("mount", ""), f"the hub: {found}")
    found = blockers(client, CONTROLLER)
    check(f"{chain} ← {CONTROLLER}" in found.get("mount", ""), f"the controller: {found}")
    check(f"{name_of(KEYBOARD)} ← {CONTROLLER}" in found.get("keyboard", ""), f"the controller: {found}")
    for path in (BOOT, KEYBOARD):
        check(client.device_state(id_of(path)) in ("critical", "forbidden"), f"{path}: {client.device_state(id_of(path))}")

    is_refused(client, pool(client, "disk", BOOT), [chain])
    is_refused(client, pool(client, "keyboard", KEYBOARD), ["the only keyboard", name_of(KEYBOARD)])
    client.pool("controllers", CONTROLLER)
    is_refused(client, "controllers", [CONTROLLER, "the host"])

    # Beside them, on the same hub and the same controller, nothing is wrong.
    for path in (TABLET, SERIAL):
        equal(blockers(client, id_of(path)), {}, path)
        equal(client.device_state(id_of(path)), "free", path)
        allocation, job = client.allocate("vm", pool(client, f"beside-{path.replace('.', '-')}", path), activate=True)
        equal(client.wait_job(job), ("done", "", ""), f"{path}, beside what the host needs")
        client.must(allocation, "Release")


def resets_of_neighbours(service):
    """A guest that may reset its device at any time: said who hangs beside it, and where nobody does, that too."""
    client = service.start()

    def warning(group):
        findings = client.manager("Plan", "saoaa{sv}a{sv}", "activate", [], [{"group": group}], {})[2]
        texts = [(str(f["text"]), str(f["severity"]), str(f.get("culprit", ""))) for f in findings if str(f["code"]) == "guest-resets-all"]
        check(len(texts) <= 1, f"said once: {texts}")
        return texts[0] if texts else None

    neighbour = name_of(BOOT)
    text, severity, culprit = warning(pool(client, "tablets", TABLET, **{"guest-resets-all": True}))
    equal(severity, "warning", text)
    check(neighbour in text and name_of(TABLET) not in text and name_of(SERIAL) not in text, f"who hangs beside it: {text}")
    equal(culprit, neighbour, "the culprit")
    equal(warning(pool(client, "tablets-as-usual", TABLET)), None, "without the setting")
    # Ports of a root hub are independent of each other.
    text, _, _ = warning(pool(client, "serials", SERIAL, **{"guest-resets-all": True}))
    check(not any(entry.name in text for entry in BUS.iterdir()), f"nobody beside it: {text}")

    allocation, job = client.allocate("vm", "tablets", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    check("guest-reset=on,guest-resets-all=on" in client.guest_config(allocation, "qemu"), "QEMU")
    check("guestReset='on'" in client.guest_config(allocation, "libvirt"), "libvirt")
    client.must(allocation, "Release")


def controller_against_device(service):
    """By resource keys alone: the second controller, and a dongle on it, name each other and exclude each other."""
    client = service.start()
    client.pool("controllers", SECOND)
    dongles = pool(client, "dongles", ONE, SECOND)
    device = id_of(ONE, SECOND)
    equal(blockers(client, SECOND), {}, "the controller before")
    equal(blockers(client, device), {}, "the device before")

    usb, job = client.allocate("vm-usb", dongles, activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the device")
    found = blockers(client, SECOND)
    check("vm-usb" in found.get("claimed", ""), f"the controller says who has what hangs on it: {found}")
    is_refused(client, "controllers", ["vm-usb"])
    client.must(usb, "Release")
    equal(blockers(client, SECOND), {}, "the controller afterwards")

    # Reserved, so that the devices are still there to be asked.
    pci, _ = client.allocate("vm-pci", "controllers", thick=True)
    found = blockers(client, device)
    check("vm-pci" in found.get("claimed", ""), f"the device says who has its controller: {found}")
    is_refused(client, dongles, ["vm-pci"])
    # Another device on it as well, and none of another controller.
    check("vm-pci" in blockers(client, id_of(DONGLE, SECOND)).get("claimed", ""), "its neighbour")
    check("claimed" not in blockers(client, id_of(SERIAL)), "a device of another controller")

    client.must(pci, "Activate")
    wait_until(lambda: name_of(ONE, SECOND) is None, 20, "the bus to be gone with its controller")
    wait_until(lambda: device_is_gone(client, device), 20, "the service to know")
    equal(bus_error(client.device, device)[0], "UnknownDevice", "the device of a controller that a guest has")
    client.must(pci, "Release")
    wait_until(lambda: not device_is_gone(client, device) and client.device_state(device) == "free", 20, "all to be as before")
    equal(blockers(client, device), {}, "the device afterwards")


def device_is_gone(client, device):
    try:
        client.device(device)
    except dbus.DBusException:
        return True
    return False


def same_serial_number(service):
    """Two adapters whose maker gave them one serial number. When one is pulled the other, which has been there all along, is not
    taken for it: neither a free one nor another one of the same consumer."""
    client = service.start()
    group = client.create_group("adapters", "usb", {"follow-time": 2})
    client.add_rule(group, [("serial", "eq", "ALIKE7")])
    for count in (1, 2):
        allocation, job = client.allocate("vm", [{"group": "adapters", "count": count}], activate=True)
        equal(client.wait_job(job), ("done", "", ""), "activate")
        devices = client.devices_of(allocation)
        mine, other = (ONE, OTHER) if devices[0] == client.device(id_of(ONE, SECOND)) else (OTHER, ONE)
        changed = Signals("Allocation", "DeviceChanged")
        name, neighbour = name_of(mine, SECOND), name_of(other, SECOND)
        ctl("unplug", name)
        wait_until(lambda a=allocation: client.state(a) == "following", 20, "following")
        ctl("storm", "20", neighbour)
        wait_until(lambda a=allocation: client.state(a) == "lost", 20, "lost")
        equal(changed.so_far(), [], f"{count}: nothing came back")
        equal(client.devices_of(allocation), devices, "its devices")
        client.must(allocation, "Release")
        ctl("plug", name)
        for path in (ONE, OTHER):
            wait_until(lambda p=path: (BUS / f"{name_of(p, SECOND)}:1.0/driver").exists()
                       and client.device_state(id_of(p, SECOND)) == "free", 20, f"{path} to be the host's again")


def another_once_udev_knows(service):
    """A device comes back before udev has read its serial number, which then is another one: it is not followed."""
    client = service.start()
    pool(client, "adapters", ONE, SECOND, **{"follow-time": 3})
    allocation, job = client.allocate("vm", "adapters", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    lost = Signals("Allocation", "DeviceLost")
    name = name_of(ONE, SECOND)
    ctl("unplug", name)
    wait_until(lambda: client.state(allocation) == "following", 20, "following")
    record = pathlib.Path(f"/run/udev/data/+usb:{name}")
    ctl("plug", name)
    # The first event told of the old serial number, and made it a candidate; this one tells another.
    text = record.read_text()
    record.unlink()
    record.write_text(text.replace("ALIKE7", "OTHER8"))
    ctl("storm", "1", name)
    wait_until(lambda: client.state(allocation) == "lost", 20, "lost")
    equal(lost.wait()[1][1], "replaced", "why")
    equal((BUS / f"{name}:1.0/driver").exists(), True, "it is the host's")
    record.unlink()
    record.write_text(text)
    ctl("storm", "1", name)
    client.must(allocation, "Release")


def differences(client, device, before):
    """Of what is read at once; the worker reads the rest when it has time."""
    now, slow = client.get_all(client.device(device), "Device.Usb"), ("DescriptorHash", "MaxPower", "SelfPowered")
    return {key: (value, now.get(key)) for key, value in before.items() if value != now.get(key) and key not in slow}


ESSENTIAL = ("idVendor", "idProduct", "bDeviceClass", "busnum", "devnum", "authorized")


def attributes_vanish(service):
    """One after the other can't be read, as of a device that is going: it can't be had, for that reason, and is no other device."""
    client = service.start()
    pool(client, "adapters", ONE, SECOND)
    name, device = name_of(ONE, SECOND), id_of(ONE, SECOND)
    before = client.get_all(client.device(device), "Device.Usb")
    for entry in sorted((BUS / name).iterdir()):
        if not entry.is_file() or entry.name in ("uevent", "dev", "remove", "bConfigurationValue"):
            continue
        content = entry.read_bytes()
        if os.path.ismount(entry):
            continue
        entry.unlink()
        ctl("storm", "1", name)
        found = blockers(client, device)
        equal("attributes-missing" in found, entry.name in ESSENTIAL, f"without {entry.name}: {found}")
        allocation, job = client.allocate("vm", "adapters", activate=True)
        result, error, message = client.wait_job(job)
        if entry.name in ESSENTIAL:
            equal((result, error), ("failed", "NoDeviceAvailable"), f"without {entry.name}: {message}")
        else:
            equal(result, "done", f"without {entry.name}: {message}")
        client.must(allocation, "Release")
        entry.write_bytes(content)
        ctl("storm", "1", name)
        wait_until(lambda: not differences(client, device, before), 10, f"{entry.name} to be back: {differences(client, device, before)}")
    equal(client.device_state(device), "free", "in the end")


main([resets_of_neighbours] + ([] if IN_VM else [what_the_host_needs, controller_against_device, same_serial_number, another_once_udev_knows, attributes_vanish]))
