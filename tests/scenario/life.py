#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of an allocation, on the simulated host and on a real kernel: what is found, what moves together, who gets the
last device, what is given back."""
import os
import threading

from passthrough import Client, bus_error, check, driver, equal, iommu_group, main, node, override, wait_until
from place import IN_VM, Holder

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
GPU, AUDIO = "0000:04:00.0", "0000:04:00.1"
MF = ("0000:05:00.0", "0000:05:00.1")
BRIDGE, BEHIND = "0000:06:00.0", ("0000:07:01.0", "0000:07:02.0")


def discovery(service):
    client = service.start()
    for slot, name, driver_name in ((NIC, "8086:10d3", "e1000e"), (NVME, "1b36:0010", "nvme"),
                                    (BEHIND[0], "8086:100e", "e1000")):
        pci = client.get_all(client.device(slot), "Device.Pci")
        equal(str(pci["VendorDevice"]), name, slot)
        equal(str(pci["Driver"]), driver_name, slot)
        equal(int(pci["IommuGroup"]), int(iommu_group(slot)), slot)
    equal(client.device_state(NIC), "free", NIC)
    equal(client.device_state(BRIDGE), "forbidden", BRIDGE)
    equal([str(c) for c in client.get(client.device(MF[0]), "Device", "Companions")], [client.device(MF[1])], "companions")
    # The bridge in front of them is in their group and is no companion.
    equal([str(c) for c in client.get(client.device(BEHIND[0]), "Device", "Companions")], [client.device(BEHIND[1])],
          "companions behind the bridge")


def round_trip(client, group, slots, uid=1001):
    """Activate and give back; everything is as found afterwards."""
    before = {slot: (driver(slot), override(slot)) for slot in slots}
    allocation, job = client.allocate("vm", group, activate=True, node_uid=uid)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    for slot in slots:
        equal(driver(slot), "vfio-pci", slot)
        equal(client.device_state(slot), "active", slot)
    status = os.stat(node(slots[0]))
    equal((status.st_uid, status.st_mode & 0o777), (uid, 0o600), node(slots[0]))
    qemu = client.guest_config(allocation, "qemu")
    for slot in slots:
        check(f"host={slot}," in qemu, f"{slot} is not in: {qemu}")
    check("managed='no'" in client.guest_config(allocation, "libvirt"), "libvirt must not bind")
    with Holder(slots[0], uid) as holder:
        check(holder.process.poll() is None, "the consumer can open its device")
        if IN_VM:
            check(any("bar0" in line or "BAR0" in line for line in holder.output), f"no BAR was read: {holder.output}")
    client.must(allocation, "Deactivate")
    for slot in slots:
        equal((driver(slot), override(slot)), before[slot], f"{slot} after the give-back")
        equal(client.device_state(slot), "free", slot)
    check(not os.path.exists(node(slots[0])), "the VFIO node is gone")
    client.must(allocation, "Release")
    equal(bus_error(client.state, allocation)[0], "org.freedesktop.DBus.Error.UnknownObject", "a released allocation")


def single(service):
    client = service.start()
    client.make_resource("nics", NIC)
    round_trip(client, "nics", [NIC])


def multifunction(service):
    client = service.start()
    client.pool("cards", MF[0])
    round_trip(client, "cards", list(MF))


def graphics(service):
    client = service.start()
    client.pool("gpus", GPU)
    round_trip(client, "gpus", [GPU, AUDIO])


def behind_bridge(service):
    client = service.start()
    client.pool("old", BEHIND[0])
    round_trip(client, "old", list(BEHIND))


def never_split(service):
    client = service.start()
    client.pool("first", MF[0])
    client.pool("second", MF[1])
    one, job = client.allocate("vm1", "first", activate=True)
    equal(client.wait_job(job)[0], "done", "the first function")
    two, job = client.allocate("vm2", "second", activate=True)
    result, error, message = client.wait_job(job)
    equal((result, error), ("failed", "NoDeviceAvailable"), "the second function")
    check("vm1" in message, f"the holder is named: {message}")
    # Both functions in one group are one bundle.
    both = client.pool("both", *MF)
    equal(int(client.get(both, "Group", "Total")), 1, "bundles are counted, not functions")
    client.must(one, "Release")
    client.must(two, "Activate")
    client.must(two, "Release")
    equal(driver(MF[0]), "e1000e", MF[0])


def last_device(service):
    """Two consumers race for one device: exactly one wins, several times."""
    client = service.start()
    client.pool("one", NVME)
    for attempt in range(3 if IN_VM else 10):
        results = {}

        def race(name):
            own = Client()
            allocation, job = own.allocate(name, "one", activate=True)
            results[name] = (allocation, own.wait_job(job)[:2])

        threads = [threading.Thread(target=race, args=(name,)) for name in ("left", "right")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(sorted(result for _, result in results.values()), [("done", ""), ("failed", "NoDeviceAvailable")],
              f"race {attempt}")
        for allocation, _ in results.values():
            client.must(allocation, "Release")
    equal(driver(NVME), "nvme", NVME)


def restart(service):
    """What is active stays so over a restart of the service, and is given back afterwards."""
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    client = service.restart()
    equal(client.state(allocation), "active", "after a restart")
    equal(client.device_state(NIC), "active", NIC)
    equal(bus_error(client.call, client.group("nics"), "Group", "Remove", "a{sv}", {})[0], "GroupInUse", "removing its group")
    client.must(allocation, "Deactivate")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)


def draining(service):
    """Whoever has the device open is waited for; everybody else is served meanwhile."""
    client = service.start()
    client.pool("nics", NIC)
    client.pool("more", NIC2)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    with Holder(NIC) as holder:
        job = client.start(allocation, "Deactivate")
        wait_until(lambda: client.state(allocation) == "draining", 20, "draining")
        step = str(client.get(job, "Job", "Step"))
        check(str(holder.process.pid) in step, f"the holder is named: {step}")
        equal(driver(NIC), "vfio-pci", "the device while it is held")
        other, second = client.allocate("other", "more", activate=True)
        equal(client.wait_job(second)[0], "done", "another device meanwhile")
        client.must(other, "Release")
        # A restart in between goes on with it.
        client = service.restart()
        equal(client.state(allocation), "draining", "after a restart")
        holder.close()
    wait_until(lambda: client.state(allocation) == "claimed", 20, "the give-back")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)


def cancel_drain(service):
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    with Holder(NIC):
        job = client.start(allocation, "Deactivate")
        wait_until(lambda: client.state(allocation) == "draining", 20, "draining")
        client.call(job, "Job", "Cancel", "a{sv}", {})
        equal(client.wait_job(job)[:2], ("cancelled", "Cancelled"), "the job")
        equal(client.state(allocation), "active", "the consumer keeps its device")
    client.must(allocation, "Release")


def wishes(service):
    """Optional, waiting, several groups at once, reserved for good."""
    client = service.start()
    client.pool("nics", NIC)
    client.pool("disks", NVME)
    first, job = client.allocate("first", [{"group": "nics"}, {"group": "disks"}], activate=True)
    equal(client.wait_job(job)[0], "done", "two groups at once")
    equal(len(client.devices_of(first)), 2, "its devices")

    optional, job = client.allocate("optional", [{"group": "nics", "optional": True}], activate=True)
    equal(client.wait_job(job)[0], "done", "an optional one starts without")
    equal(client.devices_of(optional), [], "its devices")
    client.must(optional, "Release")

    waiting, job = client.allocate("waiting", "disks", activate=True, wait=True)
    wait_until(lambda: client.state(waiting) == "waiting", 10, "waiting")
    client.must(first, "Release")
    equal(client.wait_job(job)[0], "done", "it gets the device that came free")
    client.must(waiting, "Release")

    thick, _ = client.allocate("thick", "nics", thick=True)
    equal(client.device_state(NIC), "claimed", "reserved while inactive")
    other, job = client.allocate("other", "nics", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "reserved for somebody else")
    client = service.restart()
    equal(client.device_state(NIC), "claimed", "reserved over a restart")
    client.must(thick, "Activate")
    client.must(thick, "Deactivate")
    equal(client.device_state(NIC), "claimed", "still reserved")
    client.must(thick, "Release")
    client.must(other, "Activate")
    client.must(other, "Release")


main([discovery, single, multifunction, graphics, behind_bridge, never_split, last_device, restart, draining, cancel_drain,
      wishes])
