/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where vGPUs of mixed sizes go on one GPU. Each size has fixed places, so that free memory alone says nothing:
 * 24 + 12 + 4 + 4 + 4 GB is 48 GB and cannot be placed on an Ada GPU of 48 GB. */

#include "lib/macro.h"

#define VGPU_REGION_MAX 192u /* units of the largest GPU */
#define VGPU_SLOTS_MAX 128u  /* vGPUs of one GPU */

/* vGPUs that take `size` units each, from one of the places. */
typedef struct VgpuPackItem {
        unsigned count;
        unsigned size;
        unsigned n_places;
        const uint16_t *places; /* ascending */
} VgpuPackItem;

typedef struct VgpuSpan {
        uint16_t start, size;
} VgpuSpan;

/* Places every vGPU beside what is `busy`. `ret` gets the starts, in the order of the items, of each item ascending:
 * as many as the counts together, at most VGPU_SLOTS_MAX. The same input gives the same places. -ENOSPC: it cannot be
 * done. -E2BIG: more than this can search. -EINVAL: a place beyond VGPU_REGION_MAX. -ENOMEM. Places of one item must not
 * overlap each other. */
int vgpu_pack(const VgpuPackItem *items, size_t n_items, const VgpuSpan *busy, size_t n_busy, uint16_t *ret);
/* How many more of one kind fit beside what is busy. */
unsigned vgpu_pack_room(const VgpuPackItem *item, const VgpuSpan *busy, size_t n_busy);
