/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the worker read of one device, as it comes back to the service:
 *
 *   {version: 1, types: [{id, name, api, available, heads, frame-rate-limit, framebuffer, width, height, max}],
 *    instances: [UUID], current: N, gpu: {what nvml_read_gpu() read}, library: why NVIDIA's library says nothing}
 *
 * `types` of a parent or a virtual function; `max` of a type is what its driver states, or what was available while nothing
 * had been made; 0 for unknown. `instances`: the mediated devices that there were then. `current`: of a virtual function with
 * the vendor's VFIO driver, the number of its type. The text may be of an older module: only what is well-formed counts. */

#include <jansson.h>
#include <passthroughd/module.h>

#include "vgpu-types.h"

#define VGPU_REPORT_VERSION 1

typedef struct VgpuDeviceType {
        VgpuType type;
        uint32_t available;
} VgpuDeviceType;

typedef struct VgpuDevice {
        json_t *json; /* owned */
        VgpuDeviceType types[VGPU_TYPES_MAX];
        size_t n_types;
        size_t n_instances;
        bool outdated;   /* other mediated devices exist now */
        uint32_t current;
} VgpuDevice;

/* -ENODATA while nothing is known. */
int vgpu_device_load(PtContext *ctx, const PtDevice *device, VgpuDevice **ret);
VgpuDevice *vgpu_device_free(VgpuDevice *device);
DEFINE_CLEANUP(VgpuDevice *, vgpu_device_free)

/* The type that a profile means: by its name, with or without the vendor's word, or by its id. NULL for none. */
const VgpuDeviceType *vgpu_device_find(const VgpuDevice *device, const char *profile);
/* What people call the type: its name, its id where the driver has no name for it. */
const char *vgpu_type_title(const VgpuType *type);
/* Mediated devices of it that exist now. */
size_t vgpu_count_instances(PtContext *ctx, const PtDevice *device, const char *type);
/* How many there can be at most, as far as it is known. */
uint32_t vgpu_device_slots(const VgpuDevice *device);
/* "NVIDIA L40S-1Q, NVIDIA L40S-2Q, …" */
void vgpu_device_titles(const VgpuDevice *device, char *ret, size_t size);
