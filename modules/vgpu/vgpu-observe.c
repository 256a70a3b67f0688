/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What drivers say of their types, and NVIDIA's library of a GPU. Both may wait on the GPU: in the worker only. */

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "nvml-gpu.h"
#include "vgpu-device.h"
#include "vgpu.h"

#define FILE_SIZE 8192

typedef struct TypeList {
        char ids[VGPU_TYPES_MAX][VGPU_TYPE_ID_SIZE];
        size_t n;
} TypeList;

static void take_type(void *userdata, const char *entry) {
        TypeList *list = userdata;

        if (list->n < VGPU_TYPES_MAX && strlen(entry) < VGPU_TYPE_ID_SIZE && text_is_clean(entry, VGPU_TYPE_ID_SIZE))
                strcpy(list->ids[list->n++], entry);
}

static int compare_ids(const void *a, const void *b) {
        return strverscmp(a, b);
}

static json_t *type_to_json(const VgpuType *type, const char *api, uint32_t available) {
        return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", type->id, "name", type->name, "api", api,
                         "available", (json_int_t) available, "heads", (json_int_t) type->heads, "frame-rate-limit",
                         (json_int_t) type->frame_rate_limit, "framebuffer", (json_int_t) type->framebuffer, "width",
                         (json_int_t) type->width, "height", (json_int_t) type->height, "max",
                         (json_int_t) type->max_instances);
}

/* Clean text of an attribute, "" when it can't be had. */
static void read_text(PtContext *ctx, const PtDevice *device, const char *type, const char *name, char *ret, size_t size) {
        char path[PCI_ATTRIBUTE_SIZE];

        (void) snprintf(path, sizeof(path), VGPU_TYPES_DIRECTORY "/%s/%s", type, name);
        if (ctx->services->read_attribute(ctx, device, path, ret, size) < 0 || !utf8_is_valid(ret))
                ret[0] = '\0';
}

static void take_instance(void *userdata, const char *entry) {
        (void) json_array_append_new(userdata, json_string(entry));
}

static int read_mdev_types(PtContext *ctx, const PtDevice *device, json_t *types, json_t *instances) {
        _cleanup_free_ TypeList *list = calloc(1, sizeof(*list));
        char text[FILE_SIZE], path[PCI_ATTRIBUTE_SIZE];

        if (!list)
                return -ENOMEM;
        (void) ctx->services->list(ctx, device, VGPU_TYPES_DIRECTORY, take_type, list);
        qsort(list->ids, list->n, sizeof(list->ids[0]), compare_ids);
        for (size_t i = 0; i < list->n; i++) {
                (void) snprintf(path, sizeof(path), VGPU_TYPES_DIRECTORY "/%s/devices", list->ids[i]);
                (void) ctx->services->list(ctx, device, path, take_instance, instances);
        }
        for (size_t i = 0; i < list->n; i++) {
                VgpuType type = { 0 };
                uint32_t available = 0;
                char api[64];

                strcpy(type.id, list->ids[i]);
                read_text(ctx, device, type.id, "name", text, sizeof(text));
                if (strlen(text) < sizeof(type.name) && text_is_clean(text, sizeof(type.name)))
                        strcpy(type.name, text);
                read_text(ctx, device, type.id, "description", text, sizeof(text));
                vgpu_parse_description(text, &type);
                read_text(ctx, device, type.id, "device_api", api, sizeof(api));
                read_text(ctx, device, type.id, "available_instances", text, sizeof(text));
                if (parse_uint32(text, &available) < 0)
                        available = 0;
                if (type.max_instances == 0 && json_array_size(instances) == 0)
                        type.max_instances = available;
                if (json_array_append_new(types, type_to_json(&type, api, available)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int read_vfio_types(PtContext *ctx, const PtDevice *device, json_t *report, json_t *types) {
        _cleanup_free_ VgpuType *found = calloc(VGPU_TYPES_MAX, sizeof(*found));
        char text[FILE_SIZE];
        uint32_t current = 0;
        unsigned odd = 0;
        size_t n = 0;

        if (!found)
                return -ENOMEM;
        if (ctx->services->read_attribute(ctx, device, "nvidia/creatable_vgpu_types", text, sizeof(text)) >= 0)
                n = vgpu_parse_creatable(text, found, VGPU_TYPES_MAX, &odd);
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(types, type_to_json(&found[i], "vfio-pci", 1)) < 0)
                        return -ENOMEM;
        if (odd > 0)
                ctx->services->log(ctx, 4, "lines of creatable_vgpu_types that are no types are passed over");
        if (ctx->services->read_attribute(ctx, device, "nvidia/current_vgpu_type", text, sizeof(text)) >= 0 &&
            vgpu_parse_current(text, &current) >= 0 && current > 0)
                return json_object_set_new(report, "current", json_integer(current)) < 0 ? -ENOMEM : 0;
        return 0;
}

/* Another library for tests; the worker is started with the service's own environment. */
static int read_library(const PtDevice *device, json_t *report) {
        _cleanup_free_ char *why = NULL;
        _cleanup_nvml_ Nvml nvml = { 0 };
        json_t *gpu = NULL;
        int r;

        r = nvml_open(secure_getenv("PASSTHROUGHD_NVML"), &nvml, &why);
        if (r >= 0)
                r = nvml_read_gpu(&nvml, device->sysname, &gpu, &why);
        if (r >= 0)
                return json_object_set_new(report, "gpu", gpu) < 0 ? -ENOMEM : 0;
        return json_object_set_new(report, "library", json_string(why && utf8_is_valid(why) ? why : "unknown")) < 0 ? -ENOMEM : 0;
}

static int fill(PtContext *ctx, const PtDevice *device, json_t *report, json_t *types, json_t *instances) {
        char physfn[PCI_ADDRESS_SIZE];
        int r = 0;

        switch (vgpu_back_end(ctx, device)) {
        case VGPU_BACK_END_MDEV:
                r = read_mdev_types(ctx, device, types, instances);
                break;
        case VGPU_BACK_END_VFIO:
                r = read_vfio_types(ctx, device, report, types);
                break;
        case VGPU_BACK_END_NONE:
        case _VGPU_BACK_END_MAX:
        case _VGPU_BACK_END_INVALID:
        default:
                break;
        }
        if (r >= 0 && vgpu_is_nvidia(ctx, device) && pci_read_physfn(ctx, device, physfn) < 0 &&
            streq_null(device->driver, "nvidia"))
                r = read_library(device, report);
        return r;
}

int vgpu_observe(PtContext *ctx, const PtDevice *device) {
        json_t *types = json_array(), *instances = json_array();
        json_t *report = json_pack("{s:i, s:o, s:o}", "version", VGPU_REPORT_VERSION, "types", types, "instances", instances);
        _cleanup_free_ char *text = NULL;
        int r;

        if (!report)
                return -ENOMEM;
        r = fill(ctx, device, report, types, instances);
        if (r >= 0)
                text = json_dumps(report, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(report);
        if (r >= 0 && !text)
                r = -ENOMEM;
        return r < 0 ? r : ctx->services->put_blob(ctx, text);
}
