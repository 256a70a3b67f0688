#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was made of a provider is no longer so: the module finds it in a report, it is shown, and it is made anew when nothing is in
use, a limited number of times."""
import maker_rig as rig
from passthrough import check, equal, main, wait_until


def shown(client, slot=rig.FIRST):
    return bool(client.get(client.device(rig.provider(slot)), "Provider", "InForce"))


def state(client):
    return str(rig.query(client)["state"])


def notes(client, group):
    return [str(n) for n in client.get(group, "Group", "Notes")]


def pool(service):
    client = rig.start(service)
    group = client.create_group("a", "maker", {"mode": "fast", "part": "p1"})
    client.add_rule(group, [("provider.slot", "eq", rig.FIRST)])
    job = str(client.call(group, "Group", "Provision", "a{sv}", {}))
    equal(client.wait_job(job), ("done", "", ""), "provision")
    in_force(client)
    equal(notes(client, group), [], "notes")
    rig.journal()
    return client, group


def in_force(client):
    wait_until(lambda: shown(client) and state(client) == "made", 120, "the layout to be in force")


def end(service, client, group):
    rig.remove(client, group)
    equal(rig.made(), ("none", "none"), "as found")
    service.stop()


def report_again(client, group):
    """A claim comes and goes: what the provider makes is read again."""
    allocation, job = client.allocate("somebody", "a", activate=True)
    client.wait_job(job)
    client.must(allocation, "Release")


# Somebody changes it: found at the next report, undone as far as it is there, and made anew.
def drift(service):
    client, group = pool(service)
    rig.write("parts", "none")
    report_again(client, group)
    rig.wait_made("fast", "p1")
    in_force(client)
    done = [(str(row["operation"]), str(row.get("message", ""))) for row in client.history() if str(row["operation"]) == "provision"]
    check(any("parts-lost" in text for _, text in done), f"the history says why: {done}")
    end(service, client, group)


# While a device is in use it is only said: by the provider, its groups, and in words of the module.
def in_use(service):
    client, group = pool(service)
    user, job = client.allocate("user", "a", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    rig.write("mode", "none")
    other, _ = client.allocate("other", "a", activate=True)
    wait_until(lambda: not shown(client), 120, "the provider to say so")
    equal(rig.made()[0], "none", "it is left alone")
    check("not-provisioned" in notes(client, group), f"notes: {notes(client, group)}")
    missing = [str(row["code"]) for row in rig.query(client)["missing"]]
    equal(missing, ["mode-lost"], "what is missing")
    for path, interface in ((group, "Group"), (client.device(rig.provider()), "Device")):
        found = [f for f in client.explain(path, interface) if f["code"] == "mode-lost"]
        check(found and "no longer in force" in found[0]["text"], f"{interface}: {found}")
    plan = rig.plan(client, "provision", client.device(rig.provider()))
    check("devices-in-use" in rig.blockers(plan), "a plan says what stands against it")
    client.must(other, "Release")
    client.must(user, "Release")
    in_force(client)
    equal(rig.made(), ("fast", "p1"), "made anew when nothing was in use")
    equal(notes(client, group), [], "notes")
    end(service, client, group)


# Somebody puts it back himself: nothing is done.
def comes_back(service):
    client, group = pool(service)
    user, job = client.allocate("user", "a", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    rig.write("parts", "none")
    other, _ = client.allocate("other", "a", activate=True)
    wait_until(lambda: not shown(client), 120, "the provider to say so")
    rig.write("parts", "p1")
    client.must(other, "Release")
    client.must(user, "Release")
    in_force(client)
    equal(rig.journal(), [], "nothing was done")
    end(service, client, group)


# At a start of the service what is recorded is compared with what is there.
def at_the_start(service):
    client, group = pool(service)
    service.stop()
    rig.write("mode", "none")
    rig.write("parts", "none")
    client = service.start()
    rig.wait_made("fast", "p1")
    in_force(client)
    end(service, client, group)


# It can't be made: that is said, tried a few times, and given up until somebody asks for it.
def gives_up(service):
    client, group = pool(service)
    rig.trouble("fail mode=fast")
    rig.write("mode", "none")
    report_again(client, group)
    wait_until(lambda: state(client) == "given-up", 240, "the service to give up")
    check("not-provisioned" in notes(client, group), f"notes: {notes(client, group)}")
    check("There is trouble" in str(rig.query(client)["failure"]), "the reason")
    rig.trouble("none")
    job = str(client.call(group, "Group", "Provision", "a{sv}", {}))
    equal(client.wait_job(job), ("done", "", ""), "when somebody asks for it")
    in_force(client)
    end(service, client, group)


main([drift, in_use, comes_back, at_the_start, gives_up])
