# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between the simulated host and the VM: plugging, holding a device open, being slow."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from passthrough import PATIENCE, SYS, node, wait_until

IN_VM = os.environ.get("PT_PLACE") == "vm"

# The VM's names of what sits behind hotplug-capable ports (tests/vm/hardware.py), and how to plug it again.
VM_DEVICES = {
    "0000:01:00.0": ("nic0", "e1000e,id=nic0,bus=rp1"),
    "0000:02:00.0": ("nic1", "e1000e,id=nic1,bus=rp2"),
    "0000:03:00.0": ("nvme0", "nvme,id=nvme0,bus=rp3,serial=PTNVME0,drive=nvme0-data"),
}


def configured(text):
    """A directory with the usual configuration and some more, which later files win."""
    directory = tempfile.mkdtemp(prefix="etc-", dir=os.environ["PT_DIR"])
    shutil.copytree(os.environ["PT_CONFIG"], directory, dirs_exist_ok=True)
    drop_ins = pathlib.Path(directory, "passthroughd.conf.d")
    drop_ins.mkdir(exist_ok=True)
    (drop_ins / "test.conf").write_text(text)
    return directory


def ctl(*arguments):
    """An order to the fake kernel."""
    return subprocess.run([os.environ["PT_SIMHOST"], "ctl", *arguments], check=True, capture_output=True, text=True).stdout


def hang(operation, slot):
    """From now on the fake kernel does not come back from the operation."""
    ctl("hang", operation, slot)


def hanging(operation, slot):
    return any(line.startswith(f"{operation} {slot}:") for line in ctl("waiting").splitlines())


def release(*what):
    """Ends what hang() began, and forgets fail and delay orders for it; without arguments all."""
    ctl("release", *what)


def unplug(slot):
    """Somebody pulls the card. The kernel notices in its own time."""
    if IN_VM:
        subprocess.run(["vm-hmp", "device_del", VM_DEVICES[slot][0]], check=True)
    else:
        # The fake kernel answers when it is done, which can take as long as whatever it does with the device.
        subprocess.Popen([os.environ["PT_SIMHOST"], "ctl", "unplug", slot])


def plugged(slot):
    """False while the removal, which goes on by itself, is not over."""
    try:
        ctl("plug", slot)
    except subprocess.CalledProcessError:
        return False
    return True


def plug(slot):
    if IN_VM:
        subprocess.run(["vm-hmp", "device_add", VM_DEVICES[slot][1]], check=True)
    else:
        wait_until(lambda: plugged(slot), 10, f"the slot of {slot} to be empty")
    wait_until(lambda: (SYS / slot).exists(), 20, f"{slot} to appear")


def rewrite(slot, name, text):
    """Another content for an attribute of the simulated host, which may share its file with other devices."""
    path = SYS / slot / name
    path.unlink()
    path.write_text(text)


def gone(slot):
    unplug(slot)
    wait_until(lambda: not (SYS / slot).exists(), 60, f"{slot} to be gone")


def exchange(one, two):
    """Two cards of one model change places, while nobody looks."""
    if IN_VM:
        addresses = [next((SYS / slot).glob("net/*/address")).read_text().strip() for slot in (one, two)]
        gone(one)
        gone(two)
        for slot, address in ((one, addresses[1]), (two, addresses[0])):
            subprocess.run(["vm-hmp", "device_add", f"{VM_DEVICES[slot][1]},mac={address}"], check=True)
        for slot in (one, two):
            wait_until(lambda slot=slot: (SYS / slot / "driver").exists(), 30, f"{slot} to appear")
        return
    contents = [(SYS / slot / "config").read_bytes() for slot in (one, two)]
    for slot, content in ((one, contents[1]), (two, contents[0])):
        with open(SYS / slot / "config", "r+b") as config:
            config.write(content)


def other_model(slot):
    """Somebody puts a card of another model in. Returns what puts the old one back."""
    if IN_VM:
        old, new = VM_DEVICES[slot], "e1000e,id={},bus=rp{},mac=52:54:00:00:09:09"
        gone(slot)
        subprocess.run(["vm-hmp", "device_add", new.format(old[0], slot[6])], check=True)
        wait_until((SYS / slot / "driver").exists, 30, f"{slot} to appear")

        def back():
            gone(slot)
            plug(slot)
        return back
    before = (SYS / slot / "device").read_text()
    rewrite(slot, "device", "0x0011\n")
    return lambda: rewrite(slot, "device", before)


class Holder:
    """Somebody who has the device open: a VFIO client in the VM, an open node on the simulated host."""

    def __init__(self, slot, uid=0):
        path = node(slot)
        command = (["vfio-probe", "--hold", os.path.basename(path), slot] if IN_VM
                   else ["/bin/sh", "-c", f"exec 3<>{path}; echo held; exec cat"])
        if uid:
            command = ["setpriv", f"--reuid={uid}", "--clear-groups", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.output = []
        for line in self.process.stdout:
            self.output.append(line.strip())
            if line.startswith("held"):
                return
        raise AssertionError(f"{command}: ended with {self.process.wait()}: {self.output}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.close()
