#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part of bench.py that runs on the generated host: prints one JSON object of figures, in microseconds unless said
otherwise. Each pair is [ours, bare].

    inside.py BUILD COUNT DIRECTORY      DIRECTORY: where the state is kept, on a disk
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

BUILD, COUNT, DIRECTORY = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
os.environ["PT_STATE"] = str(DIRECTORY / "state")
os.environ["PT_RUNTIME"] = str(DIRECTORY / "runtime")

import passthrough  # noqa: E402  from the tests' kit, on PYTHONPATH; it reads the environment when imported

CLIENT = BUILD / "benchmarks/bench-client"
FIELDS = ["name", "slot", "class", "class-hex", "class-type", "vendor", "device", "vendor-id", "device-id", "vendor-device",
          "subsystem-vendor-id", "subsystem-device-id", "driver", "module", "physical-slot", "numa-node", "iommu-group",
          "total-vfs", "vfs", "revision"]
IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "60"))
QUICK = 1 if COUNT > 1000 else 3  # rounds of what takes long on large hosts
SUBSCRIBERS, CROWD, RULES = 100, 64, 100
STORMS_MAX = 20  # for one of them the buffer must be too small
NOBODY = 65534


# ---- tools -----------------------------------------------------------------------------------------------------
def output(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}: {done.stderr}")
    return done.stdout


def figures(*command):
    return [float(word) for word in output(*command).split()]


def order(*words):
    output(os.environ["PT_SIMHOST"], "ctl", *words)


@contextlib.contextmanager
def background(*words, uid=None):
    """The client in the background, from when it says that it has begun."""
    process = subprocess.Popen([str(CLIENT), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               user=uid)
    try:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{words[0]} did not begin")
        yield process
    finally:
        process.stdin.close()
        process.wait(60)


def element(slot):
    return "pci_" + slot.replace(":", "_").replace(".", "_")


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ValueError("no VmRSS")


def switches(pid):
    """Of all threads."""
    return sum(int(line.split()[1]) for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status")
               for line in status.read_text().splitlines() if "ctxt_switches" in line)


def configuration():
    """The tests' own, without its debug messages."""
    directory = DIRECTORY / "etc"
    directory.mkdir()
    text = (pathlib.Path(os.environ["PT_CONFIG"]) / "passthroughd.conf").read_text()
    (directory / "passthroughd.conf").write_text(text.replace("Level=debug", "Level=info"))
    return directory


def free_devices():
    """Slots and drivers of what can go to vfio-pci and back: alone in their IOMMU groups, no part of others."""
    found = []
    for device in sorted(passthrough.SYS.iterdir()):
        if not (device / "class").read_text().startswith(("0x0200", "0x0108")) or not (device / "driver").exists():
            continue
        if (device / "sriov_totalvfs").exists() or (device / "physfn").exists():
            continue
        if len(list((device / "iommu_group" / "devices").iterdir())) == 1:
            found.append((device.name, os.path.basename(os.readlink(device / "driver"))))
    return found


# ---- the rows --------------------------------------------------------------------------------------------------
def start_to_answer(config):
    """Row 1: ours, the same reads without a service, a libudev scan; in turns."""
    for directory in (passthrough.STATE, passthrough.RUNTIME):
        directory.mkdir(parents=True, exist_ok=True)
    os.environ.update(STATE_DIRECTORY=str(passthrough.STATE), RUNTIME_DIRECTORY=str(passthrough.RUNTIME))
    rounds = [[figures(CLIENT, "start", os.environ["PT_DAEMON"], config)[0], figures(BUILD / "benchmarks/bare-scan")[0],
               figures(BUILD / "benchmarks/bare-scan", "udev")[0]] for _ in range(5)]
    return [statistics.median(column) for column in zip(*rounds)]


def idle(pid):
    """Row 11: context switches while nothing happens."""
    with background("subscribe", SUBSCRIBERS):
        time.sleep(1)
        before = switches(pid)
        time.sleep(IDLE_SECONDS)
        return switches(pid) - before


def view_of_service(client):
    seen, cursor = {}, ""
    while True:
        page, cursor, _generation = client.manager("ListDevices", "sa(sss)a{sv}", "pci", [],
                                                   {"cursor": cursor, "fields": ["slot", "driver"], "limit": 1000})
        seen.update({str(values["slot"]): str(values.get("driver", "")) for _path, values in page})
        if not cursor:
            return seen


def view_of_host():
    """Without bridges' special cases: all that the service lists, with its driver."""
    return {device.name: passthrough.driver(device.name) or "" for device in passthrough.SYS.iterdir()}


def differences(client, offered):
    seen, there = view_of_service(client), view_of_host()
    return {slot for slot in set(seen) | (set(there) & offered) if seen.get(slot) != there.get(slot)}


def lost_events(pid):
    """How many messages the kernel could not put into the service's buffers for device events."""
    # Only the first socket of a process has its pid for a port: the others are known by their inodes.
    inodes = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(os.readlink(entry))
    lines = [line.split() for line in pathlib.Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return sum(int(words[8]) for words in lines if words[1] == "15" and f"socket:[{words[9]}]" in inodes)


def storm(config, slots):
    """Row 6, before any control file is answered by the simulator: it answers none while it sends a storm. Without
    CAP_NET_ADMIN the buffer for events is no larger than net.core.rmem_max allows."""
    service = passthrough.Service(config=config, wrapper=["setpriv", "--bounding-set", "-net_admin"])
    client = service.start()
    monitor = subprocess.Popen([str(BUILD / "benchmarks/bare-monitor")])
    pid, result = service.process.pid, {}
    try:
        passthrough.wait_until(lambda: client.bus.name_has_owner("org.passthroughd.Monitor"))
        offered = set(view_of_service(client))
        result["quiet"] = figures(CLIENT, "ping", "ours", 1000)
        our_cpu, bare_cpu, our_wall, bare_wall = figures(CLIENT, "storm", pid, monitor.pid, 5)
        result["cpu"], result["wall"] = [our_cpu, bare_cpu], [our_wall, bare_wall]

        monitor.kill()  # its signals would keep the bus busy
        others = []
        for _ in range(3):
            ping = subprocess.Popen([str(CLIENT), "ping", "ours", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            began = time.monotonic()
            order("storm", "4096")
            time.sleep(max(0, our_wall / 1e6 - (time.monotonic() - began)))  # no longer: silence after it would dilute it
            others.append([float(word) for word in ping.communicate(timeout=60)[0].split()])
            passthrough.wait_until(lambda: not differences(client, offered))
        result["pings"] = others  # P50 P99 MAX COUNT
        result["others"] = statistics.median(p99 for _p50, p99, _max, _count in others)
        # One at a time is asked: a single long wait is a single figure, and hardly moves the p99.
        result["others-max"] = statistics.median(longest for _p50, _p99, longest, _count in others)

        # What happens while the buffer is full is known from nothing but the devices themselves.
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(STORMS_MAX):
                order("storm", "4096")
                if lost_events(pid) > 0:
                    break
            result["lost"] = lost_events(pid)
            passthrough.check(result["lost"] > 0, "the buffer for events does not overflow")
            order("unplug", slots[0][0])
            for slot, driver in slots[1:4]:
                (pathlib.Path("/sys/bus/pci/drivers") / driver / "unbind").write_text(slot)
        finally:
            os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        passthrough.wait_until(lambda: not differences(client, offered), 30, "the service's view to be the host's", 0.002)
        result["recovered"] = (time.monotonic() - began) * 1e6
        time.sleep(1)
        result["wrong"] = len(differences(client, offered))
        order("plug", slots[0][0])
        for slot, driver in slots[1:4]:
            (pathlib.Path("/sys/bus/pci/drivers") / driver / "bind").write_text(slot)
        passthrough.wait_until(lambda: set(view_of_service(client)) == offered and not differences(client, offered), 30,
                               "the devices to be back")
    finally:
        monitor.kill()
        monitor.wait()
    service.stop()
    return result


def document(count):
    rules = [{"id": f"rule-{i}", "group": f"group-{i % 10}", "name": f"rule {i}",
              "where": [["numa-node", "le", "1"], ["device-id", "ne", f"{i:04x}"], ["name", "regex", f"NVMe.*{i // 10}"]]}
             for i in range(count)]
    groups = [{"id": f"group-{i}", "name": f"group {i}", "type": "pci"} for i in range(10)]
    return {"version": 1, "groups": groups, "rules": rules}


def state_files():
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(passthrough.STATE.iterdir()) if path.is_file()}


def median_ms(function, rounds=15):
    times = []
    for _ in range(rounds):
        began = time.monotonic()
        function()
        times.append((time.monotonic() - began) * 1e3)
    return sorted(times)[rounds // 2]


def reasons(client, slot):
    """What is known, said at once: nobody is asked who has it open."""
    device, options = client.device(slot), {"processes": False}
    group = client.create_group("everything")
    client.add_rule(group, [("vendor-id", "ne", "ffff")])
    where = [("numa-node", "le", "0"), ("name", "regex", "NVMe.*1")]
    result = {
        "explain": median_ms(lambda: client.call(device, "Device", "Explain", "a{sv}", options)),
        "explain-group": median_ms(lambda: client.call(group, "Group", "Explain", "a{sv}", options)),
        "preview": median_ms(lambda: client.call(group, "Group", "PreviewRule", "a(sss)a{sv}", where, {})),
    }
    client.call(group, "Group", "Remove", "a{sv}", {})
    return result


def rules(client, slot):
    """Row 7: the matching itself, and what applying the same document again writes."""
    modules = pathlib.Path(os.environ["PT_CONFIG"]).parent / "modules"
    result = {"figures": figures(BUILD / "benchmarks/bench-rules", modules)}
    text = json.dumps(document(RULES))
    began = time.monotonic()
    client.manager("Apply", "sa{sv}", text, {})
    result["apply"] = (time.monotonic() - began) * 1e6
    result |= reasons(client, slot)
    before = state_files()
    client.manager("Apply", "sa{sv}", text, {})
    client.manager("Apply", "sa{sv}", str(client.manager("Export", "a{sv}", {})), {})
    result["written"] = sum(before.get(name) != content for name, content in state_files().items())
    client.manager("Apply", "sa{sv}", json.dumps(document(0) | {"groups": []}), {"prune": True})
    return result


def crowd(client, slots):
    """Row 9; a host without so many free devices has none."""
    free = [slot for slot, _driver in slots[:4 * CROWD] if client.device_state(slot) == "free"]
    if len(free) < CROWD:
        return None
    client.pool("crowd", *free[:CROWD])
    return figures(CLIENT, "crowd", "crowd", CROWD, QUICK)


def quiet_and_busy(disturbance, rounds=5, pings=400, whom="ours"):
    """p99 of a small call of another client, disturbed and undisturbed, in turns. The lowest of each: the machine's own
    disturbances come and go, ours is there in every round."""
    quiet, busy = [], []
    for _ in range(rounds):
        quiet.append(figures(CLIENT, "ping", whom, pings)[1])
        with disturbance():
            busy.append(figures(CLIENT, "ping", whom, pings)[1])
    return [min(busy), min(quiet)]


def others_while_polkit_hangs():
    """A stand-in that has the name and never answers; an ordinary user asks for more than fits."""
    if os.getuid() != 0 or pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "1":
        return None  # there is no other user here
    polkit = passthrough.Client()
    polkit.bus.request_name("org.freedesktop.PolicyKit1")
    figures_ = quiet_and_busy(lambda: background("ask", "bench", 64, uid=NOBODY))
    polkit.bus.close()
    return figures_


def others_while_binding(client, slot):
    @contextlib.contextmanager
    def binding():
        allocation, job = client.allocate("bench", "bench", activate=True)
        passthrough.wait_until(lambda: str(client.get(job, "Job", "State")) != "waiting")
        time.sleep(0.05)
        yield
        result = client.wait_job(job)
        passthrough.equal(result[0], "done", "the activation")
        client.must(allocation, "Release")
    order("delay", "bind", "1000000", slot)
    try:
        return quiet_and_busy(binding, rounds=3)
    finally:
        order("delay", "bind", "0", slot)


def others_while_listing():
    """The same while another client reads pages: of ours, and equal ones of the bare service."""
    ours = quiet_and_busy(lambda: background("load", "ours", *FIELDS))
    bare = quiet_and_busy(lambda: background("load", "echo", *FIELDS), whom="echo")
    return {"ours": ours, "echo": bare}


def guard(group):
    """Row 13: what the host needs, found out with 200 mounts more than it has, and asked again at once."""
    places = [pathlib.Path(DIRECTORY, f"mount-{i}") for i in range(200)]
    for place in places:
        place.mkdir()
        subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
    try:
        return figures(CLIENT, "guard", group)
    finally:
        for place in places:
            subprocess.run(["umount", str(place)], check=True)
            place.rmdir()


def main():
    config = configuration()
    slots = free_devices()
    slot, driver = slots[0]
    result = {"count": COUNT, "start": start_to_answer(config)}
    if COUNT > 10:
        result["storm"] = storm(config, slots)
        shutil.rmtree(passthrough.STATE)
    order("control", slot)  # large hosts answer writes only where asked to

    service = passthrough.Service(config=config)
    client = service.start()
    pid = service.process.pid
    view_of_service(client)
    result["memory"] = resident(pid)
    if COUNT <= 10:
        service.stop()
        print(json.dumps(result))
        return
    result["idle"] = idle(pid)

    helpers = [subprocess.Popen([str(BUILD / "benchmarks" / name)]) for name in ("bare-echo", "bare-monitor")]
    passthrough.wait_until(lambda: all(client.bus.name_has_owner(f"org.passthroughd.{n}") for n in ("Echo", "Monitor")))
    try:
        result["list"] = figures(CLIENT, "list", *FIELDS)
        result["find"] = figures(CLIENT, "find", "slot", "eq", slot)
        result["find-regex"] = figures(CLIENT, "find", "slot", "regex", "^" + slot.replace(".", "\\.") + "$")
        result["details"] = figures(CLIENT, "details", element(slot))
        result["events"] = figures(CLIENT, "events", slot, driver, 200)
        helpers.pop().kill()
        result["rules"] = rules(client, slot)
        client.pool("bench", slot)
        result["guard"] = guard("bench")
        result["cycle"] = figures(CLIENT, "cycle", "bench", slot, driver, DIRECTORY, 20)
        result["polkit"] = others_while_polkit_hangs()
        result["binding"] = others_while_binding(client, slot)
        result["listing"] = others_while_listing()
        result["crowd"] = crowd(client, slots[1:])
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    service.stop()
    print(json.dumps(result))


main()
