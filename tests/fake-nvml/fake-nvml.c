/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stand-in for NVIDIA's management library: the real name, the published calls, GPUs from a file. FAKE_NVML names a JSON
 * file {gpus: [{address, …}]} whose GPUs are as modules/vgpu/nvml-gpu.h writes them; what calls change is written back, so
 * that it outlives the process as the state of a GPU does. Beside that a GPU may have
 *   "vgpus": N            vGPUs in use: modes cannot be changed then
 *   "mig-needs-reset"     MIG mode stays pending
 *   "faults": {CALL: N}   the call answers N
 * Built with OLD_RELEASE it lacks what came after release 525. */

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake-nvml.h"

static json_t *host;

json_t *fake_gpu(NvmlDeviceHandle device) {
        return json_array_get(json_object_get(host, "gpus"), (size_t) (uintptr_t) device - 1);
}

json_t *fake_get(NvmlDeviceHandle device, const char *key) {
        return json_object_get(fake_gpu(device), key);
}

NvmlReturn fake_fault(NvmlDeviceHandle device, const char *call) {
        return (NvmlReturn) json_integer_value(json_object_get(fake_get(device, "faults"), call));
}
NvmlReturn fake_save(void) {
        return json_dump_file(host, getenv("FAKE_NVML"), JSON_INDENT(1)) < 0 ? NVML_ERROR_UNKNOWN : NVML_SUCCESS;
}

NvmlReturn fake_text(const json_t *text, char *buffer, size_t size) {
        if (!json_is_string(text))
                return NVML_ERROR_NOT_SUPPORTED;
        if (json_string_length(text) >= size)
                return NVML_ERROR_INSUFFICIENT_SIZE;
        strcpy(buffer, json_string_value(text));
        return NVML_SUCCESS;
}

NvmlReturn fake_number(const json_t *number, uint32_t *ret) {
        if (!json_is_integer(number))
                return NVML_ERROR_NOT_SUPPORTED;
        *ret = (uint32_t) json_integer_value(number);
        return NVML_SUCCESS;
}

/* As all calls with lists: too little room is an answer, with how much is needed. */
NvmlReturn fake_list(const json_t *array, uint32_t *count, uint32_t *ret) {
        size_t n = json_array_size(array);

        if (*count < n) {
                *count = (uint32_t) n;
                return NVML_ERROR_INSUFFICIENT_SIZE;
        }
        for (size_t i = 0; i < n; i++)
                ret[i] = (uint32_t) json_integer_value(json_array_get(array, i));
        *count = (uint32_t) n;
        return NVML_SUCCESS;
}

/* ---- library and GPUs ---- */

PUBLIC NvmlReturn nvmlInit_v2(void) {
        const char *path = getenv("FAKE_NVML");

        json_decref(host);
        host = path ? json_load_file(path, 0, NULL) : NULL;
        return host ? NVML_SUCCESS : NVML_ERROR_DRIVER_NOT_LOADED;
}

PUBLIC NvmlReturn nvmlShutdown(void) {
        json_decref(host);
        host = NULL;
        return NVML_SUCCESS;
}

json_t *fake_type(uint32_t type) {
        json_t *gpu, *item;
        size_t i, k;

        json_array_foreach(json_object_get(host, "gpus"), i, gpu)
                json_array_foreach(json_object_get(gpu, "types"), k, item)
                        if ((uint32_t) json_integer_value(json_object_get(item, "id")) == type)
                                return item;
        return NULL;
}

PUBLIC NvmlReturn nvmlSystemGetDriverVersion(char *version, uint32_t length) {
        return fake_text(json_object_get(fake_gpu((NvmlDeviceHandle) 1), "driver"), version, length);
}

PUBLIC NvmlReturn nvmlDeviceGetCount_v2(uint32_t *count) {
        *count = (uint32_t) json_array_size(json_object_get(host, "gpus"));
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceGetHandleByIndex_v2(uint32_t index, NvmlDeviceHandle *ret) {
        *ret = (NvmlDeviceHandle) (uintptr_t) (index + 1);
        return fake_gpu(*ret) ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

PUBLIC NvmlReturn nvmlDeviceGetHandleByPciBusId_v2(const char *address, NvmlDeviceHandle *ret) {
        json_t *gpu;
        size_t i;

        json_array_foreach(json_object_get(host, "gpus"), i, gpu) {
                const char *own = json_string_value(json_object_get(gpu, "address"));

                if (own && strcmp(own, address) == 0) {
                        *ret = (NvmlDeviceHandle) (uintptr_t) (i + 1);
                        return fake_fault(*ret, __func__);
                }
        }
        return NVML_ERROR_NOT_FOUND;
}

PUBLIC NvmlReturn nvmlDeviceGetPciInfo_v3(NvmlDeviceHandle device, NvmlPci *ret) {
        const char *address = json_string_value(fake_get(device, "address"));

        RETURN_FAULT(device);
        return address && sscanf(address, "%x:%x:%x", &ret->domain, &ret->bus, &ret->device) == 3 ? NVML_SUCCESS
                                                                                                 : NVML_ERROR_UNKNOWN;
}

PUBLIC NvmlReturn nvmlDeviceGetName(NvmlDeviceHandle device, char *name, uint32_t length) {
        RETURN_FAULT(device);
        return fake_text(fake_get(device, "name"), name, length);
}

PUBLIC NvmlReturn nvmlDeviceGetUUID(NvmlDeviceHandle device, char *uuid, uint32_t length) {
        RETURN_FAULT(device);
        return fake_text(fake_get(device, "uuid"), uuid, length);
}

PUBLIC NvmlReturn nvmlDeviceGetVirtualizationMode(NvmlDeviceHandle device, uint32_t *mode) {
        static const char *const words[] = { "none", "passthrough", "guest", "host-vgpu", "host-vsga" };
        const char *word = json_string_value(fake_get(device, "virtualization"));

        RETURN_FAULT(device);
        for (*mode = 0; *mode < 5; ++*mode)
                if (word && strcmp(word, words[*mode]) == 0)
                        return NVML_SUCCESS;
        return NVML_ERROR_NOT_SUPPORTED;
}

PUBLIC NvmlReturn nvmlDeviceGetHostVgpuMode(NvmlDeviceHandle device, uint32_t *mode) {
        const char *word = json_string_value(fake_get(device, "host-vgpu"));

        RETURN_FAULT(device);
        if (!word)
                return NVML_ERROR_NOT_SUPPORTED;
        *mode = strcmp(word, "sriov") == 0;
        return NVML_SUCCESS;
}

/* ---- MIG ---- */

bool fake_mig_is_on(NvmlDeviceHandle device) {
        return json_is_true(json_object_get(fake_get(device, "mig"), "current"));
}

PUBLIC NvmlReturn nvmlDeviceGetMigMode(NvmlDeviceHandle device, uint32_t *current, uint32_t *pending) {
        json_t *mig = fake_get(device, "mig");

        RETURN_FAULT(device);
        if (!mig)
                return NVML_ERROR_NOT_SUPPORTED;
        *current = json_is_true(json_object_get(mig, "current"));
        *pending = json_is_true(json_object_get(mig, "pending"));
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceSetMigMode(NvmlDeviceHandle device, uint32_t mode, uint32_t *activation) {
        json_t *mig = fake_get(device, "mig");
        bool needs_reset = json_is_true(fake_get(device, "mig-needs-reset"));

        RETURN_FAULT(device);
        if (!mig)
                return NVML_ERROR_NOT_SUPPORTED;
        *activation = NVML_SUCCESS;
        json_object_set_new(mig, "pending", json_boolean(mode == 1));
        if (json_integer_value(fake_get(device, "vgpus")) > 0 || json_array_size(fake_get(device, "instances")) > 0)
                *activation = NVML_ERROR_IN_USE;
        else if (needs_reset)
                *activation = NVML_ERROR_RESET_REQUIRED;
        else
                json_object_set_new(mig, "current", json_boolean(mode == 1));
        return fake_save();
}

static json_t *profile_of(NvmlDeviceHandle device, uint32_t id) {
        json_t *profile;
        size_t i;

        json_array_foreach(fake_get(device, "instance-profiles"), i, profile)
                if ((uint32_t) json_integer_value(json_object_get(profile, "id")) == id)
                        return profile;
        return NULL;
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstanceProfileInfoV(NvmlDeviceHandle device, uint32_t index, NvmlInstanceProfile *info) {
        json_t *profile = json_array_get(fake_get(device, "instance-profiles"), index);

        RETURN_FAULT(device);
        if (info->version != NVML_VERSION(NvmlInstanceProfile, 2))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        if (!profile)
                return NVML_ERROR_NOT_SUPPORTED;
        (void) fake_number(json_object_get(profile, "id"), &info->id);
        (void) fake_number(json_object_get(profile, "compute"), &info->compute_slices);
        (void) fake_number(json_object_get(profile, "count"), &info->count);
        info->memory_mib = (uint64_t) json_integer_value(json_object_get(profile, "memory-mib"));
        return fake_text(json_object_get(profile, "name"), info->name, sizeof(info->name));
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstancePossiblePlacements_v2(NvmlDeviceHandle device, uint32_t id, NvmlPlacement *ret,
                                                                uint32_t *count) {
        json_t *placements = json_object_get(profile_of(device, id), "placements");
        size_t n = json_array_size(placements);

        RETURN_FAULT(device);
        if (*count < n)
                return NVML_ERROR_INSUFFICIENT_SIZE;
        for (size_t i = 0; i < n; i++) {
                (void) fake_number(json_object_get(json_array_get(placements, i), "start"), &ret[i].start);
                (void) fake_number(json_object_get(json_array_get(placements, i), "size"), &ret[i].size);
        }
        *count = (uint32_t) n;
        return NVML_SUCCESS;
}

static bool is_free(NvmlDeviceHandle device, const NvmlPlacement *wanted) {
        json_t *instance;
        size_t i;

        json_array_foreach(fake_get(device, "instances"), i, instance) {
                uint32_t start = (uint32_t) json_integer_value(json_object_get(instance, "start"));
                uint32_t size = (uint32_t) json_integer_value(json_object_get(instance, "size"));

                if (wanted->start < start + size && start < wanted->start + wanted->size)
                        return false;
        }
        return true;
}

static bool is_possible(const json_t *profile, const NvmlPlacement *wanted) {
        json_t *placement;
        size_t i;

        json_array_foreach(json_object_get(profile, "placements"), i, placement)
                if (json_integer_value(json_object_get(placement, "start")) == wanted->start &&
                    json_integer_value(json_object_get(placement, "size")) == wanted->size)
                        return true;
        return false;
}

/* A handle of an instance has the GPU's number above the instance's id. */
static NvmlGpuInstanceHandle instance_handle(NvmlDeviceHandle device, json_int_t id) {
        return (NvmlGpuInstanceHandle) ((uintptr_t) device << 16 | (uintptr_t) id);
}

static json_t *instance_of(NvmlGpuInstanceHandle handle, size_t *ret_index) {
        NvmlDeviceHandle device = (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
        json_t *instance;
        size_t i;

        json_array_foreach(fake_get(device, "instances"), i, instance)
                if ((uintptr_t) json_integer_value(json_object_get(instance, "id")) == ((uintptr_t) handle & 0xffff)) {
                        *ret_index = i;
                        return instance;
                }
        return NULL;
}

PUBLIC NvmlReturn nvmlDeviceCreateGpuInstanceWithPlacement(NvmlDeviceHandle device, uint32_t id,
                                                           const NvmlPlacement *placement, NvmlGpuInstanceHandle *ret) {
        json_t *profile = profile_of(device, id), *instances = fake_get(device, "instances");
        json_int_t next = 1;
        size_t index;

        RETURN_FAULT(device);
        if (!fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        if (!profile || !is_possible(profile, placement))
                return NVML_ERROR_INVALID_ARGUMENT;
        if (!is_free(device, placement))
                return NVML_ERROR_INSUFFICIENT_RESOURCES;
        while (instance_of(instance_handle(device, next), &index))
                next++;
        json_array_append_new(instances, json_pack("{s:I, s:I, s:I, s:I}", "id", next, "profile", (json_int_t) id, "start",
                                                   (json_int_t) placement->start, "size", (json_int_t) placement->size));
        *ret = instance_handle(device, next);
        return fake_save();
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstances(NvmlDeviceHandle device, uint32_t id, NvmlGpuInstanceHandle *ret,
                                            uint32_t *count) {
        uint32_t n = 0;
        json_t *instance;
        size_t i;

        RETURN_FAULT(device);
        if (!fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        json_array_foreach(fake_get(device, "instances"), i, instance) {
                if ((uint32_t) json_integer_value(json_object_get(instance, "profile")) != id)
                        continue;
                if (n == *count)
                        return NVML_ERROR_INSUFFICIENT_SIZE;
                ret[n++] = instance_handle(device, json_integer_value(json_object_get(instance, "id")));
        }
        *count = n;
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstanceById(NvmlDeviceHandle device, uint32_t id, NvmlGpuInstanceHandle *ret) {
        size_t index;

        RETURN_FAULT(device);
        *ret = instance_handle(device, id);
        return instance_of(*ret, &index) ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

PUBLIC NvmlReturn nvmlGpuInstanceGetInfo(NvmlGpuInstanceHandle handle, NvmlInstanceInfo *info) {
        size_t index;
        json_t *instance = instance_of(handle, &index);

        if (!instance)
                return NVML_ERROR_NOT_FOUND;
        info->device = (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
        (void) fake_number(json_object_get(instance, "id"), &info->id);
        (void) fake_number(json_object_get(instance, "profile"), &info->profile);
        (void) fake_number(json_object_get(instance, "start"), &info->placement.start);
        (void) fake_number(json_object_get(instance, "size"), &info->placement.size);
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlGpuInstanceDestroy(NvmlGpuInstanceHandle handle) {
        NvmlDeviceHandle device = (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
        size_t index;
        json_t *instance = instance_of(handle, &index);

        RETURN_FAULT(device);
        if (!instance)
                return NVML_ERROR_NOT_FOUND;
        if (json_is_true(json_object_get(instance, "compute")))
                return NVML_ERROR_IN_USE;
        json_array_remove(fake_get(device, "instances"), index);
        return fake_save();
}

/* One profile of compute instance: the whole GPU instance. */
PUBLIC NvmlReturn nvmlGpuInstanceGetComputeInstanceProfileInfoV(NvmlGpuInstanceHandle handle, uint32_t index,
                                                                uint32_t engine, NvmlComputeProfile *info) {
        NvmlDeviceHandle device = (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
        json_t *instance, *profile;
        size_t at;

        RETURN_FAULT(device);
        instance = instance_of(handle, &at);
        profile = profile_of(device, (uint32_t) json_integer_value(json_object_get(instance, "profile")));
        if (!instance || index != 0 || engine != 0)
                return NVML_ERROR_NOT_SUPPORTED;
        info->id = 0;
        info->count = 1;
        return fake_number(json_object_get(profile, "compute"), &info->slices);
}

PUBLIC NvmlReturn nvmlGpuInstanceCreateComputeInstance(NvmlGpuInstanceHandle handle, uint32_t profile,
                                                       NvmlComputeInstanceHandle *ret) {
        NvmlDeviceHandle device = (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
        size_t index;
        json_t *instance = instance_of(handle, &index);

        RETURN_FAULT(device);
        if (!instance || profile != 0)
                return NVML_ERROR_INVALID_ARGUMENT;
        if (json_is_true(json_object_get(instance, "compute")))
                return NVML_ERROR_INSUFFICIENT_RESOURCES;
        json_object_set_new(instance, "compute", json_true());
        *ret = (NvmlComputeInstanceHandle) handle;
        return fake_save();
}

PUBLIC NvmlReturn nvmlGpuInstanceGetComputeInstances(NvmlGpuInstanceHandle handle, uint32_t profile,
                                                     NvmlComputeInstanceHandle *ret, uint32_t *count) {
        size_t index;
        json_t *instance = instance_of(handle, &index);

        if (!instance || profile != 0)
                return NVML_ERROR_INVALID_ARGUMENT;
        *count = json_is_true(json_object_get(instance, "compute")) ? 1 : 0;
        *ret = (NvmlComputeInstanceHandle) handle;
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlComputeInstanceDestroy(NvmlComputeInstanceHandle handle) {
        NvmlDeviceHandle device = (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
        size_t index;
        json_t *instance = instance_of((NvmlGpuInstanceHandle) handle, &index);

        RETURN_FAULT(device);
        if (!instance)
                return NVML_ERROR_NOT_FOUND;
        if (json_integer_value(fake_get(device, "vgpus")) > 0)
                return NVML_ERROR_IN_USE;
        json_object_del(instance, "compute");
        return fake_save();
}
