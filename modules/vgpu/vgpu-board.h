/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is published about NVIDIA's vGPU-capable boards, as data. Sources: "Virtual GPU Software User Guide" v17
 * appendix A (profiles and placements), "Multi-Instance GPU User Guide" (GPU instances), the "AI Enterprise"
 * guide (C series, MIG-backed types), NVIDIA's open kernel modules 595.45.04 (Blackwell). What a running driver
 * reports outranks all of it. */

#include "vgpu-name.h"

typedef enum VgpuArchitecture {
        VGPU_AMPERE,
        VGPU_ADA,
        VGPU_HOPPER,
        VGPU_BLACKWELL,
        _VGPU_ARCHITECTURE_MAX,
} VgpuArchitecture;

/* A framebuffer size, in GB, and how many vGPUs of it one GPU takes when all are of that size. */
typedef struct VgpuSize {
        uint16_t gb, max;
} VgpuSize;

typedef struct VgpuSeries {
        char series;
        const VgpuSize *sizes; /* ended by one with gb 0; smallest first */
} VgpuSeries;

typedef enum MigProfileFlags {
        MIG_MEDIA = 1 << 0,     /* takes a media engine: at most one GPU instance with any */
        MIG_MEDIA_ALL = 1 << 1, /* takes them all: no other instance has one */
        MIG_NO_MEDIA = 1 << 2,
        MIG_GRAPHICS = 1 << 3,
} MigProfileFlags;

/* A GPU instance profile. `slices` memory slices from one of the bits of `starts`. */
typedef struct MigProfile {
        const char *name; /* "1g.10gb+me" */
        uint16_t id;      /* what nvidia-smi shows */
        uint8_t compute;  /* compute slices */
        uint8_t memory;   /* memory slices */
        uint8_t max;
        uint8_t starts;   /* bit n: may start at memory slice n */
        uint8_t flags;    /* MigProfileFlags */
} MigProfile;

/* A MIG-backed vGPU type: how many fit into one GPU instance. */
typedef struct MigType {
        uint8_t slices;
        uint16_t gb;
        uint32_t flags;      /* VgpuNameFlags */
        const char *profile; /* name of the GPU instance profile that backs it */
        uint16_t per_instance;
} MigType;

typedef struct VgpuBoard {
        const char *name;      /* as in the names of its types: "L40S" */
        uint16_t framebuffer;  /* GB */
        uint16_t device;       /* PCI device id; vendor 10de */
        uint16_t subsystem;    /* 0: any */
        VgpuArchitecture architecture;
        const VgpuSeries *series;      /* ended by one with series 0 */
        const MigProfile *mig;         /* ended by one with name NULL; NULL: no MIG */
        const MigType *mig_types;      /* ended by one with gb 0 */
        const char *mig_series;        /* series of the MIG-backed types */
        uint16_t mig_compute_from;     /* the C series begins at this framebuffer, in GB */
        uint8_t memory_slices, compute_slices;
} VgpuBoard;

const VgpuBoard *vgpu_board_first(void);
const VgpuBoard *vgpu_board_next(const VgpuBoard *board); /* NULL after the last */
/* By the name in a type's name. NULL for an unknown one. */
const VgpuBoard *vgpu_board_by_name(const char *name);
/* By PCI ids; the first that fits, as some boards share theirs. */
const VgpuBoard *vgpu_board_by_id(uint16_t device, uint16_t subsystem);

/* Time-sliced: vGPUs of this size that one GPU takes; 0 when the board has no such type. */
unsigned vgpu_board_max(const VgpuBoard *board, char series, unsigned gb);
const MigProfile *vgpu_board_mig_profile(const VgpuBoard *board, const char *name);
/* NULL when the board has no such MIG-backed type. */
const MigType *vgpu_board_mig_type(const VgpuBoard *board, const VgpuName *name);

/* Where vGPUs of a size may start on a GPU with vGPUs of mixed sizes, in GB-sized units, ascending; and how many units one takes.
 * Never more than `max`; 0 when the size does not exist. */
#define VGPU_PLACEMENTS_MAX 64
unsigned vgpu_board_placements(const VgpuBoard *board, unsigned gb, uint16_t ret[static VGPU_PLACEMENTS_MAX],
                               unsigned *ret_size);
