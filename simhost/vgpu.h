/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Virtual GPUs on VFs, the way of NVIDIA's driver where the kernel has no mdev for it: the VF stays with
 * the driver, which makes a VFIO device of it, and a number written to nvidia/current_vgpu_type makes the
 * vGPU. All vGPUs of a GPU have the same size. */

/* The VF's driver has its own VFIO device. */
bool vgpu_is_vf(Kernel *k, const char *path);
/* It can't be opened before it has a type. */
bool vgpu_may_open(Kernel *k, const char *path);

int vgpu_creatable_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vgpu_type_read(Kernel *k, const char *bdf, char *ret, size_t size);
int vgpu_type_write(Kernel *k, const char *bdf, const char *text);
int vgpu_later_read(Kernel *k, const char *bdf, char *ret, size_t size);

/* Of a VF, or of a mediated device. */
int vgpu_params_read(Kernel *k, const char *name, char *ret, size_t size);
int vgpu_params_write(Kernel *k, const char *name, const char *text);

void vgpu_take_control(Kernel *k, const char *path);
void vgpu_drop_control(Kernel *k, const char *path);
