#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Five hundred USB devices, and somebody who replugs them without end: nothing is lost, nothing is left over, and memory
stays what it was. On the simulated host only."""
import os
import pathlib
import time

from passthrough import check, equal, main, wait_until
from witness import Patience

BUS = pathlib.Path("/sys/bus/usb/devices")
CONTROL = pathlib.Path("/run/passthroughd-simhost/control")
SECONDS, EVENTS_PER_SECOND = 5, 1000


def devices():
    return sorted(entry.name for entry in BUS.iterdir() if ":" not in entry.name)


def numbers():
    """{(bus, device)} that the kernel has now."""
    return {tuple(int((BUS / name / what).read_text()) for what in ("busnum", "devnum")) for name in devices()}


def listed(client):
    rows, cursor = [], ""
    while True:
        page, cursor, _ = client.manager("ListDevices", "sa(sss)a{sv}", "usb", [], {"limit": 500, "cursor": str(cursor)})
        rows += [dict(row) for _, row in page]
        if not cursor:
            return rows


def known(client):
    return {(int(row["bus"]), int(row["device"])) for row in listed(client)}


def resident(service):
    for line in pathlib.Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def sent():
    return int((CONTROL / "uevents-sent").read_text())


def replug_storm(service):
    # With AddressSanitizer what is freed is kept for a while, which is no growth of the service.
    os.environ["ASAN_OPTIONS"] = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=0:thread_local_quarantine_size_kb=0")))
    client = service.start()
    names = devices()
    check(len(names) >= 500, f"{len(names)} devices")
    equal(len(listed(client)), len(names), "devices")
    # Leaves of the tree: what hangs on a hub would go with it.
    movable = [name for name in names if "-" in name and (BUS / name / "bDeviceClass").read_text() != "09\n"]
    began, first, memory, i = time.monotonic(), sent(), [], 0
    with Patience() as others:
        while time.monotonic() < began + SECONDS:
            name = movable[i % len(movable)]
            (CONTROL / "unplug").write_text(name)
            (CONTROL / "plug").write_text(name)
            # The fake kernel is not fast enough for a storm of plugs alone.
            due = EVENTS_PER_SECOND * (time.monotonic() - began) - (sent() - first)
            if due > 0:
                (CONTROL / "storm").write_text(f"{int(due) + 1} {movable[(i + 7) % len(movable)]}")
            i += 1
            if i % 10 == 0:
                memory.append(resident(service))
            due = (sent() - first) / EVENTS_PER_SECOND - (time.monotonic() - began)
            if due > 0:
                time.sleep(due)
    rate = (sent() - first) / (time.monotonic() - began)
    print(f"# {i} replugs, {rate:.0f} events a second, others waited {others.worst * 1000:.0f} ms at most, "
          f"memory {memory[0]} to {memory[-1]} kB", flush=True)
    check(rate > EVENTS_PER_SECOND * 0.8, f"a storm it was not: {rate:.0f} events a second")
    wait_until(lambda: known(client) == numbers(), 20, "the service to know what there is")
    equal(len(listed(client)), len(names), "nothing extra")
    equal({str(row["state"]) for row in listed(client) if str(row["role"]) == "device"} & {"gone", "active"}, set(), "states")
    settled = memory[len(memory) // 3]
    check(memory[-1] < settled + 1024, f"memory grows: {memory}")


main([replug_storm])
