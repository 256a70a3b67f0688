#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures the service against bare programs that do the same work with nothing around it, in turns on the same generated
hosts, and prints a table of ratios. Nothing here passes or fails: the goals stand beside the figures. README.md says what
the rows mean.

    bench.py BUILD [N...]     hosts of so many PCI functions, then one with 500 USB devices; default 100 1000 10000
    bench.py BUILD usb        the latter alone
    BENCH_IDLE_SECONDS=60     how long the silence lasts, once a host
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KIT = HERE.parent / "tests" / "kit"
SMALLEST = 10  # the host that memory is compared with
USB_HOST = "700+500"  # PCI functions, enough of them USB controllers, and USB devices
MEMORY_DIRECTORY = "/dev/shm"  # reading the host must cost what it costs on sysfs, not what it costs on a disk


def run_inside(host, program, *words, **more):
    environment = dict(os.environ, PT_BUS_POLICY=str(HERE / "bus-policy.conf"), **more)
    if os.path.isdir(MEMORY_DIRECTORY):
        environment["TMPDIR"] = MEMORY_DIRECTORY
    # The state is on a disk, where making it durable costs something.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="passthroughd-bench.") as directory:
        done = subprocess.run([KIT / "in-sim", words[0], host, HERE / program, *words, directory],
                              capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"the host of {host} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_host(build, count):
    return run_inside(str(count), "inside.py", build, str(count))


def run_usb_host(build):
    return run_inside(USB_HOST, "inside-usb.py", build, PT_SIM_OPTIONS="--control none")


# ---- the table -------------------------------------------------------------------------------------------------
def over(pair):
    return f"{pair[0] / pair[1]:.2f}" if pair and pair[1] > 0 else "-"


def milliseconds(usec):
    return f"{usec / 1000:.2f}"


def start_limit(r):
    return over([r["start"][0], 2 * r["start"][1] + 15000])


def find_any(r):
    return over([r["find-regex"][0], 1.5 * r["find-regex"][1] + 0.05 * r["count"]])


def crowd_gain(r):
    return f"{r['crowd'][0] / r['crowd'][1]:.1f}" if r["crowd"] else "-"


def crowd_doubled(r):
    return f"{r['crowd'][2]:.0f}" if r["crowd"] else "-"


def list_beside_list(r):
    return over([r["listing"]["ours"][0], r["listing"]["echo"][0]])


ROWS = [
    (1, "start to first answer, over 2 x bare reads + 15 ms", start_limit, "<= 1"),
    ("", "the same, over a libudev scan", lambda r: over([r["start"][0], r["start"][2]]), "<= 0.33"),
    (2, "list all, 20 fields, pages of 100, over echo", lambda r: over(r["list"]), "<= 1.25"),
    (3, "find by equality, over echo", lambda r: over(r["find"]), "<= 1.5"),
    ("", "find by expression, over 1.5 x echo + 50 ns a device", find_any, "<= 1"),
    ("", "find by equality: us", lambda r: f"{r['find'][0]:.0f}", "flat"),
    (4, "one device's details, over echo", lambda r: over(r["details"]), "<= 1.5"),
    ("", "the same: us", lambda r: f"{r['details'][0]:.0f}", "flat"),
    (5, "event to signal, over a bare monitor", lambda r: over(r["events"]), "<= 1.5"),
    ("", "the same: us", lambda r: f"{r['events'][0]:.0f}", "flat"),
    (6, "storm of 4,096 events: CPU over bare burst", lambda r: over(r["storm"]["cpu"]), "<= 2"),
    ("", "wall time over bare burst", lambda r: over(r["storm"]["wall"]), "<= 2"),
    ("", "others' p99 meanwhile: ms", lambda r: milliseconds(r["storm"]["others"]), "<= 5"),
    ("", "the longest that another waited: ms", lambda r: milliseconds(r["storm"]["others-max"]), ""),
    ("", "events lost in an overflow", lambda r: str(r["storm"]["lost"]), "> 0"),
    ("", "from then until the list is right, over a scan", lambda r: over([r["storm"]["recovered"], r["start"][1]]), ""),
    ("", "devices wrong after it", lambda r: str(r["storm"]["wrong"]), "0"),
    (7, "100 rules over all devices, over a bare loop", lambda r: over(r["rules"]["figures"][0:2]), "<= 1.5"),
    ("", "one device that comes, over its share", lambda r: over(r["rules"]["figures"][2:4]), "<= 2"),
    ("", "one edited rule, over its share", lambda r: over(r["rules"]["figures"][4:6]), "<= 2"),
    ("", "files written when nothing changes", lambda r: str(r["rules"]["written"]), "0"),
    ("", "why a device is in its groups, over a bare loop", lambda r: over(r["rules"]["figures"][6:8]), ""),
    ("", "the same: ms", lambda r: f"{r['rules']['figures'][6] / 1e3:.2f}", "<= 10"),
    ("", "preview of a rule, over a bare loop", lambda r: over(r["rules"]["figures"][8:10]), ""),
    ("", "the same: ms", lambda r: f"{r['rules']['figures'][8] / 1e3:.2f}", "<= 10"),
    ("", "Explain of a device, asked over the bus: ms", lambda r: f"{r['rules']['explain']:.2f}", "<= 10"),
    ("", "PreviewRule, asked over the bus: ms", lambda r: f"{r['rules']['preview']:.2f}", "<= 10"),
    ("", "Explain of a group of all devices: ms", lambda r: f"{r['rules']['explain-group']:.2f}", ""),
    (8, "allocate, activate, release, over the bare work", lambda r: over(r["cycle"]), "<= 1.3"),
    ("", "the same: ms", lambda r: milliseconds(r["cycle"][0]), "flat"),
    (9, "64 clients at once, gain over one at a time", crowd_gain, ">= 5"),
    ("", "devices given twice", crowd_doubled, "0"),
    (10, "memory: kB resident", lambda r: str(r["memory"]), ""),
    (11, "context switches while idle, 100 subscribers", lambda r: str(r["idle"]), "0"),
    (12, "others' p99 while polkit hangs, over quiet", lambda r: over(r["polkit"]), "<= 2"),
    ("", "while a bind is slow, over quiet", lambda r: over(r["binding"]), "<= 2"),
    ("", "while a list goes on, over echo sending the same", list_beside_list, "<= 1.3"),
    (13, "guard, 200 mounts: ms", lambda r: milliseconds(r["guard"][0]), "<= 50"),
    ("", "the same when nothing changed: ms", lambda r: milliseconds(r["guard"][1]), "<= 1"),
]


def print_row(number, what, values, goal):
    print(f"{number!s:>3}  {what:<54} " + " ".join(f"{value:>10}" for value in values) + f"   {goal}")


def memory_row(results, smallest):
    return [f"{(r['memory'] - smallest['memory']) * 1024 / (r['count'] - smallest['count']):.0f}" for r in results]


# Of the rounds the quietest: the machine's own disturbances come and go.
USB_OURS, USB_BARE = range(0, 4), range(4, 8)  # median, 99 of 100, longest, how many came
USB_SENT, USB_OVERTAKEN, USB_RATE = 8, 9, 10


def print_usb(result):
    best = min(result["rounds"], key=lambda r: r[USB_OURS[1]] + r[USB_BARE[1]])
    for i, what in enumerate(("event to signal, over a bare monitor", "of 100 events the slowest but one", "the slowest of all")):
        print_row(14 if i == 0 else "", f"USB, 1,000 changes a second: {what}" if i == 0 else what,
                  [over([best[USB_OURS[i]], best[USB_BARE[i]]])], "<= 2")
        print_row("", "the same: us", [f"{best[USB_OURS[i]]:.0f}"], "")
    print_row("", f"signals of {best[USB_SENT]:.0f} events, {best[USB_OVERTAKEN]:.0f} overtaken by the next", [f"{best[USB_OURS[3]]:.0f}"], "all")
    print_row("", "events a second", [f"{best[USB_RATE]:.0f}"], "1000")
    ours, bare = min(result["cpu"])
    print_row("", "CPU of an event, over a bare monitor", [over([ours, bare])], "")
    print_row("", "the same: us", [f"{ours / best[USB_SENT]:.0f}"], "")
    print_row("", "memory that the storms left: kB", [str(result["memory"][-1] - result["memory"][0])], "0")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    if sys.argv[2:] == ["usb"]:
        print_usb(run_usb_host(build))
        return
    smallest = run_host(build, SMALLEST)
    results = [run_host(build, int(count)) for count in sys.argv[2:] or ("100", "1000", "10000")]
    print_row("#", "ratio to the bare program", [f"N={r['count']}" for r in results], "goal")
    for number, what, figure, goal in ROWS:
        print_row(number, what, [figure(r) for r in results], goal)
        if number == 10:
            print_row("", f"bytes a device beyond a host of {SMALLEST}", memory_row(results, smallest), "<= 1200")
            print_row("", f"kB resident with {SMALLEST} devices: {smallest['memory']}", ["" for _ in results], "<= 13000")
    usb = run_usb_host(build)
    print_usb(usb)
    if os.environ.get("BENCH_FIGURES"):
        pathlib.Path(os.environ["BENCH_FIGURES"]).write_text(json.dumps([smallest, *results, usb], indent=1) + "\n")


main()
