/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-inventory.h"

#include <assert.h>
#include <stdio.h>

#include "daemon/json-util.h"
#include "lib/schema.h"

#define MATCHABLE PT_FIELD_MATCHABLE

static const PtField fields[] = {
        [FIELD_SLOT] = { "slot", NULL, "Where it is.", PT_STRING, PT_FIELD_CONSTANT | MATCHABLE },
        [FIELD_NAME] = { "name", NULL, "What it is called.", PT_STRING, MATCHABLE },
        [FIELD_VENDOR_ID] = { "vendor-id", NULL, "Who made it.", PT_STRING, MATCHABLE },
        [FIELD_DRIVER] = { "driver", NULL, "What drives it.", PT_STRING, MATCHABLE },
        [FIELD_NUMA_NODE] = { "numa-node", NULL, "Where its memory is near.", PT_INT32, MATCHABLE },
        [FIELD_TOTAL_VFS] = { "total-vfs", NULL, "How many it could make.", PT_UINT32, MATCHABLE },
        [FIELD_OFFSET] = { "offset", "ns", "How far off.", PT_INT64, MATCHABLE },
        [FIELD_MEMORY] = { "memory", "B", "How much.", PT_UINT64, MATCHABLE },
        [FIELD_BOOT_VGA] = { "boot-vga", NULL, "Whether the firmware used it.", PT_BOOL, MATCHABLE },
        [FIELD_DRIVERS] = { "drivers", NULL, "What drives its parts.", PT_STRV, MATCHABLE },
        [FIELD_SERIAL] = { "serial", NULL, "Which one.", PT_STRING,
                           PT_FIELD_SLOW | PT_FIELD_SCRUB | MATCHABLE },
        [FIELD_BUS_NUMBER] = { "bus-number", NULL, "Which one today.", PT_UINT32,
                               PT_FIELD_VOLATILE | MATCHABLE },
        [FIELD_SECRET] = { "secret", NULL, "Nobody's business.", PT_STRING, 0 },
        { 0 },
};

static const char *const modes[] = { "fast", "safe", NULL };
static const PtSetting settings[] = {
        { "mode", NULL, "How.", PT_STRING, PT_SETTING_GROUP, 0, 0, modes, "safe" },
        { "rate", "Mbit/s", "How fast.", PT_UINT32, PT_SETTING_GROUP | PT_SETTING_OVERRIDE, 1, 100, NULL,
          "10" },
        { "trust", NULL, "Whether it is trusted.", PT_BOOL, PT_SETTING_GROUP, 0, 0, NULL, "false" },
        { 0 },
};

static const PtModule descriptor = {
        .struct_size = sizeof(PtModule),
        .type = "test",
        .title = "Test device",
        .default_class = "pci",
        .fields = fields,
        .settings = settings,
};

static const PtField other_fields[] = {
        { "name", NULL, "What it is called.", PT_STRING, MATCHABLE },
        { 0 },
};
static const PtModule other_descriptor = {
        .struct_size = sizeof(PtModule),
        .type = "other",
        .title = "Other device",
        .default_class = "spaceship",
        .fields = other_fields,
};

Module fake_broken = { .name = (char *) "broken",
                       .state = MODULE_REFUSED,
                       .reason = (char *) "it is from the future" };
Module fake_other = {
        .name = (char *) "other",
        .state = MODULE_LOADED,
        .descriptor = &other_descriptor,
        .n_fields = 1,
        .next = &fake_broken,
};
Module fake_module = {
        .name = (char *) "test",
        .state = MODULE_LOADED,
        .descriptor = &descriptor,
        .n_fields = _FIELD_MAX,
        .next = &fake_other,
};

struct Loader {
        Module *first;
};

Loader *fake_loader(void) {
        static Loader loader = { .first = &fake_module };

        return &loader;
}

Module *loader_first(Loader *loader) {
        return loader->first;
}

Module *loader_find(Loader *loader, const char *name) {
        for (Module *m = loader->first; m; m = m->next)
                if (streq(m->name, name))
                        return m;
        return NULL;
}

struct Inventory {
        Device *devices;
        Interner *interner;
        const FakeIdentity *identities;
        uint64_t serial;
};

Inventory *fake_inventory_new(void) {
        Inventory *inventory = calloc(1, sizeof(Inventory));

        assert(inventory);
        assert(interner_new(&inventory->interner) >= 0);
        return inventory;
}

Inventory *fake_inventory_free(Inventory *inventory) {
        while (inventory->devices)
                fake_remove(inventory, inventory->devices);
        interner_free(inventory->interner);
        free(inventory);
        return NULL;
}

Device *fake_device(Inventory *inventory, Module *module, const char *subsystem, const char *sysname) {
        Device *device = calloc(1, sizeof(Device));
        HostDevice *host = calloc(1, sizeof(HostDevice) + ID_SIZE);

        assert(device && host);
        assert(id_from_place(subsystem, sysname, host->own_id) >= 0);
        host->id = host->own_id;
        host->subsystem = intern(inventory->interner, subsystem);
        host->sysname = intern(inventory->interner, sysname);
        host->above = strdup("/devices/pci0000:00");
        host->iommu_group = -1;
        host->numa_node = -1;

        device->id = host->id;
        device->module = module;
        device->host = host;
        device->vendor = device->name = "";
        /* Nothing of a model's: each field lies at its own number. */
        device->own = UINT64_MAX;
        device->own_fields = calloc(module->n_fields, sizeof(FieldData));
        device->serial = inventory->serial++;
        assert(host->above && device->own_fields);
        HASH_ADD_STR(inventory->devices, id, device);
        return device;
}

static void unset(Device *device, unsigned field) {
        FieldData *data = &device->own_fields[field];

        if (device->module->descriptor->fields[field].type == PT_STRV)
                data->strv = strv_free(data->strv);
        device->known &= ~(UINT64_C(1) << field);
}

static void set(Device *device, unsigned field) {
        device->known |= UINT64_C(1) << field;
}

void fake_set_unknown(Device *device, unsigned field) {
        unset(device, field);
}

/* The reference of the old text is not given back: some tests hold on to it. */
void fake_set_text(Inventory *inventory, Device *device, unsigned field, const char *value) {
        assert(device->module->descriptor->fields[field].type == PT_STRING);
        device->own_fields[field].s = intern(inventory->interner, value);
        set(device, field);
}

void fake_set_number(Device *device, unsigned field, int64_t value) {
        FieldData *data = &device->own_fields[field];

        switch (device->module->descriptor->fields[field].type) {
        case PT_BOOL:
                data->b = value;
                break;
        case PT_INT32:
                data->i = (int32_t) value;
                break;
        case PT_UINT32:
                data->u = (uint32_t) value;
                break;
        case PT_INT64:
                data->x = value;
                break;
        case PT_UINT64:
                data->t = (uint64_t) value;
                break;
        default:
                assert(false);
        }
        set(device, field);
}

void fake_set_list(Device *device, unsigned field, const char *list) {
        char *copy = strdup(list), *save = NULL;
        char **strv = calloc(strlen(list) + 1, sizeof(char *));
        size_t n = 0;

        assert(copy && strv);
        unset(device, field);
        for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
                strv[n++] = strdup(word);
        free(copy);
        device->own_fields[field].strv = strv;
        set(device, field);
}

void fake_set_iommu_group(Device *device, int32_t number) {
        device->host->iommu_group = number;
}

void fake_set_place(Device *device, const char *syspath, const char *slot, int32_t numa_node) {
        free((char *) device->host->above);
        free((char *) device->host->slot);
        device->host->above = strndup(syspath, (size_t) (strrchr(syspath, '/') - syspath));
        device->host->slot = slot ? strdup(slot) : NULL;
        device->host->numa_node = numa_node;
}

void fake_remove(Inventory *inventory, Device *device) {
        assert(!device->groups);
        HASH_DEL(inventory->devices, device);
        for (unsigned i = 0; i < device->module->n_fields; i++)
                unset(device, i);
        free((char *) device->host->above);
        free((char *) device->host->slot);
        free(device->host);
        free(device->own_fields);
        free(device);
}

void fake_set_identities(Inventory *inventory, const FakeIdentity *identities) {
        inventory->identities = identities;
}

Device *inventory_first(Inventory *inventory) {
        return inventory->devices;
}

Device *inventory_find(Inventory *inventory, const char *id) {
        Device *device;

        HASH_FIND_STR(inventory->devices, id, device);
        return device;
}

size_t inventory_count(const Inventory *inventory) {
        return HASH_COUNT(inventory->devices);
}

int device_get_field(const Device *device, unsigned field, PtValue *ret) {
        const FieldData *data;

        if (field >= device->module->n_fields)
                return -ENOENT;
        if (!(device->known & (UINT64_C(1) << field)))
                return -ENODATA;
        data = &device->own_fields[field];
        switch (device->module->descriptor->fields[field].type) {
        case PT_BOOL:
                *ret = PT_VALUE_BOOL(data->b);
                break;
        case PT_INT32:
                *ret = PT_VALUE_INT32(data->i);
                break;
        case PT_UINT32:
                *ret = PT_VALUE_UINT32(data->u);
                break;
        case PT_INT64:
                *ret = PT_VALUE_INT64(data->x);
                break;
        case PT_UINT64:
                *ret = PT_VALUE_UINT64(data->t);
                break;
        case PT_STRING:
                *ret = PT_VALUE_STRING(data->s);
                break;
        default:
                *ret = PT_VALUE_STRV((const char *const *) data->strv);
                break;
        }
        return 0;
}

int device_get_field_by_name(const Device *device, const char *name, PtValue *ret) {
        int field = schema_find_field(device->module->descriptor->fields, name);

        return field < 0 ? field : device_get_field(device, (unsigned) field, ret);
}

int inventory_bundle(Inventory *inventory, const Device *device, HostDevice ***ret) {
        HostDevice **bundle = calloc(HASH_COUNT(inventory->devices) + 1, sizeof(HostDevice *));
        size_t n = 0;

        assert(bundle);
        bundle[n++] = device->host;
        for (Device *d = inventory->devices; d && device->host->iommu_group >= 0; d = d->hh.next)
                if (d != device && d->host->iommu_group == device->host->iommu_group && !d->host->bridge)
                        bundle[n++] = d->host;
        *ret = bundle;
        return 0;
}

int inventory_identities(Inventory *inventory, Device *device, json_t **ret, Fault *fault) {
        json_t *array = json_array();

        for (const FakeIdentity *i = inventory->identities; i && i->kind; i++) {
                const char *slot = strstr(i->condition, "%s");
                char condition[512];

                (void) snprintf(condition, sizeof(condition), "%.*s%s%s",
                                (int) (slot ? slot - i->condition : (ptrdiff_t) strlen(i->condition)),
                                i->condition, slot ? device->host->sysname : "", slot ? slot + 2 : "");
                if (json_array_append_new(array, json_pack("{ss si ss ss}", "kind", i->kind, "strength",
                                                           i->strength, "condition", condition, "breaks",
                                                           i->breaks)) < 0) {
                        json_decref(array);
                        return fault_oom(fault);
                }
        }
        *ret = array;
        return 0;
}
