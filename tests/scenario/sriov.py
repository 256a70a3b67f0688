#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual functions: made as groups demand, given to consumers, taken back, and their number as found in the end."""
import functools
import os
import pathlib
import shutil

import dbus

from passthrough import RUNTIME, SYS, bus_error, check, driver, equal, main, wait_until
from place import IN_VM, Holder
from witness import Signals

NIC, NVME = "0000:08:00.0", "0000:09:00.0"
VFS = [f"0000:08:{0x10 + n // 4:02x}.{n % 4 * 2}" for n in range(7)]


def pf_id(slot):
    return "sriov-" + slot.replace(":", "-").replace(".", "-")


def numvfs(slot):
    return int((SYS / slot / "sriov_numvfs").read_text())


def autoprobe(slot):
    return (SYS / slot / "sriov_drivers_autoprobe").read_text().strip()


def model(slot):
    return ":".join((SYS / slot / name).read_text().strip()[2:] for name in ("vendor", "device"))


def address(slot, number):
    return os.path.basename(os.readlink(SYS / slot / f"virtfn{number}"))


def pool(client, name, slot, vfs, *conditions):
    """A group that demands so many virtual functions of the physical one; `conditions` are on the virtual ones."""
    group = client.create_group(name, "sriov", {"vfs": vfs})
    client.add_rule(group, [("provider.slot", "eq", slot), *conditions])
    return group


def provision(client, group):
    return client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))


def remove(client, group):
    job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
    if job != "/":
        equal(client.wait_job(job), ("done", "", ""), "removing the group")


def update(client, group, vfs):
    settings = dbus.Dictionary({"vfs": vfs}, signature="sv")
    client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": settings}, {})


def members(client, group):
    return sorted(str(path).rsplit("/", 1)[1] for path in client.get(group, "Group", "Devices"))


def clean(test):
    """A test that fails leaves no functions for the next."""
    @functools.wraps(test)
    def run(service):
        for slot in (NIC, NVME):
            if numvfs(slot):
                (SYS / slot / "sriov_numvfs").write_text("0")
            (SYS / slot / "sriov_drivers_autoprobe").write_text("1")
        test(service)
    return run


def discovery(service):
    client = service.start()
    for slot, total in ((NIC, 7), (NVME, 4)):
        path = client.device(pf_id(slot))
        fields = client.get_all(path, "Device.Sriov")
        equal((str(fields["Role"]), int(fields["TotalVfs"]), int(fields["Vfs"])), ("pf", total, 0), slot)
        equal(str(client.get(path, "Device", "State")), "provider", slot)
        equal({str(k): int(v) for k, v in client.get(path, "Provider", "Remaining").items()}, {"": total}, slot)
    equal(str(client.get(client.device(pf_id(NIC)), "Device.Sriov", "VfDeviceId")), "10ca", "device id of its functions")
    for slot, wanted in ((NIC, ["802.1ad", "min-rate", "link-state", "rss-query"]), (NVME, [])):
        fields = client.get_all(client.device(pf_id(slot)), "Device.Sriov")
        equal([str(name) for name in fields["NotOffered"]], wanted, f"what the driver of {slot} is known not to offer")
        equal("82576" in str(fields["DriverRemark"]), slot == NIC, f"{slot}: {fields['DriverRemark']}")


def round_trip(service):
    """Made, given as plain functions, released, and the number as found."""
    client = service.start()
    found = (numvfs(NIC), autoprobe(NIC))
    group = pool(client, "nics", NIC, 7)
    equal([str(p) for p in client.get(group, "Group", "Providers")], [client.device(pf_id(NIC))], "providers")
    equal(members(client, group), [], "members before")
    equal(provision(client, group), ("done", "", ""), "provision")
    equal((numvfs(NIC), autoprobe(NIC)), (7, "0"), "after provisioning")
    equal([address(NIC, n) for n in range(7)], VFS, "addresses")
    equal(len(members(client, group)), 7, "members")
    equal([driver(vf) for vf in VFS], [None] * 7, "the host does not grab them")
    for number, vf in enumerate(VFS):
        equal(int(client.get(client.device(pf_id(vf)), "Device.Sriov", "VfIndex")), number, vf)
    equal(len(client.get(client.device(pf_id(NIC)), "Provider", "Children")), 7, "children")
    equal({str(k): int(v) for k, v in client.get(client.device(pf_id(NIC)), "Provider", "Layout").items()}, {"vfs": 7}, "layout")
    allocation, job = client.allocate("vm", [{"group": "nics", "count": 2}], activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    equal([driver(vf) for vf in VFS[:3]], ["vfio-pci", "vfio-pci", None], "the first two")
    check(f"host={VFS[0]}" in client.guest_config(allocation, "qemu"), "the arguments name it")
    equal(driver(NIC), "igb", "the physical function stays")
    equal(int(client.get(group, "Group", "Available")), 5, "the others are free")
    error, message = bus_error(client.call, group, "Group", "Remove", "a{sv}", {})
    equal(error, "GroupInUse", message)
    client.must(allocation, "Release")
    equal([driver(vf) for vf in VFS], [None] * 7, "given back")
    remove(client, group)
    equal((numvfs(NIC), autoprobe(NIC)), found, "as found")
    equal(bus_error(client.device, pf_id(VFS[0]))[0], "UnknownDevice", "they are gone")


def must_provision(client, group, what="provision"):
    equal(provision(client, group), ("done", "", ""), what)


def notes(client, group):
    return [str(note) for note in client.get(group, "Group", "Notes")]


def plans(service):
    """What would be done is said before, from the first wish to the last."""
    client = service.start()
    pf = client.device(pf_id(NIC))

    def plan(verb, path):
        _choices, steps, findings, _token = client.manager("Plan", "saoaa{sv}a{sv}", verb, [path], dbus.Array(signature="a{sv}"), {})
        return [str(s["text"]) for s in steps], {str(f["code"]): str(f["text"]) for f in findings}

    check("nothing-to-do" in plan("provision", pf)[1], "nobody demands anything")
    rule, = client.manager("MakeResource", "aosa{sv}", [pf], "nics", {})
    where = [tuple(str(word) for word in triple) for triple in client.get(str(rule), "Rule", "Where")]
    equal(where, [("provider.slot", "eq", NIC), ("provider.vendor-device", "eq", "8086:10c9")], "the rule of a provider")
    group = client.group("nics")
    update(client, group, 3)
    codes = {f["code"]: f for f in client.explain(group, "Group")}
    check("not-provisioned" in codes and NIC in codes["not-provisioned"]["text"], f"{codes}")
    steps, findings = plan("provision", pf)
    equal(steps, [f"make 3 virtual functions on {NIC}"], "steps")
    check(f"{NIC} gets vfs 3 for group nics" in findings["layout"], f"{findings}")
    check("device-vanishes" not in findings, f"{findings}")
    equal(numvfs(NIC), 0, "a plan changes nothing")
    must_provision(client, group)
    check("as-demanded" in plan("provision", pf)[1], "nothing more to do")
    update(client, group, 5)

    def with_token(token):
        return client.wait_job(str(client.call(pf, "Provider", "Provision", "a{sv}", {"plan": token})))

    def token_of():
        return str(client.manager("Plan", "saoaa{sv}a{sv}", "provision", [pf], dbus.Array(signature="a{sv}"), {})[3])

    token = token_of()
    update(client, group, 6)
    error, message = bus_error(with_token, token)
    equal(error, "PlanChanged", message)
    check("make 5 virtual functions" in message or "make 6 virtual functions" in message, f"in which respect: {message}")
    equal(numvfs(NIC), 3, "nothing was changed")
    equal(with_token(token_of()), ("done", "", ""), "what is so still")
    equal(numvfs(NIC), 6, "as planned")
    update(client, group, 5)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    steps, findings = plan("provision", pf)
    check("'vm'" in findings["devices-in-use"], f"{findings}")
    check("gets vfs 5" in findings["layout"] and "in place of vfs 6" in findings["layout"], f"{findings}")
    check("vanishes from its groups" in findings["device-vanishes"], "another number goes by way of none")
    client.must(allocation, "Release")
    steps, findings = plan("remove", group)
    check(any(s.startswith("undo") for s in steps), f"{steps}")
    remove(client, group)
    equal(numvfs(NIC), 0, "as found")


def in_use(service):
    """What somebody has is never pulled away: by another number, by removing the group, by taking the card whole."""
    client = service.start()
    group = pool(client, "nics", NIC, 4)
    must_provision(client, group)
    whole = client.pool("cards", NIC)
    findings = client.explain(client.device(NIC), "Device")
    check("has-vfs" in [f["code"] for f in findings], f"{findings}")
    card, job = client.allocate("greedy", "cards", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "the card with its functions there")
    client.must(card, "Release")

    one, job = client.allocate("vm1", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "vm1")
    two, job = client.allocate("vm2", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "vm2")
    update(client, group, 7)
    check("not-provisioned" in notes(client, group), "the group says that what it demands is not made")
    error, message = bus_error(client.call, group, "Group", "Provision", "a{sv}", {})
    equal(error, "DeviceBusy", message)
    check("'vm1'" in message and "'vm2'" in message and VFS[0] in message, f"the list of claims: {message}")
    equal(numvfs(NIC), 4, "nothing was changed")
    client.must(one, "Release")
    client.must(two, "Release")
    must_provision(client, group, "another number, by 0")
    equal((numvfs(NIC), len(members(client, group))), (7, 7), "seven now")
    equal(notes(client, group), [], "notes")
    remove(client, group)
    equal(numvfs(NIC), 0, "as found in the beginning, not as in between")

    # The other way round: the whole card first.
    card, job = client.allocate("greedy", "cards", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the whole card")
    group = pool(client, "nics", NIC, 2)
    error, message = bus_error(client.call, group, "Group", "Provision", "a{sv}", {})
    check(error in ("DeviceBlocked", "DeviceBusy"), f"{error}: {message}")
    client.must(card, "Release")
    remove(client, group)
    client.call(whole, "Group", "Remove", "a{sv}", {})


def foreign_use(service):
    """The host's own driver on one of them, and somebody who has one open, are respected too."""
    client = service.start()
    group = pool(client, "nics", NIC, 3)
    must_provision(client, group)
    (SYS / VFS[2] / "driver_override").write_text("vfio-pci")
    (SYS.parent / "drivers_probe").write_text(VFS[2])
    wait_until(lambda: driver(VFS[2]) == "vfio-pci", 10, "the driver")
    update(client, group, 5)
    with Holder(VFS[2]):
        result, error, message = provision(client, group)
        equal((result, error), ("failed", "DeviceBusy"), message)
        check("open" in message, message)
        equal(numvfs(NIC), 3, "nothing was changed")
    must_provision(client, group, "once it is closed")
    equal(numvfs(NIC), 5, "another number")
    remove(client, group)
    equal(numvfs(NIC), 0, "as found")


def host_use(service):
    """A function that the host itself has stands against another number, until it lets go."""
    client = service.start()
    group = pool(client, "nics", NIC, 3)
    must_provision(client, group)
    (SYS / VFS[1] / "driver_override").write_text("igbvf")
    (SYS.parent / "drivers_probe").write_text(VFS[1])
    wait_until(lambda: driver(VFS[1]) == "igbvf", 30, "the host's driver")
    update(client, group, 5)

    def refusal():
        error, message = bus_error(client.call, group, "Group", "Provision", "a{sv}", {})
        equal(error, "DeviceBusy", message)
        return message

    device = client.device(pf_id(VFS[1]))
    wait_until(lambda: str(client.get(device, "Device", "Driver")) == "igbvf", 60, "the service to know")
    check(VFS[1] in refusal() and "igbvf" in refusal(), refusal())
    equal(numvfs(NIC), 3, "nothing was changed")
    (SYS / VFS[1] / "driver" / "unbind").write_text(VFS[1])
    (SYS / VFS[1] / "driver_override").write_text("\n")
    wait_until(lambda: str(client.get(device, "Device", "Driver")) == "", 60, "the service to know")
    must_provision(client, group, "another number")
    equal(numvfs(NIC), 5, "once the host has let go")
    remove(client, group)


def sharing(service):
    """Two groups on one physical function: ranges, the same functions, and a conflict named at once."""
    client = service.start()
    low = pool(client, "low", NIC, 4, ("vf-index", "le", "3"))
    other = client.create_group("other", "sriov", {"vfs": 5})
    error, message = bus_error(client.add_rule, other, [("provider.slot", "eq", NIC), ("vf-index", "ge", "4")])
    equal(error, "LayoutConflict", message)
    check("other" in message and "3 of the 7" in message, f"too many for its range: {message}")
    high = pool(client, "high", NIC, 3, ("vf-index", "ge", "4"))
    same = pool(client, "same", NIC, 4, ("vf-index", "le", "3"))
    greedy = client.create_group("greedy", "sriov", {"vfs": 2})
    error, message = bus_error(client.add_rule, greedy, [("provider.slot", "eq", NIC)])
    equal(error, "LayoutConflict", message)
    check("greedy" in message and "high" in message, f"both are named: {message}")
    error, message = bus_error(update, client, high, 8)
    equal(error, "LayoutConflict", message)
    equal(int(client.get(high, "Group", "Settings")["vfs"]), 3, "the setting stays")

    must_provision(client, high)
    equal(numvfs(NIC), 7, "one number for all")
    equal((len(members(client, low)), len(members(client, high)), len(members(client, same))), (4, 3, 4), "members")
    check(set(members(client, low)) == set(members(client, same)), "the same ones")
    remove(client, high)
    equal(numvfs(NIC), 4, "what the others demand stays")
    remove(client, low)
    equal(numvfs(NIC), 4, "and still")
    remove(client, same)
    equal(numvfs(NIC), 0, "the last one")


def as_demanded(service):
    """What is so already needs nothing: neither asking for it once more, nor a group less that wanted the same, disturbs who uses it."""
    client = service.start()
    group, same = pool(client, "nics", NIC, 3), pool(client, "same", NIC, 3)
    must_provision(client, group)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    must_provision(client, group, "once more")
    remove(client, same)
    equal((numvfs(NIC), driver(VFS[0]), client.state(allocation)), (3, "vfio-pci", "active"), "untouched")
    client = service.restart()
    equal((numvfs(NIC), client.state(allocation)), (3, "active"), "after a restart")
    update(client, client.group("nics"), 4)
    error, message = bus_error(client.call, client.device(pf_id(NIC)), "Provider", "Provision", "a{sv}", {})
    equal(error, "DeviceBusy", message)
    check(f"{VFS[0]} by consumer 'vm'" in message, f"who has which, after a restart too: {message}")
    client.must(allocation, "Release")
    remove(client, client.group("nics"))
    equal((numvfs(NIC), autoprobe(NIC)), (0, "1"), "as found")


def removed_meanwhile(service):
    """A group is not removed while devices are made for it: they would be nobody's, and stay."""
    client = service.start()
    group = pool(client, "nics", NIC, 3)
    control = pathlib.Path("/run/passthroughd-simhost/control")
    (control / "hang").write_text(f"sriov_numvfs {NIC}\n")
    job = str(client.call(group, "Group", "Provision", "a{sv}", {}))
    wait_until(lambda: "sriov_numvfs" in (control / "waiting").read_text(), 60, "the driver")
    error, message = bus_error(client.call, group, "Group", "Remove", "a{sv}", {})
    equal(error, "WrongState", message)
    check("provision" in message and "under way" in message, message)
    (control / "release").write_text("sriov_numvfs\n")
    equal(client.wait_job(job), ("done", "", ""), "made")
    remove(client, group)
    equal((numvfs(NIC), autoprobe(NIC)), (0, "1"), "as found")


def lost(service):
    """A driver that goes takes functions from their guests: that is said, and who takes them for active is not left to believe it."""
    client = service.start()
    group = pool(client, "nics", NIC, 2)
    must_provision(client, group)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    path = client.device(pf_id(VFS[0]))
    signals = Signals("Allocation", "DeviceLost")
    reload_driver(NIC, lambda: wait_until(lambda: client.state(allocation) == "lost", 60, "lost"))
    equal(signals.wait(), (allocation, (path, "unplugged")), "the signal names what the allocation has")
    wait_until(lambda: numvfs(NIC) == 2 and len(members(client, group)) == 2, 60, "made again")
    equal((client.state(allocation), driver(VFS[0])), ("lost", None), "the function at its place is a new one")
    equal(int(client.get(group, "Group", "Available")), 1, "and its allocation's")
    equal(str(client.get(path, "Device", "Allocation")), allocation, "by name")
    client.must(allocation, "Deactivate")
    client.must(allocation, "Activate")
    equal(driver(VFS[0]), "vfio-pci", "given anew")
    client.must(allocation, "Release")
    remove(client, group)
    equal((numvfs(NIC), autoprobe(NIC)), (0, "1"), "as found")


def several(service):
    """A group over two physical functions of unlike kinds: all or none."""
    client = service.start()
    group = client.create_group("mixed", "sriov", {"vfs": 2})
    client.add_rule(group, [("provider.total-vfs", "ge", "1")])
    equal(len(client.get(group, "Group", "Providers")), 2, "providers")
    must_provision(client, group)
    equal((numvfs(NIC), numvfs(NVME)), (2, 2), "both")
    disks = [address(NVME, n) for n in range(2)]
    disk = client.create_group("disk", "sriov")
    client.add_rule(disk, [("slot", "eq", disks[1])])
    allocation, job = client.allocate("vm", "disk", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "a function that is no network card")
    equal(driver(disks[1]), "vfio-pci", disks[1])
    client.must(allocation, "Release")
    remove(client, group)
    equal((numvfs(NIC), numvfs(NVME)), (0, 0), "as found")


def stop_as_a_reboot(service):
    """What a boot leaves: state.db, and nothing else."""
    service.stop()
    for slot in (NIC, NVME):
        (SYS / slot / "sriov_numvfs").write_text("0")
        (SYS / slot / "sriov_drivers_autoprobe").write_text("1")
    shutil.rmtree(RUNTIME)


def restarts(service):
    """A restart of the service changes nothing; one of the host has all made again, and activations wait for it."""
    client = service.start()
    group = pool(client, "nics", NIC, 3)
    must_provision(client, group)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    client = service.restart()
    equal((numvfs(NIC), driver(VFS[0]), client.state(allocation)), (3, "vfio-pci", "active"), "after a restart")
    equal(client.wait_job(str(client.call(client.device(pf_id(NIC)), "Provider", "Provision", "a{sv}", {}))), ("done", "", ""), "as demanded")
    equal((numvfs(NIC), driver(VFS[0])), (3, "vfio-pci"), "untouched")
    client.must(allocation, "Deactivate")

    stop_as_a_reboot(service)
    client = service.start(ready=False)
    job = client.start(allocation, "Activate")
    equal(client.wait_job(job), ("done", "", ""), "it waits for its function")
    wait_until(lambda: client.readiness() == "ready", 30, "readiness")
    equal((numvfs(NIC), autoprobe(NIC)), (3, "0"), "made again")
    equal(len(members(client, client.group("nics"))), 3, "members")
    client.must(allocation, "Release")
    remove(client, client.group("nics"))
    equal((numvfs(NIC), autoprobe(NIC)), (0, "1"), "as found on this boot")


def claims_over_a_restart(service):
    """A function that is reserved, or was in use, when the host went down does not keep it from being made again."""
    client = service.start()
    group = pool(client, "nics", NIC, 3)
    must_provision(client, group)
    thick, job = client.allocate("reserved", "nics", activate=True, thick=True)
    equal(client.wait_job(job)[0], "done", "activate")
    client.must(thick, "Deactivate")
    used, job = client.allocate("used", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    had = str(client.get(thick, "Allocation", "Devices")[0])
    stop_as_a_reboot(service)
    client = service.start()
    equal((numvfs(NIC), autoprobe(NIC)), (3, "0"), "made again")
    client.must(thick, "Activate")
    equal([str(d) for d in client.get(thick, "Allocation", "Devices")], [had], "the one that is reserved")
    client.must(used, "Activate")
    for allocation in (thick, used):
        client.must(allocation, "Release")
    remove(client, client.group("nics"))


def demands(client, slot):
    """What the provider's groups want of it, and what came of that."""
    return client.call(client.device(pf_id(slot)), "Provider", "Query", "sa{sv}", "demands", {})


def reload_driver(slot, meanwhile=lambda: None):
    name = driver(slot)
    (SYS.parent / "drivers" / name / "unbind").write_text(slot)
    meanwhile()
    (SYS.parent / "drivers" / name / "bind").write_text(slot)


def driver_reloads(service):
    """A driver that goes takes its functions along; when it is back they are made again, and who wants one waits for that."""
    client = service.start()
    group = pool(client, "nics", NIC, 3)
    must_provision(client, group)
    allocation, _ = client.allocate("vm", "nics")
    jobs = []

    def meanwhile():
        wait_until(lambda: members(client, group) == [], 30, "the functions to go")
        wait_until(lambda: "provision-due" in [str(f["code"]) for f in client.explain(group, "Group")], 10, "it is said")
        equal(str(demands(client, NIC)["state"]), "due", "the provider's state")
        equal(dict(client.get(client.device(pf_id(NIC)), "Provider", "Layout")), {}, "the layout while they are gone")
        jobs.append(client.start(allocation, "Activate"))

    reload_driver(NIC, meanwhile)
    equal(client.wait_job(jobs[0]), ("done", "", ""), "who waited gets one")
    equal((numvfs(NIC), autoprobe(NIC), len(members(client, group))), (3, "0", 3), "made again")
    equal(str(demands(client, NIC)["state"]), "made", "the provider's state")
    equal(notes(client, group), [], "notes")

    def made_again():
        return len([row for row in client.manager("History", "a{sv}", {}) if "made again" in str(row["message"])])

    equal(made_again(), 1, "the history")
    client.must(allocation, "Release")

    # As a driver does that resets the card.
    (SYS / NIC / "sriov_numvfs").write_text("0")
    wait_until(lambda: made_again() == 2 and str(demands(client, NIC)["state"]) == "made", 60, "them to be made again")
    equal((numvfs(NIC), len(members(client, group))), (3, 3), "after a reset")
    remove(client, group)
    equal((numvfs(NIC), autoprobe(NIC)), (0, "1"), "as found in the beginning")


def made_resource(service):
    """A card that is named becomes a rule for what it makes; another one at its place is nobody's until it is accepted."""
    client = service.start()
    found = numvfs(NIC)
    rule, = client.make_resource("nics", NIC, settings=dbus.Dictionary({"vfs": 2}, signature="sv"))
    group = client.group("nics")
    equal((str(client.get(group, "Group", "Type")), str(client.get(rule, "Rule", "Strength"))), ("sriov", "slot+model (50)"),
          "preset by the card")
    equal([tuple(map(str, c)) for c in client.get(rule, "Rule", "Where")],
          [("provider.slot", "eq", NIC), ("provider.vendor-device", "eq", model(NIC))], "the rule selects what it provides")
    identity = client.get(rule, "Rule", "Identity")
    equal(str(identity["device"]), pf_id(NIC), "the place is recorded")
    equal([str(p) for p in client.get(group, "Group", "Providers")], [client.device(pf_id(NIC))], "providers")
    equal(provision(client, group), ("done", "", ""), "provision")
    equal((numvfs(NIC), len(members(client, group))), (2, 2), "what was made")

    whole, = client.make_resource("whole", NIC, type="pci")
    check("provider" not in str(client.get(whole, "Rule", "Where")), "the type that was asked for overrules")
    other, = client.make_resource("disk", NVME)
    equal(str(client.get(client.group("disk"), "Group", "Type")), "pci", "a disk is preset to be given whole")
    for wanted, (group_name, slot, options) in {
            "LayoutConflict": ("more", NIC, {"settings": dbus.Dictionary({"vfs": 5}, signature="sv")}),
            "UnknownSetting": ("more", NIC, {"settings": dbus.Dictionary({"vf": 5}, signature="sv")}),
            "InvalidValue": ("more", NVME, {"type": "usb"}),
            "InvalidArgument": ("nics", NIC, {"settings": dbus.Dictionary({"vfs": 3}, signature="sv")})}.items():
        error, message = bus_error(client.make_resource, group_name, slot, **options)
        equal(error, wanted, message)
    equal(bus_error(client.group, "more")[0], "UnknownGroup", "all or nothing")
    def preview(group, *where):
        findings = client.call(group, "Group", "PreviewRule", "a(sss)a{sv}", where, {})[3]
        return {str(f["code"]): str(f["text"]) for f in findings}

    more = client.create_group("more", "sriov", {"vfs": 3})
    check("wants 2 there" in preview(more, ("provider.slot", "eq", NIC))["layout-conflict"], "before the rule is made")
    check("would have vfs 3" in preview(more, ("provider.slot", "eq", NVME))["selects-provider"], "one that nobody else wants")
    check("no-provider" in preview(more, ("provider.slot", "eq", "0000:99:00.0")), "a slot where nothing is")
    remove(client, more)
    remove(client, group)
    equal(numvfs(NIC), found, "as found")


main([clean(test)
      for test in (discovery, round_trip, plans, in_use, foreign_use, sharing, several, restarts, claims_over_a_restart,
                   driver_reloads, made_resource, as_demanded, lost)]
     + ([] if IN_VM else [clean(host_use), clean(removed_meanwhile)]))
