/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A small host of files in a temporary directory, for the parts that look at one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/fault.h"
#include "lib/sysfs.h"

typedef struct HostTree {
        char root[sizeof("/dev/shm/test-host-XXXXXX")];
        Sysfs sysfs;
} HostTree;

/* With /sys/bus/pci, an IOMMU unit and the drivers "e1000e", "nvme" and "vfio-pci". */
void host_tree_make(HostTree *tree);
void host_tree_remove(HostTree *tree);

/* Paths are relative to the root; folders on the way are made. */
void tree_folder(HostTree *tree, const char *path);
void tree_file(HostTree *tree, const char *path, const char *format, ...)
        __attribute__((__format__(__printf__, 3, 4)));
void tree_link(HostTree *tree, const char *path, const char *target);
void tree_remove(HostTree *tree, const char *path); /* what it holds, too */

/* A PCI function on bus 0 of its domain; zero and NULL leave out what they stand for. */
typedef struct PciSpec {
        const char *address;
        unsigned vendor, device, class; /* default 8086:10d3, 020000 */
        const char *driver;
        const char *iommu_group;
        const char *numa_node;
        const char *label; /* tells the test module what to do */
} PciSpec;
void tree_pci(HostTree *tree, const PciSpec *spec);
void tree_pci_attribute(HostTree *tree, const char *address, const char *name, const char *value);
void tree_pci_bind(HostTree *tree, const char *address, const char *driver); /* NULL: unbinds */
void tree_pci_remove(HostTree *tree, const char *address);

/* The fault has the code and its message contains the words; then it is emptied for the next one. */
static inline void assert_fault(Fault *fault, FaultCode code, const char *words) {
        assert_string_equal(fault_code_to_string(fault->code), fault_code_to_string(code));
        assert_non_null(fault->message);
        if (!strstr(fault->message, words))
                fail_msg("the message \"%s\" does not say \"%s\"", fault->message, words);
        fault_done(fault);
}
