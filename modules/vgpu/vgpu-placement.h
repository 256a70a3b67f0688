/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a vGPU of mixed sizes goes: the layout says which placement ids are for its profile, and the first of them that no other
 * vGPU of the GPU has is taken when the step runs. In parameters the choice stands as "vgpu-placement-id={24,36}". */

#include "vgpu.h"

#define VGPU_PLACEMENT_KEY "vgpu-placement-id="

/* "24,36" of "L40S-24C@0 L40S-12Q@24,36" for "NVIDIA L40S-12Q"; "" when the profile has none. */
void vgpu_placements_for(const char *placements, const char *profile, char *ret, size_t size);
/* Whether parameters leave a choice. */
bool vgpu_has_choice(const char *params);
/* In the worker: writes the parameters to `path` of the device with the first id that no other vGPU was told. -ENOSPC: there is none;
 * -EBUSY: others took the same each time. */
int vgpu_write_with_choice(PtContext *ctx, const PtDevice *device, const char *path, const char *params);
