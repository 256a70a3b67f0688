/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The interface of devices that make others. */

#include "bus-internal.h"
#include "json-util.h"
#include "provision.h"

#define INTERFACE BUS_NAME ".Provider"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        static BusObject found;
        Bus *b = userdata;
        char id[ID_SIZE];
        Device *device =
                bus_path_parse(path, OBJECT_DEVICE, id) >= 0 ? inventory_find(b->manager->inventory, id) : NULL;

        if (!device || device->role != PT_ROLE_PROVIDER)
                return 0;
        found = (BusObject) { b, device };
        *ret_found = &found;
        return 1;
}

/* {name: [type, value]} as {name: value}. */
static json_t *plain_layout(json_t *layout) {
        json_t *plain = json_object(), *entry;
        const char *name;

        json_object_foreach(layout, name, entry)
                json_object_set(plain, name, json_array_get(entry, 1));
        return plain;
}

static int get_layout(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                      void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        const Provision *p = provision_find(object->bus->manager, ((const Device *) object->object)->id);
        bool there = p && !provision_has_lost_all(object->bus->manager, p);
        _cleanup_(json_decrefp) json_t *layout = plain_layout(there ? p->made : NULL);

        return layout ? bus_append_dict(reply, layout) : -ENOMEM;
}

static int get_remaining(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        _cleanup_(json_decrefp) json_t *capacity = NULL;
        const char *profile;
        json_t *number;
        int r;

        if (provider_capacity(object->bus->manager, object->object, &capacity, NULL, NULL) < 0)
                capacity = json_object();
        r = sd_bus_message_open_container(reply, 'a', "{su}");
        json_object_foreach(capacity, profile, number)
                if (r >= 0)
                        r = sd_bus_message_append(reply, "{su}", profile, (uint32_t) json_integer_value(number));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_profiles(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                        void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        _cleanup_(json_decrefp) json_t *capacity = NULL, *known = NULL, *profiles = json_array();
        const char *profile;
        json_t *number;

        if (provider_capacity(object->bus->manager, object->object, &capacity, &known, NULL) < 0)
                capacity = json_object();
        json_object_foreach(capacity, profile, number) {
                json_t *row = json_pack("{s:s, s:O}", "name", profile, "remaining", number);

                (void) json_object_update_missing(row, json_object_get(known, profile));
                json_array_append_new(profiles, row);
        }
        return profiles ? bus_append_dict_list(reply, profiles) : -ENOMEM;
}

static int get_in_force(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                        void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        Manager *m = object->bus->manager;

        return sd_bus_message_append(reply, "b",
                                     provision_is_in_force(m, provision_find(m, ((const Device *) object->object)->id)));
}

static int get_groups(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                      void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        _cleanup_(strv_freep) char **groups = NULL;

        if (demand_groups(object->bus->manager, object->object, NULL, &groups) < 0)
                return -ENOMEM;
        return bus_append_paths(reply, OBJECT_GROUP, (const char *const *) groups);
}

static int get_children(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                        void *userdata, sd_bus_error *error) {
        const Device *device = ((const BusObject *) userdata)->object;
        const Provider *provider = device->provider;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (size_t i = 0; provider && i < provider->n_children && r >= 0; i++) {
                char child[BUS_PATH_SIZE];

                bus_path(OBJECT_DEVICE, provider->children[i]->id, child);
                r = sd_bus_message_append_basic(reply, 'o', child);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_provision(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Device *device = object.object;
        const char *details[] = { "device", device->id, "type", device->module->name, NULL };
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        Caller caller;
        Job *job;
        int r = bus_read_dict(m, &options);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = auth_check(object.bus, m, RIGHT_MANAGE_GROUPS, details, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(object.bus, m, &caller, error);
        if (r < 0)
                return r;
        r = manager_provision_provider(object.bus->manager, &caller, device, options, &job, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : bus_reply_job(m, job);
}

/* What the demands come to, whether or not it is made. */
static int query_demands(Manager *m, Device *device, json_t **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *layout = NULL;
        _cleanup_(strv_freep) char **groups = NULL;
        const Provision *p = provision_find(m, device->id);
        _cleanup_fault_ Fault conflict = { 0 };

        if (demand_groups(m, device, NULL, &groups) < 0)
                return fault_oom(fault);
        if (demand_layout(m, device, NULL, &layout, &conflict) < 0 && conflict.code != FAULT_LAYOUT_CONFLICT) {
                fault_move(fault, &conflict);
                return -EIO;
        }
        *ret = json_pack("{s:o, s:o, s:s, s:o, s:o, s:s, s:s, s:o}", "groups", strv_to_json((const char *const *) groups),
                         "layout", plain_layout(layout), "state", provision_state(m, p), "wanted",
                         plain_layout(p ? p->wanted : NULL), "made", plain_layout(p ? p->made : NULL), "conflict",
                         strempty(conflict.message), "failure", p ? strempty(p->failure.message) : "", "missing",
                         p && p->drift ? json_incref(p->drift) : json_array());
        return *ret ? 0 : fault_oom(fault);
}

/* What its driver says of it, as the module reads it; an array or text where that is no object. */
static int query_report(Device *device, json_t **ret, Fault *fault) {
        json_t *report = device->blob ? json_loads(device->blob, JSON_DECODE_ANY, NULL) : NULL;

        if (device->blob && !json_is_object(report)) {
                json_decref(report);
                report = json_pack("{s:s}", "text", device->blob);
        }
        *ret = report ? json_pack("{s:b, s:o}", "known", true, "report", report)
                      : json_pack("{s:b, s:s}", "known", false, "why",
                                  !device->module->descriptor->observe ? "nothing is read of devices of this type"
                                  : device->slow == SLOW_READING       ? "the driver is being asked"
                                  : device->slow == SLOW_FAILED        ? "the driver could not be asked"
                                                                       : "the driver has not been asked");
        return *ret ? 0 : fault_oom(fault);
}

static int method_query(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *result = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        sd_bus_message *reply = NULL;
        const char *what;
        int r = sd_bus_message_read(m, "s", &what);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = bus_no_options(m, "the options of Query", error);
        if (r < 0)
                return r;
        if (streq(what, "demands"))
                r = query_demands(object.bus->manager, object.object, &result, &fault);
        else if (streq(what, "report"))
                r = query_report(object.object, &result, &fault);
        else
                r = fault_set(&fault, -EINVAL, FAULT_INVALID_VALUE, "'%.64s' can't be queried; valid: demands, report", what);
        if (r < 0)
                return bus_error_from_fault(error, r, &fault);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = bus_append_dict(reply, result);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r < 0 ? bus_error_from_fault(error, r, NULL) : 1;
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Profiles", "aa{sv}", get_profiles, 0, CHANGES),
        SD_BUS_PROPERTY("Remaining", "a{su}", get_remaining, 0, CHANGES),
        SD_BUS_PROPERTY("Layout", "a{sv}", get_layout, 0, CHANGES),
        SD_BUS_PROPERTY("InForce", "b", get_in_force, 0, CHANGES),
        SD_BUS_PROPERTY("Groups", "ao", get_groups, 0, CHANGES),
        SD_BUS_PROPERTY("Children", "ao", get_children, 0, CHANGES),
        SD_BUS_PROPERTY("Use", "a{sv}", bus_get_use, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("Watch", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("h", fd), bus_method_watch,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("UseHistory", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", rows),
                                bus_method_use_history, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Provision", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_provision,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Query", SD_BUS_ARGS("s", what, "a{sv}", options), SD_BUS_RESULT("a{sv}", answer),
                                method_query, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_register_providers(Bus *b) {
        return sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_DEVICE), INTERFACE, vtable, find, b);
}

void bus_note_provider(Bus *b, const char *device) {
        static const char *const properties[] = { "Profiles", "Remaining", "Layout", "InForce", "Groups", "Children" };
        char path[BUS_PATH_SIZE];

        bus_path(OBJECT_DEVICE, device, path);
        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                bus_note_change(b, path, INTERFACE, properties[i]);
}
