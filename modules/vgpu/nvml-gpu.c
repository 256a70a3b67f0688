/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-gpu.h"

#include <stdio.h>

#include "lib/parse.h"
#include "nvml-scheduler.h"

#define INSTANCE_PROFILES_MAX 32u /* indexes tried; 18 are known in release 595 */
#define LIST_MAX 256u
#define CAPABILITIES_MAX 13u
#define NO_INSTANCE_PROFILE UINT32_MAX
#define NO_PLACEMENT 0xffffu
#define MIB (1024u * 1024u)

typedef struct Reader {
        const Nvml *nvml;
        NvmlDeviceHandle device;
        json_t *object;
} Reader;

static void set_new(json_t *object, const char *key, json_t *value) {
        (void) json_object_set_new(object, key, value);
}

/* Not every GPU and release has everything: only what should have worked is worth a word. */
static bool check(Reader *r, const char *what, NvmlReturn result) {
        if (result == NVML_SUCCESS)
                return true;
        if (result != NVML_ERROR_NOT_SUPPORTED && result != NVML_ERROR_FUNCTION_NOT_FOUND) {
                json_t *unread = json_object_get(r->object, "unread");

                (void) json_array_append_new(unread, json_pack("{s:s, s:s}", "what", what, "why", nvml_error(result)));
        }
        return false;
}

/* Drivers' texts must not reach the bus as they are. */
static json_t *clean_text(char *text, size_t size) {
        text[size - 1] = '\0';
        return text_is_clean(text, size) ? json_string(text) : json_string("?");
}

static const char *virtualization_word(uint32_t mode) {
        static const char *const words[] = { "none", "passthrough", "guest", "host-vgpu", "host-vsga" };

        return mode < ELEMENTSOF(words) ? words[mode] : "unknown";
}

static void read_identity(Reader *r) {
        char text[NVML_NAME_SIZE];
        uint32_t mode;

        if (check(r, "driver version", r->nvml->nvmlSystemGetDriverVersion(text, sizeof(text))))
                set_new(r->object, "driver", clean_text(text, sizeof(text)));
        if (check(r, "name", nvml_call(r->nvml, nvmlDeviceGetName, r->device, text, sizeof(text))))
                set_new(r->object, "name", clean_text(text, sizeof(text)));
        if (check(r, "UUID", nvml_call(r->nvml, nvmlDeviceGetUUID, r->device, text, sizeof(text))))
                set_new(r->object, "uuid", clean_text(text, sizeof(text)));
        if (check(r, "virtualization mode", nvml_call(r->nvml, nvmlDeviceGetVirtualizationMode, r->device, &mode)))
                set_new(r->object, "virtualization", json_string(virtualization_word(mode)));
        if (check(r, "vGPU mode", nvml_call(r->nvml, nvmlDeviceGetHostVgpuMode, r->device, &mode)))
                set_new(r->object, "host-vgpu", json_string(mode == 1 ? "sriov" : "no-sriov"));
}

static void read_modes(Reader *r) {
        NvmlMode mixed = { .version = NVML_VERSION(NvmlMode, 1) };
        json_t *capabilities = json_object();
        uint32_t current, pending, value;

        if (check(r, "MIG mode", nvml_call(r->nvml, nvmlDeviceGetMigMode, r->device, &current, &pending)))
                set_new(r->object, "mig", json_pack("{s:b, s:b}", "current", current == 1, "pending", pending == 1));
        if (check(r, "mixed sizes", nvml_call(r->nvml, nvmlDeviceGetVgpuHeterogeneousMode, r->device, &mixed)))
                set_new(r->object, "mixed-sizes", json_boolean(mixed.mode == 1));
        for (uint32_t i = 0; i < CAPABILITIES_MAX; i++)
                if (nvml_call(r->nvml, nvmlDeviceGetVgpuCapabilities, r->device, i, &value) == NVML_SUCCESS) {
                        char key[16];

                        (void) snprintf(key, sizeof(key), "%u", i);
                        set_new(capabilities, key, json_integer(value));
                }
        set_new(r->object, "capabilities", capabilities);
}

/* ---- MIG ---- */

static json_t *read_placements(Reader *r, uint32_t profile) {
        NvmlPlacement placements[LIST_MAX];
        uint32_t n = LIST_MAX;
        json_t *array = json_array();

        if (!check(r, "placements of an instance profile",
                   nvml_call(r->nvml, nvmlDeviceGetGpuInstancePossiblePlacements_v2, r->device, profile, placements, &n)))
                return array;
        for (uint32_t i = 0; i < MIN_OF(n, LIST_MAX); i++)
                (void) json_array_append_new(array, json_pack("{s:I, s:I}", "start", (json_int_t) placements[i].start, "size",
                                                              (json_int_t) placements[i].size));
        return array;
}

static void read_instance_profiles(Reader *r) {
        json_t *array = json_array();

        for (uint32_t i = 0; i < INSTANCE_PROFILES_MAX; i++) {
                NvmlInstanceProfile info = { .version = NVML_VERSION(NvmlInstanceProfile, 2) };

                /* An index that the GPU does not have is an invalid argument or not supported. */
                if (nvml_call(r->nvml, nvmlDeviceGetGpuInstanceProfileInfoV, r->device, i, &info) != NVML_SUCCESS)
                        continue;
                (void) json_array_append_new(
                        array, json_pack("{s:I, s:o, s:I, s:I, s:I, s:o}", "id", (json_int_t) info.id, "name",
                                         clean_text(info.name, sizeof(info.name)), "compute",
                                         (json_int_t) info.compute_slices, "count", (json_int_t) info.count, "memory-mib",
                                         (json_int_t) info.memory_mib, "placements", read_placements(r, info.id)));
        }
        set_new(r->object, "instance-profiles", array);
}

static json_t *read_instance(Reader *r, NvmlGpuInstanceHandle instance, const NvmlInstanceInfo *info) {
        json_t *object = json_pack("{s:I, s:I, s:I, s:I}", "id", (json_int_t) info->id, "profile", (json_int_t) info->profile,
                                   "start", (json_int_t) info->placement.start, "size", (json_int_t) info->placement.size);
        char text[VGPU_SCHEDULER_TEXT_SIZE];
        VgpuScheduler now;

        /* Only where an instance is time-sliced, from Blackwell on. */
        if (nvml_get_scheduler(r->nvml, r->device, instance, &now) == NVML_SUCCESS && now.policy != VGPU_POLICY_DEFAULT) {
                vgpu_scheduler_to_text(&now, text);
                set_new(object, "scheduler-now", json_string(text));
        }
        return object;
}

static void read_instances(Reader *r) {
        json_t *profiles = json_object_get(r->object, "instance-profiles"), *profile, *array = json_array();
        size_t index;

        json_array_foreach(profiles, index, profile) {
                uint32_t id = (uint32_t) json_integer_value(json_object_get(profile, "id")), n = LIST_MAX;
                NvmlGpuInstanceHandle instances[LIST_MAX];

                if (nvml_call(r->nvml, nvmlDeviceGetGpuInstances, r->device, id, instances, &n) != NVML_SUCCESS)
                        continue; /* MIG is off */
                for (uint32_t i = 0; i < MIN_OF(n, LIST_MAX); i++) {
                        NvmlInstanceInfo info = { 0 };

                        if (check(r, "a GPU instance", nvml_call(r->nvml, nvmlGpuInstanceGetInfo, instances[i], &info)))
                                (void) json_array_append_new(array, read_instance(r, instances[i], &info));
                }
        }
        set_new(r->object, "instances", array);
}

/* ---- vGPU types ---- */

static void read_type_texts(Reader *r, uint32_t type, json_t *object) {
        char text[NVML_LICENCE_SIZE];
        uint32_t size = NVML_TYPE_NAME_SIZE;

        if (check(r, "name of a type", nvml_call(r->nvml, nvmlVgpuTypeGetName, type, text, &size)))
                set_new(object, "name", clean_text(text, NVML_TYPE_NAME_SIZE));
        size = NVML_TYPE_NAME_SIZE;
        if (check(r, "class of a type", nvml_call(r->nvml, nvmlVgpuTypeGetClass, type, text, &size)))
                set_new(object, "class", clean_text(text, NVML_TYPE_NAME_SIZE));
        if (check(r, "licence of a type", nvml_call(r->nvml, nvmlVgpuTypeGetLicense, type, text, sizeof(text))))
                set_new(object, "licence", clean_text(text, sizeof(text)));
}

static void read_type_numbers(Reader *r, uint32_t type, json_t *object) {
        uint32_t value, height;
        uint64_t bytes;

        if (check(r, "framebuffer of a type", nvml_call(r->nvml, nvmlVgpuTypeGetFramebufferSize, type, &bytes)))
                set_new(object, "framebuffer-mib", json_integer((json_int_t) (bytes / MIB)));
        if (check(r, "heads of a type", nvml_call(r->nvml, nvmlVgpuTypeGetNumDisplayHeads, type, &value)))
                set_new(object, "heads", json_integer(value));
        if (nvml_call(r->nvml, nvmlVgpuTypeGetResolution, type, 0, &value, &height) == NVML_SUCCESS) {
                set_new(object, "width", json_integer(value));
                set_new(object, "height", json_integer(height));
        }
        if (nvml_call(r->nvml, nvmlVgpuTypeGetFrameRateLimit, type, &value) == NVML_SUCCESS)
                set_new(object, "frame-rate-limit", json_integer(value));
        if (check(r, "maximum of a type", nvml_call(r->nvml, nvmlVgpuTypeGetMaxInstances, r->device, type, &value)))
                set_new(object, "max", json_integer(value));
        if (nvml_call(r->nvml, nvmlVgpuTypeGetMaxInstancesPerVm, type, &value) == NVML_SUCCESS)
                set_new(object, "max-per-vm", json_integer(value));
        if (nvml_call(r->nvml, nvmlVgpuTypeGetGpuInstanceProfileId, type, &value) == NVML_SUCCESS &&
            value != NO_INSTANCE_PROFILE)
                set_new(object, "instance-profile", json_integer(value));
}

static json_t *id_list(const NvmlPlacementList *list) {
        json_t *array = json_array();

        for (uint32_t i = 0; i < MIN_OF(list->count, LIST_MAX); i++)
                (void) json_array_append_new(array, json_integer(list->ids[i]));
        return array;
}

static void read_type_placements(Reader *r, uint32_t type, json_t *object) {
        uint32_t ids[LIST_MAX];
        NvmlPlacementList list = { NVML_VERSION(NvmlPlacementList, 1), 0, LIST_MAX, ids };

        if (nvml_call(r->nvml, nvmlDeviceGetVgpuTypeSupportedPlacements, r->device, type, &list) == NVML_SUCCESS) {
                set_new(object, "placement-size", json_integer(list.size));
                set_new(object, "placements", id_list(&list));
        }
        list = (NvmlPlacementList){ NVML_VERSION(NvmlPlacementList, 1), 0, LIST_MAX, ids };
        if (nvml_call(r->nvml, nvmlDeviceGetVgpuTypeCreatablePlacements, r->device, type, &list) == NVML_SUCCESS)
                set_new(object, "creatable-placements", id_list(&list));
}

static void read_types(Reader *r) {
        uint32_t types[LIST_MAX], creatable[LIST_MAX], n = LIST_MAX, n_creatable = LIST_MAX;
        json_t *array = json_array();

        if (!check(r, "vGPU types", nvml_call(r->nvml, nvmlDeviceGetSupportedVgpus, r->device, &n, types)))
                n = 0;
        if (!check(r, "creatable vGPU types",
                   nvml_call(r->nvml, nvmlDeviceGetCreatableVgpus, r->device, &n_creatable, creatable)))
                n_creatable = 0;
        for (uint32_t i = 0; i < MIN_OF(n, LIST_MAX); i++) {
                json_t *object = json_pack("{s:I}", "id", (json_int_t) types[i]);
                bool found = false;

                for (uint32_t k = 0; k < MIN_OF(n_creatable, LIST_MAX); k++)
                        found |= creatable[k] == types[i];
                set_new(object, "creatable", json_boolean(found));
                read_type_texts(r, types[i], object);
                read_type_numbers(r, types[i], object);
                read_type_placements(r, types[i], object);
                (void) json_array_append_new(array, object);
        }
        set_new(r->object, "types", array);
}

/* ---- what is in use now ---- */

static json_t *read_vgpu(Reader *r, uint32_t vgpu) {
        NvmlPlacementId placement = { .version = NVML_VERSION(NvmlPlacementId, 1) };
        json_t *object = json_pack("{s:I}", "id", (json_int_t) vgpu);
        uint32_t value, kind;
        char text[NVML_NAME_SIZE];

        if (check(r, "type of a vGPU", nvml_call(r->nvml, nvmlVgpuInstanceGetType, vgpu, &value)))
                set_new(object, "type", json_integer(value));
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetGpuInstanceId, vgpu, &value) == NVML_SUCCESS && value != NO_INSTANCE_PROFILE)
                set_new(object, "instance", json_integer(value));
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetPlacementId, vgpu, &placement) == NVML_SUCCESS &&
            placement.id != NO_PLACEMENT)
                set_new(object, "placement", json_integer(placement.id));
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetVmID, vgpu, text, sizeof(text), &kind) == NVML_SUCCESS)
                set_new(object, "vm", clean_text(text, sizeof(text)));
        return object;
}

json_t *nvml_read_active(const Nvml *nvml, NvmlDeviceHandle device, json_t *unread) {
        Reader reader = { .nvml = nvml, .device = device, .object = json_pack("{s:O?}", "unread", unread) };
        uint32_t vgpus[LIST_MAX], n = LIST_MAX;
        json_t *array = json_array();

        if (check(&reader, "active vGPUs", nvml_call(nvml, nvmlDeviceGetActiveVgpus, device, &n, vgpus)))
                for (uint32_t i = 0; i < MIN_OF(n, LIST_MAX); i++)
                        (void) json_array_append_new(array, read_vgpu(&reader, vgpus[i]));
        json_decref(reader.object);
        return array;
}

static void read_active(Reader *r) {
        json_t *active = nvml_read_active(r->nvml, r->device, json_object_get(r->object, "unread"));

        if (json_array_size(active) > 0)
                set_new(r->object, "active", active);
        else
                json_decref(active);
}

static void read_scheduler(Reader *r) {
        NvmlSchedulerCapabilities c = { 0 };
        char text[VGPU_SCHEDULER_TEXT_SIZE];
        VgpuScheduler now;

        if (nvml_get_scheduler(r->nvml, r->device, NULL, &now) == NVML_SUCCESS && now.policy != VGPU_POLICY_DEFAULT) {
                vgpu_scheduler_to_text(&now, text);
                set_new(r->object, "scheduler-now", json_string(text));
        }
        if (!check(r, "scheduler", nvml_call(r->nvml, nvmlDeviceGetVgpuSchedulerCapabilities, r->device, &c)))
                return;
        set_new(r->object, "scheduler",
                json_pack("{s:[I,I,I], s:b, s:[I,I], s:[I,I], s:[I,I]}", "policies", (json_int_t) c.supported[0],
                          (json_int_t) c.supported[1], (json_int_t) c.supported[2], "arr", c.arr_supported == 1, "frequency",
                          (json_int_t) c.min_frequency, (json_int_t) c.max_frequency, "average",
                          (json_int_t) c.min_average, (json_int_t) c.max_average, "timeslice",
                          (json_int_t) c.min_timeslice, (json_int_t) c.max_timeslice));
}

int nvml_read_gpu(const Nvml *nvml, const char *address, json_t **ret, char **ret_why) {
        Reader reader = { .nvml = nvml };
        int r = nvml_find_gpu(nvml, address, &reader.device, ret_why);

        if (r < 0)
                return r;
        reader.object = json_pack("{s:i, s:[]}", "version", NVML_GPU_VERSION, "unread");
        if (!reader.object)
                return -ENOMEM;
        read_identity(&reader);
        read_modes(&reader);
        read_instance_profiles(&reader);
        read_instances(&reader);
        read_types(&reader);
        read_active(&reader);
        read_scheduler(&reader);
        *ret = reader.object;
        return 0;
}
