#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Layouts that change: beside devices that are in use, or anew with everything undone first, as the module says. Whatever fails
and whenever the service dies, one of the two layouts is in force and on record, and the way back leads to the beginning."""
import time

import snapshot

import maker_rig as rig
from passthrough import RUNTIME, STATE, SYS, bus_error, check, equal, main, wait_until


class Pool:
    """Group a with a layout of one mode and one part; b comes later."""

    def __init__(self, service, type_="maker"):
        self.service, self.type = service, type_
        self.client = rig.start(service, type_)
        self.groups = []
        self.a = self.add("a", "p1")
        self.must(self.a)
        equal(rig.made(), ("fast", "p1"), "the first layout")
        rig.journal()

    def add(self, name, part, mode="fast"):
        group = self.client.create_group(name, self.type, {"mode": mode, "part": part})
        self.client.add_rule(group, [("provider.slot", "eq", rig.FIRST)])
        self.groups.append(group)
        return group

    def set(self, group, **values):
        self.client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": rig.settings(**values)}, {})

    def begin(self, group):
        return str(self.client.call(group, "Group", "Provision", "a{sv}", {}))

    def provision(self, group):
        return self.client.wait_job(self.begin(group))

    def must(self, group):
        equal(self.provision(group), ("done", "", ""), "provision")

    def claim(self, consumer, group="a"):
        allocation, job = self.client.allocate(consumer, group, activate=True)
        equal(self.client.wait_job(job), ("done", "", ""), f"activate {consumer}")
        return allocation

    def layout(self):
        """On record: the one that the bus shows, and the one that a start would make."""
        answer = rig.query(self.client, type_=self.type)
        equal(answer["made"], answer["wanted"], "made and wanted")
        return str(answer["made"].get("mode", "")), str(answer["made"].get("parts", ""))

    def plan(self):
        return rig.plan(self.client, "provision", self.client.device(rig.provider(type_=self.type)))

    def settled(self, mode, parts):
        """The service made it by itself."""
        wait_until(lambda: rig.made() == (mode, parts) and str(rig.query(self.client)["state"]) == "made", 120,
                   f"{mode}/{parts}, not {rig.made()} {rig.query(self.client)['state']}")
        equal(self.layout(), (mode, parts), "on record")

    def end(self):
        rig.remove(self.client, *self.groups)
        equal(rig.made(), ("none", "none"), "as found")
        self.service.stop()
        snapshot.nothing_recorded()
        for path, tables in ((RUNTIME / "runtime.db", ("provisions", "provision_steps")), (STATE / "state.db", ("layouts",))):
            for table in tables:
                equal(snapshot.rows(path, table), [], f"records in {table}")


def codes(plan):
    return [str(f["code"]) for f in plan["findings"]]


# Parts come and go while another group's device is in use; nothing else is touched.
def beside(service):
    pool = Pool(service)
    user = pool.claim("user")
    b = pool.add("b", "p2")
    plan = pool.plan()
    check("changed-beside" in codes(plan) and not rig.blockers(plan), f"the plan: {codes(plan)}")
    check("device-vanishes" not in codes(plan), "nothing vanishes")
    pool.must(b)
    equal(rig.journal(), ["parts=p1 p2"], "what was done")
    equal(pool.layout(), ("fast", "p1 p2"), "on record")
    equal(pool.client.state(user), "active", "the user")
    second = pool.claim("second", "b")
    pool.client.must(second, "Release")
    rig.remove(pool.client, pool.groups.pop())
    equal(rig.journal(), ["parts=p1"], "when the group goes")
    equal(pool.client.state(user), "active", "the user")
    pool.client.must(user, "Release")
    equal(rig.journal(), [], "afterwards")
    rig.remove(pool.client, pool.groups.pop())
    equal(rig.journal(), ["parts=none", "mode=none"], "the way back: to what was found first, once each")
    pool.end()


# A change beside what is in use fails: only it is undone.
def beside_fails(service):
    pool = Pool(service)
    user = pool.claim("user")
    b = pool.add("b", "p2")
    rig.trouble("fail parts=p1 p2")
    result = pool.provision(b)
    equal(result[:2], ("failed", "StepFailed"), f"{result}")
    equal((rig.made(), pool.layout()), (("fast", "p1"), ("fast", "p1")), "as before")
    equal(pool.client.state(user), "active", "the user")
    rig.trouble("none")
    pool.must(b)
    equal(rig.made(), ("fast", "p1 p2"), "in the second attempt")
    pool.client.must(user, "Release")
    pool.end()


# The service dies in the middle of it: the change is undone at the next start, under the eyes of the user.
def beside_crash(service):
    pool = Pool(service)
    user = pool.claim("user")
    pool.add("b", "p2")
    rig.trouble("hang parts=p1 p2")
    pool.begin(pool.groups[1])
    rig.wait_hanging()
    service.kill(wait=False)
    rig.trouble("none")
    pool.client = service.start()
    pool.settled("fast", "p1")
    equal(pool.client.state(user), "active", "the user")
    pool.must(pool.groups[1])
    equal(rig.made(), ("fast", "p1 p2"), "again")
    pool.client.must(user, "Release")
    pool.end()


# Another mode: refused while a device is in use, with the consumer's name; then undone in reverse, and made anew.
def anew(service):
    pool = Pool(service)
    user = pool.claim("user")
    pool.set(pool.a, mode="other", part="p3")
    plan = pool.plan()
    check("devices-in-use" in rig.blockers(plan), f"the plan: {codes(plan)}")
    result, message = bus_error(pool.begin, pool.a)
    equal(result, "DeviceBusy", message)
    check("by consumer 'user'" in message, message)
    equal(rig.journal(), [], "nothing was done")
    pool.client.must(user, "Release")
    plan = pool.plan()
    check("made-anew" in codes(plan) and not rig.blockers(plan), f"the plan: {codes(plan)}")
    equal([(str(s["text"]).startswith("undo"), "the mode" in str(s["text"])) for s in plan["steps"]],
          [(True, False), (True, True), (False, True), (False, False)], "undone in reverse, then made")
    pool.must(pool.a)
    equal(rig.journal(), ["parts=none", "mode=none", "mode=other", "parts=p3"], "what was done")
    equal(pool.layout(), ("other", "p3"), "on record")
    pool.end()


# The new one can't be made: the one before comes back, and the job says what was wrong.
def anew_fails(service):
    pool = Pool(service)
    pool.set(pool.a, mode="other", part="p3")
    rig.trouble("fail parts=p3")
    result = pool.provision(pool.a)
    equal(result[:2], ("failed", "StepFailed"), f"{result}")
    check("There is trouble" in result[2], result[2])
    pool.settled("fast", "p1")
    check("not-provisioned" in [str(n) for n in pool.client.get(pool.a, "Group", "Notes")], "the group says so")
    rig.trouble("none")
    pool.must(pool.a)
    equal(rig.made(), ("other", "p3"), "in the second attempt")
    pool.end()


# What is there can't be undone: nothing is made on top, and it is tried again.
def anew_undo_fails(service):
    pool = Pool(service)
    pool.set(pool.a, mode="other", part="p3")
    rig.trouble("fail mode=none")
    equal(pool.provision(pool.a)[0], "failed", "the job")
    check("mode=other" not in (SYS / rig.FIRST / "maker_journal").read_text(), "nothing on top")
    rig.trouble("none")
    pool.settled("fast", "p1")
    pool.must(pool.a)
    equal(rig.made(), ("other", "p3"), "in the second attempt")
    pool.end()


# The service dies at each point of it. The old layout is on record until the new one is made, and is made again.
def anew_crash(service):
    pool = Pool(service)
    for point in ("parts=none", "mode=none", "mode=other", "parts=p3"):
        pool.set(pool.a, mode="other", part="p3")
        rig.trouble(f"hang {point}")
        pool.begin(pool.a)
        rig.wait_hanging()
        service.kill(wait=False)
        rig.trouble("none")
        pool.client = service.start()
        pool.settled("fast", "p1")
    pool.must(pool.a)
    equal(rig.made(), ("other", "p3"), "in the end")
    service.kill()
    pool.client = service.start()
    pool.settled("other", "p3")
    pool.end()


# One group of two providers, of which one is changed beside a device in use, and the other is made first: both or none.
def several(service):
    pool = Pool(service)
    user = pool.claim("user")
    pool.set(pool.a, mode="fast", part="p2")
    pool.client.add_rule(pool.a, [("provider.slot", "eq", rig.SECOND)], "second")
    rig.trouble("fail parts=p2", rig.SECOND)
    equal(pool.provision(pool.a)[:2], ("failed", "StepFailed"), "the second provider refuses")
    equal((rig.made(), rig.made(rig.SECOND)), (("fast", "p1"), ("none", "none")), "as before")
    equal(pool.layout(), ("fast", "p1"), "on record")
    rig.trouble("fail parts", rig.SECOND)
    equal(pool.provision(pool.a)[0], "failed", "it can't even be undone")
    equal((rig.made(), pool.client.state(user)), (("fast", "p1"), "active"), "the first is as before")
    rig.trouble("none", rig.SECOND)
    pool.must(pool.a)
    equal((rig.made(), rig.made(rig.SECOND)), (("fast", "p2"), ("fast", "p2")), "both")
    equal(pool.client.state(user), "active", "the user")
    pool.client.must(user, "Release")
    # The first is undone, and made anew as it was when the second one fails.
    pool.set(pool.a, mode="other", part="p2")
    rig.trouble("fail mode=other", rig.SECOND)
    equal(pool.provision(pool.a)[:2], ("failed", "StepFailed"), "the second provider refuses the mode")
    rig.wait_made("fast", "p2")
    rig.wait_made("fast", "p2", rig.SECOND)
    pool.settled("fast", "p2")
    rig.trouble("none", rig.SECOND)
    pool.must(pool.a)
    equal((rig.made(), rig.made(rig.SECOND)), (("other", "p2"), ("other", "p2")), "both anew")
    pool.end()
    equal(rig.made(rig.SECOND), ("none", "none"), "the second as found")


# The service dies at any time while layouts come and go; one of the two is in force afterwards, and as recorded.
def any_time(service):
    pool = Pool(service)
    layouts = [{"mode": "fast", "part": "p1"}, {"mode": "other", "part": "p2"}, {"mode": "fast", "part": "p3"}]
    before = layouts[0]
    for turn in range(8):
        wanted = layouts[(turn + 1) % 3]
        pool.set(pool.a, **wanted)
        pool.begin(pool.a)
        time.sleep(0.005 * turn)
        service.kill()
        pool.client = service.start()
        seen = [(layout["mode"], layout["part"]) for layout in (before, wanted)]
        wait_until(lambda: rig.made() in seen and str(rig.query(pool.client)["state"]) == "made", 120,
                   f"one of {seen}, not {rig.made()}")
        equal(pool.layout(), rig.made(), "on record")
        pool.must(pool.a)
        equal(rig.made(), seen[1], "asked for again")
        before = wanted
    pool.end()


# Where the module says nothing, the new steps take the place of the others, and nothing may be in use.
def plain(service):
    pool = Pool(service, "plainmaker")
    user = pool.claim("user")
    pool.set(pool.a, mode="fast", part="p3")
    equal(bus_error(pool.begin, pool.a)[0], "DeviceBusy", "in use")
    pool.client.must(user, "Release")
    pool.must(pool.a)
    equal(rig.journal(), ["parts=p3"], "nothing is undone first")
    pool.end()


main([beside, beside_fails, beside_crash, anew, anew_fails, anew_undo_fails, anew_crash, several, any_time, plain])
