/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Releases of NVIDIA's vGPU software, and the drivers that belong to them: "17.6" is driver 550.163.02 of branch R550. */

#include "lib/macro.h"

#define VGPU_VERSION_SIZE 64

typedef enum VgpuReleaseMatch {
        VGPU_RELEASE_NO,
        VGPU_RELEASE_YES,
        VGPU_RELEASE_UNKNOWN, /* of the same branch, and no table says which release the driver belongs to */
} VgpuReleaseMatch;

/* What may be wanted: "" (any), a release of the vGPU software ("17", "17.2") or the beginning of a driver's version ("550",
 * "550.163"), each also with ">=" in front. -EINVAL for what is none of these. */
int vgpu_release_check(const char *wanted);
/* `driver`: "550.163.02". An unreadable one is VGPU_RELEASE_UNKNOWN unless any will do. */
VgpuReleaseMatch vgpu_release_match(const char *wanted, const char *driver);
/* 550 of "550.163.02"; 0 when it can't be read. */
unsigned vgpu_driver_branch(const char *driver);
/* "vGPU 17, R550" for 550; the branch alone where no table has it. */
void vgpu_branch_title(unsigned branch, char ret[static VGPU_VERSION_SIZE]);
