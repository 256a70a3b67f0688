/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the stand-in share: the host as JSON, and how calls answer from it.
 *
 * The truth is outside of the process: in the file that FAKE_NVML names, and where that names a driver ("kernel"), in the
 * driver's state of each GPU. So every call begins with FAKE_CALL(), which locks it and reads what others have changed, and
 * keeps it locked until it returns. Nothing of `host` outlives a call. */

#include "modules/vgpu/nvml-gpu.h"

#define PUBLIC __attribute__((visibility("default")))

/* So that what is defined here has the form that is called. */
#define FAKE_DECLARE(name, arguments) NvmlReturn name arguments;
NVML_REQUIRED(FAKE_DECLARE)
NVML_OPTIONAL(FAKE_DECLARE)
#undef FAKE_DECLARE

typedef struct FakeCall {
        NvmlReturn result;
} FakeCall;

FakeCall fake_enter(NvmlDeviceHandle device, const char *call);
void fake_leave(FakeCall *call);
/* First in each call; RETURN_FAULT() follows the other declarations, which read from what has been loaded now. */
#define FAKE_CALL(device) _cleanup_(fake_leave) FakeCall _call = fake_enter(device, __func__)
#define RETURN_FAULT()                                                                                                 \
        do {                                                                                                           \
                if (_call.result != NVML_SUCCESS)                                                                      \
                        return _call.result;                                                                           \
        } while (0)

/* ---- fake-nvml-state.c: what is there ---- */

#define FAKE_SCHEDULER_WORDS 4

NvmlReturn fake_open(void);
void fake_close(void);
const json_t *fake_host(void);
json_t *fake_gpu(NvmlDeviceHandle device);
json_t *fake_get(NvmlDeviceHandle device, const char *key);
json_t *fake_type(uint32_t type); /* of any GPU; NULL */
/* Stores the GPU's state. */
NvmlReturn fake_save(NvmlDeviceHandle device);
/* The release of the GPU's driver, 580 of "580.65.05". */
unsigned fake_release(NvmlDeviceHandle device);

/* ---- fake-nvml.c: answers, MIG ---- */

NvmlReturn fake_text(const json_t *text, char *buffer, size_t size);
NvmlReturn fake_number(const json_t *number, uint32_t *ret);
NvmlReturn fake_list(const json_t *array, uint32_t *count, uint32_t *ret);
uint32_t fake_uint(const json_t *object, const char *key); /* 0 where it is missing */
bool fake_mig_is_on(NvmlDeviceHandle device);
/* The GPU of an instance's handle, and the instance; NULL: it is gone. */
NvmlDeviceHandle fake_gpu_of_instance(NvmlGpuInstanceHandle handle);
json_t *fake_instance(NvmlGpuInstanceHandle handle, size_t *ret_index);

/* ---- fake-nvml-instance.c: vGPUs ---- */

/* `instance`: on this GPU instance; UINT32_MAX: on the whole GPU. Running or not. */
size_t fake_count_vgpus(NvmlDeviceHandle device, uint32_t instance);
uint32_t fake_vgpu_id(NvmlDeviceHandle device, const json_t *vgpu);
NvmlDeviceHandle fake_gpu_of_vgpu(uint32_t id);
json_t *fake_vgpu(uint32_t id); /* NULL: there is none */
