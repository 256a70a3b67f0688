#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""dbus/*.xml is what the running service offers: nothing more, nothing less, and everything described."""

import re

from harness import *

NIC = device_path('0000:02:00.0')
ROOT_HUB = f'{ROOT}/devices/usb_0000_00_14_0_0'
STANDARD = ('org.freedesktop.DBus.', )
# A member without the annotation is signalled with its value.
EMITS = 'org.freedesktop.DBus.Property.EmitsChangedSignal'


def members(interface):
    """{(kind, name): (signature…, annotations)}"""
    found = {}
    for element in interface:
        if not isinstance(element.tag, str):
            continue
        arguments = tuple(
            (a.get('name'), a.get('type'), a.get('direction') or ('in' if element.tag == 'method' else None))
            for a in element.findall('arg'))
        annotations = {a.get('name'): a.get('value') for a in element.findall('annotation')}
        if element.tag == 'property':
            annotations.setdefault(EMITS, 'true')
            arguments = (element.get('type'), element.get('access'))
        found[element.tag, element.get('name')] = arguments, annotations
    return found


def described():
    """{interface: members} of the files, and checks that each member has its comment."""
    interfaces = {}
    for path in sorted(glob.glob(f'{SOURCE}/dbus/*.xml')):
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
        interface = ElementTree.parse(path, parser).getroot().find('interface')
        name = interface.get('name')
        equal(os.path.basename(path), f'{name}.xml', 'file of an interface')
        interfaces[name] = members(interface)
        comment = ''
        for element in interface:
            if element.tag is ElementTree.Comment:
                comment = element.text
                continue
            check_comment(f'{name}.{element.get("name")}', element, comment)
            comment = ''
    return interfaces


def check_comment(member, element, comment):
    check(re.match(rf'\s*{element.get("name")}:\n', comment), f'{member} has no comment that begins with its name')
    text = re.sub(r'^\s*@[\w-]+:.*?(?=^\s*@|^\s*$)', '', comment, flags=re.MULTILINE | re.DOTALL)
    check(len(text.split()) > 2, f'{member} is not described')
    for argument in element.findall('arg'):
        check(re.search(rf'^\s*@{argument.get("name")}: \S', comment, re.MULTILINE),
              f'the argument {argument.get("name")} of {member} is not described')
    named = set(re.findall(r'^\s*@([\w-]+):', comment, re.MULTILINE))
    equal(named, {a.get('name') for a in element.findall('arg')}, f'arguments described of {member}')


@test()
def the_files_are_the_service():
    files = described()
    with Service() as service:
        root = service.root
        page, _cursor, _generation = root.Manager.ListDevices('sriov', [('role', 'eq', 'pf')], {'limit': 1})
        provider = page[0][0]
        group = root.Manager.CreateGroup('nics', 'pci', {}, {})
        rule, = root.Manager.MakeResource([NIC], 'nics', {})
        allocation, _job = root.Manager.Allocate('guest', [{'group': 'nics'}], {})
        job = root.Allocation(allocation).Activate({})
        paths = [ROOT, NIC, provider, ROOT_HUB, group, rule, allocation, job, f'{ROOT}/modules/pci']

        live = {}
        for path in paths:
            for interface in ElementTree.fromstring(root.introspect(path)).findall('interface'):
                if not interface.get('name').startswith(STANDARD):
                    live[interface.get('name')] = members(interface)
        root.wait_job(job)

        equal(sorted(live), sorted(files), 'interfaces')
        for name in files:
            equal(sorted(live[name]), sorted(files[name]), f'members of {name} in the service and in the file')
            for member in files[name]:
                equal(live[name][member], files[name][member], f'{name}.{member[1]} in the service and in the file')


@test()
def fields_of_a_type_say_what_the_module_says():
    """Device.Pci is built from the module's table, and Module.Fields shows that table."""
    with Service() as service:
        fields = service.root.Module(f'{ROOT}/modules/pci').Fields
        interface = ElementTree.fromstring(service.root.introspect(NIC)).find(f"interface[@name='{NAME}.Device.Pci']")
        properties = members(interface)
        camel = {''.join(w.capitalize() for w in f['name'].split('-')): f for f in fields}
        equal(sorted(name for _kind, name in properties), sorted(camel), 'fields')
        for (_kind, name), ((signature, access), annotations) in properties.items():
            equal((signature, access), (camel[name]['type'], 'read'), name)
            constant = 'constant' in camel[name]['flags'] and 'slow' not in camel[name]['flags']
            equal(annotations[EMITS], 'const' if constant else 'true', f'signals of {name}')


@test()
def every_object_is_in_the_tree():
    with Service() as service:
        root = service.root
        group = root.Manager.CreateGroup('nics', 'pci', {}, {})
        rule, = root.Manager.MakeResource([NIC], 'nics', {})
        allocation, _job = root.Manager.Allocate('guest', [{'group': 'nics'}], {})

        def children(path):
            return {n.get('name') for n in ElementTree.fromstring(root.introspect(path)).findall('node')}

        equal(children(ROOT), {'devices', 'groups', 'rules', 'allocations', 'jobs', 'modules'}, 'children of the root')
        for path in NIC, group, rule, allocation, f'{ROOT}/modules/pci':
            parent, _slash, name = path.rpartition('/')
            contains(children(parent), name, f'children of {parent}')
        seen = [child for child in children(f'{ROOT}/devices') if child.startswith('pci_')]
        equal(len(seen), len(os.listdir('/sys/bus/pci/devices')), 'number of devices')


@test()
def nothing_can_be_written():
    with Service() as service:
        for interface, path in (('Device', NIC), ('Manager', ROOT)):
            for name in service.root.get_all(path, f'{NAME}.{interface}'):
                with raises('org.freedesktop.DBus.Error.PropertyReadOnly', whole=True):
                    service.root.call(path, 'org.freedesktop.DBus.Properties', 'Set',
                                      GLib.Variant('(ssv)', (f'{NAME}.{interface}', name, GLib.Variant('s', 'x'))))


if __name__ == '__main__':
    main()
