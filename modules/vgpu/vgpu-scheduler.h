/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How vGPUs take turns on a GPU: what groups want of it, as text, and as NVIDIA's library has it. */

#include "lib/macro.h"

#define VGPU_SCHEDULER_TEXT_SIZE 160

typedef enum VgpuPolicy {
        VGPU_POLICY_DEFAULT, /* nobody asks: as it is */
        VGPU_POLICY_BEST_EFFORT,
        VGPU_POLICY_EQUAL_SHARE,
        VGPU_POLICY_FIXED_SHARE,
        _VGPU_POLICY_MAX,
        _VGPU_POLICY_INVALID = -EINVAL,
} VgpuPolicy; /* the numbers are NVIDIA's */
DECLARE_STRING_TABLE(vgpu_policy, VgpuPolicy); /* default, best-effort, equal-share, fixed-share */

typedef enum VgpuRoundRobin { /* strict round robin; the numbers are NVIDIA's */
        VGPU_ROUND_ROBIN_DEFAULT, /* on, for equal and fixed share */
        VGPU_ROUND_ROBIN_OFF,
        VGPU_ROUND_ROBIN_ON,
        _VGPU_ROUND_ROBIN_MAX,
        _VGPU_ROUND_ROBIN_INVALID = -EINVAL,
} VgpuRoundRobin;
DECLARE_STRING_TABLE(vgpu_round_robin, VgpuRoundRobin); /* default, off, on */

/* 0: the driver's default. */
typedef struct VgpuScheduler {
        VgpuPolicy policy;
        VgpuRoundRobin round_robin;
        uint32_t frequency; /* Hz, with strict round robin */
        uint32_t average;   /* turns over which it evens out, with strict round robin */
        uint32_t time_slice_ms; /* without strict round robin */
} VgpuScheduler;

#define VGPU_FREQUENCY_MIN 63u
#define VGPU_FREQUENCY_MAX 960u
#define VGPU_AVERAGE_MAX 60u
#define VGPU_TIME_SLICE_MAX_MS 30u

/* "" for the default; "best-effort"; "equal-share arr=on frequency=480 average=33"; "fixed-share arr=off timeslice=2". What is
 * the driver's default is left out. */
void vgpu_scheduler_to_text(const VgpuScheduler *scheduler, char ret[static VGPU_SCHEDULER_TEXT_SIZE]);
/* -EINVAL for what the other does not print. */
int vgpu_scheduler_from_text(const char *text, VgpuScheduler *ret);
bool vgpu_scheduler_same(const VgpuScheduler *a, const VgpuScheduler *b);
/* Whether a GPU that is set as `found` has what is `wanted`: what was left to the driver may be anything. */
bool vgpu_scheduler_holds(const VgpuScheduler *wanted, const VgpuScheduler *found);
