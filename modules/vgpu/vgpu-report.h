/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What nvml_read_gpu() read, for the planner. The text has passed through the service and may be of an older module: it
 * is believed only where it is well-formed. */

#include <jansson.h>

#include "vgpu-layout.h"

/* Lays the report over the catalogue: instance profiles first, then types. Entries that make no sense are left out. Returns
 * how many were. */
unsigned vgpu_catalogue_add_report(VgpuCatalogue *catalogue, const json_t *report);
/* The GPU instances that exist, at most MIG_INSTANCES_MAX; those of profiles that are not known are left out. `ret_used` (may be
 * NULL): whether vGPUs are active in each. */
size_t vgpu_report_instances(const VgpuCatalogue *catalogue, const json_t *report, MigPlacement *ret, bool *ret_used);
/* vGPUs that are active with a place of their own, into there->vgpus. */
void vgpu_report_vgpus(const VgpuCatalogue *catalogue, const json_t *report, VgpuThere *there);
/* Name of the vGPU type with this number; NULL when the report has none. */
const char *vgpu_report_type_name(const json_t *report, json_int_t id);
