/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two halves of the stand-in share: the host as JSON, and how calls answer from it. */

#include "modules/vgpu/nvml-gpu.h"

#define PUBLIC __attribute__((visibility("default")))

/* So that what is defined here has the form that is called. */
#define FAKE_DECLARE(name, arguments) NvmlReturn name arguments;
NVML_REQUIRED(FAKE_DECLARE)
NVML_OPTIONAL(FAKE_DECLARE)
#undef FAKE_DECLARE

json_t *fake_gpu(NvmlDeviceHandle device);
json_t *fake_get(NvmlDeviceHandle device, const char *key);
json_t *fake_type(uint32_t type); /* of any GPU; NULL */
NvmlReturn fake_fault(NvmlDeviceHandle device, const char *call);
#define RETURN_FAULT(device)                                                                                           \
        do {                                                                                                           \
                NvmlReturn _fault = fake_fault(device, __func__);                                                      \
                if (_fault != NVML_SUCCESS)                                                                            \
                        return _fault;                                                                                 \
        } while (0)

NvmlReturn fake_save(void);
NvmlReturn fake_text(const json_t *text, char *buffer, size_t size);
NvmlReturn fake_number(const json_t *number, uint32_t *ret);
NvmlReturn fake_list(const json_t *array, uint32_t *count, uint32_t *ret);
bool fake_mig_is_on(NvmlDeviceHandle device);
