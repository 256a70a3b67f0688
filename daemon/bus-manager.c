/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "json-util.h"
#include "lib/limits.h"
#include "lib/parse.h"

/* ---- properties ---- */

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;

        return sd_bus_message_append(reply, "s",
                                     streq(property, "Version") ? PROJECT_VERSION
                                     : streq(property, "Node")  ? b->manager->config.node
                                                                : readiness_to_string(b->manager->readiness));
}

static int get_generation(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;

        return sd_bus_message_append(reply, "t", inventory_generation(b->manager->inventory));
}

static int get_types(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (Module *module = loader_first(b->manager->loader); module && r >= 0; module = module->next)
                if (module->state == MODULE_LOADED)
                        r = sd_bus_message_append_basic(reply, 's', module->name);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_features(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        static const char *const features[] = { "allocate", "apply", "check", "explain", "history", "hold", "identity",
                                                "make-resource", "plan", "support-report", NULL };

        return sd_bus_message_append_strv(reply, (char **) features);
}

static int get_problems(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;
        const char *health = store_health_reason(b->manager->store);
        int r = sd_bus_message_open_container(reply, 'a', "s");

        if (r >= 0 && health)
                r = sd_bus_message_append_basic(reply, 's', health);
        for (size_t i = 0; r >= 0 && b->manager->config.problems && b->manager->config.problems[i]; i++)
                r = sd_bus_message_append_basic(reply, 's', b->manager->config.problems[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- finding objects ---- */

static int method_get_device(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE], path[BUS_PATH_SIZE];
        const char *name;
        Device *device;
        int r = sd_bus_message_read(m, "s", &name);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        device = inventory_find(b->manager->inventory, name);
        /* A place says which device is meant, whatever the type: the first that is offered there. */
        for (Module *module = loader_first(b->manager->loader); module && !device; module = module->next)
                if (id_from_place(module->name, name, id) >= 0)
                        device = inventory_find(b->manager->inventory, id);
        if (!device)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "UnknownDevice", "there is no device '%.64s'", name);
        bus_path(OBJECT_DEVICE, device->id, path);
        return sd_bus_reply_method_return(m, "o", path);
}

static int method_get_group(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        char path[BUS_PATH_SIZE];
        const char *name;
        Group *group;
        int r = sd_bus_message_read(m, "s", &name);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        group = policy_find_group_by_name(b->manager->policy, name);
        if (!group)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "UnknownGroup", "there is no group '%.64s'", name);
        bus_path(OBJECT_GROUP, group->id, path);
        return sd_bus_reply_method_return(m, "o", path);
}

/* ---- groups ---- */

static int finish(int r, BusCall *call, Fault *fault, sd_bus_error *error) {
        return r >= 0 ? 1 : bus_call_refuse(call, r, fault, error);
}

/* manage-groups on the group `there`, or on the one that would be made of name and id: what rules see is always an id. */
static int auth_named_group(Bus *b, sd_bus_message *m, const Group *there, const char *name, const char *wanted,
                            const char *type, sd_bus_error *error) {
        char id[ID_SIZE] = "";
        const char *details[] = { "group", id, "type", there ? there->type : type, "tenant",
                                  there ? strempty(there->tenant) : "", NULL };

        if (there)
                memcpy(id, there->id, sizeof(id));
        else if (wanted)
                snprintf(id, sizeof(id), "%s", id_is_valid(wanted) ? wanted : ""); /* refused later, by its own words */
        else
                (void) policy_new_group_id(b->manager->policy, name, id);
        return auth_check(b, m, RIGHT_MANAGE_GROUPS, details, error);
}

static int method_create_group(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *settings = NULL, *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        const char *name, *type;
        BusCall *call = NULL;
        Caller caller;
        int r = sd_bus_message_read(m, "ss", &name, &type);

        if (r >= 0)
                r = bus_read_dict(m, &settings);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = auth_named_group(b, m, NULL, name, json_string_value(json_object_get(options, "id")), type, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(b, m, &caller, error);
        if (r < 0)
                return r;
        r = bus_call_new(b, m, OBJECT_GROUP, &call);
        if (r >= 0)
                r = manager_create_group(b->manager, &caller, name, type, settings, options, bus_call_done_path, call,
                                         &fault);
        return finish(r, call, &fault, error);
}

static int read_devices(Bus *b, json_t *paths, Device ***ret, Fault *fault) {
        _cleanup_free_ Device **devices = calloc(json_array_size(paths) + 1, sizeof(Device *));
        size_t index;
        json_t *path;

        if (!devices)
                return fault_oom(fault);
        json_array_foreach(paths, index, path) {
                char id[ID_SIZE];
                if (bus_path_parse(json_string_value(path), OBJECT_DEVICE, id) >= 0)
                        devices[index] = inventory_find(b->manager->inventory, id);
                if (!devices[index])
                        return fault_set(fault, -ENOENT, FAULT_UNKNOWN_DEVICE, "there is no device at %.128s",
                                         json_string_value(path));
        }
        *ret = TAKE_PTR(devices);
        return 0;
}

static int method_make_resource(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *paths = NULL, *options = NULL;
        _cleanup_free_ Device **devices = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        const char *group;
        BusCall *call = NULL;
        Caller caller;
        int r = bus_read_path_list(m, &paths);

        if (r >= 0)
                r = sd_bus_message_read(m, "s", &group);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = auth_named_group(b, m, policy_find_group_by_name(b->manager->policy, group), group, NULL, "", error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(b, m, &caller, error);
        if (r < 0)
                return r;
        r = read_devices(b, paths, &devices, &fault);
        if (r >= 0)
                r = bus_call_new(b, m, OBJECT_RULE, &call);
        if (r >= 0)
                r = manager_make_resource(b->manager, &caller, devices, group, options, bus_call_done_paths, call,
                                          &fault);
        return finish(r, call, &fault, error);
}

int bus_reply_preview(sd_bus_message *m, json_t *result, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        size_t index;
        json_t *id;
        int r = sd_bus_message_new_method_return(m, &reply);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        json_array_foreach(json_object_get(result, "matched"), index, id) {
                char path[BUS_PATH_SIZE];
                bus_path(OBJECT_DEVICE, json_string_value(id), path);
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 'o', path);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = bus_append_dict_list(reply, json_object_get(result, "near"));
        if (r >= 0)
                r = bus_append_dict_list(reply, json_object_get(result, "claimed"));
        if (r >= 0)
                r = bus_append_dict_list(reply, json_object_get(result, "findings"));
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r < 0 ? bus_error_from_fault(error, r, NULL) : 1;
}

/* ---- allocate ---- */

static bool names_other_user(const Caller *caller, json_t *options) {
        static const char *const keys[] = { "owner-uid", "node-uid", "node-gid" }; /* no gid is the caller's own, see auth.c */

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                json_t *value = json_object_get(options, keys[i]);
                double real = json_real_value(value);
                uint32_t uid = (uint32_t) json_integer_value(value);

                if (!value)
                        continue;
                if (json_is_real(value) && real >= 0 && real <= UINT32_MAX)
                        uid = (uint32_t) real; /* JavaScript has no integers */
                if (json_is_string(value) && parse_uint32(json_string_value(value), &uid) < 0)
                        continue; /* refused later, with its name */
                if (uid != (i == 2 ? caller->gid : caller->uid))
                        return true;
        }
        return false;
}

int bus_allocate(Bus *b, sd_bus_message *m, const char *consumer, json_t *requests, json_t *options,
                 sd_bus_error *error) {
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = auth_caller(b, m, &caller, error);

        if (r < 0)
                return r;
        if (names_other_user(&caller, options)) {
                r = auth_check(b, m, RIGHT_ALLOCATE_ANY, NULL, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
                caller.any = true;
        }
        r = auth_groups(b, m, requests, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_call_new(b, m, OBJECT_ALLOCATION, &call);
        if (r >= 0)
                r = manager_allocate(b->manager, &caller, consumer, requests, options, bus_call_done_allocated, call,
                                     &fault);
        return finish(r, call, &fault, error);
}

static int method_allocate(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *requests = NULL, *options = NULL;
        const char *consumer;
        int r = sd_bus_message_read(m, "s", &consumer);

        if (r >= 0)
                r = bus_read_dict_list(m, &requests);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        return bus_allocate(userdata, m, consumer, requests, options, error);
}

/* ---- the rest ---- */

static int method_rescan(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        int r = bus_no_options(m, "the options of Rescan", error);

        if (r < 0)
                return r;
        r = auth_check(b, m, RIGHT_MANAGE_DEVICES, NULL, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_rescan(b->manager);
        if (r >= 0)
                bus_note_done(b, m, NULL, NULL, 0);
        return r < 0 ? bus_error_from_fault(error, r, NULL) : sd_bus_reply_method_return(m, NULL);
}

static int method_acknowledge(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = bus_no_options(m, "the options of AcknowledgeDamage", error);

        if (r < 0)
                return r;
        r = auth_check(b, m, RIGHT_MANAGE_DRIVERS, NULL, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = auth_caller(b, m, &caller, error);
        if (r < 0)
                return r;
        r = bus_call_new(b, m, OBJECT_MANAGER, &call);
        if (r >= 0)
                r = manager_acknowledge(b->manager, &caller, bus_call_done_empty, call, &fault);
        return finish(r, call, &fault, error);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define ANYBODY SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Node", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Readiness", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Generation", "t", get_generation, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
        SD_BUS_PROPERTY("Types", "as", get_types, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "as", get_features, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Problems", "as", get_problems, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("GetDevice", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", device), method_get_device,
                                ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("GetGroup", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", group), method_get_group, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("ListDevices", SD_BUS_ARGS("s", type, "a(sss)", where, "a{sv}", options),
                                SD_BUS_RESULT("a(oa{sv})", page, "s", cursor, "t", generation), bus_method_list_devices,
                                ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("CreateGroup", SD_BUS_ARGS("s", name, "s", type, "a{sv}", settings, "a{sv}", options),
                                SD_BUS_RESULT("o", group), method_create_group, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("MakeResource", SD_BUS_ARGS("ao", devices, "s", group, "a{sv}", options),
                                SD_BUS_RESULT("ao", rules), method_make_resource, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Plan", SD_BUS_ARGS("s", verb, "ao", objects, "aa{sv}", requests, "a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", choices, "aa{sv}", steps, "aa{sv}", findings, "s", token),
                                bus_method_plan, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Allocate", SD_BUS_ARGS("s", consumer, "aa{sv}", requests, "a{sv}", options),
                                SD_BUS_RESULT("o", allocation, "o", job), method_allocate, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("History", SD_BUS_ARGS("a{sv}", filter), SD_BUS_RESULT("aa{sv}", rows), bus_method_history,
                                ANYBODY),
        SD_BUS_PROPERTY("RebootReasons", "as", bus_get_reboot_reasons, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("CheckHost", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", checks),
                                bus_method_check_host, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("TopologyBoots", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", boots),
                                bus_method_topology_boots, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("TopologyDiff", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", changes),
                                bus_method_topology_diff, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Rescan", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_rescan, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("AcknowledgeDamage", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_acknowledge,
                                ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Export", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", document), bus_method_export,
                                ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Apply", SD_BUS_ARGS("s", document, "a{sv}", options), SD_BUS_RESULT("aa{sv}", changes),
                                bus_method_apply, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("SupportReport", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("h", report),
                                bus_method_support_report, ANYBODY),
        SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("o", job), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("o", job, "s", result, "s", error, "s", message), 0),
        SD_BUS_VTABLE_END,
};

int bus_register_manager(Bus *b) {
        return sd_bus_add_object_vtable(b->bus, NULL, BUS_ROOT, bus_interface(OBJECT_MANAGER), vtable, b);
}
