#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Documents of groups and rules: applying twice changes nothing, a dry run changes nothing, a crash in the middle leaves all or
nothing, and a large one keeps nobody else waiting. Reports say all but what is secret."""
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import dbus

from passthrough import Client, STATE, bus_error, check, equal, main
from place import IN_VM
from witness import CALL_SECONDS

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
MANY = 1000 if IN_VM else 5000


def apply(client, document, **options):
    options = {key.replace("_", "-"): value for key, value in options.items()}
    text = document if isinstance(document, str) else json.dumps(document)
    return [(str(c["action"]), str(c["kind"]), str(c["id"])) for c in client.manager("Apply", "sa{sv}", text, options, timeout=120)]


def export(client):
    return str(client.manager("Export", "a{sv}", {}))


# Another process that keeps asking, and says at the end how long it waited for an answer at most.
OTHER = """
import select, sys, time
from passthrough import Client
client, worst = Client(), 0.0
print("begun", flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    began = time.monotonic()
    client.readiness()
    worst = max(worst, time.monotonic() - began)
print(worst)
"""


def document(n, word="one"):
    """A group of so many rules, none of which matches a device but the first."""
    rules = [{"id": f"many-{i}", "group": "many", "name": f"rule {i} {word}",
              "where": [["slot", "eq", NIC if i == 0 else f"00ff:{i % 256:02x}:{i // 256:02x}.0"]]} for i in range(n)]
    return {"version": 1, "groups": [{"id": "many", "name": "many", "type": "pci"}], "rules": rules}


def stored():
    """What is on disk, as a start would find it."""
    with tempfile.TemporaryDirectory() as directory:
        for path in STATE.glob("state.db*"):
            shutil.copy(path, directory)
        db = sqlite3.connect(f"{directory}/state.db")
        return {table: db.execute(f"SELECT key, owner, body FROM {table} ORDER BY key").fetchall() for table in ("groups", "rules")}


def twice(service):
    client = service.start()
    client.make_resource("nics", NIC)
    client.pool("disks", NVME)
    text, before = export(client), stored()
    equal(apply(client, text), [], "what was exported")
    equal(apply(client, text, prune=True), [], "as the whole state")
    new = json.loads(text)
    new["groups"][0]["description"] = "new"
    new["groups"].append({"id": "more", "name": "more", "type": "pci"})
    new["rules"].append({"id": "more-1", "group": "more", "where": f"slot = {NIC2}"})
    wanted = [("update", "group", new["groups"][0]["id"]), ("create", "group", "more"), ("create", "rule", "more-1")]
    equal(apply(client, new, dry_run=True), wanted, "a dry run")
    equal((export(client), stored()), (text, before), "after a dry run")
    equal(apply(client, new), wanted, "applied")
    equal(apply(client, new), [], "a second time")
    equal(apply(client, export(client)), [], "what it made")
    client = service.restart()
    equal(apply(client, new), [], "after a restart")
    # A group that is named is described in full; one that is not stays.
    alone = {"version": 1, "groups": [g for g in new["groups"] if g["id"] == "more"], "rules": []}
    equal(apply(client, alone), [("remove", "rule", "more-1")], "without its rule")
    equal(apply(client, alone, prune=True, dry_run=True)[-2:], [("remove", "group", "nics"), ("remove", "group", "disks")],
          "as the whole state")
    equal(bus_error(apply, client, {**alone, "goups": []})[0], "UnknownOption", "an unknown key")
    message = bus_error(apply, client, json.dumps({**alone, "rules": [{"id": "x", "group": "more", "were": "slot = 1"}]}, indent=1))[1]
    check("/rules/0/were (line " in message and "did you mean 'where'?" in message, message)


def layouts(service):
    """Groups that no layout of a provider serves together are refused before anything is stored, whatever the order of the edits."""
    client = service.start()
    pf = "0000:08:00.0"

    def of(vfs, *ranges, **more):
        """A document of groups with so many functions each, of these ranges of indices."""
        groups = [{"id": f"nics{i}", "name": f"nics{i}", "type": "sriov", "settings": {"vfs": n}} for i, n in enumerate(vfs)]
        rules = [{"id": f"nics{i}-1", "group": f"nics{i}", "where": " and ".join([f"provider.slot = {pf}", *ranges[i]])}
                 for i in range(len(ranges))]
        return {"version": 1, "groups": groups, "rules": rules, **more}

    def refused(document, *words, **options):
        text, before = export(client), stored()
        for dry_run in (True, False):
            error, message = bus_error(apply, client, document, dry_run=dry_run, **options)
            equal(error, "LayoutConflict", message)
            check(all(word in message for word in words), message)
        equal((export(client), stored()), (text, before), "after a refusal")

    refused(of([2, 5], [], []), "/groups/1 (line 1", "'nics1' needs 5", "'nics0' wants 2 there")
    refused(of([8], []), "/groups/0", "makes 7 at most")
    low, high = ["vf-index <= 3"], ["vf-index >= 4"]
    equal(len(apply(client, of([4, 3], low, high))), 4, "ranges of their own")
    refused(of([4, 4], low, high), "'nics1' wants 4", "3 of the 7")
    refused(of([4, 3], low, []), "/groups/")
    # Each of the two edits alone is a conflict, and both together are none.
    equal(len(apply(client, of([3, 4], ["vf-index <= 2"], ["vf-index >= 3"]))), 4, "at once")
    # A group that the document does not name stays and counts; one that it removes does not.
    alone = of([5], [])
    alone["groups"][0]["id"] = alone["groups"][0]["name"] = alone["rules"][0]["group"] = "more"
    alone["rules"][0]["id"] = "more-1"
    refused(alone, "'more'")
    equal(len(apply(client, alone, prune=True)), 6, "in place of all others")
    equal(apply(client, {"version": 1, "groups": [{"id": "disks", "name": "disks", "type": "pci"}], "rules": []}),
          [("create", "group", "disks")], "of another type")


def contradictions(service):
    """A rule that can match nothing is applied, and said."""
    client = service.start()
    rules = [{"id": f"nics-{i}", "group": "nics", "where": where} for i, where in
             enumerate(("numa-node < 0 and numa-node > 3", f"slot = {NIC}"))]
    text = json.dumps({"version": 1, "groups": [{"id": "nics", "name": "nics", "type": "pci"}], "rules": rules})
    changes = client.manager("Apply", "sa{sv}", text, {"dry-run": True})
    found = {str(c["id"]): [str(f["code"]) for f in c.get("findings", [])] for c in changes if str(c["kind"]) == "rule"}
    equal(found, {"nics-0": ["contradiction"], "nics-1": []}, "findings")
    tool = os.environ.get("PT_CTL", "/none")
    if os.path.exists(tool):
        output = subprocess.run([tool, "apply", "--dry-run", "-"], input=text, capture_output=True, text=True, timeout=60)
        check("warning: " in output.stdout and "numa-node" in output.stdout, f"{output}")


def kept_for_another_module(service):
    """What a host's modules do not know is kept, exported, and applied again; in a new document it is a mistake."""
    client = service.start()
    client.pool("nics", NIC)
    service.stop()
    with sqlite3.connect(f"{STATE}/state.db") as db:
        body = json.loads(db.execute("SELECT body FROM groups").fetchone()[0])
        body["settings"]["of-tomorrow"] = "7"
        db.execute("UPDATE groups SET body = ?", [json.dumps(body)])
        body = json.loads(db.execute("SELECT body FROM rules").fetchone()[0])
        body["where"] = [["field-of-tomorrow", "eq", "7"]]
        db.execute("UPDATE rules SET body = ?", [json.dumps(body)])
        body = {"name": "gone", "type": "thirdparty", "description": "", "class": "unknown", "enabled": True,
                "settings": {"a": "b"}, "user-defined": [], "choice": "order", "tenant": ""}
        db.execute("INSERT INTO groups (key, body) VALUES ('gone', ?)", [json.dumps(body)])
    db.close()
    client = service.start()
    text = export(client)
    check("of-tomorrow" in text and "field-of-tomorrow" in text and "thirdparty" in text, text)
    equal(apply(client, text, prune=True), [], "what was exported")
    edited = json.loads(text)
    edited["groups"][1]["description"] = edited["groups"][0]["description"] = "edited"
    edited["rules"][0]["name"] = "edited"
    equal(apply(client, edited), [("update", "group", "gone"), ("update", "group", "nics"), ("update", "rule", "nics-1")],
          "edits beside it")
    equal(json.loads(export(client)), edited, "what is kept")
    foreign = json.loads(text.replace('"nics', '"nice'))
    foreign["groups"] = foreign["groups"][1:]
    equal(bus_error(apply, client, foreign)[0], "UnknownSetting", "another group")
    equal(len(apply(client, foreign, keep_invalid=True)), 2, "of another host")


def attempt(wanted):
    try:
        apply(Client(), wanted)
    except dbus.DBusException:
        pass  # whoever was to answer is dead


def killed(service):
    """At whatever moment the service dies: what is on disk is the one document or the other."""
    client = service.start()
    equal(len(apply(client, document(200))), 201, "the first document")
    sides = [stored()]
    apply(client, document(200, "two"))
    sides.append(stored())
    which = 1
    seen = set()
    for delay in [n * (0.02 if IN_VM else 0.004) for n in range(6 if IN_VM else 14)]:
        wanted = document(200, "one" if which == 1 else "two")
        call = threading.Thread(target=lambda wanted=wanted: attempt(wanted), daemon=True)
        call.start()
        time.sleep(delay)
        service.kill()
        now = stored()
        check(now in sides, f"killed after {delay} s: neither the one document nor the other")
        seen.add(now == sides[which])
        which = sides.index(now)
        client = service.start()
        equal(json.loads(export(client))["rules"][0]["name"], f"rule 0 {'one' if which == 0 else 'two'}", "after the start")
    check(seen == {True, False} or IN_VM, f"kills came before and after the commit: {seen}")


def large(service):
    """Others are answered while thousands of rules are read, written and matched."""
    client = service.start()
    text = json.dumps(document(MANY))
    with subprocess.Popen([sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()  # it has begun
        times = []
        for _ in range(2):
            began = time.monotonic()
            changes = apply(client, text)
            times.append(time.monotonic() - began)
            equal(len(changes), MANY + 1 if len(times) == 1 else 0, "changes")
        worst = float(other.communicate("")[0])
    equal(len(client.get(client.group("many"), "Group", "Devices")), 1, "members")
    print(f"# {MANY} rules: applied in {times[0]:.2f} s, unchanged in {times[1]:.2f} s, others waited {worst * 1000:.0f} ms at "
          "most", flush=True)
    check(worst < CALL_SECONDS, f"others waited {worst:.3f} s")
    equal(apply(client, {"version": 1, "groups": [], "rules": []}, prune=True)[-1], ("remove", "group", "many"), "removed")


def report(service):
    client = service.start()
    client.make_resource("nics", NIC)
    secret = str(client.get(client.device(NIC), "Device.Pci", "Serial"))
    check(secret, "the card has a serial number")
    client.allocate(f"vm of {secret.lower()} and 52:54:00:aa:bb:cc", "nics")

    def read(**options):
        descriptor = client.manager("SupportReport", "a{sv}", dbus.Dictionary(options, signature="sv"))
        with os.fdopen(descriptor.take(), encoding="utf-8") as f:
            return f.read()
    text = read()
    parsed = json.loads(text)
    check(secret.lower() not in text.lower(), "the serial number is nowhere")
    check("52:54:00" not in text, "nor is an address")
    equal(parsed["allocations"][0]["consumer"], "vm of <scrubbed> and <mac>", "what is in its place")
    equal(set(parsed), {"versions", "service", "configuration", "modules", "devices", "groups", "rules", "allocations", "jobs",
                        "history", "log"}, "sections")
    check(len(parsed["devices"]) > 5 and parsed["history"] and parsed["log"], "they hold something")
    check(parsed["versions"]["kernel"] == os.uname().release, "versions")
    full = json.loads(read(full=True))
    device, = [d for d in full["devices"] if d["place"] == NIC and d["type"] == "pci"]
    equal(device["fields"]["serial"], secret, "with all")
    equal([str(row["operation"]) for row in client.history(operation="support-report")], ["support-report"] * 2, "noted")


main([twice, layouts, contradictions, kept_for_another_module, killed, large, report], may_crash=True)
