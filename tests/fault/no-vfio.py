#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a kernel lacks: the driver vfio-pci, loaded or not (no-vfio.json), and the files that say which modules there are."""
import contextlib
import os
import subprocess
import tempfile

from passthrough import check, driver, equal, main, override

NIC = "0000:01:00.0"
RELEASE = os.uname().release


@contextlib.contextmanager
def kernel_modules(*names):
    """A module directory of the running kernel that has these, with depmod's lists."""
    with tempfile.TemporaryDirectory() as top:
        directory = os.path.join(top, "lib", "modules", RELEASE, "kernel")
        os.makedirs(directory)
        for name in names:
            subprocess.run(["cc", "-c", "-x", "c", "-o", f"{directory}/{name}.ko", "-"], check=True, text=True,
                           input='const char license[] __attribute__((section(".modinfo"), used)) = "license=GPL";')
        subprocess.run(["/sbin/depmod", "-b", top, RELEASE], check=True, capture_output=True)
        with mounted(os.path.join(top, "lib", "modules")):
            yield


@contextlib.contextmanager
def mounted(directory):
    """In place of the machine's."""
    os.makedirs("/lib/modules", exist_ok=True)
    subprocess.run(["mount", "--bind", directory, "/lib/modules"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", "/lib/modules"], check=True)


def refused(client, code):
    findings = client.explain(client.device(NIC), "Device")
    finding = next((finding for finding in findings if finding["code"] == code), None)
    check(finding, f"{code} is not in {[finding['code'] for finding in findings]}")
    equal(finding["severity"], "blocker", code)
    check(finding["remedy"], f"what helps: {finding}")
    client.pool("nics", NIC)
    allocation, job = client.allocate("vm", "nics", activate=True)
    result = client.wait_job(job)
    equal(result[:2], ("failed", "NoDeviceAvailable"), f"Activate: {result}")
    check("vfio-pci" in result[2] or code in result[2], f"the error says why: {result[2]}")
    untouched(client, allocation)


def untouched(client, allocation):
    equal(client.state(allocation), "claimed", "its allocation")
    equal((driver(NIC), override(NIC)), ("e1000e", None), NIC)
    client.must(allocation, "Release")


def no_directory(service):
    with tempfile.TemporaryDirectory() as nothing, mounted(nothing):
        refused(service.start(), "vfio-unavailable")


def not_in_the_lists(service):
    with kernel_modules("e1000e"):
        refused(service.start(), "vfio-unavailable")


def does_not_load(service):
    """The lists name it, and loading it fails: the job ends before any device is touched."""
    with kernel_modules("vfio-pci"):
        client = service.start()
        codes = [finding["code"] for finding in client.explain(client.device(NIC), "Device")]
        check("vfio-unavailable" not in codes, f"it can be loaded, as far as anybody can tell: {codes}")
        client.pool("nics", NIC)
        allocation, job = client.allocate("vm", "nics", activate=True)
        result = client.wait_job(job)
        equal(result[:2], ("failed", "DriverMissing"), f"Activate: {result}")
        check("vfio-pci" in result[2], f"the error names the module: {result[2]}")
        untouched(client, allocation)


main([no_directory, not_in_the_lists, does_not_load])
