#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network settings with drivers that each have their ways: what they refuse, are not ready for, do not apply, do not report."""
import os
import pathlib

import dbus

from passthrough import check, equal, main

RECORDS = pathlib.Path(os.environ["PASSTHROUGHD_SIMULATED_RTNETLINK"])
SLOTS = {name: f"0000:{number:02x}:00.0" for number, name in
         enumerate(("i40e", "ice", "mlx5_core", "bnxt_en", "qede", "ixgbe", "fsl_enetc"), 1)}


def records(name):
    lines = (RECORDS / SLOTS[name] / "vf-records").read_text().splitlines()
    return {line.split()[0]: dict(word.split("=") for word in line.split()[1:]) for line in lines}


def attempt(client, name, settings, number=[0]):
    """(result, error, message) of an activation with these settings; what was found, had, and left."""
    number[0] += 1
    group = client.create_group(f"g{number[0]}", "sriov", dbus.Dictionary({"vfs": 2, **settings}, signature="sv"))
    client.add_rule(group, [("provider.slot", "eq", SLOTS[name])])
    equal(client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))[0], "done", f"{name}: provisioned")
    found = records(name)
    allocation, job = client.allocate("vm", f"g{number[0]}", activate=True)
    result = client.wait_job(job)
    had = records(name)
    client.must(allocation, "Release")
    left = records(name)
    job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
    equal(client.wait_job(job)[0], "done", "removed")
    return result, found, had["0"], left


def taken(client, name, settings):
    result, found, had, left = attempt(client, name, settings)
    equal(result, ("done", "", ""), f"{name} {settings}")
    equal({key: had.get(key) for key in settings}, {key: str(value) for key, value in settings.items()}, name)
    equal(left, found, f"{name}: as found")


def refused(client, name, settings, words):
    result, found, had, left = attempt(client, name, settings)
    equal(result[0], "failed", f"{name} {settings}: {result}")
    check(words in result[2] and (name in result[2] or SLOTS[name] in result[2]), f"{name} {settings}: {result[2]}")
    equal((had, left), (found["0"], found), f"{name}: as found")


def not_ready(service):
    """i40e resets the function at each change (EAGAIN), ice is not ready at first (EBUSY): both are waited for."""
    client = service.start()
    taken(client, "i40e", {"vlan": 10, "spoof-check": "off", "trust": "on", "link-state": "enable", "max-rate": 1000})
    taken(client, "ice", {"vlan": 10, "qos": 3, "min-rate": 100, "max-rate": 1000, "trust": "on"})


def plain(service):
    client = service.start()
    taken(client, "mlx5_core", {"vlan": 7, "qos": 7, "min-rate": 10, "max-rate": 10000, "link-state": "disable"})
    taken(client, "bnxt_en", {"vlan": 7, "trust": "on", "max-rate": 100})


def known_beforehand(service):
    client = service.start()
    refused(client, "mlx5_core", {"vlan": 7, "vlan-protocol": "802.1ad"}, "knows no 802.1ad")
    refused(client, "bnxt_en", {"vlan": 7, "qos": 1}, "no quality of service")
    refused(client, "i40e", {"min-rate": 10, "max-rate": 100}, "guarantees no rates")
    refused(client, "ixgbe", {"link-state": "enable"}, "sets no link state")
    refused(client, "fsl_enetc", {"max-rate": 100}, "limits no rates")
    refused(client, "mlx5_core", {"max-rate": 20000}, "above the speed of the link")


def told_by_the_driver(service):
    """What is not in the table: the driver's own answer, with names."""
    client = service.start()
    refused(client, "ice", {"vlan": 7, "vlan-protocol": "802.1ad"}, "EPROTONOSUPPORT")
    refused(client, "ice", {"rss-query": "on"}, "EOPNOTSUPP")


def address_not_taken_back(service):
    """qede takes no empty address: the function is left with one that nobody has."""
    client = service.start()
    result, found, had, left = attempt(client, "qede", {"vlan": 5})
    equal(result, ("done", "", ""), "activated")
    equal(found["0"]["mac"], "00:00:00:00:00:00", "found")
    check(had["mac"] != found["0"]["mac"], "given")
    equal(left["0"], {**found["0"], "mac": "02:00:00:00:00:00"}, "left")


def silent(service):
    """A driver that reports nothing but addresses: what it took is not known to be so, and is taken back all the same."""
    client = service.start()
    result, found, had, left = attempt(client, "fsl_enetc", {"vlan": 5, "spoof-check": "off"})
    equal(result, ("done", "", ""), "activated")
    equal((set(had), left), ({"mac"}, found), "addresses alone")


def same_address_elsewhere(service):
    """Two functions of one address, on two cards: whoever comes second is told who has it."""
    client = service.start()
    for name in ("i40e", "ice"):
        group = client.create_group(name.replace("_", "-"), "sriov", dbus.Dictionary({"vfs": 2, "mac": "52:54:00:00:88:01"}, signature="sv"))
        client.add_rule(group, [("provider.slot", "eq", SLOTS[name])])
        equal(client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))[0], "done", f"{name}: provisioned")
    first, job = client.allocate("one", "ice", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the first")
    found = records("i40e")
    second, job = client.allocate("two", "i40e", activate=True)
    result = client.wait_job(job)
    check(result[0] == "failed" and f"virtual function 0 of {SLOTS['ice']}" in result[2] and "52:54:00:00:88:01" in result[2], f"{result}")
    equal(records("i40e"), found, "nothing changed")
    client.must(first, "Release")
    client.must(second, "Activate")
    client.must(second, "Release")
    for taken_by in ("i40e", "ice"):
        pf = records(taken_by)["pf"]["mac"]
        result, _, _, _ = attempt(client, "mlx5_core", {"mac": pf})
        check(result[0] == "failed" and f"{SLOTS[taken_by]} itself" in result[2], f"{taken_by}: {result}")


main([not_ready, plain, known_beforehand, told_by_the_driver, address_not_taken_back, silent, same_address_elsewhere])
