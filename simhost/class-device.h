/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"
#include "host-description.h"

/* Numbers that the kernel hands out in the order in which things appear. */
typedef struct Counters {
        int ifindex, net, nvme, block_minor, usb_bus;
        int group; /* all IOMMU groups below this number exist */
} Counters;

/* Writes what its driver makes of a device: network interfaces, NVMe controllers with their disks, mdev
 * types, USB buses. Nothing is registered yet. */
void class_devices_write(Tree *t, const char *device, const PciSpec *spec, Counters *counters);

/* Directories that a driver made are kept aside while it is not bound, and come back with it. */
void class_devices_park(Tree *t, const char *device);
void class_devices_restore(Tree *t, const char *device);
