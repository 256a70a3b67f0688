#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that do not come back sound: they are set aside, with the reason, until somebody clears them, until a probe finds
them sound, or until another device is at their place. And sound ones, which must not be."""
import os
import pathlib

from passthrough import Service, bus_error, check, driver, equal, main, wait_until
from place import IN_VM, configured, ctl, plug, unplug

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
FUNCTIONS = ("0000:05:00.0", "0000:05:00.1")


def pool(client, *slots):
    client.pool("nics", *slots)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    return allocation


def finding(client, slot, code):
    found = [f for f in client.explain(client.device(slot), "Device") if f["code"] == code]
    return found[0] if found else None


def quarantined(client, slot, *words):
    equal(client.device_state(slot), "quarantined", slot)
    found = finding(client, slot, "quarantined")
    check(found and found["severity"] == "blocker", f"the finding: {found}")
    for word in words:
        check(word in found["text"], f"{word} is not in: {found['text']}")
    return found["text"]


def clear(client, slot):
    client.call(client.device(slot), "Device", "ClearQuarantine", "a{sv}", {})
    equal(client.device_state(slot), "free", slot)


def verbs(client, slot):
    name = client.device(slot).rsplit("/", 1)[1].replace("_", "-")
    return [str(row["operation"]) for row in client.history(object=name)]


def sound(service):
    """What works stays available, after a give-back, a reset and a restart."""
    client = service.start()
    slots = (NIC, NVME, FUNCTIONS[0])
    for slot in slots:
        name = f"pool-{slot[5:7]}"
        client.pool(name, slot)
        for _ in range(2):
            allocation, job = client.allocate("vm", name, activate=True)
            equal(client.wait_job(job)[0], "done", "activate")
            client.must(allocation, "Release")
            state = client.device_state(slot)
            check(state == "free", f"{slot} is {state}: {client.explain(client.device(slot), 'Device') if state != 'free' else ''}")
    client = service.restart()
    for slot in slots + FUNCTIONS[1:]:
        equal(client.device_state(slot), "free", slot)
        check(finding(client, slot, "quarantined") is None, slot)
        for code in ("link-degraded", "nonfatal-errors"):
            check(finding(client, slot, code) is None, f"{slot}: {code}")


def by_hand(service):
    client = service.start()
    device = client.device(NIC)
    client.pool("nics", NIC)
    put = lambda reason: client.call(device, "Device", "Quarantine", "sa{sv}", reason, {})  # noqa: E731
    for reason in ("", "two\nlines", "x" * 257):
        equal(bus_error(put, reason)[0], "InvalidArgument", repr(reason))
    put("its fan is loud")
    quarantined(client, NIC, "its fan is loud", "by hand, uid 0", "since 20")
    equal(bus_error(put, "again")[0], "WrongState", "twice")
    equal(bus_error(client.call, client.device("0000:06:00.0"), "Device", "Quarantine", "sa{sv}", "a bridge", {})[0],
          "DeviceBlocked", "a bridge")
    client = service.restart()
    quarantined(client, NIC, "its fan is loud")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "nobody gets it")
    clear(client, NIC)
    client.must(allocation, "Activate")
    # Who has it keeps it.
    put("smells")
    equal(client.state(allocation), "active", "its holder")
    client.must(allocation, "Release")
    quarantined(client, NIC, "smells")
    clear(client, NIC)
    equal(verbs(client, NIC), ["clear-quarantine", "quarantine"] * 2, "the history")
    equal(bus_error(client.call, device, "Device", "ClearQuarantine", "a{sv}", {})[0], "WrongState", "cleared already")


def no_answer(service):
    """The reset of the give-back leaves it dead. It is not chosen again before it is cleared; the other one is."""
    client = service.start()
    allocation = pool(client, NIC, NIC2)
    ctl("dead", NIC, "reset")
    client.must(allocation, "Deactivate")
    equal(driver(NIC), "e1000e", "given back all the same")
    quarantined(client, NIC, "does not answer", "when vm gave it back", allocation.rsplit("/", 1)[1].replace("_", "-"))
    equal(verbs(client, NIC)[0], "quarantine", "the history")
    client.must(allocation, "Activate")
    equal(client.devices_of(allocation), [client.device(NIC2)], "the one that is sound")
    client.must(allocation, "Deactivate")
    client = service.restart()
    quarantined(client, NIC, "does not answer")
    ctl("alive", NIC)
    clear(client, NIC)
    allocation2, _ = client.allocate("other", [{"group": "nics", "count": 2}])
    client.must(allocation2, "Activate")
    equal(sorted(client.devices_of(allocation2)), sorted([client.device(NIC), client.device(NIC2)]), "both")
    client.must(allocation2, "Release")


def other_signs(service):
    client = service.start()
    client.pool("nics", NIC)
    ctl("errors", NIC, "fatal", "3")  # what was before does not count
    for order, word in ((("dead", NIC, "ids"), "device id was 10d3 and reads 10d2"),
                        (("errors", NIC, "fatal", "1"), "1 fatal PCI Express error")):
        allocation, job = client.allocate("vm", "nics", activate=True)
        equal(client.wait_job(job)[0], "done", "activate")
        ctl(*order)
        client.must(allocation, "Release")
        quarantined(client, NIC, word)
        ctl("alive", NIC)
        clear(client, NIC)
    # These are told, and keep nobody from the device.
    ctl("errors", NIC, "correctable", "0")
    ctl("errors", NIC, "nonfatal", "0")
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    ctl("errors", NIC, "correctable", "7")
    ctl("errors", NIC, "nonfatal", "2")
    ctl("link", NIC, "0")
    ctl("link", NIC, "1")
    client.must(allocation, "Release")
    equal(client.device_state(NIC), "free", NIC)
    equal(finding(client, NIC, "correctable-errors")["severity"], "note", "corrected errors")
    check("7 corrected" in finding(client, NIC, "correctable-errors")["text"], "how many")
    equal(finding(client, NIC, "nonfatal-errors")["severity"], "warning", "uncorrectable errors")


def link(service):
    """Fewer lanes than before: a warning."""
    client = service.start()
    client.pool("disks", NVME)
    allocation, job = client.allocate("vm", "disks", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    ctl("link", NVME, "1", "2.5")
    client.must(allocation, "Release")
    equal(client.device_state(NVME), "free", NVME)
    equal(finding(client, NVME, "link-degraded")["severity"], "warning", "fewer lanes")
    ctl("link", NVME, "4", "16.0")


def after_reset(service):
    client = service.start()
    pathlib.Path(f"/sys/bus/pci/devices/{NIC}/driver/unbind").write_text(NIC)
    wait_until(lambda: str(client.get(client.device(NIC), "Device", "Driver")) == "", 10, "no driver")
    ctl("dead", NIC, "reset")
    job = str(client.call(client.device(NIC), "Device", "Reset", "a{sv}", {}))
    equal(client.wait_job(job)[0], "done", "the reset itself")
    quarantined(client, NIC, "does not answer", "after a reset")
    ctl("alive", NIC)
    clear(client, NIC)


def exchanged(service):
    """A quarantine belongs to the card. Another one at its place is in none, and the old one still is when it is back."""
    client = service.start()
    client.call(client.device(NIC), "Device", "Quarantine", "sa{sv}", "smells", {})
    unplug(NIC)
    wait_until(lambda: not os.path.exists(f"/sys/bus/pci/devices/{NIC}"), 10, "to be gone")
    plug(NIC)
    wait_until(lambda: client.manager("ListDevices", "sa(sss)a{sv}", "pci", [("slot", "eq", NIC)], {})[0], 10, "to be known")
    wait_until(lambda: client.device_state(NIC) == "quarantined", 10, "the same card again")
    unplug(NIC)
    wait_until(lambda: not os.path.exists(f"/sys/bus/pci/devices/{NIC}"), 10, "to be gone")
    ctl("exchange", NIC, "1533")
    plug(NIC)
    wait_until(lambda: client.manager("ListDevices", "sa(sss)a{sv}", "pci", [("device-id", "eq", "1533")], {})[0], 10,
               "the other card")
    equal(client.device_state(NIC), "free", "another card")
    found = finding(client, NIC, "quarantine-of-another")
    check(found and "smells" in found["text"], f"it is said: {found}")
    client = service.restart()
    equal(client.device_state(NIC), "free", "over a restart")
    clear(client, NIC)
    check(finding(client, NIC, "quarantine-of-another") is None, "cleared for good")


def kernel_resets(methods, method):
    """Whether the kernel carries out this one, asked by hand: it offers a bus reset below each port, also where it then fails."""
    offered = methods.read_text()
    methods.write_text(method)
    try:
        methods.with_name("reset").write_text("1")
    except OSError as error:
        print(f"# reset by {method}: {error}", flush=True)
        return False
    finally:
        methods.write_text(offered)
    return True


def demanded_in_vain(client, method):
    """What its group demands and the kernel refuses is a reason to set the device aside."""
    group = client.create_group("in-vain", settings={"reset-method": method})
    client.add_rule(group, [("slot", "eq", NIC)])
    allocation, job = client.allocate("vm", "in-vain", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    client.must(allocation, "Release")
    report = client.get(client.device(NIC), "Device", "LastReset")
    equal((str(report["result"]), str(report["asked"])), ("failed", method), "the report of a reset in vain")
    quarantined(client, NIC, "demands", f"reset {NIC} by {method}")
    clear(client, NIC)


def resets(service):
    """Which reset was made shows at the device, in its explanation and in the history; a group can demand one."""
    client = service.start()
    methods = pathlib.Path(f"/sys/bus/pci/devices/{NIC}/reset_method")
    offered = methods.read_text().split()
    check(len(offered) > 1, f"{NIC} offers {offered}")
    equal(dict(client.get(client.device(NIC), "Device", "LastReset")), {}, "no reset yet")
    wanted = offered[1]  # not the one that the kernel would take
    if IN_VM and not kernel_resets(methods, wanted):
        demanded_in_vain(client, wanted)
        wanted = offered[0]
    device = client.device(NIC)
    for number, (settings, asked) in enumerate((({}, ""), ({"reset-method": wanted}, wanted))):
        group = client.create_group(f"nics{number}", settings=settings)
        client.add_rule(group, [("slot", "eq", NIC)])
        allocation, job = client.allocate("vm", f"nics{number}", activate=True)
        equal(client.wait_job(job)[0], "done", "activate")
        client.must(allocation, "Deactivate")
        equal(methods.read_text().split(), offered, "what it offers afterwards")
        report = client.get(device, "Device", "LastReset")
        equal((str(report["result"]), str(report["asked"]), str(report["used"])), ("done", asked, asked or offered[0]), "the report")
        equal([str(m) for m in report["methods"]], offered, "what was offered")
        check(report["duration"] > 0 and report["time"] > 1e15, f"times: {report}")
        check(finding(client, NIC, "last-reset"), "the explanation")
        last = client.history(object=allocation.rsplit("/", 1)[1].replace("_", "-"))[0]
        check(f"{NIC} reset by {asked or offered[0]} in" in str(last["message"]), f"the history: {last['message']}")
        client.must(allocation, "Release")
    # One that the device does not have is not replaced by another.
    group = client.create_group("others", settings={"reset-method": "acpi"})
    client.add_rule(group, [("slot", "eq", NIC)])
    allocation, job = client.allocate("vm", "others", activate=True)
    result = client.wait_job(job)
    equal(result[1], "NoDeviceAvailable", "a reset that it does not offer")
    check("demands the reset acpi" in result[2], f"the reason: {result}")
    client.must(allocation, "Release")
    if IN_VM:
        return
    # Where it is demanded a failure is no mere warning.
    allocation, job = client.allocate("vm", "nics1", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    ctl("fail", "reset", NIC, "EIO")
    client.must(allocation, "Deactivate")
    equal(methods.read_text().split(), offered, "what it offers after a failure")
    quarantined(client, NIC, "demands", f"reset {NIC} by {wanted}")
    equal(finding(client, NIC, "last-reset-failed")["severity"], "warning", "the explanation")
    clear(client, NIC)
    allocation2, job = client.allocate("vm", "nics0", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    ctl("fail", "reset", NIC, "EIO")
    client.must(allocation2, "Release")
    equal(client.device_state(NIC), "free", "where it is not demanded")


def timed_release(service):
    host = Service(configured("[Health]\nQuarantineRetrySec=2\n"))
    client = host.start()
    allocation = pool(client, NIC)
    ctl("dead", NIC, "reset")
    client.must(allocation, "Release")
    quarantined(client, NIC, "does not answer")
    client.call(client.device(NIC2), "Device", "Quarantine", "sa{sv}", "by hand", {})
    wait_until(lambda: "stays in quarantine" in host.tail(100), 10, "a probe")
    equal(client.device_state(NIC), "quarantined", "not yet")
    ctl("alive", NIC)
    wait_until(lambda: client.device_state(NIC) == "free", 10, "its release")
    equal(verbs(client, NIC)[0], "clear-quarantine", "the history")
    equal(client.device_state(NIC2), "quarantined", "what a person did stays")
    host.stop()


main([sound, by_hand, resets] + ([] if IN_VM else [no_answer, other_signs, link, after_reset, exchanged, timed_release]))
