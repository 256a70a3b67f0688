#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""GPUs are divided as groups demand, from switched off functions to vGPUs, and everything is as it was afterwards."""
import re

import dbus

from nvml import change, fault, model, state
from passthrough import bus_error, check, equal, main, wait_until
from place import ctl

L40S, A100, H100, PRO6000 = (f"0000:{bus:02x}:00.0" for bus in range(3, 7))


def vgpu(slot):
    return "vgpu-" + re.sub("[:.]", "-", slot)


def pool(client, name, slot, profile, **settings):
    group = client.create_group(name, "vgpu", {"profile": profile, **{k.replace("_", "-"): v for k, v in settings.items()}})
    client.add_rule(group, [("provider.slot", "eq", slot)])
    return group


def asked(client, *gpus):
    """The library is asked after the start."""
    for gpu in gpus:
        wait_until(lambda gpu=gpu: any(f["code"] == "functions-off" for f in client.explain(client.device(vgpu(gpu)), "Device")),
                   20, f"{gpu} to be read")


def provision(client, group):
    return client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))


def remove(client, *groups):
    for group in groups:
        job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
        check(job == "/" or client.wait_job(job) == ("done", "", ""), f"removal of {group}")


def pristine(gpu, mig=0):
    now = state(gpu)
    equal((now["vfs"], now["mig"], now["mixed"], now["scheduler"], now["instances"], now["vgpus"]),
          (0, (mig, mig), 0, (0, 0, 0, 0), {}, {}), f"{gpu} afterwards")


def layout(client, gpu):
    return {str(k): (bool(v) if k == "functions" else str(v))
            for k, v in client.get(client.device(vgpu(gpu)), "Provider", "Layout").items()}


def settings(client, group, **values):
    client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": dbus.Dictionary(values, signature="sv")}, {})


def make(client, consumer, group, count):
    allocation, job = client.allocate(consumer, [{"group": group, "count": count}], activate=True)
    equal(client.wait_job(job), ("done", "", ""), f"{count} of {group}")
    return allocation


def one_size(service):
    client = service.start()
    asked(client, L40S)
    group = pool(client, "desktops", L40S, "L40S-12Q")
    equal(provision(client, group), ("done", "", ""), "provision")
    equal((layout(client, L40S), state(L40S)["vfs"]), ({"mode": "equal", "functions": True}, 8), "the layout")
    allocation = make(client, "four", "desktops", 4)
    equal([t[2] for t in state(L40S)["vgpus"].values()], [0, 12, 24, 36], "side by side")
    late, job = client.allocate("fifth", "desktops", activate=True)
    equal(client.wait_job(job)[:2], ("failed", "NoDeviceAvailable"), "a fifth")
    client.must(late, "Release")
    error, message = bus_error(client.call, group, "Group", "Remove", "a{sv}", {})
    check(error == "GroupInUse" and "four" in message, (error, message))
    client.must(allocation, "Release")
    remove(client, group)
    pristine(L40S)


def mixed_sizes(service):
    """24 + 12 + 4 + 4 + 4 GB are 48, and have no places together; with one less of them each vGPU gets the place it was planned for,
    in whatever order their guests start."""
    client = service.start()
    asked(client, L40S)
    groups = [pool(client, "large", L40S, "L40S-24C", instances=1), pool(client, "middle", L40S, "L40S-12Q", instances=1)]
    small = client.create_group("small", "vgpu", {"profile": "L40S-4C", "instances": 3})
    error, message = bus_error(client.add_rule, small, [("provider.slot", "eq", L40S)])
    check(error == "LayoutConflict" and "1 × 24C + 1 × 12Q + 2 × 4C" in message, (error, message))
    settings(client, small, profile="L40S-4C", instances=2)
    client.add_rule(small, [("provider.slot", "eq", L40S)])
    equal(provision(client, small), ("done", "", ""), "provision")
    made = layout(client, L40S)
    equal((made["mode"], state(L40S)["mixed"]), ("mixed", 1), "mode")
    allocations = [make(client, name, name, count) for name, count in (("small", 2), ("middle", 1), ("large", 1))]
    vgpus = state(L40S)["vgpus"]
    planned = {}
    for part in made["placements"].split():
        name, _, places = part.partition("@")
        planned[name] = sorted(int(p) for p in places.split(","))
    types = {name: next(t["id"] for t in model(L40S)["types"] if t["name"] == f"NVIDIA {name}") for name in planned}
    found = {name: sorted(v[2] for v in vgpus.values() if v[0] == number) for name, number in types.items()}
    equal(found, planned, "places")
    for allocation in allocations:
        client.must(allocation, "Release")
    remove(client, small, *groups)
    pristine(L40S)


def numbers_are_no_names(service):
    """The numbers of types differ between drivers: with the next one the same number would be another profile."""
    client = service.start()
    asked(client, L40S)
    number = str(next(t["id"] for t in model(L40S)["types"] if t["name"] == "NVIDIA L40S-12Q"))
    group = client.create_group("desktops", "vgpu", {"profile": number})
    error, message = bus_error(client.add_rule, group, [("provider.slot", "eq", L40S)])
    check(error == "LayoutConflict" and number in message and "12Q" in message, (error, message))
    settings(client, group, profile="L40S-12Q")
    client.add_rule(group, [("provider.slot", "eq", L40S)])
    remove(client, group)


def mig_slices(service):
    client = service.start()
    asked(client, H100)
    group = pool(client, "slices", H100, "H100-2-20C", instances=3)
    equal(provision(client, group), ("done", "", ""), "provision")
    equal(layout(client, H100), {"mode": "mig", "functions": True, "instances": "14@0 14@2 14@4"}, "the layout")
    equal(state(H100)["instances"], {1: (14, 0, 2, 1), 2: (14, 2, 2, 1), 3: (14, 4, 2, 1)}, "GPU instances")
    allocation = make(client, "three", "slices", 3)
    equal(sorted(v[1] for v in state(H100)["vgpus"].values()), [1, 2, 3], "one on each")
    client.must(allocation, "Release")
    remove(client, group)
    pristine(H100)


def several_on_a_slice(service):
    client = service.start()
    asked(client, PRO6000)
    group = pool(client, "slices", PRO6000, "RTX Pro 6000 Blackwell DC-2-12Q")
    equal(provision(client, group), ("done", "", ""), "provision")
    equal(layout(client, PRO6000)["instances"], "35@0 35@2", "with graphics")
    allocation = make(client, "eight", "slices", 8)
    equal(sorted(v[1] for v in state(PRO6000)["vgpus"].values()), [1] * 4 + [2] * 4, "four on each")
    client.must(allocation, "Release")
    remove(client, group)
    pristine(PRO6000)


def busy_driver(service):
    """The tool that does not get its lock is asked again; a GPU that is in use keeps MIG mode pending, which is said and undone."""
    client = service.start()
    asked(client, L40S, A100)
    ctl("fail", "sriov-manage", L40S, "EAGAIN", "2")
    group = pool(client, "desktops", L40S, "L40S-12Q")
    equal(provision(client, group), ("done", "", ""), "provision in the third attempt")
    remove(client, group)
    change(A100, clients=1)
    try:
        group = pool(client, "slices", A100, "A100D-3-40C")
        result = provision(client, group)
        check(result[0] == "failed" and "MIG" in result[2], result)
        equal(state(A100)["mig"], (0, 0), "MIG mode is not left pending")
    finally:
        change(A100, clients=None)
    equal(provision(client, group), ("done", "", ""), "provision of an idle GPU")
    equal(state(A100)["mig"], (1, 1), "MIG mode")
    remove(client, group)
    pristine(A100)


def made_again(service):
    """What the driver loses when it is loaded anew is made again."""
    client = service.start()
    asked(client, H100)
    group = pool(client, "slices", H100, "H100-3-40C")
    equal(provision(client, group), ("done", "", ""), "provision")
    before = state(H100)
    service.stop()
    ctl("reload", H100)
    equal((state(H100)["mig"], state(H100)["vfs"]), ((0, 0), 0), "all is lost")
    client = service.start()
    wait_until(lambda: state(H100)["instances"] == before["instances"], 30, "the instances")
    wait_until(lambda: state(H100)["vfs"] == before["vfs"], 30, "the functions")
    client.must(make(client, "vm", "slices", 1), "Release")
    remove(client, group)
    pristine(H100)


def killed_in_the_middle(service):
    """The worker dies in one call of the library after the other: nothing stays half made, and the next attempt succeeds."""
    client = service.start()
    asked(client, H100)
    group = pool(client, "slices", H100, "H100-3-40C")
    for call, skip in (("nvmlDeviceSetMigMode", 0), ("nvmlDeviceCreateGpuInstanceWithPlacement", 0),
                       ("nvmlDeviceCreateGpuInstanceWithPlacement", 1), ("nvmlGpuInstanceCreateComputeInstance", 1)):
        fault(H100, **{call: {"die": True, "skip": skip, "times": 1}})
        result = provision(client, group)
        check(result[0] == "failed", (call, result))
        fault(H100)
        wait_until(lambda: (lambda now: (now["vfs"], now["mig"], now["instances"]))(state(H100)) == (0, (0, 0), {}), 20,
                   f"the end of what was begun, after {call}: {state(H100)}")
    equal(provision(client, group), ("done", "", ""), "provision")
    remove(client, group)
    pristine(H100)


def failing_calls(service):
    """A call that the driver refuses, or does not have."""
    client = service.start()
    asked(client, H100)
    group = pool(client, "slices", H100, "H100-3-40C")
    for faults in ({"nvmlDeviceSetMigMode": 4}, {"nvmlDeviceCreateGpuInstanceWithPlacement": {"result": 23, "skip": 1}},
                   {"nvmlGpuInstanceCreateComputeInstance": 20}, {"nvmlDeviceSetMigMode": 13}):
        fault(H100, **faults)
        result = provision(client, group)
        check(result[0] == "failed" and result[2], (faults, result))
        fault(H100)
        pristine(H100)
    remove(client, group)


def odd_type_files(service):
    """Both forms of the file are read; what is no type is passed over; a type that goes after it was seen is missed by name."""
    client = service.start()
    asked(client, L40S)
    group = pool(client, "desktops", L40S, "L40S-12Q")
    equal(provision(client, group), ("done", "", ""), "provision")
    number = next(t["id"] for t in model(L40S)["types"] if t["name"] == "NVIDIA L40S-12Q")
    for text, well in ((f"NVIDIA L40S-12Q {number}\\nNVIDIA L40S-24Q 99999999999999", True),
                       (f"ID    : vGPU Name\\n{number} : NVIDIA L40S-12Q\\n\\n  : \\n-1 : NVIDIA L40S-2Q\\ngarbage", True),
                       ("ID    : vGPU Name", False), ("0 : NVIDIA L40S-12Q\\n4294967296 : NVIDIA L40S-12Q", False),
                       ("7 : NVIDIA L40S-12Qx\\n8 : Unknown-9Z", False), ("99999 : NVIDIA L40S-12Q", False)):
        ctl("creatable-text", L40S, text)
        allocation, job = client.allocate("vm", "desktops", activate=True)
        result = client.wait_job(job)
        equal(result[0], "done" if well else "failed", f"{text}: {result}")
        check(well or "L40S-12Q" in result[2], result)
        client.must(allocation, "Release")
        equal(state(L40S)["vgpus"], {}, "what is left")
    ctl("creatable-text", L40S)
    client.must(make(client, "vm", "desktops", 1), "Release")
    remove(client, group)
    pristine(L40S)


main([one_size, mixed_sizes, numbers_are_no_names, mig_slices, several_on_a_slice, busy_driver, made_again, killed_in_the_middle, failing_calls,
      odd_type_files])
