# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios about virtual functions of network cards share: what their drivers say of them, groups of them, a clean start."""
import functools
import json
import os
import pathlib
import subprocess

import dbus

from passthrough import SYS, equal, wait_until

NIC, NVME = "0000:08:00.0", "0000:09:00.0"
# The simulated host has no rtnetlink: its records are files, with the same names as the settings.
SIMULATED = os.environ.get("PASSTHROUGHD_SIMULATED_RTNETLINK")
ON_OFF = {True: "on", False: "off"}


def interface():
    return os.listdir(SYS / NIC / "net")[0]


def records():
    """What the driver of the card says of each function, by the names of our settings."""
    if SIMULATED:
        lines = (pathlib.Path(SIMULATED) / NIC / "vf-records").read_text().splitlines()
        return {int(line.split()[0]): dict(word.split("=") for word in line.split()[1:]) for line in lines if line[0].isdigit()}
    answer = subprocess.run(["ip", "-j", "-d", "link", "show", "dev", interface()], check=True, capture_output=True, text=True)
    return {vf["vf"]: {"mac": vf["address"], "vlan": str(vf["vlan_list"][0].get("vlan", 0)), "qos": str(vf["vlan_list"][0].get("qos", 0)),
                       "vlan-protocol": vf["vlan_list"][0].get("protocol", "802.1Q"), "min-rate": str(vf["rate"]["min_tx"]), "max-rate": str(vf["rate"]["max_tx"]),
                       "spoof-check": ON_OFF[vf["spoofchk"]], "trust": ON_OFF[vf["trust"]]}
            for vf in json.loads(answer.stdout)[0]["vfinfo_list"]}


def address(number, slot=NIC):
    return os.path.basename(os.readlink(SYS / slot / f"virtfn{number}"))


def variants(settings):
    return dbus.Dictionary(settings, signature="sv")


def group_of(client, settings, name="nics", vfs=3, slot=NIC, **options):
    group = client.create_group(name, "sriov", variants({"vfs": vfs, **settings}), dbus.Dictionary(options, signature="sv"))
    client.add_rule(group, [("provider.slot", "eq", slot)])
    equal(client.wait_job(str(client.call(group, "Group", "Provision", "a{sv}", {})))[0], "done", "provisioned")
    return group


def update(client, group, **settings):
    values = {key.replace("_", "-"): value for key, value in settings.items()}
    client.call(group, "Group", "Update", "a{sv}a{sv}", {"settings": variants(values)}, {})


def clean(test):
    """A test that fails leaves nothing for the next: with its functions all settings are gone."""
    @functools.wraps(test)
    def run(service):
        for slot in (NIC, NVME):
            if (SYS / slot / "sriov_numvfs").read_text().strip() != "0":
                (SYS / slot / "sriov_numvfs").write_text("0")
            (SYS / slot / "sriov_drivers_autoprobe").write_text("1")
        test(service)
    return run


def link_up():
    """The driver takes rates only then. The simulated link is up always."""
    if not SIMULATED:
        subprocess.run(["ip", "link", "set", interface(), "up"], check=True)
        wait_until(lambda: (SYS / NIC / "net" / interface() / "operstate").read_text().strip() == "up", 30, "the link")
