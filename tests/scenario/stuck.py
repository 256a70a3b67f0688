#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A driver that does not come back: the job ends, the bundle stays locked, everybody else is served, the service can be
started anew, and when the kernel comes back at last everything is given back."""
import snapshot
from passthrough import bus_error, check, driver, equal, main, override, wait_until
from place import IN_VM, Holder, configured, hang, release
from witness import Patience

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
MF = ("0000:05:00.0", "0000:05:00.1")
BEHIND = ("0000:07:01.0", "0000:07:02.0")
# Steps have 30 s. Here as long as the VM's slow kernel needs for a bind, or nearly nothing.
FACTOR = "0.1" if IN_VM else "0.02"


def start(service):
    service.config = configured(f"[Service]\nStepTimeoutFactor={FACTOR}\n")
    client = service.start()
    client.pool("nics", NIC)
    client.pool("others", NIC2)
    return client


def active(client):
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    return allocation


def locked(client, allocation):
    """Nobody gets the device, and asking again is answered with the reason."""
    equal(client.state(allocation), "failed", "the allocation")
    equal(client.device_state(NIC), "failed", "the device")
    for verb in ("Deactivate", "Release"):
        equal(bus_error(client.start, allocation, verb)[0], "DriverStuck", verb)
    equal(bus_error(client.start, allocation, "Deactivate", force=True)[0], "DriverStuck", "Deactivate by force")
    codes = [finding["code"] for finding in client.explain(allocation, "Allocation")]
    check("driver-stuck" in codes, f"Explain says why: {codes}")
    other, job = client.allocate("other", "nics", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "somebody else")
    client.must(other, "Release")


def others_are_served(client):
    allocation, job = client.allocate("neighbour", "others", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the neighbour")
    equal(driver(NIC2), "vfio-pci", NIC2)
    client.must(allocation, "Release")


def given_back(client, allocation):
    wait_until(lambda: client.state(allocation) == "claimed", 30, "the give-back")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    equal(client.device_state(NIC), "free", NIC)


def as_new(service, client, allocation):
    """Afterwards it is as if nothing had happened."""
    client.must(allocation, "Activate")
    client.must(allocation, "Release")
    service.stop()
    snapshot.nothing_recorded()


def forced(client, allocation):
    """Takes a device from somebody who has it open, with patience for the driver that is shorter than theirs."""
    with Patience() as patience:
        result = client.run(allocation, "Deactivate", force=True)
        equal(result[:2], ("stuck", "DriverStuck"), f"the job: {result}")
        check(NIC in result[2], f"the message names the device: {result[2]}")
        others_are_served(client)
    print(f"# {patience.answers} answers, the slowest took {patience.worst * 1000:.0f} ms", flush=True)


def held_open(service):
    client = start(service)
    allocation = active(client)
    with Holder(NIC) as holder:
        forced(client, allocation)
        locked(client, allocation)
        equal(holder.process.poll(), None, "the consumer")
        holder.close()
    given_back(client, allocation)
    as_new(service, client, allocation)


def restarted(service):
    """The service ends and starts, is killed and starts, while the kernel has not come back."""
    client = start(service)
    allocation = active(client)
    with Holder(NIC) as holder:
        forced(client, allocation)
        for end in (service.stop, lambda: service.kill(wait=False)):
            end()
            check(service.workers(), "the worker of the run before is still in the kernel")
            client = service.start()
            locked(client, allocation)
            others_are_served(client)
        holder.close()
    given_back(client, allocation)
    client = snapshot.restart_changes_nothing(service, NIC)
    as_new(service, client, allocation)


def came_back_while_away(service):
    """The kernel comes back while no service runs."""
    client = start(service)
    allocation = active(client)
    with Holder(NIC) as holder:
        forced(client, allocation)
        service.stop()
        holder.close()
    wait_until(lambda: not service.workers(), 20, "the worker's end")
    client = service.start()
    given_back(client, allocation)
    as_new(service, client, allocation)


def killed_in_the_kernel(service):
    """The service dies with its step under way, before anybody knew that the driver does not come back."""
    client = start(service)
    allocation = active(client)
    with Holder(NIC) as holder:
        client.start(allocation, "Deactivate", force=True)
        wait_until(lambda: driver(NIC) is None, 20, "the unbind to begin")
        service.kill(wait=False)
        client = service.start()
        locked(client, allocation)
        holder.close()
    given_back(client, allocation)
    as_new(service, client, allocation)


# -- on the simulated host: in each operation, all at the same time --------------------------------------------------
def all_stuck(client, points, verb):
    """{allocation: slots}: for each (operation, slot, slots of the bundle) an allocation whose job got stuck there."""
    jobs = {}
    for operation, slot, slots in points:
        if verb == "Activate":
            hang(operation, slot)
        allocation, job = client.allocate("vm", slots[0].replace(":", "-"), activate=True)
        if verb == "Deactivate":
            equal(client.wait_job(job)[0], "done", "activate")
            hang(operation, slot)
            job = client.start(allocation, "Deactivate")
        jobs[allocation] = (job, operation, slot, slots)
    for job, operation, slot, slots in jobs.values():
        result = client.wait_job(job)
        equal(result[:2], ("stuck", "DriverStuck"), f"{operation} of {slot} hangs: {result}")
        check(slot in result[2], f"the message names the device: {result[2]}")
        for one in slots:
            check(client.device_state(one) != "free", f"{one} is locked")
    return {allocation: slots for allocation, (_, _, _, slots) in jobs.items()}


def each_operation_hangs(service, verb, points):
    client = start(service)
    before = {}
    for _, _, slots in points:
        client.pool(slots[0].replace(":", "-"), slots[0])
        before.update(snapshot.host(*slots))
    stuck = all_stuck(client, points, verb)
    release()
    for allocation, slots in stuck.items():
        wait_until(lambda a=allocation: client.state(a) == "claimed", 20, "the give-back")
        for slot in slots:
            equal(snapshot.host(slot)[slot], before[slot], slot)
            equal(client.device_state(slot), "free", slot)
        client.must(allocation, "Activate")
        client.must(allocation, "Release")
    service.stop()
    snapshot.nothing_recorded()


def activate_hangs(service):
    each_operation_hangs(service, "Activate", [("driver_override", NIC, (NIC,)), ("unbind", NIC2, (NIC2,)),
                                               ("drivers_probe", NVME, (NVME,)), ("unbind", MF[1], MF)])


def give_back_hangs(service):
    each_operation_hangs(service, "Deactivate", [("unbind", MF[1], MF), ("bind", BEHIND[1], BEHIND),
                                                 ("driver_override", NIC, (NIC,)), ("bind", NVME, (NVME,))])


def all_workers_hang(service):
    """More stuck drivers than workers may run side by side: they take nobody's place."""
    client = start(service)
    slots = ("0000:01:00.0", "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:07:01.0")
    allocations = []
    for number, slot in enumerate(slots):
        client.pool(f"group-{number}", slot)
        allocation, job = client.allocate("vm", f"group-{number}", activate=True)
        equal(client.wait_job(job)[0], "done", f"activate {slot}")
        allocations.append(allocation)
        hang("unbind", slot)
    jobs = [client.start(allocation, "Deactivate") for allocation in allocations]
    with Patience():
        for job in jobs:
            equal(client.wait_job(job)[0], "stuck", "a job")
        others_are_served(client)
    release()
    for allocation in allocations:
        wait_until(lambda a=allocation: client.state(a) == "claimed", 20, "the give-back")
        client.must(allocation, "Release")


SIM_ONLY = [activate_hangs, give_back_hangs, all_workers_hang]
main([held_open, restarted, came_back_while_away, killed_in_the_kernel] + ([] if IN_VM else SIM_ONLY))
