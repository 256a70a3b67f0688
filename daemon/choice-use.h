/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is in use near a device: in the same IOMMU group, on the same card, below the same bridge or hub.
 * Counted once for the whole host; a candidate then looks at three counters. */

#include "inventory.h"

typedef struct UseTable UseTable;

/* Where to look for one device; belongs to the table. */
typedef struct Surroundings {
        const unsigned *self, *iommu_group, *card, *parent, *provider; /* NULL: there is no such */
} Surroundings;

/* How many others are in use. */
typedef struct Nearness {
        unsigned iommu_group;
        unsigned provider; /* made by the same: on one GPU, of one physical function */
        unsigned card;   /* same physical slot, or same PCI device */
        unsigned parent; /* below the same bridge or hub, also those on the card */
} Nearness;

/* Counts the devices that are claimed now. */
int use_table_new(Inventory *inventory, UseTable **ret);
UseTable *use_table_free(UseTable *table);
DEFINE_CLEANUP(UseTable *, use_table_free)
/* Counts one more, unless it was counted before. */
int use_table_add(UseTable *table, const HostDevice *host);
int use_table_look(UseTable *table, const HostDevice *host, Surroundings *ret);
Nearness nearness_of(const Surroundings *surroundings);
