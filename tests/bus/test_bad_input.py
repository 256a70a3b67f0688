#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever a client sends: a specific error, and the service goes on."""

from harness import *

NIC = '0000:02:00.0'
LONG = 'x' * (1 << 20)
UNKNOWN_METHOD = 'org.freedesktop.DBus.Error.UnknownMethod'
UNKNOWN_OBJECT = 'org.freedesktop.DBus.Error.UnknownObject'
INVALID_ARGS = 'org.freedesktop.DBus.Error.InvalidArgs'


@contextlib.contextmanager
def scene():
    """(service, root, group, rule, allocation), and a look afterwards whether everything is as it was."""
    with Service() as service:
        root = service.root
        rule, = root.Manager.MakeResource([device_path(NIC)], 'nics', {})
        group = root.Manager.GetGroup('nics')
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        before = root.Manager.Export({}), root.get_all(allocation, f'{NAME}.Allocation')
        yield service, root, group, rule, allocation
        equal((root.Manager.Export({}), root.get_all(allocation, f'{NAME}.Allocation')), before, 'what is there')
        equal(root.Manager.Readiness, 'ready', 'Readiness')


@test()
def unknown_things():
    with scene() as (_service, root, group, rule, allocation):
        with raises('UnknownDevice', 'nothing'):
            root.Manager.GetDevice('nothing')
        with raises('UnknownDevice'):
            root.Manager.GetDevice('0000:ff:00.0')
        with raises('UnknownGroup', 'nothing'):
            root.Manager.GetGroup('nothing')
        with raises('UnknownType'):
            root.Manager.ListDevices('gpu', [], {})
        with raises('UnknownType', 'pci'):
            root.Manager.CreateGroup('x', 'gpu', {}, {})
        with raises('UnknownSetting', 'require-reset'):
            root.Manager.CreateGroup('x', 'pci', {'require-rest': True}, {})
        with raises('UnknownOption', 'description'):
            root.Manager.CreateGroup('x', 'pci', {}, {'descripton': ''})
        with raises('UnknownField', 'vendor-id'):
            root.Group(group).AddRule('r', [('vendor_id', 'eq', '8086')], {})
        with raises('UnknownField'):
            root.Group(group).PreviewRule([('provider.slot', 'eq', '0')], {})
        with raises('UnknownOperator'):
            root.Group(group).AddRule('r', [('vendor-id', 'like', '8086')], {})
        with raises('UnknownOperator'):
            root.Group(group).AddRule('r', [('numa-node', 'begins', '1')], {})
        with raises('UnknownOption', 'action'):
            root.Group(group).AddRule('r', [('slot', 'eq', NIC)], {'acton': 'include'})
        with raises('UnknownOption'):
            root.Group(group).Update({'colour': 'red'}, {})
        with raises('UnknownOption'):
            root.Rule(rule).Update({'conditions': []}, {})
        with raises('UnknownGroup', 'nowhere'):
            root.Manager.Allocate('vm', [{'group': 'nowhere'}], {})
        with raises('UnknownOption', 'group'):
            root.Manager.Allocate('vm', [{'grop': 'nics'}], {})
        with raises('UnknownOption', 'activate'):
            root.Manager.Allocate('vm', [{'group': 'nics'}], {'activat': True})
        with raises('UnknownSetting'):
            root.Manager.Allocate('vm', [{'group': 'nics', 'settings': {'rombar': True}}], {})
        with raises('UnknownSetting', 'group'):
            root.Manager.Allocate('vm', [{'group': 'nics', 'settings': {'require-reset': True}}], {})
        with raises('UnknownFormat', 'libvirt'):
            root.Allocation(allocation).GuestConfig('vmware', {})
        with raises('InvalidValue', 'activate'):
            root.Manager.Plan('destroy', [], [{'group': 'nics'}], {})
        with raises('UnknownAllocation'):
            root.Manager.Plan('activate', [f'{ROOT}/allocations/11111111_2222_3333_4444_555555555555'], [], {})
        with raises('UnknownAllocation'):
            root.Manager.Plan('activate', [group], [], {})
        with raises('UnknownDevice'):
            root.Manager.MakeResource([f'{ROOT}/devices/pci_1'], 'nics', {})
        with raises('UnknownOption'):
            root.Manager.History({'user': 'me'})


@test()
def unknown_options_everywhere():
    """Every method that ends in options refuses those it does not know, before it does anything."""
    with scene() as (_service, root, group, rule, allocation):
        root.must(allocation, 'Activate')
        arguments = {
            'ListDevices': ('', []), 'CreateGroup': ('x', 'pci', {}), 'MakeResource': ([device_path('0000:08:00.0')], 'x'),
            'Plan': ('activate', [], [{'group': 'nics'}]), 'Manager.Allocate': ('vm', [{'group': 'nics'}]),
            'Apply': (root.Manager.Export({}),), 'AddRule': ('r', [('slot', 'eq', NIC)]), 'PreviewRule': ([],),
            'Group.Allocate': ('vm',), 'Group.Update': ({},), 'Rule.Update': ({},), 'Allocation.Update': ([{'group': 'nics'}],),
            'GuestConfig': ('qemu',), 'Hold': ('test',),
            'Quarantine': ('smells',),
        }
        paths = {'Manager': ROOT, 'Device': device_path(NIC), 'Group': group, 'Rule': rule, 'Allocation': allocation}
        job = root.start(allocation, f'{NAME}.Allocation', 'Activate', GLib.Variant('(a{sv})', ({},)))
        with contextlib.suppress(BusError):
            job.wait()
        seen = 0
        for word, path in paths.items():
            for member, signature in INTERFACES[f'{NAME}.{word}'].items():
                if not signature.endswith('a{sv}'):
                    continue
                seen += 1
                before = arguments.get(f'{word}.{member}', arguments.get(member, ()))
                with raises('UnknownOption', 'no-such-option'):
                    getattr(Proxy(root, path, f'{NAME}.{word}'), member)(*before, {'no-such-option': 1})
        check(seen > 20, f'only {seen} methods')
        root.must(allocation, 'Deactivate')


@test()
def values_of_the_wrong_type():
    with scene() as (_service, root, group, rule, allocation):
        for key, value in (('description', 1), ('enabled', 'perhaps'), ('enabled', 2), ('class', 'toaster'), ('choice', ['order']),
                           ('choice', 'random'), ('user-defined', 7), ('user-defined', ['require-reset']), ('tenant', {})):
            with raises('UnknownSetting' if value == ['colour'] else 'InvalidValue', 'class' if key == 'class' else ''):
                root.Manager.CreateGroup('x', 'pci', {}, {key: value})
        with raises('InvalidValue'):
            root.Manager.CreateGroup('x', 'pci', {'require-reset': 'sometimes'}, {})
        for where in (('numa-node', 'eq', 'one'), ('total-vfs', 'gt', '-1'), ('boot-vga', 'eq', 'perhaps'),
                      ('numa-node', '=', '99999999999')):
            with raises('InvalidValue', 'ondition 1'):
                root.Group(group).AddRule('r', [where], {})
        for key, value in (('count', 0), ('count', 65), ('count', -1), ('count', 1.5), ('count', 'many'), ('optional', 'x'),
                           ('companions', 'sell'), ('settings', 'none'), ('order', 1 << 40), ('name', True),
                           ('settings', {'rom-bar': 'some'}), ('group', 5)):
            with raises('InvalidValue'):
                root.Manager.Allocate('vm', [{'group': 'nics', key: value}], {})
        for key, value in (('uuid', 'x'), ('uuid', '11111111-2222-3333-4444-55555555555g'), ('lifetime', 'forever'),
                           ('owner-uid', -1), ('owner-uid', 'root'), ('thick', 'fat'), ('wait', 3.5)):
            with raises('InvalidValue'):
                root.Manager.Allocate('vm', [{'group': 'nics'}], {key: value})
        for key, value in (('limit', 1001), ('limit', -1), ('limit', 'x'), ('cursor', 1), ('fields', 3)):
            with raises('InvalidValue'):
                root.Manager.ListDevices('', [], {key: value})
        with raises('InvalidValue'):
            root.Manager.History({'limit': 10001})
        with raises('InvalidArgument'):
            root.Manager.ListDevices('', [('slot', 'eq', 'x')], {})
        with raises('InvalidArgument'):
            root.Manager.Allocate('vm', [], {})
        with raises('InvalidValue', 'id'):
            root.Manager.Allocate('vm', [{'group': 'nics', 'id': 'a'}, {'group': 'nics', 'id': 'a'}], {})
        with raises('InvalidValue'):
            root.Group(group).Update({'type': 'usb'}, {})
        with raises('InvalidValue'):
            root.Rule(rule).Update({'action': 'perhaps'}, {})
        with raises('InvalidValue'):
            root.Allocation(allocation).Deactivate({'force': 'hard'})


@test()
def values_that_dbus_allows_and_nobody_expects():
    """Types that no option has: nested, empty, with file descriptors. None of them is the service's mistake."""
    with scene() as (_service, root, group, _rule, _allocation):
        deep = GLib.Variant('s', 'x')
        for _ in range(30):
            deep = GLib.Variant('v', deep)
        strange = [deep, GLib.Variant('a{ss}', {'a': 'b'}), GLib.Variant('a{uv}', {1: GLib.Variant('s', 'x')}),
                   GLib.Variant('(ss)', ('a', 'b')), GLib.Variant('ay', b'bytes'), GLib.Variant('aai', [[1], []]),
                   GLib.Variant('h', 0), GLib.Variant('t', 2**64 - 1), GLib.Variant('x', -2**63), GLib.Variant('d', float('nan')),
                   GLib.Variant('d', float('inf')), GLib.Variant('g', 'a{sv}'), GLib.Variant('o', '/'), GLib.Variant('y', 200),
                   GLib.Variant('av', []), GLib.Variant('as', [])]
        for value in strange:
            for call in (lambda: root.Manager.CreateGroup('x', 'pci', {}, {'tenant': value}),
                         lambda: root.Manager.CreateGroup('x', 'pci', {'require-reset': value}, {}),
                         lambda: root.Manager.Allocate('vm', [{'group': 'nics', 'count': value}], {}),
                         lambda: root.Manager.ListDevices('', [], {'limit': value}),
                         lambda: root.Group(group).Update({'settings': value}, {}),
                         lambda: root.Manager.History({'since': value, 'no-such-key': 1})):
                if value.get_type_string() in ('o', 'g') and call.__code__.co_consts:
                    # These are texts to the service, and may be right where a text is.
                    continue
                try:
                    result = call()
                    check(value.get_type_string() in ('y', 'av', 'as'), f'{value} was taken: {result}')
                    if isinstance(result, str) and result.startswith(f'{ROOT}/groups/'):
                        root.Group(result).Remove({})
                except BusError as e:
                    check(e.ours and e.word in ('InvalidValue', 'InvalidArgument', 'UnknownOption', 'TooLarge', 'UnknownSetting'),
                          f'{value.print_(True)}: {e}')


@test()
def arguments_of_the_wrong_type():
    with scene() as (_service, root, group, _rule, allocation):
        for path, word, member, packed in (
                (ROOT, 'Manager', 'GetDevice', GLib.Variant('(i)', (1,))),
                (ROOT, 'Manager', 'GetDevice', None),
                (ROOT, 'Manager', 'ListDevices', GLib.Variant('(s)', ('pci',))),
                (ROOT, 'Manager', 'CreateGroup', GLib.Variant('(ssa{ss}a{sv})', ('x', 'pci', {}, {}))),
                (ROOT, 'Manager', 'Allocate', GLib.Variant('(sa{sv}a{sv})', ('x', {}, {}))),
                (group, 'Group', 'AddRule', GLib.Variant('(sa(ss)a{sv})', ('x', [], {}))),
                (allocation, 'Allocation', 'Activate', GLib.Variant('(a{sv}s)', ({}, 'more')))):
            with raises(INVALID_ARGS, whole=True):
                root.call(path, f'{NAME}.{word}', member, packed)
        with raises(UNKNOWN_METHOD, whole=True):
            root.call(ROOT, f'{NAME}.Manager', 'Explode')
        with raises(UNKNOWN_METHOD, whole=True):
            root.call(ROOT, f'{NAME}.Bomb', 'Explode')
        with raises('org.freedesktop.DBus.Error.UnknownProperty', whole=True):
            root.get(ROOT, f'{NAME}.Manager', 'Colour')


@test()
def paths_that_are_no_objects():
    with scene() as (_service, root, _group, _rule, _allocation):
        longest = f'{ROOT}/devices/' + 'a' * 5000
        for word, prefix in (('Device', 'devices'), ('Group', 'groups'), ('Rule', 'rules'), ('Allocation', 'allocations')):
            for element in ('nothing', '_', 'a__b', 'A', '-'.replace('-', '_'), 'x/y', '0' * 64, '_00', 'pci_0000_02_00_0_', 'ä'[:0] or 'z'):
                path = f'{ROOT}/{prefix}/{element}'
                with raises(UNKNOWN_OBJECT, whole=True):
                    root.get_all(path, f'{NAME}.{word}')
                member = 'Remove' if word in ('Group', 'Rule') else 'Explain'
                with raises(UNKNOWN_OBJECT, whole=True):
                    getattr(Proxy(root, path, f'{NAME}.{word}'), member)({})
        with raises(UNKNOWN_OBJECT, whole=True):
            root.get_all(longest, f'{NAME}.Device')
        for path in ('/', '/org', f'{ROOT}x', f'{ROOT}/devices', f'{ROOT}/jobs/1', f'{ROOT}/jobs/18446744073709551616'):
            try:
                root.call(path, f'{NAME}.Job', 'Cancel', GLib.Variant('(a{sv})', ({},)))
                raise AssertionError(f'{path} is an object')
            except BusError as e:
                contains((UNKNOWN_OBJECT, UNKNOWN_METHOD, 'org.freedesktop.DBus.Error.UnknownInterface'), e.name, path)
        # The right object by the wrong interface.
        for word, path in (('Group', device_path(NIC)), ('Device', f'{ROOT}/groups/nics')):
            try:
                root.call(path, f'{NAME}.{word}', 'Explain', GLib.Variant('(a{sv})', ({},)))
                raise AssertionError(f'{path} is a {word}')
            except BusError as e:
                check(e.name.startswith('org.freedesktop.DBus.Error.Unknown'), str(e))


@test()
def texts_empty_and_long():
    with scene() as (_service, root, group, rule, allocation):
        for text, word in (('', 'InvalidValue'), (LONG, 'TooLarge')):
            with raises(word):
                root.Manager.CreateGroup(text, 'pci', {}, {'id': 'x'})
            with raises(word):
                root.Group(group).AddRule(text, [('slot', 'eq', NIC)], {})
            with raises('InvalidArgument' if text == '' else word):
                root.Manager.Allocate(text, [{'group': 'nics'}], {})
            with raises(word):
                root.Group(group).Update({'name': text}, {})
            with raises('InvalidValue'):
                root.Manager.CreateGroup('x', 'pci', {}, {'id': text})
            with raises('UnknownOperator'):
                root.Group(group).AddRule('r', [('slot', text, NIC)], {})
            with raises('UnknownField'):
                root.Group(group).AddRule('r', [(text, 'eq', NIC)], {})
        for member, arguments in (('GetDevice', (LONG,)), ('GetGroup', (LONG,)), ('GetDevice', ('',)), ('GetGroup', ('',))):
            with raises('UnknownDevice' if member == 'GetDevice' else 'UnknownGroup') as seen:
                getattr(root.Manager, member)(*arguments)
            check(len(seen[0]) < 1000, f'{member} gives it all back')
        with raises('UnknownType'):
            root.Manager.ListDevices(LONG, [], {})
        with raises('UnknownType') as seen:
            root.Manager.CreateGroup('x', LONG[:200], {}, {})
        with raises('TooLarge'):
            root.Group(group).AddRule('r', [('name', 'contains', LONG)], {})
        with raises('TooLarge'):
            root.Group(group).Update({'description': LONG}, {})
        with raises('TooLarge'):
            root.Manager.Allocate('vm', [{'group': 'nics', 'description': LONG}], {})
        with raises('UnknownFormat') as seen:
            root.Allocation(allocation).GuestConfig(LONG, {})
        check(len(seen[0]) < 1000, 'GuestConfig gives it all back')
        with raises('UnknownOption') as seen:
            root.Rule(rule).Update({LONG: 1}, {})
        check(len(seen[0]) < 1000, 'Update gives it all back')
        with raises('InvalidArgument'):
            root.Manager.Apply(LONG, {})
        for text in ('two\nlines', 'tab\t', 'bell\a', '\x7f'):
            with raises('InvalidValue', 'control'):
                root.Manager.CreateGroup(text, 'pci', {}, {})
            with raises('InvalidValue'):
                root.Group(group).AddRule(text, [('slot', 'eq', NIC)], {})
            with raises('InvalidValue'):
                root.Manager.Allocate(text, [{'group': 'nics'}], {})
        # A name of other letters than those of an id is a fine name.
        for options, element in ({}, 'group'), ({'id': 'nihongo'}, 'nihongo'):
            path = root.Manager.CreateGroup('日本語', 'pci', {}, options)
            equal((path, root.Group(path).Name), (f'{ROOT}/groups/{element}', '日本語'), 'path and name')
            root.Group(path).Remove({})


@test()
def expressions_that_explode():
    with scene() as (service, root, group, _rule, _allocation):
        for pattern, word in (('(', 'InvalidRegex'), ('[a-', 'InvalidRegex'), ('(?<n>a)(?<n>b)\\', 'InvalidRegex'), ('*', 'InvalidRegex'),
                              ('a{99999}', 'InvalidRegex'), ('x' * 1025, 'TooLarge'), ('(' * 500 + ')' * 500, 'InvalidRegex')):
            with raises(word):
                root.Group(group).AddRule('r', [('name', '~', pattern)], {})
        begin = time.monotonic()
        bombs = [r'^(([a-zA-Z0-9 \[\]/.,_-])+)+!$', r'^(.*)*(.*)*(.*)*!$', r'(.+)+(.+)+(.+)+\x00', r'^((.|.)*)*\x01$',
                 r'(?R)?(?R)?x', r'^(?:.*?){1,200}!$']
        made, said = [], set()
        for pattern in bombs:
            try:
                said |= {f['code'] for f in root.Group(group).PreviewRule([('name', 'regex', pattern)], {})[3]}
                made.append(root.Group(group).AddRule('bomb', [('name', 'regex', pattern)], {}))
                root.Manager.ListDevices('pci', [('name', 'regex', pattern)], {})
            except BusError as e:
                contains(('InvalidRegex', 'RegexLimit'), e.word, str(e))
        check(time.monotonic() - begin < 5, f'{time.monotonic() - begin:.1f} s for {len(bombs)} expressions')
        contains(said, 'regex-limit', 'what a preview says of them')
        contains([f['code'] for f in root.Group(group).Explain({})], 'regex-limit', 'and the group that has them')
        equal(root.Group(group).Devices, [device_path(NIC)], 'members beside the bombs')
        # Whoever comes next is not held up.
        begin = time.monotonic()
        service.user('alice').Manager.Version
        check(time.monotonic() - begin < 1, 'the service is busy')
        for rule in made:
            root.Rule(rule).Remove({})


@test()
def too_much_of_a_good_thing():
    with scene() as (_service, root, group, _rule, allocation):
        many = [('slot', 'eq', NIC)] * 10000
        with raises('TooLarge', '64'):
            root.Group(group).AddRule('r', many, {})
        with raises('TooLarge', '64'):
            root.Group(group).PreviewRule(many, {})
        with raises('TooLarge', '64'):
            root.Manager.ListDevices('pci', many, {})
        with raises('TooLarge', '32'):
            root.Manager.Allocate('vm', [{'group': 'nics'}] * 33, {})
        with raises('TooLarge', '32'):
            root.Allocation(allocation).Update([{'group': 'nics'}] * 10000, {})
        with raises('UnknownOption'):
            root.Manager.CreateGroup('x', 'pci', {}, {f'key-{i}': i for i in range(10000)})
        with raises('InvalidArgument', 'twice'):
            root.Manager.MakeResource([device_path(NIC)] * 10000, 'nics', {})
        with raises('InvalidArgument'):
            root.Manager.Apply('[' * 100000, {})


@test()
def an_ordinary_user_can_do_no_more():
    """The same floods from somebody who may not do anything end before they cost anything."""
    with scene() as (service, root, group, _rule, _allocation):
        alice = service.user('alice')
        many = [('slot', 'eq', NIC)] * 10000
        with raises('org.freedesktop.DBus.Error.InteractiveAuthorizationRequired', whole=True):
            alice.Group(group).AddRule('r', many, {})
        with raises('TooLarge'):
            alice.Group(group).PreviewRule(many, {})
        with raises('TooLarge', '32'):
            alice.Manager.Allocate('vm', [{'group': 'nics'}] * 33, {})


if __name__ == '__main__':
    main()
