/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Slots: devices that a provider could make and that the kernel does not know before. To the rest of the service each is a
 * host device like any other, whose directory is its provider's. They are kept apart from what a scan finds. */

#include <stdio.h>

#include "source-internal.h"

int source_add_part(Source *source, HostDevice *whole, uint32_t number, HostDevice **ret) {
        char place[SOURCE_NAME_MAX + 16], id[ID_SIZE];
        HostDevice *part;
        int r;

        (void) snprintf(place, sizeof(place), "%s/s%u", whole->place, number);
        r = source_make_id(whole->subsystem, place, id);
        if (r < 0)
                return r;
        if (source_find(source, id))
                return -EEXIST;
        part = host_device_new(id);
        if (!part)
                return -ENOMEM;
        part->subsystem = intern(source->interner, whole->subsystem);
        part->sysname = intern(source->interner, whole->sysname);
        part->place = intern(source->interner, place);
        part->devtype = whole->devtype ? intern(source->interner, whole->devtype) : NULL;
        part->above = intern(source->interner, whole->above);
        if (!part->subsystem || !part->sysname || !part->place || (whole->devtype && !part->devtype) || !part->above) {
                host_device_free(source, part);
                return -ENOMEM;
        }
        part->class_code = whole->class_code;
        part->vendor = whole->vendor;
        part->product = whole->product;
        /* What is made has an IOMMU group of its own, later. */
        part->slot_number = number;
        part->whole = whole;
        source_follow_whole(source, part);
        HASH_ADD_STR(source->parts, id, part);
        *ret = part;
        return 0;
}

void source_follow_whole(Source *source, HostDevice *part) {
        const char *driver = part->whole->driver;

        part->differs = driver != part->driver || part->numa_node != part->whole->numa_node;
        if (driver != part->driver) {
                intern_unref(source->interner, part->driver);
                part->driver = driver ? intern(source->interner, driver) : NULL;
        }
        part->numa_node = part->whole->numa_node;
}

void source_drop_part(Source *source, HostDevice *part) {
        HASH_DEL(source->parts, part);
        host_device_free(source, part);
}
