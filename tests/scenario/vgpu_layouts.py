#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""GPUs are set up as groups demand: MIG instances, mixed sizes, schedulers, virtual functions. Made in order, changed beside
guests, undone in reverse, made again when the driver forgets, and sound whatever fails or dies on the way."""
import os
import shutil
import time

import dbus

import nvml
import snapshot
from passthrough import RUNTIME, SYS, bus_error, check, equal, main, node, wait_until
from place import ctl, hang, hanging, release

L40S, A100, H100, PRO = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0"
SMALL, LARGE = 19, 9  # GPU instance profiles of an H100: 1g.10gb, 3g.40gb


def vgpu_id(slot):
    return "vgpu-" + slot.replace(":", "-").replace(".", "-")


def settings(values):
    return {name: dbus.UInt32(value) if isinstance(value, int) else value for name, value in values.items()}


def pool(client, name, slot, **values):
    group = client.create_group(name, "vgpu", settings(values))
    client.add_rule(group, [("provider.slot", "eq", slot)])
    return group


def update(client, group, **values):
    """These settings; the others stay."""
    values = {**{str(k): v for k, v in client.get(group, "Group", "Settings").items()}, **settings(values)}
    client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": dbus.Dictionary(values, signature="sv")}, {})


def provision(client, group):
    return client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))


def must(client, group):
    equal(provision(client, group), ("done", "", ""), "provision")


def remove(client, group):
    job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
    if job != "/":  # nothing to undo
        equal(client.wait_job(job), ("done", "", ""), "remove")


def layout(client, slot):
    return {str(k): str(v) if isinstance(v, str) else bool(v)
            for k, v in client.get(client.device(vgpu_id(slot)), "Provider", "Layout").items()}


def instances(slot):
    return sorted(i[:2] for i in nvml.state(slot)["instances"].values())


def asked(client, slot):
    """The driver was asked: what it can do is known."""
    wait_until(lambda: client.call(client.device(vgpu_id(slot)), "Provider", "Query", "sa{sv}", "report", {}), 30, f"the report of {slot}")


def untouched(slot):
    """As a driver that nobody set up."""
    found = nvml.state(slot)
    equal((found["vfs"], found["mig"], found["mixed"], found["instances"]), (0, (0, 0), 0, {}), slot)
    equal(len(list(SYS.joinpath(slot).glob("virtfn*"))), 0, f"virtual functions of {slot}")


def start(service, slot):
    client = service.start()
    asked(client, slot)
    return client


def activate(client, consumer, group):
    allocation, job = client.allocate(consumer, group, activate=True)
    equal(client.wait_job(job), ("done", "", ""), f"activate {consumer}")
    return allocation


def function_of(client, allocation):
    """Address of the virtual function that it has."""
    return next(link for link in (os.path.basename(os.readlink(p)) for p in SYS.glob("0000:0*/virtfn*"))
                if client.devices_of(allocation)[0].endswith(link.replace(":", "_").replace(".", "_")))


def mig_beside_a_guest(service):
    """Two groups of MIG slices; the second comes, and goes, beside the guest of the first. Then everything goes."""
    client = start(service, H100)
    small = pool(client, "inference", H100, profile="H100-1-10C", instances=2)
    check("not-provisioned" in client.get(small, "Group", "Notes"), "it is said that nothing is made yet")
    must(client, small)
    equal(layout(client, H100), {"mode": "mig", "functions": True, "instances": "19@0 19@1"}, "layout")
    equal((nvml.state(H100)["mig"], instances(H100)), ((1, 1), [(SMALL, 0), (SMALL, 1)]), "what the driver has")
    equal([str(n) for n in client.get(small, "Group", "Notes")], [], "made")

    vm = activate(client, "vm", "inference")
    guest = os.open(node(function_of(client, vm)), os.O_RDWR)
    large = pool(client, "training", H100, profile="H100-3-40C", instances=1)
    must(client, large)
    equal(instances(H100), [(LARGE, 4), (SMALL, 0), (SMALL, 1)], "beside the guest")
    equal(client.state(vm), "active", "the guest noticed nothing")
    both = activate(client, "vm2", "training")
    client.must(both, "Release")
    remove(client, large)
    equal(instances(H100), [(SMALL, 0), (SMALL, 1)], "without the second group")
    equal(client.state(vm), "active", "the guest noticed nothing")

    error, message = bus_error(client.call, small, "Group", "Remove", "a{sv}", {})
    check(error == "GroupInUse" and "vm" in message, f"{error}: {message}")
    os.close(guest)
    client.must(vm, "Release")
    remove(client, small)
    untouched(H100)


def mixed_sizes(service):
    """24 + 12 GB on one GPU, each at its place; a third that has none is refused with what would fit."""
    client = start(service, L40S)
    large = pool(client, "training", L40S, profile="L40S-24C", instances=1)
    small = pool(client, "cad", L40S, profile="L40S-12Q", instances=2)
    must(client, large)
    equal(layout(client, L40S), {"mode": "mixed", "functions": True, "placements": "L40S-24C@0 L40S-12Q@24,36"}, "layout")
    equal((nvml.state(L40S)["mixed"], nvml.state(L40S)["vfs"]), (1, 8), "what the driver has")
    third = client.create_group("third", "vgpu", settings({"profile": "L40S-4C", "instances": 1}))
    error, message = bus_error(client.add_rule, third, [("provider.slot", "eq", L40S)])
    check(error == "LayoutConflict" and "Nearest" in message, f"{error}: {message}")
    remove(client, third)
    # The smaller one starts first, and does not take the place of the larger.
    first = activate(client, "first", "cad")
    second = activate(client, "second", "training")
    third = activate(client, "third", "cad")
    placed = {name: vgpu[2] for name, vgpu in nvml.state(L40S)["vgpus"].items()}
    equal([placed[function_of(client, a)] for a in (first, second, third)], [24, 0, 36], "placement ids")
    params = SYS.joinpath(function_of(client, third), "nvidia/vgpu_params").read_text()
    check("vgpu-placement-id=36" in params, params)
    for allocation in (first, second, third):
        client.must(allocation, "Release")
    remove(client, small)
    must(client, large)
    equal((layout(client, L40S)["mode"], nvml.state(L40S)["mixed"]), ("equal", 0), "one size is enough for one group")
    remove(client, large)
    untouched(L40S)


def schedulers(service):
    """One scheduler for all groups of a GPU; another one means to begin anew; what goes restores what was."""
    client = start(service, L40S)
    desks = pool(client, "desks", L40S, profile="L40S-8Q", scheduler="equal-share", **{"scheduler-frequency": 100})
    must(client, desks)
    equal(nvml.state(L40S)["scheduler"], (2, 2, 33, 100), "equal share")
    error, message = bus_error(pool, client, "others", L40S, profile="L40S-8C", scheduler="fixed-share")
    check(error == "LayoutConflict" and "desks" in message and "others" in message, f"{error}: {message}")
    client.call(client.group("others"), "Group", "Remove", "a{sv}", {})
    error, message = bus_error(update, client, desks, **{"time-slice": 2})
    check("time-slice" in message, f"{error}: {message}")
    update(client, desks, **{"scheduler": "fixed-share", "scheduler-frequency": 0})
    must(client, desks)
    equal(nvml.state(L40S)["scheduler"][0], 3, "fixed share")
    vm = activate(client, "vm", "desks")
    update(client, desks, scheduler="best-effort")
    error, message = bus_error(client.call, desks, "Group", "Provision", "a{sv}", {})
    check(error == "DeviceBusy" and "vm" in message, f"{error}: {message}")
    update(client, desks, scheduler="fixed-share")
    client.must(vm, "Release")
    remove(client, desks)
    untouched(L40S)
    check(nvml.state(L40S)["scheduler"][0] in (0, 1), "as the driver begins")


def forgotten(service):
    """A driver that is loaded anew, and a host that boots, know nothing: it is made again, by nobody's order."""
    client = start(service, H100)
    small = pool(client, "inference", H100, profile="H100-1-10C", instances=2)
    must(client, small)
    ctl("reload", H100)
    wait_until(lambda: instances(H100) == [(SMALL, 0), (SMALL, 1)] and nvml.state(H100)["vfs"] == 8, 60, "it to be made again")
    wait_until(lambda: not client.get(small, "Group", "Notes"), 60, "the group to know")
    service.stop()
    ctl("reload", H100)
    shutil.rmtree(RUNTIME)
    client = service.start()
    wait_until(lambda: instances(H100) == [(SMALL, 0), (SMALL, 1)] and nvml.state(H100)["vfs"] == 8, 60, "it to be made at the start")
    wait_until(lambda: not client.get(small, "Group", "Notes"), 60, "the group to know")
    vm = activate(client, "vm", "inference")
    client.must(vm, "Release")
    remove(client, small)
    untouched(H100)


# In the order of the steps: (call of NVIDIA's library, so many go well before).
CALLS = [("nvmlDeviceSetMigMode", 0), ("nvmlDeviceCreateGpuInstanceWithPlacement", 0),
         ("nvmlDeviceCreateGpuInstanceWithPlacement", 1), ("nvmlGpuInstanceCreateComputeInstance", 0),
         ("nvmlGpuInstanceCreateComputeInstance", 1)]


def failures(service):
    """Each call fails in turn, and then kills the worker: the job says so, and nothing is left."""
    client = start(service, H100)
    small = pool(client, "inference", H100, profile="H100-1-10C", instances=2)
    for call, skip in CALLS:
        nvml.fault(H100, **{call: {"result": 19, "skip": skip, "times": 1}})
        state, error, message = provision(client, small)
        check((state, error) == ("failed", "StepFailed") and H100 in message and "in use" in message, f"{call}: {state} {error} {message}")
        untouched(H100)
        nvml.fault(H100, **{call: {"result": 0, "skip": skip, "times": 1, "die": True}})
        state, error, message = provision(client, small)
        equal(state, "failed", f"{call}: {error} {message}")
        untouched(H100)
    nvml.fault(H100)
    ctl("fail", "sriov-manage", H100, "EAGAIN", "2")
    must(client, small)
    remove(client, small)
    untouched(H100)


def killed(service):
    """kill -9 of the service in the middle of each step, making and undoing: the next one leaves nothing, or finishes it."""
    client = start(service, H100)
    small = pool(client, "inference", H100, profile="H100-1-10C", instances=1)
    for call in ("nvmlDeviceSetMigMode", "nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlGpuInstanceCreateComputeInstance"):
        nvml.fault(H100, **{call: {"result": 0, "times": 1, "delay": 3000}})
        client.call(small, "Group", "Provision", "a{sv}", {})
        wait_until(lambda: nvml.is_taken(H100, call), 30, f"the worker to come to {call}")
        service.kill()
        nvml.fault(H100)
        client = service.start()
        if layout(client, H100):  # it had been done before the kill came
            equal(instances(H100), [(SMALL, 0)], "what was made")
            remove(client, small)
            small = pool(client, "inference", H100, profile="H100-1-10C", instances=1)
        wait_until(lambda: nvml.state(H100)["vfs"] == 0 and nvml.state(H100)["mig"] == (0, 0), 60, "what was begun to be undone")
        untouched(H100)
    hang("sriov-manage", H100)
    client.call(small, "Group", "Provision", "a{sv}", {})
    wait_until(lambda: hanging("sriov-manage", H100), 30, "the virtual functions to be switched on")
    service.kill(wait=False)
    release()
    client = service.start()
    wait_until(lambda: nvml.state(H100)["vfs"] == 0 and nvml.state(H100)["mig"] == (0, 0), 60, "what was begun to be undone")
    must(client, small)
    nvml.fault(H100, nvmlGpuInstanceDestroy={"result": 0, "times": 1, "delay": 3000})
    client.call(small, "Group", "Remove", "a{sv}", {})
    wait_until(lambda: nvml.is_taken(H100, "nvmlGpuInstanceDestroy"), 30, "the instance to be destroyed")
    service.kill()
    nvml.fault(H100)
    client = service.start()
    group = next((g for g in [bus_or_none(client, "inference")] if g), None)
    if group:
        remove(client, group)
    untouched(H100)
    service.stop()
    snapshot.nothing_recorded()


def killed_time_sliced(service):
    """The same for mixed sizes and schedulers, and for a guest that starts and ends."""
    def pools():
        return [pool(client, "training", L40S, profile="L40S-24C", instances=1, scheduler="equal-share"),
                pool(client, "cad", L40S, profile="L40S-12Q", instances=2, scheduler="equal-share")]

    client = start(service, L40S)
    groups = pools()
    before = nvml.state(L40S)["scheduler"]
    for call in ("nvmlDeviceSetVgpuHeterogeneousMode", "nvmlDeviceSetVgpuSchedulerState"):
        nvml.fault(L40S, **{call: {"result": 0, "times": 1, "delay": 3000}})
        client.call(groups[0], "Group", "Provision", "a{sv}", {})
        wait_until(lambda: nvml.is_taken(L40S, call), 30, f"the worker to come to {call}")
        service.kill()
        nvml.fault(L40S)
        client = service.start()
        if layout(client, L40S):  # it had been done before the kill came
            for name in ("training", "cad"):
                remove(client, client.group(name))
            groups = pools()
        wait_until(lambda: nvml.state(L40S)["vfs"] == 0 and nvml.state(L40S)["mixed"] == 0, 60, "what was begun to be undone")
        untouched(L40S)
        equal(nvml.state(L40S)["scheduler"], before, "scheduler")
        groups = [client.group("training"), client.group("cad")]
    must(client, groups[0])
    equal((nvml.state(L40S)["mixed"], nvml.state(L40S)["scheduler"][0]), (1, 2), "what the driver has")

    vm, _ = client.allocate("vm", "cad")
    for verb in ("Activate", "Deactivate"):
        for i in range(4):
            if verb == "Deactivate" and client.state(vm) != "active":
                client.must(vm, "Activate")
            client.start(vm, verb)
            time.sleep(0.05 * i)  # the point of the test: some instant of it
            service.kill()
            client = service.start()
            wait_until(lambda: client.state(vm) in ("claimed", "active"), 60, "the guest's vGPU to be there or not")
            equal(len(nvml.state(L40S)["vgpus"]), int(client.state(vm) == "active"), "vGPUs of the GPU")
            if client.state(vm) == "active":
                client.must(vm, "Deactivate")
    client.must(vm, "Release")
    for name in ("training", "cad"):
        remove(client, client.group(name))
    untouched(L40S)
    service.stop()
    snapshot.nothing_recorded()


def bus_or_none(client, name):
    try:
        return client.group(name)
    except dbus.DBusException:
        return None


def pending(service):
    """A GPU that has to be reset for MIG: said, and not left waiting."""
    client = start(service, A100)
    nvml.change(A100, reset_refused=True)
    small = pool(client, "inference", A100, profile="A100D-1-10C", instances=1)
    state, error, message = provision(client, small)
    check(state == "failed" and "reset" in message and "reboot" in message, f"{state} {error} {message}")
    untouched(A100)
    nvml.change(A100, reset_refused=None)
    must(client, small)
    remove(client, small)
    untouched(A100)


def shared_slice(service):
    """Four vGPUs share a slice of a Blackwell GPU, each slice with a scheduler of its own."""
    client = start(service, PRO)
    pro = pool(client, "pro", PRO, profile="RTX Pro 6000 Blackwell DC-2-12Q", instances=4, scheduler="equal-share",
               **{"strict-round-robin": "on"})
    must(client, pro)
    equal(layout(client, PRO), {"mode": "mig", "functions": True, "instances": "35@0",
                                "scheduler": "35@0 equal-share arr=on frequency=480 average=33"}, "layout")
    held = [activate(client, f"vm{i}", "pro") for i in range(4)]
    for allocation in held:
        client.must(allocation, "Release")
    remove(client, pro)
    untouched(PRO)


def why_not(client, group):
    """What somebody who wants a device now is told."""
    allocation, job = client.allocate("asking", group, activate=True)
    result = client.wait_job(job)
    client.must(allocation, "Release")
    equal(result[:2], ("failed", "NoDeviceAvailable"), "activate")
    return result[2]


def said_before(service):
    """Functions that are on, and a GPU that is not set up for the group, or has another driver than it wants."""
    client = start(service, H100)
    nvml.functions(H100)
    wait_until(lambda: len(client.get(client.device(vgpu_id(H100)), "Provider", "Children")) == 8, 30, "the functions")
    small = pool(client, "inference", H100, profile="H100-1-10C", instances=1)
    wait_until(lambda: "being read" not in why_not(client, "inference"), 30, "the functions to be read")
    text = why_not(client, "inference")
    check("once its GPU" in text and "set up for the group" in text, text)
    must(client, small)
    equal(nvml.state(H100)["mig"], (1, 1), "MIG, with the functions switched off for it and on again")
    vm = activate(client, "vm", "inference")
    text = why_not(client, "inference")
    check("no room" in text or "as many" in text, text)
    client.must(vm, "Release")
    update(client, small, **{"driver-version": ">= 595"})
    text = why_not(client, "inference")
    check("wants the driver" in text and "580.65.05" in text, text)
    remove(client, small)
    found = nvml.state(H100)
    equal((found["mig"], found["vfs"], found["instances"]), ((0, 0), 8, {}), "as it was: without MIG, with functions")
    nvml.functions(H100, False)


if __name__ == "__main__":
    main([mig_beside_a_guest, mixed_sizes, schedulers, forgotten, failures, killed, killed_time_sliced, pending, shared_slice, said_before], may_crash=True)
