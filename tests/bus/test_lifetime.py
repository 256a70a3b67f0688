#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Allocations that end with somebody else: a bus name, or whoever holds a pipe. The wish ends, the use does not."""

from harness import *

NIC = '0000:02:00.0'


@contextlib.contextmanager
def scene():
    with Service() as service:
        service.root.Manager.MakeResource([device_path(NIC)], 'nics', {})
        yield service, service.root


def gone(root, allocation):
    try:
        root.Allocation(allocation).State
        return False
    except BusError as e:
        equal(e.name, 'org.freedesktop.DBus.Error.UnknownObject', 'error')
        return True


def hold(client, allocation):
    fd, = client.call(allocation, f'{NAME}.Allocation', 'Hold', GLib.Variant('(sa{sv})', ('test', {})), fds=True)
    return fd


class Opener:
    """A process of some user that has a device node open, as a VM has."""

    def __init__(self, path, uid):
        ready, done = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for fd in range(3, 256):
                if fd != done:
                    with contextlib.suppress(OSError):
                        os.close(fd)        # also the pipe that holds the allocation
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            try:
                os.open(path, os.O_RDWR)
                os.write(done, b'x')
                signal.pause()
            finally:
                os._exit(1)
        os.close(done)
        equal(os.read(ready, 1), b'x', f'{path} can be opened by {uid}')
        os.close(ready)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@test()
def a_bus_name_holds():
    with scene() as (_service, root):
        client, other = Client(), Client()
        own, _job = client.Manager.Allocate('own', [{'group': 'nics'}], {'lifetime': 'bus', 'activate': True})
        others, _job = client.Manager.Allocate('others', [{'group': 'nics'}], {'lifetime': 'bus', 'holder': other.name})
        nobody, _job = client.Manager.Allocate('nobody', [{'group': 'nics'}], {'lifetime': 'bus', 'holder': ':1.99999'})
        kept, _job = client.Manager.Allocate('kept', [{'group': 'nics'}], {'holder': client.name})
        until(lambda: root.Allocation(own).State == 'active', 'the activation')
        until(lambda: gone(root, nobody), 'the end of what nobody holds')
        client.close()
        until(lambda: gone(root, own), 'the end of its own')
        equal(driver_of(NIC), 'igb', 'driver')
        equal((root.Allocation(others).State, root.Allocation(kept).State), ('claimed', 'claimed'), 'the others')
        other.close()
        until(lambda: gone(root, others), 'the end of the other')
        equal(root.Allocation(kept).State, 'claimed', 'a persistent one has no holder')
        rows = {(r['operation'], r['consumer']) for r in root.Manager.History({})}
        contains(rows, ('release', 'own'), 'history')


@test()
def a_pipe_holds_over_restarts():
    with scene() as (service, root):
        client = Client()
        allocation, _job = client.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'hold'})
        fd = hold(client, allocation)
        with raises('WrongState', 'held'):
            hold(client, allocation)
        client.close()
        root.flush()
        equal(root.Allocation(allocation).State, 'claimed', 'held by the pipe, not by the name')
        root.must(allocation, 'Activate')
        service.read_notifications()
        equal(len(service.stored_fds), 1, 'fds in the store')
        for number in signal.SIGTERM, signal.SIGKILL:
            service.restart(number)
            equal(root.Allocation(allocation).State, 'active', f'State after {number.name}')
        copy = os.dup(fd)
        os.close(fd)
        turn(0.2)
        equal(root.Allocation(allocation).State, 'active', 'a copy holds as well')
        os.close(copy)
        until(lambda: gone(root, allocation), 'the end')
        equal(driver_of(NIC), 'igb', 'driver')
        service.read_notifications()
        equal(service.stored_fds, {}, 'fds in the store at the end')


@test()
def who_lets_go_while_the_service_is_down():
    with scene() as (service, root):
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'hold', 'activate': True})
        fd = hold(root, allocation)
        until(lambda: root.Allocation(allocation).State == 'active', 'the activation')
        service.stop_daemon(signal.SIGKILL)
        os.close(fd)
        service.start_daemon()
        until(lambda: gone(root, allocation), 'the end')
        equal(driver_of(NIC), 'igb', 'driver')


@test()
def until_it_is_held_it_follows_its_caller():
    with scene() as (service, root):
        client = Client()
        allocation, _job = client.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'hold'})
        service.restart()
        equal(root.Allocation(allocation).State, 'claimed', 'State after a restart')
        client.close()
        until(lambda: gone(root, allocation), 'the end')


@test()
def the_use_goes_on():
    """A guest of another user has the device open: it drains, whoever lets go, and the service sees who it is."""
    with scene() as (service, root):
        uid = USERS['carol']
        carol = service.user('carol')
        allocation, _job = carol.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'hold'})
        fd = hold(carol, allocation)
        carol.must(allocation, 'Activate')
        node = f'/dev/vfio/{root.Device(device_path(NIC)).IommuGroup}'
        guest = Opener(node, uid)
        os.close(fd)
        until(lambda: root.Allocation(allocation).State == 'draining', 'draining')
        contains([f['code'] for f in root.Allocation(allocation).Explain({})], 'draining', 'findings')
        equal(driver_of(NIC), 'vfio-pci', 'driver while it is open')
        job, = [p for p, i in root.managed_objects().items() if i.get(f'{NAME}.Job', {}).get('State') == 'waiting']
        contains(root.Job(job).Step, str(guest.pid), 'the step says who')
        contains(root.Job(job).Step, node, 'the step says what')
        service.restart(signal.SIGKILL)
        until(lambda: root.Allocation(allocation).State == 'draining', 'draining after a crash')
        turn(0.3)
        equal((root.Allocation(allocation).State, driver_of(NIC)), ('draining', 'vfio-pci'), 'after a crash')
        guest.end()
        until(lambda: driver_of(NIC) == 'igb', 'the give-back')
        until(lambda: gone(root, allocation), 'the end')


@test()
def draining_can_be_cancelled_or_forced():
    with scene() as (service, root):
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {'node-uid': USERS['bob']})
        root.must(allocation, 'Activate')
        guest = Opener(f'/dev/vfio/{root.Device(device_path(NIC)).IommuGroup}', USERS['bob'])
        job = root.Allocation(allocation).Deactivate({})
        until(lambda: root.Allocation(allocation).State == 'draining', 'draining')
        root.Job(job).Cancel({})
        equal(root.wait_job(job)[:2], ('cancelled', 'Cancelled'), 'result')
        equal((root.Allocation(allocation).State, driver_of(NIC)), ('active', 'vfio-pci'), 'as before')
        job = root.Allocation(allocation).Deactivate({})
        until(lambda: root.Allocation(allocation).State == 'draining', 'draining')
        guest.end()
        equal(root.wait_job(job), ('done', '', ''), 'result')
        equal(root.Allocation(allocation).State, 'claimed', 'State')


@test()
def holders_that_make_no_sense():
    with scene() as (_service, root):
        for holder in '', 'x', '1' * 31, 'g' * 32, '1' * 33, '0' * 32:
            with raises('InvalidValue', 'invocation'):
                root.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'unit', 'holder': holder})
        with raises('InvalidValue', 'invocation'):
            root.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'unit'})
        for holder in '', 'two words', 'nodots', ':', 'a..b':
            with raises('InvalidValue', 'bus'):
                root.Manager.Allocate('vm', [{'group': 'nics'}], {'lifetime': 'bus', 'holder': holder})
        allocation, _job = root.Manager.Allocate('vm', [{'group': 'nics'}], {})
        with raises('WrongState', 'persistent'):
            root.Allocation(allocation).Hold('x', {})


if __name__ == '__main__':
    main()
