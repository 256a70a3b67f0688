#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what, with a real polkit: denied, allowed by rules that look at details, asked, absent, hung, and gone."""

from harness import *

NIC, SPARE, GPU = '0000:02:00.0', '0000:08:00.0', '0000:01:00.0'
ASK = 'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired'
POLKIT = 'org.freedesktop.PolicyKit1'
AUTHORITY = '/org/freedesktop/PolicyKit1/Authority'

ALLOW_ALL = 'polkit.addRule(function (action, subject) { if (action.id.startsWith("org.passthroughd1.")) return polkit.Result.YES; });'
DENY_ALL = 'polkit.addRule(function (action, subject) { if (action.id.startsWith("org.passthroughd1.")) return polkit.Result.NO; });'


@contextlib.contextmanager
def scene(**keywords):
    """(service, nics, disks): two groups of one device each."""
    with Service(**keywords) as service:
        for bdf, name in ((NIC, 'nics'), (SPARE, 'disks')):
            service.root.Manager.MakeResource([device_path(bdf)], name, {})
        yield service, service.root.Manager.GetGroup('nics'), service.root.Manager.GetGroup('disks')


def everything_that_changes(service, nics):
    """[(what, call of a client)] for what needs a right, on the caller's own or nobody's things."""
    root = service.root
    rule = root.Group(nics).Rules[0]
    return [
        ('CreateGroup', lambda c: c.Manager.CreateGroup('x', 'pci', {}, {})),
        ('MakeResource', lambda c: c.Manager.MakeResource([device_path(GPU)], 'gpus', {})),
        ('Allocate', lambda c: c.Manager.Allocate('vm', [{'group': 'disks'}], {})),
        ('Group.Allocate', lambda c: c.Group(f'{ROOT}/groups/disks').Allocate('vm', {})),
        ('Apply', lambda c: c.Manager.Apply('{"version": 1, "groups": [], "rules": []}', {})),
        ('Apply dry', lambda c: c.Manager.Apply('{"version": 1, "groups": [], "rules": []}', {'dry-run': True})),
        ('Rescan', lambda c: c.Manager.Rescan({})),
        ('AddRule', lambda c: c.Group(nics).AddRule('r', [('slot', 'eq', GPU)], {})),
        ('Group.Update', lambda c: c.Group(nics).Update({'enabled': False}, {})),
        ('Group.Remove', lambda c: c.Group(nics).Remove({})),
        ('Rule.Update', lambda c: c.Rule(rule).Update({'enabled': False}, {})),
        ('Rule.Remove', lambda c: c.Rule(rule).Remove({})),
        ('Reset', lambda c: c.Device(device_path(NIC)).Reset({})),
        ('Quarantine', lambda c: c.Device(device_path(NIC)).Quarantine('smells', {})),
        ('ClearQuarantine', lambda c: c.Device(device_path(NIC)).ClearQuarantine({})),
    ]


@test()
def reads_need_no_authorisation():
    with scene(polkit=False) as (service, nics, _disks):
        alice = service.user('alice')
        allocation, _job = service.root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        job = service.root.Allocation(allocation).Activate({})
        service.root.wait_job(job)
        for path, word in ((ROOT, 'Manager'), (device_path(NIC), 'Device'), (device_path(NIC), 'Device.Pci'), (nics, 'Group'),
                           (service.root.Group(nics).Rules[0], 'Rule'), (allocation, 'Allocation'), (job, 'Job'),
                           (f'{ROOT}/modules/pci', 'Module')):
            equal(alice.get_all(path, f'{NAME}.{word}'), service.root.get_all(path, f'{NAME}.{word}'), word)
        equal(alice.Manager.ListDevices('', [], {})[0], service.root.Manager.ListDevices('', [], {})[0], 'ListDevices')
        equal(alice.managed_objects(), service.root.managed_objects(), 'GetManagedObjects')
        equal(alice.Manager.Export({}), service.root.Manager.Export({}), 'Export')
        alice.Manager.Plan('activate', [], [{'group': 'disks'}], {})
        alice.Group(nics).PreviewRule([], {})
        alice.Device(device_path(NIC)).Explain({})
        alice.Group(nics).Explain({})
        alice.Allocation(allocation).Explain({})
        equal(alice.wait_job(job)[0], 'done', 'Wait')
        alice.subscribe()
        service.root.must(allocation, 'Release')
        alice.wait_signal('JobRemoved')


@test()
def ordinary_users_are_asked_or_refused():
    with scene(rules='') as (service, nics, _disks):
        alice = service.user('alice')
        before = service.root.Manager.Export({})
        for what, call in everything_that_changes(service, nics):
            with raises(ASK, what and 'org.passthroughd1.', whole=True):
                call(alice)
        service.set_rules(DENY_ALL)
        time.sleep(1)       # polkit looks at its rules a moment later
        for what, call in everything_that_changes(service, nics):
            with raises('NotAuthorized', str(USERS['alice'])):
                call(alice)
        equal(service.root.Manager.Export({}), before, 'groups and rules')
        equal(service.root.Group(nics).Allocations, [], 'allocations')
        check(service.log().count('was refused to user 61001') >= 2 * len(everything_that_changes(service, nics)),
              'refusals are not logged')


@test()
def rules_look_at_the_group():
    """carol, of the group vm-users, may take devices of "nics" and of nothing else; alice of nothing."""
    with scene() as (service, nics, _disks):
        alice, carol = service.user('alice'), service.user('carol')
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}], {})
        equal(carol.Allocation(allocation).OwnerUid, USERS['carol'], 'OwnerUid')
        with raises(ASK, whole=True):
            carol.Manager.Allocate('guest', [{'group': 'disks'}], {})
        with raises(ASK, whole=True):
            carol.Manager.Allocate('guest', [{'group': 'nics'}, {'group': 'disks'}], {})
        with raises(ASK, whole=True):
            carol.Allocation(allocation).Update([{'group': 'disks'}], {})
        with raises(ASK, whole=True):
            carol.Group(f'{ROOT}/groups/disks').Allocate('guest', {})
        with raises(ASK, whole=True):
            carol.Group(nics).Update({'enabled': False}, {})
        with raises(ASK, whole=True):
            alice.Manager.Allocate('guest', [{'group': 'nics'}], {})
        equal(len(service.root.Group(nics).Allocations), 1, 'allocations')

        carol.must(allocation, 'Activate')
        equal((driver_of(NIC), driver_of(SPARE)), ('vfio-pci', 'nvme'), 'drivers')
        node = f'/dev/vfio/{carol.Device(device_path(NIC)).IommuGroup}'
        equal((os.stat(node).st_uid, os.stat(node).st_mode & 0o777), (USERS['carol'], 0o600), 'owner of the node')
        carol.Allocation(allocation).GuestConfig('qemu', {})
        carol.Allocation(allocation).Update([{'group': 'nics', 'description': 'mine'}], {})
        carol.must(allocation, 'Deactivate')
        equal(os.path.exists(node), False, 'the node')
        carol.must(allocation, 'Release')
        equal(driver_of(NIC), 'igb', 'driver at the end')

        # The name of a group leads to its id, which is what rules look at.
        service.root.Group(nics).Update({'name': 'disks of old'}, {})
        carol.Manager.Allocate('guest', [{'group': 'disks of old'}], {})
        service.root.Group(nics).Update({'name': 'x'}, {})
        service.root.Group(f'{ROOT}/groups/disks').Update({'name': 'renamed'}, {})
        service.root.Manager.CreateGroup('nics 2', 'pci', {}, {'id': 'nics-2'})
        with raises(ASK, whole=True):
            carol.Manager.Allocate('guest', [{'group': 'renamed'}], {})


@test()
def rights_to_manage_are_those_of_the_group():
    """The group that a rule sees is the one that is changed, whichever way it was named."""
    rules = '''polkit.addRule(function (action, subject) {
        if (action.id == "org.passthroughd1.manage-groups" && action.lookup("group") == "mine") return polkit.Result.YES; });'''
    with scene(rules=rules) as (service, nics, _disks):
        alice = service.user('alice')
        mine = alice.Manager.CreateGroup('mine', 'pci', {}, {})
        alice.Group(mine).Update({'name': 'my group'}, {})
        rule = alice.Group(mine).AddRule('r', [('slot', 'eq', GPU)], {})
        alice.Rule(rule).Update({'enabled': False}, {})
        alice.Manager.MakeResource([device_path(GPU)], 'my group', {})
        service.root.Group(nics).Update({'name': 'mine'}, {})
        with raises(ASK, whole=True):
            alice.Group(nics).Update({'enabled': False}, {})
        # "mine" is an id before it is a name.
        alice.Manager.MakeResource([device_path('0000:07:00.0')], 'mine', {})
        equal(len(service.root.Group(mine).Rules), 3, 'rules of the own group')
        alice.Group(mine).Remove({})
        # Now it is the name of somebody else's group.
        with raises(ASK, whole=True):
            alice.Manager.MakeResource([device_path(GPU)], 'mine', {})
        with raises(ASK, whole=True):
            alice.Manager.CreateGroup('mine', 'pci', {}, {'id': 'other'})
        with raises('GroupExists'):
            alice.Manager.CreateGroup('mine', 'pci', {}, {})
        equal(len(service.root.Group(nics).Rules), 1, 'rules of the other group')


@test()
def owners_act_and_others_do_not():
    with scene() as (service, _nics, _disks):
        carol, alice, root = service.user('carol'), service.user('alice'), service.root
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}], {'lifetime': 'hold'})

        def others():
            return [lambda: alice.Allocation(allocation).Activate({}), lambda: alice.Allocation(allocation).Deactivate({}),
                    lambda: alice.Allocation(allocation).Release({}), lambda: alice.Allocation(allocation).Update([{'group': 'nics'}], {}),
                    lambda: alice.Allocation(allocation).GuestConfig('qemu', {}), lambda: alice.Allocation(allocation).Hold('x', {}),
                    lambda: alice.Allocation(allocation).Release({'force': True})]
        for call in others():
            with raises(ASK, whole=True):
                call()
        equal(root.Allocation(allocation).State, 'claimed', 'State')
        carol.must(allocation, 'Activate')
        for call in others():
            with raises(ASK, whole=True):
                call()
        equal(root.Allocation(allocation).State, 'active', 'State')

        # A job is its starter's.
        order('delay', 'unbind', 800000, NIC)
        job = carol.Allocation(allocation).Deactivate({})
        with raises(ASK, whole=True):
            alice.Job(job).Cancel({})
        carol.wait_job(job)

        # A connection is as good as its user, whoever else the owner may be.
        service.user('carol').must(allocation, 'Activate')
        root.must(allocation, 'Deactivate')

        # The history is everybody's own, and that of one's allocations whoever did it.
        equal({(r['uid'], r['object']) for r in carol.Manager.History({}) if r['uid'] == 0}, {(0, allocation.rsplit('/')[-1].replace('_', '-'))},
              'rows of others that carol sees')
        equal(alice.Manager.History({}), [], 'rows of alice: who has to be asked for a password was not refused yet')
        equal(alice.Manager.History({'uid': USERS['carol']}), [], 'rows of another')
        with raises(ASK, 'allocate-any', whole=True):
            alice.Manager.History({'all': True})
        equal({r['uid'] for r in root.Manager.History({})}, {0, USERS['carol']}, 'rows of all')


@test()
def naming_others_needs_a_right():
    with scene() as (service, _nics, _disks):
        carol = service.user('carol')
        # Groups come without a proof of the kernel, so that even one's own needs the right.
        for key, value in (('owner-uid', 0), ('owner-uid', USERS['alice']), ('node-uid', 0), ('node-uid', str(USERS['alice'])),
                           ('node-gid', 0), ('node-gid', USERS['carol'])):
            with raises(ASK, 'allocate-any', whole=True):
                carol.Manager.Allocate('guest', [{'group': 'nics'}], {key: value})
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}],
                                                  {'owner-uid': USERS['carol'], 'node-uid': float(USERS['carol'])})
        equal(carol.Allocation(allocation).OwnerUid, USERS['carol'], 'OwnerUid')
        carol.must(allocation, 'Release')

        service.set_rules(POLKIT_RULES + '''polkit.addRule(function (action, subject) {
            if (action.id == "org.passthroughd1.allocate-any" && subject.user == "carol") return polkit.Result.YES; });''')
        time.sleep(1)
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}],
                                                  {'owner-uid': USERS['bob'], 'node-uid': USERS['alice'], 'node-gid': 61100})
        equal(carol.Allocation(allocation).OwnerUid, USERS['bob'], 'OwnerUid')
        # bob owns it, but may not take devices of the group: asked again at each activation.
        with raises(ASK, 'allocate', whole=True):
            service.user('bob').Allocation(allocation).Activate({})
        carol.must(allocation, 'Activate')
        node = os.stat(f'/dev/vfio/{carol.Device(device_path(NIC)).IommuGroup}')
        equal((node.st_uid, node.st_gid), (USERS['alice'], 61100), 'owner of the node')
        service.user('bob').must(allocation, 'Release')
        equal({r['uid'] for r in carol.Manager.History({})}, {0, USERS['bob'], USERS['carol']}, 'history with the right')


@test()
def a_right_that_was_taken_away_is_gone():
    with scene() as (service, _nics, _disks):
        carol = service.user('carol')
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}], {})
        carol.must(allocation, 'Activate')
        carol.must(allocation, 'Deactivate')
        service.set_rules('')
        time.sleep(1)
        with raises(ASK, whole=True):
            carol.Allocation(allocation).Activate({})
        carol.must(allocation, 'Release')


@test()
def overriding_needs_its_own_right():
    with scene() as (service, _nics, _disks):
        carol = service.user('carol')
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}], {})
        with raises(ASK, 'org.passthroughd1.override', whole=True):
            carol.Allocation(allocation).Activate({'override': [device_id(NIC)]})
        equal(carol.Allocation(allocation).State, 'claimed', 'State')
        service.set_rules(POLKIT_RULES + f'''polkit.addRule(function (action, subject) {{
            if (action.id == "org.passthroughd1.override" && action.lookup("device") == "{device_id(NIC)}") return polkit.Result.YES; }});''')
        time.sleep(1)
        with raises(ASK, whole=True):
            carol.Allocation(allocation).Activate({'override': [device_id(NIC), device_id(SPARE)]})
        carol.must(allocation, 'Activate', {'override': [device_id(NIC)]})


# ---- asking a person ----

class Agent:
    """An authentication agent for a client's process. `answer`: what the person does."""

    interface = Gio.DBusNodeInfo.new_for_xml('''<node><interface name="org.freedesktop.PolicyKit1.AuthenticationAgent">
        <method name="BeginAuthentication"><arg type="s" name="action_id" direction="in"/><arg type="s" name="message" direction="in"/>
        <arg type="s" name="icon_name" direction="in"/><arg type="a{ss}" name="details" direction="in"/>
        <arg type="s" name="cookie" direction="in"/><arg type="a(sa{sv})" name="identities" direction="in"/></method>
        <method name="CancelAuthentication"><arg type="s" name="cookie" direction="in"/></method>
        </interface></node>''').interfaces[0]

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        self.root = Client()
        self.root.connection.register_object('/agent', self.interface, self.on_call, None, None)
        start = int(read('/proc/self/stat').rsplit(')', 1)[1].split()[19])
        subject = ('unix-process', {'pid': GLib.Variant('u', os.getpid()), 'start-time': GLib.Variant('t', start),
                                    'uid': GLib.Variant('i', 0)})
        self.root.call(AUTHORITY, f'{POLKIT}.Authority', 'RegisterAuthenticationAgent',
                       GLib.Variant('((sa{sv})ss)', (subject, 'C', '/agent')), name=POLKIT)

    def on_call(self, _connection, _sender, _path, _interface, method, parameters, invocation):
        if method != 'BeginAuthentication':
            invocation.return_value(None)
            return
        action, message, _icon, details, cookie, identities = parameters.unpack()
        self.asked.append((action, message, details))
        if self.answer == 'cancel':
            invocation.return_dbus_error('org.freedesktop.PolicyKit1.Error.Cancelled', 'no, thank you')
            return
        identity = identities[0][0], {k: GLib.Variant('u', v) for k, v in identities[0][1].items()}

        def answered(connection, outcome):
            connection.call_finish(outcome)
            invocation.return_value(None)
        self.root.connection.call(POLKIT, AUTHORITY, f'{POLKIT}.Authority', 'AuthenticationAgentResponse2',
                                  GLib.Variant('(us(sa{sv}))', (0, cookie, identity)), None, Gio.DBusCallFlags.NONE, 5000, None,
                                  answered)


@test()
def a_person_is_asked_only_when_the_caller_allows_it():
    with scene(rules='') as (service, _nics, _disks):
        alice = service.user('alice')
        agent = Agent('yes')
        with raises(ASK, whole=True):
            alice.Manager.Allocate('guest', [{'group': 'nics'}], {})
        equal(agent.asked, [], 'nobody is asked without the flag')

        packed = GLib.Variant('(saa{sv}a{sv})', ('guest', [{'group': GLib.Variant('s', 'nics')}, {'group': GLib.Variant('s', 'disks')}], {}))
        pending = alice.start(ROOT, f'{NAME}.Manager', 'Allocate', packed, interactive=True)
        allocation, _job = pending.wait()
        equal(alice.Allocation(allocation).OwnerUid, USERS['alice'], 'OwnerUid')
        equal([(a, 'nics' in m, 'disks' in m) for a, m, _d in agent.asked],
              [('org.passthroughd1.allocate', True, False), ('org.passthroughd1.allocate', False, True)],
              f'asked once for each group, by name: {agent.asked}')
        contains(agent.asked[0][1], 'nics', 'the message names the group')
        check('$(' not in agent.asked[0][1], f'message {agent.asked[0][1]}')

        # One answer is one answer: nothing is kept.
        agent.asked.clear()
        pending = alice.start(allocation, f'{NAME}.Allocation', 'Activate', GLib.Variant('(a{sv})', ({},)), interactive=True)
        equal(alice.wait_job(pending.wait())[0], 'done', 'activation')
        equal(len(agent.asked), 2, 'asked again for the activation')

        agent.answer = 'cancel'
        pending = alice.start(ROOT, f'{NAME}.Manager', 'Rescan', GLib.Variant('(a{sv})', ({},)), interactive=True)
        with raises('NotAuthorized', 'dismissed'):
            pending.wait()
        agent.answer = 'yes'
        pending = alice.start(ROOT, f'{NAME}.Manager', 'Apply',
                              GLib.Variant('(sa{sv})', ('{"version": 1, "groups": [], "rules": []}', {'dry-run': GLib.Variant('b', True), 'prune': GLib.Variant('b', True)})),
                              interactive=True)
        with raises('GroupInUse'):
            pending.wait()
        check('$(' not in agent.asked[-1][1], f'message {agent.asked[-1][1]}')


# ---- polkit that does not answer ----

@test()
def polkit_absent_refuses_and_root_goes_on():
    with scene(polkit=False) as (service, nics, _disks):
        carol = service.user('carol')
        before = service.root.Manager.Export({})
        for _what, call in everything_that_changes(service, nics):
            begin = time.monotonic()
            with raises('AuthorizationUnavailable', 'polkit'):
                call(carol)
            check(time.monotonic() - begin < 2, 'it took long to find polkit absent')
        equal(service.root.Manager.Export({}), before, 'groups and rules')
        allocation, _job = service.root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        service.root.must(allocation, 'Activate')
        # What belongs to one needs no polkit.
        mine, _job = service.root.Manager.Allocate('vm', [{'group': 'disks'}], {'owner-uid': USERS['carol']})
        carol.Allocation(mine).Update and carol.must(mine, 'Release')


@test()
def polkit_hung_blocks_nobody():
    with scene() as (service, _nics, _disks):
        carol, root = service.user('carol'), service.root
        service.polkitd.send_signal(signal.SIGSTOP)
        packed = GLib.Variant('(saa{sv}a{sv})', ('guest', [{'group': GLib.Variant('s', 'nics')}], {}))
        waiting = [carol.start(ROOT, f'{NAME}.Manager', 'Allocate', packed) for _ in range(20)]
        times = []
        for _ in range(50):
            begin = time.monotonic()
            service.user('alice').Manager.Version
            allocation, _job = root.Manager.Allocate('vm', [{'group': 'disks'}], {})
            root.must(allocation, 'Release')
            times.append(time.monotonic() - begin)
            turn(0)
        check(sorted(times)[25] < 1, f'others waited {sorted(times)[25]:.2f} s')
        check(not any(w.done for w in waiting), 'somebody was let through, or refused, without polkit')
        equal(root.Group(f'{ROOT}/groups/nics').Allocations, [], 'allocations')
        service.polkitd.send_signal(signal.SIGCONT)
        for pending in waiting:
            pending.wait()
        equal(len(root.Group(f'{ROOT}/groups/nics').Allocations), 20, 'allocations once polkit goes on')


@test()
def polkit_that_dies_meanwhile_refuses():
    with scene() as (service, _nics, _disks):
        carol = service.user('carol')
        service.polkitd.send_signal(signal.SIGSTOP)
        pending = carol.start(ROOT, f'{NAME}.Manager', 'Allocate',
                              GLib.Variant('(saa{sv}a{sv})', ('guest', [{'group': GLib.Variant('s', 'nics')}], {})))
        turn(0.3)
        service.polkitd.kill()
        with raises('AuthorizationUnavailable'):
            pending.wait()
        equal(service.root.Group(f'{ROOT}/groups/nics').Allocations, [], 'allocations')


@test()
def callers_that_disappear():
    """In the middle of a check, before their answer, and while their job runs."""
    with scene() as (service, nics, _disks):
        root = service.root
        service.polkitd.send_signal(signal.SIGSTOP)
        for _ in range(10):
            carol = service.user('carol')
            carol.start(ROOT, f'{NAME}.Manager', 'Allocate',
                        GLib.Variant('(saa{sv}a{sv})', ('guest', [{'group': GLib.Variant('s', 'nics')}], {})))
            carol.connection.flush_sync(None)
            turn(0.02)
            carol.close()
        service.polkitd.send_signal(signal.SIGCONT)
        turn(0.5)
        equal(root.Group(nics).Allocations, [], 'allocations of callers that were gone before they were let through')

        for _ in range(10):
            client = Client()
            client.start(ROOT, f'{NAME}.Manager', 'Allocate',
                         GLib.Variant('(saa{sv}a{sv})', ('gone', [{'group': GLib.Variant('s', 'nics')}], {})))
            client.connection.flush_sync(None)
            client.close()
        turn(0.3)
        for allocation in root.Group(nics).Allocations:
            root.must(allocation, 'Release')

        carol = service.user('carol')
        allocation, _job = carol.Manager.Allocate('guest', [{'group': 'nics'}], {})
        order('delay', 'unbind', 500000, NIC)
        job = carol.Allocation(allocation).Activate({})
        carol.start(job, f'{NAME}.Job', 'Wait', GLib.Variant('(a{sv})', ({},)))
        carol.connection.flush_sync(None)
        carol.close()
        equal(root.wait_job(job), ('done', '', ''), 'a job goes on without its starter')
        service.user('carol').must(allocation, 'Release')
        equal(service.daemon.poll(), None, 'the service lives')


@test()
def one_client_does_not_shut_out_others():
    """20,000 calls of one while another is served."""
    with scene() as (service, nics, _disks):
        flood = service.user('alice')
        other = service.user('bob')
        n, done = 20000, [0, 0]

        def finish(connection, outcome):
            done[0] += 1
            try:
                connection.call_finish(outcome)
            except GLib.Error:
                done[1] += 1
        calls = [(ROOT, 'org.freedesktop.DBus.Properties', 'GetAll', GLib.Variant('(s)', (f'{NAME}.Manager',))),
                 (ROOT, f'{NAME}.Manager', 'ListDevices', GLib.Variant('(sa(sss)a{sv})', ('', [], {'limit': GLib.Variant('u', 5)}))),
                 (nics, f'{NAME}.Group', 'Explain', GLib.Variant('(a{sv})', ({},))),
                 (ROOT, f'{NAME}.Manager', 'Rescan', GLib.Variant('(a{sv})', ({},)))]
        sent, times = 0, []
        begin = time.monotonic()
        while done[0] < n:
            while sent < n and sent - done[0] < 120:    # a bus lets one have 128 calls open
                path, interface, member, packed = calls[sent % 4 if sent % 40 < 4 else sent % 3]
                flood.connection.call(NAME, path, interface, member, packed, None, Gio.DBusCallFlags.NONE, 60000, None, finish)
                sent += 1
            start = time.monotonic()
            equal(other.Manager.GetDevice(NIC), device_path(NIC), 'answer for the other')
            times.append(time.monotonic() - start)
            turn(0)
        times.sort()
        check(times[len(times) * 99 // 100] < 1, f'99 of 100 calls of the other within {times[len(times) * 99 // 100]:.2f} s')
        equal(done[1], n // 40, 'refused calls of the flood')
        print(f'{n} calls in {time.monotonic() - begin:.1f} s; the other: {len(times)} calls, median '
              f'{times[len(times) // 2] * 1000:.1f} ms, p99 {times[len(times) * 99 // 100] * 1000:.1f} ms')


@test()
def floods_of_checks_are_bounded():
    """One who may not do anything asks so much of polkit, which hangs, that memory would run out."""
    with scene() as (service, _nics, _disks):
        service.polkitd.send_signal(signal.SIGSTOP)
        clients = [service.user('alice') for _ in range(10)]
        pending = []
        for client in clients:
            for _ in range(120):
                pending.append(client.start(ROOT, f'{NAME}.Manager', 'Rescan', GLib.Variant('(a{sv})', ({},)), timeout=60))
        until(lambda: service.root.Manager.Version and sum(p.done for p in pending) >= 500, 'most of 1,200 checks are refused')
        for p in pending:
            if p.done:
                equal(p.error.name, f'{ERROR}LimitReached', 'error')
        check(sum(not p.done for p in pending) >= 64, 'even the first ones are refused')
        # Another user is none of their business.
        carol = service.user('carol')
        mine = carol.start(ROOT, f'{NAME}.Manager', 'Allocate',
                           GLib.Variant('(saa{sv}a{sv})', ('guest', [{'group': GLib.Variant('s', 'nics')}], {})))
        turn(0.2)
        check(not mine.done, 'another user is refused with them')
        service.polkitd.send_signal(signal.SIGCONT)
        mine.wait()


if __name__ == '__main__':
    main()
