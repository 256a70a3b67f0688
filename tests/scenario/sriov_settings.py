#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network settings of virtual functions: set through the physical one before a consumer has the function, refused with names, and
as found when it is given back."""
import json
import os
import pathlib
import subprocess

from passthrough import SYS, bus_error, check, driver, equal, main, wait_until
from vfs import NIC, NVME, SIMULATED, address, clean, group_of, interface, link_up, records, update, variants


def vlan(service):
    """One setting there and back; the MAC address stays the consumer's whichever function it gets."""
    client = service.start()
    group_of(client, {"vlan": 10})
    found = records()
    equal(found[0]["vlan"], "0", "found")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    now = records()
    equal((now[0]["vlan"], now[0]["qos"]), ("10", "0"), "set")
    check(int(now[0]["mac"][:2], 16) & 3 == 2, f"{now[0]['mac']} is locally administered and of one interface")
    equal({n: now[n] for n in (1, 2)}, {n: found[n] for n in (1, 2)}, "the others")
    equal(driver(address(0)), "vfio-pci", "bound")
    xml = client.guest_config(allocation, "libvirt-interface")
    for part in ("<interface type='hostdev' managed='no'>", f"<mac address='{now[0]['mac']}'/>", "<tag id='10'/>",
                 "bus='0x08' slot='0x10' function='0x0'"):
        check(part in xml, f"{part} in {xml}")
    check("<hostdev" in client.guest_config(allocation, "libvirt"), "the plain form stays")
    client.must(allocation, "Deactivate")
    equal(records(), found, "as found")
    other, job = client.allocate("other", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "another has the first function")
    client.must(allocation, "Activate")
    again = records()
    equal(again[1]["mac"], now[0]["mac"], "the same address on another function")
    check(again[0]["mac"] != again[1]["mac"], "each its own")
    for path in (allocation, other):
        client.must(path, "Release")
    equal(records(), found, "as found in the end")


def all_of_it(service):
    """Everything that this driver takes, at once; the consumer's address; as found afterwards."""
    client = service.start()
    group_of(client, {"vlan": 20, "qos": 5, "spoof-check": "off", "trust": "on", "max-rate": 500})
    link_up()  # making functions resets the card
    found = records()
    allocation, job = client.allocate("vm", [{"group": "nics", "settings": variants({"mac": "52:54:00:AA:BB:0C"})}], activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    now = records()[0]
    equal({key: now[key] for key in ("mac", "vlan", "qos", "spoof-check", "trust", "max-rate")},
          {"mac": "52:54:00:aa:bb:0c", "vlan": "20", "qos": "5", "spoof-check": "off", "trust": "on", "max-rate": "500"}, "set")
    xml = client.guest_config(allocation, "libvirt-interface")
    check("<hostdev" in xml and "<interface" not in xml, f"libvirt would take the priority off again: {xml}")
    equal(json.loads(client.guest_config(allocation, "json"))["attachments"][0]["mac"], "52:54:00:aa:bb:0c", "JSON")
    notes = {str(f["code"]) for f in client.explain(allocation, "Allocation")}
    client.must(allocation, "Release")
    equal(records(), found, f"as found; {notes}")


def refused_when_given(service):
    """What can be known to be wrong is refused when it is said."""
    client = service.start()
    for settings, words in (({"vlan": 4095}, "4094"), ({"min-rate": 200, "max-rate": 100}, "min-rate 200 is not below max-rate 100"),
                            ({"mac": "01:00:5e:00:00:01"}, "not the address of one interface"), ({"mac": "nonsense"}, "nonsense"),
                            ({"qos": 8}, "7"), ({"link-state": "up"}, "enable"), ({"vlan-protocol": "802.1X"}, "802.1ad")):
        error, message = bus_error(client.create_group, "bad", "sriov", variants(settings))
        equal(error, "InvalidValue", f"{settings}: {message}")
        check(words in message, f"{settings}: {message}")
    group_of(client, {"min-rate": 0, "max-rate": 100})
    error, message = bus_error(client.allocate, "vm", [{"group": "nics", "settings": variants({"mac": "ff:ff:ff:ff:ff:ff"})}])
    equal(error, "InvalidValue", message)
    allocation, job = client.allocate("vm", [{"group": "nics", "settings": variants({"trust": "on"})}], activate=True)
    result = client.wait_job(job)
    check(result[0] == "failed" and "trust" in result[2], f"what the group does not leave to consumers: {result}")
    client.must(allocation, "Release")


def not_offered(service):
    """What the driver is known not to do: a blocker for who asks, nothing otherwise."""
    client = service.start()
    group = group_of(client, {"link-state": "disable"})
    found = records()
    for settings, words in (({"link_state": "disable"}, "sets no link state"), ({"vlan_protocol": "802.1ad"}, "802.1ad"),
                            ({"min_rate": 10}, "guarantees no rates")):
        update(client, group, **settings)
        allocation, job = client.allocate("vm", "nics", activate=True)
        result = client.wait_job(job)
        equal(result[0], "failed", str(result))
        check(words in result[2] and "igb" in result[2], result[2])
        client.must(allocation, "Release")
        update(client, group, link_state="default", vlan_protocol="802.1Q", min_rate=0)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "at its default it is left out")
    client.must(allocation, "Release")
    equal(records(), found, "untouched")


def same_address(service):
    """Two functions with one address would take each other's packets."""
    client = service.start()
    group_of(client, {"mac": "52:54:00:00:77:01"})
    first, job = client.allocate("one", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the first")
    found = records()
    second, job = client.allocate("two", "nics", activate=True)
    result = client.wait_job(job)
    equal(result[0], "failed", str(result))
    check("52:54:00:00:77:01" in result[2] and "virtual function 0" in result[2], result[2])
    equal(records(), found, "nothing changed")
    own = (SYS / NIC / "net" / interface() / "address").read_text().strip()
    third, job = client.allocate("three", [{"group": "nics", "settings": variants({"mac": own})}])
    client.must(first, "Release")
    update(client, client.group("nics"), mac=own)
    result = client.run(third, "Activate")
    check("itself" in result[2], str(result))


def rolled_back(service):
    """The last of many settings is refused: those before it are as they were read."""
    client = service.start()
    group = group_of(client, {"vlan": 30, "qos": 3, "spoof-check": "off", "max-rate": 300, "trust": "on"})
    link_up()
    found = records()
    if SIMULATED:
        (pathlib.Path("/run/passthroughd-simhost/control/fail")).write_text(f"vf-trust {NIC} EIO\n")
        allocation, job = client.allocate("vm", "nics", activate=True)
        result = client.wait_job(job)
        equal(result[0], "failed", str(result))
        for part in ("igb", NIC, "trust", "virtual function 0", "EIO"):
            check(part in result[2], f"{part} in {result[2]}")
        equal(records(), found, "as found")
        equal(client.state(allocation), "claimed", "nothing is left")
        client.must(allocation, "Activate")
        client.must(allocation, "Release")
    update(client, group, max_rate=2000, trust="off")
    allocation, job = client.allocate("vm", "nics", activate=True)
    result = client.wait_job(job)
    equal(result[0], "failed", str(result))
    check("above the speed of the link" in result[2] and "1000 Mbit/s" in result[2], result[2])
    equal(records(), found, "as found, once more")
    client.must(allocation, "Release")


def patience(service):
    """A driver that is not ready is asked again; one that never is, not for ever."""
    client = service.start()
    group_of(client, {"vlan": 40})
    found = records()
    fail = pathlib.Path("/run/passthroughd-simhost/control/fail")
    for errno in ("EAGAIN", "EBUSY"):
        fail.write_text(f"vf-vlan {NIC} {errno} 3\n")
        allocation, job = client.allocate("vm", "nics", activate=True)
        equal(client.wait_job(job), ("done", "", ""), errno)
        equal(records()[0]["vlan"], "40", errno)
        client.must(allocation, "Release")
        equal(records(), found, errno)
    fail.write_text(f"vf-vlan {NIC} EBUSY 0\n")
    allocation, job = client.allocate("vm", "nics", activate=True)
    result = client.wait_job(job)
    check(result[0] == "failed" and "not ready for ten seconds" in result[2], str(result))
    pathlib.Path("/run/passthroughd-simhost/control/release").write_text(f"vf-vlan {NIC}\n")


def no_network(service):
    """Functions that are no network cards have no such settings."""
    client = service.start()
    group = group_of(client, {"vlan": 10}, name="disks", vfs=2, slot=NVME)
    allocation, job = client.allocate("vm", "disks", activate=True)
    result = client.wait_job(job)
    check(result[0] == "failed" and "no Ethernet controller" in result[2] and "vlan" in result[2], str(result))
    client.must(allocation, "Release")
    client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": variants({"vfs": 2})}, {})
    plain = client.create_group("plain", "sriov", variants({"vfs": 2}))
    client.add_rule(plain, [("provider.slot", "eq", NVME)])
    allocation, job = client.allocate("vm", "plain", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "as any PCI function")
    client.must(allocation, "Release")


def crash(service):
    """Killed between any two steps: the next start restores what was read before."""
    client = service.start()
    group_of(client, {"vlan": 50, "qos": 2, "spoof-check": "off", "trust": "on"})
    found = records()
    control = pathlib.Path("/run/passthroughd-simhost/control")
    for operation in ("vf-mac", "vf-vlan", "vf-spoof-check", "vf-trust", "unbind"):
        allocation, _ = client.allocate(f"vm-{operation}", "nics")
        (control / "hang").write_text(f"{operation} {NIC if operation != 'unbind' else address(0)}\n")
        verb = "Activate" if operation != "unbind" else "Deactivate"
        if operation == "unbind":
            client.must(allocation, "Activate")
        client.start(allocation, verb)
        wait_until(lambda op=operation: op in (control / "waiting").read_text(), 20, f"a worker in {operation}")
        service.kill(wait=False)
        (control / "release").write_text(f"{operation}\n")
        wait_until(lambda: not service.workers(), 30, "the workers' end")
        client = service.start()
        wait_until(lambda a=allocation: client.state(a) == "claimed", 30, f"{operation}: undone")
        equal(records(), found, operation)
        client.must(allocation, "Release")


def renamed(service):
    """Names of interfaces change while we work: they are looked up for each step."""
    client = service.start()
    group_of(client, {"vlan": 60})
    found = records()
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    old = interface()
    subprocess.run(["ip", "link", "set", old, "down"], check=True)
    subprocess.run(["ip", "link", "set", old, "name", "renamed0"], check=True)
    equal(records()[0]["vlan"], "60", "under its new name")
    client.must(allocation, "Deactivate")
    equal(records(), found, "as found")


def elsewhere(service):
    """The interface of the physical function is in another network namespace."""
    client = service.start()
    group_of(client, {"vlan": 70})
    name = interface()
    holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 10, "the namespace")
        subprocess.run(["ip", "link", "set", name, "netns", str(holder.pid)], check=True)
        allocation, job = client.allocate("vm", "nics", activate=True)
        result = client.wait_job(job)
        check(result[0] == "failed" and "network namespace" in result[2], str(result))
        client.must(allocation, "Release")
    finally:
        holder.kill()
        holder.wait()
    wait_until(lambda: os.path.isdir(SYS / NIC / "net") and os.listdir(SYS / NIC / "net"), 20, "its return")


everywhere = [vlan, all_of_it, refused_when_given, not_offered, same_address, rolled_back, no_network]
main([clean(test) for test in everywhere + ([patience, crash] if SIMULATED else [renamed, elsewhere])])
