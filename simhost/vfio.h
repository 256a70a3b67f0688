/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* VFIO: what vfio-pci makes of a device, the groups and their nodes /dev/vfio/N. A node is a regular
 * file, because a device node can't be made without being root; its sysfs `dev` reads 0:0, which is what
 * stat() shows of the file. */

bool vfio_is_driver(const char *driver);

/* The answer of vfio-pci's probe function. */
int vfio_may_bind(Kernel *k, const char *path);
void vfio_register(Kernel *k, const char *path);
void vfio_unregister(Kernel *k, const char *path);
/* A host may have devices on vfio-pci from the start. */
void vfio_adopt(Kernel *k, const char *path);

bool vfio_group_is_held(Kernel *k, const char *path);
void vfio_wait_until_closed(Kernel *k, const char *path);

/* The node was opened (-EBUSY: by somebody else already; -ENODEV: no driver in the group) or closed. */
int vfio_open(Kernel *k, int group);
void vfio_close(Kernel *k, int group);
