#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much of GPUs and vGPUs is used: measured while somebody watches, and by nobody else."""
import contextlib
import json
import os
import pathlib
import select
import subprocess
import time

import dbus

from nvml import MODELS, change, fault, functions
from passthrough import Client, bus_error, check, equal, main, node, wait_until
from place import ctl

L40S, H100, T4 = "0000:03:00.0", "0000:05:00.0", "0000:09:00.0"
BUSY = {"gpu": 37, "memory": 12, "encoder": 5, "decoder": 6, "framebuffer-used": 9000, "framebuffer-total": 46068,
        "temperature": 61, "power": 250000}
GUEST = {"gpu": 40, "memory": 20, "encoder": 3, "decoder": 4, "framebuffer-used": 2048, "licence": 5, "guest-driver": "570.86.10"}


def vgpu_id(slot):
    return "vgpu-" + slot.replace(":", "-").replace(".", "-")


def provider(client, slot):
    return client.device(vgpu_id(slot))


def watch(client, slot, **options):
    """A descriptor that holds the watch."""
    fd = client.call(provider(client, slot), "Provider", "Watch", "a{sv}", options).take()
    os.set_inheritable(fd, False)
    return fd


def plain(value):
    """Without the types of D-Bus."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, str) else int(value)


def use(client, slot):
    return plain(client.get(provider(client, slot), "Provider", "Use"))


def measured(client, slot, condition=lambda found: True, what="a sample"):
    """The first one that fits."""
    def look():
        found = use(client, slot)
        return found if "time" in found and condition(found) else None
    return wait_until(look, 30, f"{what}; now {use(client, slot)}")


def history(client, slot, **options):
    return plain(client.call(provider(client, slot), "Provider", "UseHistory", "a{sv}", options))


@contextlib.contextmanager
def made(client, slot, profile="L40S-8Q"):
    """A vGPU that somebody has: (virtual function, allocation)."""
    carriers = functions(slot)
    wait_until(lambda: len(client.get(provider(client, slot), "Provider", "Children")) == len(carriers), 30, "the functions")
    group = client.create_group("desks", "vgpu", {"profile": profile})
    client.add_rule(group, [("physical-function", "eq", slot)])
    allocation, job = client.allocate("desk-1", "desks", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    function = next(c for c in carriers if client.devices_of(allocation)[0].endswith(c.replace(":", "_").replace(".", "_")))
    guest = os.open(node(function), os.O_RDWR)
    try:
        yield function, allocation
    finally:
        os.close(guest)
        client.must(allocation, "Release")
        functions(slot, False)


def a_watch(service):
    """Its samples, what they say of whom, and the end of it."""
    client = service.start()
    change(L40S, use=BUSY)
    equal(use(client, L40S), {}, "nobody watches")
    equal(history(client, L40S), [], "and nobody did")
    with made(client, L40S) as (function, allocation):
        change(L40S, vms={function: "desk-1"}, vgpu_use={function: GUEST})
        fd = watch(client, L40S, interval=500)
        found = measured(client, L40S, lambda f: f.get("vgpus") == 1)
        for key, value in BUSY.items():
            equal(found[key], value, key)
        equal((found["interval"], found["watchers"], found["total"], found["used"], found["idle"]), (500, 1, 8, 1, 7), "counts")
        equal((found["unavailable"], "problem" in found), ({}, False), "nothing is missing")
        one, = found["devices"]
        equal((one["device"], one["object"], one["allocation"], one["consumer"]),
              (function, client.device(vgpu_id(function)), allocation, "desk-1"), "whose it is")
        equal((one["profile"], one["gpu"], one["memory"], one["encoder"], one["decoder"], one["framebuffer-used"],
               one["framebuffer-total"]), ("NVIDIA L40S-8Q", 40, 20, 3, 4, 2048, 8192), "its use")
        equal((one["vm"], one["licence"], one["guest-driver"], one["findings"]), ("desk-1", "licensed", "570.86.10", []), "its guest")
        change(L40S, use=dict(BUSY, gpu=99))
        measured(client, L40S, lambda f: f["gpu"] == 99, "the next one")
        rows = history(client, L40S)
        check(len(rows) >= 2 and rows[0]["gpu"] == 37 and rows[-1]["gpu"] == 99 and "devices" not in rows[0], rows)
        equal([r["time"] for r in rows], sorted(r["time"] for r in rows), "oldest first")
        equal(history(client, L40S, since=dbus.UInt64(rows[-1]["time"] + 600000)), [], "nothing is later")
        minute = history(client, L40S, span="long")[-1]
        check(37 <= minute["gpu"] <= 99 and minute["gpu-peak"] == 99 and minute["samples"] >= 1, minute)
        rows = history(client, L40S, device=vgpu_id(function))
        check(rows and rows[0]["gpu"] == 40 and rows[0]["framebuffer-used"] == 2048, rows)
        os.close(fd)
        wait_until(lambda: use(client, L40S) == {}, 30, "the end of the watch")
        check(len(history(client, L40S)) >= 2, "the history stays")


def passthroughctl(*arguments):
    run = subprocess.run([os.environ["PT_CTL"], *arguments], capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout + run.stderr


def command(service):
    """passthroughctl usage, profiles and provider."""
    client = service.start()
    change(L40S, use=BUSY)
    with made(client, L40S) as (function, _allocation):
        change(L40S, vgpu_use={function: GUEST})
        wait_until(lambda: client.get(provider(client, L40S), "Provider", "Profiles"), 30, "the driver's answer")
        code, text = passthroughctl("usage", L40S, "--json")
        found = json.loads(text)[vgpu_id(L40S)]
        equal((code, found["gpu"], found["vgpus"], found["devices"][0]["consumer"]), (0, 37, 1, "desk-1"), text)
        code, text = passthroughctl("usage")
        lines = {line.split()[0].strip("├─└"): line for line in text.splitlines()[1:]}
        check(code == 0 and "9000/46068" in text and "1 of 8 in use" in text and "desk-1" in text and "licensed" in text, text)
        check("does not know the GPU" in text and len(lines) >= 5, text)
        equal(use(client, L40S), {}, "it watches no more")
        code, text = passthroughctl("usage", L40S, "--history=long")
        check(code == 0 and " 37 " in text, text)
        code, text = passthroughctl("usage", L40S, "--watch=soon")
        check(code == 2 and "soon" in text, (code, text))
        code, text = passthroughctl("profiles", L40S)
        check(code == 0 and "NVIDIA L40S-24Q" in text and "7680x4320" in text, text)
        row = next(r for r in plain(client.get(provider(client, L40S), "Provider", "Profiles")) if r["name"] == "NVIDIA L40S-8Q")
        equal((row["max"], row["framebuffer"], row["series"]), (6, 8192, "Q"), row)
        check(0 < row["remaining"] <= 6, row)  # by what was active when the driver was asked last
        code, text = passthroughctl("provider", L40S)
        check(code == 0 and "580.65.05" in text and "host-vgpu" in text, text)
        code, text = passthroughctl("provider", L40S, "--json")
        check(code == 0 and json.loads(text)["report"]["gpu"]["types"], text)
        error, message = bus_error(client.call, provider(client, L40S), "Provider", "Query", "sa{sv}", "everything", {})
        check(error == "InvalidValue" and "demands, report" in message, (error, message))


def nobody(service):
    """While nobody watches nothing is measured, and the service sleeps."""
    client = service.start()
    functions(L40S)
    wait_until(lambda: len(client.get(provider(client, L40S), "Provider", "Children")) == 8, 30, "the functions")
    fd = watch(client, L40S, interval=500)
    first = measured(client, L40S)
    measured(client, L40S, lambda f: f["time"] > first["time"])
    os.close(fd)
    wait_until(lambda: use(client, L40S) == {}, 30, "the end of the watch")

    def switches():
        with open(f"/proc/{service.process.pid}/status", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)

    # A sample that was under way ends first; then not a single wakeup in several intervals.
    def quiet():
        before = switches()
        time.sleep(2.5)
        return switches() == before
    wait_until(quiet, 60, "the service to sleep")
    functions(L40S, False)


def watchers(service):
    """They share the samples, at the shortest of their intervals; one that is killed is one less."""
    client = service.start()
    slow = watch(client, L40S, interval=3600000)
    equal(measured(client, L40S)["interval"], 3600000, "alone")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        other = Client()
        watch(other, L40S, interval=500)
        os.write(writer, b"x")
        time.sleep(600)
        os._exit(0)
    os.read(reader, 1)
    first = measured(client, L40S, lambda f: f["watchers"] == 2 and f["interval"] == 500, "both")
    measured(client, L40S, lambda f: f["time"] > first["time"], "the other's samples")
    os.kill(child, 9)
    os.waitpid(child, 0)
    measured(client, L40S, lambda f: f["watchers"] == 1 and f["interval"] == 3600000, "one alone again")
    os.close(slow)
    wait_until(lambda: use(client, L40S) == {}, 30, "the end of the watch")


def refused(service):
    """What can't be asked, and what can't be measured."""
    client = service.start()
    path = provider(client, L40S)
    for options, word in (({"interval": 499}, "500 to 3600000"), ({"interval": 3600001}, "500"), ({"interval": "often"}, "interval")):
        error, message = bus_error(client.call, path, "Provider", "Watch", "a{sv}", options)
        check(error == "InvalidValue" and word in message, (options, error, message))
    equal(bus_error(client.call, path, "Provider", "Watch", "a{sv}", {"intervall": 500})[0], "UnknownOption", "a mistyped option")
    error, message = bus_error(client.call, path, "Provider", "UseHistory", "a{sv}", {"span": "middle"})
    check(error == "InvalidValue" and "short, long" in message, (error, message))
    equal(bus_error(client.call, path, "Provider", "UseHistory", "a{sv}", {"device": vgpu_id(H100)})[0], "UnknownDevice", "another's")
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, watch(client, T4))
        stack.callback(os.close, watch(client, L40S, interval=500))
        check("does not know the GPU" in measured(client, T4)["problem"], use(client, T4))
        fault(None, nvmlDeviceGetHandleByPciBusId_v2=15)
        found = measured(client, L40S, lambda f: "problem" in f)
        check("fallen off the bus" in found["problem"] and "gpu" not in found and found["total"] == 0, found)
        fault(None)
        measured(client, L40S, lambda f: "gpu" in f, "the next try")


def set_mig(slot, on):
    """As NVIDIA's library does, by the driver."""
    path = pathlib.Path(json.loads(MODELS.read_text())["kernel"] % slot)
    parts = [part for part in path.read_text().strip().split(";") if part.split()[0] not in ("vfs", "vgpu", "mig")]
    path.write_text(";".join(parts + [f"mig {int(on)} {int(on)}"]))


def divided(service):
    """Under MIG there is no utilisation: that is said, and is not zero."""
    client = service.start()
    change(H100, use=BUSY)
    fd = watch(client, H100, interval=500)
    check("gpu" in measured(client, H100), "measured without MIG")
    set_mig(H100, True)
    found = measured(client, H100, lambda f: "gpu" not in f)
    check("MIG" in found["unavailable"]["gpu"] and "MIG" in found["unavailable"]["memory"], found)
    check("temperature" in found and "memory" not in found and "problem" not in found, found)
    set_mig(H100, False)
    measured(client, H100, lambda f: "gpu" in f and f["unavailable"] == {})
    os.close(fd)


def slow_driver(service):
    """A driver that takes longer than the interval: samples are left out and counted; one that hangs is killed."""
    client = service.start()
    fault(L40S, nvmlDeviceGetTemperature={"result": 0, "delay": 1200})
    fd = watch(client, L40S, interval=500)
    found = measured(client, L40S, lambda f: f["skipped"] >= 2, "samples that are left out")
    check("problem" not in found and "gpu" in found, found)
    # Whoever acts meanwhile does not wait for it.
    fault(L40S, nvmlDeviceGetTemperature={"result": 0, "delay": 60000})
    found = measured(client, L40S, lambda f: "problem" in f, "the end of a sample that hangs")
    check("in time" in found["problem"] and "gpu" not in found, found)
    fault(L40S)
    measured(client, L40S, lambda f: "gpu" in f, "the next try")
    os.close(fd)


def there(client, slot):
    try:
        return bool(provider(client, slot))
    except dbus.DBusException:
        return False


def hung_up(fd):
    poll = select.poll()
    poll.register(fd, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def unplugged(service):
    """The GPU goes while somebody watches: the pipe tells, and another watch is told that there is no such device."""
    client = service.start()
    fd = watch(client, L40S, interval=500)
    measured(client, L40S)
    check(not hung_up(fd), "it is there")
    ctl("unplug", L40S)
    wait_until(lambda: hung_up(fd), 30, "the end of the pipe")
    os.close(fd)
    error, _ = bus_error(client.device, vgpu_id(L40S))
    equal(error, "UnknownDevice", "the GPU")
    ctl("plug", L40S)
    wait_until(lambda: there(client, L40S), 30, "the GPU again")
    fd = watch(client, L40S, interval=500)
    equal(measured(client, L40S)["watchers"], 1, "a new watch")
    service.stop()
    wait_until(lambda: hung_up(fd), 30, "the end of the service")
    os.close(fd)


def explained(service):
    """What is wrong with the guest of a vGPU is said to whoever asks about its allocation, without a watch."""
    client = service.start()
    with made(client, L40S) as (function, allocation):
        change(L40S, vgpu_use={function: dict(GUEST, licence=3)})
        found = {f["code"]: f for f in client.explain(allocation, "Allocation")}
        check("unlicensed" in found and found["unlicensed"]["severity"] == "warning", found)
        check("guest-driver-mismatch" not in found, found)
        equal(use(client, L40S), {}, "nobody watches")


def guest_too_new(service):
    client = service.start()
    with made(client, L40S) as (function, allocation):
        change(L40S, vgpu_use={function: dict(GUEST, **{"guest-driver": "999.1"})})
        fd = watch(client, L40S, interval=500)
        found = measured(client, L40S, lambda f: f.get("devices"))
        equal(found["devices"][0]["findings"], ["guest-driver-mismatch"], "the codes")
        found = {f["code"]: f for f in client.explain(allocation, "Allocation")}
        check("newer" in found["guest-driver-mismatch"]["text"] and "guest" in found["guest-driver-mismatch"]["remedy"], found)
        os.close(fd)


def room(service):
    """What groups can have beside each other, and that a choice says what it leaves for others."""
    client = service.start()
    carriers = functions(L40S)
    wait_until(lambda: len(client.get(provider(client, L40S), "Provider", "Children")) == len(carriers), 30, "the functions")
    wait_until(lambda: client.get(provider(client, L40S), "Provider", "Profiles"), 30, "the driver's answer")
    cad = client.create_group("cad", "vgpu", {"profile": "L40S-24Q", "instances": 1})
    client.add_rule(cad, [("provider.slot", "eq", L40S)])
    desks = client.create_group("desks", "vgpu", {"profile": "L40S-12Q"}, {"choice": "pack"})
    client.add_rule(desks, [("provider.slot", "eq", L40S)])
    for group, total in ((cad, 1), (desks, 2)):
        wait_until(lambda: [int(client.get(group, "Group", name)) for name in ("Total", "Available")] == [total, total], 30,
                   f"room for {total} of {group}")
    remaining = plain(client.get(provider(client, L40S), "Provider", "Remaining"))
    equal((remaining["NVIDIA L40S-24Q"], remaining["NVIDIA L40S-12Q"], remaining["NVIDIA L40S-48Q"]), (1, 2, 0), "what can be made")
    answer = client.manager("Plan", "saoaa{sv}a{sv}", "activate", dbus.Array([], "o"), [{"group": "desks"}], {})
    candidates = [c for choice in answer[0] for c in choice["candidates"]]
    check(len(candidates) == len(carriers), candidates)
    for candidate in candidates:
        check("leaves room for 1 × 24Q of group cad" in [str(r) for r in candidate["reasons"]], candidate)
    for group in (desks, cad):
        job = str(client.call(group, "Group", "Remove", "a{sv}", {}))
        if job != "/":
            equal(client.wait_job(job)[0], "done", "removal")
    functions(L40S, False)


main([room, a_watch, command, nobody, watchers, refused, divided, slow_driver, unplugged, explained, guest_too_new])
