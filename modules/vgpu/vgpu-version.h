/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Versions of NVIDIA's drivers, and the branches that releases of the vGPU software are made of. */

#include "lib/macro.h"

#define VGPU_VERSION_PARTS_MAX 4u

/* "550.163.02". What it does not have is 0. */
typedef struct VgpuVersion {
        unsigned parts[VGPU_VERSION_PARTS_MAX];
        unsigned n;
} VgpuVersion;

typedef struct VgpuBranch {
        uint16_t release; /* of the vGPU software: 17 */
        uint16_t driver;  /* 550 */
        bool long_term;
        bool any_guest;   /* takes any release of its own branch in guests, also a later one */
} VgpuBranch;

/* In order, ended by one with release 0. */
extern const VgpuBranch VGPU_BRANCHES[];

/* Up to four numbers between dots, else -EINVAL. */
int vgpu_version_parse(const char *text, VgpuVersion *ret);
/* Of as many parts as both have: below 0, 0 or above. */
int vgpu_version_compare(const VgpuVersion *a, const VgpuVersion *b);
/* NULL for one that no table has. */
const VgpuBranch *vgpu_branch_of_release(unsigned release);
const VgpuBranch *vgpu_branch_of_driver(unsigned driver);
