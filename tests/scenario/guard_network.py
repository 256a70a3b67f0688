#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""On a real kernel only: network cards that the host needs, through everything that can stand on them, and those beside them
that it does not; the only keyboard, the watchdog, the management controller."""
import contextlib
import pathlib
import subprocess
import time

from passthrough import SYS, check, driver, equal, main, wait_until

NIC, NIC2, NVME = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
MF = ("0000:05:00.0", "0000:05:00.1")
PF = "0000:08:00.0"
XHCI, WATCHDOG, IPMI = "0000:00:0b.0", "0000:00:0d.0", "0000:00:0e.0"


def sh(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    check(done.returncode == 0, f"{command}: {done.stderr}")
    return done.stdout.strip()


def interface(slot):
    return wait_until(lambda: next((path.name for path in (SYS / slot).glob("net/*")), None), 20, f"the interface of {slot}")


@contextlib.contextmanager
def network(setup, teardown):
    """Whatever happens in between, the host's network is as it was."""
    try:
        sh(setup)
        yield
    finally:
        subprocess.run(teardown, shell=True, capture_output=True, timeout=60, check=False)


def findings(client, slot, *severities):
    """{code: [texts]}"""
    found = {}
    for finding in client.explain(client.device(slot), "Device"):
        if not severities or finding["severity"] in severities:
            found.setdefault(finding["code"], []).append(finding["text"])
    return found


def needed(client, slot, code, chain):
    texts = findings(client, slot, "blocker").get(code, [])
    check(any(chain in text for text in texts), f"{slot}: no {code} with {chain!r}: {findings(client, slot)}")


def available(client, slot):
    blockers = findings(client, slot, "blocker")
    equal(blockers, {}, f"what stands against {slot}")


def refused(client, group):
    allocation, job = client.allocate("vm", group, activate=True)
    equal(client.wait_job(job)[:2], ("failed", "NoDeviceAvailable"), group)
    client.must(allocation, "Release")


def handed_out(client, group):
    allocation, job = client.allocate("vm", group, activate=True)
    equal(client.wait_job(job)[0], "done", group)
    client.must(allocation, "Release")


def stacks(service):
    """A bridge over a bond of two cards, and a VLAN on the bond: both cards are needed, whichever carries the traffic now. The
    card beside them is not, and when all is taken down they are free again."""
    client = service.start()
    client.pool("cards", NIC, NIC2)
    client.pool("other", PF)
    one, two = interface(NIC), interface(NIC2)
    available(client, NIC)
    with network(f"ip link add bond9 type bond mode active-backup && ip link set {one} down && ip link set {two} down && "
                 f"ip link set {one} master bond9 && ip link set {two} master bond9 && ip link add br9 type bridge && "
                 "ip link add link bond9 name bond9.100 type vlan id 100 && ip link set bond9 master br9 && "
                 "ip address add 10.9.0.5/24 dev br9 && ip address add 10.9.1.5/24 dev bond9.100 && "
                 "ip link set bond9 up && ip link set br9 up && ip link set bond9.100 up && "
                 "ip route add 10.77.0.0/16 via 10.9.0.1 table 77",
                 f"ip link delete br9; ip link delete bond9; ip link set {one} down; ip link set {two} down"):
        for slot, name in ((NIC, one), (NIC2, two)):
            needed(client, slot, "address", f"10.9.0.5/24 ← br9 ← bond9 ← {name} ← {slot}")
            needed(client, slot, "address", f"10.9.1.5/24 ← bond9.100 ← bond9 ← {name} ← {slot}")
            needed(client, slot, "route", f"route to 10.77.0.0/16 via 10.9.0.1 in table 77 ← br9 ← bond9 ← {name}")
            equal(client.device_state(slot), "critical", slot)
        refused(client, "cards")
        equal((driver(NIC), driver(NIC2)), ("e1000e", "e1000e"), "untouched")
        handed_out(client, "other")
    wait_until(lambda: interface(NIC), 10, "the interface")
    available(client, NIC)
    handed_out(client, "cards")


def only_up(service):
    """Up, but without an address: said, and no reason to refuse. A dummy and a tunnel beside it do not change that."""
    client = service.start()
    client.pool("cards", NIC)
    name = interface(NIC)
    with network(f"ip link set {name} up && ip link add dummy9 type dummy && ip address add 10.9.2.5/24 dev dummy9 && "
                 "ip link set dummy9 up", f"ip link delete dummy9; ip link set {name} down"):
        wait_until(lambda: (SYS / NIC / "net" / name / "carrier").read_text().strip() == "1", 10, "the carrier")
        time.sleep(2.5)  # the kernel gives it a link-local address, once nobody else has that
        available(client, NIC)
        check("link-up" in findings(client, NIC, "warning"), "that it is up is said")
        check(client.get(client.device(NIC), "Device", "Allocatable"), "it can be had")
        handed_out(client, "cards")


def ports(service):
    """A port of a bridge without an address carries the guests; and the two functions of a card go together."""
    client = service.start()
    name = interface(MF[1])
    with network(f"ip link add br9 type bridge && ip link set {name} master br9", "ip link delete br9"):
        needed(client, MF[1], "member", f"br9 (bridge) ← {name} ← {MF[1]}")
        needed(client, MF[0], "companion-critical", "br9 (bridge)")
    for slot in MF:
        available(client, slot)


def namespaces(service):
    """A card in another network namespace has vanished from the host's view and is needed all the same."""
    client = service.start()
    client.pool("cards", NIC, NIC2)
    one, two = interface(NIC), interface(NIC2)
    with network(f"ip netns add blue && ip link set {one} netns blue && ip -n blue address add 10.9.3.5/24 dev {one} && "
                 f"ip -n blue link set {one} up", "ip netns delete blue"):
        needed(client, NIC, "address", f"10.9.3.5/24 ← {one} in network namespace blue ← {NIC}")
        available(client, NIC2)
        process = subprocess.Popen(["unshare", "--net", "sleep", "60"])
        try:
            own = pathlib.Path("/proc/self/ns/net").readlink()
            wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/ns/net").readlink() != own, 10, "its namespace")
            sh(f"ip link set {two} netns {process.pid}")
            needed(client, NIC2, "namespace", f"{two} in network namespace of process {process.pid}")
            refused(client, "cards")
        finally:
            process.kill()
            process.wait()
    for slot in (NIC, NIC2):  # the kernel takes a namespace down in its own time
        check(interface(slot), "the card comes back")
    available(client, NIC)
    available(client, NIC2)


def virtual_functions(service):
    """A physical function that carries the host's traffic stays, its idle virtual functions can be had; one that the host uses
    itself cannot, nor can its physical function."""
    client = service.start()
    name = interface(PF)
    vfs = [PF.replace("08:00.0", f"08:10.{n}") for n in (0, 2)]
    with network(f"echo 2 > {SYS}/{PF}/sriov_numvfs && ip address add 10.9.4.5/24 dev {name} && ip link set {name} up",
                 f"ip address flush dev {name}; ip link set {name} down; echo 0 > {SYS}/{PF}/sriov_numvfs"):
        wait_until(lambda: all(driver(vf) for vf in vfs), 30, "the virtual functions")
        wait_until(lambda: all(any((SYS / vf / "net").glob("*")) for vf in vfs), 30, "their interfaces")
        client.manager("Rescan", "a{sv}", {})
        wait_until(lambda: all(client.manager("ListDevices", "sa(sss)a{sv}", "pci", [("slot", "eq", vf)], {})[0] for vf in vfs),
                   20, "the service to know them")
        needed(client, PF, "address", f"10.9.4.5/24 ← {name} ← {PF}")
        for vf in vfs:
            available(client, vf)
        used = interface(vfs[1])
        sh(f"ip address flush dev {name} && ip address add 10.9.5.5/24 dev {used}")
        needed(client, vfs[1], "address", f"10.9.5.5/24 ← {used} ← {vfs[1]}")
        needed(client, PF, "address", f"10.9.5.5/24 ← {used} ← {vfs[1]}")
        available(client, vfs[0])
    available(client, PF)


def platform(service):
    """The watchdog and the way to the management controller, by what the kernel made of them."""
    client = service.start()
    wait_until(lambda: any(pathlib.Path("/sys/class/watchdog").glob("*")), 20, "the watchdog")
    wait_until(lambda: any(pathlib.Path("/sys/class/ipmi").glob("*")), 40, "IPMI")
    needed(client, WATCHDOG, "watchdog", "watchdog0 ← " + WATCHDOG)
    needed(client, IPMI, "ipmi", "management controller")
    available(client, NVME)


def keyboard(service):
    """The only keyboard takes the controller along. With a second one both are only in use."""
    client = service.start()
    needed(client, XHCI, "keyboard", "the only keyboard")
    equal(client.device_state(XHCI), "critical", XHCI)
    subprocess.run(["vm-hmp", "device_add", "usb-kbd,id=kbd9,bus=xhci.0,port=8"], check=True)
    try:
        wait_until(lambda: "keyboard" not in findings(client, XHCI, "blocker"), 30, "the second keyboard to count")
        check(any("several keyboards" in text for text in findings(client, XHCI, "warning").get("keyboard", [])), "that is said")
    finally:
        subprocess.run(["vm-hmp", "device_del", "kbd9"], check=True)
    wait_until(lambda: "keyboard" in findings(client, XHCI, "blocker"), 30, "the first one to be the only one again")


main([stacks, only_up, ports, namespaces, virtual_functions, platform, keyboard])
