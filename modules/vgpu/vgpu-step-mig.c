/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* MIG mode. It can't be changed while virtual functions are on or GPU instances exist, so that these go first; what was there
 * is part of what is observed. On Ampere the GPU has to be reset, which the driver does where it can. */

#include <stdio.h>

#include "lib/plan.h"
#include "vgpu-board.h"
#include "vgpu-step.h"

#define BRANCH_MIG 450u
#define OBSERVED_SIZE (VGPU_INSTANCES_TEXT_SIZE + 32)
#define NO_MIG (-ENODATA) /* no error of the library is read as it */
#define WITH_FUNCTIONS "+functions"

/* "on", "off", with "+functions" where virtual functions were on, then the GPU instances. */
typedef struct Observed {
        bool on, functions;
        VgpuInstanceList instances;
} Observed;

/* 1: on, 0: off; `ret_pending` (may be NULL): what it is to be after a reset. NO_MIG without an error. */
static int read_mode(VgpuGpu *gpu, bool *ret_pending) {
        uint32_t current = 0, pending = 0;
        NvmlReturn result = nvml_call(&gpu->nvml, nvmlDeviceGetMigMode, gpu->device, &current, &pending);

        if (result == NVML_ERROR_NOT_SUPPORTED)
                return NO_MIG;
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "Whether %s is in MIG mode can't be read", gpu->pci->sysname);
        if (ret_pending)
                *ret_pending = pending == 1;
        return current == 1;
}

static int has_no_mig(VgpuGpu *gpu) {
        return vgpu_step_fail(gpu->ctx, -EOPNOTSUPP, "%s, or its driver, has no MIG", gpu->pci->sysname);
}

/* Why it is as it was although the driver took the call. */
static int still_pending(VgpuGpu *gpu, bool on, uint32_t activation) {
        uint32_t ignored;

        /* What waits for a reset would come at any time later, when nobody counts on it. */
        (void) nvml_call(&gpu->nvml, nvmlDeviceSetMigMode, gpu->device, !on, &ignored);
        if (activation == NVML_ERROR_IN_USE)
                return vgpu_gpu_fail(gpu, NVML_ERROR_IN_USE, BRANCH_MIG, "MIG mode of %s can't be switched %s", gpu->pci->sysname,
                                     on ? "on" : "off");
        return vgpu_step_fail(gpu->ctx, -EAGAIN, "Switching MIG mode %s for %s takes effect only after a reset of the GPU, which the driver can't "
                              "do by itself. By hand: nvidia-smi -i %s -mig %d, then nvidia-smi --gpu-reset -i %s while nobody "
                              "uses it, or a reboot of the host",
                              on ? "on" : "off", gpu->pci->sysname, gpu->pci->sysname, on, gpu->pci->sysname);
}

static int set_mode(VgpuGpu *gpu, bool on) {
        uint32_t activation = NVML_SUCCESS;
        NvmlReturn result = nvml_call(&gpu->nvml, nvmlDeviceSetMigMode, gpu->device, on, &activation);
        int r;

        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIG, "MIG mode of %s can't be switched %s", gpu->pci->sysname, on ? "on" : "off");
        r = read_mode(gpu, NULL);
        if (r == NO_MIG)
                return has_no_mig(gpu);
        return r < 0 || r == on ? MIN_OF(r, 0) : still_pending(gpu, on, activation);
}

/* Makes it so, with whatever is in the way taken off before. */
static int change_mode(VgpuGpu *gpu, bool on, uint32_t timeout_msec) {
        bool pending = false;
        int r = read_mode(gpu, &pending);

        if (r == NO_MIG)
                return on ? has_no_mig(gpu) : 0;
        if (r < 0 || (r == on && pending == on))
                return MIN_OF(r, 0);
        if (r == on)
                return set_mode(gpu, on);
        if (r > 0) {
                r = vgpu_instances_make(gpu, &(VgpuInstanceList){ .n = 0 }, true);
                if (r < 0)
                        return r;
        }
        if (vgpu_count_functions(gpu->ctx, gpu->pci) > 0) {
                r = vgpu_set_functions(gpu->ctx, gpu->pci, false, timeout_msec / 2);
                if (r < 0)
                        return r;
        }
        return set_mode(gpu, on);
}

int vgpu_mig_mode_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[OBSERVED_SIZE], instances[VGPU_INSTANCES_TEXT_SIZE] = "";
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        VgpuInstanceList list = { .n = 0 };
        int r, on;

        r = vgpu_gpu_open(ctx, device, &gpu);
        if (r < 0)
                return r;
        on = read_mode(&gpu, NULL);
        if (on == NO_MIG)
                return streq(strempty(step->value), "on") ? has_no_mig(&gpu) : ctx->services->put_observed(ctx, "off");
        if (on < 0)
                return on;
        if (on) {
                r = vgpu_instances_read(&gpu, &list);
                if (r < 0)
                        return r;
                vgpu_instances_to_text(&list, instances);
        }
        (void) snprintf(text, sizeof(text), "%s%s%s%s", on ? "on" : "off",
                        vgpu_count_functions(ctx, device) > 0 ? " " WITH_FUNCTIONS : "", instances[0] ? " " : "", instances);
        return ctx->services->put_observed(ctx, text);
}

int vgpu_mig_mode_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        int r = vgpu_gpu_open(ctx, device, &gpu);

        return r < 0 ? r : change_mode(&gpu, streq(strempty(step->value), "on"), step_timeout_msec(step));
}

static int parse_observed(const char *text, Observed *ret) {
        const char *rest = startswith(text, "on");

        *ret = (Observed){ .on = rest != NULL };
        if (!rest)
                rest = startswith(text, "off");
        if (!rest)
                return -EINVAL;
        rest += *rest == ' ';
        if (startswith(rest, WITH_FUNCTIONS)) {
                ret->functions = true;
                rest = startswith(rest, WITH_FUNCTIONS);
                rest += *rest == ' ';
        }
        return vgpu_instances_from_text(rest, &ret->instances);
}

/* The GPU keeps the mode by itself, whatever driver it has. */
static bool is_stored(PtContext *ctx, const PtDevice *device) {
        const VgpuBoard *board = NULL;
        int32_t product;

        if (pci_read_number(ctx, device, "device", UINT16_MAX, &product) >= 0)
                board = vgpu_board_by_id((uint16_t) product, 0);
        return board && board->architecture == VGPU_AMPERE;
}

int vgpu_mig_mode_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        Observed before;
        int r;

        if (parse_observed(observed, &before) < 0)
                return vgpu_step_fail(ctx, -EBADMSG, "What was found of MIG on %s is not readable: \"%s\"", device->sysname, observed);
        if (vgpu_step_is_over(device) && !is_stored(ctx, device))
                return 0;
        r = vgpu_gpu_open(ctx, device, &gpu);
        if (r >= 0)
                r = change_mode(&gpu, before.on, step_timeout_msec(step));
        if (r >= 0 && before.functions && vgpu_count_functions(ctx, device) == 0)
                r = vgpu_set_functions(ctx, device, true, step_timeout_msec(step) / 2);
        if (r >= 0 && before.on && before.instances.n > 0)
                r = vgpu_instances_make(&gpu, &before.instances, true);
        return r;
}
