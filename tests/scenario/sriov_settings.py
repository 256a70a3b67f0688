#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network settings of virtual functions: set through the physical one before a consumer has the function, refused with names, and
as found when it is given back."""
import functools
import json
import os
import pathlib
import subprocess

import dbus

from passthrough import SYS, bus_error, check, driver, equal, main

NIC, NVME = "0000:08:00.0", "0000:09:00.0"
# The simulated host has no rtnetlink: its records are files, with the same names as the settings.
SIMULATED = os.environ.get("PASSTHROUGHD_SIMULATED_RTNETLINK")
ON_OFF = {True: "on", False: "off"}


def interface():
    return os.listdir(SYS / NIC / "net")[0]


def records():
    """What the driver of the card says of each function, by the names of our settings."""
    if SIMULATED:
        lines = (pathlib.Path(SIMULATED) / NIC / "vf-records").read_text().splitlines()
        return {int(line.split()[0]): dict(word.split("=") for word in line.split()[1:]) for line in lines if line[0].isdigit()}
    answer = subprocess.run(["ip", "-j", "-d", "link", "show", "dev", interface()], check=True, capture_output=True, text=True)
    return {vf["vf"]: {"mac": vf["address"], "vlan": str(vf["vlan_list"][0].get("vlan", 0)), "qos": str(vf["vlan_list"][0].get("qos", 0)),
                       "min-rate": str(vf["rate"]["min_tx"]), "max-rate": str(vf["rate"]["max_tx"]),
                       "spoof-check": ON_OFF[vf["spoofchk"]], "trust": ON_OFF[vf["trust"]]}
            for vf in json.loads(answer.stdout)[0]["vfinfo_list"]}


def address(number):
    return os.path.basename(os.readlink(SYS / NIC / f"virtfn{number}"))


def variants(settings):
    return dbus.Dictionary(settings, signature="sv")


def group_of(client, settings, name="nics", vfs=3, slot=NIC, **options):
    group = client.create_group(name, "sriov", variants({"vfs": vfs, **settings}), dbus.Dictionary(options, signature="sv"))
    client.add_rule(group, [("provider.slot", "eq", slot)])
    equal(client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))[0], "done", "provisioned")
    return group


def update(client, group, **settings):
    values = {key.replace("_", "-"): value for key, value in settings.items()}
    client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": variants(values)}, {})


def clean(test):
    """A test that fails leaves nothing for the next: with its functions all settings are gone."""
    @functools.wraps(test)
    def run(service):
        for slot in (NIC, NVME):
            if (SYS / slot / "sriov_numvfs").read_text().strip() != "0":
                (SYS / slot / "sriov_numvfs").write_text("0")
            (SYS / slot / "sriov_drivers_autoprobe").write_text("1")
        test(service)
    return run


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


main([clean(test) for test in (vlan,)])
