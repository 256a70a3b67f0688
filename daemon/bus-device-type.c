/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The per-type interface of a device, org.passthroughd1.Device.Pci and so on: built from the module's field table, so that a
 * module that the core has never heard of has typed properties too. The vtable's offset carries the field's index. */

#include <ctype.h>
#include <stdio.h>

#include "bus-internal.h"
#include "lib/value-util.h"
#include "observe.h"

struct TypeInterface {
        Bus *bus;
        Module *module;
        char interface[64];
        char (*names)[ID_SIZE];     /* CamelCase of each field */
        sd_bus_vtable *vtable;
        BusObject *found;           /* one more than there are fields, so that found + offset stays inside */
        struct TypeInterface *next;
};

static const char *const no_strings[] = { NULL };

/* sd-bus hands a getter nothing that leads to its own registration, so the list has to be reachable from here. */
static TypeInterface *registered;

static int append_empty(sd_bus_message *m, uint32_t type) {
        switch (type) {
        case PT_BOOL:
                return sd_bus_message_append(m, "b", false);
        case PT_INT32:
                return sd_bus_message_append(m, "i", -1);
        case PT_UINT32:
                return sd_bus_message_append(m, "u", 0u);
        case PT_INT64:
                return sd_bus_message_append(m, "x", INT64_C(-1));
        case PT_UINT64:
                return sd_bus_message_append(m, "t", UINT64_C(0));
        case PT_STRV:
                return sd_bus_message_append_strv(m, (char **) no_strings);
        default:
                return sd_bus_message_append(m, "s", "");
        }
}

int bus_append_field(sd_bus_message *m, const Device *device, unsigned field) {
        PtValue value;

        if (device_get_field(device, field, &value) < 0)
                return append_empty(m, device->module->descriptor->fields[field].type);
        switch (value.type) {
        case PT_BOOL:
                return sd_bus_message_append(m, "b", (int) value.b);
        case PT_INT32:
                return sd_bus_message_append(m, "i", value.i);
        case PT_UINT32:
                return sd_bus_message_append(m, "u", value.u);
        case PT_INT64:
                return sd_bus_message_append(m, "x", value.x);
        case PT_UINT64:
                return sd_bus_message_append(m, "t", value.t);
        case PT_STRV:
                return sd_bus_message_append_strv(m, (char **) (value.strv ? value.strv : no_strings));
        default:
                return sd_bus_message_append(m, "s", strempty(value.s));
        }
}

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        TypeInterface *type = userdata;
        char id[ID_SIZE];
        Device *device =
                bus_path_parse(path, OBJECT_DEVICE, id) >= 0 ? inventory_find(type->bus->manager->inventory, id) : NULL;

        if (!device || device->module != type->module)
                return 0;
        type->found[0] = (BusObject) { type->bus, device };
        *ret_found = type->found;
        return 1;
}

static TypeInterface *find_type(TypeInterface *types, const char *interface) {
        for (; types; types = types->next)
                if (streq(types->interface, interface))
                        return types;
        return NULL;
}

/* Whoever lists everything has not asked for the serial number of each device, which may have to be woken for it. */
static bool asked_by_name(sd_bus *bus) {
        sd_bus_message *m = sd_bus_get_current_message(bus);

        return m && sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get") > 0;
}

/* userdata points into `found`, as far from its beginning as the field's index. */
static int get_field(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        TypeInterface *type = find_type(registered, interface);
        const Device *device;
        size_t field;

        if (!type)
                return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_INTERFACE, "no type has the interface %s", interface);
        field = (size_t) ((char *) userdata - (char *) type->found);
        device = type->found->object;
        if ((type->module->descriptor->fields[field].flags & PT_FIELD_SLOW) &&
            (device->slow == SLOW_UNKNOWN || device->slow == SLOW_FAILED) && asked_by_name(bus))
                /* Asked for the first time, or not to be read the last time: the change signal brings the value. */
                observe_device(type->bus->manager, (Device *) device, NULL, NULL);
        return bus_append_field(reply, device, (unsigned) field);
}

static int build_vtable(TypeInterface *type) {
        const PtField *fields = type->module->descriptor->fields;
        size_t n = type->module->n_fields;

        type->names = calloc(n + 1, ID_SIZE);
        type->vtable = calloc(n + 2, sizeof(sd_bus_vtable));
        type->found = calloc(n / sizeof(BusObject) + 2, sizeof(BusObject));
        if (!type->names || !type->vtable || !type->found)
                return -ENOMEM;
        type->vtable[0] = (sd_bus_vtable) SD_BUS_VTABLE_START(0);
        for (size_t i = 0; i < n; i++) {
                int r = kebab_to_camel(fields[i].name, type->names[i]);
                if (r < 0)
                        return r;
                type->vtable[i + 1] = (sd_bus_vtable) SD_BUS_PROPERTY(
                        type->names[i], type_signature(fields[i].type), get_field, i,
                        (fields[i].flags & PT_FIELD_CONSTANT) && !(fields[i].flags & PT_FIELD_SLOW)
                                ? SD_BUS_VTABLE_PROPERTY_CONST
                                : SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);
        }
        type->vtable[n + 1] = (sd_bus_vtable) SD_BUS_VTABLE_END;
        return 0;
}

static void type_free(TypeInterface *type) {
        free(type->names);
        free(type->vtable);
        free(type->found);
        free(type);
}

int bus_register_types(Bus *b) {
        for (Module *module = loader_first(b->manager->loader); module; module = module->next) {
                TypeInterface *type;
                int r;

                if (module->state != MODULE_LOADED)
                        continue;
                type = calloc(1, sizeof(TypeInterface));
                if (!type)
                        return -ENOMEM;
                type->bus = b;
                type->module = module;
                snprintf(type->interface, sizeof(type->interface), BUS_NAME ".Device.%c%s",
                         toupper((unsigned char) module->name[0]), module->name + 1);
                r = build_vtable(type);
                if (r >= 0)
                        r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_DEVICE), type->interface,
                                                       type->vtable, find, type);
                if (r < 0) {
                        type_free(type);
                        return r;
                }
                type->next = b->types;
                b->types = registered = type;
        }
        return 0;
}

void bus_types_free(Bus *b) {
        while (b->types) {
                TypeInterface *type = b->types;
                b->types = type->next;
                type_free(type);
        }
        registered = NULL;
}

const char *bus_type_interface(Bus *b, const Module *module) {
        for (TypeInterface *type = b->types; type; type = type->next)
                if (type->module == module)
                        return type->interface;
        return NULL;
}

int bus_note_fields(Bus *b, Device *device, uint64_t fields) {
        char path[BUS_PATH_SIZE];

        bus_path(OBJECT_DEVICE, device->id, path);
        for (TypeInterface *type = b->types; type; type = type->next) {
                if (type->module != device->module)
                        continue;
                for (size_t i = 0; i < type->module->n_fields; i++)
                        if ((fields & UINT64_C(1) << i) && type->vtable[i + 1].flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)
                                bus_note_change(b, path, type->interface, type->names[i]);
        }
        return 0;
}

/* ---- one device as a dictionary ---- */

static bool wanted(const char *const *only, const char *name) {
        for (size_t i = 0; only && only[i]; i++)
                if (streq(only[i], name))
                        return true;
        return !only || !only[0];
}

static int append_core(sd_bus_message *m, Bus *b, const Device *device, const char *const *only) {
        const struct {
                const char *name, *value;
        } texts[] = {
                { "id", device->id },
                { "type", device->module->name },
                { "state", manager_device_state(b->manager, device) },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(texts) && r >= 0; i++)
                if (wanted(only, texts[i].name))
                        r = sd_bus_message_append(m, "{sv}", texts[i].name, "s", texts[i].value);
        if (r >= 0 && wanted(only, "allocatable"))
                r = sd_bus_message_append(m, "{sv}", "allocatable", "b",
                                          (int) manager_device_allocatable(b->manager, device));
        if (r >= 0 && wanted(only, "groups")) {
                r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', "groups");
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', "as");
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'a', "s");
                for (size_t i = 0; r >= 0 && device->groups && device->groups[i]; i++)
                        r = sd_bus_message_append_basic(m, 's', device->groups[i]->id);
                for (unsigned level = 0; level < 3 && r >= 0; level++)
                        r = sd_bus_message_close_container(m);
        }
        if (r >= 0 && device->allocation && wanted(only, "allocation"))
                r = sd_bus_message_append(m, "{sv}", "allocation", "s", device->allocation->id);
        return r;
}

int bus_append_device(sd_bus_message *m, Bus *b, const Device *device, const char *const *only) {
        const PtField *fields = device->module->descriptor->fields;
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = append_core(m, b, device, only);
        for (size_t i = 0; i < device->module->n_fields && r >= 0; i++) {
                if (!wanted(only, fields[i].name))
                        continue;
                r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', fields[i].name);
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', type_signature(fields[i].type));
                if (r >= 0)
                        r = bus_append_field(m, device, (unsigned) i);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}
