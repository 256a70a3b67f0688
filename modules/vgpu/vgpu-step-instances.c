/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* MIG's GPU instances: what is wanted and missing is made at its place, with one compute instance that takes all of it; what is
 * not wanted and not in use is destroyed. None of them touches the others, so that a guest on one does not notice. */

#include <stdio.h>

#include "vgpu-step.h"

#define BRANCH_MIG 450u
#define PROFILES_MAX 32u        /* indexes tried; 18 are known in release 595 */
#define COMPUTE_PROFILES_MAX 10u
#define HANDLES_MAX 8u
#define PLACEMENTS_MAX 16u
#define ENGINE_SHARED 0u

/* A GPU instance that exists. */
typedef struct Found {
        NvmlGpuInstanceHandle handle;
        NvmlInstanceInfo info;
        uint32_t slices; /* compute slices */
        VgpuInstanceEntry entry;
        bool kept; /* not wanted, but in use */
} Found;

typedef struct FoundList {
        Found items[MIG_INSTANCES_MAX];
        size_t n;
} FoundList;

/* ---- reading ---- */

/* Compute profile with this index of an instance; false when there is none. */
static bool read_compute_profile(VgpuGpu *gpu, const Found *found, uint32_t index, NvmlComputeProfile *ret) {
        *ret = (NvmlComputeProfile){ .version = NVML_VERSION(NvmlComputeProfile, 2) };
        return nvml_call(&gpu->nvml, nvmlGpuInstanceGetComputeInstanceProfileInfoV, found->handle, index, ENGINE_SHARED, ret) ==
               NVML_SUCCESS;
}

static int read_compute(VgpuGpu *gpu, Found *found) {
        found->entry.compute_given = true;
        found->entry.n_compute = 0;
        for (uint32_t i = 0; i < COMPUTE_PROFILES_MAX; i++) {
                NvmlComputeInstanceHandle handles[HANDLES_MAX];
                uint32_t n = HANDLES_MAX;
                NvmlComputeProfile profile;
                NvmlReturn result;

                if (!read_compute_profile(gpu, found, i, &profile))
                        continue;
                result = nvml_call(&gpu->nvml, nvmlGpuInstanceGetComputeInstances, found->handle, profile.id, handles, &n);
                if (result != NVML_SUCCESS)
                        return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "The compute instances of %s can't be read", gpu->pci->sysname);
                for (uint32_t k = 0; k < MIN_OF(n, HANDLES_MAX) && found->entry.n_compute < VGPU_COMPUTE_MAX; k++)
                        found->entry.compute[found->entry.n_compute++] = profile.id;
        }
        return 0;
}

static int add_found(VgpuGpu *gpu, const NvmlInstanceProfile *profile, NvmlGpuInstanceHandle handle, FoundList *list) {
        Found *found = &list->items[list->n];
        NvmlReturn result;
        int r;

        if (list->n == MIG_INSTANCES_MAX)
                return vgpu_step_fail(gpu->ctx, -E2BIG, "%s has more GPU instances than are known to be possible", gpu->pci->sysname);
        *found = (Found){ .handle = handle, .slices = profile->compute_slices };
        result = nvml_call(&gpu->nvml, nvmlGpuInstanceGetInfo, handle, &found->info);
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "A GPU instance of %s can't be read", gpu->pci->sysname);
        found->entry.profile = found->info.profile;
        found->entry.start = (uint8_t) found->info.placement.start;
        r = read_compute(gpu, found);
        if (r >= 0)
                list->n++;
        return r;
}

static int read_found(VgpuGpu *gpu, FoundList *ret) {
        FoundList list = { .n = 0 };

        for (uint32_t i = 0; i < PROFILES_MAX; i++) {
                NvmlInstanceProfile profile = { .version = NVML_VERSION(NvmlInstanceProfile, 2) };
                NvmlGpuInstanceHandle handles[HANDLES_MAX];
                uint32_t n = HANDLES_MAX;
                NvmlReturn result;

                result = nvml_call(&gpu->nvml, nvmlDeviceGetGpuInstanceProfileInfoV, gpu->device, i, &profile);
                if (result == NVML_ERROR_NOT_SUPPORTED || result == NVML_ERROR_INVALID_ARGUMENT)
                        continue;
                if (result == NVML_SUCCESS)
                        result = nvml_call(&gpu->nvml, nvmlDeviceGetGpuInstances, gpu->device, profile.id, handles, &n);
                if (result == NVML_ERROR_NOT_SUPPORTED) /* MIG is off */
                        break;
                if (result != NVML_SUCCESS)
                        return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "The GPU instances of %s can't be read", gpu->pci->sysname);
                for (uint32_t k = 0; k < MIN_OF(n, HANDLES_MAX); k++) {
                        int r = add_found(gpu, &profile, handles[k], &list);

                        if (r < 0)
                                return r;
                }
        }
        *ret = list;
        return 0;
}

int vgpu_instances_read(VgpuGpu *gpu, VgpuInstanceList *ret) {
        FoundList found;
        int r = read_found(gpu, &found);

        if (r < 0)
                return r;
        ret->n = found.n;
        for (size_t i = 0; i < found.n; i++)
                ret->entries[i] = found.items[i].entry;
        return 0;
}

/* ---- compute instances ---- */

static NvmlReturn destroy_compute(VgpuGpu *gpu, const Found *found) {
        for (uint32_t i = 0; i < COMPUTE_PROFILES_MAX; i++) {
                NvmlComputeInstanceHandle handles[HANDLES_MAX];
                uint32_t n = HANDLES_MAX;
                NvmlComputeProfile profile;
                NvmlReturn result;

                if (!read_compute_profile(gpu, found, i, &profile) ||
                    nvml_call(&gpu->nvml, nvmlGpuInstanceGetComputeInstances, found->handle, profile.id, handles, &n) != NVML_SUCCESS)
                        continue;
                for (uint32_t k = 0; k < MIN_OF(n, HANDLES_MAX); k++) {
                        result = nvml_call(&gpu->nvml, nvmlComputeInstanceDestroy, handles[k]);
                        if (result != NVML_SUCCESS)
                                return result;
                }
        }
        return NVML_SUCCESS;
}

/* The compute profile that takes all of the instance. */
static bool find_whole(VgpuGpu *gpu, const Found *found, uint32_t *ret) {
        NvmlComputeProfile profile;

        for (uint32_t i = 0; i < COMPUTE_PROFILES_MAX; i++)
                if (read_compute_profile(gpu, found, i, &profile) && profile.slices == found->slices) {
                        *ret = profile.id;
                        return true;
                }
        return false;
}

static bool same_compute(const VgpuInstanceEntry *a, const VgpuInstanceEntry *b) {
        return a->n_compute == b->n_compute && memcmp(a->compute, b->compute, a->n_compute * sizeof(a->compute[0])) == 0;
}

static int make_compute(VgpuGpu *gpu, Found *found, const VgpuInstanceEntry *wish) {
        VgpuInstanceEntry wanted = *wish;
        NvmlComputeInstanceHandle handle;
        NvmlReturn result;

        if (!wanted.compute_given) {
                wanted.n_compute = 1;
                if (!find_whole(gpu, found, &wanted.compute[0]))
                        return vgpu_step_fail(gpu->ctx, -EOPNOTSUPP, "The driver of %s has no compute instance that takes all of the GPU "
                                              "instance %u@%u",
                                              gpu->pci->sysname, found->entry.profile, found->entry.start);
        }
        if (same_compute(&found->entry, &wanted))
                return 0;
        result = destroy_compute(gpu, found);
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "The compute instances in the GPU instance %u@%u of %s can't be changed",
                                     found->entry.profile, found->entry.start, gpu->pci->sysname);
        for (unsigned i = 0; i < wanted.n_compute; i++) {
                result = nvml_call(&gpu->nvml, nvmlGpuInstanceCreateComputeInstance, found->handle, wanted.compute[i], &handle);
                if (result != NVML_SUCCESS)
                        return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "A compute instance in the GPU instance %u@%u of %s can't be made",
                                             found->entry.profile, found->entry.start, gpu->pci->sysname);
        }
        return 0;
}

/* ---- destroying ---- */

/* 0: gone, or kept because somebody uses it. */
static int destroy(VgpuGpu *gpu, Found *found) {
        char users[VGPU_ERROR_SIZE / 2];
        NvmlReturn result;
        int r;

        vgpu_gpu_users(gpu, found->info.id, users, sizeof(users));
        if (!isempty(users)) {
                found->kept = true;
                return 0;
        }
        result = destroy_compute(gpu, found);
        if (result == NVML_SUCCESS)
                result = nvml_call(&gpu->nvml, nvmlGpuInstanceDestroy, found->handle);
        if (result == NVML_ERROR_IN_USE) {
                VgpuInstanceEntry before = found->entry;

                /* Whoever has it keeps all of it. */
                found->kept = true;
                r = read_compute(gpu, found);
                return r < 0 ? r : make_compute(gpu, found, &before);
        }
        if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_FOUND)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "The GPU instance %u@%u of %s can't be destroyed", found->entry.profile,
                                     found->entry.start, gpu->pci->sysname);
        return 0;
}

static int in_use(VgpuGpu *gpu, const Found *found, const char *why) {
        char users[VGPU_ERROR_SIZE / 2];

        vgpu_gpu_users(gpu, found->info.id, users, sizeof(users));
        return vgpu_step_fail(gpu->ctx, -EBUSY, "The GPU instance %u@%u of %s %s, and is in use: %s. End these first", found->entry.profile,
                              found->entry.start, gpu->pci->sysname, why,
                              isempty(users) ? "by a program of the host or a container (nvidia-smi tells which)" : users);
}

static int destroy_others(VgpuGpu *gpu, FoundList *list, const VgpuInstanceList *wanted, bool all) {
        for (size_t i = 0; i < list->n; i++) {
                Found *found = &list->items[i];
                int r;

                if (vgpu_instances_find(wanted, found->entry.profile, found->entry.start))
                        continue;
                r = destroy(gpu, found);
                if (r >= 0 && found->kept && all)
                        r = in_use(gpu, found, "is to go");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- making ---- */

static int find_placement(VgpuGpu *gpu, const VgpuInstanceEntry *wanted, NvmlPlacement *ret) {
        NvmlPlacement placements[PLACEMENTS_MAX];
        uint32_t n = PLACEMENTS_MAX;
        NvmlReturn result;

        result = nvml_call(&gpu->nvml, nvmlDeviceGetGpuInstancePossiblePlacements_v2, gpu->device, wanted->profile, placements, &n);
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "Where GPU instances of profile %u may be on %s can't be read",
                                     wanted->profile, gpu->pci->sysname);
        for (uint32_t i = 0; i < MIN_OF(n, PLACEMENTS_MAX); i++)
                if (placements[i].start == wanted->start) {
                        *ret = placements[i];
                        return 0;
                }
        return vgpu_step_fail(gpu->ctx, -EINVAL, "The driver of %s has no place at memory slice %u for GPU instances of profile %u",
                              gpu->pci->sysname, wanted->start, wanted->profile);
}

static int make_one(VgpuGpu *gpu, const FoundList *list, const VgpuInstanceEntry *wanted) {
        NvmlGpuInstanceHandle handle;
        NvmlPlacement placement;
        NvmlReturn result;
        int r;

        r = find_placement(gpu, wanted, &placement);
        if (r < 0)
                return r;
        for (size_t i = 0; i < list->n; i++) {
                const NvmlPlacement *other = &list->items[i].info.placement;

                if (list->items[i].kept && placement.start < other->start + other->size &&
                    other->start < placement.start + placement.size)
                        return in_use(gpu, &list->items[i], "is in the way of another");
        }
        result = nvml_call(&gpu->nvml, nvmlDeviceCreateGpuInstanceWithPlacement, gpu->device, wanted->profile, &placement, &handle);
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "A GPU instance %u@%u can't be made on %s", wanted->profile, wanted->start,
                                     gpu->pci->sysname);
        return 0;
}

/* `all`: nothing else may be there; otherwise what is in use may stay. */
int vgpu_instances_make(VgpuGpu *gpu, const VgpuInstanceList *wanted, bool all) {
        FoundList list;
        int r;

        r = read_found(gpu, &list);
        if (r >= 0)
                r = destroy_others(gpu, &list, wanted, all);
        for (size_t i = 0; i < wanted->n && r >= 0; i++) {
                bool there = false;

                for (size_t k = 0; k < list.n; k++)
                        there = there || (list.items[k].entry.profile == wanted->entries[i].profile &&
                                          list.items[k].entry.start == wanted->entries[i].start);
                if (!there)
                        r = make_one(gpu, &list, &wanted->entries[i]);
        }
        if (r >= 0)
                r = read_found(gpu, &list);
        for (size_t i = 0; i < list.n && r >= 0; i++) {
                const VgpuInstanceEntry *wish =
                        vgpu_instances_find(wanted, list.items[i].entry.profile, list.items[i].entry.start);

                if (wish)
                        r = make_compute(gpu, &list.items[i], wish);
        }
        return r;
}

/* ---- the step ---- */

int vgpu_instances_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[VGPU_INSTANCES_TEXT_SIZE];
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        VgpuInstanceList list;
        int r;

        r = vgpu_gpu_open(ctx, device, &gpu);
        if (r >= 0)
                r = vgpu_instances_read(&gpu, &list);
        if (r < 0)
                return r;
        vgpu_instances_to_text(&list, text);
        return ctx->services->put_observed(ctx, text);
}

static int make(PtContext *ctx, const PtDevice *device, const char *text, bool all) {
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        VgpuInstanceList wanted;
        int r;

        if (vgpu_instances_from_text(text, &wanted) < 0)
                return vgpu_step_fail(ctx, -EINVAL, "\"%s\" does not say which GPU instances %s is to have", text, device->sysname);
        r = vgpu_gpu_open(ctx, device, &gpu);
        return r < 0 ? r : vgpu_instances_make(&gpu, &wanted, all);
}

int vgpu_instances_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return make(ctx, device, strempty(step->value), false);
}

/* Instances outlive neither the driver nor MIG mode. Where that was on before it is switched on again by undoing its own step, which
 * knows the instances too. */
int vgpu_instances_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        uint32_t current = 1, pending;
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        int r;

        if (vgpu_step_is_over(device))
                return 0;
        r = vgpu_gpu_open(ctx, device, &gpu);
        if (r < 0)
                return r;
        if (nvml_call(&gpu.nvml, nvmlDeviceGetMigMode, gpu.device, &current, &pending) == NVML_SUCCESS && current == 0)
                return 0;
        return make(ctx, device, observed, true);
}
