/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Drivers and devices find each other here. Sources of the rules: Linux 6.1 drivers/base/{bus,dd}.c and
 * drivers/pci/pci-driver.c. */

/* Which drivers take which devices by themselves, as the description says. */
void bind_load_ids(Kernel *k);

/* Takes the driver away; the device lock is held. Waits until nobody has the device open if it is a VFIO
 * driver. */
void driver_detach(Kernel *k, const char *path);
/* Looks for a driver as drivers_probe does; the device lock is held. Only -EINVAL, when the IOMMU group
 * is in use. */
int device_probe(Kernel *k, const char *path);

int bind_write(Kernel *k, const char *driver, const char *text);
int unbind_write(Kernel *k, const char *driver, const char *text);
int new_id_write(Kernel *k, const char *driver, const char *text);
int remove_id_write(Kernel *k, const char *driver, const char *text);
int drivers_probe_write(Kernel *k, const char *bus, const char *text);
int driver_override_read(Kernel *k, const char *bdf, char *ret, size_t size);
int driver_override_write(Kernel *k, const char *bdf, const char *text);
