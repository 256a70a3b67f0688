#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Say why, and say before: what Explain, Plan and PreviewRule answer, and that none of them changes anything."""
import os
import pathlib
import shutil
import stat
import tempfile

import snapshot
from passthrough import RUNTIME, STATE, SYS, Client, bus_error, check, driver, equal, main, node
from place import IN_VM, Holder, ctl

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
MF = ("0000:05:00.0", "0000:05:00.1")


def device_id(slot):
    return "pci-" + slot.replace(":", "-").replace(".", "-")


def codes(findings, **wanted):
    return [f["code"] for f in findings if all(f.get(key) == value for key, value in wanted.items())]


def find(findings, code, **wanted):
    for finding in findings:
        if finding["code"] == code and all(finding.get(key) == value for key, value in wanted.items()):
            return finding
    raise AssertionError(f"no finding {code} {wanted} in {[(f['code'], f['text']) for f in findings]}")


def plan(client, verb="activate", objects=(), requests=(), **options):
    requests = [{"group": r} if isinstance(r, str) else r for r in requests]
    choices, steps, findings, token = client.manager("Plan", "saoaa{sv}a{sv}", verb, list(objects), requests, options)
    findings = [{str(k): str(v) for k, v in finding.items()} for finding in findings]
    return choices, [str(step["text"]) for step in steps], findings, str(token)


def chosen(choices):
    return [str(device["device"]) for choice in choices for device in choice["chosen"]]


def why_a_device(service):
    """A device of a group, one that just misses it, one that an exclude rule keeps out."""
    client = service.start()
    group = client.create_group("nics")
    client.add_rule(group, [("vendor-id", "eq", "8086"), ("slot", "eq", NIC)], "mine")
    other = client.create_group("others")
    client.add_rule(other, [("vendor-id", "eq", "8086")], "all")
    client.add_rule(other, [("slot", "eq", NIC2)], "not that", {"action": "exclude"})
    found = client.explain(client.device(NIC), "Device")
    check("mine" in find(found, "member", group="nics")["text"], "the rule that brings it in")
    find(found, "available")
    find(found, "bound", culprit="e1000e")
    check(find(found, "child", subsystem="net")["name"], "its network interface is named")
    found = client.explain(client.device(NIC2), "Device")
    miss = find(found, "near-miss", group="nics")
    check("fails only on slot" in miss["text"] and NIC in miss["text"] and NIC2 in miss["text"], miss["text"])
    check("not that" in find(found, "excluded", group="others")["text"], "the exclude rule is named")
    # The disk's vendor and place are both different: nothing comes near it.
    found = client.explain(client.device(NVME), "Device")
    equal(codes(found, topic="membership", group="nics"), [], "a rule of which nothing fits")
    find(found, "no-group")
    # A rule with a single condition that names something else says nothing of this device, unless all are asked for.
    only = client.create_group("only")
    client.add_rule(only, [("slot", "eq", NIC)], "that")
    equal(codes(client.explain(client.device(NVME), "Device"), topic="membership", group="only"), [], "about another")
    found = client.explain(client.device(NVME), "Device", **{"all-rules": True})
    equal(sorted(codes(found, topic="membership", group="only")), ["no-match"], "asked for")
    check("fails on slot" in find(found, "no-match", group="only")["text"], "not as if it nearly fitted")
    equal(codes(found, topic="membership", group="nics"), ["no-match"], "both conditions")
    name, text = bus_error(client.call, client.device(NIC), "Device", "Explain", "a{sv}", {"all-rules": "perhaps"})
    equal(name, "InvalidValue", text)
    # Without asking a worker.
    found = [{str(k): str(v) for k, v in f.items()}
             for f in client.call(client.device(NIC), "Device", "Explain", "a{sv}", {"processes": False})]
    equal(codes(found, code="child"), [], "nobody looked")
    name, text = bus_error(client.call, client.device(NIC), "Device", "Explain", "a{sv}", {"proceses": True})
    equal(name, "UnknownOption", text)
    check("processes" in text, text)
    # Companions.
    found = client.explain(client.device(MF[0]), "Device")
    check(MF[1] in find(found, "companion")["text"], "what moves along")


def why_a_group(service):
    client = service.start()
    group = client.create_group("nics")
    find(client.explain(group, "Group"), "no-rules", severity="blocker")
    rule = client.add_rule(group, [("vendor-id", "eq", "8086"), ("slot", "eq", "0000:99:00.0")])
    found = client.explain(group, "Group")
    find(found, "no-members", severity="blocker")
    near = find(found, "near-miss", subject=device_id(NIC))
    check("only on slot" in near["text"] and "0000:99:00.0" in near["text"], near["text"])
    # Of what nobody has read it is not said that it would fit.
    card = client.create_group("card")
    client.add_rule(card, [("serial", "eq", "of another card"), ("vendor-id", "eq", "8086"), ("slot", "ne", NIC2)])
    near = [f for f in client.explain(card, "Group") if f["code"] == "near-miss" and f["subject"] == device_id(NIC2)]
    equal(near, [], "near misses of which a part is not known")
    client.call(rule, "Rule", "Update", "a{sv}a{sv}", {"where": [["slot", "eq", NIC]]}, {})
    find(client.explain(group, "Group"), "available")
    allocation, job = client.allocate("vm1", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    found = client.explain(group, "Group")
    find(found, "none-available", severity="blocker")
    check("vm1" in find(found, "claimed")["text"], "by whom")
    check("vm1" in find(found, "consumer")["text"], "who has its devices")
    client.must(allocation, "Release")


def why_an_allocation(service):
    """Waiting: for what, and who has it. Failed, and claimed without a job."""
    client = service.start()
    client.pool("nics", NIC)
    first, job = client.allocate("vm1", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    second, _ = client.allocate("vm2", "nics", activate=True, wait=True)
    found = client.explain(second, "Allocation")
    find(found, "waiting")
    check("vm1" in find(found, "claimed", subject=device_id(NIC))["text"], "who has the candidate")
    third, job = client.allocate("vm3", "nics", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "no wait")
    found = client.explain(third, "Allocation")
    check("NoDeviceAvailable" in find(found, "last-failure")["text"], "its failure")
    find(found, "claimed", subject=device_id(NIC))
    for allocation in (third, second, first):
        client.must(allocation, "Release")


def who_has_it_open(service):
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm1", "nics", activate=True, node_uid=1001)
    equal(client.wait_job(job)[0], "done", "activate")
    with Holder(NIC, 1001) as holder:
        pid = str(holder.process.pid)
        for path, interface in ((client.device(NIC), "Device"), (allocation, "Allocation")):
            found = find(client.explain(path, interface), "open", pid=pid)
            equal(found["node"], node(NIC), "the node")
            check(found["command"] and found["command"] in found["text"] and pid in found["text"], found["text"])
        choices, steps, found, _ = plan(client, "deactivate", [allocation])
        check(pid in find(found, "open")["text"], "a plan of Deactivate names who is waited for")
        check(any("e1000e" in step for step in steps), f"the driver that comes back: {steps}")
    equal(codes(client.explain(allocation, "Allocation"), code="open"), [], "nobody")
    client.must(allocation, "Release")


def by_somebody_else(service):
    """A process that has a VFIO group open which nobody allocated: bound by hand, opened by hand."""
    client = service.start()
    client.pool("nics", NIC)
    device = SYS / NIC
    (device / "driver_override").write_text("vfio-pci\n")
    (device / "driver" / "unbind").write_text(NIC)
    pathlib.Path("/sys/bus/pci/drivers_probe").write_text(NIC)
    equal(driver(NIC), "vfio-pci", "bound by hand")
    with Holder(NIC) as holder:
        found = find(client.explain(client.device(NIC), "Device"), "open-by-other", pid=str(holder.process.pid))
        equal((found["severity"], found["node"]), ("warning", node(NIC)), "the holder")
        check("end process" in found["remedy"] or "systemctl" in found["remedy"], found["remedy"])
    (device / "driver_override").write_text("\n")
    (device / "driver" / "unbind").write_text(NIC)
    pathlib.Path("/sys/bus/pci/drivers_probe").write_text(NIC)
    equal(driver(NIC), "e1000e", "given back by hand")


def plan_says_all(service):
    """Several requests, companions and their fate, what the host loses, how long it takes."""
    client = service.start()
    client.pool("nics", NIC, NIC2)
    client.pool("cards", MF[0])
    client.pool("disks", NVME)
    choices, steps, found, token = plan(client, requests=["nics", {"group": "cards", "name": "card"},
                                                          {"group": "disks", "count": 2, "optional": True}])
    equal(chosen(choices), [device_id(NIC), device_id(MF[0])], "choices")
    equal([str(c["device"]) for c in choices[0]["candidates"]], [device_id(NIC), device_id(NIC2)], "all candidates")
    check(all("score" in c for c in choices[0]["candidates"]), "with their scores")
    companion = choices[1]["chosen"][0]["companions"][0]
    equal((str(companion["device"]), str(companion["fate"])), (device_id(MF[1]), "given"), "the companion")
    check(any("vfio-pci" in step for step in steps), f"steps: {steps}")
    check(find(found, "netdev-disappears")["name"], "a network interface goes")
    check("optional" in find(found, "no-device-available", severity="note")["text"], "what the optional request gets")
    find(found, "reboot-not-needed")
    equal(codes(found, severity="blocker"), [], "blockers")
    equal(plan(client, requests=["nics", {"group": "cards", "name": "card"}, {"group": "disks", "count": 2, "optional": True}])[3],
          token, "the same again is the same token")
    choices, _, found, _ = plan(client, requests=["disks"])
    check("disk" in find(found, "disk-disappears")["text"] or codes(found), "the disk goes")
    # What cannot be had is an answer, too: with everybody's reasons.
    choices, _, found, blocked = plan(client, requests=[{"group": "disks", "count": 2}, {"group": "nics", "count": 3}])
    equal(len(codes(found, code="no-device-available", severity="blocker")), 2, "both requests are told")
    name, text = bus_error(plan, client, "explode", (), ["nics"])
    equal(name, "InvalidValue", text)
    check("deactivate" in text and "reset" in text, text)
    # How long it takes is known once it ran.
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    check("median of the last 1" in find(plan(client, requests=["nics"])[2], "expected-duration")["text"], "after one run")
    found = find(plan(client, "release", [allocation])[2], "driver-returns")
    check("e1000e" in found["text"], found["text"])
    find(plan(client, "remove", [client.group("nics")])[2], "group-in-use", severity="blocker")
    find(plan(client, "reset", [client.device(NVME)])[2], "in-use-by-host", severity="blocker")
    client.must(allocation, "Release")
    steps = plan(client, "remove", [client.group("nics")])[1]
    check(any("remove the group" in step for step in steps), steps)
    if not IN_VM:  # where a restart takes its time
        client = service.restart()
        check("median of the last 1" in find(plan(client, requests=["nics"])[2], "expected-duration")["text"], "from the history")


def taken_between(service):
    """Another caller takes the planned device between Plan and Activate: nothing happens, and the answer names it."""
    client, rival = service.start(), Client()
    client.pool("nics", NIC, NIC2)
    allocation, _ = client.allocate("vm", "nics")
    token = plan(client, objects=[allocation])[3]
    theirs, job = rival.allocate("rival", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "the rival")
    result, error, message = client.run(allocation, "Activate", plan=token)
    equal((result, error), ("failed", "PlanChanged"), message)
    check(NIC in message and NIC2 in message, f"what was chosen and what would be now: {message}")
    equal(driver(NIC2), "e1000e", "nothing was done")
    # Now there is one left, and then none.
    token = plan(client, objects=[allocation])[3]
    more, job = rival.allocate("third", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "the third")
    result, error, message = client.run(allocation, "Activate", plan=token)
    equal((result, error), ("failed", "PlanChanged"), message)
    check(NIC2 in message and "third" in message, f"who has it: {message}")
    # A change that does not concern it does not void a plan: neither claims of others nor a new group.
    rival.must(more, "Release")
    if IN_VM:  # the rest is the service's own
        for path in (allocation, theirs):
            client.must(path, "Release")
        return
    token = plan(client, objects=[allocation])[3]
    client.pool("disks", NVME)
    disk, job = rival.allocate("disk", "disks", activate=True)
    equal(client.wait_job(job)[0], "done", "the disk")
    client.must(allocation, "Activate", plan=token)
    result, error, message = client.run(disk, "Deactivate")
    equal(result, "done", message)
    # After a restart nobody knows any more what the token stood for.
    client.must(allocation, "Deactivate")
    client = service.restart()
    result, error, message = client.run(allocation, "Activate", plan="0" * 32)
    equal((result, error), ("failed", "PlanChanged"), message)
    check("not known" in message, message)
    for path in (allocation, theirs, disk):
        client.must(path, "Release")


def tree(*slots):
    """Everything that can be seen of the devices, their group nodes and the control files of the bus."""
    seen = {}
    for slot in slots:
        for entry in sorted((SYS / slot).resolve().rglob("*")):
            try:
                mode = entry.lstat()
                if stat.S_ISLNK(mode.st_mode):
                    seen[str(entry)] = os.readlink(entry)
                elif entry.name in ("driver_override", "enable", "class", "vendor", "sriov_numvfs", "reset_method", "power_state"):
                    seen[str(entry)] = entry.read_text()
                else:
                    seen[str(entry)] = mode.st_mode
            except OSError:
                seen[str(entry)] = None
    for entry in sorted(pathlib.Path("/dev/vfio").glob("*")) if pathlib.Path("/dev/vfio").exists() else []:
        seen[str(entry)] = (entry.stat().st_uid, entry.stat().st_mode)
    return seen


def rows():
    """Both databases, byte by byte and as rows. The service has them locked: their copies are read."""
    seen = {}
    with tempfile.TemporaryDirectory(dir=os.environ["PT_DIR"]) as directory:
        for name, folder in (("state.db", STATE), ("runtime.db", RUNTIME)):
            for file in sorted(folder.glob(name + "*")):
                if file.suffix != ".db-shm":
                    seen[file.name] = [file.read_bytes()]
                    shutil.copy(file, directory)
            seen[name + " rows"] = snapshot.dump(pathlib.Path(directory, name))
    return seen


def nothing_is_changed(service):
    """Plans and explanations of everything, for every verb: the host and both databases are what they were, to the last
    row and entry, and the kernel was sent nothing that it would have told anybody."""
    client = service.start()
    slots = (NIC, NIC2, NVME, *MF)
    client.pool("nics", NIC, NIC2)
    client.pool("cards", MF[0])
    active, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    idle, _ = client.allocate("idle", "cards", thick=True)
    service.stop()
    client = service.start()
    before, stored = tree(*slots), rows()
    sent = None if IN_VM else ctl("uevents-sent")
    state = client.state(active), client.state(idle), client.device_state(NIC2)
    for verb, objects, requests in (
            ("activate", [], ["nics", "cards"]), ("activate", [idle], []), ("deactivate", [active], []),
            ("release", [idle], []), ("remove", [client.group("nics")], []), ("reset", [client.device(NIC)], []),
            ("provision", [client.device(NVME)], []), ("unprovision", [client.device(NVME)], [])):
        plan(client, verb, objects, requests)
    for slot in (NIC, NVME):
        client.explain(client.device(slot), "Device")
    client.explain(client.group("nics"), "Group")
    client.explain(active, "Allocation")
    client.call(client.group("nics"), "Group", "PreviewRule", "a(sss)a{sv}", [("vendor-id", "eq", "8086")], {})
    equal((client.state(active), client.state(idle), client.device_state(NIC2)), state, "states")
    after = tree(*slots)
    check(after == before, f"the host: {sorted(set(after.items()) ^ set(before.items()))[:5]}")
    if not IN_VM:
        equal(ctl("uevents-sent"), sent, "uevents")
    again = rows()
    for name, lines in stored.items():
        check(again[name] == lines, f"{name}: {str(sorted(set(lines) ^ set(again[name])))[:500]}")
    # Its claim is what it was: another consumer still cannot have it, its own can.
    client.must(idle, "Activate")
    client.must(idle, "Release")
    client.must(active, "Release")


def preview(service):
    client = service.start()
    client.pool("first", NIC)
    group = client.create_group("second")

    def ask(*where):
        matched, near, claimed, findings = client.call(group, "Group", "PreviewRule", "a(sss)a{sv}", list(where), {})
        return ([str(p) for p in matched], near, {str(c["device"]): [str(g) for g in c["groups"]] for c in claimed},
                [{str(k): str(v) for k, v in f.items()} for f in findings])

    matched, near, claimed, findings = ask(("vendor-id", "eq", "8086"), ("slot", "eq", NIC))
    equal(matched, [client.device(NIC)], "what matches")
    check((device_id(NIC2), "slot", NIC2) in [(str(n["device"]), str(n["field"]), str(n["is"])) for n in near], "a near miss")
    equal(claimed, {device_id(NIC): ["first"]}, "other groups that have it")
    find(findings, "other-groups", severity="warning")
    find(ask(("numa-node", "lt", "1"), ("numa-node", "gt", "3"))[3], "contradiction", severity="warning")
    find(ask(("iommu-group", "eq", "3"))[3], "volatile-field")
    name, text = bus_error(ask, ("serial-number-of-usb", "eq", "x"))
    equal(name, "UnknownField", text)
    check("vendor-id" in text, f"the fields of the type are named: {text}")
    name, text = bus_error(ask, ("numa-node", "eq", "many"))
    check(name.startswith("Invalid"), f"{name}: {text}")


main([why_a_device, why_a_group, why_an_allocation, who_has_it_open, by_somebody_else, plan_says_all, taken_between,
      nothing_is_changed, preview])
