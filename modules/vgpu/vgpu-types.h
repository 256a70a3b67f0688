/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* vGPU types as drivers print them below /sys. Numbers of types differ between drivers: only names mean
 * anything, and the number is what has to be written to make one. */

#include "lib/macro.h"

#define VGPU_TYPES_MAX 128u
#define VGPU_TYPE_NAME_SIZE 96
#define VGPU_TYPE_ID_SIZE 64

typedef struct VgpuType {
        char id[VGPU_TYPE_ID_SIZE];     /* "557", or the directory of a mediated type: "nvidia-557", "mtty-1" */
        char name[VGPU_TYPE_NAME_SIZE]; /* "NVIDIA A40-1Q"; "" when the driver has none */
        /* From the description; 0 when it does not say. */
        uint32_t heads;
        uint32_t frame_rate_limit; /* frames a second */
        uint32_t framebuffer;      /* MiB */
        uint32_t width, height;    /* pixels, of the largest display */
        uint32_t max_instances;    /* on one GPU */
} VgpuType;

/* `nvidia/creatable_vgpu_types` of a virtual function: after an optional header, lines "1145  : NVIDIA L40S-1B"; or, as
 * some of NVIDIA's documents print it, "NVIDIA A40-1Q 557". Fills at most `max` and returns how many; `ret_odd` (may be NULL)
 * counts lines that are neither, which are passed over. */
size_t vgpu_parse_creatable(const char *text, VgpuType *ret, size_t max, unsigned *ret_odd);
/* `description` of a mediated type: NVIDIA's "num_heads=4, frl_config=60, …" or Intel's "low_gm_size: 128MB" by lines. What
 * is neither, or absurd, changes nothing. */
void vgpu_parse_description(const char *text, VgpuType *type);
/* `nvidia/current_vgpu_type`: 0 for none. -EINVAL for what is no number. */
int vgpu_parse_current(const char *text, uint32_t *ret);
