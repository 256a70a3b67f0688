# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must be the same before and after: the host as the kernel shows it, and the service's databases."""
import os
import sqlite3

from passthrough import RUNTIME, STATE, SYS, check, driver, equal, iommu_group, node, override


def host(*slots):
    """Driver, override and VFIO node (owner and mode) of each."""
    seen = {}
    for slot in slots:
        try:
            status = os.stat(node(slot))
            owner = (status.st_uid, status.st_gid, oct(status.st_mode & 0o777))
        except OSError:
            owner = None
        seen[slot] = (driver(slot), override(slot), owner) if (SYS / slot).exists() else "absent"
    return seen


def bound(slots, uid):
    """What host() shows of devices of one IOMMU group that are active for a user."""
    return {slot: ("vfio-pci", "vfio-pci", (uid, 0, "0o600")) for slot in slots}


def groups(*slots):
    return {iommu_group(slot) for slot in slots}


def rows(path, table):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
    finally:
        connection.close()


def dump(path):
    connection = sqlite3.connect(path)
    try:
        equal(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)], f"integrity of {path}")
        return list(connection.iterdump())
    finally:
        connection.close()


def databases():
    """Every row of both databases, sound by SQLite's own check. The service should have ended."""
    return {"state": dump(STATE / "state.db"), "runtime": dump(RUNTIME / "runtime.db")}


def nothing_recorded():
    """No steps, no progress, no resource keys are left. The service should have ended."""
    for table in ("steps", "progress"):
        equal(rows(RUNTIME / "runtime.db", table), [], f"records in {table}")
    equal(rows(STATE / "state.db", "claims"), [], "locked resource keys")


def restart_changes_nothing(service, *slots):
    """Reconciling again is the same as not doing it. Returns the client of the service started last."""
    service.stop()
    found, stored = host(*slots), databases()
    service.start()
    service.stop()
    equal(host(*slots), found, "the host after one more restart")
    again = databases()
    for name, lines in stored.items():
        check(again[name] == lines, f"one more restart changed {name}.db: {sorted(set(lines) ^ set(again[name]))}")
    return service.start()
