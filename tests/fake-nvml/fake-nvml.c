/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stand-in for NVIDIA's management library: the real name, the published calls, GPUs from a file. See README.md for what
 * the file holds. Built with OLD_RELEASE it lacks what came after release 525. */

#include <stdio.h>
#include <string.h>

#include "fake-nvml.h"

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

uint32_t fake_uint(const json_t *object, const char *key) {
        return (uint32_t) json_integer_value(json_object_get(object, key));
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
        NvmlReturn result = fake_open();

        if (result != NVML_SUCCESS)
                return result;
        FAKE_CALL(NULL);
        return _call.result;
}

PUBLIC NvmlReturn nvmlShutdown(void) {
        fake_close();
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlSystemGetDriverVersion(char *version, uint32_t length) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return fake_text(json_object_get(fake_gpu((NvmlDeviceHandle) 1), "driver"), version, length);
}

PUBLIC NvmlReturn nvmlDeviceGetCount_v2(uint32_t *count) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        *count = (uint32_t) json_array_size(json_object_get(fake_host(), "gpus"));
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceGetHandleByIndex_v2(uint32_t index, NvmlDeviceHandle *ret) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        *ret = (NvmlDeviceHandle) (uintptr_t) (index + 1);
        return fake_gpu(*ret) ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static NvmlReturn known_to_driver(NvmlDeviceHandle device) {
        FAKE_CALL(device);
        return _call.result;
}

static NvmlDeviceHandle find_gpu(const char *address) {
        json_t *gpu;
        size_t i;

        json_array_foreach(json_object_get(fake_host(), "gpus"), i, gpu) {
                const char *own = json_string_value(json_object_get(gpu, "address"));

                if (own && strcmp(own, address) == 0)
                        return (NvmlDeviceHandle) (uintptr_t) (i + 1);
        }
        return NULL;
}

static NvmlReturn enter_and_find(const char *call, const char *address, NvmlDeviceHandle *ret) {
        _cleanup_(fake_leave) FakeCall entered = fake_enter(NULL, call);

        if (entered.result != NVML_SUCCESS)
                return entered.result;
        *ret = find_gpu(address);
        return *ret ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

PUBLIC NvmlReturn nvmlDeviceGetHandleByPciBusId_v2(const char *address, NvmlDeviceHandle *ret) {
        NvmlReturn result = enter_and_find(__func__, address, ret);

        return result == NVML_SUCCESS ? known_to_driver(*ret) : result;
}

PUBLIC NvmlReturn nvmlDeviceGetPciInfo_v3(NvmlDeviceHandle device, NvmlPci *ret) {
        FAKE_CALL(device);
        const char *address = json_string_value(fake_get(device, "address"));

        RETURN_FAULT();
        return address && sscanf(address, "%x:%x:%x", &ret->domain, &ret->bus, &ret->device) == 3 ? NVML_SUCCESS
                                                                                                 : NVML_ERROR_UNKNOWN;
}

PUBLIC NvmlReturn nvmlDeviceGetName(NvmlDeviceHandle device, char *name, uint32_t length) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return fake_text(fake_get(device, "name"), name, length);
}

PUBLIC NvmlReturn nvmlDeviceGetUUID(NvmlDeviceHandle device, char *uuid, uint32_t length) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return fake_text(fake_get(device, "uuid"), uuid, length);
}

PUBLIC NvmlReturn nvmlDeviceGetVirtualizationMode(NvmlDeviceHandle device, uint32_t *mode) {
        static const char *const words[] = { "none", "passthrough", "guest", "host-vgpu", "host-vsga" };
        FAKE_CALL(device);
        const char *word = json_string_value(fake_get(device, "virtualization"));

        RETURN_FAULT();
        for (*mode = 0; *mode < 5; ++*mode)
                if (word && strcmp(word, words[*mode]) == 0)
                        return NVML_SUCCESS;
        return NVML_ERROR_NOT_SUPPORTED;
}

PUBLIC NvmlReturn nvmlDeviceGetHostVgpuMode(NvmlDeviceHandle device, uint32_t *mode) {
        FAKE_CALL(device);
        const char *word = json_string_value(fake_get(device, "host-vgpu"));

        RETURN_FAULT();
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
        FAKE_CALL(device);
        json_t *mig = fake_get(device, "mig");

        RETURN_FAULT();
        if (!mig)
                return NVML_ERROR_NOT_SUPPORTED;
        *current = json_is_true(json_object_get(mig, "current"));
        *pending = json_is_true(json_object_get(mig, "pending"));
        return NVML_SUCCESS;
}

/* vGPUs, GPU instances, or somebody else, as a program that watches the GPU. */
static bool is_in_use(NvmlDeviceHandle device) {
        return fake_count_vgpus(device, UINT32_MAX) > 0 || json_array_size(fake_get(device, "instances")) > 0 ||
               fake_uint(fake_gpu(device), "clients") > 0;
}

/* Before Hopper the GPU is reset for it, by the driver where that is possible: until then the mode is pending. */
PUBLIC NvmlReturn nvmlDeviceSetMigMode(NvmlDeviceHandle device, uint32_t mode, uint32_t *activation) {
        FAKE_CALL(device);
        json_t *mig = fake_get(device, "mig");
        bool needs_reset = json_is_true(fake_get(device, "mig-needs-reset"));

        RETURN_FAULT();
        if (!mig)
                return NVML_ERROR_NOT_SUPPORTED;
        if (mode > 1)
                return NVML_ERROR_INVALID_ARGUMENT;
        *activation = NVML_SUCCESS;
        if (fake_mig_is_on(device) == (mode == 1)) {
                json_object_set_new(mig, "pending", json_boolean(mode == 1));
                return fake_save(device);
        }
        if (mode == 0 && fake_uint(fake_gpu(device), "vfs") > 0)
                return NVML_ERROR_IN_USE;
        if (is_in_use(device) || json_is_true(fake_get(device, "reset-refused"))) {
                *activation = is_in_use(device) ? NVML_ERROR_IN_USE : NVML_ERROR_RESET_REQUIRED;
                if (needs_reset)
                        json_object_set_new(mig, "pending", json_boolean(mode == 1));
                return fake_save(device);
        }
        json_object_set_new(mig, "pending", json_boolean(mode == 1));
        json_object_set_new(mig, "current", json_boolean(mode == 1));
        if (mode == 1 && fake_get(device, "mixed-sizes"))
                json_object_set_new(fake_gpu(device), "mixed-sizes", json_false());
        return fake_save(device);
}

static json_t *profile_of(NvmlDeviceHandle device, uint32_t id) {
        json_t *profile;
        size_t i;

        json_array_foreach(fake_get(device, "instance-profiles"), i, profile)
                if (fake_uint(profile, "id") == id)
                        return profile;
        return NULL;
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstanceProfileInfoV(NvmlDeviceHandle device, uint32_t index, NvmlInstanceProfile *info) {
        FAKE_CALL(device);
        json_t *profile = json_array_get(fake_get(device, "instance-profiles"), index);

        RETURN_FAULT();
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
        FAKE_CALL(device);
        json_t *placements = json_object_get(profile_of(device, id), "placements");
        size_t n = json_array_size(placements);

        RETURN_FAULT();
        if (*count < n)
                return NVML_ERROR_INSUFFICIENT_SIZE;
        for (size_t i = 0; i < n; i++) {
                (void) fake_number(json_object_get(json_array_get(placements, i), "start"), &ret[i].start);
                (void) fake_number(json_object_get(json_array_get(placements, i), "size"), &ret[i].size);
        }
        *count = (uint32_t) n;
        return NVML_SUCCESS;
}

static bool is_possible(const json_t *profile, const NvmlPlacement *wanted) {
        json_t *placement;
        size_t i;

        json_array_foreach(json_object_get(profile, "placements"), i, placement)
                if (fake_uint(placement, "start") == wanted->start && fake_uint(placement, "size") == wanted->size)
                        return true;
        return false;
}

/* "+me", "+me.all" and "-me" of "MIG 1g.24gb+me". */
static const char *media_of(const json_t *profile) {
        const char *name = json_string_value(json_object_get(profile, "name")), *found;

        if (!name)
                return "";
        found = strstr(name, "+me");
        return found ? found : (found = strstr(name, "-me")) ? found : "";
}

/* The media engines have one owner; one that has all of them leaves instances without only. */
static bool media_go_together(const char *a, const char *b) {
        bool own_a = startswith(a, "+me"), own_b = startswith(b, "+me");

        if (own_a && own_b)
                return false;
        if (streq(a, "+me.all"))
                return streq(b, "-me");
        return !streq(b, "+me.all") || streq(a, "-me");
}

/* Room in memory slices, compute slices, and as many as there can be. */
static bool has_room(NvmlDeviceHandle device, const json_t *profile, const NvmlPlacement *wanted) {
        uint32_t slices = fake_uint(profile, "compute"), all = 0, same = 0;
        json_t *instance, *other;
        size_t i;

        json_array_foreach(fake_get(device, "instance-profiles"), i, other)
                all = MAX_OF(all, fake_uint(other, "compute"));
        json_array_foreach(fake_get(device, "instances"), i, instance) {
                uint32_t start = fake_uint(instance, "start"), size = fake_uint(instance, "size");

                other = profile_of(device, fake_uint(instance, "profile"));
                if (wanted->start < start + size && start < wanted->start + wanted->size)
                        return false;
                if (!media_go_together(media_of(profile), media_of(other)))
                        return false;
                slices += fake_uint(other, "compute");
                same += other == profile;
        }
        return slices <= all && same < fake_uint(profile, "count");
}

/* A handle of an instance has the GPU's number above the instance's id. */
static NvmlGpuInstanceHandle instance_handle(NvmlDeviceHandle device, json_int_t id) {
        return (NvmlGpuInstanceHandle) ((uintptr_t) device << 16 | (uintptr_t) id);
}

NvmlDeviceHandle fake_gpu_of_instance(NvmlGpuInstanceHandle handle) {
        return (NvmlDeviceHandle) ((uintptr_t) handle >> 16);
}

json_t *fake_instance(NvmlGpuInstanceHandle handle, size_t *ret_index) {
        json_t *instance;
        size_t i;

        json_array_foreach(fake_get(fake_gpu_of_instance(handle), "instances"), i, instance)
                if (fake_uint(instance, "id") == ((uintptr_t) handle & 0xffff)) {
                        *ret_index = i;
                        return instance;
                }
        return NULL;
}

PUBLIC NvmlReturn nvmlDeviceCreateGpuInstanceWithPlacement(NvmlDeviceHandle device, uint32_t id,
                                                           const NvmlPlacement *placement, NvmlGpuInstanceHandle *ret) {
        FAKE_CALL(device);
        json_t *profile = profile_of(device, id), *instances = fake_get(device, "instances");
        json_int_t next = 1;
        size_t index;

        RETURN_FAULT();
        if (!fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        if (!profile || !is_possible(profile, placement))
                return NVML_ERROR_INVALID_ARGUMENT;
        if (!has_room(device, profile, placement))
                return NVML_ERROR_INSUFFICIENT_RESOURCES;
        while (fake_instance(instance_handle(device, next), &index))
                next++;
        json_array_append_new(instances, json_pack("{s:I, s:I, s:I, s:I}", "id", next, "profile", (json_int_t) id, "start",
                                                   (json_int_t) placement->start, "size", (json_int_t) placement->size));
        *ret = instance_handle(device, next);
        return fake_save(device);
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstances(NvmlDeviceHandle device, uint32_t id, NvmlGpuInstanceHandle *ret,
                                            uint32_t *count) {
        FAKE_CALL(device);
        uint32_t n = 0;
        json_t *instance;
        size_t i;

        RETURN_FAULT();
        if (!fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        json_array_foreach(fake_get(device, "instances"), i, instance) {
                if (fake_uint(instance, "profile") != id)
                        continue;
                if (n == *count)
                        return NVML_ERROR_INSUFFICIENT_SIZE;
                ret[n++] = instance_handle(device, json_integer_value(json_object_get(instance, "id")));
        }
        *count = n;
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceGetGpuInstanceById(NvmlDeviceHandle device, uint32_t id, NvmlGpuInstanceHandle *ret) {
        FAKE_CALL(device);
        size_t index;

        RETURN_FAULT();
        *ret = instance_handle(device, id);
        return fake_instance(*ret, &index) ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

PUBLIC NvmlReturn nvmlGpuInstanceGetInfo(NvmlGpuInstanceHandle handle, NvmlInstanceInfo *info) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        size_t index;
        json_t *instance = fake_instance(handle, &index);

        RETURN_FAULT();
        if (!instance)
                return NVML_ERROR_NOT_FOUND;
        info->device = fake_gpu_of_instance(handle);
        (void) fake_number(json_object_get(instance, "id"), &info->id);
        (void) fake_number(json_object_get(instance, "profile"), &info->profile);
        (void) fake_number(json_object_get(instance, "start"), &info->placement.start);
        (void) fake_number(json_object_get(instance, "size"), &info->placement.size);
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlGpuInstanceDestroy(NvmlGpuInstanceHandle handle) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        NvmlDeviceHandle device = fake_gpu_of_instance(handle);
        size_t index;
        json_t *instance = fake_instance(handle, &index);

        RETURN_FAULT();
        if (!instance)
                return NVML_ERROR_NOT_FOUND;
        if (json_is_true(json_object_get(instance, "compute")) || fake_count_vgpus(device, fake_uint(instance, "id")) > 0)
                return NVML_ERROR_IN_USE;
        json_array_remove(fake_get(device, "instances"), index);
        return fake_save(device);
}

/* One profile of compute instance: the whole GPU instance. */
PUBLIC NvmlReturn nvmlGpuInstanceGetComputeInstanceProfileInfoV(NvmlGpuInstanceHandle handle, uint32_t index,
                                                                uint32_t engine, NvmlComputeProfile *info) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        json_t *instance, *profile;
        size_t at;

        RETURN_FAULT();
        instance = fake_instance(handle, &at);
        profile = profile_of(fake_gpu_of_instance(handle), fake_uint(instance, "profile"));
        if (!instance || index != 0 || engine != 0)
                return NVML_ERROR_NOT_SUPPORTED;
        if (info->version != NVML_VERSION(NvmlComputeProfile, 2))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        info->id = 0;
        info->count = 1;
        return fake_number(json_object_get(profile, "compute"), &info->slices);
}

PUBLIC NvmlReturn nvmlGpuInstanceCreateComputeInstance(NvmlGpuInstanceHandle handle, uint32_t profile,
                                                       NvmlComputeInstanceHandle *ret) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        size_t index;
        json_t *instance = fake_instance(handle, &index);

        RETURN_FAULT();
        if (!instance || profile != 0)
                return NVML_ERROR_INVALID_ARGUMENT;
        if (json_is_true(json_object_get(instance, "compute")))
                return NVML_ERROR_INSUFFICIENT_RESOURCES;
        json_object_set_new(instance, "compute", json_true());
        *ret = (NvmlComputeInstanceHandle) handle;
        return fake_save(fake_gpu_of_instance(handle));
}

PUBLIC NvmlReturn nvmlGpuInstanceGetComputeInstances(NvmlGpuInstanceHandle handle, uint32_t profile,
                                                     NvmlComputeInstanceHandle *ret, uint32_t *count) {
        FAKE_CALL(fake_gpu_of_instance(handle));
        size_t index;
        json_t *instance = fake_instance(handle, &index);

        RETURN_FAULT();
        if (!instance || profile != 0)
                return NVML_ERROR_INVALID_ARGUMENT;
        *count = json_is_true(json_object_get(instance, "compute")) ? 1 : 0;
        *ret = (NvmlComputeInstanceHandle) handle;
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlComputeInstanceDestroy(NvmlComputeInstanceHandle handle) {
        NvmlGpuInstanceHandle owner = (NvmlGpuInstanceHandle) handle;
        FAKE_CALL(fake_gpu_of_instance(owner));
        size_t index;
        json_t *instance = fake_instance(owner, &index);

        RETURN_FAULT();
        if (!instance || !json_is_true(json_object_get(instance, "compute")))
                return NVML_ERROR_NOT_FOUND;
        if (fake_count_vgpus(fake_gpu_of_instance(owner), fake_uint(instance, "id")) > 0)
                return NVML_ERROR_IN_USE;
        json_object_del(instance, "compute");
        return fake_save(fake_gpu_of_instance(owner));
}
