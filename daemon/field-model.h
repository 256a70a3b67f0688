/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What devices of one model have in common. Hosts with thousands of functions have a few dozen models: all but a handful of
 * the fields are the same for each of them, so a device keeps only those in which it differs from the first of its model that
 * was seen. Owned by the inventory; there as long as a device has it.
 *
 * It says nothing about which fields a device has: those are the bits of Device.known. */

#include "inventory.h"

/* Before its first field is put: makes these the model's, where it is the first. */
int device_fields_begin(Inventory *inventory, Device *device, uint64_t known, const FieldData *data);
/* Moves a value in, or takes the old one away where `data` is NULL; 1 when that made a difference. `data` is empty afterwards,
 * also in failure, which leaves the field as it was. */
int device_fields_put(Inventory *inventory, Device *device, unsigned field, FieldData *data);
void device_fields_done(Inventory *inventory, Device *device);
