/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A GPU's layout: its values, the steps that make it, whether it is in force. */

#include "vgpu-instances.h"
#include "vgpu-scheduler.h"
#include "vgpu.h"

#define VGPU_VALUE_MODE "mode"             /* equal, mixed, mig */
#define VGPU_VALUE_FUNCTIONS "functions"   /* b: its virtual functions are switched on */
#define VGPU_VALUE_INSTANCES "instances"   /* MIG: "9@0 19@4", see vgpu-instances.h */
#define VGPU_VALUE_SCHEDULER "scheduler"   /* see vgpu_turns(); absent: as it is */
#define VGPU_VALUE_PLACEMENTS "placements" /* mixed sizes: "L40S-24C@0 L40S-4C@36,44" */

#define VGPU_STEP_MIG_MODE "set-mig-mode"
#define VGPU_STEP_FUNCTIONS "enable-functions"
#define VGPU_STEP_MIXED_SIZES "set-mixed-sizes"
#define VGPU_STEP_INSTANCES "set-gpu-instances"
#define VGPU_STEP_SCHEDULER "set-scheduler"

/* vgpu-values.c */
bool vgpu_has_functions(PtContext *ctx, const PtDevice *provider);

/* vgpu-provision.c */
int vgpu_plan_provision(PtContext *ctx, const PtRequest *request);
int vgpu_change(PtContext *ctx, const PtDevice *provider);
int vgpu_verify(PtContext *ctx, const PtDevice *provider);

/* Of one GPU instance in the value "scheduler" of a layout with MIG; or of the GPU, with `profile` UINT32_MAX. */
typedef struct VgpuTurn {
        uint32_t profile;
        uint32_t start;
        VgpuScheduler scheduler;
} VgpuTurn;

typedef struct VgpuTurnList {
        VgpuTurn turns[MIG_INSTANCES_MAX];
        size_t n;
} VgpuTurnList;

#define VGPU_WHOLE_GPU UINT32_MAX

/* vgpu-turns.c */
int vgpu_turns_from_text(const char *text, VgpuTurnList *ret);
void vgpu_turns_to_text(const VgpuTurnList *list, char *ret, size_t size);
