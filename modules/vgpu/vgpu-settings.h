/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The settings of the type, and the scheduler that they come to. */

#include <passthroughd/module.h>

#include "lib/macro.h"

#define VGPU_SETTING_PROFILE "profile"
#define VGPU_SETTING_INSTANCES "instances"
#define VGPU_SETTING_GPU_INSTANCES "gpu-instances"
#define VGPU_SETTING_PER_INSTANCE "vgpus-per-instance"
#define VGPU_SETTING_SCHEDULER "scheduler"
#define VGPU_SETTING_ROUND_ROBIN "strict-round-robin"
#define VGPU_SETTING_FREQUENCY "scheduler-frequency"
#define VGPU_SETTING_AVERAGING "scheduler-averaging"
#define VGPU_SETTING_TIME_SLICE "time-slice"
#define VGPU_SETTING_DRIVER_VERSION "driver-version"
#define VGPU_SETTING_DISPLAY "display"
#define VGPU_SETTING_FRAME_RATE_LIMITER "frame-rate-limiter"
#define VGPU_SETTING_DISABLE_VNC "disable-vnc"
#define VGPU_SETTING_UNIFIED_MEMORY "unified-memory"
#define VGPU_SETTING_DEBUGGERS "cuda-debuggers"
#define VGPU_SETTING_PROFILERS "cuda-profilers"

extern const PtSetting VGPU_SETTINGS[];

/* What does not fit together, whatever the GPU. */
int vgpu_check_settings(PtContext *ctx);
