/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-board.h"

#include "vgpu-board-table.h"

const VgpuBoard *vgpu_board_first(void) {
        return boards;
}

const VgpuBoard *vgpu_board_next(const VgpuBoard *board) {
        return board + 1 < boards + ELEMENTSOF(boards) ? board + 1 : NULL;
}

const VgpuBoard *vgpu_board_by_name(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(boards); i++)
                if (strcmp(boards[i].name, name) == 0)
                        return &boards[i];
        return NULL;
}

const VgpuBoard *vgpu_board_by_id(uint16_t device, uint16_t subsystem) {
        for (size_t i = 0; i < ELEMENTSOF(boards); i++)
                if (boards[i].device == device && (boards[i].subsystem == 0 || boards[i].subsystem == subsystem))
                        return &boards[i];
        return NULL;
}

unsigned vgpu_board_max(const VgpuBoard *board, char series, unsigned gb) {
        for (const VgpuSeries *s = board->series; s->series; s++)
                if (s->series == series)
                        for (const VgpuSize *size = s->sizes; size->gb; size++)
                                if (size->gb == gb)
                                        return size->max;
        return 0;
}

const MigProfile *vgpu_board_mig_profile(const VgpuBoard *board, const char *name) {
        for (const MigProfile *p = board->mig; p && p->name; p++)
                if (strcmp(p->name, name) == 0)
                        return p;
        return NULL;
}

const MigType *vgpu_board_mig_type(const VgpuBoard *board, const VgpuName *name) {
        /* The instance's own profile is what these types have in common, so "GFX" in a name adds nothing to it. */
        uint32_t flags = name->flags & ~(uint32_t) VGPU_NAME_GFX;

        if (!board->mig_series || !strchr(board->mig_series, name->series) ||
            (name->series == 'C' && name->framebuffer < board->mig_compute_from))
                return NULL;
        for (const MigType *t = board->mig_types; t->gb; t++)
                if (t->slices == name->slices && t->gb == name->framebuffer && t->flags == flags)
                        return t;
        return NULL;
}

/* ---- placements ---- */

/* The most vGPUs of this size, whatever their series. */
static unsigned size_max(const VgpuBoard *board, unsigned gb) {
        unsigned max = 0;

        for (const VgpuSeries *s = board->series; s->series; s++)
                max = MAX_OF(max, vgpu_board_max(board, s->series, gb));
        return max;
}

static unsigned power_below(unsigned n) {
        unsigned power = 1;

        while (power * 2 <= n)
                power *= 2;
        return power;
}

/* Halves the region until each part has room for two, one at its start and one at its end. This is what the
 * published tables of 16, 20, 24, 40, 48, 80 and 94 GB come to. */
static void halve(unsigned start, unsigned length, unsigned parts, unsigned size, uint16_t *ids, unsigned *n) {
        if (parts > 1) {
                halve(start, length / 2, parts / 2, size, ids, n);
                halve(start + length / 2, length - length / 2, parts / 2, size, ids, n);
                return;
        }
        ids[(*n)++] = (uint16_t) start;
        ids[(*n)++] = (uint16_t) (start + length - size);
}

/* The table of 48 GB has two places of 1 GB less than that. */
static unsigned drop_published_gaps(const VgpuBoard *board, unsigned gb, uint16_t *ids, unsigned n) {
        unsigned kept = 0;

        if (board->framebuffer != 48 || gb != 1 || board->architecture == VGPU_ADA)
                return n;
        for (unsigned i = 0; i < n; i++)
                if (ids[i] != 8 && ids[i] != 32)
                        ids[kept++] = ids[i];
        return kept;
}

unsigned vgpu_board_placements(const VgpuBoard *board, unsigned gb, uint16_t ret[static VGPU_PLACEMENTS_MAX],
                               unsigned *ret_size) {
        unsigned max = size_max(board, gb), region = board->framebuffer, n = 0;

        if (max == 0 || max > VGPU_PLACEMENTS_MAX)
                return 0;
        if (board->architecture == VGPU_BLACKWELL) {
                for (unsigned i = 0; i < max; i++)
                        ret[n++] = (uint16_t) (region * i / max);
                *ret_size = region / max;
                return n;
        }
        *ret_size = gb;
        if (max == 1) {
                ret[0] = 0;
                return 1;
        }
        /* Ada has half as many places of 1 GB on 48 GB. */
        if (region == 48 && gb == 1 && board->architecture == VGPU_ADA)
                max /= 2;
        halve(0, region, power_below(max) / 2, gb, ret, &n);
        return drop_published_gaps(board, gb, ret, n);
}
