/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the steps that set up a GPU share: NVIDIA's library, opened for one call of a step, and its errors in words. In the
 * worker. Each step is about one aspect of the GPU and convergent: it does nothing when everything is so. */

#include "nvml-gpu.h"
#include "vgpu-provision.h"

#define VGPU_ERROR_SIZE 1024

typedef struct VgpuGpu {
        PtContext *ctx;
        const PtDevice *pci;
        Nvml nvml;
        NvmlDeviceHandle device;
        char driver[NVML_NAME_SIZE]; /* its version, "" when it can't be had */
} VgpuGpu;

int vgpu_gpu_open(PtContext *ctx, const PtDevice *device, VgpuGpu *ret);
void vgpu_gpu_close(VgpuGpu *gpu);
#define _cleanup_gpu_ _cleanup_(vgpu_gpu_close)

/* Says why to a person; returns `error`. */
int vgpu_step_fail(PtContext *ctx, int error, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same for what the library answered: "… : the GPU is in use by the vGPU …". `since`: branch of drivers from which the call
 * is there, for one that is missing. */
int vgpu_gpu_fail(VgpuGpu *gpu, NvmlReturn result, unsigned since, const char *format, ...) PRINTF_LIKE(4, 5);
/* "vGPU NVIDIA L40S-4Q of 1c0…, …"; "" for nobody. `instance`: of this GPU instance; UINT32_MAX for all. */
void vgpu_gpu_users(VgpuGpu *gpu, uint32_t instance, char *ret, size_t size);
/* Without its driver a GPU has nothing left of what was set: undoing it is done. */
bool vgpu_step_is_over(const PtDevice *device);

/* vgpu-step-functions.c */
unsigned vgpu_count_functions(PtContext *ctx, const PtDevice *device);
int vgpu_set_functions(PtContext *ctx, const PtDevice *device, bool on, uint32_t timeout_msec);

/* vgpu-step-instances.c */
int vgpu_instances_read(VgpuGpu *gpu, VgpuInstanceList *ret);
int vgpu_instances_make(VgpuGpu *gpu, const VgpuInstanceList *wanted, bool all);

/* The functions of the table in vgpu-steps.c. */
#define DECLARE_STEP(name)                                                                                             \
        int vgpu_##name##_observe(PtContext *ctx, const PtDevice *device, const PtStep *step);                         \
        int vgpu_##name##_run(PtContext *ctx, const PtDevice *device, const PtStep *step);                             \
        int vgpu_##name##_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed)
DECLARE_STEP(mig_mode);
DECLARE_STEP(functions);
DECLARE_STEP(mixed_sizes);
DECLARE_STEP(instances);
DECLARE_STEP(scheduler);
