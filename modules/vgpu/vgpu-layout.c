/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-layout.h"

#include <stdarg.h>
#include <stdio.h>

#include "vgpu-nearest.h"

static const char *const mode_table[_VGPU_MODE_MAX] = {
        [VGPU_MODE_NONE] = "none",
        [VGPU_MODE_EQUAL] = "equal",
        [VGPU_MODE_MIXED] = "mixed",
        [VGPU_MODE_MIG] = "mig",
};
DEFINE_STRING_TABLE(vgpu_mode, VgpuMode, mode_table)

static const char *const refusal_table[_VGPU_REFUSAL_MAX] = {
        [VGPU_FITS] = "fits",
        [VGPU_MIXES_MIG] = "mig-and-time-sliced",
        [VGPU_NO_MIXED_SIZES] = "no-mixed-sizes",
        [VGPU_TOO_MANY] = "too-many",
        [VGPU_NOT_PLACEABLE] = "not-placeable",
        [VGPU_NO_GEOMETRY] = "no-geometry",
        [VGPU_BAD_PER_INSTANCE] = "per-instance",
        [VGPU_UNKNOWN_LIMITS] = "unknown-limits",
        [VGPU_TOO_LARGE] = "too-large",
};
DEFINE_STRING_TABLE(vgpu_refusal, VgpuRefusal, refusal_table)

static int PRINTF_LIKE(4, 5)
        refuse(VgpuConflict *conflict, VgpuRefusal refusal, size_t demand, const char *format, ...) {
        va_list arguments;

        conflict->refusal = refusal;
        conflict->demand = demand;
        va_start(arguments, format);
        (void) vsnprintf(conflict->text, sizeof(conflict->text), format, arguments);
        va_end(arguments);
        return -EBUSY;
}

static bool wants_something(const VgpuDemand *d) {
        return d->count > 0 || (d->profile->instance && d->instances > 0);
}

/* ---- which mode ---- */

static int find_mode(const VgpuDemand *demands, size_t n, VgpuMode *ret, VgpuConflict *conflict) {
        const VgpuDemand *first = NULL;
        VgpuMode mode = VGPU_MODE_NONE;

        for (size_t i = 0; i < n; i++) {
                const VgpuDemand *d = &demands[i];

                if (!wants_something(d))
                        continue;
                if (!first) {
                        first = d;
                        mode = d->profile->instance ? VGPU_MODE_MIG : VGPU_MODE_EQUAL;
                } else if ((d->profile->instance != NULL) != (mode == VGPU_MODE_MIG))
                        return refuse(conflict, VGPU_MIXES_MIG, i,
                                      "'%s' and '%s' can't share a GPU: it is either divided into MIG instances or time-sliced",
                                      first->group, d->group);
                else if (mode == VGPU_MODE_EQUAL && d->profile->name.framebuffer != first->profile->name.framebuffer)
                        mode = VGPU_MODE_MIXED;
        }
        *ret = mode;
        return 0;
}

/* ---- time-sliced ---- */

/* From Ada on a vGPU of equal size has a place as well: the multiples of its size, on Blackwell equal parts of the GPU. */
static void equal_slot(const VgpuBoard *board, const VgpuProfile *profile, unsigned nth, VgpuSlot *slot) {
        if (!board || board->architecture == VGPU_AMPERE)
                return;
        slot->size = (uint16_t) (profile->placement_size ? profile->placement_size : profile->name.framebuffer);
        slot->start = (uint16_t) (board->architecture == VGPU_BLACKWELL
                                          ? nth * board->framebuffer / MAX_OF(profile->max, 1u)
                                          : nth * slot->size);
}

static int layout_equal(const VgpuCatalogue *c, const VgpuDemand *demands, size_t n, VgpuLayout *layout,
                        VgpuConflict *conflict) {
        unsigned max = UINT16_MAX, total = 0, gb = 0;

        for (size_t i = 0; i < n; i++) {
                const VgpuProfile *p = demands[i].profile;

                if (demands[i].count == 0)
                        continue;
                if (p->max == 0)
                        return refuse(conflict, VGPU_UNKNOWN_LIMITS, i,
                                      "nobody says how many vGPUs of %u GB series %c one GPU takes", p->name.framebuffer,
                                      p->name.series);
                max = MIN_OF(max, p->max);
                gb = p->name.framebuffer;
                if (demands[i].count > max || total > max - demands[i].count)
                        return refuse(conflict, VGPU_TOO_MANY, i, "one GPU takes %u vGPUs of %u GB; '%s' is beyond that",
                                      max, gb, demands[i].group);
                for (unsigned k = 0; k < demands[i].count; k++) {
                        VgpuSlot *slot = &layout->slots[layout->n_slots];

                        if (layout->n_slots == VGPU_SLOTS_MAX)
                                return refuse(conflict, VGPU_TOO_LARGE, i, "more than %u vGPUs on one GPU",
                                              VGPU_SLOTS_MAX);
                        *slot = (VgpuSlot){ .demand = i, .instance = -1 };
                        equal_slot(c->board, p, total + k, slot);
                        layout->n_slots++;
                }
                total += demands[i].count;
        }
        if (c->board)
                layout->framebuffer_left = c->board->framebuffer - MIN_OF(total * gb, c->board->framebuffer);
        return 0;
}

/* Demands of one size share its places. */
static size_t merge_sizes(const VgpuDemand *demands, size_t n, const unsigned *served, VgpuPackItem *items) {
        size_t n_items = 0;

        for (size_t i = 0; i < n; i++) {
                const VgpuProfile *p = demands[i].profile;
                size_t k = 0;

                if (demands[i].count == served[i])
                        continue;
                while (k < n_items && items[k].size != p->placement_size)
                        k++;
                if (k == n_items)
                        items[n_items++] = (VgpuPackItem){ 0, p->placement_size, p->n_placements, p->placements };
                items[k].count += demands[i].count - served[i];
        }
        return n_items;
}

/* vGPUs that exist serve the demands for their profile, in order; all of them are in the way of new ones. */
static size_t take_there(const VgpuThere *there, const VgpuDemand *demands, size_t n, VgpuLayout *layout, unsigned *served,
                         VgpuSpan *busy) {
        for (size_t i = 0; there && i < there->n_vgpus; i++) {
                const VgpuProfile *p = there->vgpus[i].profile;

                busy[i] = (VgpuSpan){ there->vgpus[i].start, (uint16_t) p->placement_size };
                for (size_t k = 0; k < n; k++)
                        if (demands[k].profile == p && served[k] < demands[k].count) {
                                layout->slots[layout->n_slots++] = (VgpuSlot){
                                        .demand = k, .start = busy[i].start, .size = busy[i].size, .instance = -1 };
                                served[k]++;
                                break;
                        }
        }
        return there ? there->n_vgpus : 0;
}

static unsigned used_framebuffer(const VgpuDemand *demands, size_t n) {
        unsigned gb = 0;

        for (size_t i = 0; i < n; i++)
                gb += demands[i].count * demands[i].profile->name.framebuffer;
        return gb;
}

static int check_mixed(const VgpuDemand *demands, size_t n, bool allowed, VgpuConflict *conflict) {
        for (size_t i = 0; i < n; i++) {
                const VgpuProfile *p = demands[i].profile;

                if (demands[i].count > VGPU_SLOTS_MAX)
                        return refuse(conflict, VGPU_TOO_LARGE, i, "more than %u vGPUs on one GPU", VGPU_SLOTS_MAX);
                if (demands[i].count > 0 && (!allowed || p->n_placements == 0))
                        return refuse(conflict, VGPU_NO_MIXED_SIZES, i,
                                      "'%s' wants %u GB beside vGPUs of another size, which %s", demands[i].group,
                                      p->name.framebuffer,
                                      allowed ? "this profile can't be" : "this GPU or its driver can't do (17.2 or later)");
        }
        return 0;
}

static int layout_mixed(const VgpuCatalogue *c, const VgpuDemand *demands, size_t n, bool allowed, const VgpuThere *there,
                        VgpuLayout *layout, VgpuConflict *conflict) {
        VgpuPackItem items[VGPU_DEMANDS_MAX];
        uint16_t starts[VGPU_SLOTS_MAX];
        VgpuSpan busy[VGPU_SLOTS_MAX];
        unsigned gb = used_framebuffer(demands, n), taken[VGPU_DEMANDS_MAX] = { 0 }, served[VGPU_DEMANDS_MAX] = { 0 };
        size_t n_items, n_busy;
        int r;

        r = check_mixed(demands, n, allowed, conflict);
        if (r < 0)
                return r;
        n_busy = take_there(there, demands, n, layout, served, busy);
        n_items = merge_sizes(demands, n, served, items);
        r = vgpu_pack(items, n_items, busy, n_busy, starts);
        if (r < 0 && r != -ENOSPC)
                return refuse(conflict, VGPU_TOO_LARGE, n, "the placement could not be searched for: %s", strerror(-r));
        if (r < 0)
                return refuse(conflict, VGPU_NOT_PLACEABLE, n, "%u GB of vGPUs of these sizes have no places together%s%s", gb,
                              n_busy > 0 ? " beside those that exist" : "",
                              c->board && gb <= c->board->framebuffer
                                      ? ", though the memory would do: each size may only start at certain places"
                                      : "");
        for (size_t i = 0; i < n; i++)
                for (unsigned k = served[i]; k < demands[i].count; k++) {
                        size_t item = 0, offset = 0;

                        while (items[item].size != demands[i].profile->placement_size)
                                offset += items[item++].count;
                        layout->slots[layout->n_slots++] = (VgpuSlot){
                                .demand = i,
                                .start = starts[offset + taken[item]++],
                                .size = (uint16_t) demands[i].profile->placement_size,
                                .instance = -1,
                        };
                }
        if (c->board)
                layout->framebuffer_left = c->board->framebuffer - MIN_OF(gb, c->board->framebuffer);
        return 0;
}

/* ---- MIG ---- */

/* What a demand comes to. */
typedef struct MigNeed {
        unsigned instances, vgpus, per_instance;
} MigNeed;

static int resolve_mig(const VgpuDemand *d, size_t index, MigNeed *ret, VgpuConflict *conflict) {
        unsigned holds = d->profile->per_instance, per = d->per_instance ? d->per_instance : holds, instances;

        if (holds == 0)
                return refuse(conflict, VGPU_UNKNOWN_LIMITS, index, "nobody says how many of these vGPUs a MIG instance holds");
        if (per > holds)
                return refuse(conflict, VGPU_BAD_PER_INSTANCE, index, "'%s' wants %u vGPUs in a MIG instance that holds %u",
                              d->group, per, holds);
        instances = d->instances ? d->instances : d->count / per + (d->count % per != 0);
        if (instances > MIG_INSTANCES_MAX)
                return refuse(conflict, VGPU_NO_GEOMETRY, index, "'%s' wants %u MIG instances; a GPU has at most %u", d->group,
                              instances, d->profile->instance->max);
        if (d->count > instances * per)
                return refuse(conflict, VGPU_BAD_PER_INSTANCE, index, "'%s' wants %u vGPUs; %u MIG instances with %u each hold %u",
                              d->group, d->count, instances, per, instances * per);
        *ret = (MigNeed){ instances, d->count ? d->count : instances * per, per };
        return 0;
}

typedef struct MigBuild {
        const MigPlacement *existing;
        size_t n_existing;
        bool used[MIG_INSTANCES_MAX];                /* of the existing ones */
        const MigProfile *wanted[MIG_INSTANCES_MAX]; /* beside them */
        size_t wanted_at[MIG_INSTANCES_MAX];         /* index into the layout's instances */
        size_t n_wanted;
        VgpuLayout *layout;
} MigBuild;

/* Existing instances serve the demands for their profile, in order; the others stay where they are. */
static void add_instance(MigBuild *build, size_t demand, const MigProfile *profile) {
        VgpuInstance *instance = &build->layout->instances[build->layout->n_instances];

        instance->demand = demand;
        for (size_t i = 0; i < build->n_existing; i++)
                if (!build->used[i] && build->existing[i].profile == profile) {
                        build->used[i] = true;
                        instance->placement = build->existing[i];
                        build->layout->n_instances++;
                        return;
                }
        build->wanted_at[build->n_wanted] = build->layout->n_instances++;
        build->wanted[build->n_wanted++] = profile;
}

static int add_instances(MigBuild *build, const VgpuDemand *d, size_t index, VgpuConflict *conflict) {
        MigNeed need = { 0 };
        int r = resolve_mig(d, index, &need, conflict);

        if (r < 0)
                return r;
        if (need.per_instance > 1 && need.per_instance < d->profile->per_instance)
                build->layout->unused_capacity = true;
        if (need.instances > MIG_INSTANCES_MAX - build->layout->n_instances)
                return refuse(conflict, VGPU_NO_GEOMETRY, index, "a GPU has no more than seven MIG instances");
        if (need.vgpus > VGPU_SLOTS_MAX - build->layout->n_slots)
                return refuse(conflict, VGPU_TOO_LARGE, index, "more than %u vGPUs on one GPU", VGPU_SLOTS_MAX);
        for (unsigned i = 0; i < need.instances; i++) {
                int16_t instance = (int16_t) build->layout->n_instances;

                add_instance(build, index, d->profile->instance);
                for (unsigned k = 0; k < need.per_instance && need.vgpus > 0; k++, need.vgpus--)
                        build->layout->slots[build->layout->n_slots++] =
                                (VgpuSlot){ .demand = index, .instance = instance };
        }
        return 0;
}

static int layout_mig(const VgpuCatalogue *c, const VgpuDemand *demands, size_t n, const VgpuThere *there, VgpuLayout *layout,
                      VgpuConflict *conflict) {
        const MigPlacement *existing = there ? there->instances : NULL;
        size_t n_existing = there ? there->n_instances : 0;
        MigBuild build = { .existing = existing, .n_existing = n_existing, .layout = layout };
        MigPlacement placed[MIG_INSTANCES_MAX];
        unsigned memory = 0;
        const char *why = NULL;

        if (!c->board || !c->board->mig || n_existing > MIG_INSTANCES_MAX)
                return refuse(conflict, VGPU_UNKNOWN_LIMITS, n, "nobody says which MIG instances this GPU can have");
        for (size_t i = 0; i < n; i++)
                if (wants_something(&demands[i])) {
                        int r = add_instances(&build, &demands[i], i, conflict);
                        if (r < 0)
                                return r;
                }
        if (mig_place(c->board, existing, n_existing, build.wanted, build.n_wanted, placed, &why) < 0)
                return refuse(conflict, VGPU_NO_GEOMETRY, n, "these MIG instances do not go together: %s", why);
        for (size_t i = 0; i < n_existing; i++)
                memory += existing[i].profile->memory;
        for (size_t i = 0; i < build.n_wanted; i++) {
                layout->instances[build.wanted_at[i]].placement = placed[i];
                memory += build.wanted[i]->memory;
        }
        layout->framebuffer_left = c->board->framebuffer * (c->board->memory_slices - memory) / c->board->memory_slices;
        return 0;
}

/* ---- all of it ---- */

int vgpu_layout_once(const VgpuCatalogue *catalogue, const VgpuDemand *demands, size_t n_demands, bool mixed_allowed,
                     const VgpuThere *there, VgpuLayout *ret, VgpuConflict *conflict) {
        VgpuLayout layout = { 0 };
        int r;

        *conflict = (VgpuConflict){ 0 };
        if (n_demands > VGPU_DEMANDS_MAX)
                return refuse(conflict, VGPU_TOO_LARGE, n_demands, "more than %u groups want vGPUs of one GPU",
                              VGPU_DEMANDS_MAX);
        r = find_mode(demands, n_demands, &layout.mode, conflict);
        if (r < 0)
                return r;
        if (layout.mode == VGPU_MODE_EQUAL)
                r = layout_equal(catalogue, demands, n_demands, &layout, conflict);
        else if (layout.mode == VGPU_MODE_MIXED)
                r = layout_mixed(catalogue, demands, n_demands, mixed_allowed, there, &layout, conflict);
        else if (layout.mode == VGPU_MODE_MIG)
                r = layout_mig(catalogue, demands, n_demands, there, &layout, conflict);
        if (r >= 0)
                *ret = layout;
        return r;
}

int vgpu_layout(const VgpuCatalogue *catalogue, const VgpuDemand *demands, size_t n_demands, bool mixed_allowed,
                const VgpuThere *there, VgpuLayout *ret, VgpuConflict *ret_conflict) {
        VgpuConflict conflict;
        int r = vgpu_layout_once(catalogue, demands, n_demands, mixed_allowed, there, ret, &conflict);

        if (r < 0) {
                vgpu_find_nearest(catalogue, demands, n_demands, mixed_allowed, there, &conflict);
                *ret_conflict = conflict;
        }
        return r;
}

unsigned vgpu_remaining(const VgpuCatalogue *catalogue, const VgpuLayout *layout, const VgpuDemand *demands,
                        const VgpuProfile *profile, bool mixed_allowed) {
        bool mig = layout->mode == VGPU_MODE_MIG;

        if (layout->mode != VGPU_MODE_NONE && (profile->instance != NULL) != mig)
                return 0;
        if (profile->instance) {
                MigPlacement fixed[MIG_INSTANCES_MAX];
                unsigned n = 0;

                if (!catalogue->board || !catalogue->board->mig)
                        return 0;
                for (size_t i = 0; i < layout->n_instances; i++)
                        fixed[i] = layout->instances[i].placement;
                n = mig_room(catalogue->board, fixed, layout->n_instances, profile->instance) * profile->per_instance;
                for (size_t i = 0; i < layout->n_instances; i++) {
                        unsigned used = 0;

                        if (demands[layout->instances[i].demand].profile != profile)
                                continue;
                        for (size_t k = 0; k < layout->n_slots; k++)
                                used += layout->slots[k].instance == (int16_t) i;
                        n += profile->per_instance - MIN_OF(used, profile->per_instance);
                }
                return n;
        }
        if (layout->n_slots == 0)
                return profile->max;
        if (layout->mode == VGPU_MODE_EQUAL &&
            demands[layout->slots[0].demand].profile->name.framebuffer == profile->name.framebuffer)
                return profile->max - MIN_OF((unsigned) layout->n_slots, profile->max);
        if (layout->mode == VGPU_MODE_MIXED && mixed_allowed && profile->n_placements > 0) {
                VgpuSpan busy[VGPU_SLOTS_MAX];
                VgpuPackItem item = { 0, profile->placement_size, profile->n_placements, profile->placements };

                for (size_t i = 0; i < layout->n_slots; i++)
                        busy[i] = (VgpuSpan){ layout->slots[i].start, layout->slots[i].size };
                return vgpu_pack_room(&item, busy, layout->n_slots);
        }
        return 0;
}
