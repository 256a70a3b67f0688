/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-nearest.h"

#include <stdio.h>

/* Layouts looked at for one answer. */
#define TRIES_MAX 4000u

typedef struct Nearest {
        const VgpuCatalogue *catalogue;
        bool mixed_allowed;
        const VgpuThere *there;
        size_t n_demands;
        unsigned tries;
        bool found; /* at this number of removals */
        VgpuConflict *conflict;
} Nearest;

/* vGPUs, or MIG instances, that a demand comes to: what is taken away one by one. */
static unsigned units(const VgpuDemand *d) {
        unsigned per;

        if (!d->profile->instance)
                return d->count;
        per = d->per_instance ? d->per_instance : MAX_OF(d->profile->per_instance, 1u);
        return d->instances ? d->instances : d->count / per + (d->count % per != 0);
}

static void remove_units(VgpuDemand *d, unsigned n) {
        unsigned per = d->per_instance ? d->per_instance : d->profile->per_instance;

        if (!d->profile->instance) {
                d->count -= n;
                return;
        }
        d->instances = units(d) - n;
        d->count = d->count ? MIN_OF(d->count, d->instances * per) : 0;
}

static bool same_parts(const VgpuNear *a, const VgpuNear *b) {
        if (a->n_parts != b->n_parts)
                return false;
        for (size_t i = 0; i < a->n_parts; i++)
                if (a->parts[i].profile != b->parts[i].profile || a->parts[i].count != b->parts[i].count)
                        return false;
        return true;
}

/* Kept with most framebuffer first. */
static void keep(VgpuConflict *conflict, size_t from, const VgpuNear *near) {
        size_t at;

        for (size_t i = 0; i < conflict->n_nearest; i++)
                if (same_parts(&conflict->nearest[i], near))
                        return;
        if (conflict->n_nearest == VGPU_NEAREST_MAX) {
                if (from == VGPU_NEAREST_MAX || conflict->nearest[VGPU_NEAREST_MAX - 1].framebuffer >= near->framebuffer)
                        return;
                conflict->n_nearest--;
        }
        for (at = conflict->n_nearest++; at > from && conflict->nearest[at - 1].framebuffer < near->framebuffer; at--)
                conflict->nearest[at] = conflict->nearest[at - 1];
        conflict->nearest[at] = *near;
}

static void try_demands(Nearest *search, size_t from, const VgpuDemand *demands, size_t n) {
        VgpuConflict ignored;
        VgpuNear near = { 0 };
        VgpuLayout layout;

        if (search->tries++ >= TRIES_MAX ||
            vgpu_layout_once(search->catalogue, demands, n, search->mixed_allowed, search->there, &layout,
                             &ignored) < 0 ||
            layout.n_slots == 0)
                return;
        for (size_t i = 0; i < layout.n_slots; i++) {
                const VgpuProfile *p = demands[layout.slots[i].demand].profile;
                size_t k = 0;

                near.framebuffer += p->name.framebuffer;
                while (k < near.n_parts && near.parts[k].profile != p)
                        k++;
                if (k == near.n_parts) {
                        if (k == VGPU_DEMANDS_MAX)
                                return;
                        near.parts[near.n_parts++].profile = p;
                }
                near.parts[k].count++;
        }
        search->found = true;
        keep(search->conflict, from, &near);
}

/* Every way to take `left` away from the demands from `index` on. */
static void take_away(Nearest *search, size_t from, VgpuDemand *demands, size_t index, unsigned left) {
        if (search->tries >= TRIES_MAX)
                return;
        if (left == 0 || index == search->n_demands) {
                if (left == 0)
                        try_demands(search, from, demands, search->n_demands);
                return;
        }
        for (unsigned n = 0; n <= MIN_OF(left, units(&demands[index])); n++) {
                VgpuDemand before = demands[index];

                remove_units(&demands[index], n);
                take_away(search, from, demands, index + 1, left - n);
                demands[index] = before;
        }
}

/* One demand, or one vGPU of it, in the next smaller sizes of its series. */
static void try_smaller(Nearest *search, VgpuDemand *demands, size_t index) {
        const VgpuDemand before = demands[index];

        for (size_t i = 0; i < search->catalogue->n_profiles; i++) {
                const VgpuProfile *p = &search->catalogue->profiles[i];

                if (p->instance || before.profile->instance || p->name.series != before.profile->name.series ||
                    p->name.framebuffer >= before.profile->name.framebuffer ||
                    p->name.framebuffer * 2 < before.profile->name.framebuffer)
                        continue;
                demands[index].profile = p;
                try_demands(search, 0, demands, search->n_demands);
                demands[index] = before;
                if (before.count < 2 || search->n_demands == VGPU_DEMANDS_MAX)
                        continue;
                demands[index].count--;
                demands[search->n_demands] = (VgpuDemand){ .group = before.group, .profile = p, .count = 1 };
                try_demands(search, 0, demands, search->n_demands + 1);
                demands[index] = before;
        }
}

void vgpu_find_nearest(const VgpuCatalogue *catalogue, const VgpuDemand *demands, size_t n_demands, bool mixed_allowed,
                       const VgpuThere *there, VgpuConflict *conflict) {
        VgpuDemand copy[VGPU_DEMANDS_MAX + 1] = { 0 };
        Nearest search = {
                .catalogue = catalogue,
                .mixed_allowed = mixed_allowed,
                .there = there,
                .n_demands = n_demands,
                .conflict = conflict,
        };
        unsigned total = 0;

        if (n_demands > VGPU_DEMANDS_MAX)
                return;
        for (size_t i = 0; i < n_demands; i++) {
                copy[i] = demands[i];
                /* What no GPU could have is not worth a search. */
                if (!copy[i].profile->instance)
                        copy[i].count = MIN_OF(copy[i].count, copy[i].profile->max);
                else
                        copy[i].instances = MIN_OF(units(&copy[i]), MIG_INSTANCES_MAX);
                if (copy[i].profile->instance && copy[i].per_instance > copy[i].profile->per_instance)
                        copy[i].per_instance = 0;
                if (copy[i].profile->instance && copy[i].count > copy[i].instances * copy[i].profile->per_instance)
                        copy[i].count = 0;
                total += units(&copy[i]);
        }
        try_demands(&search, 0, copy, n_demands);
        if (!search.found)
                for (size_t i = 0; i < n_demands; i++)
                        try_smaller(&search, copy, i);
        search.found = false;
        for (unsigned n = 1; n < total && !search.found && search.tries < TRIES_MAX; n++)
                take_away(&search, conflict->n_nearest > 2 ? 2 : conflict->n_nearest, copy, 0, n);
}

void vgpu_near_to_text(const VgpuNear *near, char ret[static VGPU_TEXT_SIZE]) {
        size_t at = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < near->n_parts && at < VGPU_TEXT_SIZE - 1; i++) {
                const VgpuName *name = &near->parts[i].profile->name;
                int n = name->slices ? snprintf(ret + at, VGPU_TEXT_SIZE - at, "%s%u × %u-%u%c", i ? " + " : "",
                                                near->parts[i].count, name->slices, name->framebuffer, name->series)
                                     : snprintf(ret + at, VGPU_TEXT_SIZE - at, "%s%u × %u%c", i ? " + " : "",
                                                near->parts[i].count, name->framebuffer, name->series);

                at += n > 0 ? (size_t) n : 0;
        }
}
