#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is on the host's disks, on a real kernel: LVM, dm-crypt, MD, btrfs, swap and loop devices on NVMe disks that are plugged
for it. Each keeps the cards below it, with the chain that says so, and nothing else."""
import contextlib
import os
import pathlib
import re
import subprocess
import time

from passthrough import SYS, check, driver, equal, main, wait_until

A, B, EMPTY = "0000:0a:00.0", "0000:0b:00.0", "0000:0c:00.0"
NIC = "0000:01:00.0"
MOUNTPOINT = "/run/pt-guard"


def tool(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    check(done.returncode == 0, f"{' '.join(command)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def disk_of(slot):
    """With native multipath the path "nvme2c2n1" is hidden, and "nvme2n1" stands for all of them."""
    for path in (SYS / slot).glob("nvme/nvme*/nvme*n1"):
        return re.sub(r"c\d+n", "n", path.name)
    return None


def below(slot):
    """The last links of a chain that ends at this slot."""
    disk = disk_of(slot)
    hidden = "/virtual/" in os.path.realpath(f"/sys/class/block/{disk}")
    return [disk] + ([path.name for path in (SYS / slot).glob("nvme/nvme*")] if hidden else [])


def plug_disks():
    """Two NVMe disks that keep what is written until the VM ends, and a controller without any. Once for all tests."""
    if (SYS / A).exists():
        return
    for number in range(2):
        tool("vm-hmp", "drive_add", "0", f"if=none,id=guard{number},file.driver=null-co,file.size=268435456,"
             "file.read-zeroes=on,format=raw,snapshot=on")
        tool("vm-hmp", "device_add", f"nvme,id=guardnvme{number},bus=hp{number},serial=PTGUARD{number},drive=guard{number}")
    tool("vm-hmp", "device_add", "virtio-scsi-pci,id=guardscsi,bus=hp2")
    wait_until(lambda: disk_of(A) and disk_of(B) and driver(EMPTY), 30, "the disks to appear")
    tool("udevadm", "settle")


def ready(service):
    plug_disks()
    client = service.start()
    for name, slot in (("a", A), ("b", B), ("empty", EMPTY)):
        client.pool(name, slot)
    return client, f"/dev/{disk_of(A)}", f"/dev/{disk_of(B)}"


def grow_old():
    """What leaves no sign (an open file, a mount of another namespace) is seen once the last evidence is too old."""
    time.sleep(1.2)


def chains(client, slot, code):
    return [finding["text"] for finding in client.explain(client.device(slot), "Device") if finding["code"] == code]


def is_kept(client, slot, group, code, *links):
    """Shown, explained and refused."""
    texts = chains(client, slot, code)
    check(any(" ← ".join([*links, slot]) in text for text in texts), f"{slot}: no {code} through {links}: {texts}")
    wait_until(lambda: client.device_state(slot) == "critical", 10, f"{slot} to be shown as critical")
    check(code in [str(c) for c in client.get(client.device(slot), "Device", "Blockers")], f"{slot}: {code} is a blocker")
    check(not client.get(client.device(slot), "Device", "Allocatable"), f"{slot} can't be had")
    allocation, job = client.allocate("guard", group, activate=True)
    result, error, message = client.wait_job(job)
    equal((result, error), ("failed", "NoDeviceAvailable"), f"activate with {slot}: {message}")
    check("the host needs it: " in message and slot in message, f"the message says why: {message}")
    client.must(allocation, "Release")
    equal(driver(slot), "nvme", f"driver of {slot}")


def is_had(client, slot, group, before="nvme"):
    allocation, job = client.allocate("guard", group, activate=True)
    equal(client.wait_job(job), ("done", "", ""), f"activate with {slot}")
    equal(driver(slot), "vfio-pci", f"driver of {slot}")
    client.must(allocation, "Release")
    equal(driver(slot), before, f"driver of {slot} after the give-back")


@contextlib.contextmanager
def mounted(device, *options):
    os.makedirs(MOUNTPOINT, exist_ok=True)
    tool("mount", *options, device, MOUNTPOINT)
    try:
        yield
    finally:
        tool("umount", MOUNTPOINT)


def boot_disk(service):
    """The file system that everything runs from is beyond any right; what is beside it is not."""
    client, _, _ = ready(service)
    number = os.stat("/").st_dev
    syspath = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    slot = [part for part in pathlib.Path(syspath).parts if part.startswith("0000:")][-1]
    equal(client.device_state(slot), "forbidden", slot)
    check(any(f"/ ← {os.path.basename(syspath)} ← {slot}" in text for text in chains(client, slot, "mount")), "its chain")
    client.pool("boot", slot)
    allocation, job = client.allocate("guard", "boot")
    equal(client.run(allocation, "Activate", override=[client.device(slot).rsplit("/", 1)[1].replace("_", "-")])[1],
          "NoDeviceAvailable", "with an override")
    client.must(allocation, "Release")
    for free, group in ((A, "a"), (B, "b")):
        equal(client.device_state(free), "free", free)
        is_had(client, free, group)
    is_had(client, EMPTY, "empty", driver(EMPTY))


def volumes(service):
    """LVM: a mounted volume, one that is only active, one that sleeps."""
    client, a, _ = ready(service)
    tool("pvcreate", "-qq", a)
    tool("vgcreate", "-qq", "ptvg", a)
    tool("lvcreate", "-qq", "-an", "-Zn", "-Wn", "-L", "32m", "-n", "data", "ptvg")
    try:
        tool("lvchange", "-ay", "ptvg/data")
        tool("mkfs.ext4", "-q", "/dev/ptvg/data")
        name = os.path.basename(os.path.realpath("/dev/ptvg/data"))
        links = (f"{name} (LVM ptvg-data)", *below(A))
        with mounted("/dev/ptvg/data"):
            is_kept(client, A, "a", "mount", MOUNTPOINT, *links)
            equal(client.device_state(B), "free", B)
            is_had(client, B, "b")
            pathlib.Path(MOUNTPOINT, "image").write_bytes(b"")
            os.truncate(f"{MOUNTPOINT}/image", 8 << 20)
            loop = tool("losetup", "--find", "--show", f"{MOUNTPOINT}/image").strip()
            tool("mkfs.ext4", "-q", loop)
            os.makedirs("/run/pt-guard-loop", exist_ok=True)
            tool("mount", loop, "/run/pt-guard-loop")
            try:
                is_kept(client, A, "a", "mount", "/run/pt-guard-loop",
                        f"{os.path.basename(loop)} ({MOUNTPOINT}/image)", *links)
            finally:
                tool("umount", "/run/pt-guard-loop")
                tool("losetup", "--detach", loop)
        is_kept(client, A, "a", "stack", "device mapper", *links)
        tool("vgchange", "-qq", "-an", "ptvg")
        tool("udevadm", "settle")
        wait_until(lambda: client.device_state(A) == "in-use-by-host", 10, "a sleeping volume to be a warning")
        check(chains(client, A, "member"), "it is said what sleeps there")
        is_had(client, A, "a")
    finally:
        subprocess.run(["vgremove", "-qq", "-f", "ptvg"], capture_output=True, check=False)
        tool("wipefs", "-aq", f"/dev/{disk_of(A)}")


def encrypted_swap(service):
    """dm-crypt on MD on two disks, with swap on it: both disks are kept."""
    client, a, b = ready(service)
    try:
        tool("mdadm", "--create", "/dev/md77", "--run", "--level=1", "--metadata=1.2", "--raid-devices=2", "--assume-clean", a, b)
        tool("cryptsetup", "open", "--type=plain", "--cipher=aes-cbc-plain", "--key-size=256", "--key-file=/dev/zero", "/dev/md77", "ptswap")
        tool("mkswap", "-q", "/dev/mapper/ptswap")
        tool("swapon", "/dev/mapper/ptswap")
        name = os.path.basename(os.path.realpath("/dev/mapper/ptswap"))
        for slot, group in ((A, "a"), (B, "b")):
            is_kept(client, slot, group, "swap", f"swap /dev/{name}", f"{name} (crypt ptswap)", "md77 (raid1)", *below(slot))
        is_had(client, EMPTY, "empty", driver(EMPTY))
    finally:
        subprocess.run(["swapoff", "/dev/mapper/ptswap"], capture_output=True, check=False)
        subprocess.run(["cryptsetup", "close", "ptswap"], capture_output=True, check=False)
        subprocess.run(["mdadm", "--stop", "/dev/md77"], capture_output=True, check=False)
        for disk in (a, b):
            subprocess.run(["mdadm", "--zero-superblock", disk], capture_output=True, check=False)


def btrfs_and_swap_file(service):
    """A file system on two disks, of which a mount names one; then a swap file."""
    client, a, b = ready(service)
    tool("mkfs.btrfs", "-q", "-f", "-d", "single", "-m", "raid1", a, b)
    tool("udevadm", "settle")
    with mounted(a):
        for slot, group in ((A, "a"), (B, "b")):
            is_kept(client, slot, group, "mount", MOUNTPOINT, *below(slot))
    for disk in (a, b):
        tool("wipefs", "-aq", disk)
    tool("mkfs.ext4", "-q", a)
    with mounted(a):
        swap = f"{MOUNTPOINT}/swap file"
        pathlib.Path(swap).write_bytes(bytes(4 << 20))
        os.chmod(swap, 0o600)
        tool("mkswap", "-q", swap)
        tool("swapon", swap)
        try:
            is_kept(client, A, "a", "swap", f"swap {swap}", *below(A))
        finally:
            tool("swapoff", swap)
        is_had(client, B, "b")
    tool("wipefs", "-aq", a)
    wait_until(lambda: client.device_state(A) == "free", 10, "the disk to be free again")


def other_namespace(service):
    """A container's mount, which the host's own table does not have."""
    client, a, _ = ready(service)
    tool("mkfs.ext4", "-q", a)
    os.makedirs(MOUNTPOINT, exist_ok=True)
    script = f"mount --make-rprivate / && mount {a} {MOUNTPOINT} && echo mounted && exec sleep 1000"
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        equal(process.stdout.readline(), "mounted\n", "the container")
        grow_old()
        is_kept(client, A, "a", "mount", f"{MOUNTPOINT} of process {process.pid} (sleep)", *below(A))
    finally:
        process.kill()
        process.wait()
    grow_old()
    tool("wipefs", "-aq", a)
    is_had(client, A, "a")


def open_disk(service):
    """Somebody writes to it: refused, but an administrator who names the device may. Somebody looks at it: a warning."""
    client, _, b = ready(service)
    fd = os.open(b, os.O_RDONLY)
    grow_old()
    try:
        check(any(f"process {os.getpid()} (" in text for text in chains(client, B, "open")), "who looks at it")
        wait_until(lambda: client.device_state(B) == "in-use-by-host", 10, "a reader to be a warning")
    finally:
        os.close(fd)
    fd = os.open(b, os.O_RDWR)
    grow_old()
    try:
        name = pathlib.Path("/proc/self/comm").read_text(encoding="utf-8").strip()
        is_kept(client, B, "b", "open", f"process {os.getpid()} ({name})", *below(B))
        allocation, _ = client.allocate("guard", "b")
        equal(client.run(allocation, "Activate", override=["pci-0000-0a-00-0"])[0], "failed", "with another device named")
        client.must(allocation, "Activate", override=["pci-0000-0b-00-0"])
        equal(driver(B), "vfio-pci", B)
        check("open" in service.log.read_text(errors="replace"), "it is in the log")
        history = [{str(k): str(v) for k, v in row.items()} for row in client.history()]
        check(any(row["operation"] == "override" and row["message"].startswith("open: ") for row in history), f"{history}")
    finally:
        os.close(fd)
    client.must(allocation, "Release")


main([boot_disk, volumes, encrypted_swap, btrfs_and_swap_file, other_namespace, open_disk])
