/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a GPU's driver says about it, as one JSON object: read in the worker, kept by the service, and recorded as a fixture
 * by tests/tools/record-nvml. Only reads; a function that is missing or fails leaves its member out, and says so in
 * "unread".
 *
 *   {version: 1, driver, name, uuid, virtualization: none|passthrough|guest|host-vgpu|host-vsga,
 *    host-vgpu: sriov|no-sriov, mig: {current, pending}, mixed-sizes: bool (set now), capabilities: {NUMBER: VALUE},
 *    instance-profiles: [{id, name, compute, count, memory-mib, placements: [{start, size}]}],
 *    instances: [{id, profile, start, size, scheduler-now}],
 *    types: [{id, name, class, licence, framebuffer-mib, heads, width, height, frame-rate-limit, max, max-per-vm,
 *             instance-profile, creatable, placement-size, placements: [N], creatable-placements: [N]}],
 *    active: [{id, type, instance (id of the GPU instance), placement, vm}] (only while there are vGPUs),
 *    scheduler-now: as vgpu-scheduler.h writes it (where the library can tell), of a GPU instance in "instances",
 *    scheduler: {policies: [N], arr, frequency: [MIN, MAX], average: [MIN, MAX], timeslice: [MIN, MAX]},
 *    unread: [{what, why}]} */

#include <jansson.h>

#include "nvml.h"

#define NVML_GPU_VERSION 1

/* `address`: "0000:3b:00.0". -ENODEV and the like when the driver does not know the GPU; new reference. */
int nvml_read_gpu(const Nvml *nvml, const char *address, json_t **ret, char **ret_why);
/* The member "active": a new array. `unread` may be NULL. */
json_t *nvml_read_active(const Nvml *nvml, NvmlDeviceHandle device, json_t *unread);
