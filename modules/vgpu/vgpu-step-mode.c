/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether vGPUs of mixed sizes go together on a GPU ("heterogeneous mode"). It can't be changed while there are any, nor in MIG
 * mode, and is gone whenever the driver is loaded anew or virtual functions are switched. */

#include "vgpu-step.h"

#define BRANCH_MIXED_SIZES 550u
#define NO_MODE (-ENODATA) /* no error of the library is read as it */

/* 1: on, 0: off; NO_MODE without an error: there is none. */
static int read_mode(VgpuGpu *gpu) {
        NvmlMode mode = { .version = NVML_VERSION(NvmlMode, 1) };
        NvmlReturn result = nvml_call(&gpu->nvml, nvmlDeviceGetVgpuHeterogeneousMode, gpu->device, &mode);

        if (result == NVML_ERROR_NOT_SUPPORTED)
                return NO_MODE;
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(gpu, result, BRANCH_MIXED_SIZES, "Whether %s takes vGPUs of mixed sizes can't be read",
                                     gpu->pci->sysname);
        return mode.mode == 1;
}

static int not_offered(VgpuGpu *gpu) {
        return vgpu_step_fail(gpu->ctx, -EOPNOTSUPP, "%s does not take vGPUs of mixed sizes with this driver (%s); vGPU 17.2 or later on a GPU "
                              "that has virtual functions does, and not in MIG mode",
                              gpu->pci->sysname, gpu->driver);
}

static int set_mode(PtContext *ctx, const PtDevice *device, bool on) {
        NvmlMode mode = { .version = NVML_VERSION(NvmlMode, 1), .mode = on };
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        NvmlReturn result;
        int r;

        r = vgpu_gpu_open(ctx, device, &gpu);
        if (r < 0)
                return r;
        r = read_mode(&gpu);
        if (r == NO_MODE)
                return on ? not_offered(&gpu) : 0;
        if (r < 0 || r == on)
                return MIN_OF(r, 0);
        result = nvml_call(&gpu.nvml, nvmlDeviceSetVgpuHeterogeneousMode, gpu.device, &mode);
        if (result != NVML_SUCCESS)
                return vgpu_gpu_fail(&gpu, result, BRANCH_MIXED_SIZES, "Mixed sizes can't be switched %s on %s", on ? "on" : "off",
                                     device->sysname);
        r = read_mode(&gpu);
        if (r == on)
                return 0;
        return r < 0 && r != NO_MODE ? r
                                         : vgpu_step_fail(ctx, -EIO, "%s was told to switch mixed sizes %s, but did not", device->sysname,
                                                          on ? "on" : "off");
}

int vgpu_mixed_sizes_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        _cleanup_gpu_ VgpuGpu gpu = { 0 };
        int r = vgpu_gpu_open(ctx, device, &gpu);

        if (r >= 0)
                r = read_mode(&gpu);
        if (r == NO_MODE && streq(strempty(step->value), "on"))
                return not_offered(&gpu);
        return r < 0 && r != NO_MODE ? r : ctx->services->put_observed(ctx, r == 1 ? "on" : "off");
}

int vgpu_mixed_sizes_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return set_mode(ctx, device, streq(strempty(step->value), "on"));
}

int vgpu_mixed_sizes_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        return vgpu_step_is_over(device) ? 0 : set_mode(ctx, device, streq(observed, "on"));
}
