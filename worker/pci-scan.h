/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All PCI functions with their class, in the order of the directory. What few are asked for is read when it is.
 *
 * A class is what the kernel read when it found the function, and stays as long as that is registered. Reading it is nearly all
 * that a look at a host of thousands costs, so a scan is kept from look to look: the link of each function has an inode number
 * that no later one gets, and one listing tells which are new. Those of the last second are read again, because the kernel's
 * quirks may still correct what a function says that has just been found. */

#include "lib/sysfs.h"

typedef struct PciFunction {
        char name[24];       /* "0000:00:1f.0" */
        uint32_t class_code; /* base, subclass, interface */
        uint64_t inode;      /* of its link */
        uint64_t found_usec; /* CLOCK_MONOTONIC */
        bool settled;        /* read when it was there for a while */
} PciFunction;

typedef struct PciScan {
        PciFunction *items;
        size_t n_items, n_allocated;
} PciScan;

/* Brings a scan, at first an empty one, up to date. -ENOENT without PCI; empty after any failure. A function that vanishes
 * meanwhile is left out. */
int pci_scan(const Sysfs *sysfs, PciScan *scan);
void pci_scan_done(PciScan *scan);
#define _cleanup_pci_scan_ _cleanup_(pci_scan_done)

/* An attribute of a function: its length, or a negative errno. */
ssize_t pci_attribute(const Sysfs *sysfs, const PciFunction *f, const char *name, char *buffer, size_t size);
/* 0 where it cannot be read. */
uint32_t pci_vendor(const Sysfs *sysfs, const PciFunction *f);
/* Name of the driver; "" for none. */
void pci_driver(const Sysfs *sysfs, const PciFunction *f, char *buffer, size_t size);
/* Drivers with which a function serves a guest, or a program that drives it on its own, and not the host's kernel. */
bool driver_is_passthrough(const char *driver);
bool pci_on_root_bus(const Sysfs *sysfs, const PciFunction *f);
