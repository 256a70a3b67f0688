/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-layout.h"

static void set_board(VgpuName *name, const VgpuBoard *board) {
        strncpy(name->board, board->name, sizeof(name->board) - 1);
}

static void add_time_sliced(VgpuCatalogue *c, const VgpuBoard *board, char series, const VgpuSize *size) {
        VgpuProfile *p;

        if (c->n_profiles == VGPU_PROFILES_MAX)
                return;
        p = &c->profiles[c->n_profiles++];
        *p = (VgpuProfile){ .name = { .series = series, .framebuffer = size->gb }, .max = size->max };
        set_board(&p->name, board);
        p->n_placements = vgpu_board_placements(board, size->gb, p->placements, &p->placement_size);
}

static void add_mig_backed(VgpuCatalogue *c, const VgpuBoard *board, char series, const MigType *type) {
        const MigProfile *instance = vgpu_board_mig_profile(board, type->profile);
        VgpuProfile *p;

        if (c->n_profiles == VGPU_PROFILES_MAX || !instance ||
            (series == 'C' && type->gb < board->mig_compute_from))
                return;
        p = &c->profiles[c->n_profiles++];
        *p = (VgpuProfile){
                .name = { .series = series, .slices = type->slices, .framebuffer = type->gb, .flags = type->flags },
                .max = (unsigned) instance->max * type->per_instance,
                .instance = instance,
                .per_instance = type->per_instance,
        };
        set_board(&p->name, board);
}

void vgpu_catalogue_from_board(VgpuCatalogue *catalogue, const VgpuBoard *board) {
        *catalogue = (VgpuCatalogue){ .board = board };
        for (const VgpuSeries *s = board->series; s->series; s++)
                for (const VgpuSize *size = s->sizes; size->gb; size++)
                        add_time_sliced(catalogue, board, s->series, size);
        for (const char *series = board->mig_series; series && *series; series++)
                for (const MigType *type = board->mig_types; type->gb; type++)
                        add_mig_backed(catalogue, board, *series, type);
}

const VgpuProfile *vgpu_catalogue_find(const VgpuCatalogue *catalogue, const VgpuName *name) {
        for (size_t i = 0; i < catalogue->n_profiles; i++)
                if (vgpu_name_same(&catalogue->profiles[i].name, name))
                        return &catalogue->profiles[i];
        return NULL;
}

VgpuProfile *vgpu_catalogue_report(VgpuCatalogue *catalogue, const VgpuProfile *reported) {
        VgpuProfile *p = (VgpuProfile *) vgpu_catalogue_find(catalogue, &reported->name);

        if (!p) {
                if (catalogue->n_profiles == VGPU_PROFILES_MAX)
                        return NULL;
                p = &catalogue->profiles[catalogue->n_profiles++];
                *p = *reported;
                return p;
        }
        if (reported->max)
                p->max = reported->max;
        if (reported->n_placements) {
                p->n_placements = reported->n_placements;
                p->placement_size = reported->placement_size;
                memcpy(p->placements, reported->placements, sizeof(p->placements));
        }
        if (reported->instance)
                p->instance = reported->instance;
        if (reported->per_instance)
                p->per_instance = reported->per_instance;
        return p;
}
