#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cards that were exchanged while the service was not there: nobody gets another one than he had without being told."""
from passthrough import bus_error, check, driver, equal, main, wait_until
from place import exchange, other_model

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"


def finding(client, path, interface):
    """The finding about another device, None where there is none."""
    found = [f for f in client.explain(path, interface) if f["code"] == "identity-changed"]
    return found[0] if found else None


def serial(client, slot):
    return str(client.get(client.device(slot), "Device.Pci", "Serial"))


def rows(client, operation):
    return [str(row["message"]) for row in client.history(operation=operation)]


def used(client, name, slot, **options):
    """An allocation that had the device of the place."""
    client.pool(name, slot)
    allocation, _ = client.allocate("vm", name, **options)
    client.must(allocation, "Activate")
    client.must(allocation, "Deactivate")
    # What tells cards apart is read once they are given back, and is recorded with it.
    wait_until(lambda: serial(client, slot), 20, f"the serial number of {slot}")
    return allocation


def last_one_exchanged(service):
    """Two cards of one model swap places between two starts; both consumers are told, and may take what is there."""
    client = service.start()
    one, two = used(client, "one", NIC), used(client, "two", NIC2)
    thick = used(client, "thick", NIC2, thick=True)
    before = serial(client, NIC), serial(client, NIC2)
    check(before[0] != before[1], f"{before}")
    service.stop()

    exchange(NIC, NIC2)
    client = service.start()
    wait_until(lambda: (serial(client, NIC), serial(client, NIC2)) == before[::-1], 20, "the exchange to be seen")
    for allocation, was, now in ((one, *before), (two, *before[::-1])):
        text = finding(client, allocation, "Allocation")["text"]
        check(f"serial was {was} and is {now}" in text, f"both are named: {text}")
    result, error, message = client.run(one, "Activate")
    equal((result, error), ("failed", "NoDeviceAvailable"), "with another card")
    check(f"serial was {before[0]}" in message, f"the reason is in: {message}")
    equal(client.run(thick, "Activate")[:2], ("failed", "DeviceBlocked"), "a reserved one")
    equal(driver(NIC), "e1000e", "nothing was touched")

    client.must(one, "Activate", **{"accept-identity": True})
    check(finding(client, one, "Allocation") is None, "accepted")
    message, = rows(client, "accept-identity")
    check("another device" in message and before[0] not in message, f"the history tells, without the number: {message}")
    client.must(one, "Release")
    client.must(thick, "Activate", **{"accept-identity": True})
    client.must(thick, "Release")
    # What was accepted is what is compared from now on.
    check(finding(client, two, "Allocation") is not None, "another allocation decides for itself")
    service.stop()
    exchange(NIC, NIC2)
    client = service.start()
    wait_until(lambda: serial(client, NIC2) == before[1], 20, "the exchange to be seen")
    check(finding(client, two, "Allocation") is None, "the old card is back")
    client.must(two, "Activate")
    client.must(two, "Release")


def rules_follow_the_card(service):
    """A rule by serial number finds its card in the other slot; nothing is said, because nothing is wrong."""
    client = service.start()
    rule, = client.make_resource("pool", NIC)
    check(str(client.get(rule, "Rule", "Strength")).startswith("serial"), "the strongest identity")
    identity = client.get(rule, "Rule", "Identity")
    equal(str(identity["device"]), "pci-0000-01-00-0", "the place is recorded too")
    service.stop()
    exchange(NIC, NIC2)
    client = service.start()
    wait_until(lambda: [str(d) for d in client.get(rule, "Rule", "Matched")] == [client.device(NIC2)], 20, "the card")
    check(finding(client, client.group("pool"), "Group") is None, "the card is there")
    service.stop()
    exchange(NIC, NIC2)


def another_model(service):
    """A card without a number of its own is recognised by its place. Another one there is nobody's until it is accepted."""
    client = service.start()
    rule, = client.make_resource("disks", NVME)
    equal(str(client.get(rule, "Rule", "Strength")), "physical-slot (60)", "the strongest identity")
    allocation, _ = client.allocate("vm", "disks")
    service.stop()
    back = other_model(NVME)
    try:
        client = service.start()
        group = client.group("disks")
        text = finding(client, group, "Group")["text"]
        check("vendor-device was 1b36:0010 and is " in text and "is recorded at " + NVME in text, f"both are named: {text}")
        equal(client.run(allocation, "Activate")[:2], ("failed", "NoDeviceAvailable"), "with another card")
        equal(bus_error(client.call, rule, "Rule", "Update", "a{sv}a{sv}", {}, {"accept": True})[0], "UnknownOption",
              "an option that is not known")
        client.call(rule, "Rule", "Update", "a{sv}a{sv}", {}, {"accept-identity": True})
        check(finding(client, group, "Group") is None, "accepted")
        equal([str(d) for d in client.get(rule, "Rule", "Matched")], [client.device(NVME)], "what the rule matches now")
        equal(str(client.get(rule, "Rule", "Origin")), "auto", "Origin")
        equal(len(rows(client, "update-rule")), 2, "the history tells, the refused call too")
        service.stop()
    finally:
        back()
    client = service.start()
    check(finding(client, client.group("disks"), "Group") is not None, "now the old one is the other")


main([last_one_exchanged, rules_follow_the_card, another_model])
