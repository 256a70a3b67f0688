#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""On the simulated host only (guard-host.json): what a server has and QEMU has not. Each with something beside it that is free:
a guard that refuses everything is as wrong as one that refuses nothing."""
import os
import pathlib
import shutil

import dbus

from passthrough import SYS, check, driver, equal, main, wait_until

# address: the code, and words of the chain
NEEDED = {
    "0000:00:14.0": ("bmc-device", "AMI virtual keyboard"),
    "0000:00:1f.0": ("tpm", "tpm0 ← MSFT0101:00 ← LPC/SPI of the chipset"),
    "0000:00:1f.4": ("chipset", "SMBus"),
    "0000:00:1f.6": ("companion-forbidden", "0000:00:1f."),
    "0000:01:00.0": ("bmc-display", "screen of the management controller"),
    "0000:03:00.0": ("member", "ovs-system ← ovs0 ← 0000:03:00.0"),
    "0000:04:00.0": ("address", "192.0.2.10/24 ← mgmt0 ← 0000:04:00.0"),
    "0000:05:00.0": ("memory", "memory of the host, 65536 MiB ← endpoint2"),
    "0000:07:00.0": ("namespace", "a network namespace that was not found"),
    "0000:09:00.0": ("network-boot", "BOOTIF=01-52-54-00-00-09-00 ← boot0"),
}
FREE = ["0000:00:15.0", "0000:02:00.0", "0000:03:00.1", "0000:06:00.0", "0000:0a:00.0"]


def findings(client, slot):
    return client.explain(client.device(slot), "Device")


def free_ones():
    """And the virtual functions of the card that carries the host's address."""
    virtual = sorted(path.name for path in SYS.iterdir() if (path / "physfn").exists())
    check(len(virtual) == 2, f"virtual functions: {virtual}")
    return FREE + virtual


def needed(service):
    client = service.start()
    for slot, (code, words) in NEEDED.items():
        found = [f["text"] for f in findings(client, slot) if f["severity"] == "blocker" and f["code"] == code]
        check(any(words in text for text in found), f"{slot}: no {code} with {words!r}: {findings(client, slot)}")
        check(client.device_state(slot) in ("critical", "forbidden"), f"{slot}: {client.device_state(slot)}")
    for slot, others in {"0000:00:1f.0": 1, "0000:00:1f.4": 1, "0000:00:1f.6": 2}.items():
        culprits = [str(f["culprit"]) for f in findings(client, slot) if f["code"] == "companion-forbidden"]
        equal((len(culprits), len(set(culprits))), (others, others), f"{slot}: each is named once: {culprits}")
    texts = [f["text"] for f in findings(client, "0000:04:00.0") if f["code"] in ("address", "route")]
    for words in ("2001:db8::10/64", "default route via 192.0.2.1"):
        check(any(words in text for text in texts), f"{words}: {texts}")


def free(service):
    """Nothing stands against them, they are handed out and come back. The management controller leads to the host: no warning."""
    client = service.start()
    for slot in free_ones():
        blockers = [f for f in findings(client, slot) if f["severity"] == "blocker"]
        equal(blockers, [], slot)
        check(not any(f["code"] == "no-out-of-band-access" for f in findings(client, slot)), slot)
    client.pool("all", *NEEDED, *free_ones())
    before = {slot: driver(slot) for slot in (*NEEDED, *free_ones())}
    allocation, job = client.allocate("vm", [{"group": "all", "count": len(free_ones())}], activate=True)
    equal(client.wait_job(job)[0], "done", "all that are free")
    for slot in free_ones():
        equal(driver(slot), "vfio-pci", slot)
    for slot in NEEDED:
        equal(driver(slot), before[slot], slot)
    more, job = client.allocate("more", "all", activate=True)
    equal(client.wait_job(job)[:2], ("failed", "NoDeviceAvailable"), "and not one more")
    client.must(more, "Release")
    client.must(allocation, "Release")
    equal({slot: driver(slot) for slot in before}, before, "as found")


def override(service):
    """By name, and never what is forbidden."""
    client = service.start()
    client.pool("port", "0000:03:00.0")
    client.pool("onboard", "0000:00:1f.6")
    for group, slot, result in (("port", "0000:03:00.0", "done"), ("onboard", "0000:00:1f.6", "failed")):
        name = client.device(slot).rsplit("/", 1)[1].replace("_", "-")
        allocation, _ = client.allocate("vm", group)
        equal(client.run(allocation, "Activate")[0], "failed", f"{slot} without a word")
        equal(client.run(allocation, "Activate", override=[name])[0], result, f"{slot}, named")
        client.must(allocation, "Release")


def confirmation(service):
    """The adapter of the host's network on a USB controller goes with it; beside it a controller that has none."""
    folder = pathlib.Path(os.environ["PT_CONFIG"])
    service.config = os.path.join(os.environ["PT_DIR"], "confirm")
    shutil.copytree(folder, service.config)
    with open(os.path.join(service.config, "passthroughd.conf"), "a", encoding="utf-8") as f:
        f.write("[Service]\nNetworkConfirmSec=60\n")
    client = service.start()
    client.pool("adapter", "0000:00:14.0")
    client.pool("serial", "0000:00:15.0")
    found = [f["text"] for f in findings(client, "0000:00:14.0") if f["code"] == "member"]
    check(any("ovs-system ← usbnet0 ← 1-2 ← 0000:00:14.0" in text for text in found), found)
    allocation, job = client.allocate("vm", "serial", activate=True)
    equal(client.wait_job(job)[0], "done", "no network")
    client.must(allocation, "Release")
    allocation, _ = client.allocate("vm", "adapter")
    job = client.call(allocation, "Allocation", "Activate", "a{sv}",
                      {"override": dbus.Array(["pci-0000-00-14-0"], signature="s")})
    wait_until(lambda: str(client.get(job, "Job", "State")) in ("confirming", "done"), 10, "the end of the steps")
    equal(str(client.get(job, "Job", "State")), "confirming", "the host's network goes")
    client.call(job, "Job", "Cancel", "a{sv}", {})
    equal(client.wait_job(job)[1], "Cancelled", "cancelled")
    equal(driver("0000:00:14.0"), "xhci_hcd", "as found")
    client.must(allocation, "Release")


main([needed, free, override, confirmation])
