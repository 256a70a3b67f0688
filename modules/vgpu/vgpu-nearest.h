/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is nearest to a layout that was refused: fewer vGPUs, or one demand with a smaller size of its series. */

#include "vgpu-layout.h"

/* Decides without looking for alternatives. */
int vgpu_layout_once(const VgpuCatalogue *catalogue, const VgpuDemand *demands, size_t n_demands, bool mixed_allowed,
                     const VgpuThere *there, VgpuLayout *ret, VgpuConflict *conflict);
/* Fills conflict->nearest. */
void vgpu_find_nearest(const VgpuCatalogue *catalogue, const VgpuDemand *demands, size_t n_demands, bool mixed_allowed,
                       const VgpuThere *there, VgpuConflict *conflict);
