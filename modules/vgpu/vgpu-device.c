/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-device.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "vgpu.h"
#include "vgpu-name.h"

static uint32_t number(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);
        json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;

        return n < 0 || n > UINT32_MAX ? 0 : (uint32_t) n;
}

static bool copy(char *to, size_t size, const char *text) {
        if (!text || strlen(text) >= size || !text_is_clean(text, size))
                return false;
        memcpy(to, text, strlen(text) + 1);
        return true;
}

static bool read_type(const json_t *json, VgpuDeviceType *ret) {
        VgpuDeviceType found = { 0 };
        VgpuType *type = &found.type;
        const struct {
                const char *key;
                uint32_t *value;
        } numbers[] = {
                { "available", &found.available },    { "heads", &type->heads },
                { "frame-rate-limit", &type->frame_rate_limit }, { "framebuffer", &type->framebuffer },
                { "width", &type->width },            { "height", &type->height },
                { "max", &type->max_instances },
        };

        if (!copy(type->id, sizeof(type->id), json_string_value(json_object_get(json, "id"))) || isempty(type->id) ||
            strchr(type->id, '/'))
                return false;
        (void) copy(type->name, sizeof(type->name), json_string_value(json_object_get(json, "name")));
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                *numbers[i].value = number(json, numbers[i].key);
        *ret = found;
        return true;
}

/* ---- mediated devices that exist now ---- */

typedef struct InstanceCount {
        const json_t *known; /* array of UUIDs, NULL: any will do */
        size_t n, n_unknown;
} InstanceCount;

static void count_instance(void *userdata, const char *entry) {
        InstanceCount *count = userdata;
        const json_t *value;
        size_t i;

        count->n++;
        json_array_foreach(count->known, i, value)
                if (streq_null(json_string_value(value), entry))
                        return;
        count->n_unknown++;
}

static void count_of_type(PtContext *ctx, const PtDevice *device, const char *type, InstanceCount *count) {
        char path[PCI_ATTRIBUTE_SIZE];

        if ((size_t) snprintf(path, sizeof(path), VGPU_TYPES_DIRECTORY "/%s/devices", type) < sizeof(path))
                (void) ctx->services->list(ctx, device, path, count_instance, count);
}

size_t vgpu_count_instances(PtContext *ctx, const PtDevice *device, const char *type) {
        InstanceCount count = { 0 };

        count_of_type(ctx, device, type, &count);
        return count.n;
}

static bool is_outdated(PtContext *ctx, const PtDevice *device, const VgpuDevice *found) {
        InstanceCount count = { .known = json_object_get(found->json, "instances") };

        for (size_t i = 0; i < found->n_types; i++)
                count_of_type(ctx, device, found->types[i].type.id, &count);
        return count.n_unknown > 0 || count.n != found->n_instances;
}

/* ---- the report ---- */

int vgpu_device_load(PtContext *ctx, const PtDevice *device, VgpuDevice **ret) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        const char *text = ctx->services->get_blob(ctx, device);
        const json_t *types, *type;
        size_t i;

        if (!text)
                return -ENODATA;
        found = calloc(1, sizeof(*found));
        if (!found)
                return -ENOMEM;
        found->json = json_loads(text, 0, NULL);
        if (!found->json || number(found->json, "version") != VGPU_REPORT_VERSION)
                return -ENODATA;
        types = json_object_get(found->json, "types");
        json_array_foreach(types, i, type)
                if (found->n_types < VGPU_TYPES_MAX && read_type(type, &found->types[found->n_types]))
                        found->n_types++;
        found->n_instances = json_array_size(json_object_get(found->json, "instances"));
        found->current = number(found->json, "current");
        found->outdated = is_outdated(ctx, device, found);
        *ret = TAKE_PTR(found);
        return 0;
}

VgpuDevice *vgpu_device_free(VgpuDevice *device) {
        if (!device)
                return NULL;
        json_decref(device->json);
        free(device);
        return NULL;
}

const char *vgpu_type_title(const VgpuType *type) {
        return isempty(type->name) ? type->id : type->name;
}

/* The numbers of NVIDIA's types mean something else with another driver; the folders of others' are their names. */
static bool is_number(const char *id) {
        return id[strspn(id, "0123456789")] == '\0' || startswith(id, "nvidia-");
}

const VgpuDeviceType *vgpu_device_find(const VgpuDevice *device, const char *profile) {
        const char *plain = vgpu_name_strip(profile);

        /* Names first: they mean the same with every driver. */
        for (size_t i = 0; i < device->n_types; i++)
                if (!isempty(device->types[i].type.name) && streq(vgpu_name_strip(device->types[i].type.name), plain))
                        return &device->types[i];
        for (size_t i = 0; i < device->n_types; i++)
                if (!is_number(profile) && streq(device->types[i].type.id, profile))
                        return &device->types[i];
        return NULL;
}

uint32_t vgpu_device_slots(const VgpuDevice *device) {
        uint32_t most = 0, stated = 0;

        for (size_t i = 0; i < device->n_types; i++) {
                most = MAX_OF(most, device->types[i].available);
                stated = MAX_OF(stated, device->types[i].type.max_instances);
        }
        return MIN_OF(MAX_OF(most + (uint32_t) device->n_instances, stated), VGPU_INSTANCES_MAX);
}

void vgpu_device_titles(const VgpuDevice *device, char *ret, size_t size) {
        size_t n = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < device->n_types && n < size; i++) {
                int w = snprintf(ret + n, size - n, "%s%s", i > 0 ? ", " : "", vgpu_type_title(&device->types[i].type));

                n += w > 0 ? (size_t) w : 0;
        }
        if (n >= size && size > 4)
                memcpy(ret + size - 4, "…", sizeof("…"));
}
