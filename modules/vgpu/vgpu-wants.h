/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the groups want of one GPU, in one call of layout(). */

#include <jansson.h>

#include "vgpu-device.h"
#include "vgpu-layout.h"
#include "vgpu-scheduler.h"
#include "vgpu.h"

typedef struct Wants {
        VgpuCatalogue catalogue;
        VgpuDemand demands[VGPU_DEMANDS_MAX];
        const PtDemand *sources[VGPU_DEMANDS_MAX];
        VgpuScheduler schedulers[VGPU_DEMANDS_MAX]; /* as the groups say */
        bool open[VGPU_DEMANDS_MAX];                /* states no number: gets what there is */
        size_t n;
        VgpuThere there;
        VgpuLayout layout;
        VgpuConflict conflict;
        const json_t *gpu;  /* what NVIDIA's library said; NULL for nothing */
        const char *driver; /* its version; NULL when it is not known */
        bool unread;        /* the driver was not asked yet */
        bool refused;
} Wants;

/* One group is at fault: refuses the layout. */
int vgpu_refuse(PtContext *ctx, Wants *wants, const PtDemand *culprit, const char *code, const char *text, const char *remedy);

/* The published board, overlaid with what the driver says; also `gpu` and `driver`. */
void vgpu_fill_catalogue(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, Wants *wants);
/* The GPU is set to mixed sizes, or can be. */
bool vgpu_mixed_allowed(const Wants *wants);

/* vgpu-room.c */
/* What each group can have, and how many more of each profile there can be. */
int vgpu_put_rooms(PtContext *ctx, const PtDevice *provider, const VgpuDevice *found, const PtDemand *const *demands,
                   const Wants *wants);

/* vgpu-turns.c */
#define VGPU_TURNS_SIZE (MIG_INSTANCES_MAX * (VGPU_SCHEDULER_TEXT_SIZE + 16))
/* The value "scheduler" of the layout: "" where nobody asks for one, else what all groups agree on; with MIG one for each GPU
 * instance whose group asks, "35@0 equal-share …; 35@2 best-effort". Puts a blocker for what can't be. */
int vgpu_turns(PtContext *ctx, const PtDevice *provider, Wants *wants, char ret[static VGPU_TURNS_SIZE]);

/* vgpu-values.c */
/* Puts the layout, where there is anything to be made. */
int vgpu_put_values(PtContext *ctx, const PtDevice *provider, const Wants *wants, const char *scheduler);
