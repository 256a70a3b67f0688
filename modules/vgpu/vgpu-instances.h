/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* MIG's GPU instances of one GPU as text: "9@0 19@4 19@5", profile id and first memory slice of each. As found, with the
 * profiles of its compute instances behind it: "9@0(2) 19@4()"; without a word there is one that takes all of the instance. */

#include "vgpu-mig.h"

#define VGPU_COMPUTE_MAX 8u /* compute instances of a GPU instance */
#define VGPU_INSTANCES_TEXT_SIZE 512

typedef struct VgpuInstanceEntry {
        uint32_t profile; /* id */
        uint8_t start;
        bool compute_given;
        uint8_t n_compute;
        uint32_t compute[VGPU_COMPUTE_MAX]; /* ids of their profiles */
} VgpuInstanceEntry;

typedef struct VgpuInstanceList {
        VgpuInstanceEntry entries[MIG_INSTANCES_MAX];
        size_t n;
} VgpuInstanceList;

/* In order of their places. */
void vgpu_instances_to_text(const VgpuInstanceList *list, char ret[static VGPU_INSTANCES_TEXT_SIZE]);
/* -EINVAL for what is no such text, and for two at one place. */
int vgpu_instances_from_text(const char *text, VgpuInstanceList *ret);
const VgpuInstanceEntry *vgpu_instances_find(const VgpuInstanceList *list, uint32_t profile, uint32_t start);
