#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many virtual functions on a simulated host: what the service needs for them, in memory and in time of its own.

benchmarks/vfs.py BUILD [CARDS [FUNCTIONS]]: 64 cards with 256 functions each, unless said otherwise. The time that passes is mostly
the simulator's, which makes one function after the other, as the kernel does; the service's own is beside it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parent.parent
SLOTS = 8  # functions of one device of the root complex


def host(cards, functions):
    """Each card behind a port of its own; its functions are on the bus after its own."""
    devices = [{"bdf": "0000:00:00.0", "type": "host-bridge"}]
    for i in range(cards):
        bus = 2 * i + 1
        devices.append({"bdf": f"0000:00:{i // SLOTS + 1:02x}.{i % SLOTS}", "type": "root-port", "bus": bus, "slot": str(i + 1)})
        devices.append({"bdf": f"0000:{bus:02x}:00.0", "type": "nic-sriov", "driver": "ice", "natural": "ice",
                        "net": [{"name": f"nic{i}", "mac": f"52:54:00:00:{bus:02x}:00", "speed": 25000}],
                        "sriov": {"total": functions, "offset": 256, "stride": 1, "vf-device": "1889", "vf-driver": "iavf",
                                  "vf-name": "Virtual Function"}})
    return {"cmdline": "intel_iommu=on", "iommu": "intel", "cpu": "intel", "devices": devices}


def outside(build, cards=64, functions=256):
    with tempfile.TemporaryDirectory() as directory:
        description = pathlib.Path(directory, "host.json")
        description.write_text(json.dumps(host(int(cards), int(functions))))
        return subprocess.run([ROOT / "tests/kit/in-sim", build, description, HERE], check=False,
                              env={**os.environ, "BENCH_VFS": str(functions)}).returncode


def inside():
    sys.path.insert(0, str(ROOT / "tests/kit"))
    import dbus
    from passthrough import SYS, equal, main

    def resident(pid, what):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1])
        return 0

    def processor(pid):
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def vfs(service):
        client = service.start()
        pid, count = service.process.pid, int(os.environ["BENCH_VFS"])
        before, at_first = len(list(SYS.iterdir())), resident(pid, "VmRSS")
        group = client.create_group("nics", "sriov", dbus.Dictionary({"vfs": dbus.UInt32(count)}, signature="sv"))
        client.add_rule(group, [("provider.total-vfs", "ge", "1")])
        provider = str(client.get(group, "Group", "Providers")[0])
        began = time.monotonic()
        client.manager("Plan", "saoaa{sv}a{sv}", "provision", [provider], dbus.Array(signature="a{sv}"), {})
        print(f"# plan of one card: {1000 * (time.monotonic() - began):.1f} ms")
        began, own = time.monotonic(), processor(pid)
        job = str(client.call(group, "Group", "Provision", "a{sv}", {}))
        equal(client.wait_job(job, 3000)[0], "done", "provision")
        print(f"# provision: {time.monotonic() - began:.1f} s, of which the service's own: {processor(pid) - own:.1f} s")
        time.sleep(3)  # what is free goes back to the kernel a moment later
        made, now = len(list(SYS.iterdir())) - before, resident(pid, "VmRSS")
        print(f"# {before + made} functions: {now / 1024:.1f} MB resident, {resident(pid, 'VmHWM') / 1024:.1f} MB at most; "
              f"{(now - at_first) * 1024 / made:.0f} bytes a virtual function, each of which is two devices")

    main([vfs])


if __name__ == "__main__":
    if "BENCH_VFS" in os.environ:
        inside()
    else:
        sys.exit(outside(*sys.argv[1:]))
