#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test_service.py BUILD: what is installed, under a systemd of its own.

Installs into a temporary directory, lays that over this machine's /usr, and boots the result with systemd-nspawn: an empty
root, volatile, with a network of its own. The devices are those of this machine; none is touched. Prints TAP.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

NAME, ROOT = 'org.passthroughd1', '/org/passthroughd1'
MANAGER = [NAME, ROOT, f'{NAME}.Manager']
UNIT = 'passthroughd.service'
# Tenths, as systemd-analyze security counts. ProtectKernelModules= and RestrictSUIDSGID= would bring it to 2.9, and network
# namespaces are another 0.1; the unit says why it can't do without.
EXPOSURE_MAX = 32


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(seen, expected, what):
    check(seen == expected, f'{what}: {seen!r} instead of {expected!r}')


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        check(time.monotonic() < end, f'in {seconds} seconds never: {what}')
        time.sleep(0.1)


class Container:
    def __init__(self, build):
        self.build, self.process, self.leader = build, None, None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix='passthroughd-systemd-')
        root = f'{self.directory}/root'
        done = subprocess.run(['meson', 'install', '-C', self.build, '--no-rebuild', '--quiet', '--destdir', root],
                              capture_output=True, text=True)
        check(done.returncode == 0, f'meson install: {done.stdout}{done.stderr}')
        check(os.path.exists(f'{root}/usr/lib/systemd/system/{UNIT}') or os.path.exists(f'{root}/lib/systemd/system/{UNIT}'),
              'the unit was not installed below /usr: the prefix must be /usr')
        self.name = f'passthroughd-{os.getpid()}'
        self.console = open(f'{self.directory}/console', 'w+b')
        self.process = subprocess.Popen(
            ['systemd-nspawn', '--quiet', '--register=no', '--keep-unit', '--volatile=yes', '--directory=/', f'--machine={self.name}',
             '--console=pipe', '--private-network', f'--overlay-ro=/usr:{root}/usr:/usr',
             f'--bind-ro={root}/etc/passthroughd:/etc/passthroughd', '--boot', 'systemd.unit=multi-user.target'],
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT,
            # With the first version of cgroups nobody tells a systemd inside when a group is empty.
            env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY='1'))
        try:
            self.leader = until(self.find_leader, 'the first process of the container')
            until(lambda: self.run('systemctl', 'is-system-running', fails=True) in ('running', 'degraded'),
                  'the end of the boot', 60)
        except BaseException:
            self.show_console()
            self.__exit__(None, None, None)
            raise
        return self

    def find_leader(self):
        check(self.process.poll() is None, f'systemd-nspawn ended with {self.process.returncode}')
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f'/proc/{self.process.pid}/task/{self.process.pid}/children') as f:
                for pid in f.read().split():
                    with open(f'/proc/{pid}/comm') as comm:
                        if comm.read().strip() == 'systemd':
                            return int(pid)
        return None

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            if self.leader:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.leader, signal.SIGRTMIN + 4)       # power off
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.console.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def show_console(self):
        self.console.seek(0)
        print(''.join(f'# {line}\n' for line in self.console.read().decode(errors='replace').splitlines()[-40:]))

    # -- inside --

    def run(self, *command, fails=False, text=None):
        """What a command inside says. It must succeed unless `fails`."""
        done = subprocess.run(['nsenter', '-t', str(self.leader), '-a', *command], capture_output=True, text=True,
                              input=text, timeout=120, stdin=None if text is not None else subprocess.DEVNULL)
        check(fails or done.returncode == 0, f'{" ".join(command)}: {done.returncode}: {done.stdout}{done.stderr}')
        return (done.stdout if done.returncode == 0 or not done.stderr else done.stdout + done.stderr).strip()

    def spawn(self, program, *arguments):
        """A Python program inside that runs on, and says a word when it is ready."""
        child = subprocess.Popen(['nsenter', '-t', str(self.leader), '-a', '/usr/bin/python3', '-c', program, *arguments],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        equal(child.stdout.readline().strip(), 'ready', 'first word')
        return child

    def call(self, *words):
        return json.loads(self.run('busctl', '--json=short', 'call', *words))['data']

    def get(self, path, interface, name):
        return json.loads(self.run('busctl', '--json=short', 'get-property', NAME, path, f'{NAME}.{interface}', name))['data']

    def show(self, name):
        return self.run('systemctl', 'show', '--value', '-p', name, UNIT)

    def allocations(self, path):
        return self.get(path, 'Group', 'Allocations')

    def restart(self):
        # Nobody restarts it that often but a test.
        self.run('systemctl', 'reset-failed', UNIT, fails=True)
        self.run('systemctl', 'restart', UNIT)

    def drop_in(self, text):
        self.run('mkdir', '-p', f'/run/systemd/system/{UNIT}.d')
        self.run('tee', f'/run/systemd/system/{UNIT}.d/test.conf', text=text)
        self.run('systemctl', 'daemon-reload')


def the_unit_is_valid(c):
    # The units that it names but that are not installed here (libvirt) do not matter to it.
    text = c.run('systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', f'/usr/lib/systemd/system/{UNIT}', fails=True)
    equal(text, '', 'systemd-analyze verify')


def wait_ready(c):
    """It answers before it has looked what the host needs, and says so."""
    end = time.monotonic() + 20
    while (readiness := c.get(ROOT, 'Manager', 'Readiness')) == 'starting' and time.monotonic() < end:
        time.sleep(0.05)
    equal(readiness, 'ready', 'Readiness')


def the_unit_is_confined(c):
    text = c.run('systemd-analyze', 'security', '--no-pager', f'--threshold={EXPOSURE_MAX}', UNIT)
    exposure = re.search(r'Overall exposure level for \S+: ([\d.]+)', text).group(1)
    print(f'# exposure {exposure}')
    check(float(exposure) * 10 <= EXPOSURE_MAX, text)


def it_is_ready_after_the_boot(c):
    equal((c.show('ActiveState'), c.show('SubState'), c.show('StatusText')), ('active', 'running', 'Ready'), 'state')
    equal((c.show('Result'), c.show('NRestarts')), ('success', '0'), 'result')
    wait_ready(c)
    modules = c.run('find', '/usr/lib', '-path', '*/passthroughd/modules/*.so', '-printf', '%f\\n').split()
    check({'pci.so', 'usb.so'} <= set(modules), f'installed modules: {modules}')
    equal(c.get(ROOT, 'Manager', 'Types'), sorted(name.removesuffix('.so') for name in modules), 'Types: each installed module')
    equal(c.get(ROOT, 'Manager', 'Problems'), [], 'Problems, with the configuration as it is installed')
    messages = [json.loads(line) for line in c.run('journalctl', '--no-pager', '-o', 'json', '-u', UNIT).splitlines()]
    ready = [m for m in messages if 'is ready' in str(m.get('MESSAGE'))]
    equal([(m['PRIORITY'], m['SYSLOG_IDENTIFIER'], m.get('_TRANSPORT')) for m in ready], [('5', 'passthroughd', 'journal')],
          'message in the journal')
    bad = [m['MESSAGE'] for m in messages if int(m.get('PRIORITY', 6)) <= 4]
    equal(bad, [], 'warnings in the journal')


def it_sees_the_devices(c):
    """Also what workers read, behind all that the unit forbids."""
    page, cursor, _generation = c.call(*MANAGER, 'ListDevices', 'sa(sss)a{sv}', 'pci', '0', '0')
    equal((sorted(entry['slot']['data'] for _path, entry in page), cursor), (sorted(os.listdir('/sys/bus/pci/devices')), ''),
          'devices')
    for path, _entry in page:
        findings = c.call(NAME, path, f'{NAME}.Device', 'Explain', 'a{sv}', '0')[0]
        check(all({'severity', 'code', 'text'} <= set(f) for f in findings), f'findings {findings}')
    log = c.run('journalctl', '--no-pager', '-u', UNIT)
    check('could not be read' not in log and 'worker' not in log.lower(), f'workers fail:\n{log}')


def calls_start_it(c):
    c.run('systemctl', 'stop', UNIT)
    equal(c.show('ActiveState'), 'inactive', 'state')
    equal(c.run('systemctl', 'show', '--value', '-p', 'TasksCurrent', UNIT), '[not set]', 'tasks that are left')
    check(c.run('ls', '/run/passthroughd/runtime.db', '/var/lib/passthroughd/state.db'), 'what has to stay is gone')
    wait_ready(c)
    equal(c.show('ActiveState'), 'active', 'state')


def ordinary_users_look_and_do_not_touch(c):
    user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    check('"ready"' in c.run(*user, 'busctl', 'get-property', *MANAGER, 'Readiness'), 'Readiness')
    text = c.run(*user, 'busctl', 'call', *MANAGER, 'CreateGroup', 'ssa{sv}a{sv}', 'x', 'pci', '0', '0', fails=True)
    check('authentic' in text.lower() or 'authoris' in text.lower() or 'polkit' in text.lower(), f'CreateGroup: {text}')
    text = c.run(*user, 'cat', '/var/lib/passthroughd/state.db', fails=True)
    check('Permission denied' in text, f'state.db: {text}')


def make_allocation(c, group, *options):
    path = c.call(*MANAGER, 'CreateGroup', 'ssa{sv}a{sv}', group, 'pci', '0', '0')[0]
    allocation, _job = c.call(*MANAGER, 'Allocate', 'saa{sv}a{sv}', 'guest', '1', '1', 'group', 's', group, *(options or '0'))
    return path, allocation


def allocations_outlive_it(c):
    group, allocation = make_allocation(c, 'kept')
    c.restart()
    equal(c.allocations(group), [allocation], 'after a restart')
    pid = c.show('MainPID')
    c.run('systemctl', 'reset-failed', UNIT, fails=True)
    c.run('systemctl', 'kill', '--kill-whom=main', '-s', 'KILL', UNIT)
    until(lambda: c.show('MainPID') not in ('0', pid) and c.show('ActiveState') == 'active', 'a new process')
    equal(c.allocations(group), [allocation], 'after kill -9')
    c.run('systemctl', 'stop', UNIT)
    c.run('systemctl', 'reset-failed', UNIT, fails=True)
    c.run('systemctl', 'start', UNIT)
    equal((c.allocations(group), c.get(allocation, 'Allocation', 'State')), ([allocation], 'claimed'), 'after stop and start')


HOLDER = '''
import sys
import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
_reply, fds = bus.call_with_unix_fd_list_sync("org.passthroughd1", sys.argv[1], "org.passthroughd1.Allocation", "Hold",
                                              GLib.Variant("(sa{sv})", ("test", {})), None, 0, -1, None, None)
fd = fds.get(0)
bus.close_sync(None)
print("ready", flush=True)
sys.stdin.read()
'''

OWNER = '''
import sys
import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
requests = [{"group": GLib.Variant("s", "held")}]
bus.call_sync("org.passthroughd1", "/org/passthroughd1", "org.passthroughd1.Manager", "Allocate",
              GLib.Variant("(saa{sv}a{sv})", ("guest", requests, {"lifetime": GLib.Variant("s", "hold")})), None, 0, -1, None)
print("ready", flush=True)
sys.stdin.read()
'''


def systemd_keeps_what_is_held(c):
    group = c.call(*MANAGER, 'CreateGroup', 'ssa{sv}a{sv}', 'held', 'pci', '0', '0')[0]
    owner = c.spawn(OWNER)
    allocation, = c.allocations(group)
    holder = c.spawn(HOLDER, allocation)
    owner.communicate()
    until(lambda: c.show('NFileDescriptorStore') == '1', 'an fd in the store')
    equal(c.allocations(group), [allocation], 'held')
    c.restart()
    equal((c.allocations(group), c.show('NFileDescriptorStore')), ([allocation], '1'), 'held over a restart')
    c.run('systemctl', 'reset-failed', UNIT, fails=True)
    c.run('systemctl', 'kill', '--kill-whom=main', '-s', 'KILL', UNIT)
    until(lambda: c.show('NRestarts') != '0' and c.show('ActiveState') == 'active', 'the next process')
    equal((c.allocations(group), c.show('NFileDescriptorStore')), ([allocation], '1'), 'held over kill -9')
    holder.communicate()
    until(lambda: c.allocations(group) == [], 'the end of the allocation')
    until(lambda: c.show('NFileDescriptorStore') == '0', 'an empty store')


def units_hold(c):
    group = c.call(*MANAGER, 'CreateGroup', 'ssa{sv}a{sv}', 'units', 'pci', '0', '0')[0]
    for end in 'stop', 'kill':
        c.run('systemd-run', '--quiet', '--unit=guest', 'sleep', 'infinity')
        invocation = c.run('systemctl', 'show', '--value', '-p', 'InvocationID', 'guest')
        allocation, _job = c.call(*MANAGER, 'Allocate', 'saa{sv}a{sv}', 'guest', '1', '1', 'group', 's', 'units',
                                  '2', 'lifetime', 's', 'unit', 'holder', 's', invocation)
        c.restart()
        time.sleep(0.5)
        equal(c.allocations(group), [allocation], 'while the unit runs')
        c.run('systemctl', end, 'guest')
        until(lambda: c.allocations(group) == [], f'the end of the allocation after {end}')
        c.run('systemctl', 'reset-failed', 'guest', fails=True)
    _allocation, _job = c.call(*MANAGER, 'Allocate', 'saa{sv}a{sv}', 'guest', '1', '1', 'group', 's', 'units',
                               '2', 'lifetime', 's', 'unit', 'holder', 's', '1' * 32)
    until(lambda: c.allocations(group) == [], 'the end of what no unit holds')


def the_watchdog_barks(c):
    c.drop_in('[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n')
    try:
        c.restart()
        pid = c.show('MainPID')
        time.sleep(5)
        equal(c.show('MainPID'), pid, 'a service that lives is left alone')
        c.run('kill', '-STOP', pid)
        until(lambda: c.show('MainPID') not in ('0', pid) and c.show('ActiveState') == 'active', 'a new process', 30)
        check('watchdog' in c.run('journalctl', '--no-pager', '-u', UNIT).lower(), 'nothing about a watchdog in the journal')
        wait_ready(c)
    finally:
        c.run('rm', '-r', f'/run/systemd/system/{UNIT}.d')
        c.run('systemctl', 'daemon-reload')
        c.restart()


def it_has_only_what_it_needs(c):
    pid = c.show('MainPID')
    status = dict(line.split(':\t', 1) for line in c.run('cat', f'/proc/{pid}/status').splitlines() if ':\t' in line)
    wanted = {'cap_chown', 'cap_dac_read_search', 'cap_fowner', 'cap_net_admin', 'cap_sys_admin', 'cap_sys_ptrace'}
    equal(set(c.run('capsh', f'--decode={status["CapBnd"]}').split('=')[1].split(',')), wanted, 'capabilities')
    equal((status['NoNewPrivs'], status['Seccomp']), ('1', '2'), 'confinement')
    inside = ['nsenter', '-t', pid, '-m']
    for path in '/usr/x', '/etc/x', '/boot/x', '/sys/kernel/x', '/root/x':
        text = c.run(*inside, 'touch', path, fails=True)
        check('Read-only' in text or 'Permission' in text or 'No such file' in text, f'{path} can be written: {text}')
    c.run(*inside, 'touch', '/var/lib/passthroughd/x', '/run/passthroughd/x')
    # What workers write to stays as it is outside, though everything else of /sys is read-only.
    mounts = [line.split() for line in c.run(*inside, 'cat', '/proc/self/mountinfo').splitlines()]
    for path in '/sys/bus', '/sys/devices':
        check(any(m[4] == path for m in mounts), f'{path} is no mount of its own')


TESTS = [the_unit_is_valid, the_unit_is_confined, it_is_ready_after_the_boot, it_sees_the_devices, calls_start_it,
         ordinary_users_look_and_do_not_touch, allocations_outlive_it, systemd_keeps_what_is_held, units_hold,
         the_watchdog_barks, it_has_only_what_it_needs]


def main():
    if os.geteuid() != 0:
        sys.exit('this test needs root: it boots a container')
    build, *names = sys.argv[1:]
    tests = [t for t in TESTS if not names or t.__name__ in names]
    print(f'1..{len(tests)}', flush=True)
    failed = 0
    with Container(build) as container:
        for number, test in enumerate(tests, 1):
            try:
                test(container)
                print(f'ok {number} - {test.__name__.replace("_", " ")}', flush=True)
            except Exception:
                failed += 1
                print(f'not ok {number} - {test.__name__.replace("_", " ")}')
                print(''.join(f'# {line}\n' for line in traceback.format_exc().splitlines()), flush=True)
        if failed:
            text = container.run('journalctl', '--no-pager', '-u', UNIT, '-n', '60', fails=True)
            print(''.join(f'# {line}\n' for line in text.splitlines()), flush=True)
    sys.exit(failed > 0)


main()
