/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-mig.h"

typedef struct Geometry {
        const MigProfile *const *wanted;
        size_t n_wanted;
        size_t order[MIG_INSTANCES_MAX]; /* largest first */
        MigPlacement *ret;
} Geometry;

static uint8_t slices_of(const MigProfile *profile, unsigned start) {
        return (uint8_t) (((1u << profile->memory) - 1) << start);
}

/* What does not depend on places. */
static const char *check_set(const VgpuBoard *board, const MigProfile *const *all, size_t n) {
        unsigned compute = 0, memory = 0, media = 0, media_all = 0, shares_media = 0;

        for (size_t i = 0; i < n; i++) {
                unsigned same = 0;

                for (size_t k = 0; k < n; k++)
                        same += all[k] == all[i];
                if (same > all[i]->max)
                        return "one of the profiles may not come that often on a GPU";
                compute += all[i]->compute;
                memory += all[i]->memory;
                media += (all[i]->flags & MIG_MEDIA) != 0;
                media_all += (all[i]->flags & MIG_MEDIA_ALL) != 0;
                shares_media += (all[i]->flags & (MIG_NO_MEDIA | MIG_MEDIA_ALL)) == 0;
        }
        if (compute > board->compute_slices)
                return "the instances have more compute slices than the GPU";
        if (memory > board->memory_slices)
                return "the instances have more memory slices than the GPU";
        if (media > 1)
                return "only one instance can have the media extensions (+me)";
        if (media_all > 1 || (media_all == 1 && shares_media > 0))
                return "beside an instance with all media engines (+me.all) only such without (-me) are possible";
        return NULL;
}

static bool place_from(const Geometry *g, size_t nth, uint8_t busy) {
        const MigProfile *profile;

        if (nth == g->n_wanted)
                return true;
        profile = g->wanted[g->order[nth]];
        for (unsigned start = 0; start < 8; start++) {
                uint8_t slices = slices_of(profile, start);

                if (!(profile->starts & (1u << start)) || (busy & slices))
                        continue;
                g->ret[g->order[nth]] = (MigPlacement){ profile, (uint8_t) start };
                if (place_from(g, nth + 1, busy | slices))
                        return true;
        }
        return false;
}

/* Most memory first; between equals, the one with more compute slices: 4g has one start, 3g two. */
static void sort_largest_first(Geometry *g) {
        for (size_t i = 0; i < g->n_wanted; i++) {
                const MigProfile *p = g->wanted[i];
                size_t k = i;

                for (; k > 0; k--) {
                        const MigProfile *before = g->wanted[g->order[k - 1]];

                        if (before->memory > p->memory || (before->memory == p->memory && before->compute >= p->compute))
                                break;
                        g->order[k] = g->order[k - 1];
                }
                g->order[k] = i;
        }
}

int mig_place(const VgpuBoard *board, const MigPlacement *fixed, size_t n_fixed, const MigProfile *const *wanted,
              size_t n_wanted, MigPlacement *ret, const char **ret_why) {
        const MigProfile *all[MIG_INSTANCES_MAX];
        MigPlacement found[MIG_INSTANCES_MAX];
        Geometry g = { .wanted = wanted, .n_wanted = n_wanted, .ret = found };
        const char *why;
        uint8_t busy = 0;

        if (n_fixed > MIG_INSTANCES_MAX || n_wanted > MIG_INSTANCES_MAX - n_fixed) {
                if (ret_why)
                        *ret_why = "a GPU has no more than seven instances";
                return -E2BIG;
        }
        for (size_t i = 0; i < n_fixed; i++) {
                all[i] = fixed[i].profile;
                busy |= slices_of(fixed[i].profile, fixed[i].start);
        }
        for (size_t i = 0; i < n_wanted; i++)
                all[n_fixed + i] = wanted[i];
        why = check_set(board, all, n_fixed + n_wanted);
        if (!why) {
                sort_largest_first(&g);
                if (!place_from(&g, 0, busy))
                        why = "the places that the profiles may start at overlap";
        }
        if (why) {
                if (ret_why)
                        *ret_why = why;
                return -ENOSPC;
        }
        memcpy(ret, found, n_wanted * sizeof(found[0]));
        return 0;
}

unsigned mig_room(const VgpuBoard *board, const MigPlacement *fixed, size_t n_fixed, const MigProfile *profile) {
        const MigProfile *wanted[MIG_INSTANCES_MAX];
        MigPlacement placed[MIG_INSTANCES_MAX];
        unsigned n = 0;

        while (n < MIG_INSTANCES_MAX - MIN_OF(n_fixed, MIG_INSTANCES_MAX)) {
                wanted[n] = profile;
                if (mig_place(board, fixed, n_fixed, wanted, n + 1, placed, NULL) < 0)
                        break;
                n++;
        }
        return n;
}
