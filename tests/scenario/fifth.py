#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A type that the project does not know: the module of tests/third-party, built by its author from the installed headers and
dropped in. Everything that a client sees of a type is there: schemas, typed properties, rules, settings, plans, guests."""
import json

import dbus

from passthrough import ROOT, SYS, bus_error, check, driver, equal, iommu_group, main, override, wait_until
from place import Holder

NIC, NVME, SERIAL = "0000:01:00.0", "0000:03:00.0", "PTNVME0"
DEVICE = f"{ROOT}/devices/nvme_0000_03_00_0"


def options(**values):
    """A dictionary inside of another one."""
    return dbus.Dictionary(values, signature="sv")


def d3cold():
    return (SYS / NVME / "d3cold_allowed").read_text().strip()


def schema(service):
    """What a frontend needs to draw forms and offer filters for a type that it has never heard of."""
    client = service.start()
    check("nvme" in client.get(ROOT, "Manager", "Types"), "it is a type")
    module = client.get_all(f"{ROOT}/modules/nvme", "Module")
    equal((str(module["State"]), str(module["Version"])), ("loaded", "1.0"), "its state")
    equal(str(module["Facts"]["title"]), "NVMe controller", "its title")
    fields = {str(field["name"]): field for field in module["Fields"]}
    equal(str(fields["capacity"]["unit"]), "MiB", "the unit of a field")
    settings = {str(setting["name"]): setting for setting in module["GroupSettings"]}
    equal(int(settings["max-namespaces"]["maximum"]), 1024, "the range of a setting")
    equal([str(setting["name"]) for setting in module["ConsumerSettings"]], ["power-saving"], "settings of a consumer")


def properties(service):
    """Under their own names and with their own types; slow ones are read when somebody asks."""
    client = service.start()
    wait_until(lambda: str(client.get(DEVICE, "Device.Nvme", "Serial")) == SERIAL, 10, "the serial number")
    nvme = client.get_all(DEVICE, "Device.Nvme")
    equal(str(nvme["Slot"]), NVME, "Slot")
    check(nvme["OnHost"], "OnHost")
    equal(str(nvme["Model"]), "QEMU NVMe Ctrl", "Model")
    equal(int(nvme["NamespaceCount"]), 1, "NamespaceCount")
    # With multipath the controller has a path to it.
    check([str(name) for name in nvme["Namespaces"]] in (["nvme0n1"], ["nvme0c0n1"]), f"Namespaces: {nvme['Namespaces']}")
    check(int(nvme["Capacity"]) > 0, "Capacity")
    xml = client.bus.call_blocking("org.passthroughd1", DEVICE, "org.freedesktop.DBus.Introspectable", "Introspect", "", ())
    check('<property name="Capacity" type="t"' in xml and '<property name="Namespaces" type="as"' in xml, "introspection")
    equal(bus_error(client.get_all, client.device(NIC), "Device.Nvme")[0].rpartition(".")[2], "UnknownInterface", "a network card")


def rules(service):
    client = service.start()
    group = client.create_group("disks", "nvme")
    name, text = bus_error(client.add_rule, group, [("vendor-device", "eq", "1b36:0010")])
    equal(name, "UnknownField", text)
    check("serial" in text and "model" in text, f"the fields that there are: {text}")
    where = [("model", "regex", "^QEMU"), ("serial", "eq", SERIAL)]
    wait_until(lambda: [str(path) for path in client.call(group, "Group", "PreviewRule", "a(sss)a{sv}", where, {})[0]] == [DEVICE],
               10, "PreviewRule, when the slow fields were read")
    client.add_rule(group, [("serial", "eq", SERIAL)])
    wait_until(lambda: [str(path) for path in client.get(group, "Group", "Devices")] == [DEVICE], 10, "the rule to match")
    # The identity that the module recommends is the one that Make Resource takes.
    rule = str(client.manager("MakeResource", "aosa{sv}", [DEVICE], "more", {})[0])
    equal([tuple(str(part) for part in row) for row in client.get(rule, "Rule", "Where")], [("serial", "eq", SERIAL)], "its rule")


def settings(service):
    client = service.start()
    name, text = bus_error(client.create_group, "disks", "nvme", {"max-namespaces": 5000})
    equal(name, "InvalidValue", text)
    check("1024" in text, f"the range: {text}")
    name, text = bus_error(client.create_group, "disks", "nvme", {"colour": "red"})
    equal(name, "UnknownSetting", text)
    check("power-saving" in text, f"the settings that there are: {text}")
    group = client.create_group("disks", "nvme", {"max-namespaces": "3"})
    equal(int(client.get(group, "Group", "Settings")["max-namespaces"]), 3, "a number as text")


def pool(client, **options):
    group = client.create_group("disks", "nvme", **options)
    client.add_rule(group, [("serial", "eq", SERIAL)])
    wait_until(lambda: len(client.get(group, "Group", "Devices")) == 1, 10, "the rule to match")
    return group


def plan(service):
    """The steps in the module's own words, and nothing is changed; the plan agreed to is the one carried out."""
    client = service.start()
    pool(client)
    allocation, _ = client.allocate("vm", "disks")
    choices, steps, _, token = client.manager("Plan", "saoaa{sv}a{sv}", "activate", [allocation], [], {})
    equal(str(choices[0]["candidates"][0]["device"]), "nvme-0000-03-00-0", "its choice")
    sentences = [str(step["text"]) for step in steps]
    equal(sentences[-3:], [f"keep {NVME} from being switched off", f"bind {NVME} to vfio-pci",
                           f"give /dev/vfio/{iommu_group(NVME)} to user 0"], "its steps")
    equal(driver(NVME), "nvme", "nothing is changed")
    client.must(allocation, "Activate", plan=str(token))
    client.must(allocation, "Release")
    equal(driver(NVME), "nvme", NVME)


def life(service):
    """Allocate, activate with a step of the module's own, configure a guest, use, give back."""
    client = service.start()
    pool(client)
    equal(d3cold(), "1", "as found")
    allocation, job = client.allocate("vm", "disks", activate=True, node_uid=1001)
    equal(client.wait_job(job), ("done", "", ""), "activate")
    equal((driver(NVME), override(NVME)), ("vfio-pci", "vfio-pci"), NVME)
    equal(d3cold(), "0", "its own step")
    with Holder(NVME, 1001) as holder:
        equal(holder.process.poll(), None, "its consumer")
    check(f"host={NVME}" in client.guest_config(allocation, "qemu"), "QEMU's arguments")
    check("domain='0x0000' bus='0x03'" in client.guest_config(allocation, "libvirt").replace('"', "'"), "libvirt's XML")
    check(NVME in json.dumps(json.loads(client.guest_config(allocation, "json"))), "JSON")
    client = service.restart()
    equal(client.state(allocation), "active", "over a restart")
    client.must(allocation, "Release")
    equal((driver(NVME), override(NVME), d3cold()), ("nvme", None, "1"), "as found")
    # While it was not the host's its serial number could not be read; the rule that names it matches again.
    wait_until(lambda: str(client.get(DEVICE, "Device.Nvme", "Serial")) == SERIAL, 10, "the serial number")
    allocation, job = client.allocate("vm", "disks", activate=True)
    equal(client.wait_job(job), ("done", "", ""), "activate it again")
    client.must(allocation, "Release")


def consumers_settings(service):
    """What the group has as default and the consumer overrides."""
    client = service.start()
    pool(client)
    allocation, job = client.allocate("vm", [{"group": "disks", "settings": options(**{"power-saving": True})}], activate=True)
    equal(client.wait_job(job)[0], "done", "activate")
    equal(d3cold(), "1", "the consumer does not want the step")
    client.must(allocation, "Release")
    name, text = bus_error(client.allocate, "vm", [{"group": "disks", "settings": options(**{"max-namespaces": 1})}])
    check(name in ("UnknownSetting", "InvalidValue", "InvalidArgument"), f"a setting of the group alone: {name}: {text}")


def one_device_two_types(service):
    """It is a PCI function too. Who has it, has it: the other type is refused, and told who."""
    client = service.start()
    pool(client)
    client.pool("functions", NVME)
    for first, second in (("disks", "functions"), ("functions", "disks")):
        one, job = client.allocate("holder", first, activate=True)
        equal(client.wait_job(job)[0], "done", first)
        two, job = client.allocate("other", second, activate=True)
        result = client.wait_job(job)
        equal(result[:2], ("failed", "NoDeviceAvailable"), f"{second}: {result}")
        check("holder" in result[2], f"the holder is named: {result[2]}")
        client.must(one, "Release")
        client.must(two, "Activate")
        client.must(two, "Release")
    equal((driver(NVME), override(NVME)), ("nvme", None), NVME)


main([schema, properties, rules, settings, plan, life, consumers_settings, one_device_two_types])
