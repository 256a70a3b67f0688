/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The scheduler of a GPU, or of one of its GPU instances, through whichever call the library has: those of release 535 say
 * whether strict round robin is on, those of release 595 have it always on. */

#include "nvml.h"
#include "vgpu-scheduler.h"

/* `instance`: NULL for the GPU as a whole. NVML_ERROR_FUNCTION_NOT_FOUND when the library has no call for it. */
NvmlReturn nvml_get_scheduler(const Nvml *nvml, NvmlDeviceHandle device, NvmlGpuInstanceHandle instance, VgpuScheduler *ret);
NvmlReturn nvml_set_scheduler(const Nvml *nvml, NvmlDeviceHandle device, NvmlGpuInstanceHandle instance,
                              const VgpuScheduler *scheduler);
