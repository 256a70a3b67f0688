/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the host's drivers made of a device: network interfaces, disks, sound cards, terminals …, with their nodes. Reads
 * `uevent` files and so may wait as long as the kernel works on one of them. */

#include "worker.h"

/* Appends to `children` {device, subsystem, name, node?} for everything people know by name below
 * /sys`below` ("/devices/pci0000:00/0000:00:03.0"), the directory itself included when it has a node; and to
 * `nodes` the path of every node there ("/dev/nvme0n1p1"). A directory that is gone has nothing below it. */
int children_find(const Sysfs *sysfs, const char *below, json_t *children, json_t *nodes);
