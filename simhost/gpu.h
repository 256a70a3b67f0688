/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* What NVIDIA's driver keeps of a GPU and its sysfs files do not show: MIG mode, GPU instances, mixed sizes, the scheduler.
 * A management library sets it through the control file `gpu-state` of the physical function; the types that can be made
 * on virtual functions follow from it (vgpu.c). It is gone when the driver lets go of the GPU. */

#define GPU_INSTANCES_MAX 16
#define GPU_SCHEDULER_WORDS 4

typedef struct GpuInstance {
        unsigned id, profile, start, size; /* memory slices */
        unsigned compute;                  /* has a compute instance */
        unsigned mixed;
        unsigned scheduler[GPU_SCHEDULER_WORDS];
} GpuInstance;

typedef struct Gpu {
        struct Gpu *next;
        char bdf[PCI_ADDRESS_LENGTH + 1];
        unsigned generation; /* one more each time that the driver takes the GPU */
        unsigned mig, mig_pending, mixed;
        unsigned scheduler[GPU_SCHEDULER_WORDS];
        GpuInstance instances[GPU_INSTANCES_MAX];
        size_t n_instances;
        unsigned linger_ms; /* how long the driver keeps a vGPU after its consumer has gone */
} Gpu;

/* By the physical function; NULL for what has no types on virtual functions. It lives as long as the kernel. */
Gpu *gpu_of(Kernel *k, const char *bdf);
const GpuInstance *gpu_instance(const Gpu *g, unsigned id);

/* The driver takes the function again: only MIG mode stays. */
void gpu_rebound(Kernel *k, const char *bdf);
/* The GPU was reset: its instances are gone, and a pending mode is in force. */
void gpu_was_reset(Kernel *k, const char *bdf);

/* "generation N;vfs N;mig CURRENT PENDING;mixed N;scheduler N N N N;instance ID PROFILE START SIZE COMPUTE MIXED N N N N;
 * vgpu NAME TYPE INSTANCE PLACEMENT OPEN"; instances and vGPUs as often as there are. What is written has no vGPUs and VFs, and is
 * ESTALE with another generation. */
int gpu_state_read(Kernel *k, const char *bdf, char *ret, size_t size);
int gpu_state_write(Kernel *k, const char *bdf, const char *text);

/* Orders. */
int gpu_linger_write(Kernel *k, const char *text);   /* BDF MILLISECONDS */
int gpu_manage_write(Kernel *k, const char *text);   /* on|off BDF: what the driver's tool for virtual functions does */
int gpu_reload_write(Kernel *k, const char *text);   /* BDF: the driver's module was reloaded */
