# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of passthroughctl stand on: a bus and a service on the simulated host that they run in, a terminal, checks."""

import fcntl
import json
import os
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time
import traceback

GPU, AUDIO, NIC, DISK = '0000:01:00.0', '0000:01:00.1', '0000:02:00.0', '0000:08:00.0'
OK, FAILED, USAGE, NOT_FOUND, NOT_AUTHORIZED, UNAVAILABLE, NO_SERVICE, STILL_RUNNING = range(8)
INTERRUPTED = 130
NOBODY = 65534
TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441 # not in Python's termios
BUS_SOCKET = '/run/dbus/system_bus_socket'
BUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/>
    <allow send_type="method_call"/><allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/>
    <allow receive_type="error"/><allow receive_type="signal"/>
  </policy>
</busconfig>
"""

tests = []


def test(session='demo'):
    """Marks a function as a test of a session: one host and one service, in the order of the file."""
    def mark(function):
        function.session = session
        tests.append(function)
        return function
    return mark


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(found, expected, what=''):
    check(found == expected, f'{what}: found {found!r}, expected {expected!r}')


def contains(text, part):
    check(part in text, f'{part!r} is not in {text!r}')


# The service

class Service:
    def __init__(self, build, directory):
        self.build, self.directory = build, directory
        self.ctl_path = f'{build}/cli/passthroughctl'
        self.process = None
        for name in 'etc', 'modules', 'state':
            os.makedirs(f'{directory}/{name}', mode=0o755)
        for folder, _, files in os.walk(f'{build}/modules'):
            for name in files:
                if name.endswith('.so'):
                    shutil.copy(f'{folder}/{name}', f'{directory}/modules')
        with open(f'{directory}/etc/passthroughd.conf', 'w') as f:
            f.write(f'[Service]\nNode=test\nModuleDirectory={directory}/modules\n'
                    f'Worker={build}/worker/passthroughd-worker\n')
        with open(f'{directory}/bus.conf', 'w') as f:
            f.write(BUS_CONFIGURATION % BUS_SOCKET)
        os.makedirs('/run/passthroughd', exist_ok=True)
        self.log = open(f'{directory}/log', 'a')
        self.bus = subprocess.Popen(['dbus-daemon', f'--config-file={directory}/bus.conf', '--nofork', '--nopidfile'],
                                    stdout=self.log, stderr=self.log)
        wait_until(lambda: os.path.exists(BUS_SOCKET), 'the bus')
        os.environ.update(STATE_DIRECTORY=f'{directory}/state', RUNTIME_DIRECTORY='/run/passthroughd',
                          DBUS_SYSTEM_BUS_ADDRESS=f'unix:path={BUS_SOCKET}')

    def start(self):
        self.process = subprocess.Popen([f'{self.build}/daemon/passthroughd', '--config', f'{self.directory}/etc'],
                                        stdout=self.log, stderr=self.log)
        self.ctl('wait', '--timeout=90')

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        equal(self.process.wait(90), 0, 'status of the service')

    def run(self, *arguments, **options):
        return subprocess.run([self.ctl_path, *arguments], capture_output=True, text=True, timeout=90, **options)

    def ctl(self, *arguments, status=OK, **options):
        """Standard output of the command, which must end with the status."""
        done = self.run(*arguments, **options)
        equal(done.returncode, status, f'{" ".join(arguments)}\n{done.stdout}\n{done.stderr}\nstatus')
        if status == OK:
            return done.stdout
        return done.stderr

    def json(self, *arguments):
        return json.loads(self.ctl('--json', *arguments))


def wait_until(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f'{what} did not come about')
        time.sleep(0.02)


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def order(*words):
    """Tells the simulated kernel."""
    write(f'/run/passthroughd-simhost/control/{words[0]}', ' '.join(str(word) for word in words[1:]) + '\n')


class Terminal:
    """A command on a terminal of its own."""
    def __init__(self, service, *arguments, environment=None, size=(24, 300), user=0):
        # The simulated host's /dev has a ptmx of its own, which knows no terminals; that of devpts does.
        self.master = os.open('/dev/pts/ptmx', os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(self.master, TIOCSPTLCK, struct.pack('i', 0))
        slave = fcntl.ioctl(self.master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', *size, 0, 0))
        self.process = subprocess.Popen(
            [service.ctl_path, *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, user=user,
            env={**os.environ, 'TERM': 'xterm', 'LC_ALL': 'C.UTF-8', **(environment or {})},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ''

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                break
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.text += data.decode(errors='replace')
        return True

    def read_until(self, part, seconds=10):
        end = time.monotonic() + seconds
        while part not in self.text:
            check(self.read(0.05) or part in self.text, f'{part!r} did not come: {self.text!r}')
            check(time.monotonic() < end, f'{part!r} did not come: {self.text!r}')

    def finish(self):
        while self.read(0.05):
            if self.process.poll() is not None:
                self.read(0.05)
                break
        os.close(self.master)
        return self.process.wait(90)


# Running

def run_session(name, build, names):
    directory = tempfile.mkdtemp(prefix='passthroughctl-test-')
    service = Service(build, directory)
    failed = 0
    service.start()
    for function in tests:
        if function.session != name or (names and function.__name__ not in names):
            continue
        begin = time.monotonic()
        try:
            function(service)
            print(f'ok - {function.__name__} ({time.monotonic() - begin:.2f} s)', flush=True)
        except Exception:
            failed += 1
            print(f'not ok - {function.__name__}')
            print('\n'.join('# ' + line for line in traceback.format_exc().splitlines()), flush=True)
    if failed:
        with open(f'{directory}/log') as f:
            print('\n'.join('# ' + line.rstrip() for line in f.readlines()[-60:]))
    try:
        service.stop()
    except Exception as e:
        failed += 1
        print(f'not ok - {name}: the service ends in order\n# {e}')
    else:
        print(f'ok - {name}: the service ends in order')
    service.bus.terminate()
    service.bus.wait()
    shutil.rmtree(directory)
    return failed
