/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the name of an NVIDIA vGPU type says: "NVIDIA L40S-24C", "GRID A100D-2-20C", "NVIDIA A100D-1-10CME".
 * Types are matched by name, never by their number: numbers differ between drivers. Source of the form: "Virtual
 * GPU Software User Guide" v17, appendix A. */

#include "lib/macro.h"

#define VGPU_NAME_SIZE 64

typedef enum VgpuNameFlags {
        VGPU_NAME_ME = 1 << 0,    /* with a media engine */
        VGPU_NAME_NOME = 1 << 1,  /* without */
        VGPU_NAME_MEALL = 1 << 2, /* with all of them */
        VGPU_NAME_GFX = 1 << 3,   /* with graphics */
} VgpuNameFlags;

typedef struct VgpuName {
        char board[VGPU_NAME_SIZE]; /* "L40S", "A100D", "RTX Pro 6000 Blackwell DC" */
        char series;                /* A B C Q */
        uint8_t slices;             /* compute slices of the GPU instance that backs it; 0: time-sliced */
        uint16_t framebuffer;       /* GB, as named */
        uint32_t flags;             /* VgpuNameFlags */
} VgpuName;

/* With or without the vendor's word in front. -EINVAL for what is not such a name, as are those of other
 * vendors' mediated devices. */
int vgpu_name_parse(const char *text, VgpuName *ret);
/* Skips "NVIDIA " or "GRID ". */
const char *vgpu_name_strip(const char *text);
/* "L40S-24C", "A100D-1-10CME": what the parser reads. */
void vgpu_name_to_text(const VgpuName *name, char ret[static 2 * VGPU_NAME_SIZE]);
bool vgpu_name_same(const VgpuName *a, const VgpuName *b);
/* What the series is for, and the licence that a guest needs for it: string constants, NULL for no series. */
const char *vgpu_series_use(char series);
const char *vgpu_series_licence(char series);
