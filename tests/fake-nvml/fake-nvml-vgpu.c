/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vGPU types, placements and use. */

#include <stdio.h>

#include "fake-nvml.h"

#define MIB (1024u * 1024u)

/* What is on the GPU, or on one of its instances. */
typedef struct Neighbours {
        uint32_t count, framebuffer;  /* of the last one */
        uint64_t taken[4];            /* by placement */
} Neighbours;

static bool is_free(const Neighbours *n, uint32_t start, uint32_t size) {
        for (uint32_t i = start; i < start + size && i < 256; i++)
                if (n->taken[i / 64] & UINT64_C(1) << i % 64)
                        return false;
        return true;
}

static Neighbours neighbours_of(NvmlDeviceHandle device, uint32_t instance) {
        Neighbours n = { 0 };
        json_t *vgpu;
        size_t i;

        json_array_foreach(fake_get(device, "vgpus"), i, vgpu) {
                const json_t *type = fake_type(fake_uint(vgpu, "type"));
                uint32_t start = fake_uint(vgpu, "placement"), size = fake_uint(type, "placement-size");

                if (fake_uint(vgpu, "instance") != instance)
                        continue;
                n.count++;
                n.framebuffer = fake_uint(type, "framebuffer-mib");
                for (uint32_t k = start; k < start + size && k < 256; k++)
                        n.taken[k / 64] |= UINT64_C(1) << k % 64;
        }
        return n;
}

static bool has_room(const Neighbours *n, const json_t *type, bool mixed, uint32_t max) {
        json_t *place;
        size_t i;

        if (!mixed)
                return n->count == 0 || (n->count < max && n->framebuffer == fake_uint(type, "framebuffer-mib"));
        json_array_foreach(json_object_get(type, "placements"), i, place)
                if (is_free(n, (uint32_t) json_integer_value(place), fake_uint(type, "placement-size")))
                        return true;
        return false;
}

/* How many vGPUs of a type one GPU instance has room for. */
static uint32_t per_instance(NvmlDeviceHandle device, const json_t *type) {
        json_t *profile;
        size_t i;

        json_array_foreach(fake_get(device, "instance-profiles"), i, profile)
                if (json_equal(json_object_get(profile, "id"), json_object_get(type, "instance-profile")) &&
                    fake_uint(profile, "count") > 0)
                        return fake_uint(type, "max") / fake_uint(profile, "count");
        return fake_uint(type, "max");
}

/* MIG-backed types only with an instance for them, the others only without MIG. */
static bool is_creatable(NvmlDeviceHandle device, const json_t *type) {
        json_t *wanted = json_object_get(type, "instance-profile"), *instance;
        Neighbours n;
        size_t i;

        if (!json_is_true(json_object_get(type, "creatable")) || (wanted != NULL) != fake_mig_is_on(device))
                return false;
        if (!wanted) {
                n = neighbours_of(device, 0);
                return has_room(&n, type, json_is_true(fake_get(device, "mixed-sizes")), fake_uint(type, "max"));
        }
        json_array_foreach(fake_get(device, "instances"), i, instance) {
                if (!json_equal(json_object_get(instance, "profile"), wanted) ||
                    !json_is_true(json_object_get(instance, "compute")))
                        continue;
                n = neighbours_of(device, fake_uint(instance, "id"));
                if (has_room(&n, type, json_is_true(json_object_get(instance, "mixed")), per_instance(device, type)))
                        return true;
        }
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
        FAKE_CALL(device);
        RETURN_FAULT();
        return list_types(device, false, count, ret);
}

PUBLIC NvmlReturn nvmlDeviceGetCreatableVgpus(NvmlDeviceHandle device, uint32_t *count, uint32_t *ret) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return list_types(device, true, count, ret);
}

static NvmlReturn type_text(uint32_t type, const char *key, char *text, uint32_t *size) {
        NvmlReturn result = fake_text(json_object_get(fake_type(type), key), text, *size);

        if (result == NVML_SUCCESS)
                *size = (uint32_t) json_string_length(json_object_get(fake_type(type), key));
        return result;
}

PUBLIC NvmlReturn nvmlVgpuTypeGetName(uint32_t type, char *text, uint32_t *size) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return type_text(type, "name", text, size);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetClass(uint32_t type, char *text, uint32_t *size) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return type_text(type, "class", text, size);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetLicense(uint32_t type, char *text, uint32_t size) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return type_text(type, "licence", text, &size);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetFramebufferSize(uint32_t type, uint64_t *bytes) {
        FAKE_CALL(NULL);
        uint32_t mib = 0;
        NvmlReturn result = fake_number(json_object_get(fake_type(type), "framebuffer-mib"), &mib);

        RETURN_FAULT();
        *bytes = (uint64_t) mib * MIB;
        return result;
}

PUBLIC NvmlReturn nvmlVgpuTypeGetNumDisplayHeads(uint32_t type, uint32_t *ret) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return fake_number(json_object_get(fake_type(type), "heads"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetResolution(uint32_t type, uint32_t head, uint32_t *width, uint32_t *height) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        if (head >= (uint32_t) json_integer_value(json_object_get(fake_type(type), "heads")))
                return NVML_ERROR_INVALID_ARGUMENT;
        (void) fake_number(json_object_get(fake_type(type), "width"), width);
        return fake_number(json_object_get(fake_type(type), "height"), height);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetFrameRateLimit(uint32_t type, uint32_t *ret) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return fake_number(json_object_get(fake_type(type), "frame-rate-limit"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetMaxInstances(NvmlDeviceHandle device, uint32_t type, uint32_t *ret) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return fake_number(json_object_get(fake_type(type), "max"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetMaxInstancesPerVm(uint32_t type, uint32_t *ret) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        return fake_number(json_object_get(fake_type(type), "max-per-vm"), ret);
}

PUBLIC NvmlReturn nvmlVgpuTypeGetGpuInstanceProfileId(uint32_t type, uint32_t *ret) {
        FAKE_CALL(NULL);
        RETURN_FAULT();
        if (!fake_type(type))
                return NVML_ERROR_INVALID_ARGUMENT;
        if (fake_number(json_object_get(fake_type(type), "instance-profile"), ret) != NVML_SUCCESS)
                *ret = UINT32_MAX;
        return NVML_SUCCESS;
}

/* What came with release 550. */
#ifndef OLD_RELEASE
PUBLIC NvmlReturn nvmlDeviceGetVgpuHeterogeneousMode(NvmlDeviceHandle device, NvmlMode *mode) {
        FAKE_CALL(device);
        json_t *mixed = fake_get(device, "mixed-sizes");

        RETURN_FAULT();
        if (mode->version != NVML_VERSION(NvmlMode, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        if (!mixed || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        mode->mode = json_is_true(mixed);
        return NVML_SUCCESS;
}

PUBLIC NvmlReturn nvmlDeviceSetVgpuHeterogeneousMode(NvmlDeviceHandle device, const NvmlMode *mode) {
        FAKE_CALL(device);
        RETURN_FAULT();
        if (!fake_get(device, "mixed-sizes") || fake_mig_is_on(device))
                return NVML_ERROR_NOT_SUPPORTED;
        if (fake_count_vgpus(device, UINT32_MAX) > 0)
                return NVML_ERROR_IN_USE;
        json_object_set_new(fake_gpu(device), "mixed-sizes", json_boolean(mode->mode == 1));
        return fake_save(device);
}

static NvmlReturn placements(const json_t *type, const json_t *array, NvmlPlacementList *list) {
        if (list->version != NVML_VERSION(NvmlPlacementList, 1))
                return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
        if (!array)
                return NVML_ERROR_NOT_SUPPORTED;
        (void) fake_number(json_object_get(type, "placement-size"), &list->size);
        return fake_list(array, &list->count, list->ids);
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuTypeSupportedPlacements(NvmlDeviceHandle device, uint32_t type,
                                                           NvmlPlacementList *list) {
        FAKE_CALL(device);
        RETURN_FAULT();
        return placements(fake_type(type), json_object_get(fake_type(type), "placements"), list);
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuTypeCreatablePlacements(NvmlDeviceHandle device, uint32_t type,
                                                           NvmlPlacementList *list) {
        FAKE_CALL(device);
        json_t *array = json_object_get(fake_type(type), "creatable-placements"), *left, *place;
        Neighbours n = neighbours_of(device, 0);
        NvmlReturn result;
        size_t i;

        RETURN_FAULT();
        if (n.count == 0 || !array)
                return placements(fake_type(type), array, list);
        left = json_array();
        json_array_foreach(array, i, place)
                if (is_free(&n, (uint32_t) json_integer_value(place), fake_uint(fake_type(type), "placement-size")))
                        json_array_append(left, place);
        result = placements(fake_type(type), left, list);
        json_decref(left);
        return result;
}

PUBLIC NvmlReturn nvmlDeviceGetVgpuCapabilities(NvmlDeviceHandle device, uint32_t capability, uint32_t *ret) {
        FAKE_CALL(device);
        char key[16];

        RETURN_FAULT();
        (void) snprintf(key, sizeof(key), "%u", capability);
        return fake_number(json_object_get(fake_get(device, "capabilities"), key), ret);
}
#endif
