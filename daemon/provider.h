/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A provider and the devices that it made, as the inventory sees them: a physical function with its virtual ones. Owned by the
 * inventory. It is there as soon as either is seen, and goes with the last of them. */

#include "inventory.h"

struct Provider {
        const Module *module;
        Device *device;    /* NULL while only its children are known */
        Device **children; /* unordered */
        size_t n_children, n_allocated;
        struct Room *room; /* room.h: what its module said that its groups can have; one piece of memory, NULL: not asked yet */
        UT_hash_handle hh; /* in the inventory */
        char key[];        /* "MODULE/HOST-ID" */
};

/* The device that provides this one; NULL for none, or one that is not there (yet). */
static inline Device *device_get_provider(const Device *device) {
        return device->role != PT_ROLE_PROVIDER && device->provider ? device->provider->device : NULL;
}

/* What the device, or its provider, has for a field as conditions name it ("provider.slot"). */
static inline int device_get_named_value(const Device *device, const char *field, PtValue *ret) {
        const char *of_provider = startswith(field, "provider.");

        if (of_provider)
                device = device_get_provider(device);
        return device ? device_get_field_by_name(device, of_provider ?: field, ret) : -ENODEV;
}

/* For the inventory: keeps device->provider in line with what describe() said. `host`: id of the provider's host device, NULL
 * or "" for none. 1 when that differs from before. */
int provider_link(Inventory *inventory, Device *device, const char *host);
void provider_unlink(Inventory *inventory, Device *device);

Provider *inventory_first_provider(Inventory *inventory); /* iterate with provider->hh.next */
