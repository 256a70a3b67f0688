/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "field-index.h"

#include "inventory-internal.h"

/* By address: equal texts have one. */
static int compare(const void *a, const void *b) {
        const IndexedText *x = a, *y = b;

        if (x->text != y->text)
                return x->text < y->text ? -1 : 1;
        return x->device->serial < y->device->serial ? -1 : x->device->serial > y->device->serial;
}

static int make(Inventory *inventory, FieldIndex *index) {
        IndexedText *items = reallocarray(index->items, inventory_count(inventory), sizeof(*items));
        uint64_t bit = UINT64_C(1) << index->field;

        if (!items)
                return -ENOMEM;
        index->items = items;
        index->n_items = 0;
        for (Device *device = inventory->devices; device; device = device->hh.next)
                if (device->module == index->module && device->known & bit)
                        items[index->n_items++] =
                                (IndexedText){ device_field_data(device, index->field)->s, device };
        qsort(items, index->n_items, sizeof(*items), compare);
        return 0;
}

/* That of the field, or the one that was not asked for the longest. */
static FieldIndex *choose(Inventory *inventory, const Module *module, unsigned field) {
        FieldIndex *oldest = &inventory->indexes[0];

        for (size_t i = 0; i < FIELD_INDEXES; i++) {
                FieldIndex *index = &inventory->indexes[i];

                if (index->module == module && index->field == field)
                        return index;
                if (index->generation < oldest->generation)
                        oldest = index;
        }
        return oldest;
}

/* The first that is not below `text`. */
static size_t find_first(const FieldIndex *index, const char *text) {
        size_t low = 0, high = index->n_items;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (index->items[middle].text < text)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int inventory_find_text(Inventory *inventory, const Module *module, unsigned field, const char *text,
                        const IndexedText **ret_items, size_t *ret_n) {
        FieldIndex *index;
        const char *interned;
        size_t first, n = 0;

        if (inventory_count(inventory) < FIELD_INDEX_MIN || isempty(text) || field >= module->n_fields ||
            module->descriptor->fields[field].type != PT_STRING)
                return -EAGAIN;

        index = choose(inventory, module, field);
        if (index->module != module || index->field != field || index->generation != inventory->generation) {
                free(index->items);
                *index = (FieldIndex){ .module = module, .field = field, .generation = inventory->generation };
                return -EAGAIN;
        }
        if (!index->items && make(inventory, index) < 0)
                return -EAGAIN;

        /* What nobody has is no text of the interner, or one of something else. */
        interned = interner_find(inventory->interner, text);
        first = interned ? find_first(index, interned) : 0;
        while (interned && first + n < index->n_items && index->items[first + n].text == interned)
                n++;
        *ret_items = index->items + first;
        *ret_n = n;
        return 0;
}

void field_indexes_free(Inventory *inventory) {
        for (size_t i = 0; i < FIELD_INDEXES; i++)
                free(inventory->indexes[i].items);
}
