/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vGPUs: the driver's list of them. NVIDIA's library lists those that run; that there is one counts for modes. */

#include <stdio.h>
#include <string.h>

#include "fake-nvml.h"

#define ID_BITS 24

size_t fake_count_vgpus(NvmlDeviceHandle device, uint32_t instance) {
        json_t *vgpus = fake_get(device, "vgpus"), *vgpu;
        size_t i, n = 0;

        if (json_is_integer(vgpus)) /* a model that is no host */
                return (size_t) json_integer_value(vgpus);
        json_array_foreach(vgpus, i, vgpu)
                n += instance == UINT32_MAX || fake_uint(vgpu, "instance") == instance;
        return n;
}

/* The same for as long as it exists: of the GPU's number and the vGPU's name. */
uint32_t fake_vgpu_id(NvmlDeviceHandle device, const json_t *vgpu) {
        const char *name = json_string_value(json_object_get(vgpu, "name"));
        uint32_t hash = 5381;

        for (; name && *name; name++)
                hash = hash * 33 + (unsigned char) *name;
        return (uint32_t) (uintptr_t) device << ID_BITS | (hash & ((1u << ID_BITS) - 1));
}

NvmlDeviceHandle fake_gpu_of_vgpu(uint32_t id) {
        return (NvmlDeviceHandle) (uintptr_t) (id >> ID_BITS);
}

json_t *fake_vgpu(uint32_t id) {
        json_t *vgpu;
        size_t i;

        json_array_foreach(fake_get(fake_gpu_of_vgpu(id), "vgpus"), i, vgpu)
                if (fake_vgpu_id(fake_gpu_of_vgpu(id), vgpu) == id)
                        return vgpu;
        return NULL;
}

PUBLIC NvmlReturn nvmlDeviceGetActiveVgpus(NvmlDeviceHandle device, uint32_t *count, uint32_t *ret) {
        FAKE_CALL(device);
        json_t *ids, *vgpu;
        NvmlReturn result;
        size_t i;

        RETURN_FAULT();
        ids = json_array();
        json_array_foreach(fake_get(device, "vgpus"), i, vgpu)
                if (json_is_true(json_object_get(vgpu, "open")))
                        json_array_append_new(ids, json_integer(fake_vgpu_id(device, vgpu)));
        result = fake_list(ids, count, ret);
        json_decref(ids);
        return result;
}

static NvmlReturn number_of(uint32_t id, const char *key, uint32_t *ret) {
        return fake_vgpu(id) ? fake_number(json_object_get(fake_vgpu(id), key), ret) : NVML_ERROR_NOT_FOUND;
}

PUBLIC NvmlReturn nvmlVgpuInstanceGetType(uint32_t id, uint32_t *ret) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        RETURN_FAULT();
        return number_of(id, "type", ret);
}

PUBLIC NvmlReturn nvmlVgpuInstanceGetGpuInstanceId(uint32_t id, uint32_t *ret) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        RETURN_FAULT();
        return number_of(id, "instance", ret);
}

#ifndef OLD_RELEASE
PUBLIC NvmlReturn nvmlVgpuInstanceGetPlacementId(uint32_t id, NvmlPlacementId *ret) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        RETURN_FAULT();
        if (ret->version != NVML_VERSION(NvmlPlacementId, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        return number_of(id, "placement", &ret->id);
}
#endif

/* The UUID that the VM has is how the driver labels it; "vms" of the GPU has it by the vGPU's name. */
PUBLIC NvmlReturn nvmlVgpuInstanceGetVmID(uint32_t id, char *text, uint32_t size, uint32_t *ret_kind) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        json_t *vgpu;

        RETURN_FAULT();
        vgpu = fake_vgpu(id);
        if (!vgpu)
                return NVML_ERROR_NOT_FOUND;
        *ret_kind = 1; /* a UUID */
        return fake_text(json_object_get(fake_get(fake_gpu_of_vgpu(id), "vms"), json_string_value(json_object_get(vgpu, "name"))), text,
                         size);
}

PUBLIC NvmlReturn nvmlVgpuInstanceGetMdevUUID(uint32_t id, char *text, uint32_t size) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        const char *name;

        RETURN_FAULT();
        name = json_string_value(json_object_get(fake_vgpu(id), "name"));
        if (!name)
                return NVML_ERROR_NOT_FOUND;
        return strchr(name, ':') ? NVML_ERROR_NOT_SUPPORTED : fake_text(json_object_get(fake_vgpu(id), "name"), text, size);
}

/* "00000000:3B:00.4": of the virtual function, or of the GPU. */
PUBLIC NvmlReturn nvmlVgpuInstanceGetGpuPciId(uint32_t id, char *text, uint32_t *size) {
        FAKE_CALL(fake_gpu_of_vgpu(id));
        unsigned domain, bus, device, function;
        const char *address;
        int n;

        RETURN_FAULT();
        address = json_string_value(json_object_get(fake_vgpu(id), "name"));
        if (!address)
                return NVML_ERROR_NOT_FOUND;
        if (!strchr(address, ':'))
                address = json_string_value(fake_get(fake_gpu_of_vgpu(id), "address"));
        if (!address || sscanf(address, "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4)
                return NVML_ERROR_UNKNOWN;
        n = snprintf(text, *size, "%08X:%02X:%02X.%X", domain, bus, device, function);
        if ((uint32_t) n < *size)
                return NVML_SUCCESS;
        *size = (uint32_t) n + 1;
        return NVML_ERROR_INSUFFICIENT_SIZE;
}
