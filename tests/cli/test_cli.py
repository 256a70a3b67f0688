#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""passthroughctl against the real service on a simulated host.

    test_cli.py --build DIRECTORY --hosts DIRECTORY [TEST...]

Prints TAP. Started again inside of a simulated host, with a bus and a service of its own for each session of tests.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from cli_rig import (AUDIO, DISK, FAILED, GPU, INTERRUPTED, NIC, NOBODY, NOT_AUTHORIZED, NOT_FOUND, NO_SERVICE, OK,
                     STILL_RUNNING, Terminal, UNAVAILABLE, USAGE, check, contains, equal, order, run_session, test,
                     tests, wait_until, write)


# Listing

@test()
def devices_as_a_table(s):
    text = s.ctl('devices')
    lines = text.splitlines()
    equal(lines[0].split(), ['PLACE', 'NAME', 'TYPE', 'DRIVER', 'IOMMU', 'STATE', 'GROUPS', 'RULES'])
    places = [line.split()[0] for line in lines[1:]]
    equal(places, sorted(places), 'order')
    check(GPU in places, text)
    check('\033' not in text, 'colours in a pipe')


@test()
def devices_without_legend(s):
    check(not s.ctl('devices', '--no-legend').startswith('PLACE'), 'a heading')


@test()
def devices_as_a_tree(s):
    lines = s.ctl('devices', '--tree', env={**os.environ, 'LC_ALL': 'C.UTF-8'}).splitlines()
    group = next(i for i, line in enumerate(lines) if line.startswith('IOMMU group 10 '))
    # The card as it is, and as what vGPUs could be made of with another driver.
    contains(lines[group + 1], f'├─{GPU}')
    contains(lines[group + 2], f'├─{GPU}')
    contains(lines[group + 3], f'└─{AUDIO}')
    check('IOMMU' not in lines[0].split()[3:], f'the group stands twice: {lines[0]}')
    tree = s.json('devices', '--tree')
    ten = next(node for node in tree if node['iommu-group'] == 10)
    equal([child['slot'] for child in ten['children']], [GPU, GPU, AUDIO])


@test()
def devices_filtered_by_conditions(s):
    def places(*arguments):
        return [d['slot'] for d in s.json('devices', *arguments)]
    equal(places('--where', 'vendor-id = 10de'), [GPU, GPU, AUDIO])
    equal(places('--where', 'vendor-id = 10de and class-type = "Display controller"'), [GPU])
    equal(places('--where', 'iommu-group <= 10 and iommu-group > 9'), [GPU, GPU, AUDIO])
    equal(places('--where', r'name ~ ^NVIDIA.*\[A10\]$'), [GPU, GPU])
    equal(places('--where', 'slot ^= 0000:01 and slot $= .1'), [AUDIO])
    equal(places('--where', 'name icontains nvidia', '--type', 'pci'), [GPU, AUDIO])
    equal(places('--type=pci', '--where=vendor-id=10de and slot=0000:01:00.0'), [GPU])


@test()
def wrong_conditions_say_where(s):
    contains(s.ctl('devices', '--where', 'vendor-id = 10de and', status=USAGE),
             'UnknownField: At character 21: the text ends where the name of a field is expected')
    contains(s.ctl('devices', '--where', 'vendor-id is 10de', status=USAGE), 'UnknownOperator: At character 11')
    contains(s.ctl('devices', '--where', 'vendr-id = 10de', status=USAGE), 'UnknownField')
    contains(s.ctl('devices', '--where', 'vendr-id = 10de', status=USAGE), 'vendor-id')
    contains(s.ctl('devices', '--where', 'name ~ (', status=USAGE), 'InvalidRegex')
    contains(s.ctl('devices', '--where', 'numa-node = one', status=USAGE), 'InvalidValue')
    contains(s.ctl('devices', '--type', 'floppy', status=USAGE), 'UnknownType')
    contains(s.ctl('devices', '--group', 'nothing', status=NOT_FOUND), 'UnknownGroup')


@test()
def devices_filtered_by_text_and_state(s):
    places = [d['slot'] for d in s.json('devices', '--filter', 'nViDiA')]
    equal(places, [GPU, GPU, AUDIO], 'text without regard to case')
    free = s.json('devices', '--state', 'free')
    check(free and all(d['state'] == 'free' for d in free), free)
    both = s.json('devices', '--state', 'free,forbidden')
    check(len(both) > len(free), 'two states')
    equal(s.json('devices', '--state', 'failed'), [], 'a state that nothing has')
    equal(s.ctl('devices', '--state', 'failed'), '')


@test()
def devices_with_chosen_columns(s):
    text = s.ctl('devices', '--columns=place,vendor-device,numa-node', '--sort=numa-node', '--reverse')
    lines = text.splitlines()
    equal(lines[0].split(), ['PLACE', 'VENDOR', 'DEVICE', 'NUMA', 'NODE'])
    check(lines[1].startswith(DISK), f'the highest node and its highest place come first: {lines[1]}')
    rows = s.json('devices', '--columns=place,driver')
    check(all(set(row) <= {'place', 'driver'} for row in rows), rows[0])
    contains(s.ctl('devices', '--columns=place,colour', status=USAGE), "no column 'colour'")
    contains(s.ctl('devices', '--sort=colour', status=USAGE), "no column 'colour'")
    contains(s.ctl('devices', '--columns=,', status=USAGE), 'no column is named')


@test()
def numbers_are_sorted_by_size(s):
    groups = [d['iommu-group'] for d in s.json('devices', '--type=pci', '--sort', 'iommu-group')]
    equal(groups, sorted(groups))
    check(2 in groups and 10 in groups, groups)


@test()
def a_device_has_many_names(s):
    device = s.json('device', 'show', GPU)
    equal(device['id'], 'pci-0000-01-00-0')
    equal(device['driver'], 'nouveau')
    equal(device['companions'], ['pci-0000-01-00-1'])
    equal(device['allocation'], '')
    equal(device['serial'], '1322921012345', 'a slow field')
    check(isinstance(device['findings'], list), device)
    for name in ('pci-0000-01-00-0', '01:00.0', f'/sys/bus/pci/devices/{GPU}',
                 '/org/passthroughd1/devices/pci_0000_01_00_0'):
        equal(s.json('device', 'show', name)['id'], 'pci-0000-01-00-0', name)
    contains(s.ctl('device', 'show', '0000:0f:00.0', status=NOT_FOUND), 'UnknownDevice')
    contains(s.ctl('device', 'show', '/org/passthroughd1/devices/pci_9', status=NOT_FOUND), 'no such object')
    text = s.ctl('device', 'show', GPU)
    contains(text, '              driver: nouveau\n')


# Groups and rules

@test()
def group_life(s):
    equal(s.json('group', 'create', 'My GPUs', 'pci', '--id=mine', '--class=gpu', '--description=two words',
                 '--set', 'driver=vfio-pci', '--choice=spread', '--disabled'), {'group': 'mine'})
    group = s.json('group', 'show', 'My GPUs')
    equal([group[key] for key in ('id', 'name', 'type', 'class', 'description', 'choice', 'enabled')],
          ['mine', 'My GPUs', 'pci', 'gpu', 'two words', 'spread', False])
    equal(group['settings'], {'driver': 'vfio-pci'})
    s.ctl('group', 'enable', 'mine')
    s.ctl('group', 'update', 'mine', '--name=Ours', '--set', 'rom-bar=no', '--user-defined=rom-bar')
    group = s.json('group', 'show', 'Ours')
    equal(group['enabled'], True)
    equal(group['settings'], {'driver': 'vfio-pci', 'rom-bar': False}, 'the other setting stays')
    equal(group['user-defined'], ['rom-bar'])
    s.ctl('group', 'update', 'mine', '--set', 'driver=')
    equal(s.json('group', 'show', 'mine')['settings'], {'rom-bar': False}, 'an empty value asks for the default')
    s.ctl('group', 'disable', 'mine')
    equal([g['enabled'] for g in s.json('groups') if g['id'] == 'mine'], [False])
    contains(s.ctl('groups'), 'AVAILABLE')
    contains(s.ctl('group', 'create', 'Ours', 'pci', status=FAILED), 'GroupExists')
    contains(s.ctl('group', 'create', 'x', 'floppy', status=USAGE), 'UnknownType')
    contains(s.ctl('group', 'update', 'mine', status=USAGE), 'nothing is to be changed')
    contains(s.ctl('group', 'update', 'mine', '--set', 'colour=red', status=USAGE), 'UnknownSetting')
    contains(s.ctl('group', 'update', 'mine', '--set', 'driver', status=USAGE), 'NAME=VALUE')
    s.ctl('group', 'remove', 'mine')
    contains(s.ctl('group', 'show', 'mine', status=NOT_FOUND), 'UnknownGroup')


@test()
def rule_life(s):
    s.ctl('group', 'create', 'nets', 'pci')
    rule = s.ctl('rule', 'add', 'nets', 'class-hex ^= 02 and name icontains', 'I350', '--name=dual').strip()
    shown = s.json('rule', 'show', rule)
    equal(shown['where'], [['class-hex', 'begins', '02'], ['name', 'icontains', 'I350']])
    equal(shown['conditions'], 'class-hex ^= 02 and name icontains I350')
    equal(sorted(shown['matched']), ['pci-0000-03-00-0', 'pci-0000-03-00-1'])
    equal(s.json('rule', 'show', 'dual')['id'], rule, 'by its name')
    equal([d['rules'] for d in s.json('devices', '--group=nets', '--columns=place,rules')], [[rule], [rule]])
    s.ctl('rule', 'update', rule, '--enabled=no')
    equal(s.json('devices', '--group=nets'), [], 'members of a group whose rule is off')
    s.ctl('rule', 'update', rule, 'slot', '=', NIC, '--enabled=yes', '--node-filter=t*')
    equal([d['slot'] for d in s.json('devices', '--group=nets')], [NIC])
    second = s.json('rule', 'add', 'nets', f'slot = {NIC}', '--action=exclude', '--id=not-this')['rule']
    equal(second, 'not-this')
    equal(s.json('devices', '--group=nets'), [], 'members of a group that excludes them')
    equal([r['id'] for r in s.json('rules', '--group', 'nets')], [rule, 'not-this'])
    contains(s.ctl('rules'), f'slot = {NIC}')
    contains(s.ctl('group', 'show', 'nets'), f'rules: {rule} include: slot = {NIC}')
    s.ctl('rule', 'remove', second)
    contains(s.ctl('rule', 'show', second, status=NOT_FOUND), f"no rule '{second}'")
    contains(s.ctl('rule', 'add', 'nets', 'slot = 1 or slot = 2', status=USAGE), 'write another rule')
    s.ctl('group', 'remove', 'nets')


@test()
def preview_shows_near_misses(s):
    s.ctl('group', 'create', 'gpus', 'pci')
    preview = s.json('preview', 'gpus', 'vendor-id = 10de and class-type = "Display controller"')
    equal([d['slot'] for d in preview['matched']], [GPU])
    equal([(n['device'], n['field']) for n in preview['near']], [('pci-0000-01-00-1', 'class-type')])
    contains(s.ctl('preview', 'gpus', 'vendor-id = 10de and class-type = "Display controller"'), 'by one condition only')
    contains(s.ctl('preview', 'gpus', 'numa-node < 1 and numa-node > 3'), 'warning contradiction: ')
    s.ctl('group', 'remove', 'gpus')


@test()
def make_resource_prints_the_rules(s):
    equal(s.ctl('make-resource', 'gpus', GPU), 'gpus-r1\n')
    equal(s.json('make-resource', 'disks', DISK), {'rules': ['disks-r1']})
    equal(s.json('group', 'show', 'gpus')['available'], 1)
    contains(s.ctl('make-resource', 'gpus', '0000:0f:00.0', status=NOT_FOUND), 'UnknownDevice')


# Allocations

@test()
def plan_says_what_would_be_done(s):
    plan = s.json('plan', 'gpus')
    equal(len(plan['token']), 32)
    check([step for step in plan['steps'] if step['device'] == 'pci-0000-01-00-0'], plan['steps'])
    equal([c['device'] for c in plan['choices'][0]['candidates']], ['pci-0000-01-00-0'])
    text = s.ctl('plan', 'gpus', 'disks')
    for part in 'Candidates', 'Steps', '  1. ', 'Token: ':
        contains(text, part)
    contains(s.ctl('plan', status=USAGE), 'requests, or --allocation')
    contains(s.ctl('plan', 'nothing', status=NOT_FOUND), 'UnknownGroup')
    # What cannot be had is told in full, with everybody's reasons.
    done = s.run('plan', 'gpus:2')
    text = done.stdout
    equal(done.returncode, UNAVAILABLE, text + done.stderr)
    for part in 'blocker no-device-available', 'has 1 of the 2 devices', 'Candidates':
        contains(text, part)
    check('does this and nothing else' not in text, text)
    contains(s.ctl('plan', '--verb=explode', 'gpus', status=USAGE), 'valid: activate, deactivate')
    contains(s.ctl('plan', '--verb=reset', status=USAGE), 'takes one device')
    contains(s.ctl('plan', '--verb=remove', 'gpus'), "remove the group 'gpus'")
    contains(s.ctl('plan', '--verb=release', 'nobody', status=NOT_FOUND), "no allocation 'nobody'")


@test()
def allocation_life(s):
    uuid = s.ctl('allocate', 'vm1', 'gpus').strip()
    check(re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', uuid), uuid)
    for name in uuid, uuid[:8], uuid[:10].upper(), 'vm1':
        equal(s.json('show', name)['id'], uuid, name)
    contains(s.ctl('show', 'vm9', status=NOT_FOUND), "no allocation 'vm9'")
    contains(s.ctl('show', 'vm1', '--format=qemu', status=UNAVAILABLE), 'WrongState')
    equal(s.json('plan', '--allocation=vm1')['choices'][0]['group'], 'gpus')
    s.ctl('activate', 'vm1')
    shown = s.json('show', 'vm1')
    equal((shown['state'], shown['devices'], shown['owner'], shown['groups']),
          ('active', ['pci-0000-01-00-0'], 'root', ['gpus']))
    contains(s.ctl('show', 'vm1', '--format=qemu'), f'-device vfio-pci,host={GPU}')
    contains(s.ctl('show', 'vm1', '--format=libvirt'), "<hostdev mode='subsystem'")
    contains(s.ctl('show', 'vm1', '--format=env'), f"PASSTHROUGH_ALLOCATION='{uuid}'")
    equal(json.loads(s.ctl('show', 'vm1', '--format=json'))['allocation'], uuid)
    contains(s.ctl('show', 'vm1', '--format=xml', status=USAGE), 'UnknownFormat')
    row = s.json('devices', '--where', f'slot = {GPU}', '--columns=driver,state,consumer')[0]
    equal(row, {'driver': 'vfio-pci', 'state': 'active', 'consumer': 'vm1'})
    contains(s.ctl('activate', 'vm1', status=UNAVAILABLE), 'WrongState')
    contains(s.ctl('group', 'remove', 'gpus', status=UNAVAILABLE), 'GroupInUse')
    text = s.ctl('show', 'vm1')
    contains(text, 'consumer: vm1')
    contains(text, 'REQUEST')
    contains(text, 'IN FORCE')
    equal(s.json('show', 'vm1')['requests'][0]['in-force']['rom-bar'], True, 'defaults too')
    s.ctl('deactivate', 'vm1')
    check('IN FORCE' not in s.ctl('show', 'vm1'), 'an inactive one has none')
    equal(s.json('device', 'show', GPU)['driver'], 'nouveau')
    s.ctl('release', 'vm1')
    contains(s.ctl('show', uuid, status=NOT_FOUND), 'no allocation')


@test()
def two_allocations_of_one_consumer(s):
    first = s.ctl('allocate', 'twice', 'gpus', '--uuid=aaaaaaaa-0000-4000-8000-000000000001').strip()
    second = s.ctl('allocate', 'twice', 'disks', '--uuid=aaaaaaaa-0000-4000-8000-000000000002').strip()
    contains(s.ctl('show', 'twice', status=NOT_FOUND), "2 allocations have the consumer 'twice'")
    contains(s.ctl('show', 'aaaa', status=NOT_FOUND), "ids of 2 allocations begin with 'aaaa'")
    equal(len(s.json('allocations', '--consumer=twice')), 2)
    equal(s.json('allocations', '--consumer=twice', '--state=active'), [])
    contains(s.ctl('allocations'), 'twice')
    contains(s.ctl('allocate', 'twice', 'gpus,optional', f'--uuid={first}', status=FAILED), 'AllocationExists')
    equal(s.ctl('allocate', 'twice', 'gpus', f'--uuid={first}').strip(), first, 'the same wish again')
    s.ctl('release', first)
    s.ctl('release', second)


@test()
def a_chosen_name_goes_before_an_id(s):
    uuid = 'bbbbbbbb-0000-4000-8000-000000000001'
    s.ctl('allocate', 'long', 'gpus', f'--uuid={uuid}')
    other = s.ctl('allocate', 'bbbb', 'disks').strip()
    equal(s.json('show', 'bbbb')['id'], other)
    equal(s.json('show', 'bbbbb')['id'], uuid)
    contains(s.ctl('show', 'bbb', status=NOT_FOUND), "no allocation 'bbb'")
    s.ctl('release', other)
    s.ctl('release', uuid)


@test()
def requests_have_many_words(s):
    uuid = s.ctl('allocate', 'vm2', 'gpus:1,optional,name=card,order=3,companions=park,rom-bar=yes', 'disks,enabled=no',
                 '--owner=nobody').strip()
    shown = s.json('show', uuid)
    card, disk = shown['requests']
    equal([card[key] for key in ('group', 'count', 'optional', 'name', 'order', 'companions', 'settings')],
          ['gpus', 1, True, 'card', 3, 'park', {'rom-bar': True}])
    equal((disk['group'], disk['enabled']), ('disks', False))
    equal(shown['owner'], 'nobody')
    s.ctl('update', uuid, 'disks,name=only')
    equal([r['name'] for r in s.json('show', uuid)['requests']], ['only'])
    s.ctl('release', uuid)
    for wrong, part in (('gpus:0', 'no number of devices'), ('gpus:x', 'no number of devices'), (',optional', 'names no group'),
                        ('gpus,rom-bar', 'has no value')):
        contains(s.ctl('allocate', 'vm2', wrong, status=USAGE), part)
    contains(s.ctl('allocate', 'vm2', 'gpus,colour=red', status=USAGE), 'UnknownSetting')
    contains(s.ctl('allocate', 'vm2', 'gpus', '--lifetime=bus', status=USAGE), '--lifetime')
    contains(s.ctl('allocate', 'vm2', 'gpus', '--owner=nosuchuser', status=NOT_FOUND), "no user 'nosuchuser'")
    contains(s.ctl('allocate', 'vm2', 'nothing', status=NOT_FOUND), 'UnknownGroup')
    equal(s.json('allocations'), [])


@test()
def activation_at_once_and_by_plan(s):
    token = s.json('plan', 'gpus')['token']
    answer = s.json('allocate', 'vm3', 'gpus', '--activate', f'--plan={token}')
    check(answer['job'].isdigit(), answer)
    equal(s.json('show', 'vm3')['state'], 'active')
    done = s.run('allocate', 'vm4', 'gpus', '--activate')
    equal(done.returncode, UNAVAILABLE)
    contains(done.stderr, 'passthroughctl: NoDeviceAvailable: ')
    s.ctl('release', 'vm3')
    s.ctl('release', 'vm4')
    uuid = s.ctl('allocate', 'vm5', 'gpus').strip()
    contains(s.ctl('activate', uuid, '--plan=' + '0' * 32, status=UNAVAILABLE), 'PlanChanged')
    s.ctl('release', uuid)


# Jobs

@test()
def jobs_can_be_left_alone(s):
    s.ctl('allocate', 'vm6', 'gpus')
    job = s.ctl('activate', 'vm6', '--no-wait').strip()
    check(job.isdigit(), job)
    s.ctl('job', 'wait', job)
    shown = s.json('job', 'show', job)
    equal((shown['operation'], shown['state'], shown['result'], shown['percent']), ('activate', 'done', 'done', 100))
    check(job in [j['id'] for j in s.json('jobs')], 'the job in the list')
    contains(s.ctl('jobs'), 'activate')
    job = s.json('deactivate', 'vm6', '--no-wait')['job']
    equal(s.json('job', 'wait', job), {'job': job, 'result': 'done'})
    equal(s.json('group', 'enable', 'gpus'), {'result': 'done'})
    s.ctl('release', 'vm6')
    contains(s.ctl('job', 'show', '4711', status=NOT_FOUND), 'no such object')
    contains(s.ctl('job', 'cancel', job, status=UNAVAILABLE), 'WrongState')


@contextlib.contextmanager
def hanging_bind(s, consumer):
    """An activation that hangs in the kernel."""
    s.ctl('allocate', consumer, 'gpus')
    order('hang', 'unbind', GPU)
    try:
        yield
    finally:
        order('release')
        wait_until(lambda: s.json('show', consumer)['state'] in ('claimed', 'active'), 'the end of the job', 40)
        s.ctl('release', consumer)


@test()
def progress_timeout_and_interruption(s):
    with hanging_bind(s, 'vm7'):
        terminal = Terminal(s, 'activate', 'vm7')
        terminal.read_until('%] ')
        contains(terminal.text, 'vfio-pci')
        job = [j for j in s.json('jobs') if j['state'] != 'done'][0]['id']
        contains(s.ctl('job', 'wait', job, '--timeout=1', status=STILL_RUNNING), f'job {job} goes on')
        os.write(terminal.master, b'\003')
        equal(terminal.finish(), INTERRUPTED)
        contains(terminal.text, f'passthroughctl job wait {job}')
        check([j for j in s.json('jobs') if j['id'] == job and j['state'] != 'done'], 'the job goes on')
        order('release')
        s.ctl('job', 'wait', job)
        equal(s.json('show', 'vm7')['state'], 'active')


# Output

@test()
def colours_only_on_a_terminal(s):
    terminal = Terminal(s, 'devices')
    equal(terminal.finish(), OK)
    contains(terminal.text, '\033[32m')
    for environment in {'NO_COLOR': '1'}, {'TERM': 'dumb'}:
        terminal = Terminal(s, 'devices', environment=environment)
        equal(terminal.finish(), OK)
        check('\033[' not in terminal.text, f'{environment}: {terminal.text!r}')
    terminal = Terminal(s, '--json', 'devices')
    terminal.finish()
    check('\033[' not in terminal.text, 'colours in JSON')


@test()
def long_texts_are_cut_on_a_narrow_terminal(s):
    terminal = Terminal(s, 'devices', environment={'NO_COLOR': '1'}, size=(24, 70))
    equal(terminal.finish(), OK)
    check(all(len(line) <= 70 for line in terminal.text.splitlines()), terminal.text)


@test()
def everything_answers_in_json(s):
    s.ctl('allocate', 'vm8', 'gpus')
    for command in ('status', 'devices', 'devices --tree', f'device show {GPU}', f'explain {GPU}', 'explain gpus',
                    'explain allocation vm8', 'groups', 'group show gpus', 'rules', 'rule show gpus-r1', 'plan gpus',
                    'preview gpus slot=x', 'allocations', 'show vm8', 'jobs', 'modules', 'module show pci', 'history',
                    'export', 'wait'):
        check(s.json(*command.split()) is not None, command)
        check(s.ctl(*command.split()) or command in ('wait', 'jobs'), f'{command} says nothing')
    s.ctl('release', 'vm8')


@test()
def errors_in_json_are_json(s):
    done = s.run('--json', 'device', 'show', 'nothing')
    error = json.loads(done.stderr)
    equal((done.returncode, error['error'], error['status']), (NOT_FOUND, 'UnknownDevice', NOT_FOUND))
    check('nothing' in error['message'], error)


@test()
def explain_finds_what_is_meant(s):
    for arguments in ([GPU], ['device', GPU], ['gpus'], ['group', 'gpus']):
        check(isinstance(s.json('explain', *arguments), list), arguments)
    contains(s.ctl('explain', 'nothing', status=NOT_FOUND), "no device, group or allocation 'nothing'")
    contains(s.ctl('explain', 'rule', 'gpus-r1', status=USAGE), 'valid: device, group, allocation')
    text = s.ctl('explain', 'device', '0000:00:01.0')
    for part in 'device pci-0000-00-01-0', 'can it be had', 'blocker bridge: ':
        contains(text, part)
    # A tree, and no colours where there is no terminal.
    check('\033' not in text and ('`-- ' in text or '└─ ' in text), text)
    findings = s.json('explain', 'device', '0000:00:01.0')
    equal((findings[0]['severity'], findings[0]['topic']), ('blocker', 'availability'))


# The command line

@test()
def usage_errors(s):
    for arguments, part in ((['frobnicate'], "no verb 'frobnicate'"), (['device'], 'show, provision, reset, quarantine, clear-quarantine'),
                            (['device', 'frobnicate'], 'show, provision, reset, quarantine, clear-quarantine'), (['devices', 'x'], 'no arguments'),
                            (['device', 'show'], 'more arguments'), (['devices', '--colour'], 'unrecognized option'),
                            (['devices', '--where'], 'requires an argument'), (['wait', '--timeout=soon'], 'is no time'),
                            (['allocate', b'vm\xff', 'gpus'], 'not valid UTF-8'), ([], 'passthroughctl [OPTION')):
        done = subprocess.run([s.ctl_path, *arguments], capture_output=True, text=True, errors='replace')
        equal(done.returncode, USAGE, arguments)
        contains(done.stderr, part)
    equal(s.run('--help').returncode, OK)
    equal(s.run('help', 'device', 'show').returncode, OK)
    contains(s.ctl('rule', 'add', '--help'), '--node-filter=PATTERN')
    contains(s.ctl('--version'), 'passthroughctl ')
    contains(s.ctl('--', 'groups'), 'gpus')
    contains(s.ctl('groups', '--no-legend', '--'), 'gpus')


@test()
def output_that_cannot_be_written_is_a_failure(s):
    with open('/dev/full', 'w') as full:
        done = subprocess.run([s.ctl_path, 'devices'], stdout=full, stderr=subprocess.PIPE, text=True)
    equal(done.returncode, FAILED)
    contains(done.stderr, 'standard output')


@test()
def a_password_is_asked_for_on_a_terminal_only(s):
    """A stand-in for the agent, which says that it is ready and then stays until it is ended."""
    path = f'{s.directory}/agent'
    os.makedirs(path, exist_ok=True)
    write(f'{path}/pkttyagent', '#!/bin/sh\necho "$@" >"$AGENT_LOG"\necho $$ >>"$AGENT_LOG"\neval "exec $2>&-"\n'
                                'exec sleep 1000\n')
    os.chmod(f'{path}/pkttyagent', 0o755)
    os.chmod(s.directory, 0o755)
    log = '/run/agent.log'
    write(log, '')
    os.chown(log, NOBODY, NOBODY)
    environment = {'PATH': f'{path}:{os.environ["PATH"]}', 'AGENT_LOG': log}
    terminal = Terminal(s, 'group', 'create', 'theirs', 'pci', environment=environment, user=NOBODY)
    equal(terminal.finish(), NOT_AUTHORIZED, terminal.text)
    with open(log) as f:
        arguments, pid = f.read().splitlines()
    check(re.fullmatch(r'--notify-fd \d+ --fallback', arguments), arguments)
    check(not os.path.exists(f'/proc/{pid}'), 'the agent is ended')
    for arguments, user in ((['--no-ask-password', 'group', 'create', 'theirs', 'pci'], NOBODY), (['groups'], NOBODY),
                            (['group', 'enable', 'gpus'], 0)):
        write(log, '')
        Terminal(s, *arguments, environment=environment, user=user).finish()
        with open(log) as f:
            equal(f.read(), '', f'{arguments} as {user} starts an agent')
    equal(s.run('group', 'create', 'theirs', 'pci', user=NOBODY, group=NOBODY, env={**os.environ, **environment}).returncode,
          NOT_AUTHORIZED)
    with open(log) as f:
        equal(f.read(), '', 'without a terminal nobody is asked')


@test()
def another_user_is_refused(s):
    done = s.run('group', 'create', 'theirs', 'pci', user=NOBODY, group=NOBODY)
    equal(done.returncode, NOT_AUTHORIZED, done.stderr)
    done = s.run('devices', '--columns=place', user=NOBODY, group=NOBODY)
    equal(done.returncode, OK, 'reading needs no right')


# Documents, history, signals

@test()
def export_and_apply(s):
    document = s.ctl('export')
    with open(f'{s.directory}/document.json', 'w') as f:
        f.write(document)
    path = f.name
    equal(s.ctl('apply', path), 'Nothing changes.\n')
    equal(s.json('apply', path, '--changed-exit-code'), {'changed': False, 'dry-run': False, 'changes': []})
    changed = json.loads(document)
    for group in changed['groups']:
        group['description'] += 'changed'
    changed['rules'] = [rule for rule in changed['rules'] if rule['group'] != 'disks']
    changed['groups'] = [group for group in changed['groups'] if group['id'] != 'disks']
    text = json.dumps(changed)
    contains(s.ctl('apply', '-', '--dry-run', '--prune', input=text), '~ would update group gpus')
    contains(s.ctl('apply', '-', '-n', '--prune', input=text), '- would remove group disks')
    contains(s.ctl('apply', '-', '-n', '--prune', input=text), 'description: "" -> changed')
    equal(s.run('apply', '-', '-n', '--prune', '--changed-exit-code', input=text).returncode, 2)
    equal(s.run('apply', '-', '--prune', '--changed-exit-code=9', input=text).returncode, 9)
    equal(s.run('apply', '-', '--prune', '--changed-exit-code=9', input=text).returncode, 0, 'a second time')
    contains(s.ctl('group', 'show', 'disks', status=NOT_FOUND), 'UnknownGroup')
    s.ctl('apply', path)
    contains(s.ctl('group', 'show', 'disks'), 'disks')
    contains(s.ctl('apply', '-', input='{', status=USAGE), 'InvalidArgument')
    contains(s.ctl('apply', '/nowhere', status=FAILED), '/nowhere')
    contains(s.ctl('apply', '-', input='\0', status=USAGE), 'not text in UTF-8')
    contains(s.ctl('apply', path, '--changed-exit-code=many', status=USAGE), 'from 0 to 255')


@test()
def history_of_one_consumer(s):
    rows = s.json('history', '--consumer=vm1')
    operations = [row['operation'] for row in rows][::-1]
    equal((operations[0], operations[-1], set(operations)), ('allocate', 'release', {'allocate', 'activate', 'deactivate', 'release'}))
    row, = s.json('history', '--consumer=vm1', '--operation=release', '--result=done')
    equal(s.json('history', '--consumer=vm1', '--until=1h'), [])
    check(row['job'] and row['boot'] and row['run'], 'which run of the service')
    report = json.loads(s.ctl('report'))
    equal(report['versions']['scrubbed'], True)
    check('allocations' in report and report['devices'], 'a report')
    s.ctl('report', '--full', '-o', f'{s.directory}/report.json')
    with open(f'{s.directory}/report.json') as f:
        equal(json.load(f)['versions']['scrubbed'], False)
    equal(os.stat(f'{s.directory}/report.json').st_mode & 0o777, 0o600)
    equal(rows[0]['user'], 'root')
    equal(len(s.json('history', '--limit=2')), 2)
    equal(s.json('history', '--since=1h', '--consumer=nobody'), [])
    check(s.json('history', '--since=2020-01-01', '--user=root'), 'since a day')
    check(s.json('history', '--since=2020-01-01 10:00', '--user=0', '--all'), 'since a minute')
    contains(s.ctl('history', '--since=yesterday', status=USAGE), 'is no time')
    contains(s.ctl('history', '--limit=0', status=USAGE), 'from 1 to 10000')
    contains(s.ctl('history'), 'vm1')


@test()
def monitor_shows_what_happens(s):
    with subprocess.Popen([s.ctl_path, 'monitor'], stdout=subprocess.PIPE, text=True) as plain, \
            subprocess.Popen([s.ctl_path, 'monitor', '--json'], stdout=subprocess.PIPE, text=True) as machine:
        try:
            time.sleep(0.3)
            s.ctl('allocate', 'watched', 'gpus', '--activate')
            s.ctl('release', 'watched')
            time.sleep(0.3)
        finally:
            plain.send_signal(signal.SIGINT)
            machine.send_signal(signal.SIGTERM)
        text, lines = plain.stdout.read(), machine.stdout.read().splitlines()
        equal((plain.wait(90), machine.wait(90)), (OK, OK))
    for part in ('Driver=vfio-pci', 'device pci-0000-01-00-0', 'JobNew', 'JobRemoved', 'is new', 'is gone', 'State=active'):
        contains(text, part)
    members = {json.loads(line)['member'] for line in lines}
    check({'PropertiesChanged', 'JobNew', 'JobRemoved', 'InterfacesAdded'} <= members, members)


@test()
def status_counts(s):
    status = s.json('status')
    equal((status['readiness'], status['node']), ('ready', 'test'))
    check({'pci', 'usb'} <= set(status['types']), status['types'])
    equal(status['devices']['total'], len(s.json('devices')))
    equal(status['groups'], 2)
    contains(s.ctl('status'), 'readiness: ready')


@test()
def modules_show_their_tables(s):
    module = s.json('module', 'show', 'pci')
    check('slot' in [field['name'] for field in module['fields']], module['fields'])
    check('driver' in [setting['name'] for setting in module['group-settings']], module['group-settings'])
    text = s.ctl('module', 'show', 'pci')
    for part in 'Fields', 'Settings of groups', 'physical-slot', 'vfio-pci':
        contains(text, part)
    contains(s.ctl('modules'), 'PCI device')
    contains(s.ctl('module', 'show', 'floppy', status=NOT_FOUND), 'no such object')


@test()
def completion_asks_for_what_exists(s):
    contains(s.ctl('complete', 'devices'), GPU)
    equal(s.ctl('complete', 'groups'), 'disks\ngpus\n')
    check({'pci', 'usb'} <= set(s.ctl('complete', 'types').split()), 'types')
    contains(s.ctl('complete', 'fields'), 'numa-node')
    s.ctl('allocate', 'vm9', 'gpus')
    contains(s.ctl('complete', 'allocations'), 'vm9')
    s.ctl('release', 'vm9')
    s.ctl('complete', 'nonsense', status=USAGE)


@test()
def reset_and_rescan(s):
    contains(s.ctl('device', 'reset', DISK, status=UNAVAILABLE), 'DeviceBusy')
    write(f'/sys/bus/pci/devices/{DISK}/driver/unbind', DISK)
    try:
        wait_until(lambda: not s.json('device', 'show', DISK)['driver'], 'the end of the driver')
        s.ctl('device', 'reset', DISK)
    finally:
        write('/sys/bus/pci/drivers_probe', DISK)
    s.ctl('rescan')
    contains(s.ctl('device', 'clear-quarantine', '0000:0f:00.0', status=NOT_FOUND), 'UnknownDevice')
    contains(s.ctl('device', 'quarantine', '0000:0f:00.0', 'smells', status=NOT_FOUND), 'UnknownDevice')
    contains(s.ctl('device', 'reset', '0000:00:01.0', status=UNAVAILABLE), ': ')


@test()
def quarantine(s):
    s.ctl('device', 'quarantine', DISK, 'smells of smoke')
    equal(s.json('device', 'show', DISK)['state'], 'quarantined', 'state')
    contains(s.ctl('explain', DISK), 'in quarantine: smells of smoke (since ')
    contains(s.ctl('device', 'quarantine', DISK, 'again', status=UNAVAILABLE), 'WrongState')
    s.ctl('device', 'clear-quarantine', DISK)
    check(s.json('device', 'show', DISK)['state'] != 'quarantined', 'still in quarantine')
    contains(s.ctl('device', 'clear-quarantine', DISK, status=UNAVAILABLE), 'WrongState')


# The service goes and comes

@test('restart')
def restart_in_the_middle_of_a_job(s):
    s.ctl('make-resource', 'gpus', GPU)
    s.ctl('allocate', 'vm1', 'gpus')
    order('delay', 'unbind', '1500000', GPU)
    client = subprocess.Popen([s.ctl_path, 'activate', 'vm1'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: [j for j in s.json('jobs') if j['state'] == 'running'], 'the job')
    time.sleep(0.3)
    s.kill()
    time.sleep(0.3)
    check(client.poll() is None, 'the client waits for the restart')
    s.start()
    out, err = client.communicate(timeout=90)
    contains(err, 'The service ended while job')
    state = s.json('show', 'vm1')['state']
    equal(client.returncode, {'active': OK, 'claimed': FAILED}[state], err)
    s.ctl('release', 'vm1')


@test('restart')
def no_service(s):
    s.stop()
    contains(s.ctl('status', status=NO_SERVICE), 'passthroughd is not running')
    contains(s.ctl('wait', '--timeout=1', status=STILL_RUNNING), 'not running')
    waiting = subprocess.Popen([s.ctl_path, 'wait', '--timeout=90'])
    time.sleep(0.2)
    s.start()
    equal(waiting.wait(90), OK)
    done = s.run('status', env={**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nowhere'})
    equal(done.returncode, NO_SERVICE)
    contains(done.stderr, "can't be reached")


@test('restart')
def another_host_is_reached_by_ssh(s):
    """A stand-in for ssh that starts the bridge here."""
    path = f'{s.directory}/bin'
    os.makedirs(path, exist_ok=True)
    with open(f'{path}/ssh', 'w') as f:
        f.write('#!/bin/sh\necho "$@" >>"$SSH_LOG"\nexec systemd-stdio-bridge\n')
    os.chmod(f.name, 0o755)
    environment = {**os.environ, 'PATH': f'{path}:{os.environ["PATH"]}', 'SSH_LOG': f'{s.directory}/ssh.log'}
    contains(s.ctl('-H', 'admin@far', 'groups', env=environment), 'gpus')
    with open(f'{s.directory}/ssh.log') as f:
        contains(f.read(), 'admin')


@test('no-iommu')
def without_an_iommu(s):
    findings = s.json('explain', NIC.replace('02', '01'))
    check([f for f in findings if f['severity'] == 'blocker'], findings)
    equal(s.ctl('devices', '--type=pci', '--columns=iommu-group', '--no-legend').strip(), '', 'no group is an empty cell')


@test('large')
def more_devices_than_one_page_holds(s):
    there = sorted(os.listdir('/sys/bus/pci/devices'))
    check(len(there) > 1000, len(there))
    equal([d['slot'] for d in s.json('devices', '--type=pci', '--columns=slot')], there)
    equal(len(s.ctl('devices', '--type=pci', '--no-legend').splitlines()), len(there))
    usb = [name for name in os.listdir('/sys/bus/usb/devices') if ':' not in name]
    equal(len(s.ctl('devices', '--type=usb', '--no-legend').splitlines()), len(usb))
    check(s.json('status')['devices']['total'] >= len(there) + len(usb), 'all devices')
    s.ctl('make-resource', 'one', s.json('devices', '--type=pci', '--state=free', '--columns=place')[0]['place'])
    equal(len(s.json('groups')), 1)
    equal(len(s.json('rules')), 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', required=True)
    parser.add_argument('--hosts', required=True)
    parser.add_argument('--inside')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    if options.inside:
        sys.exit(run_session(options.inside, options.build, options.names) > 0)

    wanted = [t for t in tests if not options.names or t.__name__ in options.names]
    sessions = {t.session: None for t in wanted}
    print(f'TAP version 13\n1..{len(wanted) + len(sessions)}', flush=True)
    failed = 0
    for session in sessions:
        with tempfile.TemporaryDirectory(prefix='passthroughctl-host-') as host:
            host += '/host'
            simhost = f'{options.build}/simhost/passthroughd-simhost'
            description = 'no-iommu' if session == 'no-iommu' else 'demo'
            subprocess.run([simhost, 'make', host, *(('--pci', '1100') if session == 'large' else
                                                     ('--host', f'{options.hosts}/{description}.json'))], check=True)
            failed += subprocess.run([simhost, 'run', host, '--', __file__, '--build', options.build, '--hosts',
                                      options.hosts, '--inside', session, *options.names]).returncode != 0
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
