/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which GPU instances fit on one GPU together, and where: memory slices do not overlap, the compute slices suffice, no profile
 * comes more often than it may, and media engines are not shared. Source: "Multi-Instance GPU User Guide".
 *
 * Some mixes (3g + 2g + 1g + 1g) depend on the order in which instances are made unless each is told where to
 * start: that is what the places are for. */

#include "vgpu-board.h"

#define MIG_INSTANCES_MAX 8u

typedef struct MigPlacement {
        const MigProfile *profile;
        uint8_t start; /* memory slice */
} MigPlacement;

/* `fixed`: instances that exist and stay. `wanted`: profiles to place beside them, one entry an instance; NULL entries are
 * not allowed. `ret` gets one placement for each wanted one, in their order. -ENOSPC: they do not fit; `ret_why` (may be
 * NULL) is a string constant. -E2BIG: more than MIG_INSTANCES_MAX together. */
int mig_place(const VgpuBoard *board, const MigPlacement *fixed, size_t n_fixed, const MigProfile *const *wanted,
              size_t n_wanted, MigPlacement *ret, const char **ret_why);
/* How many more instances of the profile fit. */
unsigned mig_room(const VgpuBoard *board, const MigPlacement *fixed, size_t n_fixed, const MigProfile *profile);
