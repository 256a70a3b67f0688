/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-use.h"

#include <stdio.h>

#include "lib/parse.h"

#define INSTANCES_MAX 256u
#define SAMPLES_MAX 4096u /* the driver keeps some for each vGPU */
#define MIB (1024u * 1024u)
#define TEMPERATURE_OF_GPU 0u
#define TEXT_SIZE 96
#define NO_PLACEMENT 0xffffu
#define NO_GPU_INSTANCE UINT32_MAX

/* By NvmlLicence.state. */
static const char *const licences[] = {
        "unknown", "uninitialised", "unlicensed-unrestricted", "unlicensed-restricted", "unlicensed", "licensed",
};

typedef struct Reader {
        const Nvml *nvml;
        NvmlDeviceHandle device;
        json_t *object, *unavailable;
} Reader;

static void set_number(json_t *object, const char *key, json_int_t value) {
        (void) json_object_set_new(object, key, json_integer(value));
}

/* Drivers' texts, and those of guests, must not reach the bus as they are. */
static void set_text(json_t *object, const char *key, char *text, size_t size) {
        text[size - 1] = '\0';
        if (!isempty(text) && text_is_clean(text, size))
                (void) json_object_set_new(object, key, json_string(text));
}

static bool mig_is_on(const Reader *r) {
        uint32_t current = 0, pending;

        return nvml_call(r->nvml, nvmlDeviceGetMigMode, r->device, &current, &pending) == NVML_SUCCESS && current == 1;
}

/* False, and says why, where the driver has no such number. */
static bool check(Reader *r, const char *name, NvmlReturn result) {
        const char *why = result == NVML_ERROR_NOT_SUPPORTED && mig_is_on(r) ? "not measured while the GPU is divided by MIG"
                                                                              : nvml_error(result);

        if (result == NVML_SUCCESS)
                return true;
        (void) json_object_set_new(r->unavailable, name, json_string(why));
        return false;
}

/* ---- the GPU ---- */

static void read_gpu(Reader *r) {
        NvmlMemory memory = { .version = NVML_VERSION(NvmlMemory, 2) };
        char text[TEXT_SIZE];
        NvmlUtilization use;
        uint32_t value, period;
        NvmlReturn result;

        result = nvml_call(r->nvml, nvmlDeviceGetUtilizationRates, r->device, &use);
        if (check(r, "gpu", result) && check(r, "memory", result)) {
                set_number(r->object, "gpu", use.gpu);
                set_number(r->object, "memory", use.memory);
        } else
                (void) check(r, "memory", result);
        if (check(r, "encoder", nvml_call(r->nvml, nvmlDeviceGetEncoderUtilization, r->device, &value, &period)))
                set_number(r->object, "encoder", value);
        if (check(r, "decoder", nvml_call(r->nvml, nvmlDeviceGetDecoderUtilization, r->device, &value, &period)))
                set_number(r->object, "decoder", value);
        if (check(r, "framebuffer", nvml_call(r->nvml, nvmlDeviceGetMemoryInfo_v2, r->device, &memory))) {
                set_number(r->object, "framebuffer-used", (json_int_t) (memory.used / MIB));
                set_number(r->object, "framebuffer-total", (json_int_t) (memory.total / MIB));
        }
        if (check(r, "temperature", nvml_call(r->nvml, nvmlDeviceGetTemperature, r->device, TEMPERATURE_OF_GPU, &value)))
                set_number(r->object, "temperature", (int32_t) value);
        if (check(r, "power", nvml_call(r->nvml, nvmlDeviceGetPowerUsage, r->device, &value)))
                set_number(r->object, "power", value);
        if (r->nvml->nvmlSystemGetDriverVersion(text, sizeof(text)) == NVML_SUCCESS)
                set_text(r->object, "host-driver", text, sizeof(text));
}

/* ---- its vGPUs ---- */

/* Percent; -1 for what is none. */
static json_int_t percent(uint32_t type, const NvmlValue *value) {
        double d = 0;

        switch ((NvmlValueType) type) {
        case NVML_VALUE_DOUBLE:
                d = value->d;
                break;
        case NVML_VALUE_UINT:
                d = value->u;
                break;
        case NVML_VALUE_ULONG:
        case NVML_VALUE_ULONG_LONG:
                d = (double) value->t;
                break;
        case NVML_VALUE_LONG_LONG:
                d = (double) value->x;
                break;
        case NVML_VALUE_INT:
                d = value->i;
                break;
        case NVML_VALUE_USHORT:
                d = value->q;
                break;
        default:
                return -1;
        }
        return d >= 0 && d <= 100 ? (json_int_t) (d + 0.5) : -1;
}

static void set_percents(json_t *entry, uint32_t type, const NvmlValue *const values[static 4]) {
        static const char *const names[] = { "gpu", "memory", "encoder", "decoder" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                json_int_t number = percent(type, values[i]);

                if (number >= 0)
                        set_number(entry, names[i], number);
        }
}

static json_t *entry_of(json_t *entries, const uint32_t *ids, uint32_t id) {
        for (size_t i = 0; i < json_array_size(entries); i++)
                if (ids[i] == id)
                        return json_array_get(entries, i);
        return NULL;
}

/* Since release 550: one value for each. */
static NvmlReturn read_utilisation_new(Reader *r, json_t *entries, const uint32_t *ids) {
        NvmlVgpuUse items[INSTANCES_MAX];
        NvmlVgpuUseList list = { .version = NVML_VERSION(NvmlVgpuUseList, 1), .count = INSTANCES_MAX, .items = items };
        NvmlReturn result = nvml_call(r->nvml, nvmlDeviceGetVgpuInstancesUtilizationInfo, r->device, &list);

        for (uint32_t i = 0; result == NVML_SUCCESS && i < MIN_OF(list.count, INSTANCES_MAX); i++)
                set_percents(entry_of(entries, ids, items[i].instance), list.type,
                             (const NvmlValue *const[]){ &items[i].gpu, &items[i].memory, &items[i].encoder, &items[i].decoder });
        return result;
}

/* Before: all samples that the driver has; the latest of each counts. */
static NvmlReturn read_utilisation_old(Reader *r, json_t *entries, const uint32_t *ids) {
        _cleanup_free_ NvmlVgpuSample *samples = calloc(SAMPLES_MAX, sizeof(*samples));
        uint64_t latest[INSTANCES_MAX] = { 0 };
        uint32_t type = 0, n = SAMPLES_MAX;
        NvmlReturn result;

        if (!samples)
                return NVML_ERROR_MEMORY;
        result = nvml_call(r->nvml, nvmlDeviceGetVgpuUtilization, r->device, UINT64_C(0), &type, &n, samples);
        for (uint32_t i = 0; result == NVML_SUCCESS && i < MIN_OF(n, SAMPLES_MAX); i++)
                for (size_t k = 0; k < json_array_size(entries); k++) {
                        if (ids[k] != samples[i].instance || samples[i].time < latest[k])
                                continue;
                        latest[k] = samples[i].time;
                        set_percents(json_array_get(entries, k), type,
                                     (const NvmlValue *const[]){ &samples[i].gpu, &samples[i].memory, &samples[i].encoder,
                                                                 &samples[i].decoder });
                }
        return result;
}

static void read_utilisation(Reader *r, json_t *entries, const uint32_t *ids) {
        NvmlReturn result = read_utilisation_new(r, entries, ids);

        if (result == NVML_ERROR_FUNCTION_NOT_FOUND || result == NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
                result = read_utilisation_old(r, entries, ids);
        /* Nothing was sampled yet. */
        if (result != NVML_ERROR_NOT_FOUND)
                (void) check(r, "vgpu-utilisation", result);
}

static void read_licence(const Reader *r, uint32_t id, json_t *entry) {
        NvmlLicence licence = { 0 };
        const NvmlLicenceExpiry *expiry = &licence.expiry;
        char text[40];

        if (nvml_call(r->nvml, nvmlVgpuInstanceGetLicenseInfo_v2, id, &licence) != NVML_SUCCESS)
                return;
        (void) json_object_set_new(entry, "licence",
                                   json_string(licence.state < ELEMENTSOF(licences) ? licences[licence.state] : licences[0]));
        if (expiry->status == NVML_LICENCE_EXPIRY_PERMANENT)
                (void) json_object_set_new(entry, "licence-expires", json_string("never"));
        if (expiry->status != NVML_LICENCE_EXPIRY_VALID || expiry->year > 9999)
                return;
        (void) snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ", expiry->year, expiry->month, expiry->day,
                        expiry->hour, expiry->minute, expiry->second);
        (void) json_object_set_new(entry, "licence-expires", json_string(text));
}

static void read_type(const Reader *r, uint32_t id, json_t *entry) {
        char text[NVML_TYPE_NAME_SIZE];
        uint32_t type, size = sizeof(text);
        uint64_t bytes;

        if (nvml_call(r->nvml, nvmlVgpuInstanceGetType, id, &type) != NVML_SUCCESS)
                return;
        set_number(entry, "type", type);
        if (nvml_call(r->nvml, nvmlVgpuTypeGetName, type, text, &size) == NVML_SUCCESS)
                set_text(entry, "profile", text, sizeof(text));
        if (nvml_call(r->nvml, nvmlVgpuTypeGetFramebufferSize, type, &bytes) == NVML_SUCCESS)
                set_number(entry, "framebuffer-total", (json_int_t) (bytes / MIB));
}

static void read_place(const Reader *r, uint32_t id, json_t *entry) {
        NvmlPlacementId placement = { .version = NVML_VERSION(NvmlPlacementId, 1) };
        char text[TEXT_SIZE];
        uint32_t value;

        if (nvml_call(r->nvml, nvmlVgpuInstanceGetMdevUUID, id, text, sizeof(text)) == NVML_SUCCESS)
                set_text(entry, "mdev", text, sizeof(text));
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetVmID, id, text, sizeof(text), &value) == NVML_SUCCESS)
                set_text(entry, "vm", text, sizeof(text));
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetGpuInstanceId, id, &value) == NVML_SUCCESS && value != NO_GPU_INSTANCE)
                set_number(entry, "gpu-instance", value);
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetPlacementId, id, &placement) == NVML_SUCCESS && placement.id != NO_PLACEMENT)
                set_number(entry, "placement", placement.id);
}

/* What it is as long as no driver runs in the guest. */
static bool is_no_version(const char *text) {
        return isempty(text) || text[strspn(text, "0123456789.")] != '\0';
}

static json_t *read_instance(const Reader *r, uint32_t id) {
        json_t *entry = json_object();
        char text[TEXT_SIZE];
        uint64_t bytes;

        read_type(r, id, entry);
        read_place(r, id, entry);
        read_licence(r, id, entry);
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetFbUsage, id, &bytes) == NVML_SUCCESS)
                set_number(entry, "framebuffer-used", (json_int_t) (bytes / MIB));
        if (nvml_call(r->nvml, nvmlVgpuInstanceGetVmDriverVersion, id, text, sizeof(text)) == NVML_SUCCESS &&
            !is_no_version(text))
                set_text(entry, "guest-driver", text, sizeof(text));
        return entry;
}

static void read_instances(Reader *r) {
        uint32_t ids[INSTANCES_MAX], n = INSTANCES_MAX;
        json_t *entries = json_array();

        if (check(r, "vgpus", nvml_call(r->nvml, nvmlDeviceGetActiveVgpus, r->device, &n, ids))) {
                for (uint32_t i = 0; i < MIN_OF(n, INSTANCES_MAX); i++)
                        (void) json_array_append_new(entries, read_instance(r, ids[i]));
                set_number(r->object, "vgpus", n);
                if (n > 0)
                        read_utilisation(r, entries, ids);
        }
        (void) json_object_set_new(r->object, NVML_USE_INSTANCES, entries);
}

int nvml_read_use(const Nvml *nvml, const char *address, json_t **ret, char **ret_why) {
        Reader reader = { .nvml = nvml };
        int r = nvml_find_gpu(nvml, address, &reader.device, ret_why);

        if (r < 0)
                return r;
        reader.unavailable = json_object();
        reader.object = json_pack("{s:o}", "unavailable", reader.unavailable);
        if (!reader.object)
                return -ENOMEM;
        read_gpu(&reader);
        read_instances(&reader);
        *ret = reader.object;
        return 0;
}
