#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cards that are pulled: while their consumer does nothing, while it has them open, while they are being handed out, while
the service is not there, and over and over."""
import time

import snapshot
from passthrough import SYS, check, driver, equal, main, override, wait_until
from place import IN_VM, Holder, ctl, hang, hanging, plug, release, unplug
from witness import Patience, Signals

NIC, NIC2 = "0000:01:00.0", "0000:02:00.0"
UNPLUG_SECONDS = 60 if IN_VM else 10  # the kernel gives a person five seconds to change their mind, and is not fast here
LOST_SECONDS = 12 if IN_VM else 6  # two looks, 2 s apart


def active(client, slot=NIC, **options):
    client.pool("nics", slot)
    allocation, job = client.allocate("vm", "nics", activate=True, **options)
    equal(client.wait_job(job)[0], "done", "activate")
    return allocation


def known(client, slot):
    """Whether the service shows the device."""
    page = client.manager("ListDevices", "sa(sss)a{sv}", "pci", [("slot", "eq", slot)], {})[0]
    return len(page) == 1


def wait_absent(client, slot):
    wait_until(lambda: not (SYS / slot).exists(), UNPLUG_SECONDS, f"{slot} to be gone")
    wait_until(lambda: not known(client, slot), 20, "the service to know")


def plug_again(client, slot):
    plug(slot)
    wait_until(lambda: driver(slot) == "e1000e", 20, "the host's driver")
    wait_until(lambda: known(client, slot), 20, "the service to know")
    wait_until(lambda: client.device_state(slot) == "free", 20, f"{slot} to be free")


def idle(service):
    client = service.start()
    allocation = active(client)
    lost = Signals("Allocation", "DeviceLost")
    device = client.device(NIC)
    unplug(NIC)
    wait_absent(client, NIC)
    wait_until(lambda: client.state(allocation) == "lost", 20, "lost")
    equal(lost.wait(), (allocation, (device, "unplugged")), "the signal")
    equal(len(lost.so_far()), 1, "signals")
    equal(client.device_state(NIC2), "free", "its neighbour")

    # Over a restart it stays so; then it is given up.
    client = service.restart()
    equal(client.state(allocation), "lost", "after a restart")
    client.must(allocation, "Deactivate")
    equal(client.state(allocation), "claimed", "given up")
    equal(client.run(allocation, "Activate")[:2], ("failed", "NoDeviceAvailable"), "without its device")

    plug_again(client, NIC)
    client.must(allocation, "Activate")
    equal(driver(NIC), "vfio-pci", "activated again")
    client.must(allocation, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    service.stop()
    snapshot.nothing_recorded()


def replugged_while_lost(service):
    """The card comes back before its consumer noticed: it is the host's, and the consumer has to ask again."""
    client = service.start()
    allocation = active(client)
    unplug(NIC)
    wait_absent(client, NIC)
    plug(NIC)
    wait_until(lambda: known(client, NIC), 20, "the service to know")
    wait_until(lambda: driver(NIC) == "e1000e", 20, "the host's driver")
    equal(client.state(allocation), "lost", "its allocation")
    check(client.device_state(NIC) != "free", "it is nobody else's before the allocation is given up")
    client.must(allocation, "Deactivate")
    wait_until(lambda: client.device_state(NIC) == "free", 20, "free again")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    client.must(allocation, "Activate")
    equal(driver(NIC), "vfio-pci", NIC)
    client.must(allocation, "Release")


def held(service):
    """The kernel says nothing until the consumer closes the device, but its driver is gone. Everybody else is served."""
    client = service.start()
    allocation = active(client)
    lost = Signals("Allocation", "DeviceLost")
    client.pool("others", NIC2)
    with Holder(NIC) as holder:
        unplug(NIC)
        wait_until(lambda: driver(NIC) is None, UNPLUG_SECONDS, "the kernel to take the driver away")
        gone = time.monotonic()
        with Patience():
            other, job = client.allocate("other", "others", activate=True)
            equal(client.wait_job(job)[0], "done", "another device meanwhile")
            client.must(other, "Release")
        equal(lost.wait(LOST_SECONDS), (allocation, (client.device(NIC), "unbound")), "the signal")
        print(f"# DeviceLost {time.monotonic() - gone:.1f} s after the driver was gone", flush=True)
        equal(client.state(allocation), "lost", "its allocation")
        client = service.restart()
        equal(client.state(allocation), "lost", "after a restart")
        holder.close()
    wait_absent(client, NIC)
    client.must(allocation, "Deactivate")
    equal(client.state(allocation), "claimed", "given up")
    plug_again(client, NIC)

    # Found by a start, and told once: the close says nothing new.
    client.must(allocation, "Activate")
    with Holder(NIC) as holder:
        unplug(NIC)
        wait_until(lambda: driver(NIC) is None, UNPLUG_SECONDS, "the kernel to take the driver away")
        client = service.restart()
        wait_until(lambda: client.state(allocation) == "lost", LOST_SECONDS, "lost")
        lost = Signals("Allocation", "DeviceLost")
        holder.close()
    wait_absent(client, NIC)
    equal(lost.so_far(), [], "no second signal")
    client.must(allocation, "Release")
    plug_again(client, NIC)


def link_down(service):
    """A card that the kernel does not miss: it keeps its driver, but the port above it has no link any more. A link that comes
    back in time is a reset."""
    client = service.start()
    allocation = active(client)
    lost = Signals("Allocation", "DeviceLost")
    ctl("link", NIC, "0")
    time.sleep(5)
    ctl("link", NIC, "1")
    time.sleep(7)
    equal(lost.so_far(), [], "a link that was down for a moment")
    ctl("link", NIC, "0")
    equal(lost.wait(25), (allocation, (client.device(NIC), "unplugged")), "the signal")
    equal(client.state(allocation), "lost", "its allocation")
    ctl("link", NIC, "1")
    client.must(allocation, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)


def taken_by_hand(service):
    """Somebody rebinds a device that is given away: it is said and not fought with."""
    client = service.start()
    allocation = active(client)
    lost = Signals("Allocation", "DeviceLost")
    for path, text in ((SYS / NIC / "driver" / "unbind", NIC), (SYS / NIC / "driver_override", "\n"),
                       (SYS.parent / "drivers_probe", NIC)):
        path.write_text(text)
    equal(lost.wait(), (allocation, (client.device(NIC), "rebound")), "the signal")
    equal(client.state(allocation), "lost", "its allocation")
    equal(driver(NIC), "e1000e", "what somebody else did")
    client.must(allocation, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    equal(client.device_state(NIC), "free", NIC)


def held_and_draining(service):
    """Pulled while the give-back waits for the consumer: what is gone needs no give-back."""
    client = service.start()
    allocation = active(client)
    with Holder(NIC) as holder:
        job = client.start(allocation, "Deactivate")
        wait_until(lambda: client.state(allocation) == "draining", 20, "draining")
        unplug(NIC)
        wait_until(lambda: driver(NIC) is None, UNPLUG_SECONDS, "the kernel to take the driver away")
        equal(client.state(allocation), "draining", "still held")
        holder.close()
    equal(client.wait_job(job)[0], "done", "the give-back")
    equal(client.state(allocation), "claimed", "given back")
    wait_absent(client, NIC)
    plug_again(client, NIC)
    service.stop()
    snapshot.nothing_recorded()


def service_not_there(service):
    """Pulled, and pulled and plugged again, while the service does not run."""
    client = service.start()
    allocation = active(client)
    service.stop()
    unplug(NIC)
    wait_until(lambda: not (SYS / NIC).exists(), UNPLUG_SECONDS, f"{NIC} to be gone")
    client = service.start()
    equal(client.state(allocation), "lost", "pulled meanwhile")
    client = snapshot.restart_changes_nothing(service)
    client.must(allocation, "Deactivate")
    plug_again(client, NIC)

    client.must(allocation, "Activate")
    service.stop()
    unplug(NIC)
    wait_until(lambda: not (SYS / NIC).exists(), UNPLUG_SECONDS, f"{NIC} to be gone")
    plug(NIC)
    wait_until(lambda: driver(NIC) == "e1000e", 20, "the host's driver")
    client = service.start()
    equal(client.state(allocation), "lost", "another card, or the same one anew, is not what the consumer had")
    equal(driver(NIC), "e1000e", "and is not touched")
    client = snapshot.restart_changes_nothing(service, NIC)
    client.must(allocation, "Deactivate")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    client.must(allocation, "Activate")
    client.must(allocation, "Release")


def thick(service):
    """Reserved for a consumer that is not there: it stays so over a replug."""
    client = service.start()
    client.pool("nics", NIC)
    allocation, _ = client.allocate("vm", "nics", thick=True)
    equal(client.device_state(NIC), "claimed", NIC)
    unplug(NIC)
    wait_absent(client, NIC)
    equal(client.state(allocation), "claimed", "its allocation")
    plug(NIC)
    wait_until(lambda: known(client, NIC), 20, "the service to know")
    equal(client.device_state(NIC), "claimed", "still reserved")
    other, job = client.allocate("other", "nics", activate=True)
    equal(client.wait_job(job)[1], "NoDeviceAvailable", "for somebody else")
    wait_until(lambda: driver(NIC) == "e1000e", 20, "the host's driver")
    client.must(allocation, "Activate")
    client.must(allocation, "Release")
    client.must(other, "Release")


def while_activating(service):
    """Pulled after it was chosen, in each operation of the kernel."""
    client = service.start()
    client.pool("nics", NIC)
    for operation in ("driver_override", "unbind", "drivers_probe"):
        allocation, _ = client.allocate("vm", "nics")
        hang(operation, NIC)
        job = client.start(allocation, "Activate")
        wait_until(lambda o=operation: hanging(o, NIC), 10, operation)
        unplug(NIC)
        wait_until(lambda: hanging("remove", NIC), 10, "the card to be pulled")
        release()
        result = client.wait_job(job)
        if result[0] == "done":
            # The last operation was over before the card was gone.
            wait_until(lambda a=allocation: client.state(a) == "lost", 10, "lost")
        else:
            # A card that goes takes its node away first.
            codes = ("DeviceGone", "WrongNode") if operation == "drivers_probe" else ("DeviceGone",)
            check(result[0] == "failed" and result[1] in codes, f"pulled in {operation}: {result}")
            check(NIC in result[2], f"the device is named: {result[2]}")
            equal(client.state(allocation), "claimed", f"pulled in {operation}")
        wait_absent(client, NIC)
        client.must(allocation, "Release")
        plug_again(client, NIC)
    service.stop()
    snapshot.nothing_recorded()


def storm(service):
    """Pulled and plugged, again and again, while consumers come and go."""
    client = service.start()
    client.pool("nics", NIC)
    client.pool("others", NIC2)
    waiting, job = client.allocate("waiting", "nics", wait=True, activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    for _ in range(2 if IN_VM else 25):
        unplug(NIC)
        other, second = client.allocate("other", "others", activate=True)
        wait_until(lambda: not (SYS / NIC).exists(), UNPLUG_SECONDS, f"{NIC} to be gone")
        wait_until(lambda: client.state(waiting) == "lost", 20, "lost")
        client.must(waiting, "Deactivate")
        equal(client.wait_job(second)[0], "done", "the neighbour")
        job = client.start(waiting, "Activate")
        client.must(other, "Release")
        plug(NIC)
        # It waited for a card, and has one.
        equal(client.wait_job(job)[0], "done", "activated by the plug")
        wait_until(lambda: driver(NIC) == "vfio-pci", 10, "bound")
    client.must(waiting, "Release")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    equal((driver(NIC2), override(NIC2)), ("e1000e", None), NIC2)
    service.stop()
    snapshot.nothing_recorded()


main([idle, replugged_while_lost, held, taken_by_hand, held_and_draining, service_not_there, thick, storm]
     + ([] if IN_VM else [link_down, while_activating]))
