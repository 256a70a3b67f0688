#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules about the sources themselves, as TAP: who may include whom, which library is used where, sizes, licence lines."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
C_FOLDERS = ("include", "lib", "daemon", "worker", "modules", "cli", "simhost", "benchmarks", "tests")
FILE_LINES_MAX = 800

# What a folder's files may include with quotes, besides their own folder. The bus layer is a room of its own.
MAY_INCLUDE = {
    "include": (),
    "lib": (),
    "modules": ("lib/", "modules/pci/"),  # what concerns any PCI function is shared
    "worker": ("lib/",),
    "daemon": ("lib/",),
    "cli": ("lib/",),
    "simhost": (),
}
# A header and the only files that may include it.
ONLY_IN = {
    r"systemd/sd-bus\.h": r"daemon/(bus[-\w]*|auth)\.[ch]|cli/.*|benchmarks/.*|tests/.*",
    r"libudev\.h": r"daemon/source[-\w]*\.[ch]|benchmarks/.*|tests/.*|simhost/.*",
    r"dlfcn\.h": r"daemon/loader\.c|worker/module-load\.c|modules/vgpu/nvml\.c|tests/.*",
    r"libkmod\.h": r"lib/host-facts\.c|tests/.*",
    r"sqlite3\.h": r"daemon/store[-\w]*\.[ch]|tests/.*",
}


def sources():
    for folder in C_FOLDERS:
        yield from sorted(path for path in (ROOT / folder).rglob("*.[ch]"))


def name(path):
    return str(path.relative_to(ROOT))


def includes(path):
    return re.findall(r'^#include\s+([<"])([^>"]+)[>"]', path.read_text(errors="replace"), re.M)


def includes_point_downwards():
    for path in sources():
        folder = name(path).split("/")[0]
        if folder not in MAY_INCLUDE:
            continue
        for kind, header in includes(path):
            if kind != '"' or (path.parent / header).exists():
                continue
            if not header.startswith(MAY_INCLUDE[folder]) or not (ROOT / header).exists():
                yield f'{name(path)} includes "{header}"'
        if folder == "daemon" and not re.match(r"(bus|auth|main)", path.name):
            for kind, header in includes(path):
                if kind == '"' and re.match(r"(bus[-.]|auth)", header):
                    yield f'{name(path)} is the core and includes "{header}"'


def libraries_stay_in_their_rooms():
    for path in sources():
        for _, header in includes(path):
            for pattern, allowed in ONLY_IN.items():
                if re.fullmatch(pattern, header) and not re.fullmatch(allowed, name(path)):
                    yield f"{name(path)} includes {header}"


def files_are_short():
    for path in (*sources(), *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))):
        lines = path.read_text(errors="replace").count("\n")
        if lines > FILE_LINES_MAX:
            yield f"{name(path)} has {lines} lines"


def licence_lines():
    for path in sources():
        first = path.read_text(errors="replace").split("\n", 1)[0]
        # Examples that a third party starts from are free to copy.
        wanted = "MIT" if name(path).startswith("include/") else r"LGPL-2\.1-or-later"
        if name(path).startswith("tests/"):
            wanted += "|MIT"
        if not re.search(rf"SPDX-License-Identifier: ({wanted})\b", first):
            yield f"{name(path)}: {first[:60]!r}"


def no_tabs_or_trailing_blanks():
    for path in sources():
        for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
            if "\t" in line or line != line.rstrip():
                yield f"{name(path)}:{number}"


def scripts():
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and not path.is_symlink() and "build" not in path.relative_to(ROOT).parts[0] and \
                ".git" not in path.parts and path.suffix in ("", ".sh"):
            with open(path, "rb") as script:
                if re.match(rb"#!/bin/(ba)?sh\b", script.readline()):
                    yield path


def shell_scripts_are_clean():
    files = [str(path) for path in scripts()]
    if not files:
        yield "no scripts found"
        return
    done = subprocess.run(["shellcheck", "--severity=warning", *files], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield from done.stdout.splitlines()


CHECKS = [includes_point_downwards, libraries_stay_in_their_rooms, files_are_short, licence_lines, no_tabs_or_trailing_blanks,
          shell_scripts_are_clean]


def main():
    print(f"1..{len(CHECKS)}")
    failed = 0
    for number, check in enumerate(CHECKS, 1):
        problems = list(check())
        failed += bool(problems)
        print(f"{'not ' if problems else ''}ok {number} - {check.__name__}")
        for problem in problems[:40]:
            print(f"# {problem}")
    sys.exit(1 if failed else 0)


main()
