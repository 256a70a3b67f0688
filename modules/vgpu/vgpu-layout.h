/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One GPU, the profiles that groups want of it, and where each vGPU goes: a pure function. What cannot be done is
 * refused with the reason, and with the layouts nearest to it that can. */

#include "vgpu-mig.h"
#include "vgpu-pack.h"

#define VGPU_PROFILES_MAX 96u
#define VGPU_DEMANDS_MAX 16u
#define VGPU_NEAREST_MAX 4u
#define VGPU_TEXT_SIZE 256

/* A type as one GPU offers it: published, or as the running driver reports it. */
typedef struct VgpuProfile {
        VgpuName name;
        unsigned max;            /* on one GPU when all are of this size, or in all instances together; 0: not known */
        unsigned placement_size; /* mixed sizes: units it takes; 0: it can't be mixed */
        unsigned n_placements;
        uint16_t placements[VGPU_PLACEMENTS_MAX];
        const MigProfile *instance; /* MIG-backed: the GPU instance behind it */
        unsigned per_instance;      /* MIG-backed: how many share one */
} VgpuProfile;

#define VGPU_INSTANCE_PROFILES_MAX 32u

/* Points into itself once a driver has reported: not to be copied. */
typedef struct VgpuCatalogue {
        const VgpuBoard *board; /* NULL: a GPU that no table knows; only what its driver reports */
        VgpuProfile profiles[VGPU_PROFILES_MAX];
        size_t n_profiles;
        VgpuBoard reported;     /* the board, with the GPU instances that the driver reports */
        MigProfile instances[VGPU_INSTANCE_PROFILES_MAX + 1];
        char instance_names[VGPU_INSTANCE_PROFILES_MAX][VGPU_NAME_SIZE];
        size_t n_instances;
} VgpuCatalogue;

/* Everything published about the board. */
void vgpu_catalogue_from_board(VgpuCatalogue *catalogue, const VgpuBoard *board);
/* What the driver says about one type outranks the table: members that are 0 leave it. Returns the profile, NULL when there
 * is no more room. */
VgpuProfile *vgpu_catalogue_report(VgpuCatalogue *catalogue, const VgpuProfile *reported);
const VgpuProfile *vgpu_catalogue_find(const VgpuCatalogue *catalogue, const VgpuName *name);

typedef enum VgpuMode {
        VGPU_MODE_NONE,  /* nothing is wanted */
        VGPU_MODE_EQUAL, /* time-sliced, all of one size */
        VGPU_MODE_MIXED, /* time-sliced, of several sizes ("heterogeneous") */
        VGPU_MODE_MIG,
        _VGPU_MODE_MAX,
        _VGPU_MODE_INVALID = -EINVAL,
} VgpuMode;
DECLARE_STRING_TABLE(vgpu_mode, VgpuMode); /* none, equal, mixed, mig */

/* What one group wants of this GPU. */
typedef struct VgpuDemand {
        const char *group; /* for texts */
        const VgpuProfile *profile;
        unsigned count;        /* vGPUs; MIG-backed: 0 = as many as the instances hold */
        unsigned instances;    /* MIG-backed: GPU instances; 0 = as many as the vGPUs need */
        unsigned per_instance; /* MIG-backed: 0 = as many as one holds */
} VgpuDemand;

typedef struct VgpuSlot {
        size_t demand;     /* index */
        uint16_t start;    /* time-sliced: the placement id */
        uint16_t size;     /* units; 0 in equal-size mode of a GPU without placements */
        int16_t instance;  /* MIG: index into instances; -1 otherwise */
} VgpuSlot;

typedef struct VgpuInstance {
        MigPlacement placement;
        size_t demand;
} VgpuInstance;

typedef struct VgpuLayout {
        VgpuMode mode;
        VgpuSlot slots[VGPU_SLOTS_MAX]; /* by demand */
        size_t n_slots;
        VgpuInstance instances[MIG_INSTANCES_MAX];
        size_t n_instances;
        unsigned framebuffer_left; /* GB that no vGPU or instance has */
        bool unused_capacity;      /* a demand asks for fewer vGPUs an instance than it holds, and for more than one */
} VgpuLayout;

/* What a GPU has already and keeps. */
typedef struct VgpuThere {
        MigPlacement instances[MIG_INSTANCES_MAX];
        size_t n_instances;
        struct {
                const VgpuProfile *profile;
                uint16_t start; /* placement id */
        } vgpus[VGPU_SLOTS_MAX]; /* of mixed sizes */
        size_t n_vgpus;
} VgpuThere;

typedef enum VgpuRefusal {
        VGPU_FITS,
        VGPU_MIXES_MIG,       /* MIG-backed and time-sliced types on one GPU */
        VGPU_NO_MIXED_SIZES,  /* the GPU, its driver or a profile can't mix sizes */
        VGPU_TOO_MANY,        /* more than the most of that size */
        VGPU_NOT_PLACEABLE,   /* no placement for all */
        VGPU_NO_GEOMETRY,     /* the GPU instances do not go together */
        VGPU_BAD_PER_INSTANCE, /* more vGPUs in an instance than it holds, or more vGPUs than the instances hold */
        VGPU_UNKNOWN_LIMITS,  /* neither the table nor the driver says how many there can be */
        VGPU_TOO_LARGE,       /* beyond the limits of this planner */
        _VGPU_REFUSAL_MAX,
        _VGPU_REFUSAL_INVALID = -EINVAL,
} VgpuRefusal;
DECLARE_STRING_TABLE(vgpu_refusal, VgpuRefusal); /* the findings' codes: "fits", "mig-and-time-sliced", … */

/* A layout near a refused one, as counts of the demands' profiles; a demand may have another size of its series. */
typedef struct VgpuNear {
        struct {
                const VgpuProfile *profile;
                unsigned count;
        } parts[VGPU_DEMANDS_MAX];
        size_t n_parts;
        unsigned framebuffer; /* GB used */
} VgpuNear;

typedef struct VgpuConflict {
        VgpuRefusal refusal;
        size_t demand; /* the one at which it failed; the number of demands when it is all of them */
        char text[VGPU_TEXT_SIZE];
        VgpuNear nearest[VGPU_NEAREST_MAX]; /* best first: fewest vGPUs less, then most framebuffer */
        size_t n_nearest;
} VgpuConflict;

/* `mixed_allowed`: the driver and the GPU can do it. `there` (may be NULL): instances that exist and stay serve the demands with
 * their profile before new ones are placed, and come first in the result; so do vGPUs of mixed sizes with their places. 0, or
 * -EBUSY with `ret_conflict`. */
int vgpu_layout(const VgpuCatalogue *catalogue, const VgpuDemand *demands, size_t n_demands, bool mixed_allowed,
                const VgpuThere *there, VgpuLayout *ret, VgpuConflict *ret_conflict);
/* Gives demands that state no number (`open`, by demand) what is left, one by one in turn: MIG instances, or vGPUs of mixed
 * sizes. The layout of the demands is replaced, and their numbers are those that they have now. */
void vgpu_layout_fill(const VgpuCatalogue *catalogue, VgpuDemand *demands, size_t n_demands, const bool *open,
                      const VgpuThere *there, VgpuLayout *layout);
/* How many more vGPUs of the profile the GPU takes beside a layout. */
unsigned vgpu_remaining(const VgpuCatalogue *catalogue, const VgpuLayout *layout, const VgpuDemand *demands,
                        const VgpuProfile *profile, bool mixed_allowed);
/* "1 × 24C + 1 × 12Q + 2 × 4C", MIG-backed "2 × 2-20C". */
void vgpu_near_to_text(const VgpuNear *near, char ret[static VGPU_TEXT_SIZE]);
