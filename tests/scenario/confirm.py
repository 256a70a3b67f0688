#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Activations that are undone unless they are confirmed in time: confirmed, not confirmed, cancelled, the service killed in
between, and by the configuration where a network device goes."""
import os
import pathlib
import re
import subprocess
import time

import dbus

from passthrough import bus_error, check, driver, equal, main, node, override, wait_until
from place import IN_VM, Holder, configured

NIC, NVME = "0000:01:00.0", "0000:03:00.0"
LONG = 600
# The kernel behind the VM is emulated: binding alone takes seconds.
SHORT = 3 if IN_VM else 1


def confirming(client, path):
    wait_until(lambda: str(client.get(path, "Job", "State")) == "confirming", 60, "the job to wait for its confirmation")


def activate(client, allocation, seconds):
    job = client.start(allocation, "Activate", **{"confirm-timeout": dbus.UInt32(seconds)})
    confirming(client, job)
    equal(client.state(allocation), "active", "while it waits")
    equal(driver(NIC), "vfio-pci", NIC)
    return job


def given_back(client, allocation):
    wait_until(lambda: client.state(allocation) == "claimed", 60, "the give-back")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    check(not os.path.exists(node(NIC)), "the VFIO node is gone")


def jobs(client):
    """Paths of all jobs."""
    xml = client.bus.call_blocking("org.passthroughd1", "/org/passthroughd1/jobs", "org.freedesktop.DBus.Introspectable",
                                   "Introspect", "", ())
    return [f"/org/passthroughd1/jobs/{name}" for name in re.findall(r'<node name="(\d+)"', str(xml))]


def pooled(service):
    client = service.start()
    client.pool("nics", NIC)
    allocation, _ = client.allocate("vm", "nics")
    return client, allocation


def confirmed(service):
    """It stays, over a crash too, and nothing comes afterwards."""
    client, allocation = pooled(service)
    job = activate(client, allocation, LONG)
    left = int(client.get(job, "Job", "Deadline")) / 1e6 - time.clock_gettime(time.CLOCK_BOOTTIME)
    check(LONG - 60 < left <= LONG, f"the deadline is {left} s away")
    client.call(job, "Job", "Confirm", "a{sv}", {})
    service.kill()
    client = service.start()
    equal(client.state(allocation), "active", "confirmed before the crash")
    equal(jobs(client), [], "nothing waits any more")
    client.must(allocation, "Deactivate")
    job = activate(client, allocation, LONG)
    client.call(job, "Job", "Confirm", "a{sv}", {})
    equal(client.wait_job(job), ("done", "", ""), "the job")
    equal(bus_error(client.call, job, "Job", "Confirm", "a{sv}", {})[0], "WrongState", "confirming twice")
    client.must(allocation, "Release")


def not_confirmed(service):
    client, allocation = pooled(service)
    job = activate(client, allocation, SHORT)
    result, error, message = client.wait_job(job)
    equal((result, error), ("timeout", "NotConfirmed"), message)
    given_back(client, allocation)
    equal(client.device_state(NIC), "free", NIC)
    client.must(allocation, "Release")


def cancelled(service):
    client, allocation = pooled(service)
    job = activate(client, allocation, LONG)
    client.call(job, "Job", "Cancel", "a{sv}", {})
    equal(client.wait_job(job)[:2], ("cancelled", "Cancelled"), "the job")
    given_back(client, allocation)
    # Whoever deactivates needs not confirm first.
    activate(client, allocation, LONG)
    client.must(allocation, "Deactivate")
    given_back(client, allocation)
    activate(client, allocation, LONG)
    client.must(allocation, "Release")
    equal(driver(NIC), "e1000e", NIC)


def killed_within_time(service):
    """A restart goes on waiting for the same deadline, and can be confirmed."""
    client, allocation = pooled(service)
    job = activate(client, allocation, LONG)
    deadline = int(client.get(job, "Job", "Deadline"))
    service.kill()
    client = service.start()
    job = wait_until(lambda: jobs(client), 10, "the job")[0]
    equal(str(client.get(job, "Job", "State")), "confirming", "after a crash")
    equal(int(client.get(job, "Job", "Deadline")), deadline, "its deadline")
    equal((client.state(allocation), driver(NIC)), ("active", "vfio-pci"), "the allocation")
    client.call(job, "Job", "Confirm", "a{sv}", {})
    equal(client.wait_job(job)[0], "done", "the job")
    client.must(allocation, "Release")


def killed_past_time(service):
    """What was due while the service was away is undone at its start."""
    client, allocation = pooled(service)
    activate(client, allocation, SHORT)
    service.kill()
    end = time.monotonic() + SHORT + 0.5
    wait_until(lambda: time.monotonic() > end, SHORT + 5, "the deadline")
    equal(driver(NIC), "vfio-pci", "nobody is there to undo it")
    client = service.start()
    given_back(client, allocation)
    client.must(allocation, "Release")


def held(service):
    """A device that somebody has open is not pulled away: it goes back once it is closed."""
    client, allocation = pooled(service)
    job = activate(client, allocation, SHORT)
    with Holder(NIC) as holder:
        wait_until(lambda: client.state(allocation) == "draining", 60, "draining")
        equal(driver(NIC), "vfio-pci", NIC)
        service.kill()
        client = service.start()
        equal(client.state(allocation), "draining", "after a crash")
        holder.close()
    given_back(client, allocation)
    client.must(allocation, "Release")


def by_configuration(service):
    """Network devices that the host uses ask for it by themselves; others, and who declines, do not."""
    service.config = configured(f"[Service]\nNetworkConfirmSec={LONG}\n")
    client = service.start()
    client.pool("nics", NIC)
    client.pool("disks", NVME)
    allocation, job = client.allocate("vm", "nics", activate=True)
    confirming(client, job)
    client.call(job, "Job", "Confirm", "a{sv}", {})
    equal(client.wait_job(job)[0], "done", "confirmed")
    client.must(allocation, "Deactivate")
    client.must(allocation, "Activate", **{"confirm-timeout": dbus.UInt32(0)})
    client.must(allocation, "Release")
    allocation, job = client.allocate("vm", "disks", activate=True)
    equal(client.wait_job(job)[0], "done", "a disk needs no confirmation")
    client.must(allocation, "Release")
    for value in (dbus.UInt32(86401), "soon", dbus.Int32(-1)):
        allocation, _ = client.allocate("vm", "nics")
        error = bus_error(client.start, allocation, "Activate", **{"confirm-timeout": value})[0]
        equal(error, "InvalidValue", f"{value!r}")
        client.must(allocation, "Release")


def by_command(service):
    """passthroughctl says what to do and takes the answer."""
    client, allocation = pooled(service)
    tool = os.environ["PT_CTL"]

    def run(*arguments, code=0):
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=120)
        equal(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    with subprocess.Popen([tool, "activate", "vm", "--confirm-within=10m"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as waiting:
        line = waiting.stdout.readline()
        check("undone in" in line and "passthroughctl confirm" in line, line)
        run("confirm", "vm")
        equal(waiting.wait(60), 0, "the verb that waited")
    run("confirm", code=3)
    run("deactivate", "vm")
    said = run("activate", "vm", f"--confirm-within={SHORT}s", code=1)
    check("NotConfirmed" in said, said)
    run("activate", "vm", "--confirm-within=later", code=2)
    given_back(client, allocation)
    run("release", "vm")


main([confirmed, not_confirmed, cancelled, killed_within_time, killed_past_time, held, by_configuration]
     + ([by_command] if pathlib.Path(os.environ.get("PT_CTL", "/none")).exists() else []))
