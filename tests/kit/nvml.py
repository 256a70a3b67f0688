# SPDX-License-Identifier: LGPL-2.1-or-later
"""GPUs of which NVIDIA's library is simulated too (simhost/README.md, tests/fake-nvml/README.md): what they are in now, and
how their driver is made to fail."""
import fcntl
import json
import os
import pathlib

from passthrough import SYS
from place import ctl

MODELS = pathlib.Path(os.environ.get("FAKE_NVML", "/nonexistent"))


def state(gpu):
    """{generation, vfs, mig: (current, pending), mixed, scheduler: (policy, arr, average or time slice, frequency),
    instances: {id: (profile, start, size, compute)}, vgpus: {name: (type, instance, placement, open)}}"""
    text = pathlib.Path(json.loads(MODELS.read_text())["kernel"] % gpu).read_text()
    found = {"instances": {}, "vgpus": {}}
    for part in text.strip().split(";"):
        word, *values = part.split()
        if word == "vgpu":
            found["vgpus"][values[0]] = tuple(int(v) for v in values[1:])
            continue
        numbers = tuple(int(v) for v in values)
        if word == "instance":
            found["instances"][numbers[0]] = numbers[1:5]
        else:
            found[word] = numbers[0] if len(numbers) == 1 else numbers
    return found


def model(gpu):
    return next(g for g in json.loads(MODELS.read_text())["gpus"] if g["address"] == gpu)


def change(gpu, **keys):
    """Another model: its keys are given, or are gone (None). gpu: None for what holds for the whole library."""
    with open(MODELS, encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        models = json.load(file)
        one = next(g for g in models["gpus"] if g["address"] == gpu) if gpu else models
        for key, value in keys.items():
            key = key.replace("_", "-")
            if value is None:
                one.pop(key, None)
            else:
                one[key] = value
        fresh = MODELS.with_suffix(".test")
        fresh.write_text(json.dumps(models, indent=1))
        fresh.rename(MODELS)


def fault(gpu, **calls):
    """{call: result, or {result, skip, times, delay, die}}; without any there are none."""
    change(gpu, faults=calls or None)


def is_taken(gpu, call):
    """The call with a fault that is to come once is under way, or over."""
    return model(gpu)["faults"][call]["times"] < 0


def functions(gpu, on=True):
    """Switches the virtual functions on or off by hand."""
    ctl("sriov-manage", "on" if on else "off", gpu)
    return [os.path.basename(os.readlink(link)) for link in sorted(SYS.joinpath(gpu).glob("virtfn*"),
                                                                    key=lambda p: int(p.name[len("virtfn"):]))]


def type_number(function, name):
    """Of a vGPU type that can be made there now; None."""
    for line in SYS.joinpath(function, "nvidia/creatable_vgpu_types").read_text().splitlines():
        number, _, title = line.partition(":")
        if title.strip() == name:
            return int(number)
    return None
