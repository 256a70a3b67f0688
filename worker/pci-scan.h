/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All PCI functions with their class, in the order of the directory. What few are asked for is read when it is. */

#include "lib/sysfs.h"

typedef struct PciFunction {
        char name[24];       /* "0000:00:1f.0" */
        uint32_t class_code; /* base, subclass, interface */
} PciFunction;

typedef struct PciScan {
        PciFunction *items;
        size_t n_items;
} PciScan;

/* -ENOENT without PCI. A function that vanishes meanwhile is left out. */
int pci_scan(const Sysfs *sysfs, PciScan *ret);
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
