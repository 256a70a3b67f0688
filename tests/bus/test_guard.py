#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host needs stays with the host, and nothing beside it does: disks of the described host, its mounts and swap."""

import contextlib
import ctypes
import os
import select
import signal
import time

from harness import *

# simhost/hosts/demo.json: what is mounted lies on the first disk.
SYSTEM, SPARE, NIC, ACCELERATOR = '0000:04:00.0', '0000:08:00.0', '0000:02:00.0', '0000:01:00.0'


def explained(client, bdf):
    return client.Device(device_path(bdf)).Explain({})


def codes(client, bdf, severity='blocker'):
    return {f['code'] for f in explained(client, bdf) if f['severity'] == severity}


def pool(client, name, bdf):
    client.Manager.MakeResource([device_path(bdf)], name, {})


def tried(client, group, options=None):
    allocation, _job = client.Manager.Allocate('vm', [{'group': group}], {})
    result = client.run(allocation, 'Activate', options or {})
    client.must(allocation, 'Release')
    return result


def set_swap(*lines):
    """As the kernel's table would read; the service is told by inotify here, where poll() would tell it."""
    with open('/proc/swaps', 'w') as f:
        f.write('Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n' + ''.join(f'{line}\n' for line in lines))


def disk_name(bdf):
    controller, = os.listdir(f'/sys/bus/pci/devices/{bdf}/nvme')
    return next(n for n in os.listdir(f'/sys/bus/pci/devices/{bdf}/nvme/{controller}') if n.startswith('nvme'))


@test()
def the_root_file_system_is_beyond_any_right():
    with Service() as service:
        root = service.root
        until(lambda: root.Device(device_path(SYSTEM)).State == 'forbidden', 'the verdict')
        first, *_ = explained(root, SYSTEM)
        equal((first['severity'], first['code'], first['culprit']), ('blocker', 'mount', '/'), 'the finding')
        contains(first['text'], f'/ ← {disk_name(SYSTEM)}p2 ← {SYSTEM}', 'the chain')
        pool(root, 'system', SYSTEM)
        equal(tried(root, 'system')[:2], ('failed', 'NoDeviceAvailable'), 'activate')
        equal(tried(root, 'system', {'override': [device_id(SYSTEM)]})[:2], ('failed', 'NoDeviceAvailable'), 'override')
        with raises('DeviceBusy'):
            root.Device(device_path(SYSTEM)).Reset({})
        # The disk beside it.
        equal(root.Device(device_path(SPARE)).State, 'free', 'the spare disk')
        pool(root, 'spare', SPARE)
        equal(tried(root, 'spare'), ('done', '', ''), 'the spare disk')


@test()
def swap_comes_and_goes():
    with Service() as service:
        root = service.root
        pool(root, 'spare', SPARE)
        until(lambda: root.Device(device_path(SPARE)).Allocatable, 'a free disk')
        equal(root.Group(root.Manager.GetGroup('spare')).Available, 1, 'Available')
        set_swap(f'/dev/{disk_name(SPARE)} partition 1048572 0 -2')
        # Nobody asks: whoever watches the properties is told.
        until(lambda: root.Device(device_path(SPARE)).State == 'critical', 'critical')
        equal((root.Device(device_path(SPARE)).Allocatable, root.Device(device_path(SPARE)).Blockers), (False, ['swap']), 'told')
        equal(root.Group(root.Manager.GetGroup('spare')).Available, 0, 'Available')
        equal(codes(root, SPARE), {'swap'}, 'Explain')
        result, error, message = tried(root, 'spare')
        equal((result, error), ('failed', 'NoDeviceAvailable'), 'activate')
        contains(message, f'swap /dev/{disk_name(SPARE)} ← {disk_name(SPARE)} ← {SPARE}', 'why')
        equal(codes(root, NIC), set(), 'a network card has nothing to do with it')
        set_swap()
        # At once, without waiting for the properties: a choice looks at the host as it is.
        equal(tried(root, 'spare'), ('done', '', ''), 'activate')
        until(lambda: root.Device(device_path(SPARE)).State == 'free', 'free again')
        set_swap(f'/dev/{disk_name(SPARE)} partition 1048572 0 -2')
        equal(tried(root, 'spare')[:2], ('failed', 'NoDeviceAvailable'), 'at once, the other way')


def watch_reads(path):
    """Whoever reads the file: an inotify descriptor, readable from then on."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    check(fd >= 0 and libc.inotify_add_watch(fd, path.encode(), 0x1) >= 0, os.strerror(ctypes.get_errno()))  # IN_ACCESS
    return fd


def workers():
    for entry in os.listdir('/proc'):
        with contextlib.suppress(OSError):
            if entry.isdigit() and read(f'/proc/{entry}/comm').startswith('passthroughd-wo'):
                yield int(entry)


@contextlib.contextmanager
def ahead_of_all():
    """Scheduled before everybody else, where that is allowed: what is stopped here must not be over before its turn comes."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@test()
def what_happens_while_the_evidence_is_collected_counts():
    """A swapon between the look at the swap table and the end of the collection: before the first step there is another look."""
    with Service() as service:
        root = service.root
        pool(root, 'spare', SPARE)
        until(lambda: root.Device(device_path(SPARE)).State == 'free', 'the verdict')
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'spare'}], {})
        for _attempt in range(40):
            time.sleep(1.2)  # the evidence grows old: Activate collects it anew
            fd = watch_reads('/proc/cmdline')  # which storage is looked for in after the swap table
            stopped = list(workers())  # it is one of those that are kept warm
            with ahead_of_all():
                job = root.Allocation(allocation).Activate({})
                check(select.select([fd], [], [], PATIENCE)[0], 'nobody looks')
                for pid in stopped:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
            os.close(fd)
            # A worker that was faster than this test is let go, and tried again.
            midway = root.Job(job).State == 'waiting'
            if midway:
                set_swap(f'/dev/{disk_name(SPARE)} partition 1048572 0 -2')
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            if midway:
                break
            root.wait_job(job)
            root.must(allocation, 'Deactivate')
        check(midway, 'no worker was stopped midway')
        result, error, message = root.wait_job(job)
        equal(result, 'failed', 'activate')
        check(error in ('DeviceBlocked', 'NoDeviceAvailable'), f'{error}: {message}')
        contains(message, f'swap /dev/{disk_name(SPARE)}', 'why')
        equal(driver_of(SPARE), 'nvme', 'driver')
        root.must(allocation, 'Release')


@test()
def an_override_names_the_device_and_is_on_record():
    with Service() as service:
        root = service.root
        pool(root, 'spare', SPARE)
        set_swap(f'/dev/{disk_name(SPARE)} partition 1048572 0 -2')
        equal(tried(root, 'spare', {'override': [device_id(NIC)]})[:2], ('failed', 'NoDeviceAvailable'), 'another device')
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'spare'}], {})
        root.Device(device_path(SPARE)).Quarantine('smells', {})
        root.must(allocation, 'Activate', {'override': [device_id(SPARE)]})
        equal(driver_of(SPARE), 'vfio-pci', 'driver')
        root.Device(device_path(SPARE)).ClearQuarantine({})
        equal(root.Device(device_path(SPARE)).State, 'active', 'State')
        rows = root.Manager.History({'operation': 'override'})
        equal([row['devices'] for row in rows], [[device_id(SPARE)]], 'history')
        contains(rows[0]['message'], 'swap: the host needs it: swap', 'history')
        contains(rows[0]['message'], 'quarantined: in quarantine: smells', 'all that stood against it')
        contains(service.log(), f'user 0 overrides what stands against {SPARE} (quarantined): quarantined: ', 'log')
        root.must(allocation, 'Release')


@test()
def without_an_answer_more_is_critical():
    """A worker that can't be started: what is bound to a driver of the host is not handed out, and it is said why."""
    with Service(configuration='[Service]\nWorker=/nonexistent\n') as service:
        root = service.root
        until(lambda: root.Manager.Readiness != 'starting', 'readiness')
        for bdf in SYSTEM, SPARE, NIC:
            equal(root.Device(device_path(bdf)).State, 'critical', bdf)
            equal(codes(root, bdf), {'evidence-missing'}, bdf)
            contains(next(f['text'] for f in explained(root, bdf) if f['code'] == 'evidence-missing'), '/nonexistent', 'why')
        pool(root, 'spare', SPARE)
        equal(tried(root, 'spare')[:2], ('failed', 'NoDeviceAvailable'), 'activate')
        # It could be what no override covers.
        equal(tried(root, 'spare', {'override': [device_id(SPARE)]})[:2], ('failed', 'NoDeviceAvailable'), 'override')


@test(host=80)
def without_an_answer_every_kind_that_a_collector_looks_at_is_critical():
    """Fibre Channel adapters and serial ports are neither of storage's class nor of the network's."""
    with Service(configuration='[Service]\nWorker=/nonexistent\n') as service:
        root = service.root
        until(lambda: root.Manager.Readiness != 'starting', 'readiness')
        seen = {}
        for bdf in os.listdir('/sys/bus/pci/devices'):
            base = read(f'/sys/bus/pci/devices/{bdf}/class')[2:6]
            if driver_of(bdf) and not base.startswith('06'):
                seen.setdefault(base, {})[bdf] = root.Device(device_path(bdf)).State
        for base in '0108', '0200', '0700', '0c04':
            equal(set(seen.get(base, {}).values()), {'critical'}, f'class {base} of {seen}')
        # What no driver of the host has, the host does not need.
        for bdf in [min(seen[base]) for base in ('0200', '0c04')]:
            write(f'/sys/bus/pci/devices/{bdf}/driver/unbind', bdf)
            until(lambda: root.Device(device_path(bdf)).State == 'free', f'{bdf} without a driver')


main()
