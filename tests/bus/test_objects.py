#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every object, property, method and signal, as a client sees them."""

import json

from harness import *

NIC, SPARE, GPU, GPU_AUDIO, PF = '0000:02:00.0', '0000:08:00.0', '0000:01:00.0', '0000:01:00.1', '0000:07:00.0'
BRIDGE = '0000:00:02.0'
PROPERTIES = 'org.freedesktop.DBus.Properties'


def types_of(client, path, interface):
    """{property: signature}"""
    reply = client.connection.call_sync(NAME, path, PROPERTIES, 'GetAll', GLib.Variant('(s)', (interface,)), None,
                                        Gio.DBusCallFlags.NO_AUTO_START, 5000, None)
    values = reply.get_child_value(0)
    return {values.get_child_value(i).get_child_value(0).get_string():
            values.get_child_value(i).get_child_value(1).get_variant().get_type_string()
            for i in range(values.n_children())}


def make_group(client, bdf=NIC, name='nics'):
    """(group, rule)"""
    rule, = client.Manager.MakeResource([device_path(bdf)], name, {})
    return client.Manager.GetGroup(name), rule


@test()
def properties_have_their_types_and_values():
    with Service() as service:
        root = service.root
        path = device_path(NIC)
        signatures = types_of(root, path, f'{NAME}.Device.Pci')
        for name, signature in (('VendorId', 's'), ('NumaNode', 'i'), ('TotalVfs', 'u'), ('BootVga', 'b'),
                                ('ResetMethods', 'as')):
            equal(signatures[name], signature, name)
        pci = root.get_all(path, f'{NAME}.Device.Pci')
        sysfs = f'/sys/bus/pci/devices/{NIC}'
        equal(pci['Slot'], NIC, 'Slot')
        equal('0x' + pci['VendorId'], read(f'{sysfs}/vendor'), 'VendorId')
        equal('0x' + pci['DeviceId'], read(f'{sysfs}/device'), 'DeviceId')
        equal('0x' + pci['ClassHex'], read(f'{sysfs}/class'), 'ClassHex')
        equal(pci['VendorDevice'], f'{pci["VendorId"]}:{pci["DeviceId"]}', 'VendorDevice')
        equal(pci['Driver'], driver_of(NIC), 'Driver')
        equal(pci['IommuGroup'], int(os.path.basename(os.readlink(f'{sysfs}/iommu_group'))), 'IommuGroup')
        equal(pci['NumaNode'], int(read(f'{sysfs}/numa_node')), 'NumaNode')
        equal(pci['Role'], 'device', 'Role')
        equal(root.get(device_path(PF), f'{NAME}.Device.Pci', 'TotalVfs'),
              int(read(f'/sys/bus/pci/devices/{PF}/sriov_totalvfs')), 'TotalVfs')

        device = root.get_all(path, f'{NAME}.Device')
        equal((device['Id'], device['Type'], device['State']), (device_id(NIC), 'pci', 'free'), 'device')
        equal((device['Allocation'], device['Groups'], device['Allocatable']), ('/', [], False), 'nobody has it')
        equal(device['VendorId'], pci['VendorId'], 'VendorId of both interfaces')
        equal(device['Companions'], [], 'Companions')
        equal(root.Device(device_path(GPU)).Companions, [device_path(GPU_AUDIO)], 'Companions of the GPU')
        equal(root.Device(device_path(BRIDGE)).State, 'forbidden', 'a bridge')
        contains(root.Device(device_path(BRIDGE)).Blockers, 'bridge', 'why')

        manager = root.get_all(ROOT, f'{NAME}.Manager')
        equal((manager['Readiness'], manager['Problems']), ('ready', []), 'manager')
        check({'pci', 'usb'} <= set(manager['Types']), 'types')
        equal(manager['Node'], os.uname().nodename, 'Node')
        module = root.get_all(f'{ROOT}/modules/pci', f'{NAME}.Module')
        equal((module['Name'], module['State'], module['Reason']), ('pci', 'loaded', ''), 'module')
        equal(module['Facts']['needs-iommu'], True, 'facts')
        equal({s['name']: s for s in module['GroupSettings']}['driver']['default'], 'auto', 'default of driver')
        equal([s['name'] for s in module['ConsumerSettings']], ['rom-bar'], 'consumer settings')


@test()
def slow_fields_come_by_a_signal():
    with Service() as service:
        root = service.root
        root.subscribe()
        path, interface = device_path(NIC), f'{NAME}.Device.Pci'
        equal(root.get(path, interface, 'Serial'), '', 'Serial before anybody asked')
        until(lambda: root.changes(path, interface).get('Serial') == 'A0369F000001', 'the serial number')
        equal(root.get(path, interface, 'Serial'), 'A0369F000001', 'Serial')
        equal(root.get(path, interface, 'PartNumber'), 'I210-T1', 'PartNumber')


@test()
def devices_are_found_and_listed():
    with Service() as service:
        root = service.root
        equal(root.Manager.GetDevice(NIC), device_path(NIC), 'by place')
        equal(root.Manager.GetDevice(device_id(NIC)), device_path(NIC), 'by id')

        n = len(os.listdir('/sys/bus/pci/devices'))
        page, cursor, generation = root.Manager.ListDevices('pci', [], {})
        equal((len(page), cursor), (n, ''), 'one page')
        equal(generation, root.Manager.Generation, 'generation')
        nic = dict(page)[device_path(NIC)]
        equal((nic['id'], nic['slot'], nic['state'], nic['driver']), (device_id(NIC), NIC, 'free', 'igb'), 'an entry')

        seen, cursor = [], ''
        while True:
            page, cursor, _generation = root.Manager.ListDevices('pci', [], {'limit': 5, 'cursor': cursor, 'fields': ['slot']})
            check(len(page) <= 5, 'a page that is too long')
            check(all(set(entry) == {'slot'} for _path, entry in page), 'fields that were not asked for')
            seen += [path for path, _entry in page]
            if cursor == '':
                break
        equal((len(seen), len(set(seen))), (n, n), 'devices of all pages')

        def find(*where, **more):
            return sorted(entry['slot'] for _path, entry in root.Manager.ListDevices('pci', list(where), more)[0])
        equal(find(('slot', 'eq', NIC)), [NIC], 'eq')
        equal(find(('class-hex', '^=', '03')), [GPU], '^=')
        equal(find(('class-hex', 'begins', '01'), ('numa-node', '>=', '1')), [SPARE], 'two conditions')
        equal(find(('name', 'icontains', 'NVIDIA')), [GPU, GPU_AUDIO], 'icontains')
        equal(find(('slot', 'regex', r'^0000:01:.*\.[01]$')), [GPU, GPU_AUDIO], 'regex')
        equal(find(('total-vfs', '>', '0')), [PF], 'number')
        make_group(root)
        equal(find(group='nics'), [NIC], 'of a group')
        equal(root.Manager.ListDevices('pci', [], {'group': 'nics', 'limit': GLib.Variant('t', 1),
                                                   'fields': 'slot,groups'})[0],
              [(device_path(NIC), {'slot': NIC, 'groups': ['nics']})], 'fields as one text, limit of another width')


@test()
def groups_live():
    with Service() as service:
        root = service.root
        root.subscribe()
        path = root.Manager.CreateGroup('GPU pool', 'pci', {'driver': 'vfio-pci', 'require-reset': True},
                                        {'description': 'für alle', 'class': 'gpu', 'choice': 'spread',
                                         'user-defined': ['rom-bar']})
        equal(path, f'{ROOT}/groups/gpu_pool', 'path from the name')
        equal(root.Manager.GetGroup('GPU pool'), path, 'by name')
        equal(root.Manager.GetGroup('gpu-pool'), path, 'by id')
        expected = {
            'Id': 'gpu-pool', 'Name': 'GPU pool', 'Type': 'pci', 'Description': 'für alle', 'Class': 'gpu', 'Enabled': True,
            'Settings': {'driver': 'vfio-pci', 'require-reset': True}, 'UserDefined': ['rom-bar'], 'Choice': 'spread',
            'Devices': [], 'Providers': [], 'Rules': [], 'Allocations': [],
            'Total': 0, 'Available': 0, 'Allocated': 0, 'Tenant': '', 'Notes': [],
        }
        equal(root.get_all(path, f'{NAME}.Group'), expected, 'properties')
        i = root.wait_signal('InterfacesAdded', where=lambda a: a[0] == path)
        equal(root.signals[i][3][1][f'{NAME}.Group'], expected, 'properties in the signal')

        root.Group(path).Update({'name': 'Cards', 'enabled': False, 'settings': {}}, {})
        root.flush()
        changed = root.changes(path)
        equal((changed['Name'], changed['Enabled'], changed['Settings']), ('Cards', False, {}), 'changes')
        contains([f['code'] for f in root.Group(path).Explain({})], 'disabled', 'findings')
        with raises('GroupExists'):
            root.Manager.CreateGroup('Cards', 'pci', {}, {})
        with raises('GroupExists'):
            root.Manager.CreateGroup('Others', 'pci', {}, {'id': 'gpu-pool'})
        other = root.Manager.CreateGroup('Others', 'pci', {}, {})
        with raises('GroupExists'):
            root.Group(other).Update({'name': 'Cards'}, {})
        root.Group(other).Update({'name': 'Others'}, {})

        root.Group(path).Remove({})
        root.wait_signal('InterfacesRemoved', where=lambda a: a[0] == path and f'{NAME}.Group' in a[1])
        with raises('UnknownGroup'):
            root.Manager.GetGroup('gpu-pool')
        with raises('org.freedesktop.DBus.Error.UnknownObject', whole=True):
            root.Group(path).Remove({})


@test()
def rules_make_members():
    with Service() as service:
        root = service.root
        root.subscribe()
        group = root.Manager.CreateGroup('cards', 'pci', {}, {})
        matched, near, claimed, findings = root.Group(group).PreviewRule([('class-hex', 'begins', '03'), ('slot', 'eq', NIC)], {})
        equal((claimed, findings), ([], []), 'nothing to know')
        equal(matched, [], 'nothing matches both')
        equal({(n['device'], n['field'], n['value'], n['is']) for n in near},
              {(device_id(GPU), 'slot', NIC, GPU), (device_id(NIC), 'class-hex', '03', '020000')}, 'near misses')

        rule = root.Group(group).AddRule('display', [('vendor-id', '=', '10de')], {})
        equal(root.Rule(rule).Where, [('vendor-id', 'eq', '10de')], 'operator as a word')
        equal(sorted(root.Rule(rule).Matched), [device_path(GPU), device_path(GPU_AUDIO)], 'Matched')
        equal((root.Rule(rule).State, root.Rule(rule).Group, root.Rule(rule).Origin), ('valid', group, 'manual'), 'rule')
        equal(sorted(root.Group(group).Devices), [device_path(GPU), device_path(GPU_AUDIO)], 'members')
        equal((root.Group(group).Total, root.Group(group).Available), (1, 1), 'bundles, not functions')
        root.flush()
        equal(sorted(root.changes(group)['Devices']), [device_path(GPU), device_path(GPU_AUDIO)], 'Devices in the signal')
        equal(root.changes(group)['Rules'], [rule], 'Rules in the signal')
        equal(root.changes(device_path(GPU))['Groups'], [group], 'Groups of the device in the signal')

        exclude = root.Group(group).AddRule('no audio', [('class-hex', 'begins', '04')], {'action': 'exclude'})
        equal(root.Group(group).Devices, [device_path(GPU)], 'members without what is excluded')
        root.Rule(exclude).Update({'enabled': 'no'}, {})
        equal(len(root.Group(group).Devices), 2, 'members with a disabled exclude rule')
        root.Rule(rule).Update({'where': [('slot', 'eq', NIC)], 'node-filter': 'elsewhere-*'}, {})
        equal(root.Group(group).Devices, [], 'members of a rule for another node')
        root.Rule(rule).Update({'node-filter': ''}, {})
        equal(root.Group(group).Devices, [device_path(NIC)], 'members')

        root.Rule(exclude).Remove({})
        root.wait_signal('InterfacesRemoved', where=lambda a: a[0] == exclude)
        equal(root.Group(group).Rules, [rule], 'rules')
        root.Group(group).Remove({})
        root.wait_signal('InterfacesRemoved', where=lambda a: a[0] == rule)
        root.flush()
        equal(root.changes(device_path(NIC))['Groups'], [], 'Groups of the device at the end')


@test()
def make_resource_takes_the_strongest_identity():
    with Service() as service:
        root = service.root
        until(lambda: root.get(device_path(SPARE), f'{NAME}.Device.Pci', 'Serial') != '', 'the slow fields')
        rules = root.Manager.MakeResource([device_path(SPARE), device_path(NIC)], 'New pool', {})
        equal(len(rules), 2, 'rules')
        group = root.Manager.GetGroup('New pool')
        equal(sorted(root.Group(group).Devices), sorted([device_path(SPARE), device_path(NIC)]), 'members')
        for rule, bdf in zip(rules, (SPARE, NIC)):
            properties = root.get_all(rule, f'{NAME}.Rule')
            equal((properties['Origin'], properties['Group']), ('auto', group), f'rule of {bdf}')
            equal(root.Rule(rule).Matched, [device_path(bdf)], f'devices of the rule of {bdf}')
            check(re.fullmatch(r'[a-z+-]+ \(\d+\)', properties['Strength']), properties['Strength'])
        root.Rule(rules[0]).Update({'where': [('slot', 'eq', SPARE)]}, {})
        equal(root.Rule(rules[0]).Origin, 'manual', 'origin of an edited rule')
        with raises('DeviceBlocked'):
            root.Manager.MakeResource([device_path(BRIDGE)], 'New pool', {})
        with raises('InvalidArgument'):
            root.Manager.MakeResource([], 'New pool', {})
        with raises('InvalidArgument', 'twice'):
            root.Manager.MakeResource([device_path(PF), device_path(PF)], 'New pool', {})
        equal(len(root.Group(group).Rules), 2, 'rules after what failed')


@test()
def an_allocation_lives():
    with Service() as service:
        root = service.root
        group, _rule = make_group(root)
        root.subscribe()

        choices, steps, findings, token = root.Manager.Plan('activate', [], [{'group': 'nics'}], {})
        equal([c['device'] for c in choices[0]['candidates'] if c['chosen']], [device_id(NIC)], 'choice')
        check(any(s['kind'] == 'set-driver' and s['device'] == device_id(NIC) and 'vfio-pci' in s['text'] for s in steps),
              f'no step binds: {steps}')
        check(len(token) > 8, 'no token')
        equal(driver_of(NIC), 'igb', 'a plan does nothing')

        allocation, job = root.Manager.Allocate('vm-7', [{'group': 'nics', 'name': 'lan'}], {})
        equal(job, '/', 'no job without activate')
        properties = root.get_all(allocation, f'{NAME}.Allocation')
        equal((properties['Consumer'], properties['OwnerUid'], properties['State'], properties['Lifetime']),
              ('vm-7', 0, 'claimed', 'persistent'), 'allocation')
        equal((properties['Devices'], properties['Migratable'], properties['RestartRequired']), ([], False, False), 'claimed')
        request = properties['Requests'][0]
        equal((request['id'], request['group'], request['count'], request['name'], request['devices']),
              ('1', 'nics', 1, 'lan', []), 'request')
        equal(root.Group(group).Allocations, [allocation], 'Allocations of the group')
        with raises('GroupInUse'):
            root.Group(group).Remove({})

        root.signals.clear()
        job = root.Allocation(allocation).Activate({'plan': token})
        equal(root.wait_job(job), ('done', '', ''), 'result')
        equal(driver_of(NIC), 'vfio-pci', 'driver')
        node = f'/dev/vfio/{root.Device(device_path(NIC)).IommuGroup}'
        equal(os.stat(node).st_uid, 0, 'owner of the node')
        device = root.get_all(device_path(NIC), f'{NAME}.Device')
        equal((device['State'], device['Allocation'], device['Driver'], device['Allocatable']),
              ('active', allocation, 'vfio-pci', False), 'device')
        contains(device['Blockers'], 'claimed', 'blockers')
        equal((root.Group(group).Total, root.Group(group).Available, root.Group(group).Allocated), (1, 0, 1), 'counts')
        equal(root.Allocation(allocation).Devices, [device_path(NIC)], 'Devices')

        root.flush()
        members = [(p, m) for p, _i, m, _a in root.signals]
        begin, end = members.index((ROOT, 'JobNew')), members.index((ROOT, 'JobRemoved'))
        equal(root.signals[end][3], (job, 'done', '', ''), 'JobRemoved')
        check(begin < end, 'JobRemoved came first')
        late = [(p, a[0], sorted(a[1])) for p, _i, m, a in root.signals[end + 1:] if m == 'PropertiesChanged' and p != job]
        equal(late, [], 'changes signalled after JobRemoved')
        equal(root.changes(allocation)['State'], 'active', 'State in the signal')
        equal(root.changes(device_path(NIC), f'{NAME}.Device')['State'], 'active', 'State of the device in the signal')
        equal((root.changes(group)['Available'], root.changes(group)['Allocated']), (0, 1), 'counts in the signal')
        equal(root.Job(job).State, 'done', 'the job stays for a while')
        equal(root.Job(job).Progress, 1.0, 'progress')

        text = root.Allocation(allocation).GuestConfig('qemu', {})
        contains(text, f'-device vfio-pci,host={NIC}', 'for QEMU')
        ElementTree.fromstring(f'<x>{root.Allocation(allocation).GuestConfig("libvirt", {})}</x>')
        document = json.loads(root.Allocation(allocation).GuestConfig('json', {}))
        equal((document['allocation'], document['consumer']), (root.Allocation(allocation).Id, 'vm-7'), 'as JSON')
        contains(root.Allocation(allocation).GuestConfig('env', {}), 'PASSTHROUGH_DEVICES=1', 'environment')

        root.must(allocation, 'Deactivate')
        equal((driver_of(NIC), root.Allocation(allocation).State), ('igb', 'claimed'), 'given back')
        with raises('WrongState'):
            root.Allocation(allocation).GuestConfig('qemu', {})
        with raises('WrongState'):
            root.Allocation(allocation).Deactivate({})
        root.must(allocation, 'Release')
        root.wait_signal('InterfacesRemoved', where=lambda a: a[0] == allocation)
        equal(root.Group(group).Allocations, [], 'Allocations of the group at the end')

        rows = root.Manager.History({})
        equal([(r['operation'], r['result'], r['consumer'], r['uid']) for r in rows if r['operation'] != 'allocate'],
              [('release', 'done', 'vm-7', 0), ('deactivate', 'WrongState', 'vm-7', 0), ('deactivate', 'done', 'vm-7', 0),
               ('activate', 'done', 'vm-7', 0), ('remove-group', 'GroupInUse', '', 0), ('make-resource', 'done', '', 0)],
              'history')
        equal([r['operation'] for r in root.Manager.History({'result': 'GroupInUse'})], ['remove-group'], 'by result')
        equal(len(root.Manager.History({'operation': 'activate', 'object': rows[0]['object']})), 1, 'by operation and object')
        equal(root.Manager.History({'until': rows[-1]['time']}), [], 'before all')
        made = [r for r in rows if r['operation'] == 'make-resource']
        equal([(r['object'], r['message'], r['devices']) for r in made],
              [('nics', 'group made, with nics-r1', [device_id(NIC)])], 'what was made, of which group')
        equal(len(root.Manager.History({'object': 'nics', 'operation': 'make-resource'})), 1, 'by the group')
        check(all(len(r['boot']) == 32 and len(r['run']) == 32 for r in rows), 'boot and run')
        equal({r['job'] != '' for r in rows if r['operation'] == 'release'}, {True}, 'the job of a release')
        equal(root.Manager.History({'consumer': 'somebody'}), [], 'filtered history')
        root.Group(group).Remove({})


@test()
def changes_of_one_turn_are_one_signal():
    with Service() as service:
        root = service.root
        make_group(root)
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        root.subscribe()
        root.must(allocation, 'Activate')
        root.flush()
        path = device_path(NIC)
        signals = [a for p, _i, m, a in root.signals if m == 'PropertiesChanged' and p == path and a[0] == f'{NAME}.Device']
        check(1 <= len(signals) <= 6, f'{len(signals)} signals of one device in one activation')
        for _interface, changed, invalidated in signals:
            equal(invalidated, [], 'properties without value')

        root.signals.clear()
        order('storm', 200, NIC)
        until(lambda: int(ask('uevents-sent')) >= 200, 'the storm')
        turn(0.3)
        root.flush()
        storm = [a for p, _i, m, a in root.signals if m == 'PropertiesChanged' and p == path]
        check(len(storm) < 100, f'{len(storm)} signals for 200 events')


@test()
def the_same_uuid_is_the_same_allocation():
    with Service() as service:
        root = service.root
        make_group(root)
        uuid = '11111111-2222-3333-4444-555555555555'
        path, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {'uuid': uuid})
        equal(path, f'{ROOT}/allocations/{uuid.replace("-", "_")}', 'path')
        again, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {'uuid': uuid.upper()})
        equal(again, path, 'the same wish')
        with raises('AllocationExists'):
            root.Manager.Allocate('vm', [{'group': 'nics', 'count': 2}], {'uuid': uuid})
        with raises('AllocationExists'):
            service.user('carol').Manager.Allocate('vm', [{'group': 'nics'}], {'uuid': uuid})
        equal(len(root.Group(root.Manager.GetGroup('nics')).Allocations), 1, 'allocations')


@test()
def requests_can_be_edited():
    with Service() as service:
        root = service.root
        make_group(root)
        make_group(root, SPARE, 'disks')
        group = root.Manager.GetGroup('nics')
        root.Group(group).Update({'user-defined': ['rom-bar']}, {})
        allocation, _job = root.Manager.Allocate('vm', [{'id': 'lan', 'group': 'nics'}], {})
        a = root.Allocation(allocation)
        a.Update([{'id': 'lan', 'group': 'nics'}, {'id': 'disk', 'group': 'disks', 'optional': True, 'order': -3}], {})
        equal([(r['id'], r['optional'], r['order']) for r in a.Requests], [('lan', False, 0), ('disk', True, -3)], 'requests')
        root.must(allocation, 'Activate')
        equal(sorted(a.Devices), sorted([device_path(NIC), device_path(SPARE)]), 'devices of both')
        with raises('WrongState'):
            a.Update([{'id': 'lan', 'group': 'nics'}], {})
        a.Update([{'id': 'lan', 'group': 'nics', 'settings': {'rom-bar': False}}, {'id': 'disk', 'group': 'disks'}], {})
        equal(a.RestartRequired, True, 'RestartRequired')
        contains([f['code'] for f in a.Explain({})], 'restart-required', 'findings')
        root.must(allocation, 'Deactivate')
        root.must(allocation, 'Activate')
        equal(a.RestartRequired, False, 'RestartRequired after a restart')
        contains(a.GuestConfig('qemu', {}), 'rombar=0', 'the setting acts')
        root.must(allocation, 'Release')


@test()
def documents_go_out_and_in():
    with Service() as service:
        root = service.root
        group, _rule = make_group(root)
        root.Manager.CreateGroup('empty', 'pci', {'require-reset': True}, {'description': 'nothing yet'})
        text = root.Manager.Export({})
        document = json.loads(text)
        equal((document['version'], [g['id'] for g in document['groups']], len(document['rules'])), (1, ['empty', 'nics'], 1),
              'document')
        equal(root.Manager.Apply(text, {}), [], 'changes of the same document')

        document['groups'][0].update(id='other', name='Other')
        document['groups'].sort(key=lambda g: g['id'])
        document['rules'][0]['name'] = 'renamed'
        new = json.dumps(document)
        expected = [('create', 'group', 'other'), ('remove', 'group', 'empty'), ('update', 'rule', document['rules'][0]['id'])]

        def changes(result):
            return sorted((c['action'], c['kind'], c['id']) for c in result)
        before = root.Manager.Export({})
        equal(changes(root.Manager.Apply(new, {'dry-run': True})), [e for e in expected if e[0] != 'remove'], 'without prune')
        equal(changes(root.Manager.Apply(new, {'dry-run': True, 'prune': True})), expected, 'dry run')
        equal(root.Manager.Export({}), before, 'a dry run does nothing')
        root.subscribe()
        result = root.Manager.Apply(new, {'prune': True})
        equal(changes(result), expected, 'changes')
        equal([(d['key'], d['to']) for c in result if c['kind'] == 'rule' for d in c['differences']], [('name', 'renamed')], 'diff')
        root.wait_signal('InterfacesAdded', where=lambda a: a[0] == f'{ROOT}/groups/other')
        root.wait_signal('InterfacesRemoved', where=lambda a: a[0] == f'{ROOT}/groups/empty')
        with raises('UnknownGroup'):
            root.Manager.GetGroup('empty')
        equal(root.Group(group).Devices, [device_path(NIC)], 'members that stay')
        equal(json.loads(root.Manager.Export({})), json.loads(new), 'what is there now')

        root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        with raises('GroupInUse'):
            root.Manager.Apply('{"version": 1, "groups": [], "rules": []}', {'prune': True})
        equal(root.Manager.Apply('{"version": 1, "groups": [], "rules": []}', {}), [], 'what is not named stays')
        with raises('UnknownOption', "/groups/0/choise (line 1, column"):
            root.Manager.Apply(new.replace('"choice"', '"choise"', 1), {})
        with raises('UnknownOption', "did you mean 'choice'?"):
            root.Manager.Apply(new.replace('"choice"', '"choise"', 1), {})
        with raises('UnknownOption', "/rulse (line 1, column"):
            root.Manager.Apply(new.replace('"rules"', '"rulse"', 1), {})
        for bad, word in (('', 'InvalidArgument'), ('[]', 'InvalidArgument'), ('{}', 'InvalidArgument'), ('{"version": 2, "groups": [],'
                          '"rules": []}', 'InvalidValue'), (new.replace('"choice"', '"choise"', 1), 'UnknownOption'),
                          (new.replace('"group": "nics"', '"group": "none"'), 'UnknownGroup'),
                          (new.replace('"name": "Other"', '"name": "nics"'), 'GroupExists')):
            with raises(word):
                root.Manager.Apply(bad, {})
        equal(json.loads(root.Manager.Export({})), json.loads(new), 'what is there after what failed')


@test()
def what_was_set_survives_a_restart():
    with Service() as service:
        root = service.root
        group, rule = make_group(root)
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        root.must(allocation, 'Activate')
        before = {path: root.get_all(path, f'{NAME}.{word}')
                  for path, word in ((group, 'Group'), (rule, 'Rule'), (allocation, 'Allocation'))}
        for number in signal.SIGTERM, signal.SIGKILL:
            service.restart(number)
            for path, word in ((rule, 'Rule'), (allocation, 'Allocation')):
                equal(root.get_all(path, f'{NAME}.{word}'), before[path], f'{word} after a restart by {number.name}')
            # Its rule names the serial number, which a worker has to read again.
            until(lambda: root.get_all(group, f'{NAME}.Group') == before[group], f'Group after a restart by {number.name}')
            equal(driver_of(NIC), 'vfio-pci', 'driver after a restart')
        root.must(allocation, 'Release')
        equal(driver_of(NIC), 'igb', 'driver at the end')


@test()
def object_manager_shows_everything():
    with Service() as service:
        root = service.root
        group, rule = make_group(root)
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        objects = root.managed_objects()
        for path, words in ((device_path(NIC), ('Device', 'Device.Pci')), (group, ('Group',)), (rule, ('Rule',)),
                            (allocation, ('Allocation',)), (f'{ROOT}/modules/pci', ('Module',))):
            for word in words:
                contains(objects[path], f'{NAME}.{word}', f'interfaces of {path}')
                listed, asked = objects[path][f'{NAME}.{word}'], root.get_all(path, f'{NAME}.{word}')
                equal({k: asked[k] for k in listed}, listed, f'{word} in GetManagedObjects')
                equal(set(asked), set(listed), f'properties of {word}')
        check('Matched' not in objects[rule][f'{NAME}.Rule'], 'Rule.Matched is found out for everybody who lists rules')
        equal(sum(f'{NAME}.Device.Pci' in o for o in objects.values()), len(os.listdir('/sys/bus/pci/devices')), 'devices')


@test()
def devices_come_and_go():
    with Service() as service:
        root = service.root
        group, _rule = make_group(root, SPARE, 'disks')
        path = device_path(SPARE)
        generation = root.Manager.Generation
        root.subscribe()
        order('unplug', SPARE)
        i = root.wait_signal('InterfacesRemoved', where=lambda a: a[0] == path)
        contains(root.signals[i][3][1], f'{NAME}.Device', 'interfaces removed')
        contains(root.signals[i][3][1], f'{NAME}.Device.Pci', 'interfaces removed')
        with raises('UnknownDevice'):
            root.Manager.GetDevice(SPARE)
        with raises('org.freedesktop.DBus.Error.UnknownObject', whole=True):
            root.get_all(path, f'{NAME}.Device')
        equal((root.Group(group).Devices, root.Group(group).Total), ([], 0), 'members')
        check(root.Manager.Generation > generation, 'the generation stays')

        root.signals.clear()
        order('plug', SPARE)
        i = root.wait_signal('InterfacesAdded', where=lambda a: a[0] == path)
        interfaces = root.signals[i][3][1]
        equal(interfaces[f'{NAME}.Device']['State'], 'free', 'State in the signal')
        equal(interfaces[f'{NAME}.Device.Pci']['Slot'], SPARE, 'Slot in the signal')
        until(lambda: root.Group(group).Devices == [path], 'membership')
        root.flush()
        equal(root.changes(group)['Devices'], [path], 'Devices in the signal')


@test()
def a_device_that_vanishes_is_said_to_be_lost():
    with Service() as service:
        root = service.root
        make_group(root, SPARE, 'disks')
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'disks'}], {})
        root.must(allocation, 'Activate')
        root.subscribe()
        order('unplug', SPARE)
        i = root.wait_signal('DeviceLost', path=allocation)
        equal(root.signals[i][3], (device_path(SPARE), 'unplugged'), 'DeviceLost')
        equal(root.Allocation(allocation).State, 'lost', 'State')
        contains([f['code'] for f in root.Allocation(allocation).Explain({})], 'device-lost', 'findings')
        order('plug', SPARE)
        until(lambda: root.managed_objects().get(device_path(SPARE), {}).get(f'{NAME}.Device', {}).get('State') not in (None, 'gone'),
              'the device')
        root.must(allocation, 'Deactivate')
        root.must(allocation, 'Activate')
        equal(root.Allocation(allocation).State, 'active', 'State at the end')
        root.must(allocation, 'Release')


@test()
def jobs_can_be_watched_and_cancelled():
    with Service() as service:
        root = service.root
        make_group(root)
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        order('delay', 'unbind', 1500000, NIC)
        job = root.Allocation(allocation).Activate({})
        until(lambda: root.Job(job).Step != '', 'a step')
        properties = root.get_all(job, f'{NAME}.Job')
        equal((properties['Operation'], properties['State'], properties['Objects'], properties['Result'], properties['Error']),
              ('activate', 'running', [allocation], '', ''), 'a job that runs')
        equal(root.Allocation(allocation).Activate({}), job, 'the same wish is the same job')
        with raises('WrongState', 'under way'):
            root.Allocation(allocation).Deactivate({})
        with raises('WrongState', 'under way'):
            root.Allocation(allocation).Update([{'group': 'nics'}], {})
        waiting = root.start(job, f'{NAME}.Job', 'Wait', GLib.Variant('(a{sv})', ({},)))
        root.Job(job).Cancel({})
        result, error, message = waiting.wait()
        equal((result, error), ('cancelled', 'Cancelled'), f'result ({message})')
        equal((driver_of(NIC), root.Allocation(allocation).State), ('igb', 'claimed'), 'what is left')
        equal(root.Job(job).Wait({}), (result, error, message), 'Wait when it is over')
        with raises('WrongState'):
            root.Job(job).Cancel({})

        order('delay', 'unbind', 0, NIC)
        order('fail', 'unbind', NIC, 'EIO')
        job = root.Allocation(allocation).Activate({})
        result, error, message = root.wait_job(job)
        equal((result, error), ('failed', 'DeviceBusy'), f'result ({message})')
        contains(message, NIC, 'the message names the device')
        check('Input/output error' in message or 'EIO' in message, f'what the kernel said is missing: {message}')
        equal((root.Job(job).Error, root.Job(job).ErrorMessage), (error, message), 'properties')
        equal((driver_of(NIC), root.Allocation(allocation).State), ('igb', 'claimed'), 'what is left')
        contains([f['code'] for f in root.Allocation(allocation).Explain({})], 'last-failure', 'findings')


@test()
def who_waits_gets_the_device():
    with Service() as service:
        root = service.root
        make_group(root)
        first, _job = root.Manager.Allocate('first', [{'group': 'nics'}], {})
        root.must(first, 'Activate')
        second, _job = root.Manager.Allocate('second', [{'group': 'nics'}], {})
        result, error, message = root.run(second, 'Activate')
        equal((result, error), ('failed', 'NoDeviceAvailable'), message)
        third, job = root.Manager.Allocate('third', [{'group': 'nics'}], {'wait': True, 'activate': True})
        until(lambda: root.Allocation(third).State == 'waiting', 'waiting')
        fourth, other = root.Manager.Allocate('fourth', [{'group': 'nics'}], {'wait': True, 'activate': True})
        root.Job(other).Cancel({})
        equal(root.wait_job(other)[0], 'cancelled', 'a job that waits is cancelled')
        equal(root.Allocation(fourth).State, 'claimed', 'State')
        root.must(first, 'Release')
        equal(root.wait_job(job), ('done', '', ''), 'the waiting one')
        equal(root.Allocation(third).Devices, [device_path(NIC)], 'its device')


@test()
def thick_allocations_reserve():
    with Service() as service:
        root = service.root
        make_group(root)
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {'thick': True})
        equal(root.Allocation(allocation).Devices, [device_path(NIC)], 'Devices')
        equal((root.Device(device_path(NIC)).State, driver_of(NIC)), ('claimed', 'igb'), 'reserved, not touched')
        with raises('NoDeviceAvailable'):
            root.Manager.Allocate('other', [{'group': 'nics'}], {'thick': True})
        root.must(allocation, 'Activate')
        root.must(allocation, 'Deactivate')
        equal(root.Device(device_path(NIC)).State, 'claimed', 'still reserved')
        service.restart()
        equal(root.Device(device_path(NIC)).State, 'claimed', 'reserved after a restart')
        root.must(allocation, 'Release')
        equal(root.Device(device_path(NIC)).State, 'free', 'free')


@test()
def a_stale_plan_is_refused():
    with Service() as service:
        root = service.root
        make_group(root)
        make_group(root, SPARE, 'disks')
        root.Group(root.Manager.GetGroup('nics')).AddRule('also', [('slot', 'eq', SPARE)], {})
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        token = root.Manager.Plan('activate', [allocation], [], {})[3]
        other, _job = root.Manager.Allocate('other', [{'group': 'nics'}], {'thick': True})
        taken = root.Allocation(other).Devices
        result, error, message = root.run(allocation, 'Activate', {'plan': token})
        equal((result, error), ('failed', 'PlanChanged'), f'while {taken} went')
        contains(message, NIC, 'what was chosen')
        contains(message, SPARE, 'what would be now')
        equal((driver_of(NIC), driver_of(SPARE)), ('igb', 'nvme'), 'nothing was done')


@test()
def devices_are_explained_and_reset():
    with Service() as service:
        root = service.root
        findings = root.Device(device_path(BRIDGE)).Explain({})
        equal((findings[0]['severity'], findings[0]['code']), ('blocker', 'bridge'), 'first finding')
        codes = [f['code'] for f in root.Device(device_path(NIC)).Explain({})]
        contains(codes, 'no-group', 'findings')
        for finding in findings:
            check({'severity', 'code', 'text', 'topic'} <= set(finding), f'keys of {finding}')
        with raises('DeviceBusy'):
            root.Device(device_path(NIC)).Reset({})
        with raises('DeviceBlocked'):
            root.Device(device_path(BRIDGE)).Reset({})
        with raises('WrongState'):
            root.Device(device_path(NIC)).ClearQuarantine({})
        write(f'/sys/bus/pci/devices/{NIC}/driver/unbind', NIC)
        until(lambda: root.Device(device_path(NIC)).Driver == '', 'no driver')
        job = root.Device(device_path(NIC)).Reset({})
        equal((root.Job(job).Operation, root.Job(job).Objects), ('reset', [device_path(NIC)]), 'job')
        equal(root.wait_job(job), ('done', '', ''), 'reset')


@test(host=3000)
def many_devices():
    """Beyond 2,000 one message would be too much for everybody to ask for."""
    with Service() as service:
        root = service.root
        for _ in range(3):
            with raises('TooManyObjects', 'ListDevices'):
                root.managed_objects()
        seen, cursor = set(), ''
        while True:
            page, cursor, _generation = root.Manager.ListDevices('pci', [], {'limit': 1000, 'cursor': cursor})
            seen |= {path for path, _entry in page}
            if not cursor:
                break
        equal(len(seen), len(os.listdir('/sys/bus/pci/devices')), 'devices')
        some = sorted(seen)[1500]
        equal(root.get(some, f'{NAME}.Device', 'Type'), 'pci', 'a device far behind')
        with raises('TooManyObjects'):
            root.introspect(f'{ROOT}/devices')
        root.introspect(some)


@test()
def a_refused_module_is_an_object():
    directory = f'{RUN}/modules'
    os.makedirs(directory)
    for module in glob.glob(f'{options_of().modules}/pci/*.so'):
        shutil.copy(module, directory)
    write(f'{directory}/broken.so', 'this is no ELF file')
    with Service(modules=directory) as service:
        module = service.root.get_all(f'{ROOT}/modules/broken', f'{NAME}.Module')
        equal((module['State'], module['Version'], module['Fields']), ('refused', '', []), 'module')
        check(len(module['Reason']) > 10, f'no reason: {module["Reason"]}')
        check('pci' in service.root.Manager.Types and 'broken' not in service.root.Manager.Types, 'types')
        with raises('ModuleMissing'):
            service.root.Manager.CreateGroup('x', 'broken', {}, {})


def options_of():
    import harness
    return harness.options


@test()
def bad_configuration_is_a_problem_not_an_end():
    with Service(configuration='[Service]\nWorkers=many\nWrokers=3\n[Nonsense]\nx=1\n') as service:
        problems = service.root.Manager.Problems
        equal(len(problems), 3, f'problems {problems}')
        contains(problems[0], 'passthroughd.conf:', 'file and line')
        equal(service.root.Manager.Readiness, 'ready', 'Readiness')


if __name__ == '__main__':
    main()
