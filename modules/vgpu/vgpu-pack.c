/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-pack.h"

/* The search goes through the units of the GPU from left to right: at each, a vGPU begins that may begin there, or none does.
 * Whether the rest can be placed depends on the unit and on how many of each size are left, so that no such state is
 * looked at twice. What is wanted together is never more than the GPU has, which keeps their number small. */

#define SIZES_MAX 16u
#define STATES_MAX (UINT64_C(1) << 26)

typedef struct Units {
        uint64_t words[VGPU_REGION_MAX / 64];
} Units;

typedef struct Search {
        const VgpuPackItem *items[SIZES_MAX]; /* largest first */
        uint16_t *starts[SIZES_MAX];          /* where the results of each go */
        unsigned left[SIZES_MAX];
        uint64_t weight[SIZES_MAX];           /* of `left` in the number of a state */
        uint64_t n_counts;
        size_t n_items;
        Units busy, may_start[SIZES_MAX];
        unsigned end;  /* first unit behind every place */
        unsigned need; /* units of all that is left */
        uint64_t *seen;
} Search;

static void set_units(Units *units, unsigned start, unsigned size) {
        for (unsigned i = start; i < start + size; i++)
                units->words[i / 64] |= UINT64_C(1) << (i % 64);
}

static bool has_unit(const Units *units, unsigned i) {
        return units->words[i / 64] >> (i % 64) & 1;
}

static bool is_free(const Units *busy, unsigned start, unsigned size) {
        for (unsigned i = start; i < start + size; i++)
                if (has_unit(busy, i))
                        return false;
        return true;
}

/* Marks the state; whether it was seen before, and so cannot succeed. */
static bool is_seen(Search *search, unsigned unit) {
        uint64_t state = unit, bit;
        bool seen;

        for (size_t i = 0; i < search->n_items; i++)
                state += (uint64_t) search->left[i] * search->weight[i];
        bit = UINT64_C(1) << (state % 64);
        seen = search->seen[state / 64] & bit;
        search->seen[state / 64] |= bit;
        return seen;
}

static bool place_from(Search *search, unsigned unit) {
        if (search->need == 0)
                return true;
        if (unit + search->need > search->end || is_seen(search, unit))
                return false;
        for (size_t i = 0; i < search->n_items; i++) {
                const VgpuPackItem *item = search->items[i];
                bool placed;

                if (search->left[i] == 0 || !has_unit(&search->may_start[i], unit) ||
                    !is_free(&search->busy, unit, item->size))
                        continue;
                search->starts[i][item->count - search->left[i]--] = (uint16_t) unit;
                search->need -= item->size;
                placed = place_from(search, unit + item->size);
                if (placed)
                        return true;
                search->left[i]++;
                search->need += item->size;
        }
        return place_from(search, unit + 1);
}

static int check_places(const VgpuPackItem *item) {
        if (item->size == 0)
                return -EINVAL;
        for (unsigned i = 0; i < item->n_places; i++)
                if (item->places[i] + item->size > VGPU_REGION_MAX)
                        return -EINVAL;
        return 0;
}

static int mark_busy(const VgpuSpan *busy, size_t n_busy, Units *ret) {
        Units all = { 0 };

        for (size_t i = 0; i < n_busy; i++) {
                if (busy[i].start + busy[i].size > VGPU_REGION_MAX)
                        return -EINVAL;
                set_units(&all, busy[i].start, busy[i].size);
        }
        *ret = all;
        return 0;
}

/* Largest first: where two may begin, the larger has fewer other places. */
static void add_sorted(Search *search, const VgpuPackItem *item, uint16_t *starts) {
        size_t i = search->n_items++;

        for (; i > 0 && search->items[i - 1]->size < item->size; i--) {
                search->items[i] = search->items[i - 1];
                search->starts[i] = search->starts[i - 1];
        }
        search->items[i] = item;
        search->starts[i] = starts;
}

static int collect(Search *search, const VgpuPackItem *items, size_t n_items, uint16_t *starts, size_t *ret_total) {
        size_t total = 0;

        if (n_items > SIZES_MAX)
                return -E2BIG;
        for (size_t i = 0; i < n_items; i++) {
                int r = check_places(&items[i]);

                if (r < 0)
                        return r;
                if (items[i].count > VGPU_SLOTS_MAX - total)
                        return -E2BIG;
                add_sorted(search, &items[i], starts + total);
                total += items[i].count;
        }
        *ret_total = total;
        return 0;
}

/* -ENOSPC when there are fewer units, or fewer places of one size, than wanted. */
static int prepare(Search *search) {
        search->n_counts = 1;
        for (size_t i = 0; i < search->n_items; i++) {
                const VgpuPackItem *item = search->items[i];

                for (unsigned k = 0; k < item->n_places; k++) {
                        set_units(&search->may_start[i], item->places[k], 1);
                        search->end = MAX_OF(search->end, item->places[k] + item->size);
                }
                search->left[i] = item->count;
                search->need += item->count * item->size;
                if (item->count > item->n_places)
                        return -ENOSPC;
        }
        if (search->need > search->end)
                return -ENOSPC;
        for (size_t i = 0; i < search->n_items; i++) {
                search->weight[i] = search->n_counts * (VGPU_REGION_MAX + 1);
                search->n_counts *= search->items[i]->count + 1;
                if (search->n_counts * (VGPU_REGION_MAX + 1) > STATES_MAX)
                        return -E2BIG;
        }
        return 0;
}

int vgpu_pack(const VgpuPackItem *items, size_t n_items, const VgpuSpan *busy, size_t n_busy, uint16_t *ret) {
        _cleanup_free_ uint64_t *seen = NULL;
        uint16_t starts[VGPU_SLOTS_MAX] = { 0 };
        Search search = { 0 };
        size_t total = 0;
        int r;

        r = collect(&search, items, n_items, starts, &total);
        if (r >= 0)
                r = mark_busy(busy, n_busy, &search.busy);
        if (r >= 0)
                r = prepare(&search);
        if (r < 0)
                return r;
        seen = search.seen = calloc(search.n_counts * (VGPU_REGION_MAX + 1) / 64 + 1, sizeof(uint64_t));
        if (!seen)
                return -ENOMEM;
        if (!place_from(&search, 0))
                return -ENOSPC;
        memcpy(ret, starts, total * sizeof(starts[0]));
        return 0;
}

unsigned vgpu_pack_room(const VgpuPackItem *item, const VgpuSpan *busy, size_t n_busy) {
        unsigned n = 0;
        Units units;

        if (check_places(item) < 0 || mark_busy(busy, n_busy, &units) < 0)
                return 0;
        for (unsigned i = 0; i < item->n_places; i++)
                n += is_free(&units, item->places[i], item->size);
        return n;
}
