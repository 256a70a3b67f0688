/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "in-force.h"
#include "json-util.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE];
        Allocation *a = bus_path_parse(path, OBJECT_ALLOCATION, id) >= 0 ? manager_find_allocation(b->manager, id) : NULL;

        if (!a)
                return 0;
        b->found[OBJECT_ALLOCATION] = (BusObject) { b, a };
        *ret_found = &b->found[OBJECT_ALLOCATION];
        return 1;
}

/* About what it adds to the answer of GetManagedObjects. */
static size_t weight_of(const Allocation *a) {
        size_t n = 1024;

        for (size_t i = 0; i < a->n_requests; i++)
                n += 512 + strlen(a->requests[i].name) + strlen(a->requests[i].description) +
                     strlen(a->requests[i].status) + a->requests[i].n_devices * 2 * (ID_SIZE + 32);
        return n;
}

/* Users fill these with texts of their own: see bus-device.c about what an answer that is too long does. */
static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *b = userdata;
        size_t n = 0, bytes = 0;
        const char **ids;
        int r;

        if (bus_asks_below(OBJECT_ALLOCATION, prefix))
                return 0;
        ids = calloc(HASH_COUNT(b->manager->allocations) + 1, sizeof(char *));
        if (!ids)
                return -ENOMEM;
        for (Allocation *a = b->manager->allocations; a; a = a->hh.next) {
                bytes += weight_of(a);
                ids[n++] = a->id;
        }
        if (bytes > MANAGED_BYTES_MAX) {
                free(ids);
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "TooManyObjects",
                                         "%zu allocations are too much for one answer; ask for those of a group", n);
        }
        r = bus_nodes(OBJECT_ALLOCATION, ids, n, ret_nodes);
        free(ids);
        return r;
}

/* ---- properties ---- */

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Allocation *a = ((const BusObject *) userdata)->object;

        return sd_bus_message_append(reply, "s",
                                     streq(property, "Id")         ? a->id
                                     : streq(property, "Consumer") ? a->consumer
                                     : streq(property, "State")    ? allocation_state_to_string(a->state)
                                                                   : lifetime_to_string(a->lifetime));
}

static int get_owner(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "u", ((const Allocation *) ((const BusObject *) userdata)->object)->owner);
}

/* Records are the service's own; everything else of a request is its owner's to see. */
static int get_requests(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Allocation *a = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *requests = json_array();

        for (size_t i = 0; i < a->n_requests; i++) {
                json_t *request = request_to_json(&a->requests[i]), *devices = json_array();
                json_t *in_force = request_in_force_to_json(((const BusObject *) userdata)->bus->manager, a, &a->requests[i]);

                for (size_t k = 0; k < a->requests[i].n_devices; k++)
                        json_array_append_new(devices, json_string(a->requests[i].devices[k].device));
                json_object_set_new(request, "devices", devices);
                json_object_del(request, "last");
                if (in_force)
                        json_object_set_new(request, "in-force", in_force);
                json_array_append_new(requests, request);
        }
        return bus_append_dict_list(reply, requests);
}

static int get_devices(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Allocation *a = ((const BusObject *) userdata)->object;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices && r >= 0; k++) {
                        char text[BUS_PATH_SIZE];
                        bus_path(OBJECT_DEVICE, a->requests[i].devices[k].device, text);
                        r = sd_bus_message_append_basic(reply, 'o', text);
                }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* With every device of it: the weakest link decides. */
static bool is_migratable(Bus *b, const Allocation *a) {
        for (size_t i = 0; i < a->n_requests; i++) {
                const Group *group = policy_find_group(b->manager->policy, a->requests[i].group);
                if (!group || !group->module || !(group->module->descriptor->flags & PT_TYPE_MIGRATABLE))
                        return false;
        }
        return true;
}

static int get_flag(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        const Allocation *a = object->object;

        return sd_bus_message_append(reply, "b",
                                     streq(property, "Migratable") ? (int) is_migratable(object->bus, a)
                                                                   : (int) a->restart_required);
}

/* ---- methods ---- */

typedef int (*Verb)(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret, Fault *fault);

static int run_verb(sd_bus_message *m, const BusObject *object, Verb verb, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        Caller caller;
        Job *job = NULL;
        int r = auth_caller(object->bus, m, &caller, error);

        if (r < 0)
                return r;
        r = bus_read_dict(m, &options);
        if (r >= 0)
                r = verb(object->bus->manager, &caller, object->object, options, &job, &fault);
        if (r < 0)
                return bus_refuse(object->bus, m, r, &fault, error);
        return bus_reply_job(m, job);
}

/* The devices that "override" names, one right each. The message is read again afterwards. */
static int auth_overrides(Bus *b, sd_bus_message *m, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *options = NULL, *only = NULL;
        _cleanup_(strv_freep) char **devices = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        const JsonKey keys[] = { { "override", JSON_KEY_STRV, &devices, 0, false }, { 0 } };
        int r = bus_read_dict(m, &options);

        if (r >= 0)
                only = json_pack("{s:O*}", "override", json_object_get(options, "override"));
        if (r >= 0)
                r = json_parse_object(only, keys, "the options of Activate", FAULT_UNKNOWN_OPTION, &fault);
        if (r >= 0)
                r = sd_bus_message_rewind(m, true);
        if (r < 0)
                return bus_error_from_fault(error, r, &fault);
        for (size_t i = 0; devices && devices[i]; i++) {
                const Device *device = inventory_find(b->manager->inventory, devices[i]);
                const char *details[] = { "device", devices[i], "type", device ? device->module->name : "", NULL };

                r = auth_check(b, m, RIGHT_OVERRIDE, details, error);
                if (r <= 0)
                        return r;
        }
        return 1;
}

/* Membership of a group is checked again at each activation: a right that was taken away is gone. */
static int method_activate(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        int r = auth_owner(object.bus, m, object.object, error);

        if (r > 0)
                r = auth_allocation_groups(object.bus, m, object.object, error);
        if (r > 0)
                r = auth_overrides(object.bus, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        return run_verb(m, &object, manager_activate, error);
}

static int method_deactivate(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        int r = auth_owner(object.bus, m, object.object, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        return run_verb(m, &object, manager_deactivate, error);
}

static int method_release(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        int r = auth_owner(object.bus, m, object.object, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        return run_verb(m, &object, manager_release, error);
}

static int method_update(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *requests = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = bus_read_dict_list(m, &requests);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = bus_no_options(m, "the options of Update", error);
        if (r < 0)
                return r;
        r = auth_owner(object.bus, m, object.object, error);
        if (r > 0)
                r = auth_groups(object.bus, m, requests, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(object.bus, m, &caller, error);
        if (r < 0)
                return r;
        r = bus_call_new(object.bus, m, OBJECT_ALLOCATION, &call);
        if (r >= 0)
                r = manager_update_allocation(object.bus->manager, &caller, object.object, requests,
                                              bus_call_done_empty, call, &fault);
        return r >= 0 ? 1 : bus_call_refuse(call, r, &fault, error);
}

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;

        return bus_explain(object.bus, m, OBJECT_ALLOCATION, ((const Allocation *) object.object)->id, error);
}

static int method_guest_config(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_free_ char *text = NULL;
        const char *format;
        int r = auth_owner(object.bus, m, object.object, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(m, "s", &format);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = bus_no_options(m, "the options of GuestConfig", error);
        if (r < 0)
                return r;
        r = manager_guest_config(object.bus->manager, object.object, format, &text, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : sd_bus_reply_method_return(m, "s", text);
}

static int method_hold(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Allocation *a = object.object;
        _cleanup_close_ int fd = -EBADF;
        const char *why;
        int r = auth_owner(object.bus, m, a, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(m, "s", &why);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = bus_no_options(m, "the options of Hold", error);
        if (r < 0)
                return r;
        if (a->lifetime != LIFETIME_HOLD)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "WrongState",
                                         "the lifetime of this allocation is %s; only 'hold' can be held",
                                         lifetime_to_string(a->lifetime));
        r = bus_lifetime_hold(object.bus, a, &fd);
        if (r == -EBUSY)
                return sd_bus_error_set(error, BUS_ERROR_PREFIX "WrongState",
                                        "the allocation is held already; its holder can pass copies of the pipe on");
        return r < 0 ? bus_error_from_fault(error, r, NULL) : sd_bus_reply_method_return(m, "h", fd);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Consumer", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("OwnerUid", "u", get_owner, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Requests", "aa{sv}", get_requests, 0, CHANGES),
        SD_BUS_PROPERTY("Devices", "ao", get_devices, 0, CHANGES),
        SD_BUS_PROPERTY("Lifetime", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Migratable", "b", get_flag, 0, CHANGES),
        SD_BUS_PROPERTY("RestartRequired", "b", get_flag, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("Activate", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_activate,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Deactivate", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_deactivate,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("aa{sv}", requests, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_update, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_release,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", findings),
                                method_explain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GuestConfig", SD_BUS_ARGS("s", format, "a{sv}", options), SD_BUS_RESULT("s", text),
                                method_guest_config, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Hold", SD_BUS_ARGS("s", why, "a{sv}", options), SD_BUS_RESULT("h", fd), method_hold,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("DeviceLost", SD_BUS_ARGS("o", device, "s", why), 0),
        SD_BUS_SIGNAL_WITH_ARGS("DeviceChanged", SD_BUS_ARGS("o", device, "a{sv}", values), 0),
        SD_BUS_VTABLE_END,
};

int bus_register_allocations(Bus *b) {
        int r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_ALLOCATION), bus_interface(OBJECT_ALLOCATION),
                                           vtable, find, b);

        return r < 0 ? r : sd_bus_add_node_enumerator(b->bus, NULL, bus_prefix(OBJECT_ALLOCATION), enumerate, b);
}
