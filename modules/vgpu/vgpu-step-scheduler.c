/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scheduler of a GPU, or, with MIG, of each GPU instance that is time-sliced. It can be set only while there are no vGPUs. */

#include <stdio.h>

#include "nvml-scheduler.h"
#include "vgpu-release.h"
#include "vgpu-step.h"
#include "vgpu-wants.h"

#define BRANCH_SCHEDULER 535u
#define BRANCH_INSTANCE_SCHEDULER 575u
#define BRANCH_ONLY_STRICT 595u
#define HANDLES_MAX 8u

static unsigned branch_for(const VgpuTurn *turn) {
        return turn->profile == VGPU_WHOLE_GPU ? BRANCH_SCHEDULER : BRANCH_INSTANCE_SCHEDULER;
}

static void place_text(const VgpuGpu *gpu, const VgpuTurn *turn, char *ret, size_t size) {
        if (turn->profile == VGPU_WHOLE_GPU)
                (void) snprintf(ret, size, "%s", gpu->pci->sysname);
        else
                (void) snprintf(ret, size, "the GPU instance %u@%u of %s", turn->profile, turn->start, gpu->pci->sysname);
}

/* -ENOENT without an error: there is no such instance. */
static int find_instance(VgpuGpu *gpu, const VgpuTurn *turn, NvmlGpuInstanceHandle *ret) {
        NvmlGpuInstanceHandle handles[HANDLES_MAX];
        uint32_t n = HANDLES_MAX;
        NvmlReturn result;

        *ret = NULL;
        if (turn->profile == VGPU_WHOLE_GPU)
                return 0;
        result = nvml_call(&gpu->nvml, nvmlDeviceGetGpuInstances, gpu->device, turn->profile, handles, &n);
        if (result == NVML_ERROR_NOT_SUPPORTED) /* MIG is off */
                return -ENOENT;
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_INSTANCE_SCHEDULER, "The GPU instances of %s can't be read", gpu->pci->sysname);
        for (uint32_t i = 0; i < MIN_OF(n, HANDLES_MAX); i++) {
                NvmlInstanceInfo info = { 0 };

                if (nvml_call(&gpu->nvml, nvmlGpuInstanceGetInfo, handles[i], &info) == NVML_SUCCESS &&
                    info.placement.start == turn->start) {
                        *ret = handles[i];
                        return 0;
                }
        }
        return -ENOENT;
}

static int no_instance(VgpuGpu *gpu, const VgpuTurn *turn) {
        return vgpu_step_fail(gpu->ctx, -ENOENT, "%s has no GPU instance %u@%u whose scheduler could be set", gpu->pci->sysname,
                              turn->profile, turn->start);
}

static int read_one(VgpuGpu *gpu, const VgpuTurn *turn, VgpuScheduler *ret) {
        NvmlGpuInstanceHandle instance;
        char place[PCI_TEXT_SIZE];
        NvmlReturn result;
        int r;

        r = find_instance(gpu, turn, &instance);
        if (r < 0)
                return r == -ENOENT ? no_instance(gpu, turn) : r;
        result = nvml_get_scheduler(&gpu->nvml, gpu->device, instance, ret);
        if (result == NVML_SUCCESS)
                return 0;
        place_text(gpu, turn, place, sizeof(place));
        return vgpu_gpu_fail(gpu, result, branch_for(turn), "The scheduler of %s can't be read", place);
}

/* The driver says "not supported" for three different things. */
static int set_failed(VgpuGpu *gpu, const VgpuTurn *turn, NvmlReturn result) {
        char text[VGPU_SCHEDULER_TEXT_SIZE], place[PCI_TEXT_SIZE], users[VGPU_ERROR_SIZE / 2];

        vgpu_scheduler_to_text(&turn->scheduler, text);
        place_text(gpu, turn, place, sizeof(place));
        if (result != NVML_ERROR_NOT_SUPPORTED && result != NVML_ERROR_FUNCTION_NOT_FOUND)
                return vgpu_gpu_fail(gpu, result, branch_for(turn), "The scheduler of %s can't be set to \"%s\"", place, text);
        vgpu_gpu_users(gpu, UINT32_MAX, users, sizeof(users));
        if (!isempty(users))
                return vgpu_step_fail(gpu->ctx, -EBUSY, "The scheduler of %s can be set only while it has no vGPUs; it has: %s. End these first",
                                      place, users);
        if (turn->scheduler.round_robin == VGPU_ROUND_ROBIN_OFF &&
            vgpu_driver_branch(gpu->driver) >= BRANCH_ONLY_STRICT)
                return vgpu_step_fail(gpu->ctx, -EOPNOTSUPP, "The driver, %s, can't switch strict round robin off: those from R%u on have it "
                                      "always on. Set strict-round-robin to default and time-slice to 0",
                                      gpu->driver, BRANCH_ONLY_STRICT);
        return vgpu_gpu_fail(gpu, result, branch_for(turn), "The scheduler of %s can't be set to \"%s\"", place, text);
}

static int set_one(VgpuGpu *gpu, const VgpuTurn *turn) {
        char wanted[VGPU_SCHEDULER_TEXT_SIZE], has[VGPU_SCHEDULER_TEXT_SIZE], place[PCI_TEXT_SIZE];
        NvmlGpuInstanceHandle instance;
        VgpuScheduler found;
        NvmlReturn result;
        int r;

        r = read_one(gpu, turn, &found);
        if (r < 0 || vgpu_scheduler_holds(&turn->scheduler, &found))
                return r;
        r = find_instance(gpu, turn, &instance);
        if (r < 0)
                return r == -ENOENT ? no_instance(gpu, turn) : r;
        result = nvml_set_scheduler(&gpu->nvml, gpu->device, instance, &turn->scheduler);
        if (result != NVML_SUCCESS)
                return set_failed(gpu, turn, result);
        r = read_one(gpu, turn, &found);
        if (r < 0 || vgpu_scheduler_holds(&turn->scheduler, &found))
                return r;
        vgpu_scheduler_to_text(&turn->scheduler, wanted);
        vgpu_scheduler_to_text(&found, has);
        place_text(gpu, turn, place, sizeof(place));
        return vgpu_step_fail(gpu->ctx, -EIO, "The scheduler of %s was set to \"%s\" but reads \"%s\"", place, wanted, has);
}

static int read_list(PtContext *ctx, const PtDevice *device, const char *text, VgpuTurnList *ret) {
        return vgpu_turns_from_text(text, ret) < 0
                       ? vgpu_step_fail(ctx, -EINVAL, "\"%s\" does not say which scheduler %s is to have", text, device->sysname)
                       : 0;
}

int vgpu_scheduler_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        char text[VGPU_TURNS_SIZE];
        VgpuTurnList list;
        int r;

        r = read_list(ctx, device, strempty(step->value), &list);
        if (r >= 0)
                r = vgpu_gpu_open(ctx, device, &gpu);
        for (size_t i = 0; i < list.n && r >= 0; i++)
                r = read_one(&gpu, &list.turns[i], &list.turns[i].scheduler);
        if (r < 0)
                return r;
        vgpu_turns_to_text(&list, text, sizeof(text));
        return ctx->services->put_observed(ctx, text);
}

static int set_all(PtContext *ctx, const PtDevice *device, const char *text, bool undo) {
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        NvmlGpuInstanceHandle instance;
        VgpuTurnList list;
        int r;

        r = read_list(ctx, device, text, &list);
        if (r >= 0)
                r = vgpu_gpu_open(ctx, device, &gpu);
        for (size_t i = 0; i < list.n && r >= 0; i++) {
                /* An instance that went took its scheduler with it. */
                if (undo && find_instance(&gpu, &list.turns[i], &instance) == -ENOENT)
                        continue;
                r = set_one(&gpu, &list.turns[i]);
        }
        return r;
}

int vgpu_scheduler_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return set_all(ctx, device, strempty(step->value), false);
}

int vgpu_scheduler_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        return vgpu_step_is_over(device) ? 0 : set_all(ctx, device, observed, true);
}
