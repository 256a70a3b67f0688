/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Virtual GPUs on VFs, the way of NVIDIA's driver where the kernel has no mdev for it: the VF stays with
 * the driver, which makes a VFIO device of it, and a number written to nvidia/current_vgpu_type makes the
 * vGPU. What can be made follows from the state of the GPU (gpu.h): vGPUs of one size, of mixed sizes at their published
 * placements, or on GPU instances. */

typedef struct VgpuShown {
        const char *name; /* of the virtual function, or the mediated device */
        int type;
        unsigned instance, placement;
        bool is_open; /* or was until a moment ago */
} VgpuShown;

typedef void (*VgpuVisit)(const VgpuShown *vgpu, void *userdata);
/* All vGPUs of a physical function. */
void vgpu_for_each(Kernel *k, const char *pf, VgpuVisit visit, void *userdata);
/* Nobody has it open any more. */
void vgpu_was_closed(Kernel *k, const char *path);

/* The VF's driver has its own VFIO device. */
bool vgpu_is_vf(Kernel *k, const char *path);
/* It can't be opened before it has a type. */
bool vgpu_may_open(Kernel *k, const char *path);

int vgpu_creatable_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vgpu_type_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vgpu_type_write(Kernel *k, const char *bdf, const char *text);
int vgpu_instance_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vgpu_placement_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vgpu_warm_update_read(Kernel *k, const char *bdf, char *ret, size_t size);
/* The order `creatable-text`. */
int vgpu_creatable_order(Kernel *k, const char *text);

/* Of a VF, or of a mediated device. */
int vgpu_params_read(Kernel *k, const char *name, char *ret, size_t size);
int vgpu_params_write(Kernel *k, const char *name, const char *text);

void vgpu_take_control(Kernel *k, const char *path);
void vgpu_drop_control(Kernel *k, const char *path);
