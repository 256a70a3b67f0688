/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What nvml_read_gpu() read, for the planner. The text has passed through the service and may be of an older module: it
 * is believed only where it is well-formed. */

#include <jansson.h>

#include "vgpu-layout.h"

/* Lays the report over the catalogue: instance profiles first, then types. Entries that make no sense are left out. Returns
 * how many were. */
unsigned vgpu_catalogue_add_report(VgpuCatalogue *catalogue, const json_t *report);
/* The GPU instances that exist, at most MIG_INSTANCES_MAX; those of profiles that are not known are left out. */
size_t vgpu_report_instances(const VgpuCatalogue *catalogue, const json_t *report, MigPlacement *ret);
