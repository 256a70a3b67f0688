#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host is found to be ready for, on the simulated host and on a real kernel with an IOMMU."""
import json
import os
import subprocess

import dbus

from passthrough import ROOT, bus_error, check, equal, main
from place import IN_VM

PASS = ("firmware-tables", "iommu", "interrupt-remapping", "unsafe-modes", "vfio-modules", "lockdown", "reserved-memory",
        "integrated-graphics", "memory-regions", "modules", "state", "configuration", "static-binding")


def rows(client, **options):
    found = client.manager("CheckHost", "a{sv}", options)
    return {str(row["id"]): row for row in found}


def healthy(service):
    client = service.start()
    found = rows(client)
    for name in PASS:
        row = found[name]
        equal(str(row["status"]), "pass", f"{name}: {row['text']} {[str(line) for line in row['evidence']]}")
        equal(str(row["remedy"]), "", f"{name} needs no remedy")
    # The two cards behind the conventional bridge can't be told apart.
    row = found["iommu-groups"]
    equal(str(row["status"]), "warn", "iommu-groups")
    check(any("0000:07:01.0" in line and "0000:07:02.0" in line for line in row["evidence"]), f"{row['evidence']}")
    for name, row in found.items():
        check(str(row["status"]) in ("pass", "warn", "fail", "unknown"), name)
        check(str(row["title"]) and str(row["text"]), f"{name} says something")
        check(str(row["status"]) == "pass" or str(row["remedy"]) or str(row["status"]) == "unknown", f"{name} has a remedy")
    equal([str(reason) for reason in client.get(ROOT, "Manager", "RebootReasons")],
          [f"{name}: {row['text']}" for name, row in found.items() if row["pending"]], "RebootReasons")


def some(service):
    """Only what is asked for, and what was found before where that will do."""
    client = service.start()
    equal(list(rows(client, only=["iommu", "polkit"])), ["iommu", "polkit"], "two of them")
    equal(list(rows(client, only=["iommu"], cached=dbus.Boolean(True))), ["iommu"], "as found before")
    equal(bus_error(rows, client, only=["iomu"])[0], "InvalidValue", "no such check")
    equal(bus_error(rows, client, all=True)[0], "UnknownOption", "no such option")


def command(service):
    service.start()

    def run(*arguments):
        return subprocess.run([os.environ["PT_CTL"], "check", *arguments], capture_output=True, text=True, timeout=120)

    done = run("iommu", "firmware-tables")
    equal((done.returncode, done.stdout.count("pass")), (0, 3), done.stdout + done.stderr)
    done = run("iommu-groups")
    equal(done.returncode, 8, done.stdout)
    check("remedy:" in done.stdout and "ACS" in done.stdout, done.stdout)
    done = run("--json")
    check({row["id"] for row in json.loads(done.stdout)} >= set(PASS), done.stdout)
    equal(run("nothing").returncode, 2, "no such check")
    if not IN_VM:
        with open("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "w", encoding="ascii") as parameter:
            parameter.write("Y\n")
        done = run("unsafe-modes")
        equal(done.returncode, 9, done.stdout)


main([healthy, some] + ([command] if os.path.exists(os.environ.get("PT_CTL", "/none")) else []))
