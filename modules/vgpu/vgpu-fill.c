/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Groups that state no number get what the others leave, in turn. */

#include "vgpu-nearest.h"

/* One more MIG instance, or all of the first one. */
static void grow_mig(VgpuDemand *d) {
        unsigned per = d->per_instance ? d->per_instance : MAX_OF(d->profile->per_instance, 1u);
        unsigned needed = d->instances ? d->instances : d->count / per + (d->count % per != 0);

        d->instances = needed + (d->count == 0 || d->count == needed * per);
        d->count = 0;
}

static bool try_mig(const VgpuCatalogue *catalogue, VgpuDemand *demands, size_t n, size_t index, const VgpuThere *there,
                    VgpuLayout *layout) {
        const VgpuDemand before = demands[index];
        VgpuConflict ignored;
        VgpuLayout larger;

        grow_mig(&demands[index]);
        if (vgpu_layout_once(catalogue, demands, n, false, there, &larger, &ignored) >= 0) {
                *layout = larger;
                return true;
        }
        demands[index] = before;
        return false;
}

static bool is_taken(const VgpuLayout *layout, const VgpuThere *there, unsigned start, unsigned size) {
        for (size_t i = 0; i < layout->n_slots; i++)
                if (start < (unsigned) layout->slots[i].start + layout->slots[i].size && layout->slots[i].start < start + size)
                        return true;
        for (size_t i = 0; there && i < there->n_vgpus; i++)
                if (start < there->vgpus[i].start + there->vgpus[i].profile->placement_size &&
                    there->vgpus[i].start < start + size)
                        return true;
        return false;
}

/* What is placed stays: a search for the most that fits would cost more than it is worth. */
static bool try_mixed(const VgpuCatalogue *catalogue, VgpuDemand *demands, size_t index, const VgpuThere *there,
                      VgpuLayout *layout) {
        const VgpuProfile *p = demands[index].profile;

        for (unsigned i = 0; i < p->n_placements && layout->n_slots < VGPU_SLOTS_MAX; i++) {
                if (is_taken(layout, there, p->placements[i], p->placement_size))
                        continue;
                layout->slots[layout->n_slots++] = (VgpuSlot){
                        .demand = index, .start = p->placements[i], .size = (uint16_t) p->placement_size, .instance = -1 };
                layout->framebuffer_left -= MIN_OF(layout->framebuffer_left, p->name.framebuffer);
                demands[index].count++;
                return true;
        }
        return false;
}

void vgpu_layout_fill(const VgpuCatalogue *catalogue, VgpuDemand *demands, size_t n_demands, const bool *open,
                      const VgpuThere *there, VgpuLayout *layout) {
        bool closed[VGPU_DEMANDS_MAX] = { false };

        if (layout->mode != VGPU_MODE_MIG && layout->mode != VGPU_MODE_MIXED)
                return;
        for (bool grew = true; grew;) {
                grew = false;
                for (size_t i = 0; i < MIN_OF(n_demands, VGPU_DEMANDS_MAX); i++) {
                        if (!open[i] || closed[i])
                                continue;
                        if (layout->mode == VGPU_MODE_MIG ? try_mig(catalogue, demands, n_demands, i, there, layout)
                                                          : try_mixed(catalogue, demands, i, there, layout))
                                grew = true;
                        else
                                closed[i] = true;
                }
        }
}
