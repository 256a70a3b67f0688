#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Virtual functions: made as groups demand, given to consumers, taken back, and their number as found in the end."""
import os

from passthrough import SYS, bus_error, check, driver, equal, main, wait_until

NIC, NVME = "0000:08:00.0", "0000:09:00.0"
VFS = [f"0000:08:{0x10 + n // 4:02x}.{n % 4 * 2}" for n in range(7)]


def pf_id(slot):
    return "sriov-" + slot.replace(":", "-").replace(".", "-")


def numvfs(slot):
    return int((SYS / slot / "sriov_numvfs").read_text())


def autoprobe(slot):
    return (SYS / slot / "sriov_drivers_autoprobe").read_text().strip()


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


def members(client, group):
    return sorted(str(path).rsplit("/", 1)[1] for path in client.get(group, "Group", "Devices"))


def discovery(service):
    client = service.start()
    for slot, total in ((NIC, 7), (NVME, 4)):
        path = client.device(pf_id(slot))
        fields = client.get_all(path, "Device.Sriov")
        equal((str(fields["Role"]), int(fields["TotalVfs"]), int(fields["Vfs"])), ("pf", total, 0), slot)
        equal(str(client.get(path, "Device", "State")), "provider", slot)
        equal({str(k): int(v) for k, v in client.get(path, "Provider", "Remaining").items()}, {"": total}, slot)
    equal(str(client.get(client.device(pf_id(NIC)), "Device.Sriov", "VfDeviceId")), "10ca", "device id of its functions")


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


main([discovery, round_trip])
