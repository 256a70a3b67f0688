/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "field-model.h"
#include "inventory-internal.h"
#include "lib/schema.h"
#include "lib/value-util.h"
#include "log.h"

static void on_host_added(void *userdata, HostDevice *host);
static void on_host_changed(void *userdata, HostDevice *host, const char *action);
static void on_host_removed(void *userdata, HostDevice *host);

static void on_scanned(void *userdata) {
        Inventory *inventory = userdata;

        if (inventory->events.scanned)
                inventory->events.scanned(inventory->events.userdata);
}

/* A module that asks for what cannot be has no devices; the others are not its victims. */
static void watch_filters(Inventory *inventory) {
        for (Module *m = loader_first(inventory->loader); m; m = m->next) {
                if (m->state != MODULE_LOADED)
                        continue;
                for (const PtFilter *f = m->descriptor->filters; f->subsystem; f++) {
                        int r = source_watch_subsystem(inventory->source, f->subsystem);

                        if (r < 0)
                                log_plain(LOG_ERR, "Module %s: devices of \"%s\" cannot be watched: %s",
                                          m->name, f->subsystem, strerror(-r));
                }
        }
}

int inventory_new(sd_event *event, const Sysfs *sysfs, Loader *loader, Breadcrumb *breadcrumb,
                  const InventoryEvents *events, Inventory **ret) {
        _cleanup_(inventory_freep) Inventory *inventory = NULL;
        int r;

        inventory = calloc(1, sizeof(*inventory));
        if (!inventory)
                return -ENOMEM;
        inventory->loader = loader;
        inventory->breadcrumb = breadcrumb;
        inventory->events = *events;

        r = interner_new(&inventory->interner);
        if (r < 0)
                return r;
        r = source_new(event, sysfs, inventory->interner,
                       &(SourceEvents){
                               .userdata = inventory,
                               .added = on_host_added,
                               .changed = on_host_changed,
                               .removed = on_host_removed,
                               .scanned = on_scanned,
                       },
                       &inventory->source);
        if (r < 0)
                return r;
        watch_filters(inventory);

        *ret = TAKE_PTR(inventory);
        return 0;
}

static void device_free(Inventory *inventory, Device *device) {
        if (!device)
                return;

        provider_unlink(inventory, device);
        device_fields_done(inventory, device);
        intern_unref(inventory->interner, device->vendor);
        intern_unref(inventory->interner, device->name);
        free(device->blob);
        free(device->groups);
        free(device->quarantine);
        json_decref(device->unrecorded);
        json_decref(device->health);
        json_decref(device->last_reset);
        free(device);
}

Inventory *inventory_free(Inventory *inventory) {
        Device *device, *next;

        if (!inventory)
                return NULL;

        HASH_ITER(hh, inventory->devices, device, next) {
                HASH_DEL(inventory->devices, device);
                device_free(inventory, device);
        }
        field_indexes_free(inventory);
        source_free(inventory->source);
        interner_free(inventory->interner);
        free(inventory);
        return NULL;
}

int inventory_start(Inventory *inventory, Fault *fault) {
        return source_start(inventory->source, fault);
}

Source *inventory_source(Inventory *inventory) {
        return inventory->source;
}

Interner *inventory_interner(Inventory *inventory) {
        return inventory->interner;
}

Breadcrumb *inventory_breadcrumb(Inventory *inventory) {
        return inventory->breadcrumb;
}

uint64_t inventory_generation(const Inventory *inventory) {
        return inventory->generation;
}

Device *inventory_find(Inventory *inventory, const char *id) {
        Device *device;

        HASH_FIND_STR(inventory->devices, id, device);
        return device;
}

Device *inventory_first(Inventory *inventory) {
        return inventory->devices;
}

size_t inventory_count(const Inventory *inventory) {
        return HASH_COUNT(inventory->devices);
}

/* ---- fields ---- */

int device_get_field(const Device *device, unsigned field, PtValue *ret) {
        if (field >= device->module->n_fields)
                return -ENOENT;
        if (!(device->known >> field & 1))
                return -ENODATA;
        field_data_get(device->module->descriptor->fields[field].type, device_field_data(device, field), ret);
        return 0;
}

int device_get_field_by_name(const Device *device, const char *name, PtValue *ret) {
        int field = schema_find_field(device->module->descriptor->fields, name);

        return field < 0 ? field : device_get_field(device, (unsigned) field, ret);
}

static bool replace_text(Inventory *inventory, const char **place, const char **text) {
        bool differs = *place != *text;

        intern_unref(inventory->interner, *place);
        *place = *text;
        *text = NULL;
        return differs;
}

static int take_fields(Inventory *inventory, Device *device, Description *description, uint64_t *ret_changed) {
        const PtField *fields = device->module->descriptor->fields;
        uint64_t changed = 0;
        int r = 0;

        if (!device->model)
                r = device_fields_begin(inventory, device, description->known, description->fields);
        for (unsigned i = 0; i < device->module->n_fields && r >= 0; i++) {
                uint64_t bit = UINT64_C(1) << i;

                if (description->known & bit)
                        r = device_fields_put(inventory, device, i, description->fields + i);
                else if (!(fields[i].flags & PT_FIELD_SLOW))
                        r = device_fields_put(inventory, device, i, NULL);
                if (r > 0)
                        changed |= bit;
        }
        *ret_changed = changed;
        return r < 0 ? r : 0;
}

/* Takes what describe() put. Quick fields that it did not put this time are unknown now; slow ones stay. */
static int take_description(Inventory *inventory, Device *device, Description *description, uint64_t *ret_changed,
                            bool *ret_differs) {
        int r = take_fields(inventory, device, description, ret_changed);

        if (r < 0)
                return r;

        if (!description->vendor)
                description->vendor = intern(inventory->interner, "");
        if (!description->name || description->name[0] == '\0') {
                intern_unref(inventory->interner, description->name);
                description->name = intern(inventory->interner, device->host->sysname);
        }
        *ret_differs = device->role != description->role;
        device->role = description->role;
        device->n_slots = description->role == PT_ROLE_PROVIDER ? description->n_slots : 0;
        *ret_differs |= replace_text(inventory, &device->vendor, &description->vendor);
        *ret_differs |= replace_text(inventory, &device->name, &description->name);
        return 0;
}

/* `ret_differs`: role or names do. */
static int describe(Inventory *inventory, Device *device, uint64_t *ret_changed, bool *ret_differs,
                    bool *ret_wants_slow) {
        HostDevice *hosts[] = { device->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, inventory, device->module, hosts, NULL);
        if (r < 0)
                return r;
        r = module_call_run(&call, MODULE_OP_DESCRIBE, NULL);
        if (r < 0) {
                /* Declined, or gone in the meantime. */
                if (r != -ENODEV && r != -ENOENT)
                        log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("DEVICE", device->host->id),
                                    "Module %s cannot describe %s: %s", device->module->name,
                                    device->host->sysname, strerror(-r));
                return r;
        }

        *ret_wants_slow = call.description.wants_slow && !device->host->whole;
        r = take_description(inventory, device, &call.description, ret_changed, ret_differs);
        if (r < 0)
                return r;
        r = provider_link(inventory, device, call.description.provider);
        *ret_differs |= r > 0;
        return r < 0 ? r : device->vendor && device->name ? 0 : -ENOMEM;
}

static void report_change(Inventory *inventory, Device *device, uint64_t fields) {
        inventory->generation++;
        inventory->events.changed(inventory->events.userdata, device, fields);
}

static int put_observed(Inventory *inventory, Device *device, const char *name, json_t *json,
                        uint64_t *changed) {
        const PtField *fields = device->module->descriptor->fields;
        int field = schema_find_field(fields, name), r;
        _cleanup_value_ PtValue value = { 0 };
        FieldData data = { .t = 0 };

        if (field < 0)
                return field;
        if (!json_is_null(json)) {
                r = value_from_json(fields[field].type, json, name, &value, NULL);
                if (r < 0)
                        return r;
                r = field_data_set(inventory->interner, &value, &data);
                if (r < 0)
                        return r;
        }
        r = device_fields_put(inventory, device, (unsigned) field, json_is_null(json) ? NULL : &data);
        if (r > 0)
                *changed |= UINT64_C(1) << field;
        return r < 0 ? r : 0;
}

json_t *inventory_made_layout(const Inventory *inventory, const Device *provider) {
        return provider && inventory->events.made_layout
                       ? inventory->events.made_layout(inventory->events.userdata, provider)
                       : NULL;
}

void inventory_want_slow(Inventory *inventory, Device *device) {
        if (inventory->events.want_slow)
                inventory->events.want_slow(inventory->events.userdata, device);
}

static void update(Inventory *inventory, Device *device);

/* Whether it is another one. */
static bool put_blob(Device *device, const char *blob) {
        char *copy;

        if (streq_null(device->blob, blob))
                return false;
        copy = blob ? strdup(blob) : NULL;
        if (blob && !copy)
                return false;
        free(device->blob);
        device->blob = copy;
        return true;
}

uint64_t device_put_observed(Inventory *inventory, Device *device, json_t *fields, const char *blob) {
        bool other_blob = put_blob(device, blob);
        uint64_t changed = 0;
        const char *name;
        json_t *json;

        json_object_foreach(fields, name, json) {
                int r = put_observed(inventory, device, name, json, &changed);

                if (r < 0)
                        log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("DEVICE", device->id),
                                    "The observed field %s of %s cannot be taken: %s", name, device->id,
                                    strerror(-r));
        }

        if (changed || other_blob)
                report_change(inventory, device, changed);
        /* Last: it may turn out to be something else, or nothing. */
        if (other_blob)
                update(inventory, device);
        return changed;
}

/* ---- devices that come and go ---- */

static Device *find_offer(const HostDevice *host, const Module *module) {
        Device *device = host->offers;

        while (device && device->module != module)
                device = device->next_offer;
        return device;
}

static void link_offer(HostDevice *host, Device *device) {
        Device **place = &host->offers;

        while (*place)
                place = &(*place)->next_offer;
        *place = device;
}

static void unlink_offer(HostDevice *host, Device *device) {
        Device **place = &host->offers;

        while (*place && *place != device)
                place = &(*place)->next_offer;
        if (*place)
                *place = device->next_offer;
        device->next_offer = NULL;
}

static Device *device_new(Inventory *inventory, HostDevice *host, Module *module, const char *id) {
        bool same_id = streq(host->id, id);
        Device *device;

        device = calloc(1, sizeof(*device) + (same_id ? 0 : strlen(id) + 1));
        if (!device)
                return NULL;
        device->id = same_id ? host->id : strcpy(device->own_id, id);
        device->module = module;
        device->host = host;
        device->serial = ++inventory->serial;
        return device;
}

static void adjust_slots(Inventory *inventory, Device *provider);

static void offer(Inventory *inventory, HostDevice *host, Module *module) {
        char id[ID_SIZE];
        uint64_t fields;
        Device *device;
        bool differs, wants_slow;
        int r;

        r = id_from_place(module->name, host->place, id);
        if (r >= 0 && inventory_find(inventory, id))
                r = -EEXIST;
        if (r < 0) {
                log_plain(LOG_WARNING, "Module %s cannot offer %s: no id can be made of its name: %s",
                          module->name, host->sysname, strerror(-r));
                return;
        }
        device = device_new(inventory, host, module, id);
        if (!device) {
                log_plain(LOG_ERR, "%s is left out: out of memory", id);
                return;
        }
        r = describe(inventory, device, &fields, &differs, &wants_slow);
        if (r < 0) {
                device_free(inventory, device);
                return;
        }

        link_offer(host, device);
        HASH_ADD_STR(inventory->devices, id, device);
        inventory->generation++;
        inventory->events.added(inventory->events.userdata, device);
        adjust_slots(inventory, device);
        if (wants_slow)
                inventory_want_slow(inventory, device);
}

/* ---- slots of a provider ---- */

static void withdraw(Inventory *inventory, Device *device);

static void drop_slot(Inventory *inventory, HostDevice **place) {
        HostDevice *part = *place;

        if (part->offers)
                withdraw(inventory, part->offers);
        *place = part->next_slot;
        source_drop_part(inventory->source, part);
}

static void drop_slots(Inventory *inventory, HostDevice *host) {
        while (host->slots)
                drop_slot(inventory, &host->slots);
        host->slots_by = NULL;
}

/* What there is already is described anew: it may differ in what its provider does. */
static int keep_slot(Inventory *inventory, Device *provider, uint32_t number, HostDevice **place) {
        if (!*place || (*place)->slot_number != number) {
                HostDevice *behind = *place;
                int r = source_add_part(inventory->source, provider->host, number, place);

                if (r < 0)
                        return r;
                (*place)->next_slot = behind;
        }
        source_follow_whole(inventory->source, *place);
        if ((*place)->offers)
                update(inventory, (*place)->offers);
        else
                offer(inventory, *place, provider->module);
        return 0;
}

/* As many as the provider says; those beyond go unless somebody has them. */
static void adjust_slots(Inventory *inventory, Device *provider) {
        HostDevice **place = &provider->host->slots;

        if (provider->host->slots_by ? provider->host->slots_by != provider : provider->n_slots == 0)
                return;
        provider->host->slots_by = provider;
        for (uint32_t number = 1; number <= provider->n_slots; number++) {
                int r = keep_slot(inventory, provider, number, place);

                if (r < 0) {
                        log_plain(LOG_ERR, "slot %u of %s is left out: %s", number, provider->id, strerror(-r));
                        return;
                }
                place = &(*place)->next_slot;
        }
        while (*place) {
                if (!(*place)->offers || !(*place)->offers->allocation)
                        drop_slot(inventory, place);
                else {
                        (void) keep_slot(inventory, provider, (*place)->slot_number, place);
                        place = &(*place)->next_slot;
                }
        }
}

void inventory_restore_slot(Inventory *inventory, HostDevice *whole, uint32_t number) {
        HostDevice **place = &whole->slots;
        Device *provider = whole->slots_by ?: whole->offers;

        while (provider && provider->role != PT_ROLE_PROVIDER)
                provider = provider->next_offer;
        if (!provider || number == 0 || number > SLOTS_MAX)
                return;
        whole->slots_by = provider;
        while (*place && (*place)->slot_number < number)
                place = &(*place)->next_slot;
        if (!*place || (*place)->slot_number != number)
                (void) keep_slot(inventory, provider, number, place);
}

static void withdraw(Inventory *inventory, Device *device) {
        if (device->host->slots_by == device)
                drop_slots(inventory, device->host);
        inventory->generation++;
        inventory->events.removed(inventory->events.userdata, device);
        unlink_offer(device->host, device);
        HASH_DEL(inventory->devices, device);
        device_free(inventory, device);
}

static void update(Inventory *inventory, Device *device) {
        uint64_t fields = 0;
        bool differs = false, wants_slow = false;
        int r;

        r = describe(inventory, device, &fields, &differs, &wants_slow);
        if (r == -ENODEV) {
                /* Going, or no longer what the module offers; a vanished one is on its way out by its own
                 * event. */
                withdraw(inventory, device);
                return;
        }
        /* What it was is better than nothing; the failure is in the log. */
        if (fields || differs || device->host->differs)
                report_change(inventory, device, fields);
        adjust_slots(inventory, device);
        if (wants_slow && device->slow == SLOW_UNKNOWN)
                inventory_want_slow(inventory, device);
}

static void on_host_added(void *userdata, HostDevice *host) {
        Inventory *inventory = userdata;

        for (Module *m = loader_first(inventory->loader); m; m = m->next)
                if (module_wants(m, host))
                        offer(inventory, host, m);
}

static void on_host_changed(void *userdata, HostDevice *host, const char *action) {
        Inventory *inventory = userdata;

        for (Module *m = loader_first(inventory->loader); m; m = m->next) {
                Device *device = find_offer(host, m);
                bool wanted = module_wants(m, host);

                if (device && device->blob && streq(action, SOURCE_ACTION_CHILDREN)) {
                        device->outdated = device->slow == SLOW_READING;
                        if (!device->outdated)
                                device->slow = SLOW_UNKNOWN;
                }
                if (device && wanted)
                        update(inventory, device);
                else if (device)
                        withdraw(inventory, device);
                else if (wanted)
                        offer(inventory, host, m);
        }
}

static void on_host_removed(void *userdata, HostDevice *host) {
        Inventory *inventory = userdata;

        while (host->offers)
                withdraw(inventory, host->offers);
}
