#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who sees only the end of a run finds there what failed, and why."""
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/count-results"
TAP = """1..3
ok 1 - first
not ok 2 - second
# Traceback (most recent call last):
# AssertionError: it was 1 instead of 2
#
# passthroughd: info: something
ok 3 - third # 0.1 s
# seconds in the VM: life 12, crash 3
"""
LOG = """<testsuites><testsuite name="sim / one">
<testcase name="1 - first" classname="sim / one"/>
<testcase name="2 - second" classname="sim / one"><failure/></testcase>
<testcase name="3 - third" classname="sim / one"/>
<system-out>{tap}</system-out><system-err>not of that test</system-err></testsuite>
<testsuite name="sim"><testcase name="whole" classname="sim"><error message="ended with 7"/>
<system-out>{lines}</system-out></testcase><testcase name="left out" classname="sim"><skipped/></testcase></testsuite></testsuites>"""


def counted(text):
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory, "log.xml")
        log.write_text(text)
        result = subprocess.run([SCRIPT, log], capture_output=True, text=True, check=False)
        return result.returncode, result.stdout.splitlines()


def main():
    code, said = counted(LOG.format(tap=TAP, lines="\n".join(f"line {i}" for i in range(100))))
    checks = {
        "the status": code == 1,
        "the last line": said[-1] == "2 passed, 3 failed",
        "the assertion of a part": "    AssertionError: it was 1 instead of 2" in said,
        "the log of a part": "    passthroughd: info: something" in said,
        "not what others wrote": not any("not of that test" in line or "third" in line for line in said),
        "the end of a program": "    line 99" in said and "    line 76" in said and "    line 70" not in said,
        "what was left out": "skipped: sim left out" in said,
        "the seconds": said[0] == "seconds in the VM: life 12, crash 3",
        "many are short": len(counted("<testsuite>" + "".join(
            f'<testcase name="{i}"><failure/><system-out>{"x%c" % 10 * 50}</system-out></testcase>' for i in range(20)) +
            "</testsuite>")[1]) <= 20 * 8 + 2,
        "nothing is no success": counted("<testsuite/>") == (1, ["0 passed, 0 failed"]),
        "all is well": counted('<testsuite><testcase name="a"/></testsuite>') == (0, ["1 passed, 0 failed"]),
        "a log that is not one": counted("")[0] == 1,
    }
    print(f"1..{len(checks)}")
    for number, (what, good) in enumerate(checks.items(), 1):
        print(f"{'' if good else 'not '}ok {number} - {what}")
    if not all(checks.values()):
        print("\n".join(f"# {line}" for line in said))
    return not all(checks.values())


sys.exit(main())
