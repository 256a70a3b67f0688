# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the scenario tests share: a client of the service, the service as a child process, checks that print one line each.

Runs inside the simulated host and inside the VM alike; tests/kit/in-sim and tests/kit/in-vm set the scene."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import traceback

import dbus
import dbus.bus
import dbus.lowlevel

NAME = "org.passthroughd1"
ROOT = "/org/passthroughd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
STATE = pathlib.Path(os.environ.get("PT_STATE", "/run/passthroughd-test/state"))
RUNTIME = pathlib.Path(os.environ.get("PT_RUNTIME", "/run/passthroughd-test/runtime"))
SYS = pathlib.Path("/sys/bus/pci/devices")


# How long anything may take on a machine that does ten other things, under sanitizers, without KVM. Who waits for less waits this
# long: a wait ends with what it waits for, so that only a test that fails is slower for it.
PATIENCE = 90


def wait_until(condition, seconds=PATIENCE, what="condition", pause=0.02):
    """Returns the first true value of condition(), asked every so often; fails after so many seconds, PATIENCE at least."""
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


class Service:
    """passthroughd as a child of the test."""

    def __init__(self, config=None, wrapper=()):
        self.program = os.environ["PT_DAEMON"]
        self.config = config or os.environ["PT_CONFIG"]
        self.wrapper = list(wrapper)
        self.process = None
        self.log = pathlib.Path(os.environ.get("PT_LOG", "/tmp/passthroughd-test.log"))

    def start(self, ready=True):
        STATE.mkdir(parents=True, exist_ok=True)
        RUNTIME.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ, STATE_DIRECTORY=str(STATE), RUNTIME_DIRECTORY=str(RUNTIME))
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.wrapper + [self.program, "--config", self.config], env=environment,
                                            stderr=log, stdin=subprocess.DEVNULL)
        client = Client()
        wait_until(lambda: client.has_owner() or self.process.poll() is not None, 30, "the bus name")
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.tail()}")
        if ready:
            wait_until(lambda: client.readiness() != "starting", 30, "readiness")
        return client

    def kill(self, wait=True):
        """As a crash: no handler runs. Workers end by themselves after the step they are in."""
        self.process.kill()
        self.process.wait()
        client = Client()
        wait_until(lambda: not client.has_owner(), 10, "the bus to notice")
        if wait:
            wait_until(lambda: not self.workers(), 30, "the workers' end")

    def busy_workers(self):
        """Those that carry out steps: they hold locks that tell their number."""
        locks = [path.read_text().strip() for path in pathlib.Path("/run/passthroughd/devices").glob("*")]
        return [pid for pid in self.workers() if str(pid) in locks]

    @staticmethod
    def workers():
        """Process ids of all that have not ended, of whichever service."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/comm"):
            try:
                if entry.read_text().startswith("passthroughd-wo") and entry.parent.joinpath("cmdline").read_bytes():
                    found.append(int(entry.parent.name))
            except OSError:
                continue
        return found

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the service did not end on SIGTERM:\n{self.tail()}") from None

    def restart(self):
        self.stop()
        return self.start()

    def tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Client:
    """Calls with explicit signatures, so that empty lists and dictionaries need no guessing."""

    def __init__(self):
        address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
        self.bus = dbus.bus.BusConnection(address) if address else dbus.SystemBus(private=True)

    def has_owner(self):
        return self.bus.name_has_owner(NAME)

    def call(self, path, interface, member, signature, *arguments, timeout=60):
        return self.bus.call_blocking(NAME, path, f"{NAME}.{interface}", member, signature, arguments, timeout=timeout)

    def get_all(self, path, interface):
        values = self.bus.call_blocking(NAME, path, PROPERTIES, "GetAll", "s", (f"{NAME}.{interface}",))
        return {str(key): value for key, value in values.items()}

    def get(self, path, interface, name):
        return self.bus.call_blocking(NAME, path, PROPERTIES, "Get", "ss", (f"{NAME}.{interface}", name))

    def manager(self, member, signature, *arguments, **keywords):
        return self.call(ROOT, "Manager", member, signature, *arguments, **keywords)

    def readiness(self):
        return str(self.get(ROOT, "Manager", "Readiness"))

    # -- objects ---------------------------------------------------------------------------------------------
    def device(self, name):
        """An address is a PCI function, whatever else other modules make of it."""
        if re.fullmatch(r"[0-9a-f]{4}(:[0-9a-f]{2}){2}\.[0-7]", name):
            name = "pci-" + re.sub("[:.]", "-", name)
        return str(self.manager("GetDevice", "s", name))

    def device_state(self, name):
        return str(self.get(self.device(name), "Device", "State"))

    def group(self, name):
        return str(self.manager("GetGroup", "s", name))

    def create_group(self, name, type_="pci", settings=None, options=None):
        return str(self.manager("CreateGroup", "ssa{sv}a{sv}", name, type_, settings or {}, options or {}))

    def add_rule(self, group, where, name="rule", options=None):
        return str(self.call(group, "Group", "AddRule", "sa(sss)a{sv}", name, where, options or {}))

    def make_resource(self, group, *devices, **options):
        return [str(rule) for rule in
                self.manager("MakeResource", "aosa{sv}", [self.device(d) for d in devices], group, options)]

    def pool(self, name, *slots):
        """A group with one rule a place."""
        group = self.create_group(name)
        for slot in slots:
            self.add_rule(group, [("slot", "eq", slot)], slot)
        return group

    def explain(self, path, interface, **options):
        return [{str(k): str(v) for k, v in finding.items()}
                for finding in self.call(path, interface, "Explain", "a{sv}", options)]

    # -- allocations -----------------------------------------------------------------------------------------
    def allocate(self, consumer, requests, **options):
        """Requests as dictionaries; returns path and the job of an immediate activation ("/" for none)."""
        options = {key.replace("_", "-"): value for key, value in options.items()}
        if isinstance(requests, str):
            requests = [{"group": requests}]
        allocation, job = self.manager("Allocate", "saa{sv}a{sv}", consumer, requests, options)
        return str(allocation), str(job)

    def start(self, allocation, verb, **options):
        return str(self.call(allocation, "Allocation", verb, "a{sv}", options))

    def wait_job(self, job, timeout=120):
        """(result, error, message)"""
        return tuple(str(part) for part in self.call(job, "Job", "Wait", "a{sv}", {}, timeout=timeout))

    def run(self, allocation, verb, timeout=120, **options):
        return self.wait_job(self.start(allocation, verb, **options), timeout)

    def must(self, allocation, verb, **options):
        result = self.run(allocation, verb, **options)
        if result[0] != "done":
            raise AssertionError(f"{verb} of {allocation}: {result}")

    def state(self, allocation):
        return str(self.get(allocation, "Allocation", "State"))

    def devices_of(self, allocation):
        return [str(path) for path in self.get(allocation, "Allocation", "Devices")]

    def guest_config(self, allocation, form):
        return str(self.call(allocation, "Allocation", "GuestConfig", "sa{sv}", form, {}))

    def history(self, **filter_):
        return self.manager("History", "a{sv}", filter_)


def driver(slot):
    try:
        return os.path.basename(os.readlink(SYS / slot / "driver"))
    except OSError:
        return None


def override(slot):
    text = (SYS / slot / "driver_override").read_text().strip()
    return None if text == "(null)" else text


def iommu_group(slot):
    return os.path.basename(os.readlink(SYS / slot / "iommu_group"))


def node(slot):
    return f"/dev/vfio/{iommu_group(slot)}"


def bus_error(function, *arguments, **keywords):
    """The name of the D-Bus error that the call ends with, without our prefix, and its text."""
    try:
        result = function(*arguments, **keywords)
    except dbus.DBusException as error:
        return error.get_dbus_name().removeprefix(f"{NAME}.Error."), error.get_dbus_message() or ""
    raise AssertionError(f"no error, but {result!r}")


# -- running ---------------------------------------------------------------------------------------------------
def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(seen, wanted, what):
    if seen != wanted:
        raise AssertionError(f"{what}: {seen!r}, wanted {wanted!r}")


def drivers():
    return {path.name: driver(path.name) for path in SYS.iterdir()}


def tidy(found):
    """After a failure: the devices get back the drivers that they had, so that the next test finds what it expects."""
    if "PT_SIMHOST" in os.environ:
        subprocess.run([os.environ["PT_SIMHOST"], "ctl", "release"], capture_output=True, check=False)
    for slot, name in found.items():
        if driver(slot) == name or not (SYS / slot).exists():
            continue
        script = (f"echo > /sys/bus/pci/devices/{slot}/driver_override; echo {slot} > /sys/bus/pci/devices/{slot}/driver/unbind;"
                  f"echo {slot} > /sys/bus/pci/drivers_probe")
        try:
            subprocess.run(["/bin/sh", "-c", script], capture_output=True, timeout=10, check=False)
        except subprocess.TimeoutExpired:
            print(f"# {slot} could not be given back", flush=True)


SANITIZERS = ("runtime error:", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer")


def main(tests, service=None, may_crash=False):
    """Runs the functions of `tests` in order, each with a fresh service and an empty state, and speaks TAP. A sanitizer's report,
    of the service or of a worker, fails a test that did not order a crash."""
    chosen = [test for test in tests if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]]
    print(f"1..{len(chosen)}", flush=True)
    failed, found = 0, drivers()
    for number, test in enumerate(chosen, 1):
        subprocess.run(["rm", "-rf", str(STATE), str(RUNTIME)], check=True)
        host = service or Service()
        host.log.write_text("")
        began = time.monotonic()
        try:
            test(host)
            code = host.stop()
            check(code in (0, None), f"the service ended with {code}")
            reports = [line for line in host.log.read_text(errors="replace").splitlines() if any(s in line for s in SANITIZERS)]
            check(may_crash or not reports, f"{reports}")
            print(f"ok {number} - {test.__name__} # {time.monotonic() - began:.1f} s", flush=True)
        except Exception:  # the next test goes on
            failed += 1
            print(f"not ok {number} - {test.__name__}", flush=True)
            for line in traceback.format_exc().splitlines() + host.tail().splitlines():
                print(f"# {line}", flush=True)
            if host.process and host.process.poll() is not None:
                print(f"# the service ended with {host.process.returncode}", flush=True)
            if host.process and host.process.poll() is None:
                host.process.kill()
                host.process.wait()
            tidy(found)
    sys.exit(1 if failed else 0)
