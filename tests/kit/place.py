# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between the simulated host and the VM: plugging, holding a device open, being slow."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from passthrough import SYS, node, wait_until

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
        self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.close()
