#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network settings that no emulated card takes: all of them, on the kernel's netdevsim, through rtnetlink.

Its virtual functions are no PCI devices, so nobody can be given one. What sets, reads back, takes back and refuses is the worker and the
module, as they are installed: here they find PCI functions of a few files, whose physical one has netdevsim's interface. In a mount
namespace of its own; what the service does of this is to send the same orders."""
import atexit
import ctypes
import json
import os
import pathlib
import socket
import subprocess

from passthrough import check, equal, main, wait_until

IFINDEX = []
SIM = pathlib.Path("/sys/bus/netdevsim")
TREE = pathlib.Path("/run/passthroughd-netdevsim")
PF, VFS = "0000:f0:00.0", [f"0000:f0:10.{n}" for n in range(4)]
WORKER = "/usr/libexec/passthroughd-worker"
CLONE_NEWNS = 0x20000
ALL = {"vf-mac": "mac=52:54:00:00:5a:01", "vf-vlan": "vlan=100 qos=5 vlan-protocol=802.1ad",
       "vf-rate": "min-rate=100 max-rate=1000", "vf-spoof-check": "spoof-check=off", "vf-rss-query": "rss-query=on",
       "vf-trust": "trust=on", "vf-link-state": "link-state=disable"}


def run(*command):
    subprocess.run([str(word) for word in command], check=True)


def make_host():
    """PCI functions of files; what lies in their folder `net` is the kernel's."""
    run("modprobe", "netdevsim")
    (SIM / "new_device").write_text("1 1")
    device = wait_until(lambda: next(iter((SIM / "devices/netdevsim1/net").glob("*")), None), 60, "netdevsim's interface").parent.parent
    # udev gives it another name, which takes it a while.
    number, = [link["ifindex"] for link in links_of_host() if link.get("parentdev") == "netdevsim1"]
    run("udevadm", "settle", "--timeout=120")
    wait_until(lambda: pathlib.Path(f"/run/udev/data/n{number}").exists(), 120, "udev")
    (SIM / "devices/netdevsim1/sriov_numvfs").write_text(str(len(VFS)))
    IFINDEX.append(number)
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(CLONE_NEWNS) == 0, "a mount namespace")
    run("mount", "--make-rprivate", "/")
    TREE.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", TREE)
    for part in ("net", "devices", "links", "kernel"):
        (TREE / part).mkdir()
    run("mount", "--bind", "/sys/devices", TREE / "kernel")
    run("mount", "--bind", device.resolve() / "net", TREE / "net")
    for number, vf in enumerate(VFS):
        folder = TREE / "devices/pci0000:f0" / vf
        folder.mkdir(parents=True)
        (folder / "class").write_text("0x020000\n")
        (folder / "physfn").symlink_to(f"../{PF}")
        (TREE / "links" / vf).symlink_to(f"../../../devices/pci0000:f0/{vf}")
    folder = TREE / "devices/pci0000:f0" / PF
    (folder / "net").mkdir(parents=True)
    (folder / "class").write_text("0x020000\n")
    (folder / "driver").symlink_to("../../../bus/netdevsim/drivers/netdevsim")
    for number, vf in enumerate(VFS):
        (folder / f"virtfn{number}").symlink_to(f"../{vf}")
    (TREE / "links" / PF).symlink_to(f"../../../devices/pci0000:f0/{PF}")
    run("mount", "--bind", TREE / "net", folder / "net")
    run("mount", "--rbind", TREE / "devices", "/sys/devices")
    run("mount", "--bind", TREE / "links", "/sys/bus/pci/devices")


def interface():
    """That of the physical function, by its number: in switchdev mode the representors of the others stand beside it, and udev gives all
    of them other names."""
    return next(link["ifname"] for link in links_of_host() if link["ifindex"] == IFINDEX[0])


def records():
    answer = subprocess.run(["ip", "-j", "-d", "link", "show", "dev", interface()], check=True, capture_output=True, text=True)
    return {vf["vf"]: {"mac": vf["address"], "vlan": vf["vlan_list"][0].get("vlan", 0), "qos": vf["vlan_list"][0].get("qos", 0),
                       "protocol": vf["vlan_list"][0].get("protocol", "802.1Q"), "rate": (vf["rate"]["min_tx"], vf["rate"]["max_tx"]),
                       "spoof": vf.get("spoofchk"), "rss": vf.get("query_rss_en"), "trust": vf.get("trust"), "link": vf["link_state"]}
            for vf in json.loads(answer.stdout)[0]["vfinfo_list"]}


def links_of_host():
    answer = subprocess.run(["ip", "-j", "-d", "link", "show"], check=True, capture_output=True, text=True)
    return [link for link in json.loads(answer.stdout) if link]


class Worker:
    """The program that carries out steps, told what to do as the service tells it (lib/protocol.h)."""

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(["/bin/sh", "-c", f"exec {WORKER} 3<&{theirs.fileno()}"], pass_fds=[theirs.fileno()])
        theirs.close()
        self.socket = ours
        self.socket.settimeout(120)
        equal(self.receive()["type"], "hello", "the worker's first word")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.wait()

    def receive(self):
        while True:
            message = json.loads(self.socket.recv(1 << 20))
            if message["type"] != "log":
                return message

    def job(self, mode, vf, steps, observed=None, kill_before=None):
        """(records of what was found, result, error)."""
        device = {"id": "pci-" + vf.replace(":", "-").replace(".", "-"), "subsystem": "pci", "sysname": vf, "iommu_group": -1,
                  "numa_node": -1, "slot": 0, "module": "sriov.so"}
        modules = next(pathlib.Path("/usr/lib").glob("**/passthroughd/modules"))
        order = {"type": "job", "job": "test", "mode": mode, "module_dir": str(modules), "devices": [device],
                 "steps": [{"kind": "custom", "device": device["id"], "name": name, "value": value, "sentence": name}
                           for name, value in steps]}
        if observed is not None:
            order["observed"] = observed
        self.socket.send(json.dumps(order).encode())
        found, error = [None] * len(steps), None
        while True:
            message = self.receive()
            if message["type"] == "before":
                if message["step"] == kill_before:
                    self.process.kill()
                    return found, None, "killed"
                found[message["step"]] = message["observed"]
                self.socket.send(json.dumps({"type": "go", "step": message["step"]}).encode())
            elif message["type"] == "after":
                error = error or message["error"]
            elif message["type"] == "done":
                return found, message["result"], error or message["error"]


def apply(number, settings, **options):
    steps = list(settings.items())
    with Worker() as worker:
        return (steps, *worker.job("execute", VFS[number], steps, **options))


def take_back(number, steps, found):
    with Worker() as worker:
        return worker.job("undo", VFS[number], steps, found)[1:]


def everything(_service):
    """All settings at once, read back, and as found afterwards; the other functions are left alone."""
    before = records()
    steps, found, result, error = apply(1, ALL)
    equal((result, error), (0, None), "set")
    now = records()
    equal(now[1], {"mac": "52:54:00:00:5a:01", "vlan": 100, "qos": 5, "protocol": "802.1ad", "rate": (100, 1000), "spoof": False,
                   "rss": True, "trust": True, "link": "disable"}, "set")
    equal({n: now[n] for n in (0, 2, 3)}, {n: before[n] for n in (0, 2, 3)}, "the others")
    check(all(found), f"what was found is on record: {found}")
    equal(take_back(1, steps, found), (0, None), "taken back")
    equal(records(), before, "as found")


def over_something(_service):
    """What is restored is what was found, not what a function has that nobody set."""
    run("ip", "link", "set", interface(), "vf", "2", "vlan", "7", "qos", "1", "proto", "802.1Q")
    for words in (("state", "enable"), ("query_rss", "on"), ("trust", "on"), ("max_tx_rate", "50", "min_tx_rate", "5"),
                  ("mac", "52:54:00:00:5a:77")):
        run("ip", "link", "set", interface(), "vf", "2", *words)
    before = records()
    changed = dict(ALL, **{"vf-rss-query": "rss-query=off", "vf-trust": "trust=off"})
    steps, found, result, error = apply(2, changed)
    equal((result, error), (0, None), "set")
    check(records()[2]["protocol"] == "802.1ad" and records()[2]["rss"] is False, f"{records()[2]}")
    equal(take_back(2, steps, found), (0, None), "taken back")
    equal(records(), before, "as found")


def refused_in_the_middle(_service):
    """The driver takes no rate in switchdev mode: two settings are made by then, and taken back; those after it are not tried."""
    run("devlink", "dev", "eswitch", "set", "netdevsim/netdevsim1", "mode", "switchdev")
    try:
        before = records()
        steps, found, result, error = apply(0, ALL)
        check(result == -95 and error, f"{result} {error}")
        for part in ("netdevsim", PF, interface(), "transmit rate", "virtual function 0", VFS[0], "EOPNOTSUPP"):
            check(part in error, f"{part} in {error}")
        now = records()[0]
        equal((now["mac"], now["vlan"], now["rate"], now["trust"]), ("52:54:00:00:5a:01", 100, (0, 0), before[0]["trust"]),
              "set until then")
        equal([text is not None for text in found], [True, True, True, False, False, False, False], "on record")
        equal(take_back(0, steps, found), (0, None), "taken back")
        equal(records(), before, "as found")
        steps, found, result, error = apply(0, dict(ALL, **{"vf-rate": "min-rate=100 max-rate=1000 if-offered"}))
        equal((result, error), (0, None), "nobody asked for the rate")
        equal(take_back(0, steps, found), (0, None), "taken back")
        equal(records(), before, "as found, once more")
    finally:
        run("devlink", "dev", "eswitch", "set", "netdevsim/netdevsim1", "mode", "legacy")


def killed(_service):
    """The worker dies between any two settings: another one restores what is on record."""
    before = records()
    for step in range(1, len(ALL)):
        steps, found, _, error = apply(3, ALL, kill_before=step)
        equal(error, "killed", str(step))
        check(records() != before, f"something was set before step {step}")
        equal(take_back(3, steps, found), (0, None), str(step))
        equal(records(), before, f"as found, killed before step {step}")


def renamed(_service):
    """The interface has another name at each step."""
    before = records()
    steps, found = [], []
    for number, (name, value) in enumerate(ALL.items()):
        _, record, result, error = apply(1, {name: value})
        equal((result, error), (0, None), name)
        steps.append((name, value))
        found += record
        run("ip", "link", "set", interface(), "name", f"sim{number}")
    equal(records()[1]["link"], "disable", "under its new name")
    equal(take_back(1, steps, found), (0, None), "taken back")
    equal(records(), before, "as found")


def same_address(_service):
    """An address that somebody has already: another function of the card or of another card, an interface of the host."""
    before = records()
    (SIM / "new_device").write_text("2 1")
    try:
        number, = [link["ifindex"] for link in links_of_host() if link.get("parentdev") == "netdevsim2"]
        # udev gives it another name, which takes it a while.
        run("udevadm", "settle", "--timeout=120")
        wait_until(lambda: pathlib.Path(f"/run/udev/data/n{number}").exists(), 120, "udev")
        links = [link for link in links_of_host() if link["ifindex"] == number]
        other = links[0]["ifname"]
        (TREE / "kernel/netdevsim2/sriov_numvfs").write_text("2")
        run("ip", "link", "set", other, "vf", "1", "mac", "52:54:00:00:5a:21")
        run("ip", "link", "set", interface(), "vf", "2", "mac", "52:54:00:00:5a:22")
        for mac, owner in (("52:54:00:00:5a:21", f"virtual function 1 of {other}"),
                           ("52:54:00:00:5a:22", f"virtual function 2 of {interface()}"), (links[0]["address"], f"{other} itself")):
            steps, found, result, error = apply(0, {"vf-mac": f"mac={mac}"})
            check(result == -98 and mac in error and owner in error, f"{mac}: {result} {error}")
            equal(records()[0], before[0], mac)
        steps, found, result, error = apply(2, {"vf-mac": "mac=52:54:00:00:5a:22"})
        equal((result, error), (0, None), "what it has itself")
        run("ip", "link", "set", interface(), "vf", "2", "mac", before[2]["mac"])
    finally:
        (SIM / "del_device").write_text("2")
    equal(records(), before, "as found")


def out_of_range(_service):
    """What the kernel refuses of values is told with what was tried."""
    before = records()
    for name, value, words in (("vf-rate", "min-rate=200 max-rate=100", "EINVAL"), ("vf-vlan", "vlan=5000 qos=0 vlan-protocol=802.1Q", "vlan=5000")):
        _, _, result, error = apply(0, {name: value})
        check(result < 0 and words in error and "netdevsim" in error, f"{name}: {result} {error}")
        equal(records(), before, name)


def forget_host():
    (SIM / "del_device").write_text("1")


atexit.register(forget_host)
make_host()
main([everything, over_something, refused_in_the_middle, killed, renamed, same_address, out_of_range])
