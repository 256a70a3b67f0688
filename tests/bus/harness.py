# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real service on a simulated host, with a system bus, polkit and ordinary users.

A test file holds functions marked with @test() and ends with main(). Started by meson (or by hand, as root), it makes the
simulated hosts and starts itself again inside of one for each test; what the test starts dies with that host. Inside:

    @test()                             # a host of its own, simhost/hosts/demo.json
    def groups_can_be_created():
        with Service() as service:      # bus, polkit, passthroughd
            group = service.root.Manager.CreateGroup('nics', 'pci', {}, {})
            with raises('NotAuthorized'):
                service.user('alice').Group(group).Remove({})

Methods are called by name; their signatures come from dbus/*.xml. Dictionaries take plain Python values; GLib.Variant says
a type exactly. One result comes as it is, several as a tuple.

    test_x.py --simhost PROGRAM --daemon PROGRAM --worker PROGRAM --modules DIRECTORY --unit FILE [TEST...]

prints TAP.
"""

import argparse
import array
import concurrent.futures
import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree

import gi

gi.require_version('Gio', '2.0')
from gi.repository import Gio, GLib  # noqa: E402

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAME = 'org.passthroughd1'
ROOT = '/org/passthroughd1'
ERROR = 'org.passthroughd1.Error.'
CONTROL = '/run/passthroughd-simhost/control'
RUN = '/run/test'
BUS = 'unix:path=/run/dbus/system_bus_socket'
TEST_SECONDS = 240
# How long anything may take on a machine that does ten other things, under sanitizers: only a test that fails takes longer for it.
PATIENCE = 90
USERS = {'alice': 61001, 'bob': 61002, 'carol': 61003}      # carol is one of the group vm-users
POLKIT_GROUP = 'vm-users'

options = None
tests = []


def test(host='demo.json', seconds=TEST_SECONDS):
    """Marks a test. `host`: a description below simhost/hosts, or a number of PCI functions to generate."""
    def mark(function):
        function.host, function.seconds = host, seconds
        tests.append(function)
        return function
    return mark


# ---- checks ----

def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(seen, expected, what=''):
    check(seen == expected, f'{what}: {seen!r} instead of {expected!r}')


def contains(container, thing, what=''):
    check(thing in container, f'{what}: {thing!r} is not in {container!r}')


class BusError(Exception):
    """An error that the service answered. `word` is the last part of the name."""

    def __init__(self, name, message):
        super().__init__(f'{name}: {message}')
        self.name, self.message = name, message
        self.word = name.rsplit('.', 1)[-1]
        self.ours = name == ERROR + self.word


@contextlib.contextmanager
def raises(word, text='', whole=False):
    """What is inside must answer org.passthroughd1.Error.WORD (with `whole`: exactly WORD), its text holding `text`."""
    seen = []
    try:
        yield seen
    except BusError as e:
        equal(e.name, word if whole else ERROR + word, f'error name (with "{e.message}")')
        check(text in e.message, f'"{text}" is missing in "{e.message}"')
        check(e.message.strip() != '', f'{e.name} says nothing')
        seen.append(e.message)
    else:
        raise AssertionError(f'{word} was expected, but nothing failed')


def until(condition, what, seconds=PATIENCE):
    """Waits for something that no signal tells; the main loop runs meanwhile. What is waited for may take PATIENCE at least."""
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        check(time.monotonic() < end, f'in {seconds} seconds never: {what}')
        turn(0.02)


def turn(seconds):
    """Runs the main loop for some time."""
    context = GLib.MainContext.default()
    end = time.monotonic() + seconds
    while True:
        while context.iteration(False):
            pass
        left = end - time.monotonic()
        if left <= 0:
            return
        source = GLib.timeout_source_new(max(1, int(left * 1000)))
        source.set_callback(lambda *_: False)
        source.attach(context)
        context.iteration(True)
        source.destroy()


# ---- values ----

def variant(value):
    if isinstance(value, GLib.Variant):
        return value
    if isinstance(value, bool):
        return GLib.Variant('b', value)
    if isinstance(value, int):
        return GLib.Variant('i' if -2**31 <= value < 2**31 else 'x', value)
    if isinstance(value, float):
        return GLib.Variant('d', value)
    if isinstance(value, str):
        return GLib.Variant('s', value)
    if isinstance(value, dict):
        return GLib.Variant('a{sv}', wrap('a{sv}', value))
    if value and isinstance(value[0], dict):
        return GLib.Variant('aa{sv}', [wrap('a{sv}', v) for v in value])
    if value and isinstance(value[0], (list, tuple)):
        return GLib.Variant('a(sss)', [tuple(v) for v in value])
    return GLib.Variant('as', list(value))


def wrap(signature, value):
    """Plain values into what GLib.Variant() wants for the signature."""
    if signature == 'v':
        return variant(value)
    if signature == 'a{sv}':
        return {k: variant(v) for k, v in value.items()}
    if signature == 'aa{sv}':
        return [wrap('a{sv}', v) for v in value]
    if signature == 'a(sss)':
        return [tuple(v) for v in value]
    return value


def split_signature(signature):
    """["a{sv}", "s"…] of the complete types in a signature."""
    types, i = [], 0
    while i < len(signature):
        start = i
        while signature[i] == 'a':
            i += 1
        if signature[i] in '({':
            depth = 0
            while True:
                depth += (signature[i] in '({') - (signature[i] in ')}')
                i += 1
                if depth == 0:
                    break
        else:
            i += 1
        types.append(signature[start:i])
    return types


def read_interfaces():
    """{interface: {method: signature of its arguments}}"""
    interfaces = {}
    for path in sorted(glob.glob(f'{SOURCE}/dbus/*.xml')):
        for interface in ElementTree.parse(path).getroot().iter('interface'):
            interfaces[interface.get('name')] = {
                method.get('name'): ''.join(a.get('type') for a in method.findall('arg') if a.get('direction') != 'out')
                for method in interface.findall('method')
            }
    return interfaces


INTERFACES = read_interfaces()


# ---- clients ----

class Proxy:
    """An object seen through one interface: methods and properties by name."""

    def __init__(self, client, path, interface):
        self._client, self.path, self.interface = client, path, interface

    def __getattr__(self, member):
        signature = INTERFACES[self.interface].get(member)
        if signature is None:
            return self._client.get(self.path, self.interface, member)

        def call(*arguments, **keywords):
            types = split_signature(signature)
            equal(len(arguments), len(types), f'arguments of {member}')
            packed = GLib.Variant(f'({signature})', tuple(wrap(t, a) for t, a in zip(types, arguments)))
            return self._client.call(self.path, self.interface, member, packed, **keywords)
        return call


class Client:
    """One connection to the bus, of one user."""

    def __init__(self, uid=0, gid=None):
        gid = uid if gid is None else gid
        # The bus asks the kernel who connects, at the time of connect().
        groups = os.getgroups()
        try:
            if uid:
                os.setgroups([gid])
                os.setegid(gid)
                os.seteuid(uid)
            self.connection = Gio.DBusConnection.new_for_address_sync(
                BUS, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION,
                None, None)
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
        self.connection.set_exit_on_close(False)
        self.uid = uid
        self.signals = []

    name = property(lambda self: self.connection.get_unique_name())

    def close(self):
        self.connection.close_sync(None)

    @property
    def Manager(self):
        return Proxy(self, ROOT, f'{NAME}.Manager')

    def __getattr__(self, word):
        """client.Group(path), client.Device(path) …"""
        interface = f'{NAME}.{word}'
        if interface not in INTERFACES:
            raise AttributeError(word)
        return lambda path: Proxy(self, path, interface)

    def call(self, path, interface, member, packed=None, timeout=PATIENCE, interactive=False, name=NAME, fds=False):
        flags = Gio.DBusCallFlags.NO_AUTO_START
        if interactive:
            flags |= Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        try:
            if fds:
                reply, descriptors = self.connection.call_with_unix_fd_list_sync(
                    name, path, interface, member, packed, None, flags, int(timeout * 1000), None, None)
                return [descriptors.get(i) for i in range(descriptors.get_length())]
            reply = self.connection.call_sync(name, path, interface, member, packed, None, flags, int(timeout * 1000), None)
        except GLib.Error as e:
            raise bus_error(e) from None
        return result_of(reply)

    def start(self, path, interface, member, packed=None, timeout=PATIENCE, interactive=False):
        """Sends a call and goes on; the answer is in the Pending."""
        flags = Gio.DBusCallFlags.NO_AUTO_START
        if interactive:
            flags |= Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
        pending = Pending()
        self.connection.call(NAME, path, interface, member, packed, None, flags, int(timeout * 1000), None, pending.finish)
        return pending

    def get(self, path, interface, member):
        return self.call(path, 'org.freedesktop.DBus.Properties', 'Get', GLib.Variant('(ss)', (interface, member)))

    def get_all(self, path, interface):
        return self.call(path, 'org.freedesktop.DBus.Properties', 'GetAll', GLib.Variant('(s)', (interface,)))

    def introspect(self, path):
        return self.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect')

    def managed_objects(self):
        return self.call(ROOT, 'org.freedesktop.DBus.ObjectManager', 'GetManagedObjects')

    # -- signals --

    def subscribe(self):
        """From now on everything that the service signals is in self.signals: [(path, interface, member, arguments)]."""
        def on_signal(_connection, _sender, path, interface, member, parameters):
            self.signals.append((path, interface, member, parameters.unpack()))
        self.connection.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, on_signal)
        self.flush()

    def flush(self):
        """Everything that the service sent before this call has arrived after it."""
        self.call(ROOT, 'org.freedesktop.DBus.Peer', 'Ping')
        turn(0)

    def wait_signal(self, member, path=None, seconds=PATIENCE, where=lambda arguments: True):
        """Index of the first such signal."""
        def find():
            for i, (p, _interface, m, arguments) in enumerate(self.signals):
                if m == member and (path is None or p == path) and where(arguments):
                    return i + 1
            return 0
        return until(find, f'signal {member} of {path or "anything"}', seconds) - 1

    def changes(self, path, interface=None):
        """What PropertiesChanged said of an object, later values over earlier ones."""
        turn(0)
        changed = {}
        for p, _interface, member, arguments in self.signals:
            if p == path and member == 'PropertiesChanged' and interface in (None, arguments[0]):
                changed.update(arguments[1])
                changed.update({name: None for name in arguments[2]})
        return changed

    # -- jobs --

    def wait_job(self, job, seconds=PATIENCE):
        """(result, error, message)"""
        return self.Job(job).Wait({}, timeout=seconds)

    def run(self, allocation, verb, arguments=None, seconds=PATIENCE):
        """Starts the verb and waits for its job."""
        return self.wait_job(getattr(self.Allocation(allocation), verb)(arguments or {}), seconds)

    def must(self, allocation, verb, arguments=None, seconds=PATIENCE):
        equal(self.run(allocation, verb, arguments, seconds), ('done', '', ''), verb)


class Pending:
    """A call under way."""

    def __init__(self):
        self.done, self.result, self.error = False, None, None

    def finish(self, connection, outcome):
        try:
            self.result = result_of(connection.call_finish(outcome))
        except GLib.Error as e:
            self.error = bus_error(e)
        self.done = True

    def wait(self, seconds=PATIENCE):
        until(lambda: self.done, 'an answer', seconds)
        if self.error:
            raise self.error
        return self.result


def bus_error(e):
    name = Gio.DBusError.get_remote_error(e)
    if name is None:
        return BusError(f'local.{Gio.IOErrorEnum(e.code).value_nick}', e.message)
    return BusError(name, re.sub(r'^GDBus\.Error:[^ ]*: ', '', e.message))


def result_of(reply):
    values = reply.unpack()
    return None if len(values) == 0 else values[0] if len(values) == 1 else values


# ---- the host ----

def read(path):
    with open(path) as f:
        return f.read().rstrip('\n')


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def order(*words):
    """An order to the fake kernel, see `passthroughd-simhost --help`."""
    write(f'{CONTROL}/{words[0]}', ' '.join(str(w) for w in words[1:]) + '\n')


def ask(what):
    """What the fake kernel says: waiting, uevents-sent, fail."""
    return read(f'{CONTROL}/{what}')


def driver_of(bdf):
    try:
        return os.path.basename(os.readlink(f'/sys/bus/pci/devices/{bdf}/driver'))
    except FileNotFoundError:
        return None


def device_path(bdf):
    return f'{ROOT}/devices/pci_' + bdf.replace(':', '_').replace('.', '_')


def device_id(bdf):
    return 'pci-' + bdf.replace(':', '-').replace('.', '-')


def capabilities_of_unit(path):
    words = re.search(r'^CapabilityBoundingSet=(.*)$', read(path), re.MULTILINE).group(1).split()
    return ','.join('+' + word.removeprefix('CAP_').lower() for word in words)


BUS_CONFIGURATION = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <user>messagebus</user>
  <auth>EXTERNAL</auth>
  <listen>{address}</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
          send_member="UpdateActivationEnvironment"/>
  </policy>
  <include>{source}/dbus/org.passthroughd1.conf</include>
  <include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
</busconfig>
'''

# Who may do what in the tests, unless a test brings its own rules: members of vm-users may take devices of the group
# "nics", and that is all.
POLKIT_RULES = '''
polkit.addRule(function (action, subject) {
    if (action.id == "org.passthroughd1.allocate" && action.lookup("group") == "nics" && subject.isInGroup("vm-users"))
        return polkit.Result.YES;
});
'''


class Service:
    """Bus, polkit and passthroughd. `rules`: polkit rules in JavaScript; `polkit` False: there is none. `configuration`:
    more lines of passthroughd.conf. `wrap`: a command to start the service under."""

    def __init__(self, rules=POLKIT_RULES, polkit=True, configuration='', environment=None, modules=None, start=True,
                 wrap=()):
        self.rules, self.polkit, self.configuration = rules, polkit, configuration
        self.environment, self.modules, self.autostart, self.wrap = environment or {}, modules, start, list(wrap)
        self.children, self.daemon, self.polkitd = [], None, None
        self.stored_fds = {}        # what the service asked to keep, as systemd would
        self.notify = None

    def __enter__(self):
        os.environ['DBUS_SYSTEM_BUS_ADDRESS'] = BUS
        os.makedirs(f'{RUN}/etc', exist_ok=True)
        os.makedirs('/run/passthroughd', mode=0o700, exist_ok=True)
        self.add_users()
        self.write_configuration()
        try:
            self.start_bus()
            if self.polkit:
                self.start_polkit()
            if self.autostart:
                self.start_daemon()
                self.root = Client()
        except BaseException:
            self.show_log()
            raise
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop_daemon() if self.daemon else 0
        for child in reversed(self.children):
            child.kill()
            child.wait()
        if kind:
            self.show_log()
        else:
            check(status == 0, f'the service ended with status {status}; its log:\n{self.log()}')
        text = self.log()
        for word in ('AddressSanitizer', 'LeakSanitizer', 'runtime error:', 'Assertion'):
            check(word not in text, f'"{word}" in the log of the service:\n{text}')

    # -- users and files --

    def add_users(self):
        """Only this host sees them: the files of the machine stay as they are."""
        lines = {'passwd': read('/etc/passwd'), 'group': read('/etc/group')}
        for name, uid in USERS.items():
            lines['passwd'] += f'\n{name}:x:{uid}:{uid}::/nonexistent:/bin/sh'
            lines['group'] += f'\n{name}:x:{uid}:'
        lines['group'] += f'\n{POLKIT_GROUP}:x:61100:carol'
        for name, text in lines.items():
            write(f'{RUN}/{name}', text + '\n')
            subprocess.run(['mount', '--bind', f'{RUN}/{name}', f'/etc/{name}'], check=True)

    def write_configuration(self):
        directory = self.modules or f'{RUN}/modules'
        if not self.modules:
            os.makedirs(directory, exist_ok=True)
            for module in glob.glob(f'{options.modules}/*/*.so') + glob.glob(f'{options.modules}/*.so'):
                shutil.copy(module, directory)
        write(f'{RUN}/etc/passthroughd.conf', f'[Service]\nModuleDirectory={directory}\nWorker={options.worker}\n'
              f'[Log]\nLevel=debug\n{self.configuration}\n')

    # -- bus and polkit --

    def spawn(self, command, log, **keywords):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(log, 'ab'), stderr=subprocess.STDOUT,
                                 **keywords)
        self.children.append(child)
        return child

    def start_bus(self):
        write(f'{RUN}/bus.conf', BUS_CONFIGURATION.format(address=BUS, source=SOURCE))
        self.spawn(['dbus-daemon', f'--config-file={RUN}/bus.conf', '--nofork', '--nopidfile'], f'{RUN}/bus.log')
        until(lambda: os.path.exists(BUS.split('=')[1]), 'the socket of the bus')

    def set_rules(self, rules):
        write(f'{RUN}/rules.d/10-test.rules', rules)

    def start_polkit(self):
        for directory in ('actions', 'rules.d'):
            os.makedirs(f'{RUN}/{directory}', exist_ok=True)
        shutil.copy(f'{SOURCE}/polkit/org.passthroughd1.policy', f'{RUN}/actions')
        self.set_rules(self.rules)
        for where, what in (('/usr/share/polkit-1/actions', 'actions'), ('/etc/polkit-1/rules.d', 'rules.d')):
            subprocess.run(['mount', '--bind', f'{RUN}/{what}', where], check=True)
        self.polkitd = self.spawn(['/usr/lib/polkit-1/polkitd', '--no-debug'], f'{RUN}/polkit.log')
        client = Client()
        until(lambda: client.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'NameHasOwner',
                                  GLib.Variant('(s)', ('org.freedesktop.PolicyKit1',)), name='org.freedesktop.DBus'),
              'polkit on the bus')
        client.close()

    # -- the service --

    def start_daemon(self, wait=True):
        """Starts passthroughd as systemd would: with the unit's capabilities, its notifications and the stored fds."""
        path = f'{RUN}/notify'
        if self.notify:
            self.notify.close()
            os.unlink(path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        self.notify.setblocking(False)
        environment = dict(os.environ, NOTIFY_SOCKET=path, RUNTIME_DIRECTORY='/run/passthroughd', **self.environment)
        fds = list(self.stored_fds.items())
        command = ['setpriv', f'--bounding-set=-all,{capabilities_of_unit(options.unit)}', '--inh-caps=-all',
                   '--no-new-privs', *self.wrap, options.daemon, '--config', f'{RUN}/etc']
        if fds:
            environment['LISTEN_FDNAMES'] = ':'.join(name for name, _fd in fds)
            environment['LISTEN_FDS'] = str(len(fds))
            command = ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$0" "$@"', *command]

        def set_fds():
            # From above, so that none is overwritten before it was moved.
            copies = [os.dup2(fd, 200 + i) for i, (_name, fd) in enumerate(fds)]
            for i, fd in enumerate(copies):
                os.dup2(fd, 3 + i)
                os.close(fd)

        self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(f'{RUN}/log', 'ab'),
                                       stderr=subprocess.STDOUT, env=environment, close_fds=not fds,
                                       preexec_fn=set_fds if fds else None)
        if wait:
            self.wait_ready()

    def read_notifications(self):
        """Words of what systemd would have heard by now."""
        words = []
        while True:
            try:
                text, fds, _flags, _address = socket.recv_fds(self.notify, 4096, 16)
            except BlockingIOError:
                return words
            fields = dict(line.split('=', 1) for line in text.decode().splitlines() if '=' in line)
            words += [f'{k}={v}' for k, v in fields.items()]
            if 'FDSTORE' in fields:
                self.stored_fds[fields['FDNAME']] = fds[0]
            elif 'FDSTOREREMOVE' in fields:
                fd = self.stored_fds.pop(fields['FDNAME'], None)
                if fd is not None:
                    os.close(fd)

    def wait_ready(self, seconds=PATIENCE):
        def ready():
            check(self.daemon.poll() is None, f'the service ended: {self.daemon.returncode}')
            return 'READY=1' in self.read_notifications()
        until(ready, 'READY=1', seconds)
        client = Client()
        until(lambda: client.Manager.Readiness != 'starting', 'the end of the start', seconds)
        client.close()

    def stop_daemon(self, number=signal.SIGTERM, seconds=PATIENCE):
        """Its exit status."""
        if self.daemon.poll() is None:
            self.daemon.send_signal(number)
        try:
            status = self.daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
            raise AssertionError(f'the service did not end in {seconds} seconds') from None
        self.read_notifications()
        self.daemon = None
        return status

    def restart(self, number=signal.SIGTERM):
        self.stop_daemon(number)
        self.start_daemon()
        # Rules may name what is read slowly: who looks before that sees empty groups.
        until(lambda: self.root.Manager.Readiness != 'starting', 'the end of the start')

    def user(self, name):
        return Client(USERS[name])

    # -- what it said --

    def log(self):
        try:
            with open(f'{RUN}/log', errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def show_log(self):
        for name in ('log', 'polkit.log', 'bus.log'):
            with contextlib.suppress(FileNotFoundError), open(f'{RUN}/{name}', errors='replace') as f:
                print(''.join(f'    {name}: {line}' for line in f.readlines()[-60:]), file=sys.stderr)


# ---- outside: one simulated host for each test ----

def run_outside(function, directory):
    """(passed, text)"""
    if isinstance(function.host, int):
        path = tempfile.mkdtemp(dir='/dev/shm')      # many small files, which a disk is slow with
        subprocess.run([options.simhost, 'make', path, '--pci', str(function.host)], check=True)
        host = [path]
    else:
        path = None
        host = ['--host', f'{SOURCE}/simhost/hosts/{function.host}']
    command = [options.simhost, 'run', *host, '--', sys.executable, os.path.abspath(sys.argv[0]), '--inside',
               *[f'--{name}={getattr(options, name)}' for name in ('simhost', 'daemon', 'worker', 'modules', 'unit')],
               function.__name__]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    try:
        text, _ = child.communicate(timeout=function.seconds)
        return child.returncode == 0, text
    except subprocess.TimeoutExpired:
        child.terminate()
        try:
            text, _ = child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            text, _ = child.communicate()
        return False, text + f'\nnot over after {function.seconds} seconds\n'
    finally:
        if path:
            shutil.rmtree(path, ignore_errors=True)


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    for name in ('simhost', 'daemon', 'worker', 'modules', 'unit'):
        parser.add_argument(f'--{name}', required=True, type=os.path.abspath)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('names', nargs='*', metavar='TEST')
    options = parser.parse_args()
    chosen = [t for t in tests if not options.names or t.__name__ in options.names]
    unknown = set(options.names) - {t.__name__ for t in tests}
    check(not unknown, f'there is no test {unknown}')

    if options.inside:
        try:
            chosen[0]()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)

    if os.geteuid() != 0:
        sys.exit('these tests need root: a bus with several users')
    print(f'1..{len(chosen)}', flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix='passthroughd-test-') as directory:
        os.chmod(directory, 0o755)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = [pool.submit(run_outside, t, directory) for t in chosen]
            for number, (function, result) in enumerate(zip(chosen, results), 1):
                passed, text = result.result()
                failed += not passed
                print(f'{"ok" if passed else "not ok"} {number} - {function.__name__.replace("_", " ")}', flush=True)
                if not passed:
                    print(''.join(f'# {line}\n' for line in text.splitlines()), flush=True)
    sys.exit(1 if failed else 0)
