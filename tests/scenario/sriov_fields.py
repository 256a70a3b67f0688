#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network settings of virtual functions as fields of the devices: as their physical function keeps them, and current."""
import json
import os
import subprocess
import tempfile

import dbus

from passthrough import SYS, bus_error, check, equal, main, wait_until
from vfs import NIC, NVME, SIMULATED, address, clean, group_of, interface, link_up, records, update, variants

KEYS = ("mac", "vlan", "qos", "vlan-protocol", "min-rate", "max-rate", "spoof-check", "trust")


def device_id(slot):
    return "sriov-" + slot.replace(":", "-").replace(".", "-")


def device(client, number, slot=NIC):
    return client.device(device_id(address(number, slot)))


def camel(key):
    return "".join(word.capitalize() for word in f"vf-{key}".split("-"))


def fields(client, path):
    """By the names of the settings; to ask for one of them has all of them read."""
    client.get(path, "Device.Sriov", "VfMac")
    values = client.get_all(path, "Device.Sriov")
    return {key: str(values[camel(key)]) for key in KEYS}


def wanted(record):
    return {key: record.get(key, "802.1Q" if key == "vlan-protocol" else None) for key in KEYS}


def current(client, numbers, what):
    """Until the fields of these functions say what the driver of the card says."""
    found = records()
    for number in numbers:
        path = device(client, number)
        wait_until(lambda p=path, n=number: fields(client, p) == wanted(found[n]), 60,
                   f"{what}: function {number} says {fields(client, path)}, the driver {wanted(found[number])}")


class Changes:
    """What the service says of changed fields of a device while this is open."""

    def __init__(self, path):
        self.output, self.errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        match = f"type='signal',member='PropertiesChanged',path='{path}'"
        self.process = subprocess.Popen(["busctl", "--system", "--json=short", f"--match={match}", "monitor"], stdout=self.output,
                                        stderr=self.errors)

    def __enter__(self):
        wait_until(lambda: "Monitoring" in self.read(self.errors), 60, "the monitor")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    @staticmethod
    def read(file):
        return os.pread(file.fileno(), 1 << 20, 0).decode()

    def seen(self):
        values = {}
        for line in self.read(self.output).splitlines():
            if line.startswith("{") and line.endswith("}"):
                interface_name, changed, _invalidated = json.loads(line)["payload"]["data"]
                if interface_name.endswith(".Device.Sriov"):
                    values.update({key: value["data"] for key, value in changed.items()})
        return values


def read_back(service):
    """Read once somebody asks, then after each activation and give-back; changes are signalled."""
    client = service.start()
    group = group_of(client, {"vlan": 10, "qos": 3, "spoof-check": "off", "trust": "on", "mac": "52:54:00:00:66:01"})
    path = device(client, 0)
    current(client, (0, 1), "as found")
    values = client.get_all(path, "Device.Sriov")
    equal(str(values["PfMac"]), (SYS / NIC / "net" / interface() / "address").read_text().strip(), "its physical function's")
    equal((str(values["PhysicalSlot"]), int(values["VfIndex"])), (NIC, 0), "where it belongs")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    current(client, (0, 1), "active")
    now = fields(client, path)
    equal([now[key] for key in ("mac", "vlan", "qos", "spoof-check", "trust")], ["52:54:00:00:66:01", "10", "3", "off", "on"], "set")
    update(client, group, vlan=11)
    equal(fields(client, path), now, "what a group wants later is not what its function has")
    client.must(allocation, "Deactivate")
    current(client, (0, 1), "given back")
    client.must(allocation, "Activate")
    wait_until(lambda: fields(client, path)["vlan"] == "11", 60, "the next activation")
    client.must(allocation, "Release")
    current(client, (0, 1), "released")


def in_force(service):
    """What is said of a guest is what it runs with, whatever group and consumer want by now; over a restart of the service too."""
    client = service.start()
    group = group_of(client, {"vlan": 14}, **{"user-defined": ["vlan"]})
    wish = [{"group": "nics", "settings": variants({"mac": "52:54:00:00:66:02"})}]
    allocation, job = client.allocate("vm", wish, activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")

    def said():
        request, = client.get(allocation, "Allocation", "Requests")
        values = request.get("in-force", {})
        return client.guest_config(allocation, "libvirt-interface"), {key: str(values[key]) for key in ("mac", "vlan", "qos", "trust")}

    xml, values = said()
    check("<tag id='14'/>" in xml and "52:54:00:00:66:02" in xml, xml)
    equal(values, {"mac": "52:54:00:00:66:02", "vlan": "14", "qos": "0", "trust": "off"}, "all settings, defaults too")
    update(client, group, vlan=15, trust="on")
    equal(said(), (xml, values), "after a change of the group")
    request, = client.get(allocation, "Allocation", "Requests")
    wish[0].update(id=str(request["id"]), settings=variants({"mac": "52:54:00:00:66:03", "vlan": 16}))
    client.call(allocation, "Allocation", "Update", "aa{sv}a{sv}", [dbus.Dictionary(w, signature="sv") for w in wish], {})
    equal(said(), (xml, values), "after a change of the request")
    client = service.restart()
    equal(said(), (xml, values), "after a restart of the service")
    client.must(allocation, "Deactivate")
    request, = client.get(allocation, "Allocation", "Requests")
    check("in-force" not in request, "nobody runs with any")
    client.must(allocation, "Activate")
    xml, values = said()
    check("<tag id='16'/>" in xml and "52:54:00:00:66:03" in xml, xml)
    equal(values, {"mac": "52:54:00:00:66:03", "vlan": "16", "qos": "0", "trust": "on"}, "the next activation")
    client.must(allocation, "Release")


def signalled(service):
    """Whoever looks at a device hears of its settings without asking again."""
    client = service.start()
    group_of(client, {"vlan": 12, "trust": "on"})
    current(client, (0,), "as found")
    with Changes(device(client, 0)) as changes:
        allocation, job = client.allocate("vm", "nics", activate=True)
        equal(client.wait_job(job), ("done", "", ""), "activate")
        wait_until(lambda: (changes.seen().get("VfVlan"), changes.seen().get("VfTrust")) == (12, "on"), 60, "the activation's signals")
        client.must(allocation, "Release")
        wait_until(lambda: (changes.seen().get("VfVlan"), changes.seen().get("VfTrust")) == (0, "off"), 60, "the release's signals")


def listed(service):
    """A list that is asked for slow fields waits for them, of its page; so does one that is limited by them."""
    client = service.start()
    group_of(client, {"vlan": 17})

    def rows(where, **options):
        options = dict({"fields": ["slot", "vf-vlan"], "group": "nics"}, **options)
        page, cursor, _ = client.manager("ListDevices", "sa(sss)a{sv}", "sriov", where, options)
        return [(str(row["slot"]), int(row["vf-vlan"])) for _, row in page], str(cursor)

    slots = [address(number) for number in range(3)]
    equal(rows([])[0], [(slot, -1) for slot in slots], "at once")
    equal(rows([("vf-vlan", "eq", "0")])[0], [], "nobody knows yet")
    page, cursor = rows([], slow=True, limit=1)
    equal(page, [(slots[0], 0)], "the first page")
    equal(rows([])[0], [(slots[0], 0), (slots[1], -1), (slots[2], -1)], "of the others nobody asked")
    equal(rows([], slow=True, cursor=cursor)[0], [(slots[1], 0), (slots[2], 0)], "the next page")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    client = service.restart()
    equal(rows([("vf-vlan", "eq", "17")], slow=True)[0], [(slots[0], 17)], "by their values")
    error, message = bus_error(rows, [], slow="perhaps")
    equal(error, "InvalidValue", message)
    client.must(allocation, "Release")


def without(service):
    """Physical functions, and functions that are no network cards, have no such settings."""
    client = service.start()
    group_of(client, {}, name="disks", vfs=1, slot=NVME)
    for path in (client.device(device_id(NIC)), device(client, 0, NVME)):
        client.explain(path, "Device")  # reads what is slow first
        values = client.get_all(path, "Device.Sriov")
        equal((str(values["VfMac"]), int(values["VfVlan"]), str(values["PfMac"])), ("", -1, ""), path)


def set_by_others(service):
    """What somebody sets by hand is seen without asking again: the kernel says that the interface changed."""
    client = service.start()
    group_of(client, {"vlan": 13})
    link_up()
    current(client, (0, 1), "as found")
    for setting in (["vlan", "77"], ["spoofchk", "off"], ["vlan", "0"], ["spoofchk", "on"]):
        subprocess.run(["ip", "link", "set", interface(), "vf", "1", *setting], check=True)
        found = wanted(records()[1])
        values = wait_until(lambda f=found: {key: str(client.get_all(device(client, 1), "Device.Sriov")[camel(key)]) for key in KEYS} == f,
                            60, f"{setting}")
        check(values, f"{setting} is seen")
    current(client, (0, 1), "in the end")


main([clean(test) for test in [read_back, in_force, signalled, listed, without] + ([] if SIMULATED else [set_by_others])])
