#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Providers that have room for fewer devices of a group than there are: counted, chosen and explained by what the module says."""
import maker_rig as rig
from passthrough import check, equal, main, wait_until


def shown(client, group):
    return tuple(int(client.get(group, "Group", name)) for name in ("Total", "Available", "Allocated"))


def counts(client, group, total, available, allocated):
    wanted = (total, available, allocated)
    wait_until(lambda: shown(client, group) == wanted, 120, f"{wanted} (total, available, allocated)")


def room(service, *groups):
    client = rig.start(service)
    made = [client.create_group(name, "maker", {"mode": "fast", "room": rig.number(n)}) for name, n in groups]
    for group in made:
        client.add_rule(group, [("provider.slot", "eq", rig.FIRST)])
    return client, made


def end(service, client, groups):
    rig.remove(client, *groups)
    service.stop()


# Two groups share what one provider has; what one has the other can't get.
def shared(service):
    client, (a, b) = room(service, ("a", 3), ("b", 2))
    counts(client, a, 3, 3, 0)
    counts(client, b, 2, 2, 0)
    one, job = client.allocate("one", "a", activate=True)
    equal(client.wait_job(job)[0], "done", "the first")
    counts(client, a, 3, 2, 1)
    counts(client, b, 2, 1, 0)
    two, job = client.allocate("two", "b", activate=True)
    equal(client.wait_job(job)[0], "done", "the second")
    counts(client, a, 3, 1, 1)
    counts(client, b, 2, 0, 1)
    three, job = client.allocate("three", "b", activate=True)
    result = client.wait_job(job)
    equal(result[:2], ("failed", "NoDeviceAvailable"), "there is none for the third")
    check("has no room for another device of group 'b'" in result[2], f"the reason names the group: {result[2]}")
    check(rig.FIRST in result[2], f"the reason names the provider: {result[2]}")
    codes = [f["code"] for f in client.explain(b, "Group")]
    check("no-room" in codes and "none-available" in codes, f"the group explains it: {codes}")
    client.must(one, "Release")
    counts(client, b, 2, 1, 1)
    client.must(three, "Activate")
    for allocation in (two, three):
        client.must(allocation, "Release")
    counts(client, b, 2, 2, 0)
    end(service, client, (a, b))


# One request for several, and several requests of one allocation, are counted together.
def together(service):
    client, (a, b) = room(service, ("a", 2), ("b", 2))
    three, job = client.allocate("three", [{"group": "a", "count": rig.number(3)}], activate=True)
    equal(client.wait_job(job)[0], "failed", "three where there is room for two")
    client.must(three, "Release")
    mixed, job = client.allocate("mixed", [{"group": "a", "count": rig.number(2)}, {"group": "b"}], activate=True)
    result = client.wait_job(job)
    equal(result[0], "failed", "two of one group and one of the other")
    check("group 'b'" in result[2], f"the second request is refused: {result[2]}")
    client.must(mixed, "Release")
    fits, job = client.allocate("fits", [{"group": "a"}, {"group": "b"}], activate=True)
    equal(client.wait_job(job)[0], "done", "one of each")
    counts(client, a, 2, 0, 1)
    client.must(fits, "Release")
    counts(client, a, 2, 2, 0)
    end(service, client, (a, b))


# What a setting says counts at once, and what says nothing leaves all that there are.
def settings(service):
    client, (a,) = room(service, ("a", 1))
    counts(client, a, 1, 1, 0)
    client.call(a, "Group", "Update", "a{sv}a{sv}", {"settings": rig.settings(room=rig.number(0))}, {})
    counts(client, a, rig.DEVICES, rig.DEVICES, 0)
    client.call(a, "Group", "Update", "a{sv}a{sv}", {"settings": rig.settings(room=rig.number(2))}, {})
    counts(client, a, 2, 2, 0)
    client.add_rule(a, [("provider.slot", "eq", rig.SECOND)], "more")
    counts(client, a, 4, 4, 0)
    end(service, client, (a,))


# A plan says of each candidate why not, and one that is promised can be had.
def planned(service):
    client, (a,) = room(service, ("a", 1))
    one, _ = client.allocate("one", "a")
    plan = rig.plan(client, "activate", one)
    check(not rig.blockers(plan), f"the first can be had: {rig.blockers(plan)}")
    client.must(one, "Activate")
    two, _ = client.allocate("two", "a")
    plan = rig.plan(client, "activate", two)
    texts = [str(b["code"]) for choice in plan["choices"] for c in choice["candidates"] for b in c["blockers"]]
    check("no-room" in texts, f"no candidate has room: {texts}")
    check(rig.blockers(plan), "the second can't be had")
    for allocation in (one, two):
        client.must(allocation, "Release")
    end(service, client, (a,))


main([shared, together, settings, planned])
