/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vGPU types, placements, the scheduler and use. */

#include <stdio.h>

#include "fake-nvml.h"

#define MIB (1024u * 1024u)

/* MIG-backed types only with an instance for them, the others only without MIG. */
static bool is_creatable(NvmlDeviceHandle device, const json_t *type) {
        json_t *wanted = json_object_get(type, "instance-profile"), *instance;
        size_t i;

        if (!json_is_true(json_object_get(type, "creatable")))
                return false;
        if (!wanted)
                return !fake_mig_is_on(device);
        json_array_foreach(fake_get(device, "instances"), i, instance)
                if (json_equal(json_object_get(instance, "profile"), wanted) &&
                    json_is_true(json_object_get(instance, "compute")))
                        return true;
        return false;
}

static NvmlReturn list_types(NvmlDeviceHandle device, bool creatable, uint32_t *count, uint32_t *ret) {
        json_t *array = json_array(), *type;
        NvmlReturn result;
        size_t i;

        json_array_foreach(fake_get(device, "types"), i, type)
                if (!creatable || is_creatable(device, type))
                        json_array_append(array, json_object_get(type, "id"));
        result = fake_list(array, count, ret);
        json_decref(array);
        return result;
}

PUBLIC NvmlReturn nvmlDeviceGetSupportedVgpus(NvmlDeviceHandle device, uint32_t *count, uint32_t *ret) {
        RETURN_FAULT(device);
        return list_types(device, false, count, ret);
}

PUBLIC NvmlReturn nvmlDeviceGetCreatableVgpus(NvmlDeviceHandle device, uint32_t *count, uint32_t *ret) {
        RETURN_FAULT(device);
        return list_types(device, true, count, ret);
}

static NvmlReturn type_text(uint32_t type, const char *key, char *text, uint32_t *size) {
        NvmlReturn result = fake_text(json_object_get(fake_type(type), key), text, *size);

        if (result == NVML_SUCCESS)
                *size = (uint32_t) json_string_length(json_object_get(fake_type(type), key));
        return result;
}

PUBLIC NvmlReturn nvmlVgpuTypeGetName(uint32_t type, char *text, uint32_t *size) {
        return type_text(type, "name", text, size);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetClass(uint32_t type, char *text, uint32_t *size) {
        return type_text(type, "class", text, size);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetLicense(uint32_t type, char *text, uint32_t size) {
        return type_text(type, "licence", text, &size);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetFramebufferSize(uint32_t type, uint64_t *bytes) {
        uint32_t mib = 0;
        NvmlReturn result = fake_number(json_object_get(fake_type(type), "framebuffer-mib"), &mib);

        *bytes = (uint64_t) mib * MIB;
        return result;
}

PUBLIC NvmlReturn nvmlVgpuTypeGetNumDisplayHeads(uint32_t type, uint32_t *ret) {
        return fake_number(json_object_get(fake_type(type), "heads"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetResolution(uint32_t type, uint32_t head, uint32_t *width, uint32_t *height) {
        if (head >= (uint32_t) json_integer_value(json_object_get(fake_type(type), "heads")))
                return NVML_ERROR_INVALID_ARGUMENT;
        (void) fake_number(json_object_get(fake_type(type), "width"), width);
        return fake_number(json_object_get(fake_type(type), "height"), height);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetFrameRateLimit(uint32_t type, uint32_t *ret) {
        return fake_number(json_object_get(fake_type(type), "frame-rate-limit"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetMaxInstances(NvmlDeviceHandle device, uint32_t type, uint32_t *ret) {
        RETURN_FAULT(device);
        return fake_number(json_object_get(fake_type(type), "max"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetMaxInstancesPerVm(uint32_t type, uint32_t *ret) {
        return fake_number(json_object_get(fake_type(type), "max-per-vm"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetGpuInstanceProfileId(uint32_t type, uint32_t *ret) {
        if (!fake_type(type))
                return NVML_ERROR_INVALID_ARGUMENT;
        if (fake_number(json_object_get(fake_type(type), "instance-profile"), ret) != NVML_SUCCESS)
                *ret = UINT32_MAX;
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuSchedulerCapabilities(NvmlDeviceHandle device, NvmlSchedulerCapabilities *ret) {
        json_t *scheduler = fake_get(device, "scheduler");
        const struct {
                const char *key;
                uint32_t *first, *second;
        } ranges[] = {
                { "frequency", &ret->min_frequency, &ret->max_frequency },
                { "average", &ret->min_average, &ret->max_average },
                { "timeslice", &ret->min_timeslice, &ret->max_timeslice },
        };

        RETURN_FAULT(device);
        if (!scheduler || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        for (size_t i = 0; i < 3; i++)
                (void) fake_number(json_array_get(json_object_get(scheduler, "policies"), i), &ret->supported[i]);
        ret->arr_supported = json_is_true(json_object_get(scheduler, "arr"));
        for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
                (void) fake_number(json_array_get(json_object_get(scheduler, ranges[i].key), 0), ranges[i].first);
                (void) fake_number(json_array_get(json_object_get(scheduler, ranges[i].key), 1), ranges[i].second);
        }
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceSetVgpuSchedulerState(NvmlDeviceHandle device, NvmlSchedulerState *state) {
        RETURN_FAULT(device);
        if (!fake_get(device, "scheduler") || fake_mig_is_on(device) || json_integer_value(fake_get(device, "vgpus")) > 0)
                return NVML_ERROR_NOT_SUPPORTED;
        json_object_set_new(fake_gpu(device), "scheduler-state",
                            json_pack("[I,I,I,I]", (json_int_t) state->policy, (json_int_t) state->arr,
                                      (json_int_t) state->average_or_timeslice, (json_int_t) state->frequency));
        return fake_save();
}

PUBLIC NvmlReturn nvmlDeviceGetUtilizationRates(NvmlDeviceHandle device, NvmlUtilization *ret) {
        json_t *use = fake_get(device, "use");

        RETURN_FAULT(device);
        if (fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        (void) fake_number(json_object_get(use, "gpu"), &ret->gpu);
        return fake_number(json_object_get(use, "memory"), &ret->memory);
}

PUBLIC NvmlReturn nvmlDeviceGetEncoderUtilization(NvmlDeviceHandle device, uint32_t *ret, uint32_t *period) {
        *period = 1000000;
        return fake_number(json_object_get(fake_get(device, "use"), "encoder"), ret);
}

PUBLIC NvmlReturn nvmlDeviceGetMemoryInfo_v2(NvmlDeviceHandle device, NvmlMemory *ret) {
        uint32_t used = 0, total = 0;
        NvmlReturn result = fake_number(json_object_get(fake_get(device, "use"), "framebuffer-total"), &total);

        if (ret->version != NVML_VERSION(NvmlMemory, 2))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        (void) fake_number(json_object_get(fake_get(device, "use"), "framebuffer-used"), &used);
        ret->total = (uint64_t) total * MIB;
        ret->used = (uint64_t) used * MIB;
        return result;
}

PUBLIC NvmlReturn nvmlDeviceGetTemperature(NvmlDeviceHandle device, uint32_t sensor, uint32_t *ret) {
        return sensor == 0 ? fake_number(json_object_get(fake_get(device, "use"), "temperature"), ret)
                           : NVML_ERROR_INVALID_ARGUMENT;
}

PUBLIC NvmlReturn nvmlDeviceGetPowerUsage(NvmlDeviceHandle device, uint32_t *ret) {
        return fake_number(json_object_get(fake_get(device, "use"), "power"), ret);
}

/* What came with release 550. */
#ifndef OLD_RELEASE
PUBLIC NvmlReturn nvmlDeviceGetVgpuHeterogeneousMode(NvmlDeviceHandle device, NvmlMode *mode) {
        json_t *mixed = fake_get(device, "mixed-sizes");

        RETURN_FAULT(device);
        if (mode->version != NVML_VERSION(NvmlMode, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        if (!mixed || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        mode->mode = json_is_true(mixed);
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceSetVgpuHeterogeneousMode(NvmlDeviceHandle device, const NvmlMode *mode) {
        RETURN_FAULT(device);
        if (!fake_get(device, "mixed-sizes") || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        if (json_integer_value(fake_get(device, "vgpus")) > 0)
                return NVML_ERROR_IN_USE;
        json_object_set_new(fake_gpu(device), "mixed-sizes", json_boolean(mode->mode == 1));
        return fake_save();
}

static NvmlReturn placements(uint32_t type, const char *key, NvmlPlacementList *list) {
        json_t *object = fake_type(type), *array = json_object_get(object, key);

        if (list->version != NVML_VERSION(NvmlPlacementList, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        if (!array)
                return NVML_ERROR_NOT_SUPPORTED;
        (void) fake_number(json_object_get(object, "placement-size"), &list->size);
        return fake_list(array, &list->count, list->ids);
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuTypeSupportedPlacements(NvmlDeviceHandle device, uint32_t type,
                                                           NvmlPlacementList *list) {
        RETURN_FAULT(device);
        return placements(type, "placements", list);
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuTypeCreatablePlacements(NvmlDeviceHandle device, uint32_t type,
                                                           NvmlPlacementList *list) {
        RETURN_FAULT(device);
        return placements(type, "creatable-placements", list);
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuCapabilities(NvmlDeviceHandle device, uint32_t capability, uint32_t *ret) {
        char key[16];

        RETURN_FAULT(device);
        (void) snprintf(key, sizeof(key), "%u", capability);
        return fake_number(json_object_get(fake_get(device, "capabilities"), key), ret);
}
#endif
