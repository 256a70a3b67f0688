#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part of bench.py that runs on a generated host with USB devices: prints one JSON object of figures.

    inside-usb.py BUILD DIRECTORY      DIRECTORY: where the state is kept, on a disk
"""
import json
import os
import pathlib
import subprocess
import sys

BUILD, DIRECTORY = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
os.environ["PT_STATE"] = str(DIRECTORY / "state")
os.environ["PT_RUNTIME"] = str(DIRECTORY / "runtime")

import passthrough  # noqa: E402  from the tests' kit, on PYTHONPATH; it reads the environment when imported

BUS = pathlib.Path("/sys/bus/usb/devices")
ROUNDS, SECONDS, RATE = 3, 5, 1000


def configuration():
    """The tests' own, without its debug messages."""
    directory = DIRECTORY / "etc"
    directory.mkdir()
    text = (pathlib.Path(os.environ["PT_CONFIG"]) / "passthroughd.conf").read_text()
    (directory / "passthroughd.conf").write_text(text.replace("Level=debug", "Level=info"))
    return directory


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS")


def cpu_usec(pid):
    """What all threads of the process have run so far."""
    return sum(int(path.read_text().split()[0]) / 1e3 for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def objects(client):
    """{(bus, device): object path}"""
    found, cursor = {}, ""
    while True:
        page, cursor, _ = client.manager("ListDevices", "sa(sss)a{sv}", "usb", [],
                                         {"cursor": str(cursor), "fields": ["bus", "device"], "limit": 500})
        found |= {(int(values["bus"]), int(values["device"])): str(path) for path, values in page}
        if not cursor:
            return found


def adapters(client):
    """Lines of interface, driver and object, of the first interface of each device that is no hub."""
    known, lines = objects(client), []
    for device in sorted(BUS.iterdir()):
        interface = BUS / f"{device.name}:1.0"
        if ":" in device.name or not (interface / "driver").exists() or (device / "bDeviceClass").read_text() == "09\n":
            continue
        number = tuple(int((device / name).read_text()) for name in ("busnum", "devnum"))
        lines.append(f"{interface.name} {os.path.basename(os.readlink(interface / 'driver'))} {known[number]}\n")
    return lines


def main():
    service = passthrough.Service(config=configuration())
    client = service.start()
    lines = adapters(client)
    (DIRECTORY / "adapters").write_text("".join(lines))
    monitor = subprocess.Popen([str(BUILD / "benchmarks/bare-monitor"), "usb"])
    rounds, memory, cpu = [], [], []
    try:
        passthrough.wait_until(lambda: client.bus.name_has_owner("org.passthroughd.Monitor"))
        for _ in range(ROUNDS):
            memory.append(resident(service.process.pid))
            before = [cpu_usec(pid) for pid in (service.process.pid, monitor.pid)]
            done = subprocess.run([BUILD / "benchmarks/bench-client", "usb", DIRECTORY / "adapters", str(SECONDS), str(RATE)],
                                  capture_output=True, text=True, check=True)
            rounds.append([float(word) for word in done.stdout.split()])
            cpu.append([cpu_usec(pid) - used for pid, used in zip((service.process.pid, monitor.pid), before)])
        memory.append(resident(service.process.pid))
    finally:
        monitor.kill()
        monitor.wait()
    service.stop()
    print(json.dumps({"devices": len(lines), "rounds": rounds, "memory": memory, "cpu": cpu}))


main()
