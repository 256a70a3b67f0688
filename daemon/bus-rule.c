/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"
#include "lib/limits.h"

static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        Bus *b = userdata;
        char id[ID_SIZE];
        Rule *rule = bus_path_parse(path, OBJECT_RULE, id) >= 0 ? policy_find_rule(b->manager->policy, id) : NULL;

        if (!rule)
                return 0;
        b->found[OBJECT_RULE] = (BusObject) { b, rule };
        *ret_found = &b->found[OBJECT_RULE];
        return 1;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        Bus *b = userdata;
        size_t n = 0, total = policy_count_rules(b->manager->policy);
        const char **ids;
        int r;

        if (bus_asks_below(OBJECT_RULE, prefix))
                return 0;
        if (total > MANAGED_OBJECTS_MAX)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "TooManyObjects",
                                         "%zu rules are too many for one answer; use Export", total);
        ids = calloc(total + 1, sizeof(char *));
        if (!ids)
                return -ENOMEM;
        for (Rule *rule = policy_first_rule(b->manager->policy); rule; rule = rule->hh.next)
                ids[n++] = rule->id;
        r = bus_nodes(OBJECT_RULE, ids, n, ret_nodes);
        free(ids);
        return r;
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                    void *userdata, sd_bus_error *error) {
        const Rule *rule = ((const BusObject *) userdata)->object;
        const char *text;

        if (streq(property, "Id"))
                text = rule->id;
        else if (streq(property, "Name"))
                text = rule->name;
        else if (streq(property, "Action"))
                text = rule_action_to_string(rule->action);
        else if (streq(property, "NodeFilter"))
                text = rule->node_filter;
        else if (streq(property, "Origin"))
                text = rule->origin;
        else if (streq(property, "Strength"))
                text = rule->strength;
        else if (streq(property, "Reason"))
                text = rule->invalid;
        else
                text = rule->invalid ? "invalid" : "valid";
        return sd_bus_message_append(reply, "s", strempty(text));
}

static int get_group(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const Rule *rule = ((const BusObject *) userdata)->object;
        char group[BUS_PATH_SIZE];

        bus_path(OBJECT_GROUP, rule->group->id, group);
        return sd_bus_message_append(reply, "o", group);
}

static int get_enabled(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                       void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "b", ((const Rule *) ((const BusObject *) userdata)->object)->enabled);
}

static int get_where(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                     void *userdata, sd_bus_error *error) {
        const Rule *rule = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *where = rule->where ? conditions_to_json(rule->where) : json_array();

        return where ? bus_append_conditions(reply, where) : -ENOMEM;
}

static int get_identity(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Rule *rule = ((const BusObject *) userdata)->object;
        _cleanup_(json_decrefp) json_t *empty = json_object();

        return empty ? bus_append_dict(reply, rule->identity ?: empty) : -ENOMEM;
}

static int get_matched(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusObject *object = userdata;
        const Rule *rule = object->object;
        Manager *m = object->bus->manager;
        _cleanup_free_ Device **devices = NULL;
        size_t n = 0;
        int r = rule_applies(rule, m->config.node) ? policy_rule_devices(m->policy, rule, &devices, &n) : 0;

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        for (size_t i = 0; i < n && r >= 0; i++) {
                char text[BUS_PATH_SIZE];
                bus_path(OBJECT_DEVICE, devices[i]->id, text);
                r = sd_bus_message_append_basic(reply, 'o', text);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int check_manage(const BusObject *object, sd_bus_message *m, Caller *ret, sd_bus_error *error) {
        const Group *group = ((const Rule *) object->object)->group;
        const char *details[] = { "group", group->id, "type", group->type, "tenant", strempty(group->tenant), NULL };
        int r = auth_check(object->bus, m, RIGHT_MANAGE_GROUPS, details, error);

        return r <= 0 ? r : auth_caller(object->bus, m, ret, error) < 0 ? -EACCES : 1;
}

static int method_update(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_(json_decrefp) json_t *changes = NULL, *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = check_manage(&object, m, &caller, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_read_dict(m, &changes);
        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r >= 0)
                r = bus_call_new(object.bus, m, OBJECT_RULE, &call);
        if (r >= 0)
                r = manager_update_rule(object.bus->manager, &caller, object.object, changes, options,
                                        bus_call_done_empty, call, &fault);
        return r >= 0 ? 1 : bus_call_refuse(call, r, &fault, error);
}

static int method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusObject object = *(BusObject *) userdata;
        _cleanup_fault_ Fault fault = { 0 };
        BusCall *call = NULL;
        Caller caller;
        int r = check_manage(&object, m, &caller, error);

        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_no_options(m, "the options of Remove", error);
        if (r < 0)
                return r;
        r = bus_call_new(object.bus, m, OBJECT_RULE, &call);
        if (r >= 0)
                r = manager_remove_rule(object.bus->manager, &caller, object.object, bus_call_done_empty, call, &fault);
        return r >= 0 ? 1 : bus_call_refuse(call, r, &fault, error);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Group", "o", get_group, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Enabled", "b", get_enabled, 0, CHANGES),
        SD_BUS_PROPERTY("Action", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("NodeFilter", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Where", "a(sss)", get_where, 0, CHANGES),
        SD_BUS_PROPERTY("Origin", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Strength", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Identity", "a{sv}", get_identity, 0, CHANGES),
        /* Computed when asked: over ten thousand devices it is too much to send with each change. */
        SD_BUS_PROPERTY("Matched", "ao", get_matched, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Reason", "s", get_text, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", changes, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_update, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_remove,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int bus_register_rules(Bus *b) {
        int r = sd_bus_add_fallback_vtable(b->bus, NULL, bus_prefix(OBJECT_RULE), bus_interface(OBJECT_RULE), vtable, find,
                                           b);

        return r < 0 ? r : sd_bus_add_node_enumerator(b->bus, NULL, bus_prefix(OBJECT_RULE), enumerate, b);
}
