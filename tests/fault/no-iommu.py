#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host whose IOMMU the kernel was told not to use (simhost/hosts/no-iommu.json): nothing is handed out, and it is said why
and what helps, for each device."""
from passthrough import check, driver, equal, main, override

NIC, SYSTEM_DISK = "0000:01:00.0", "0000:02:00.0"


def found(findings, code):
    matching = [finding for finding in findings if finding["code"] == code]
    check(matching, f"{code} is not in {[finding['code'] for finding in findings]}")
    return matching[0]


def device(service):
    client = service.start()
    finding = found(client.explain(client.device(NIC), "Device"), "no-iommu-group")
    equal(finding["severity"], "blocker", "it stands against giving it away")
    check("IOMMU" in finding["text"] and "intel_iommu=on" in finding["remedy"], f"what, and what helps: {finding}")
    equal(int(client.get(client.device(NIC), "Device", "IommuGroup")), -1, "IommuGroup")
    check(not client.get(client.device(NIC), "Device", "Allocatable"), "Allocatable")


def activate(service):
    client = service.start()
    client.pool("nics", NIC)
    before = (driver(NIC), override(NIC))
    allocation, job = client.allocate("vm", "nics", activate=True)
    result = client.wait_job(job)
    equal(result[:2], ("failed", "NoDeviceAvailable"), f"Activate: {result}")
    check("IOMMU" in result[2] or "no-iommu" in result[2], f"the error says why: {result[2]}")
    equal(client.state(allocation), "claimed", "its allocation")
    equal((driver(NIC), override(NIC)), before, NIC)
    client.must(allocation, "Release")


def system_disk(service):
    """Two reasons, and both are told."""
    client = service.start()
    codes = [finding["code"] for finding in client.explain(client.device(SYSTEM_DISK), "Device")]
    check("no-iommu-group" in codes, f"{codes}")


main([device, activate, system_disk])
