#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""passthroughd-worker on a simulated host: every test begins with a host of its own and looks at all of it afterwards.

    test_worker.py --simhost PROGRAM --worker PROGRAM [--hosts DIRECTORY] [TEST...]
    test_worker.py --real --worker PROGRAM [TEST...]

Prints TAP. Started again inside of the simulated host for each test. With --real the tests that need no injected fault
run on the hardware of this machine, which must be the VM of tests/vm.
"""

import argparse
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

# simhost/hosts/demo.json, and what tests/vm/hardware.py makes
if os.path.exists('/sys/bus/pci/devices/0000:09:00.0/sriov_numvfs'):
    NIC, NIC_DRIVER = '0000:01:00.0', 'e1000e'
    TWINS = '0000:05:00.0', '0000:05:00.1'
    PF = '0000:08:00.0'
else:
    NIC, NIC_DRIVER = '0000:02:00.0', 'igb'
    TWINS = '0000:01:00.0', '0000:01:00.1'
    PF = '0000:07:00.0'
TWIN = TWINS[1]
MESSAGE_MAX = 1 << 20
UID, GID = 64055, 108

tests = []


def test(host='demo.json', simulated=False):
    """Marks a function as a test on a host of this description, perhaps one that only a simulated host can give."""
    def mark(function):
        function.host, function.simulated = host, simulated
        tests.append(function)
        return function
    return mark


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def check_equal(found, expected, what=''):
    check(found == expected, f'{what}: found {found!r}, expected {expected!r}')


# The host

def read(path):
    with open(path) as f:
        return f.read().strip()


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def driver_of(bdf):
    try:
        return os.path.basename(os.readlink(f'/sys/bus/pci/devices/{bdf}/driver'))
    except FileNotFoundError:
        return None


def override_of(bdf):
    text = read(f'/sys/bus/pci/devices/{bdf}/driver_override')
    return '' if text == '(null)' else text


def group_of(bdf):
    try:
        return int(os.path.basename(os.readlink(f'/sys/bus/pci/devices/{bdf}/iommu_group')))
    except FileNotFoundError:
        return -1


def node_of(bdf):
    return f'vfio/{group_of(bdf)}'


def parent_of(bdf):
    return os.path.realpath(f'/sys/bus/pci/devices/{bdf}').split('/')[-2]


def state_of_host():
    """All that a step may change and undo must restore."""
    state = {}
    for bdf in os.listdir('/sys/bus/pci/devices'):
        path = f'/sys/bus/pci/devices/{bdf}/sriov_numvfs'
        state[bdf] = (driver_of(bdf), override_of(bdf), read(path) if os.path.exists(path) else None)
    for name in os.listdir('/dev/vfio'):
        st = os.stat(f'/dev/vfio/{name}')
        state[f'/dev/vfio/{name}'] = (st.st_uid, st.st_gid, st.st_mode)
    return state


def ctl(*order):
    subprocess.run([arguments.simhost, 'ctl', *map(str, order)], check=True)


def wait_until(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f'{what} did not happen')
        time.sleep(0.005)


def waiting():
    return subprocess.run([arguments.simhost, 'ctl', 'waiting'], check=True, stdout=subprocess.PIPE, text=True).stdout


# The worker

class Died(Exception):
    pass


class Worker:
    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.posix_spawn(arguments.worker, [arguments.worker], os.environ,
                                  file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)])
        theirs.close()
        self.socket = ours
        self.socket.settimeout(20)

    def send(self, **message):
        try:
            self.socket.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError):
            raise Died from None

    def receive(self, kind=None):
        while True:
            try:
                packet = self.socket.recv(MESSAGE_MAX)
            except ConnectionResetError:
                raise Died from None
            if not packet:
                raise Died
            message = json.loads(packet)
            if message['type'] == 'log':
                continue
            check(kind is None or message['type'] == kind, f'{message} came instead of "{kind}"')
            return message

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait_for_death()

    def wait_for_death(self):
        check_equal(self.wait(), -signal.SIGKILL, 'status of the killed worker')

    def hang_up(self):
        self.socket.close()

    def wait(self):
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self):
        """The end that every worker must come to by itself."""
        self.hang_up()
        check_equal(self.wait(), 0, 'exit status of the worker')


def device(bdf):
    return {'id': device_id(bdf), 'subsystem': 'pci', 'sysname': bdf, 'devtype': None, 'driver': driver_of(bdf),
            'iommu_group': group_of(bdf), 'numa_node': -1, 'module': 'pci.so'}


def step(kind, bdf, sentence='do it', **members):
    return {'kind': kind, 'device': device_id(bdf), 'sentence': sentence, **members}


def device_id(bdf):
    return 'pci-' + bdf.replace(':', '-').replace('.', '-')


# Read while the devices are there: some tests take them away.
NIC_NODE, TWIN_NODE = node_of(NIC), node_of(TWIN)


def bind(bdf, driver='vfio-pci', **members):
    return step('set-driver', bdf, f'bind {bdf} to {driver}', value=driver, **members)


def own(bdf, name, **members):
    return step('node-owner', bdf, f'give /dev/{name} to the guest', name=name, uid=UID, gid=GID, mode=0o660, **members)


def activation():
    return [bind(NIC), own(NIC, NIC_NODE)]


class Job:
    """The service's side of one job: records, says go, and can stop at any point."""

    def __init__(self, mode, devices, steps, observed=None):
        self.request = {'type': 'job', 'job': '1', 'mode': mode, 'module_dir': '/usr/lib/passthroughd/modules',
                        'devices': [device(b) for b in devices], 'steps': steps}
        if observed is not None:
            self.request['observed'] = observed
        self.observed = list(observed) if observed else [None] * len(steps)
        self.after = {}
        self.result = self.error = None

    def run(self, worker, point=None, action=None):
        """Calls `action` at the protocol point with this number; returns the number of points that were passed."""
        passed = 0

        def here():
            nonlocal passed
            passed += 1
            if passed == point:
                action(worker)

        here()  # started, hello not read
        worker.receive('hello')
        here()  # idle
        worker.send(**self.request)
        here()  # the job is on its way
        while True:
            message = worker.receive()
            if message['type'] == 'before':
                self.observed[message['step']] = message['observed']
                here()  # recorded, go not said
                worker.send(type='go', step=message['step'])
                here()  # in the middle of the step
            elif message['type'] == 'after':
                self.after[message['step']] = message
                here()  # between two steps
            else:
                check_equal(message['type'], 'done', 'end of the job')
                self.result, self.error = message['result'], message['error']
                here()
                return passed


def execute(steps, devices=None):
    worker = Worker()
    job = Job('execute', devices or [NIC], steps)
    job.run(worker)
    worker.close()
    return job


def undo(job, steps=None):
    worker = Worker()
    back = Job('undo', [d['sysname'] for d in job.request['devices']], steps or job.request['steps'], job.observed)
    back.run(worker)
    worker.close()
    return back


def check_done(job):
    check_equal(job.result, 0, f'result ({job.error}, {job.after})')


# The tests

@test()
def bind_and_undo():
    before = state_of_host()
    job = execute(activation())
    check_done(job)
    check_equal(driver_of(NIC), 'vfio-pci')
    check_equal(override_of(NIC), 'vfio-pci')
    st = os.stat(f'/dev/{NIC_NODE}')
    check_equal((st.st_uid, st.st_gid, st.st_mode & 0o7777), (UID, GID, 0o660), 'owner of the node')

    check_done(undo(job))
    check_equal(state_of_host(), before, 'the host after undo')
    check_done(undo(job))
    check_equal(state_of_host(), before, 'the host after undo came again')


@test()
def nothing_to_do_writes_nothing():
    first = execute([bind(NIC)])
    check_done(first)
    sent = read_sent()
    job = execute([bind(NIC)])
    check_done(job)
    check_equal(json.loads(job.observed[0]), {'driver': 'vfio-pci', 'override': 'vfio-pci'}, 'what was observed')
    check_equal(read_sent(), sent, 'events since then')
    check_done(undo(job))
    check_equal(driver_of(NIC), 'vfio-pci', 'what was on vfio-pci before')
    check_done(undo(first))


def read_sent():
    if arguments.real:
        return int(read('/sys/kernel/uevent_seqnum'))
    return int(subprocess.run([arguments.simhost, 'ctl', 'uevents-sent'], check=True, stdout=subprocess.PIPE).stdout)


@test()
def bundle_of_two():
    before = state_of_host()
    steps = [*(bind(b) for b in TWINS), own(TWIN, TWIN_NODE)]
    job = execute(steps, TWINS)
    check_done(job)
    check_equal([driver_of(b) for b in TWINS], ['vfio-pci', 'vfio-pci'], 'drivers')
    check_done(undo(job))
    check_equal(state_of_host(), before, 'the host after undo')


@test(simulated=True)
def each_write_fails():
    """Whatever the kernel refuses, undo leads back; the message names device and reason."""
    before = state_of_host()
    for operation in 'driver_override', 'unbind', 'drivers_probe', 'bind':
        for error in 'EBUSY', 'EPERM', 'EINVAL', 'EIO', 'ENODEV', 'ENOMEM':
            # A probe that fails once is asked again for its reason: the order is for both.
            ctl('fail', operation, NIC, error, 2 if operation == 'bind' else 1)
            job = execute(activation())
            what = f'{operation} {error}'
            if operation == 'drivers_probe':
                check_done(job)  # the driver was asked itself, and took it
            else:
                check_equal(job.result, -getattr(errno, error), what)
                text = job.after[0]['error']
                check(NIC in text and os.strerror(getattr(errno, error)) in text, f'{what}: {text}')
                check_equal(sorted(job.after), [0], f'{what}: steps that ended')
            ctl('release')
            check_done(undo(job))
            check_equal(state_of_host(), before, f'the host after undo of {what}')


@test(simulated=True)
def each_write_of_undo_fails():
    """Undo says what is where, and leads back when it is called again."""
    before = state_of_host()
    for operation in 'driver_override', 'unbind', 'bind':
        job = execute(activation())
        check_done(job)
        ctl('fail', operation, NIC, 'EIO', 0)
        back = undo(job)
        check_equal(back.result, -errno.EIO, f'undo with {operation} refused')
        text = back.after[0]['error']
        check(f'{NIC} was bound to {NIC_DRIVER}, driver_override not set before and could not be restored: it is ' in text, text)
        check(f' is {"without a driver" if operation == "bind" else "bound to vfio-pci"}' in text, text)
        # The owner of the node was restored all the same.
        check_equal(back.after[1]['result'], 0, 'undo of the node')
        ctl('release')
        check_done(undo(job))
        check_equal(state_of_host(), before, 'the host after the second undo')


@test()
def killed_at_each_point():
    """SIGKILL at every point of the protocol, of the job and of its undo; a new worker leads back."""
    before = state_of_host()
    steps = activation()
    points = Job('execute', [NIC], steps)
    worker = Worker()
    n_points = points.run(worker)
    worker.close()
    check_done(undo(points))

    for point in range(1, n_points + 1):
        for undo_point in range(0, n_points + 1, 3):
            killed_once(steps, point, undo_point)
            check_equal(state_of_host(), before, f'the host after a kill at {point} and at {undo_point} of undo')


def killed_once(steps, point, undo_point):
    job = Job('execute', [NIC], steps)
    try:
        job.run(Worker(), point, Worker.kill)
    except Died:
        pass
    if undo_point:
        try:
            Job('undo', [NIC], steps, job.observed).run(Worker(), undo_point, Worker.kill)
        except Died:
            pass
    check_done(undo(job))


@test(simulated=True)
def killed_while_the_kernel_hangs():
    """SIGKILL does not reach a writer that waits in the kernel: it stays until the write is through. Undo waits for
    it, and leads back."""
    before = state_of_host()
    for operation in 'unbind', 'bind':
        ctl('hang', operation, NIC)
        job = Job('execute', [NIC], activation())
        worker = Worker()
        runner = threading.Thread(target=run_until_dead, args=(job, worker))
        runner.start()
        wait_until(lambda o=operation: f'{o} {NIC}' in waiting(), f'the hang of {operation}')
        os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.1)
        check_equal(os.waitpid(worker.pid, os.WNOHANG), (0, 0), 'the stuck worker')

        back = Job('undo', [NIC], job.request['steps'], job.observed)
        second = Worker()
        other = threading.Thread(target=back.run, args=(second,))
        other.start()
        time.sleep(0.2)
        check_equal(back.after, {}, 'what was undone beside the stuck worker')
        ctl('release')
        worker.wait_for_death()
        runner.join()
        other.join()
        second.close()
        check_done(back)
        check_equal(state_of_host(), before, f'the host after a hang of {operation}')


def run_until_dead(job, worker):
    try:
        job.run(worker)
    except Died:
        pass


@test(simulated=True)
def service_dies_while_the_kernel_hangs():
    """The old worker ends its step and begins no other; the new one does not touch the device before that."""
    before = state_of_host()
    ctl('hang', 'unbind', NIC)
    old = Worker()
    job = Job('execute', [NIC], activation())
    old.receive('hello')
    old.send(**job.request)
    job.observed[0] = old.receive('before')['observed']
    old.send(type='go', step=0)
    wait_until(lambda: f'unbind {NIC}' in waiting(), 'the hang')
    old.hang_up()

    new = Worker()
    back = Job('undo', [NIC], job.request['steps'], job.observed)
    runner = threading.Thread(target=back.run, args=(new,))
    runner.start()
    time.sleep(0.3)
    check_equal(back.after, {}, 'what the new worker has done already')
    ctl('release')
    check_equal(old.wait(), 0, 'exit status of the old worker')
    runner.join()
    new.close()
    check_done(back)
    check_equal(state_of_host(), before, 'the host')


@test(simulated=True)
def earlier_operation_is_stuck():
    """A worker that never ends is named instead of waited for without limit."""
    ctl('hang', 'unbind', NIC)
    old = Worker()
    old.receive('hello')
    old.send(**Job('execute', [NIC], [bind(NIC)]).request)
    old.receive('before')
    old.send(type='go', step=0)
    wait_until(lambda: f'unbind {NIC}' in waiting(), 'the hang')

    job = execute([bind(NIC)])
    check_equal(job.result, -errno.EBUSY, 'result')
    check('An earlier operation on ' + NIC in job.error, job.error)
    check_equal(job.after, {}, 'steps')
    # Another device is free.
    check_done(execute([bind(TWIN)], [TWIN]))
    ctl('release')
    old.receive('after')
    old.close()


@contextlib.contextmanager
def guest():
    """Somebody who has the device open, as a VM has it."""
    if arguments.real:
        holder = subprocess.Popen(['vfio-probe', '--hold', str(group_of(NIC)), NIC], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        check(any(line.startswith('held') for line in holder.stdout), 'the guest does not start')
        yield
        holder.stdin.close()
        check_equal(holder.wait(), 0, 'exit status of the guest')
    else:
        fd = os.open(f'/dev/{NIC_NODE}', os.O_RDWR)
        yield
        os.close(fd)


@test()
def device_in_use_blocks_unbind():
    """Unbinding from vfio-pci waits for the user without limit, and SIGKILL for the end of that. Nobody else comes
    near the device meanwhile; afterwards undo leads back."""
    before = state_of_host()
    job = execute(activation())
    check_done(job)
    with guest():
        worker = Worker()
        back = Job('undo', [NIC], activation(), job.observed)
        runner = threading.Thread(target=run_until_dead, args=(back, worker))
        runner.start()
        wait_until(lambda: driver_of(NIC) is None, 'the unbind')
        os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.2)
        check_equal(os.waitpid(worker.pid, os.WNOHANG), (0, 0), 'the stuck worker')
        refused = undo(job)
        check_equal(refused.result, -errno.EBUSY, 'undo beside the stuck worker')
        check('it may be stuck in the kernel' in refused.error, refused.error)
    worker.wait_for_death()
    runner.join()
    check_done(undo(job))
    check_equal(state_of_host(), before, 'the host')


@test()
def holders_are_found():
    job = execute(activation())
    fd = os.open(f'/dev/{NIC_NODE}', os.O_RDWR)
    worker = Worker()
    worker.receive('hello')
    worker.send(type='holders', nodes=[f'/dev/{NIC_NODE}', '/dev/vfio/4711'])
    held = worker.receive('held')['holders']
    check_equal(worker.receive('done')['result'], 0)
    check_equal([(h['pid'], h['node']) for h in held], [(os.getpid(), f'/dev/{NIC_NODE}')], 'holders')
    check_equal(held[0]['comm'], read(f'/proc/{os.getpid()}/comm'), 'name of the holder')
    os.close(fd)
    worker.close()
    check_done(undo(job))


@test('no-iommu.json', simulated=True)
def no_iommu():
    nic = next(b for b in os.listdir('/sys/bus/pci/devices')
               if read(f'/sys/bus/pci/devices/{b}/class').startswith('0x02') and driver_of(b))
    before = state_of_host()
    job = execute([bind(nic)], [nic])
    check_equal(job.result, -errno.EINVAL, 'result')
    check_equal(job.after[0]['code'], 'NoIommu', 'class of the failure')
    check('has no IOMMU group' in job.after[0]['error'], job.after[0]['error'])
    check_done(undo(job))
    check_equal(state_of_host(), before, 'the host')


@test()
def bridge():
    port = parent_of(TWIN)
    job = execute([bind(port)], [port])
    check_equal(job.result, -errno.EINVAL, 'result')
    check('is a bridge' in job.after[0]['error'], job.after[0]['error'])
    check_done(undo(job))
    check_equal(driver_of(port), 'pcieport', 'driver of the port')


@test()
def virtual_functions():
    """Made, waited for, in the way of binding their PF, and taken away again."""
    before = state_of_host()
    count = step('write-attribute', PF, 'make two virtual functions', name='sriov_numvfs', value='2')
    job = execute([count, step('wait', PF, 'wait for the second one', name='virtfn1', value='', timeout_ms=5000)], [PF])
    check_done(job)
    vf = os.path.basename(os.readlink(f'/sys/bus/pci/devices/{PF}/virtfn1'))
    given = execute([bind(vf)], [vf])
    check_done(given)
    check_equal(driver_of(vf), 'vfio-pci', 'driver of the VF')

    refused = execute([step('write-attribute', PF, 'make three', name='sriov_numvfs', value='3')], [PF])
    check_equal(refused.result, -errno.EBUSY, 'change from 2 to 3')
    check('only be changed from 0' in refused.after[0]['error'], refused.after[0]['error'])
    refused = execute([step('write-attribute', PF, 'make many', name='sriov_numvfs', value='0')], [PF])
    check_done(refused)
    check_done(undo(given))  # the VF is gone: nothing to restore
    refused = execute([step('write-attribute', PF, 'make many', name='sriov_numvfs', value='60000')], [PF])
    check_equal(refused.result, -errno.ERANGE, 'more than there can be')

    check_done(undo(job))
    check_equal(state_of_host(), before, 'the host')


@test(simulated=True)
def fewer_functions_than_asked():
    """Some drivers take the number, make fewer, and call it success."""
    ctl('limit', PF, 1)
    job = execute([step('write-attribute', PF, 'make two', name='sriov_numvfs', value='2')], [PF])
    check_equal(job.result, -errno.EIO, 'result')
    check('was set to "2" but reads "1"' in job.after[0]['error'], job.after[0]['error'])
    check_done(undo(job))
    check_equal(read(f'/sys/bus/pci/devices/{PF}/sriov_numvfs'), '0', 'functions after undo')


@test()
def pf_loses_its_functions():
    """They go with the driver of their PF, which then can be bound, and its return does not bring them back."""
    write(f'/sys/bus/pci/devices/{PF}/sriov_numvfs', '1')
    driver = driver_of(PF)
    job = execute([bind(PF)], [PF])
    check_done(job)
    check(not os.path.lexists(f'/sys/bus/pci/devices/{PF}/virtfn0'), 'a VF without its PF')
    check_done(undo(job))
    check_equal(driver_of(PF), driver, 'driver of the PF')
    check_equal(read(f'/sys/bus/pci/devices/{PF}/sriov_numvfs'), '0', 'functions')


@test(simulated=True)
def unplugged_before_undo():
    job = execute(activation())
    check_done(job)
    ctl('unplug', NIC)
    wait_until(lambda: not os.path.lexists(f'/sys/bus/pci/devices/{NIC}'), 'the unplug')
    back = undo(job)
    check_done(back)
    check('is gone' in back.after[0]['text'], back.after[0])
    again = execute(activation())
    check_equal((again.result, again.after[0]['code']), (-errno.ENODEV, 'DeviceGone'), 'execute on what is gone')


@test()
def reset():
    job = execute([step('reset', NIC, 'reset it')])
    check_done(job)
    check_done(undo(job))
    write(f'/sys/bus/pci/devices/{NIC}/reset_method', '\n')
    job = execute([step('reset', NIC, 'reset it')])
    check(job.result < 0, 'a device without a method was reset')
    check('reset' in job.after[0]['error'], job.after[0]['error'])
    write(f'/sys/bus/pci/devices/{NIC}/reset_method', 'default')
    print(f'# without a method: {job.after[0]["error"]}')


@test()
def nodes_of_others():
    given = execute(activation())
    check_done(given)
    twin = execute([bind(TWIN)], [TWIN])
    check_done(twin)
    for bdf, name in (NIC, TWIN_NODE), (TWIN, NIC_NODE), (NIC, 'vfio/vfio'), (NIC, 'null'):
        before = state_of_host()
        job = execute([own(bdf, name)], [bdf])
        check(job.result < 0, f'{bdf} was given /dev/{name}')
        check_equal(job.after[0]['code'], 'WrongNode', name)
        check_equal(state_of_host(), before, 'the host')
    check_done(undo(twin))
    check_done(undo(given))


@test()
def steps_out_of_bounds():
    """Devices outside of the job and names that lead elsewhere are refused before anything is done."""
    before = state_of_host()
    for bad in (bind(TWIN), bind(NIC, '../../../module'), bind(NIC, '..'),
                step('write-attribute', NIC, name=f'../{TWIN}/reset', value='1'),
                step('write-attribute', NIC, name='..', value='1'),
                step('write-attribute', NIC, name='', value='1'),
                step('node-owner', NIC, name='../etc/passwd', uid=1, gid=1, mode=0o666),
                step('node-owner', NIC, name='/etc/passwd', uid=1, gid=1, mode=0o666),
                step('node-owner', NIC, name='vfio/11', uid=1, gid=1, mode=0o4777),
                step('dance', NIC), {'kind': 'reset'}, 17, None, []):
        job = execute([bind(NIC), bad])
        check(job.result < 0, f'{bad} was not refused')
        check(job.error, f'{bad} was refused without a reason')
        check_equal(job.after, {}, f'steps done before {bad}')
        check_equal(state_of_host(), before, 'the host')


@test()
def links_out_of_the_device():
    """An attribute that is a link to elsewhere is not followed."""
    job = execute([step('write-attribute', NIC, name='subsystem', value='1')])
    check(job.result < 0, 'a link was written to')
    job = execute([step('wait', NIC, name='driver', value='x', timeout_ms=30)])
    check_equal(job.result, -errno.ETIMEDOUT, 'wait for what is no attribute')


@test()
def time_of_a_bind():
    """No limit, only a figure for who reads the log."""
    begin = time.monotonic()
    rounds = 20
    for _ in range(rounds):
        job = execute([bind(NIC)])
        check_done(job)
        check_done(undo(job))
    print(f'# bind and back, a worker for each: {(time.monotonic() - begin) / rounds * 1000:.2f} ms', flush=True)


# Who runs them

def run_here(name):
    """One test, where we are. On hardware the next one goes on with what this one leaves."""
    before = state_of_host()
    try:
        next(t for t in tests if t.__name__ == name)()
        if arguments.real:
            check_equal(state_of_host(), before, 'what the test leaves')
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def inside_command(name, directory):
    """The same in a simulated host of its own."""
    function = next(t for t in tests if t.__name__ == name)
    host = f'{directory}/{function.host}'
    if not os.path.exists(host):
        subprocess.run([arguments.simhost, 'make', host, '--host', f'{arguments.hosts}/{function.host}'], check=True)
    return [arguments.simhost, 'run', host, '--', *here_command(name), '--simhost', arguments.simhost]


def here_command(name):
    return ['/usr/bin/python3', os.path.abspath(__file__), '--worker', arguments.worker, '--inside', name]


def run_all():
    chosen = [t.__name__ for t in tests if (not arguments.tests or t.__name__ in arguments.tests)
              and not (arguments.real and t.simulated)]
    failed = 0
    print(f'1..{len(chosen)}')
    with tempfile.TemporaryDirectory(prefix='passthroughd-sim-') as directory:
        for number, name in enumerate(chosen, 1):
            command = [*here_command(name), '--real'] if arguments.real else inside_command(name, directory)
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
            for line in result.stdout.splitlines():
                print(line if line.startswith('#') else f'# {line}')
            failed += result.returncode != 0
            print(f'{"ok" if result.returncode == 0 else "not ok"} {number} - {name}', flush=True)
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--simhost', type=os.path.abspath)
    parser.add_argument('--real', action='store_true')
    parser.add_argument('--worker', type=os.path.abspath, required=True)
    parser.add_argument('--hosts', default=f'{os.path.dirname(os.path.abspath(__file__))}/../../simhost/hosts')
    parser.add_argument('--inside', metavar='TEST')
    parser.add_argument('tests', nargs='*')
    result = parser.parse_args()
    if not result.real and not result.simhost:
        parser.error('--simhost or --real is needed')
    return result


if __name__ == '__main__':
    arguments = parse_arguments()
    sys.exit(run_here(arguments.inside) if arguments.inside else run_all())
