#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""[Protect] in the configuration: devices that the administrator says the host needs, and rules that cannot be understood."""
from passthrough import ROOT, Service, check, driver, equal, main
from place import IN_VM, configured

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
MF = ("0000:05:00.0", "0000:05:00.1")


def finding(client, slot, code):
    return next((f for f in client.explain(client.device(slot), "Device") if f["code"] == code), None)


def blockers(client, slot):
    return [f["code"] for f in client.explain(client.device(slot), "Device") if f["severity"] == "blocker"]


def problems(client):
    return [str(problem) for problem in client.get(ROOT, "Manager", "Problems")]


def activate(client, group, **options):
    allocation, _ = client.allocate("vm", group)
    result = client.run(allocation, "Activate", **options)
    client.must(allocation, "Release")
    return result


def rules(_):
    service = Service(configured(f"[Protect]\nCritical=pci: slot = {NIC}\nForbidden=pci: slot = {NIC2}\n"
                                 f"Forbidden=pci: slot = {MF[1]} and vendor-id = 8086\n"))
    client = service.start()
    try:
        equal(problems(client), [], "problems")
        for slot, state in ((NIC, "critical"), (NIC2, "forbidden"), (NVME, "free"), (MF[1], "forbidden"), (MF[0], "critical")):
            equal(client.device_state(slot), state, slot)
        found = finding(client, NIC, "protected")
        check(found and "test.conf:2" in found["text"] and f"slot = {NIC}" in found["text"], f"rule and line: {found}")
        check("companion-forbidden" in blockers(client, MF[0]), f"the other function: {blockers(client, MF[0])}")
        equal(blockers(client, NVME), [], NVME)
        client.pool("critical", NIC)
        client.pool("forbidden", NIC2)
        client.pool("free", NVME)
        for group in ("critical", "forbidden"):
            equal(activate(client, group)[:2], ("failed", "NoDeviceAvailable"), group)
        equal(activate(client, "free")[0], "done", "what no rule names")
        name = client.device(NIC)
        equal(activate(client, "critical", override=[name.rsplit("/", 1)[1].replace("_", "-")])[0], "done", "overridden by name")
        other = client.device(NIC2).rsplit("/", 1)[1].replace("_", "-")
        equal(activate(client, "forbidden", override=[other])[0], "failed", "never")
        equal(driver(NIC2), "e1000e", NIC2)
    finally:
        service.stop()


def broken(_):
    """What a rule was meant for cannot be told: its type is kept until it is mended."""
    for text, words, line in ((f"pci: slto = {NIC}", "slto", 2), ("pci: vendor-id ~ (", "parenthesis", 2), ("pci:", "no condition", 2),
                              ("pcie: vendor-id = 8086", "'pcie'", 2), ("vendor-id = 8086", "type and a colon", 2)):
        service = Service(configured(f"[Protect]\nCritical={text}\n"))
        client = service.start()
        try:
            seen = problems(client)
            check(len(seen) == 1 and f"test.conf:{line}: [Protect]:" in seen[0] and words in seen[0], f"{text}: {seen}")
            for slot in (NIC, NVME):
                equal(client.device_state(slot), "critical", f"{text}: {slot}")
            found = finding(client, NIC, "protect-rule-broken")
            check(found and words in found["text"], f"{text}: {found}")
        finally:
            service.stop()


def taken_back(_):
    """An empty value takes earlier rules back, and an unknown key is a mistake like any other."""
    service = Service(configured(f"[Protect]\nCritical=pci: slot = {NIC}\nForbidden=pci: slot = {NIC2}\nCritical=\nAll=yes\n"))
    client = service.start()
    try:
        check(len(problems(client)) == 1 and "unknown key 'All' in [Protect] (valid: Critical, Forbidden)" in problems(client)[0],
              f"{problems(client)}")
        equal(client.device_state(NIC), "free", NIC)
        equal(client.device_state(NIC2), "forbidden", NIC2)
    finally:
        service.stop()


def out_of_band(service):
    """Who takes a network card away is told when nothing else leads to the host. The VM has a serial console and IPMI."""
    client = service.start()
    found = finding(client, NIC, "no-out-of-band-access")
    if IN_VM:
        equal(found, None, "with a serial console")
    else:
        check(found and found["severity"] == "warning" and f"{NIC} is a network card" in found["text"], f"{found}")
    equal(finding(client, NVME, "no-out-of-band-access"), None, NVME)
    client.pool("cards", NIC)
    equal(activate(client, "cards")[0], "done", "it stops nobody")


main([rules, broken, taken_back, out_of_band])
