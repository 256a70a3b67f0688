#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What GPUs can be divided into, and what is said where they can't: another driver, the driver for compute, no virtual functions,
MIG mode that is half switched, no library, a group without a profile, a GPU that somebody has as a whole."""
import re

import dbus

from nvml import change, state
from passthrough import bus_error, check, equal, main, wait_until
from place import ctl

L40S, A100, H100, PRO6000, COMPUTE, OTHER, T4 = (f"0000:{bus:02x}:00.0" for bus in range(3, 10))


def vgpu(slot):
    return "vgpu-" + re.sub("[:.]", "-", slot)


def codes(findings, severity=None):
    return [f["code"] for f in findings if severity in (None, f["severity"])]


def finding(findings, code):
    found = [f for f in findings if f["code"] == code]
    check(found, f"no {code} in {codes(findings)}")
    return found[0]


def wait_for(client, path, interface, code):
    """The library is asked after the start."""
    return finding(wait_until(lambda: (lambda f: f if code in codes(f) else None)(client.explain(path, interface)), 20, code), code)


def pool(client, name, slot, **settings):
    group = client.create_group(name, "vgpu", settings)
    client.add_rule(group, [("provider.slot", "eq", slot)])
    return group


def other_driver(service):
    """A GPU that could, but whose driver is another one: found out when somebody pools it, or asks."""
    client = service.start()
    blocker = finding(client.explain(client.device(vgpu(OTHER)), "Device"), "vgpu-not-offered")
    check("nouveau" in blocker["text"] and "Virtual GPU Manager" in blocker["remedy"], blocker)
    rules = client.manager("MakeResource", "aosa{sv}", [client.device(OTHER)], "asked", {"type": "vgpu"})
    check(len(rules) == 1, rules)
    group = client.group("asked")
    equal((int(client.get(group, "Group", "Total")), int(client.get(group, "Group", "Available"))), (0, 0), "what there is")
    found = finding(client.explain(group, "Group"), "vgpu-not-offered")
    equal((found["provider"], found["culprit"]), (vgpu(OTHER), "nouveau"), "who stands in the way")
    allocation, job = client.allocate("vm", "asked", activate=True)
    result = client.wait_job(job)
    check(result[:2] == ("failed", "NoDeviceAvailable") and "nouveau" in result[2], result)
    client.must(allocation, "Release")
    # Nobody said of which type: as it is now it is a GPU for one guest.
    client.make_resource("plain", OTHER)
    equal(str(client.get(client.group("plain"), "Group", "Type")), "pci", "the type that nobody said")


def compute_driver(service):
    client = service.start()
    blocker = wait_for(client, client.device(vgpu(COMPUTE)), "Device", "vgpu-not-offered")
    check('"none"' in blocker["text"] and "in place of the one for compute" in blocker["remedy"], blocker)
    client.make_resource("compute", COMPUTE)
    equal(str(client.get(client.group("compute"), "Group", "Type")), "pci", "the type that nobody said")
    # The one beside it can.
    wait_for(client, client.device(vgpu(L40S)), "Device", "functions-off")
    client.make_resource("desktops", L40S)
    equal(str(client.get(client.group("desktops"), "Group", "Type")), "vgpu", "of one with the driver for it")


def no_library(service):
    """A call that fails, or a library that can't be opened, is said."""
    client = service.start()
    change(None, faults={"nvmlInit_v2": 18})
    try:
        client = service.restart()
        found = wait_for(client, client.device(vgpu(L40S)), "Device", "library-unavailable")
        check("different versions" in found["text"], found)
    finally:
        change(None, faults=None)


def mig_states(service):
    """MIG mode that waits for a reset, as something uses the GPU; on, and without instances; off."""
    client = service.start()
    state_file = "/run/passthroughd-simhost/kernel/device/%s/gpu-state"
    try:
        before = state(A100)
        with open(state_file % A100, "w", encoding="ascii") as f:
            f.write(f"generation {before['generation']};mig 0 1;mixed 0;scheduler 0 0 0 0")
        with open(state_file % H100, "w", encoding="ascii") as f:
            f.write(f"generation {state(H100)['generation']};mig 1 1;mixed 0;scheduler 0 0 0 0")
        client = service.restart()
        found = wait_for(client, client.device(vgpu(A100)), "Device", "mig-pending")
        check("is to be on" in found["text"] and "--gpu-reset" in found["remedy"], found)
        wait_for(client, client.device(vgpu(H100)), "Device", "no-gpu-instances")
        check("mig-pending" not in codes(client.explain(client.device(vgpu(H100)), "Device")), "it is not pending there")
    finally:
        with open(state_file % A100, "w", encoding="ascii") as f:
            f.write(f"generation {state(A100)['generation']};mig 0 0;mixed 0;scheduler 0 0 0 0")
        with open(state_file % H100, "w", encoding="ascii") as f:
            f.write(f"generation {state(H100)['generation']};mig 0 0;mixed 0;scheduler 0 0 0 0")


def incomplete(service):
    """A group may be saved without a profile: it has nothing, and says what to do."""
    client = service.start()
    wait_until(lambda: len(client.get(client.device(vgpu(T4)), "Provider", "Children")) == 16, 20, "the slots")
    group = pool(client, "unsaid", T4)
    equal(int(client.get(group, "Group", "Available")), 0, "available without a profile")
    found = finding(client.explain(group, "Group"), "incomplete")
    check("T4-4Q" in found["remedy"], found)
    allocation, job = client.allocate("vm", "unsaid", activate=True)
    result = client.wait_job(job)
    check(result[1] == "NoDeviceAvailable" and "no profile" in result[2], result)
    client.must(allocation, "Release")
    client.call(group, "Group", "Update", "a{sv}a{sv}",
                {"settings": dbus.Dictionary({"profile": "T4-4Q"}, signature="sv")}, {})
    check(int(client.get(group, "Group", "Available")) > 0, "available with one")
    check("incomplete" not in codes(client.explain(group, "Group")), "it is complete")
    allocation, job = client.allocate("vm", "unsaid", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    client.must(allocation, "Release")


def whole_or_parts(service):
    """Who has the GPU as a whole is named to those who want a part of it, and the other way round."""
    client = service.start()
    wait_for(client, client.device(vgpu(L40S)), "Device", "functions-off")
    parts = client.create_group("parts", "vgpu", {})
    client.add_rule(parts, [("provider.slot", "eq", L40S)])
    client.pool("whole", L40S)
    whole, job = client.allocate("big guest", "whole", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the whole GPU")
    found = finding(client.explain(parts, "Group"), "claimed")
    check("big guest" in found["text"], found)
    allocation, job = client.allocate("desktop", "parts", activate=True)
    result = client.wait_job(job)
    check(result[1] == "NoDeviceAvailable", result)
    client.must(allocation, "Release")
    client.must(whole, "Release")
    check("claimed" not in codes(client.explain(parts, "Group")), "nobody has it any more")


main([other_driver, compute_driver, no_library, mig_states, incomplete, whole_or_parts])
