/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-step.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "vgpu-release.h"

int vgpu_step_fail(PtContext *ctx, int error, const char *format, ...) {
        char text[VGPU_ERROR_SIZE];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        ctx->services->set_error(ctx, text);
        return error;
}

bool vgpu_step_is_over(const PtDevice *device) {
        return !streq_null(device->driver, "nvidia");
}

int vgpu_gpu_open(PtContext *ctx, const PtDevice *device, VgpuGpu *ret) {
        VgpuGpu gpu = { .ctx = ctx, .pci = device };
        _cleanup_free_ char *why = NULL;
        NvmlReturn result;
        int r;

        r = nvml_open(secure_getenv("PASSTHROUGHD_NVML"), &gpu.nvml, &why);
        if (r < 0)
                return vgpu_step_fail(ctx, r, "%s can't be set up: %s", device->sysname, strempty(why));
        result = gpu.nvml.nvmlDeviceGetHandleByPciBusId_v2(device->sysname, &gpu.device);
        if (result != NVML_SUCCESS) {
                nvml_close(&gpu.nvml);
                return vgpu_step_fail(ctx, nvml_to_errno(result), "NVIDIA's management library does not know %s: %s",
                                      device->sysname, nvml_error(result));
        }
        if (gpu.nvml.nvmlSystemGetDriverVersion(gpu.driver, sizeof(gpu.driver)) != NVML_SUCCESS)
                gpu.driver[0] = '\0';
        *ret = gpu;
        return 0;
}

void vgpu_gpu_close(VgpuGpu *gpu) {
        nvml_close(&gpu->nvml);
}

/* ---- who uses it ---- */

static const char *type_name(VgpuGpu *gpu, const json_t *vgpu, char *buffer, uint32_t size) {
        const json_t *type = json_object_get(vgpu, "type");

        if (!json_is_integer(type) ||
            nvml_call(&gpu->nvml, nvmlVgpuTypeGetName, (uint32_t) json_integer_value(type), buffer, &size) != NVML_SUCCESS)
                return "of unknown type";
        buffer[size < NVML_TYPE_NAME_SIZE ? size : NVML_TYPE_NAME_SIZE - 1] = '\0';
        return text_is_clean(buffer, NVML_TYPE_NAME_SIZE) ? buffer : "of unknown type";
}

void vgpu_gpu_users(VgpuGpu *gpu, uint32_t instance, char *ret, size_t size) {
        json_t *active = nvml_read_active(&gpu->nvml, gpu->device, NULL), *vgpu;
        size_t at = 0, i;

        ret[0] = '\0';
        json_array_foreach(active, i, vgpu) {
                const char *vm = json_string_value(json_object_get(vgpu, "vm"));
                const json_t *own = json_object_get(vgpu, "instance");
                char name[NVML_TYPE_NAME_SIZE];
                int n;

                if (at >= size || (instance != UINT32_MAX &&
                                   (!json_is_integer(own) || json_integer_value(own) != (json_int_t) instance)))
                        continue;
                n = snprintf(ret + at, size - at, "%svGPU %s%s%s", at > 0 ? ", " : "", type_name(gpu, vgpu, name, sizeof(name)),
                             vm ? " of " : "", strempty(vm));
                at += n > 0 ? (size_t) n : 0;
        }
        json_decref(active);
}

/* ---- errors ---- */

static void explain(VgpuGpu *gpu, NvmlReturn result, unsigned since, char *ret, size_t size) {
        char users[VGPU_ERROR_SIZE / 2], title[VGPU_VERSION_SIZE];

        switch (result) {
        case NVML_ERROR_IN_USE:
        case NVML_ERROR_INVALID_STATE:
                vgpu_gpu_users(gpu, UINT32_MAX, users, sizeof(users));
                if (!isempty(users))
                        (void) snprintf(ret, size, "it is in use: %s. End these first", users);
                else
                        (void) snprintf(ret, size, "it is in use, and not by a vGPU: a program of the host has it open (nvidia-smi and "
                                        "fuser -v /dev/nvidia* tell which)");
                return;
        case NVML_ERROR_RESET_REQUIRED:
                (void) snprintf(ret, size, "the GPU has to be reset for it (nvidia-smi --gpu-reset -i %s, while nobody uses it), or the "
                                "host rebooted",
                                gpu->pci->sysname);
                return;
        case NVML_ERROR_FUNCTION_NOT_FOUND:
        case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
                vgpu_branch_title(since, title);
                (void) snprintf(ret, size, "the driver, %s, has no call for it; one of %s or later has",
                                isempty(gpu->driver) ? "of unknown version" : gpu->driver, title);
                return;
        case NVML_ERROR_DRIVER_NOT_LOADED:
        case NVML_ERROR_GPU_IS_LOST:
        case NVML_ERROR_UNINITIALIZED:
                (void) snprintf(ret, size, "%s; the kernel log says more", nvml_error(result));
                return;
        case NVML_SUCCESS:
        case NVML_ERROR_INVALID_ARGUMENT:
        case NVML_ERROR_NOT_SUPPORTED:
        case NVML_ERROR_NO_PERMISSION:
        case NVML_ERROR_NOT_FOUND:
        case NVML_ERROR_INSUFFICIENT_SIZE:
        case NVML_ERROR_LIBRARY_NOT_FOUND:
        case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        case NVML_ERROR_MEMORY:
        case NVML_ERROR_INSUFFICIENT_RESOURCES:
        case NVML_ERROR_NOT_READY:
        case NVML_ERROR_GPU_NOT_FOUND:
        case NVML_ERROR_UNKNOWN:
        default:
                (void) snprintf(ret, size, "%s", nvml_error(result));
        }
}

int vgpu_gpu_fail(VgpuGpu *gpu, NvmlReturn result, unsigned since, const char *format, ...) {
        char what[VGPU_ERROR_SIZE / 4], why[VGPU_ERROR_SIZE / 2 + 64];
        va_list arguments;
        int error = nvml_to_errno(result);

        va_start(arguments, format);
        (void) vsnprintf(what, sizeof(what), format, arguments);
        va_end(arguments);
        explain(gpu, result, since, why, sizeof(why));
        return vgpu_step_fail(gpu->ctx, error < 0 ? error : -EIO, "%s: %s", what, why);
}
