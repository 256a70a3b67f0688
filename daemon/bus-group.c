/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "demand.h"
#include "json-util.h"
#include "lib/limits.h"
#include "provision.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE];
        Group *group = bus_path_parse(path, OBJECT_GROUP, id) >= 0 ? policy_find_group(b->manager->policy, id) : NULL;

        if (!group)
                return 0;
        b->found[OBJECT_GROUP] = (BusObject) { b, group };
        *ret_found = &b->found[OBJECT_GROUP];
        return 1;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *b = userdata;
        size_t n = 0, bytes = 0;
        const char **ids;
        int r;

        if (bus_asks_below(OBJECT_GROUP, prefix))
                return 0;
        ids = calloc(policy_count_groups(b->manager->policy) + 1, sizeof(char *));
        if (!ids)
                return -ENOMEM;
        for (Group *group = policy_first_group(b->manager->policy); group; group = group->hh.next) {
                bytes += 2048 + strlen(group->description) + group->n_members * (ID_SIZE + 32);
                ids[n++] = group->id;
        }
        if (bytes > MANAGED_BYTES_MAX) {
                free(ids);
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "TooManyObjects",
                                         "%zu groups with so many devices are too much for one answer; use Export", n);
        }
        r = bus_nodes(OBJECT_GROUP, ids, n, ret_nodes);
        free(ids);
        return r;
}

/* ---- properties ---- */

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Group *group = ((const BusObject *) userdata)->object;
        const char *text;

        if (streq(property, "Id"))
                text = group->id;
        else if (streq(property, "Name"))
                text = group->name;
        else if (streq(property, "Type"))
                text = group->type;
        else if (streq(property, "Description"))
                text = group->description;
        else if (streq(property, "Class"))
                text = group->class;
        else if (streq(property, "Tenant"))
                text = group->tenant;
        else
                text = choice_policy_to_string(group->choice);
        return sd_bus_message_append(reply, "s", strempty(text));
}

static int get_enabled(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                       void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "b", ((const Group *) ((const BusObject *) userdata)->object)->enabled);
}

static int get_settings(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Group *group = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *settings = settings_to_json(&group->settings);

        return settings ? bus_append_dict(reply, settings) : -ENOMEM;
}

static int get_user_defined(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Group *group = ((const BusObject *) userdata)->object;
        static char *none[] = { NULL };

        return sd_bus_message_append_strv(reply, group->user_defined ? group->user_defined : none);
}

static int get_devices(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Group *group = ((const BusObject *) userdata)->object;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (size_t i = 0; i < group->n_members && r >= 0; i++) {
                char device[BUS_PATH_SIZE];
                bus_path(OBJECT_DEVICE, group->members[i]->id, device);
                r = sd_bus_message_append_basic(reply, 'o', device);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_providers(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (Provider *p = inventory_first_provider(object->bus->manager->inventory); p && r >= 0; p = p->hh.next) {
                char text[BUS_PATH_SIZE];

                if (!p->device || !demand_exists(object->bus->manager, object->object, p->device, NULL))
                        continue;
                bus_path(OBJECT_DEVICE, p->device->id, text);
                r = sd_bus_message_append_basic(reply, 'o', text);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_rules(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const Group *group = ((const BusObject *) userdata)->object;
        int r = sd_bus_message_open_container(reply, 'a', "o");

        for (const Rule *rule = group->rules; rule && r >= 0; rule = rule->next) {
                char text[BUS_PATH_SIZE];
                bus_path(OBJECT_RULE, rule->id, text);
                r = sd_bus_message_append_basic(reply, 'o', text);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_allocations(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        _cleanup_free_ Allocation **list = NULL;
        size_t n = 0;
        int r = manager_group_allocations(object->bus->manager, object->object, &list, &n);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        for (size_t i = 0; i < n && r >= 0; i++) {
                char text[BUS_PATH_SIZE];
                bus_path(OBJECT_ALLOCATION, list[i]->id, text);
                r = sd_bus_message_append_basic(reply, 'o', text);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_count(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        unsigned total, available, allocated;

        manager_group_counts(object->bus->manager, object->object, &total, &available, &allocated);
        return sd_bus_message_append(reply, "u",
                                     streq(property, "Total")       ? total
                                     : streq(property, "Available") ? available
                                                                    : allocated);
}

static int get_notes(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const Group *group = ((const BusObject *) userdata)->object;
        int r = sd_bus_message_open_container(reply, 'a', "s");

        if (r >= 0 && !group->module)
                r = sd_bus_message_append_basic(reply, 's', "module-missing");
        if (r >= 0 && !provision_is_met(((const BusObject *) userdata)->bus->manager, group))
                r = sd_bus_message_append_basic(reply, 's', "not-provisioned");
        for (size_t i = 1; i < group->n_members && r >= 0; i++)
                if (group->members[i]->name != group->members[0]->name) {
                        r = sd_bus_message_append_basic(reply, 's', "mixed-models");
                        break;
                }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- methods ---- */

static int check_manage(const BusObject *object, sd_bus_message *m, Caller *ret, sd_bus_error *error) {
        const Group *group = object->object;
        const char *details[] = { "group", group->id, "type", group->type, "tenant", strempty(group->tenant), NULL };
        int r = auth_check(object->bus, m, RIGHT_MANAGE_GROUPS, details, error);

        return r <= 0 ? r : auth_caller(object->bus, m, ret, error) < 0 ? -EACCES : 1;
}

static int finish(int r, BusCall *call, Fault *fault, sd_bus_error *error) {
        return r >= 0 ? 1 : bus_call_refuse(call, r, fault, error);
}

static int method_add_rule(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *where = NULL, *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        const char *name;
        Caller caller;
        int r = check_manage(&object, m, &caller, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = bus_read_conditions(m, &where);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r >= 0)
                r = bus_call_new(object.bus, m, OBJECT_RULE, &call);
        if (r >= 0)
                r = manager_add_rule(object.bus->manager, &caller, object.object, name, where, options,
                                     bus_call_done_path, call, &fault);
        return finish(r, call, &fault, error);
}

static int method_update(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *changes = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = check_manage(&object, m, &caller, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_read_dict(m, &changes);
        if (r >= 0) {
                r = bus_no_options(m, "the options of Update", error);
                if (r < 0)
                        return r;
                r = bus_call_new(object.bus, m, OBJECT_GROUP, &call);
        }
        if (r >= 0)
                r = manager_update_group(object.bus->manager, &caller, object.object, changes, bus_call_done_empty, call,
                                         &fault);
        return finish(r, call, &fault, error);
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Job *job = NULL;
        Caller caller;
        int r = check_manage(&object, m, &caller, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_read_dict(m, &options);
        if (r >= 0)
                r = bus_call_new(object.bus, m, OBJECT_GROUP, &call);
        if (r >= 0)
                r = manager_remove_group(object.bus->manager, &caller, object.object, options, bus_call_done_no_job, call,
                                         &job, &fault);
        if (r < 0 || !job)
                return finish(r, call, &fault, error);
        bus_call_free(call);
        return bus_reply_job(m, job);
}

static int method_provision(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        Caller caller;
        Job *job;
        int r = check_manage(&object, m, &caller, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_read_dict(m, &options);
        if (r >= 0)
                r = manager_provision_group(object.bus->manager, &caller, object.object, options, &job, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : bus_reply_job(m, job);
}

static int method_preview(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *where = NULL, *result = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r = bus_read_conditions(m, &where);

        if (r >= 0)
                r = bus_no_options(m, "the options of PreviewRule", error);
        if (r < 0)
                return sd_bus_error_is_set(error) ? r : bus_error_from_fault(error, r, NULL);
        r = policy_preview(object.bus->manager->policy, object.object, where, &result, &fault);
        if (r >= 0)
                r = demand_preview(object.bus->manager, object.object, where, result, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : bus_reply_preview(m, result, error);
}

static int method_allocate(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        Group *group = object.object;
        _cleanup_(json_decrefp) json_t *options = NULL, *requests = NULL;
        const char *consumer;
        int r = sd_bus_message_read(m, "s", &consumer);

        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        requests = json_pack("[{s:s}]", "group", group->id);
        return bus_allocate(object.bus, m, consumer, requests, options, error);
}

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;

        return bus_explain(object.bus, m, OBJECT_GROUP, ((const Group *) object.object)->id, error);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Type", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Description", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Class", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Enabled", "b", get_enabled, 0, CHANGES),
        SD_BUS_PROPERTY("Settings", "a{sv}", get_settings, 0, CHANGES),
        SD_BUS_PROPERTY("UserDefined", "as", get_user_defined, 0, CHANGES),
        SD_BUS_PROPERTY("Choice", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Devices", "ao", get_devices, 0, CHANGES),
        SD_BUS_PROPERTY("Providers", "ao", get_providers, 0, CHANGES),
        SD_BUS_PROPERTY("Rules", "ao", get_rules, 0, CHANGES),
        SD_BUS_PROPERTY("Allocations", "ao", get_allocations, 0, CHANGES),
        SD_BUS_PROPERTY("Total", "u", get_count, 0, CHANGES),
        SD_BUS_PROPERTY("Available", "u", get_count, 0, CHANGES),
        SD_BUS_PROPERTY("Allocated", "u", get_count, 0, CHANGES),
        SD_BUS_PROPERTY("Tenant", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Notes", "as", get_notes, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("AddRule", SD_BUS_ARGS("s", name, "a(sss)", where, "a{sv}", options),
                                SD_BUS_RESULT("o", rule), method_add_rule, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("PreviewRule", SD_BUS_ARGS("a(sss)", where, "a{sv}", options),
                                SD_BUS_RESULT("ao", matched, "aa{sv}", near, "aa{sv}", claimed, "aa{sv}", findings),
                                method_preview, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Allocate", SD_BUS_ARGS("s", consumer, "a{sv}", options),
                                SD_BUS_RESULT("o", allocation, "o", job), method_allocate, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", findings),
                                method_explain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", changes, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_update, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Provision", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_provision,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job), method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_register_groups(Bus *b) {
        int r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_GROUP), bus_interface(OBJECT_GROUP), vtable,
                                           find, b);

        return r < 0 ? r : sd_bus_add_node_enumerator(b->bus, NULL, bus_prefix(OBJECT_GROUP), enumerate, b);
}
