#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures the service against bare programs that do the same work with nothing around it, in the same run on the same
generated hosts, and prints a table of ratios. Nothing here passes or fails: the goals stand beside the figures.

    bench.py BUILD [N…]       hosts of so many PCI functions; default 100 1000 10000
"""
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
KIT = HERE.parent / "tests" / "kit"
FIELDS = ["name", "slot", "class", "class-hex", "class-type", "vendor", "device", "vendor-id", "device-id", "vendor-device",
          "subsystem-vendor-id", "subsystem-device-id", "driver", "module", "physical-slot", "numa-node", "iommu-group",
          "total-vfs", "vfs", "revision"]


# ---- inside of the simulated host ------------------------------------------------------------------------------
def output(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def pair(*command):
    return [float(word) for word in output(*command).split()]


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS")


def switches(pid):
    return sum(int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
               if "ctxt_switches" in line)


def first_nic():
    """A network card alone in its IOMMU group that can go to vfio-pci and back."""
    for device in sorted(pathlib.Path("/sys/bus/pci/devices").iterdir()):
        if not (device / "class").read_text().startswith(("0x0200", "0x0108")) or not (device / "driver").exists():
            continue
        if (device / "sriov_totalvfs").exists() or (device / "physfn").exists():
            continue
        if len(list((device / "iommu_group" / "devices").iterdir())) == 1:
            return device.name, os.path.basename(os.readlink(device / "driver"))
    return None, None


def start(service):
    began = time.monotonic()
    client = service.start()
    client.manager("ListDevices", "sa(sss)a{sv}", "pci", [], {"limit": 1})
    return client, (time.monotonic() - began) * 1e6


def measure_start(build, service, result):
    times = []
    for _ in range(3):
        client, took = start(service)
        times.append(took)
        service.stop()
    result["start"] = [min(times), float(output(build / "benchmarks/bare-scan")),
                       float(output(build / "benchmarks/bare-scan", "udev"))]


def inside(build, count):
    import passthrough  # from the kit, on PYTHONPATH
    client_program = build / "benchmarks/bench-client"
    service = passthrough.Service()
    result = {"count": count}
    measure_start(build, service, result)
    client, _ = start(service)
    pid = service.process.pid
    result["memory"] = resident(pid)
    helpers = [subprocess.Popen([str(build / "benchmarks" / name)]) for name in ("bare-echo", "bare-monitor")]
    passthrough.wait_until(lambda: all(client.bus.name_has_owner(f"org.passthroughd.{n}") for n in ("Echo", "Monitor")))
    slot, driver = first_nic()
    output(os.environ["PT_SIMHOST"], "ctl", "control", slot)  # large hosts answer writes only where asked to
    element = "pci_" + slot.replace(":", "_").replace(".", "_")
    try:
        result["list"] = pair(client_program, "list", *FIELDS)
        result["find"] = pair(client_program, "find", "slot", "eq", slot)
        result["find-regex"] = pair(client_program, "find", "slot", "regex", "^" + slot.replace(".", "\\.") + "$")
        result["details"] = pair(client_program, "details", element)
        result["ping"] = pair(client_program, "ping", 1000)
        result["events"] = pair(client_program, "events", slot, driver, 100)
        client.pool("bench", slot)
        result["cycle"] = pair(client_program, "cycle", "bench", 20)
        before = switches(pid)
        time.sleep(float(os.environ.get("BENCH_IDLE_SECONDS", "5")))
        result["idle"] = switches(pid) - before
        listing = subprocess.Popen([str(client_program), "list", *FIELDS], stdout=subprocess.DEVNULL)
        result["ping-busy"] = pair(client_program, "ping", 1000)
        listing.wait()
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    service.stop()
    print(json.dumps(result))


# ---- outside ---------------------------------------------------------------------------------------------------
def run_host(build, count):
    environment = dict(os.environ, PT_BUS_POLICY=str(HERE / "bus-policy.conf"))
    done = subprocess.run([KIT / "in-sim", build, str(count), __file__, build, "--inside", str(count)],
                          capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"the host of {count} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def row(number, what, values, goal):
    print(f"{number:>3}  {what:<52} " + " ".join(f"{value:>12}" for value in values) + f"   {goal}")


def ratio(value):
    return f"{value[0] / value[1]:.2f}"


def table(results):
    print()
    row("#", "ratio to the bare program", [f"N={r['count']}" for r in results], "goal")
    row(1, "start to first answer, over bare reads + 15 ms", [f"{r['start'][0] / (r['start'][1] + 15000):.2f}" for r in results],
        "<= 2")
    row("", "the same, over a libudev scan", [f"{r['start'][0] / r['start'][2]:.2f}" for r in results], "<= 0.33")
    row(2, "list all, 20 fields, pages of 100, over echo", [ratio(r["list"]) for r in results], "<= 1.25")
    row(3, "find by equality, over echo", [ratio(r["find"]) for r in results], "<= 1.5")
    row("", "find by regular expression, less 50 ns a device", [
        f"{(r['find-regex'][0] - 0.05 * r['count']) / r['find-regex'][1]:.2f}" for r in results], "<= 1.5")
    row(4, "one device's details, over echo", [ratio(r["details"]) for r in results], "<= 1.5")
    row(5, "event to signal, over bare monitor", [ratio(r["events"]) for r in results], "<= 1.5")
    row(8, "allocate, activate, release: milliseconds", [f"{r['cycle'][0] / 1000:.1f}" for r in results], "flat")
    row(10, "memory: kB resident", [str(r["memory"]) for r in results], "")
    base = results[0]
    row("", "bytes a device beyond the smallest host", ["-"] + [
        f"{(r['memory'] - base['memory']) * 1024 / (r['count'] - base['count']):.0f}" for r in results[1:]], "<= 1200")
    row(11, "context switches while idle", [str(r["idle"]) for r in results], "0")
    row(12, "p99 of another client during a list, over quiet", [f"{r['ping-busy'][1] / r['ping'][1]:.2f}" for r in results],
        "<= 2")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    if "--inside" in sys.argv:
        inside(build, int(sys.argv[-1]))
        return
    table([run_host(build, int(count)) for count in sys.argv[2:] or ("100", "1000", "10000")])


main()
