#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Device events that get lost, and more of them than anybody can take: in the end the service knows what is there."""
import os
import signal

from passthrough import ROOT, SYS, Service, check, driver, equal, main, wait_until
from place import ctl, plug, unplug
from witness import Patience

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
ISA_BRIDGE = "0000:00:1f.0"
STORM = 4096


def listed(client):
    """{slot: driver} as the service says."""
    seen, cursor = {}, ""
    while True:
        page, cursor, _ = client.manager("ListDevices", "sa(sss)a{sv}", "pci", [], {"cursor": cursor})
        for _, fields in page:
            seen[str(fields["slot"])] = str(fields["driver"]) or None
        if not cursor:
            return seen


def there():
    """The same as the kernel says."""
    return {path.name: driver(path.name) for path in SYS.iterdir()}


def agree(client, what, seconds=20):
    try:
        wait_until(lambda: listed(client) == there(), seconds, "agreement")
    except AssertionError:
        differ = set(listed(client).items()) ^ set(there().items())
        raise AssertionError(f"{what}: the service and the kernel differ in {differ}") from None


def rescan(client):
    client.call(ROOT, "Manager", "Rescan", "a{sv}", {})


def lost(service):
    """Whatever the service missed, Rescan finds."""
    client = service.start()
    agree(client, "at the start")
    ctl("lose-uevents", "1000")
    unplug(NIC)
    wait_until(lambda: not (SYS / NIC).exists(), 10, "the card to be gone")
    (SYS / NIC2 / "driver" / "unbind").write_text(NIC2)
    check(NIC in listed(client) and listed(client)[NIC2] == "e1000e", "the events were lost")
    rescan(client)
    agree(client, "gone and unbound")
    plug(NIC)
    (SYS.parent / "drivers_probe").write_text(NIC2)
    check(NIC not in listed(client), "the events were lost")
    rescan(client)
    agree(client, "back and bound")
    ctl("lose-uevents", "0")
    unplug(NVME)
    wait_until(lambda: not (SYS / NVME).exists(), 10, "the disk to be gone")
    agree(client, "without a rescan")
    plug(NVME)
    agree(client, "without a rescan")


def lost_while_active(service):
    """The loss of a card that is given away is noticed late then, but it is."""
    client = service.start()
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    agree(client, "bound to vfio-pci")
    ctl("lose-uevents", "1000")
    unplug(NIC)
    wait_until(lambda: not (SYS / NIC).exists(), 10, "the card to be gone")
    equal(client.state(allocation), "active", "nobody told the service")
    rescan(client)
    wait_until(lambda: client.state(allocation) == "lost", 10, "lost")
    plug(NIC)
    rescan(client)
    client.must(allocation, "Release")
    ctl("lose-uevents", "0")

    # Pulled and plugged between two looks: the same place, but not what the consumer was given.
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    agree(client, "bound to vfio-pci")
    ctl("lose-uevents", "1000")
    unplug(NIC)
    wait_until(lambda: not (SYS / NIC).exists(), 10, "the card to be gone")
    plug(NIC)
    rescan(client)
    wait_until(lambda: client.state(allocation) == "lost", 10, "lost")
    client.must(allocation, "Release")
    ctl("lose-uevents", "0")
    equal(driver(NIC), "e1000e", NIC)


def storm(service):
    """What happens among thousands of events that mean nothing is not missed, and others are answered meanwhile."""
    client = service.start()
    with Patience() as patience:
        for slot in (NIC, NVME):
            ctl("storm", str(STORM))
            unplug(slot)
            ctl("storm", str(STORM))
            agree(client, f"{slot} went", 60)
            plug(slot)
            ctl("storm", str(STORM))
            agree(client, f"{slot} came", 60)
    print(f"# {patience.answers} answers, the slowest took {patience.worst * 1000:.0f} ms", flush=True)


def overflow(_service):
    """The service does not get to read, and the kernel throws events away: it is told so, and looks at everything again.
    Without CAP_NET_ADMIN its buffer is as small as anybody's."""
    service = Service(wrapper=("setpriv", "--bounding-set=-net_admin"))
    client = service.start()
    client.pool("nics", NIC2)
    allocation, job = client.allocate("vm", "nics", activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    try:
        os.kill(service.process.pid, signal.SIGSTOP)
        ctl("storm", str(4 * STORM), ISA_BRIDGE)
        for slot in (NIC, NIC2):
            unplug(slot)
            wait_until(lambda s=slot: not (SYS / s).exists(), 10, f"{slot} to be gone")
    finally:
        os.kill(service.process.pid, signal.SIGCONT)
    agree(client, "two are gone", 60)
    check("events were lost" in service.tail(60), "the buffer overflowed")
    wait_until(lambda: client.state(allocation) == "lost", 10, "lost")
    for slot in (NIC, NIC2):
        plug(slot)
    agree(client, "two came back")
    client.must(allocation, "Release")
    equal(driver(NIC2), "e1000e", NIC2)
    equal(service.stop(), 0, "the end of the service")


main([lost, lost_while_active, storm, overflow])
