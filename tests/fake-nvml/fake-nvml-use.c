/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How much of a GPU and of its vGPUs is used. */

#include <string.h>

#include "fake-nvml.h"

#define MIB (1024u * 1024u)

PUBLIC NvmlReturn nvmlDeviceGetUtilizationRates(NvmlDeviceHandle device, NvmlUtilization *ret) {
        FAKE_CALL(device);
        json_t *use = fake_get(device, "use");

        RETURN_FAULT();
        if (fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        (void) fake_number(json_object_get(use, "gpu"), &ret->gpu);
        return fake_number(json_object_get(use, "memory"), &ret->memory);
}

PUBLIC NvmlReturn nvmlDeviceGetEncoderUtilization(NvmlDeviceHandle device, uint32_t *ret, uint32_t *period) {
        FAKE_CALL(device);
        RETURN_FAULT();
        *period = 1000000;
        return fake_number(json_object_get(fake_get(device, "use"), "encoder"), ret);
}

PUBLIC NvmlReturn nvmlDeviceGetMemoryInfo_v2(NvmlDeviceHandle device, NvmlMemory *ret) {
        FAKE_CALL(device);
        uint32_t used = 0, total = 0;
        NvmlReturn result = fake_number(json_object_get(fake_get(device, "use"), "framebuffer-total"), &total);

        RETURN_FAULT();
        if (ret->version != NVML_VERSION(NvmlMemory, 2))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        (void) fake_number(json_object_get(fake_get(device, "use"), "framebuffer-used"), &used);
        ret->total = (uint64_t) total * MIB;
        ret->used = (uint64_t) used * MIB;
        return result;
}

PUBLIC NvmlReturn nvmlDeviceGetTemperature(NvmlDeviceHandle device, uint32_t sensor, uint32_t *ret) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return sensor == 0 ? fake_number(json_object_get(fake_get(device, "use"), "temperature"), ret)
                           : NVML_ERROR_INVALID_ARGUMENT;
}

PUBLIC NvmlReturn nvmlDeviceGetPowerUsage(NvmlDeviceHandle device, uint32_t *ret) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return fake_number(json_object_get(fake_get(device, "use"), "power"), ret);
}

PUBLIC NvmlReturn nvmlDeviceGetDecoderUtilization(NvmlDeviceHandle device, uint32_t *ret, uint32_t *period) {
        FAKE_CALL(device);
        RETURN_FAULT();
        *period = 1000000;
        return fake_number(json_object_get(fake_get(device, "use"), "decoder"), ret);
}

/* ---- vGPUs ---- */

static const json_t *use_of(NvmlDeviceHandle device, const json_t *vgpu) {
        json_t *uses = fake_get(device, "vgpu-use");
        json_t *own = json_object_get(uses, json_string_value(json_object_get(vgpu, "name")));

        return own ? own : json_object_get(uses, "*");
}

static const json_t *use_of_id(uint32_t id) {
        return use_of(fake_gpu_of_vgpu(id), fake_vgpu(id));
}

PUBLIC NvmlReturn nvmlVgpuInstanceGetFbUsage(uint32_t id, uint64_t *bytes) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        uint32_t mib = 0;
        NvmlReturn result;

        RETURN_FAULT();
        result = fake_number(json_object_get(use_of_id(id), "framebuffer-used"), &mib);
        *bytes = (uint64_t) mib * MIB;
        return result;
}

PUBLIC NvmlReturn nvmlVgpuInstanceGetVmDriverVersion(uint32_t id, char *text, uint32_t size) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        json_t *version;

        RETURN_FAULT();
        version = json_object_get(use_of_id(id), "guest-driver");
        if (version)
                return fake_text(version, text, size);
        strcpy(text, "Not Available");
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlVgpuInstanceGetLicenseInfo_v2(uint32_t id, NvmlLicence *ret) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        const json_t *use, *expires;
        uint16_t *const parts[] = { &ret->expiry.month, &ret->expiry.day, &ret->expiry.hour, &ret->expiry.minute,
                                    &ret->expiry.second };

        RETURN_FAULT();
        use = use_of_id(id);
        *ret = (NvmlLicence){ .state = 1, .expiry.status = NVML_LICENCE_EXPIRY_NOT_APPLICABLE };
        (void) fake_number(json_object_get(use, "licence"), &ret->state);
        ret->licensed = ret->state == 5;
        expires = json_object_get(use, "expires");
        if (!expires)
                return NVML_SUCCESS;
        ret->expiry.status = NVML_LICENCE_EXPIRY_VALID;
        ret->expiry.year = (uint32_t) json_integer_value(json_array_get(expires, 0));
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                *parts[i] = (uint16_t) json_integer_value(json_array_get(expires, i + 1));
        return NVML_SUCCESS;
}

static bool read_sample(NvmlDeviceHandle device, const json_t *vgpu, NvmlVgpuUse *ret) {
        const json_t *use = use_of(device, vgpu);

        if (!json_is_true(json_object_get(vgpu, "open")) || !json_object_get(use, "gpu"))
                return false;
        *ret = (NvmlVgpuUse){ .instance = fake_vgpu_id(device, vgpu), .time = 1000 };
        ret->gpu.u = fake_uint(use, "gpu");
        ret->memory.u = fake_uint(use, "memory");
        ret->encoder.u = fake_uint(use, "encoder");
        ret->decoder.u = fake_uint(use, "decoder");
        return true;
}

static size_t count_samples(NvmlDeviceHandle device) {
        NvmlVgpuUse sample;
        json_t *vgpu;
        size_t i, n = 0;

        json_array_foreach(fake_get(device, "vgpus"), i, vgpu)
                n += read_sample(device, vgpu, &sample);
        return n;
}

/* Two samples of each, the older one last, with numbers that nobody should take. */
PUBLIC NvmlReturn nvmlDeviceGetVgpuUtilization(NvmlDeviceHandle device, uint64_t since, uint32_t *type, uint32_t *count,
                                               NvmlVgpuSample *ret) {
        FAKE_CALL(device);
        size_t n, at = 0, i;
        NvmlVgpuUse sample;
        json_t *vgpu;

        RETURN_FAULT();
        if (fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        n = count_samples(device);
        if (n == 0)
                return NVML_ERROR_NOT_FOUND;
        *type = NVML_VALUE_UINT;
        if (*count < 2 * n) {
                *count = (uint32_t) (2 * n);
                return NVML_ERROR_INSUFFICIENT_SIZE;
        }
        *count = (uint32_t) (2 * n);
        json_array_foreach(fake_get(device, "vgpus"), i, vgpu) {
                if (!read_sample(device, vgpu, &sample))
                        continue;
                ret[at] = (NvmlVgpuSample){ .instance = sample.instance, .time = sample.time, .gpu = sample.gpu,
                                            .memory = sample.memory, .encoder = sample.encoder, .decoder = sample.decoder };
                ret[n + at] = ret[at];
                ret[n + at].time = sample.time - 1;
                ret[n + at++].gpu.u = 99;
        }
        return NVML_SUCCESS;
}

#ifndef OLD_RELEASE
PUBLIC NvmlReturn nvmlDeviceGetVgpuInstancesUtilizationInfo(NvmlDeviceHandle device, NvmlVgpuUseList *list) {
        FAKE_CALL(device);
        json_t *vgpu;
        size_t n, at = 0, i;

        RETURN_FAULT();
        if (list->version != NVML_VERSION(NvmlVgpuUseList, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        if (fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        n = count_samples(device);
        if (n == 0)
                return NVML_ERROR_NOT_FOUND;
        list->type = NVML_VALUE_UINT;
        if (list->count < n) {
                list->count = (uint32_t) n;
                return NVML_ERROR_INSUFFICIENT_SIZE;
        }
        list->count = (uint32_t) n;
        json_array_foreach(fake_get(device, "vgpus"), i, vgpu)
                at += read_sample(device, vgpu, &list->items[at]);
        return NVML_SUCCESS;
}
#endif
