#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Inside the VM: the service as its unit starts it does its work on a real kernel, behind all that the unit forbids."""

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback

NAME, ROOT = 'org.passthroughd1', '/org/passthroughd1'
UNIT = 'passthroughd.service'
NIC, TWINS = '0000:01:00.0', ('0000:05:00.0', '0000:05:00.1')
USER = 1001


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(seen, expected, what):
    check(seen == expected, f'{what}: {seen!r} instead of {expected!r}')


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f'in {seconds} seconds never: {what}')
        time.sleep(0.1)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    check(done.returncode == 0, f'{" ".join(command)}: {done.returncode}: {done.stdout}{done.stderr}')
    return done.stdout.strip()


def call(path, interface, *words):
    return json.loads(run('busctl', '--json=short', '--timeout=100', 'call', NAME, path, f'{NAME}.{interface}', *words))['data']


def get(path, interface, name):
    return json.loads(run('busctl', '--json=short', 'get-property', NAME, path, f'{NAME}.{interface}', name))['data']


def device(bdf):
    return f'{ROOT}/devices/pci_' + bdf.replace(':', '_').replace('.', '_')


def driver(bdf):
    with contextlib.suppress(FileNotFoundError):
        return os.path.basename(os.readlink(f'/sys/bus/pci/devices/{bdf}/driver'))
    return None


def finish(job):
    equal(call(job, 'Job', 'Wait', 'a{sv}', '0'), ['done', '', ''], 'job')


def allocate(group, bdf):
    """An activated allocation of this one device, its node for USER."""
    call(ROOT, 'Manager', 'MakeResource', 'aosa{sv}', '1', device(bdf), group, '0')
    allocation, job = call(ROOT, 'Manager', 'Allocate', 'saa{sv}a{sv}', 'guest', '1', '1', 'group', 's', group,
                           '3', 'activate', 'b', 'true', 'node-uid', 'u', str(USER), 'owner-uid', 'u', str(USER))
    finish(job)
    return allocation


def journal():
    return run('journalctl', '--no-pager', '-b', '-u', UNIT)


def the_unit_runs():
    """With no trace of VFIO in the kernel: its devices get their numbers later."""
    subprocess.run(['modprobe', '-r', 'vfio_pci', 'vfio_iommu_type1', 'mtty', 'mdev', 'vfio'], capture_output=True, check=False)
    with open('/proc/devices') as f:
        check('vfio' not in f.read(), 'the kernel has VFIO already')
    run('systemctl', 'start', UNIT)
    until(lambda: get(ROOT, 'Manager', 'Readiness') == 'ready', 'Readiness')
    equal(run('systemctl', 'is-active', UNIT), 'active', 'state')
    equal(get(ROOT, 'Manager', 'Problems'), [], 'Problems')


def workers_read_what_only_root_can():
    """The serial number capability lies beyond the 64 bytes that everybody may read."""
    call(device(NIC), 'Device', 'Explain', 'a{sv}', '0')
    serial = get(device(NIC), 'Device.Pci', 'Serial')
    check(serial != '', 'no serial number')
    check('could not be read' not in journal(), journal())


def a_device_is_bound_used_and_given_back():
    before = driver(NIC)
    allocation = allocate('nic', NIC)
    equal(driver(NIC), 'vfio-pci', 'driver')
    check('vfio' in run('journalctl', '--no-pager', '-b', '-u', 'modprobe@*'), 'systemd did not load the kernel module')
    number = get(device(NIC), 'Device', 'IommuGroup')
    node = os.stat(f'/dev/vfio/{number}')
    equal((node.st_uid, node.st_mode & 0o777), (USER, 0o600), 'owner of the node')

    # Somebody else's process has it open: the service sees whose, and waits.
    guest = subprocess.Popen(['setpriv', f'--reuid={USER}', '--clear-groups', 'vfio-probe', '--hold', str(number), NIC],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until(lambda: guest.stdout.readline().startswith('held'), 'a guest that holds it')
    job = call(allocation, 'Allocation', 'Deactivate', 'a{sv}', '0')[0]
    until(lambda: get(allocation, 'Allocation', 'State') == 'draining', 'draining')
    check('vfio-probe' in get(job, 'Job', 'Step'), f'the step does not say who: {get(job, "Job", "Step")}')
    equal(driver(NIC), 'vfio-pci', 'driver while it is open')
    guest.communicate('')
    finish(job)
    equal(driver(NIC), before, 'driver at the end')
    equal(get(allocation, 'Allocation', 'State'), 'claimed', 'State')
    finish(call(allocation, 'Allocation', 'Release', 'a{sv}', '0')[0])


def functions_of_a_group_go_together_over_a_restart():
    before = [driver(bdf) for bdf in TWINS]
    allocation = allocate('twins', TWINS[0])
    equal([driver(bdf) for bdf in TWINS], ['vfio-pci', 'vfio-pci'], 'drivers')
    run('systemctl', 'restart', UNIT)
    equal(get(allocation, 'Allocation', 'State'), 'active', 'State after a restart')
    run('systemctl', 'kill', '--kill-whom=main', '-s', 'KILL', UNIT)
    time.sleep(2)
    equal(get(allocation, 'Allocation', 'State'), 'active', 'State after kill -9')
    equal([driver(bdf) for bdf in TWINS], ['vfio-pci', 'vfio-pci'], 'drivers after restarts')
    finish(call(allocation, 'Allocation', 'Release', 'a{sv}', '0')[0])
    equal([driver(bdf) for bdf in TWINS], before, 'drivers at the end')


def nothing_was_forbidden():
    text = journal()
    for word in 'Operation not permitted', 'Permission denied', 'Function not implemented', 'Read-only file system':
        check(word not in text, text)


TESTS = [the_unit_runs, workers_read_what_only_root_can, a_device_is_bound_used_and_given_back,
         functions_of_a_group_go_together_over_a_restart, nothing_was_forbidden]


def main():
    failed = 0
    print(f'1..{len(TESTS)}', flush=True)
    for number, test in enumerate(TESTS, 1):
        try:
            test()
            print(f'ok {number} - {test.__name__.replace("_", " ")}', flush=True)
        except Exception:
            failed += 1
            print(f'not ok {number} - {test.__name__.replace("_", " ")}')
            print(''.join(f'# {line}\n' for line in traceback.format_exc().splitlines()), flush=True)
    if failed:
        print(''.join(f'# {line}\n' for line in journal().splitlines()[-60:]), flush=True)
    sys.exit(failed > 0)


main()
