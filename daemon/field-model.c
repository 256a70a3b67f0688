/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "field-model.h"

#include "inventory-internal.h"

static uint64_t bit_of(unsigned field) {
        return UINT64_C(1) << field;
}

static uint32_t type_of(const Module *module, unsigned field) {
        return module->descriptor->fields[field].type;
}

static FieldModel *model_unref(Inventory *inventory, FieldModel *model) {
        if (!model || --model->references > 0)
                return NULL;

        for (unsigned i = 0; i < model->key.module->n_fields; i++)
                if (model->known & bit_of(i))
                        field_data_done(inventory->interner, type_of(model->key.module, i), model->data + i);
        HASH_DEL(inventory->models, model);
        free(model);
        return NULL;
}

static int copy_data(Interner *interner, uint32_t type, const FieldData *data, FieldData *ret) {
        PtValue value;

        field_data_get(type, data, &value);
        return field_data_set(interner, &value, ret);
}

int device_fields_begin(Inventory *inventory, Device *device, uint64_t known, const FieldData *data) {
        const HostDevice *host = device->host;
        const Module *module = device->module;
        FieldModelKey key = {
                .module = module,
                .vendor = host->vendor,
                .product = host->product,
                .class_code = host->class_code,
                .part = host->whole != NULL,
        };
        FieldModel *model;

        HASH_FIND(hh, inventory->models, &key, sizeof(key), model);
        if (!model) {
                model = calloc(1, sizeof(*model) + module->n_fields * sizeof(FieldData));
                if (!model)
                        return -ENOMEM;
                model->key = key;
                HASH_ADD(hh, inventory->models, key, sizeof(key), model);
                for (unsigned i = 0; i < module->n_fields; i++)
                        if (known & bit_of(i) &&
                            copy_data(inventory->interner, type_of(module, i), data + i, model->data + i) >= 0)
                                model->known |= bit_of(i);
        }
        model->references++;
        device->model = model;
        return 0;
}

static unsigned place_of(const Device *device, unsigned field) {
        return (unsigned) __builtin_popcountll(device->own & (bit_of(field) - 1));
}

/* Makes room for a field of its own. */
static int add_own(Device *device, unsigned field) {
        unsigned n = (unsigned) __builtin_popcountll(device->own), place = place_of(device, field);
        FieldData *fields = reallocarray(device->own_fields, n + 1, sizeof(FieldData));

        if (!fields)
                return -ENOMEM;
        memmove(fields + place + 1, fields + place, (n - place) * sizeof(FieldData));
        fields[place] = (FieldData){ .t = 0 };
        device->own_fields = fields;
        device->own |= bit_of(field);
        return 0;
}

/* The memory stays for the next one: a field that differs once will again. */
static void drop_own(Inventory *inventory, Device *device, unsigned field) {
        unsigned n = (unsigned) __builtin_popcountll(device->own), place = place_of(device, field);

        if (!(device->own & bit_of(field)))
                return;
        field_data_done(inventory->interner, type_of(device->module, field), device->own_fields + place);
        memmove(device->own_fields + place, device->own_fields + place + 1, (n - place - 1) * sizeof(FieldData));
        device->own &= ~bit_of(field);
}

int device_fields_put(Inventory *inventory, Device *device, unsigned field, FieldData *data) {
        uint32_t type = type_of(device->module, field);
        bool known = device->known & bit_of(field);

        if (!data) {
                drop_own(inventory, device, field);
                device->known &= ~bit_of(field);
                return known;
        }
        if (known && field_data_equal(type, device_field_data(device, field), data)) {
                field_data_done(inventory->interner, type, data);
                return 0;
        }
        if (device->model->known & bit_of(field) && field_data_equal(type, device->model->data + field, data)) {
                drop_own(inventory, device, field);
                field_data_done(inventory->interner, type, data);
        } else {
                if (device->own & bit_of(field))
                        field_data_done(inventory->interner, type, device->own_fields + place_of(device, field));
                else if (add_own(device, field) < 0) {
                        field_data_done(inventory->interner, type, data);
                        return -ENOMEM;
                }
                device->own_fields[place_of(device, field)] = *data;
                *data = (FieldData){ .t = 0 };
        }
        device->known |= bit_of(field);
        return 1;
}

void device_fields_done(Inventory *inventory, Device *device) {
        for (unsigned i = 0; i < device->module->n_fields; i++)
                drop_own(inventory, device, i);
        free(device->own_fields);
        device->own_fields = NULL;
        device->known = 0;
        device->model = model_unref(inventory, device->model);
}
