#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mediated devices: offered before they are made, made when a consumer starts, removed when it ends."""
import os
import pathlib
import subprocess

import dbus

from passthrough import SYS, bus_error, check, equal, main, node, wait_until
from place import IN_VM, Holder, ctl

GPU, SECOND = "0000:00:0a.0", "0000:00:0c.0"
MDEV = pathlib.Path("/sys/bus/mdev/devices")


def load(module):
    if IN_VM:
        subprocess.run(["modprobe", module], check=True)


def vgpu_id(slot, number=0):
    return "vgpu-" + slot.replace(":", "-").replace(".", "-") + (f"-s{number}" if number else "")


def pool(client, name, profile, slot=GPU, **settings):
    group = client.create_group(name, "vgpu", {"profile": profile, **settings})
    client.add_rule(group, [("provider.slot", "eq", slot)])
    return group


def uuid_of(allocation):
    return allocation.rsplit("/", 1)[1].replace("_", "-")


def made():
    return sorted(os.listdir(MDEV)) if MDEV.exists() else []


def mdev_type(uuid):
    return os.path.basename(os.readlink(MDEV / uuid / "mdev_type"))


def mdev_node(uuid):
    return "/dev/vfio/" + os.path.basename(os.readlink(MDEV / uuid / "iommu_group"))


def exists(client, name):
    try:
        client.device(name)
        return True
    except dbus.DBusException:
        return False


def slots(client, slot, count):
    """The driver is asked after the start: waits until as many are offered."""
    wait_until(lambda: len(client.get(client.device(vgpu_id(slot)), "Provider", "Children")) == count, 10,
               f"{count} slots of {slot}")


def discovery(service):
    load("ptvgpu")
    client = service.start()
    for slot in (GPU, SECOND):
        slots(client, slot, 8)
        fields = client.get_all(client.device(vgpu_id(slot)), "Device.Vgpu")
        equal((str(fields["Role"]), str(fields["BackEnd"])), ("gpu", "mdev"), slot)
        equal([str(p) for p in fields["Profiles"]], ["GRID PT40-1Q", "GRID PT40-2Q", "GRID PT40-8Q"], "profiles")
        equal([str(t) for t in fields["TypeIds"]], ["nvidia-63", "nvidia-64", "nvidia-65"], "type ids")
    fields = client.get_all(client.device(vgpu_id(GPU, 3)), "Device.Vgpu")
    equal((str(fields["Role"]), int(fields["Number"]), str(fields["Slot"])), ("slot", 3, GPU), "the third slot")


def round_trip(service):
    client = service.start()
    slots(client, GPU, 8)
    group = pool(client, "desktops", "PT40-1Q")
    equal([str(p) for p in client.get(group, "Group", "Providers")], [client.device(vgpu_id(GPU))], "providers")
    equal(len(client.get(group, "Group", "Devices")), 8, "members")
    equal([str(n) for n in client.get(group, "Group", "Notes")], [], "nothing to be made before, and all of one model")
    allocation, job = client.allocate("vm", "desktops", activate=True, node_uid=1001)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    uuid = uuid_of(allocation)
    equal(made(), [uuid], "the mediated device is called as the allocation")
    equal(mdev_type(uuid), "nvidia-63", "its type")
    status = os.stat(mdev_node(uuid))
    equal((status.st_uid, status.st_mode & 0o777), (1001, 0o600), mdev_node(uuid))
    qemu = client.guest_config(allocation, "qemu")
    check(f"vfio-pci,sysfsdev=/sys/bus/mdev/devices/{uuid}," in qemu, qemu)
    libvirt = client.guest_config(allocation, "libvirt")
    check(f"type='mdev' model='vfio-pci' display='off' ramfb='off'" in libvirt and f"<address uuid='{uuid}'/>" in libvirt, libvirt)
    client.must(allocation, "Deactivate")
    equal(made(), [], "it goes with the guest")
    job = str(client.call(allocation, "Allocation", "Activate", "a{sv}", {}))
    equal(client.wait_job(job), ("done", "", ""), "activate again")
    equal(made(), [uuid], "the same name again")
    client.must(allocation, "Release")
    equal(made(), [], "after the release")


def eight_and_no_more(service):
    """As many as the driver has room for, each with a name of its own; a ninth, and one of another size, are told why not."""
    client = service.start()
    slots(client, GPU, 8)
    pool(client, "desktops", "PT40-1Q")
    allocation, job = client.allocate("farm", [{"group": "desktops", "count": 8}], activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate eight")
    equal(len(made()), 8, "eight mediated devices")
    check(uuid_of(allocation) in made(), "the first is called as the allocation")
    late, job = client.allocate("ninth", "desktops", activate=True)
    equal(client.wait_job(job)[:2], ("failed", "NoDeviceAvailable"), "a ninth")
    client.must(late, "Release")
    client.must(allocation, "Release")
    equal(made(), [], "after the release")


def other_sizes(service):
    """Two groups whose vGPUs do not go together on one GPU; one that says nothing of its profile; one that can't be had."""
    client = service.start()
    slots(client, GPU, 8)
    small = pool(client, "small", "PT40-1Q")
    large = client.create_group("large", "vgpu", {"profile": "PT40-8Q"})
    error, message = bus_error(client.add_rule, large, [("provider.slot", "eq", GPU)])
    equal(error, "LayoutConflict", message)
    client.add_rule(large, [("provider.slot", "eq", SECOND)])
    equal([int(client.get(large, "Group", name)) for name in ("Total", "Available")], [1, 1], "there is room for one of that size")
    wrong = client.create_group("wrong", "vgpu", {"profile": "L40S-24Q"})
    error, message = bus_error(client.add_rule, wrong, [("provider.slot", "eq", SECOND)])
    equal(error, "LayoutConflict", message)
    check("L40S-24Q" in message and "GRID PT40-2Q" in message, message)
    # What the driver calls it today is no name of it.
    for number in ("nvidia-63", "65"):
        numbered = client.create_group("numbered", "vgpu", {"profile": str(number)})
        error, message = bus_error(client.add_rule, numbered, [("provider.slot", "eq", SECOND)])
        equal(error, "LayoutConflict", message)
        check(number in message and "GRID PT40-2Q" in message, message)
        client.call(numbered, "Group", "Remove", "a{sv}", {})
    unsaid = client.create_group("unsaid", "vgpu", {})
    client.add_rule(unsaid, [("provider.slot", "eq", SECOND)])
    allocation, job = client.allocate("vm", "unsaid", activate=True)
    result = client.wait_job(job)
    check(result[1] == "NoDeviceAvailable" and "no profile" in result[2], result)
    client.must(allocation, "Release")
    # By itself: the same GPU, all of it, then no room.
    first, job = client.allocate("vm", "large", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "the only one")
    second, job = client.allocate("vm2", "large", activate=True)
    result = client.wait_job(job)
    check(result[1] == "NoDeviceAvailable" and "no room" in result[2], result)
    client.must(second, "Release")
    client.must(first, "Release")
    for group in (small, large):
        client.call(group, "Group", "Remove", "a{sv}", {})


def whole_or_slices(service):
    """A GPU whose slices are in use is not had as a whole, and the other way round."""
    client = service.start()
    slots(client, GPU, 8)
    pool(client, "desktops", "PT40-1Q")
    client.pool("whole", GPU)
    vgpu, job = client.allocate("vm", "desktops", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "a slice")
    whole, job = client.allocate("other", "whole", activate=True)
    result = client.wait_job(job)
    equal(result[:2], ("failed", "NoDeviceAvailable"), result)
    client.must(whole, "Release")
    client.must(vgpu, "Release")


def restart(service):
    """The service dies while a guest has its vGPU: the next one knows it, and gives it back."""
    client = service.start()
    slots(client, GPU, 8)
    pool(client, "desktops", "PT40-2Q")
    allocation, job = client.allocate("vm", "desktops", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    service.kill()
    client = service.start()
    equal(made(), [uuid_of(allocation)], "it stays")
    equal(client.state(allocation), "active", "the allocation")
    client.must(allocation, "Release")
    equal(made(), [], "after the release")


def stranger(service):
    """Somebody else's mediated device takes room, and is left alone."""
    client = service.start()
    slots(client, SECOND, 8)
    pool(client, "large", "PT40-8Q", SECOND)
    other = "0f0f0f0f-0000-4000-8000-0123456789ab"
    types = pathlib.Path("/sys/bus/pci/devices", SECOND, "mdev_supported_types")
    (types / "nvidia-63/create").write_text(other)
    allocation, job = client.allocate("vm", "large", activate=True)
    result = client.wait_job(job)
    check(result[1] in ("NoDeviceAvailable", "StepFailed") and "no room" in result[2], result)
    equal(made(), [other], "the other's")
    (MDEV / other / "remove").write_text("1")
    wait_until(lambda: not made(), 5, "its end")
    job = str(client.call(allocation, "Allocation", "Activate", "a{sv}", {}))
    equal(client.wait_job(job), ("done", "", ""), "now there is room")
    client.must(allocation, "Release")


def slow_driver(on):
    """From now on it takes its time to make one."""
    if IN_VM:
        pathlib.Path("/sys/module/ptvgpu/parameters/fail").write_text("2" if on else "0")
    else:
        ctl("delay", "create", "1500000" if on else "0", GPU)


def killed_while_made(service):
    """The service dies while the driver makes the vGPU: the next one takes it away again, and it can be had."""
    client = service.start()
    slots(client, GPU, 8)
    pool(client, "desktops", "PT40-1Q")
    allocation, _ = client.allocate("vm", "desktops")
    slow_driver(True)
    try:
        client.call(allocation, "Allocation", "Activate", "a{sv}", {})
        wait_until(made, 10, "the driver to begin")
        service.kill()
    finally:
        slow_driver(False)
    client = service.start()
    wait_until(lambda: client.state(allocation) == "claimed", 20, "the recovery")
    equal(made(), [], "nothing is left")
    job = str(client.call(allocation, "Allocation", "Activate", "a{sv}", {}))
    equal(client.wait_job(job), ("done", "", ""), "activate")
    client.must(allocation, "Release")
    equal(made(), [], "after the release")


def virtual_parent(service):
    """A parent that is no PCI device, whose driver comes and goes while the service runs."""
    if not IN_VM:
        return
    client = service.start()
    load("mtty")
    wait_until(lambda: exists(client, "vgpu-mtty"), 10, "the parent")
    slots(client, "mtty", 24)
    pool(client, "serial", "Dual port serial", "mtty")
    allocation, job = client.allocate("vm", "serial", activate=True, node_uid=1001)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    uuid = uuid_of(allocation)
    equal((made(), mdev_type(uuid)), ([uuid], "mtty-2"), "made")
    equal(os.stat(mdev_node(uuid)).st_uid, 1001, "owner of the node")
    client.must(allocation, "Release")
    equal(made(), [], "after the release")
    subprocess.run(["rmmod", "mtty"], check=True)
    wait_until(lambda: not exists(client, "vgpu-mtty"), 10, "its end")
    # Another driver of the kind, with types of other names.
    load("mdpy")
    wait_until(lambda: exists(client, "vgpu-mdpy"), 10, "the parent")
    wait_until(lambda: client.get(client.device("vgpu-mdpy"), "Provider", "Children"), 10, "its slots")
    pool(client, "screens", "mdpy-vga", "mdpy")
    allocation, job = client.allocate("vm", "screens", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    equal((made(), mdev_type(uuid_of(allocation))), ([uuid_of(allocation)], "mdpy-vga"), "made")
    client.must(allocation, "Release")
    subprocess.run(["rmmod", "mdpy"], check=True)


def vendor_functions():
    """The GPU whose driver has no mdev, and its virtual functions. In the VM another card plays it, whose tool switches them on."""
    if not IN_VM:
        gpu = "0000:03:00.0"
    else:
        gpu = "0000:08:00.0"
        # Whoever had the card before: functions that its own driver made go with that, and later ones are to get a driver.
        if (SYS / gpu / "sriov_numvfs").read_text().strip() != "0":
            (SYS / gpu / "sriov_numvfs").write_text("0")
        (SYS / gpu / "sriov_drivers_autoprobe").write_text("1")
        load("ptvf")
        subprocess.run(["/usr/lib/nvidia/sriov-manage", "-e", gpu], check=True)
    return gpu, sorted(os.path.basename(os.readlink(link)) for link in (SYS / gpu).glob("virtfn*"))


def linger(gpu, milliseconds):
    """How long the driver keeps a vGPU after its guest."""
    if IN_VM:
        pathlib.Path("/sys/module/ptvf/parameters/linger").write_text(str(milliseconds))
    else:
        ctl("linger", gpu, str(milliseconds))


def vendor_vfio(service):
    """A type that is written to a virtual function; the driver lets go of it some time after the guest."""
    gpu, functions = vendor_functions()
    carrier = functions[0]
    client = service.start()
    wait_until(lambda: len(client.get(client.device(vgpu_id(gpu)), "Provider", "Children")) == len(functions), 20,
               "the virtual functions")
    fields = client.get_all(client.device(vgpu_id(carrier)), "Device.Vgpu")
    equal((str(fields["Role"]), str(fields["BackEnd"]), str(fields["PhysicalFunction"])), ("vf", "vfio", gpu), carrier)
    pool(client, "big", "L40S-24Q", gpu, **{"frame-rate-limiter": 0})
    # What the published table of the board says, before the driver is asked.
    wrong = client.create_group("wrong", "vgpu", {"profile": "L40S-24Q", "instances": 3})
    error, message = bus_error(client.add_rule, wrong, [("provider.slot", "eq", gpu)])
    equal(error, "LayoutConflict", message)
    other = client.create_group("other", "vgpu", {"profile": "L40S-12Q"})
    client.add_rule(other, [("physical-function", "eq", gpu)])
    types = {line.split(":")[1].strip(): line.split(":")[0].strip()
             for line in (SYS / carrier / "nvidia/creatable_vgpu_types").read_text().splitlines()}
    allocation, job = client.allocate("vm", "big", activate=True, node_uid=1001)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    current = SYS / carrier / "nvidia/current_vgpu_type"
    equal(current.read_text().strip(), types["NVIDIA L40S-24Q"], "its type")
    equal((SYS / carrier / "nvidia/vgpu_params").read_text().strip(), "frame_rate_limiter=0", "its parameters")
    equal(os.stat(node(carrier)).st_uid, 1001, "owner of the node")
    check(f"host={carrier}," in client.guest_config(allocation, "qemu"), "QEMU")
    # Another size does not fit beside it, and is told so.
    late, job = client.allocate("vm2", "other", activate=True)
    result = client.wait_job(job)
    check(result[1] == "NoDeviceAvailable" and "L40S-12Q" in result[2], result)
    client.must(late, "Release")
    # The guest ends; the driver has its vGPU a little longer.
    linger(gpu, 1500)
    try:
        with Holder(carrier):
            pass
        client.must(allocation, "Release")
    finally:
        linger(gpu, 0)
    equal(current.read_text().strip(), "0", "after the release")
    if IN_VM:
        service.stop()
        subprocess.run(["rmmod", "ptvf"], check=True)
        wait_until(lambda: (SYS / gpu / "driver").exists(), 20, "the card's own driver")


main([vendor_vfio, discovery, round_trip, eight_and_no_more, other_sizes, whole_or_slices, restart, stranger, killed_while_made, virtual_parent])
