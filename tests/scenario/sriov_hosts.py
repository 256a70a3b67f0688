#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Physical functions that are not at rest: the host's addresses are on one, its interface is elsewhere or gets another name, it has
no driver, more is wanted than it makes."""
import contextlib
import os
import pathlib
import shutil
import subprocess

from passthrough import SYS, bus_error, check, driver, equal, main, wait_until
import vfs
from vfs import NIC, SIMULATED, address, clean, group_of, records, variants

CONTROL = pathlib.Path("/run/passthroughd-simhost/control")
# The simulated host whose card has addresses is another one (guard-host.json).
MANAGEMENT = "0000:04:00.0"
HAS_ADDRESSES = SIMULATED and (SYS / MANAGEMENT / "net/mgmt0").exists()


def findings(client, slot_or_id):
    return {f["code"]: f for f in client.explain(client.device(slot_or_id), "Device")}


def sriov_id(slot):
    return "sriov-" + slot.replace(":", "-").replace(".", "-")


def vf_driver(slot, number):
    return driver(address(number, slot))


def refused(client, group):
    """What an activation of the group is told."""
    allocation, job = client.allocate("vm", group, activate=True)
    result = client.wait_job(job)
    equal(result[0], "failed", f"{group}: {result}")
    client.must(allocation, "Release")
    return result[2]


def on_card_of_host(client, slot, vf):
    """The card stays, a function of it is handed out beside the host's addresses, and the card is not given away whole."""
    client.pool("cards", slot)
    check("address" in findings(client, slot), f"{findings(client, slot)}")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "a function of it")
    equal((driver(vf), driver(slot)), ("vfio-pci", "igb"), "drivers")
    equal(client.guest_config(allocation, "libvirt-interface").count("<tag id='10'/>"), 1, "its VLAN")
    message = refused(client, "cards")
    check("would vanish" in message and slot.replace(":", "-").replace(".", "-") in message, message)
    equal(driver(slot), "igb", "it stays")
    client.must(allocation, "Release")


def host_address(service):
    client = service.start()
    if HAS_ADDRESSES:  # with functions, one of which the host has
        group = client.create_group("nics", "sriov", variants({"vlan": 10}))
        client.add_rule(group, [("physical-slot", "eq", MANAGEMENT), ("vf-index", "eq", "0")])
        on_card_of_host(client, MANAGEMENT, address(0, MANAGEMENT))
        return
    name = vfs.interface()
    try:
        subprocess.run(["ip", "address", "add", "10.9.6.5/24", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        group_of(client, {"vlan": 10})
        on_card_of_host(client, NIC, address(0))
        shown = subprocess.run(["ip", "address", "show", "dev", vfs.interface()], check=True, capture_output=True, text=True).stdout
        check("10.9.6.5/24" in shown, f"the address stays: {shown}")
    finally:
        subprocess.run(["ip", "address", "flush", "dev", name], check=False)
        subprocess.run(["ip", "link", "set", name, "down"], check=False)


@contextlib.contextmanager
def interface_away():
    """In another network namespace: the folder that the service sees is empty."""
    name, folder = vfs.interface(), SYS / NIC / "net"
    if SIMULATED:
        aside = pathlib.Path("/run/passthroughd-simhost") / f"aside-{name}"
        shutil.move(folder / name, aside)
        try:
            yield
        finally:
            shutil.move(aside, folder / name)
        return
    holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 60, "the namespace")
        subprocess.run(["ip", "link", "set", name, "netns", str(holder.pid)], check=True)
        yield
    finally:
        holder.kill()
        holder.wait()
        wait_until(lambda: folder.is_dir() and os.listdir(folder), 60, "its return")


def interface_elsewhere(service):
    """Nobody can set anything then: that stops who asked for something, and is a warning for who takes a function as it is."""
    client = service.start()
    group_of(client, {}, name="plain")
    group_of(client, {"vlan": 70}, name="tagged")
    with interface_away():
        message = refused(client, "tagged")
        check("another network namespace" in message, message)
        found = findings(client, sriov_id(NIC))
        check("another network namespace" in found["no-interface"]["text"], f"{found}")
        allocation, job = client.allocate("vm", "plain", activate=True)
        equal(client.wait_job(job), ("done", "", ""), "as it is")
        equal(vf_driver(NIC, 0), "vfio-pci", "handed out")
        client.must(allocation, "Release")
        equal(vf_driver(NIC, 0), None, "given back")
    found = records()
    allocation, job = client.allocate("vm", "tagged", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "when it is back")
    equal(records()[0]["vlan"], "70", "set")
    client.must(allocation, "Release")
    equal(records(), found, "as found")


def interface_leaves(service):
    """While a guest has a function, the interface of its card goes elsewhere: the settings can't be taken back, so nobody else gets the
    function until they are, those that nobody had asked for too."""
    client = service.start()
    group_of(client, {}, name="plain", vfs=1)
    group_of(client, {"vlan": 71}, name="tagged", vfs=1)
    found = records()
    for group in ("tagged", "plain"):
        allocation, job = client.allocate("vm", group, activate=True)
        equal(client.wait_job(job), ("done", "", ""), group)
        check(records() != found, f"{group}: something was set")
        with interface_away():
            result = client.run(allocation, "Deactivate")
            check(result[0] == "failed" and "another network namespace" in result[2] and NIC in result[2], f"{group}: {result}")
            equal(client.state(allocation), "failed", group)
            check(address(0) in refused(client, group) or "0 of the 1" in refused(client, group), group)
        client.must(allocation, "Deactivate")
        equal(records(), found, f"{group}: as found")
        client.must(allocation, "Release")


def interface_comes_back(service):
    """A function is handed out as it is while its card's interface is elsewhere: what was set there is no business of the give-back."""
    client = service.start()
    group_of(client, {}, name="plain", vfs=1)
    for order in ("mac=52:54:00:de:ad:01", "vlan=77 qos=1 vlan-protocol=802.1Q", "spoof-check=off", "trust=on"):
        (pathlib.Path(SIMULATED) / NIC / "vf-records").write_text(f"0 {order}\n")
    found = records()
    equal((found[0]["vlan"], found[0]["trust"]), ("77", "on"), "set by somebody")
    with interface_away():
        allocation, job = client.allocate("vm", "plain", activate=True)
        equal(client.wait_job(job), ("done", "", ""), "as it is")
    equal(records(), found, "nothing was set")
    client.must(allocation, "Deactivate")
    equal(records(), found, "nothing was taken back")
    client.must(allocation, "Activate")
    check(records() != found, "now it can be set")
    client.must(allocation, "Release")
    equal(records(), found, "as found")


def above_total(service):
    """More functions than the card makes: refused when it is said, with both numbers."""
    client = service.start()
    group = client.create_group("many", "sriov", variants({"vfs": 9}))
    error, message = bus_error(client.add_rule, group, [("provider.slot", "eq", NIC)])
    equal(error, "LayoutConflict", message)
    check("many" in message and "9 virtual functions" in message and "7 at most" in message and NIC in message, message)
    for count in (0, 65536):
        error, message = bus_error(client.create_group, "none", "sriov", variants({"vfs": count}))
        equal(error, "InvalidValue", message)
        check("65535" in message, message)
    equal((SYS / NIC / "sriov_numvfs").read_text().strip(), "0", "nothing was made")


def no_driver(service):
    """Only the driver of a physical function makes others."""
    client = service.start()
    group = client.create_group("nics", "sriov", variants({"vfs": 2}))
    client.add_rule(group, [("provider.slot", "eq", NIC)])
    name = driver(NIC)
    (SYS / NIC / "driver/unbind").write_text(NIC)
    try:
        wait_until(lambda: "no-driver" in findings(client, sriov_id(NIC)), 60, "the finding")
        error, message = bus_error(client.call, group, "Group", "Provision", "a{sv}", {})
        check(error == "DeviceBlocked" and "no driver" in message and NIC in message, f"{error}: {message}")
        equal((SYS / NIC / "sriov_numvfs").read_text().strip(), "0", "nothing was made")
    finally:
        (SYS.parent / f"drivers/{name}/bind").write_text(NIC)
    wait_until(lambda: driver(NIC) == name and os.path.isdir(SYS / NIC / "net") and os.listdir(SYS / NIC / "net"), 60, "the driver")
    wait_until(lambda: "no-driver" not in findings(client, sriov_id(NIC)), 60, "the finding's end")
    equal(client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))[0], "done", "with its driver")
    equal((SYS / NIC / "sriov_numvfs").read_text().strip(), "2", "made")


def renamed_meanwhile(service):
    """The interface gets another name while the service waits for the driver."""
    client = service.start()
    group_of(client, {"vlan": 61, "trust": "on"})
    found, name, folder = records(), vfs.interface(), SYS / NIC / "net"
    allocation, _ = client.allocate("vm", "nics")
    (CONTROL / "hang").write_text(f"vf-vlan {NIC}\n")
    job = client.start(allocation, "Activate")
    wait_until(lambda: "vf-vlan" in (CONTROL / "waiting").read_text(), 60, "the driver")
    os.rename(folder / name, folder / "renamed0")
    try:
        (CONTROL / "release").write_text("vf-vlan\n")
        equal(client.wait_job(job), ("done", "", ""), "activate")
        equal((records()[0]["vlan"], records()[0]["trust"]), ("61", "on"), "set")
        client.must(allocation, "Release")
        equal(records(), found, "as found")
    finally:
        os.rename(folder / "renamed0", folder / name)


on_igb = [interface_elsewhere, interface_leaves, above_total, no_driver]
main([host_address] if HAS_ADDRESSES else
     [clean(test) for test in on_igb + ([renamed_meanwhile, interface_comes_back] if SIMULATED else [host_address])])
