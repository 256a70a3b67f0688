#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the physical function's link and its embedded switch rule out is said before anything is tried."""
import pathlib
import subprocess

import dbus

from passthrough import SYS, check, equal, main, wait_until
from vfs import NIC, SIMULATED, clean, group_of, interface, link_up, records, update

PF = "sriov-" + NIC.replace(":", "-").replace(".", "-")


def plan(client, group="nics"):
    """Findings about the devices by code, and the sentences of the steps."""
    requests = [dbus.Dictionary({"group": group}, signature="sv")]
    choices, steps, findings, _token = client.manager("Plan", "saoaa{sv}a{sv}", "activate", dbus.Array(signature="o"), requests, {})
    codes = {}
    for finding in findings:
        codes.setdefault(str(finding["code"]), []).append((str(finding["severity"]), str(finding["text"])))
    for choice in choices:
        for candidate in choice["candidates"]:
            for finding in candidate.get("blockers", []):
                codes.setdefault(str(finding["code"]), []).append((str(finding["severity"]), str(finding["text"])))
    return codes, [str(step["text"]) for step in steps]


def speed(client):
    return int(client.get(client.device(PF), "Device.Sriov", "Speed"))


def refused(client, words):
    """By an activation, before its first step."""
    found = records()
    allocation, job = client.allocate("vm", "nics", activate=True)
    result = client.wait_job(job)
    equal(result[:2], ("failed", "NoDeviceAvailable"), result[2])
    check(words in result[2], result[2])
    equal(records(), found, "nothing was tried")
    client.must(allocation, "Release")


def remove(client, group):
    job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
    equal(client.wait_job(job)[0], "done", "removed")


def above_the_link(service):
    """A rate that the card cannot have; a function has no speed of its own."""
    link_up()
    client = service.start()
    group = group_of(client, {"max-rate": 2000})
    # Making functions takes the link down for a moment.
    wait_until(lambda: speed(client) == 1000, 60, "the speed of the card")
    codes, _steps = plan(client)
    check("rate-above-link" in codes, f"{codes}")
    severity, text = codes["rate-above-link"][0]
    equal(severity, "blocker", text)
    check("2000 Mbit/s" in text and "1000 Mbit/s" in text, text)
    refused(client, "above the speed of the link")
    update(client, group, max_rate=1000)
    codes, steps = plan(client)
    check("rate-above-link" not in codes and "link-speed-unknown" not in codes, f"{codes}")
    check(any("max-rate=1000" in step for step in steps), f"{steps}")
    remove(client, group)


def read_when_asked(service):
    """Nobody has asked for the card's speed before: the first plan and the first activation ask."""
    link_up()
    client = service.start()
    group = group_of(client, {})
    wait_until(lambda: speed(client) == 1000, 60, "the link to be up again")
    for first in (lambda: check("rate-above-link" in plan(client)[0], "the plan"),
                  lambda: refused(client, "above the speed of the link")):
        client = service.restart()
        group = client.group("nics")
        update(client, group, max_rate=1001)
        first()
    remove(client, group)


def set_link(up):
    if SIMULATED:
        folder = SYS / NIC / "net" / interface()
        for name, text in (("speed", "1000\n" if up else "-1\n"), ("operstate", "up\n" if up else "down\n")):
            (folder / name).unlink()
            (folder / name).write_text(text)
    elif up:
        link_up()
    else:
        subprocess.run(["ip", "link", "set", interface(), "down"], check=True)


def without_link(service):
    """Then nobody knows, which is no reason to refuse."""
    set_link(False)
    client = service.start()
    group = group_of(client, {"max-rate": 5000})
    wait_until(lambda: speed(client) == 0, 60, "the link to be down")
    codes, _steps = plan(client)
    check("rate-above-link" not in codes, f"{codes}")
    severity, text = codes["link-speed-unknown"][0]
    equal(severity, "note", text)
    check("5000 Mbit/s" in text, text)
    remove(client, group)
    set_link(True)


def switchdev(service):
    """On the simulated host: functions behind the embedded switch are configured by their representors."""
    if not SIMULATED:
        return
    mode = pathlib.Path(SIMULATED) / NIC / "eswitch-mode"
    mode.write_text("switchdev\n")
    client = service.start()
    group = group_of(client, {"vlan": 10})
    wait_until(lambda: str(client.get(client.device(PF), "Device.Sriov", "EswitchMode")) == "switchdev", 30, "the field")
    codes, _steps = plan(client)
    severity, text = codes["setting-not-offered"][0]
    equal(severity, "blocker", text)
    check("switchdev" in text and "vlan" in text and "igb" in text, text)
    refused(client, "switchdev")
    update(client, group, vlan=0)
    codes, steps = plan(client)
    check(all(severity == "note" for severity, _text in codes["setting-not-offered"]), f"{codes}")
    check(not any("spoof" in step for step in steps), f"left out: {steps}")
    check(any("MAC address" in step for step in steps), f"addresses are set in any mode: {steps}")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "without what is not offered")
    client.must(allocation, "Release")
    remove(client, group)
    mode.write_text("legacy\n")


main([clean(test) for test in (above_the_link, read_when_asked, without_link, switchdev)])
