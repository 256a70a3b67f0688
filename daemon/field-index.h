/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which devices have a text in a field: so that a frontend which asks for devices one after the other by their address does not
 * have all of them tested each time. An index is made when a field is asked for a second time while no device changed, and is
 * of no use after the next change: where devices change all the time, testing is cheaper. Owned by the inventory. */

#include "inventory.h"

/* Smaller hosts are tested as fast. */
#define FIELD_INDEX_MIN 256u

typedef struct IndexedText {
        const char *text; /* interned, as the devices have it */
        Device *device;
} IndexedText;

typedef struct FieldIndex {
        const Module *module;
        unsigned field;
        uint64_t generation; /* of the inventory, when it was asked for last */
        IndexedText *items;  /* by address of the text, then in order of appearance; NULL: not made */
        size_t n_items;
} FieldIndex;

/* The devices of the module that are known to have exactly this text, which is not empty, in order of appearance; valid until
 * something changes. -EAGAIN: there is no index, and all have to be looked at. */
int inventory_find_text(Inventory *inventory, const Module *module, unsigned field, const char *text,
                        const IndexedText **ret_items, size_t *ret_n);
void field_indexes_free(Inventory *inventory);
