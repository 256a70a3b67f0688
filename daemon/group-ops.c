/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Operations on groups and rules: a new body is checked, written, and only then takes effect. Between the check and the
 * commit the loop goes on, so what was checked is looked up again when it is applied. */

#include <stdio.h>

#include "identity.h"
#include "json-util.h"
#include "log.h"
#include "operation.h"
#include "pending.h"
#include "provision.h"
#include "room.h"

static int check_writable(Manager *m, Fault *fault) {
        if (m->readiness == READINESS_LIMITED)
                return fault_set(fault, -EROFS, FAULT_READ_ONLY_STATE, "the state can't be written: %s",
                                 strempty(store_health_reason(m->store)));
        return 0;
}

static void announce(Manager *m, ObjectKind kind, const char *id) {
        room_all_changed(m);
        if (m->events.added)
                m->events.added(m->events.userdata, kind, id);
}

static void announce_removal(Manager *m, ObjectKind kind, const char *id) {
        room_all_changed(m);
        if (m->events.removed)
                m->events.removed(m->events.userdata, kind, id);
}

static void all_changed(Manager *m, ObjectKind kind, const char *id, const char *const *properties) {
        for (size_t i = 0; properties[i]; i++)
                manager_changed(m, kind, id, properties[i]);
}

static const char *const group_properties[] = { "Name", "Description", "Class", "Enabled", "Settings", "UserDefined",
                                                "Choice", "Tenant", "Available", "Notes", NULL };
/* Without Matched, which is computed when asked: a property without a change signal spoils the signal of all. */
static const char *const rule_properties[] = { "Name", "Enabled", "Action", "NodeFilter", "Where", "Origin", "Strength",
                                               "Identity", "State", "Reason", NULL };

void manager_group_edited(Manager *m, const char *id) {
        all_changed(m, OBJECT_GROUP, id, group_properties);
        room_all_changed(m);
        manager_restart_required(m, id);
}

void manager_rule_edited(Manager *m, const char *id) {
        all_changed(m, OBJECT_RULE, id, rule_properties);
        room_all_changed(m);
}

/* ---- create ---- */

static void on_group_stored(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Group *group = p->group;

        if (result >= 0) {
                result = policy_add_group(p->m->policy, group);
                if (result >= 0) {
                        TAKE_PTR(p->group);
                        log_message(LOG_INFO, LOG_EVENT_GROUP, log_fields("GROUP", group->id), "group %s created",
                                    group->name);
                        announce(p->m, OBJECT_GROUP, group->id);
                }
        }
        pending_finish(p, result, fault, result >= 0 ? group->id : NULL);
}

static bool group_id_exists(Manager *m, const char *id) {
        return policy_find_group(m->policy, id) != NULL || pending_reserves(m, id);
}

static int group_body(const char *name, const char *type, json_t *settings, json_t *options, json_t **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = options ? json_deep_copy(options) : json_object();

        if (!body)
                return fault_oom(fault);
        if (!json_is_object(body))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the options must be a dictionary");
        json_object_del(body, "id");
        json_object_set_new(body, "name", json_string(name));
        json_object_set_new(body, "type", json_string(type));
        if (settings && json_object_size(settings) > 0)
                json_object_set(body, "settings", settings);
        *ret = TAKE_PTR(body);
        return 0;
}

static int new_group_id(Manager *m, const char *name, json_t *options, char ret[static ID_SIZE], Fault *fault) {
        const char *wanted = json_string_value(json_object_get(options, "id"));
        int r;

        if (!wanted)
                r = policy_new_group_id(m->policy, name, ret);
        else if (!id_is_valid(wanted))
                r = -EINVAL;
        else {
                snprintf(ret, ID_SIZE, "%s", wanted);
                r = 0;
        }
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_VALUE,
                                 "'%.64s' gives no id: an id needs letters a to z or digits, with single dashes inside, at "
                                 "most %u",
                                 wanted ? wanted : name, ID_MAX);
        if (group_id_exists(m, ret))
                return fault_set_object(fault, -EEXIST, FAULT_GROUP_EXISTS, ret, "there is a group '%s' already", ret);
        return 0;
}

int manager_create_group(Manager *m, const Caller *caller, const char *name, const char *type, json_t *settings,
                         json_t *options, OpDone done, void *userdata, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = NULL, *stored = NULL;
        _cleanup_(group_freep) Group *group = NULL;
        char id[ID_SIZE];
        int r = check_writable(m, fault);

        if (r >= 0 && policy_count_groups(m->policy) >= GROUPS_MAX)
                r = fault_set(fault, -E2BIG, FAULT_LIMIT_REACHED, "there are %u groups already", GROUPS_MAX);
        if (r >= 0 && policy_find_group_by_name(m->policy, name))
                r = fault_set(fault, -EEXIST, FAULT_GROUP_EXISTS, "there is a group '%.64s' already", name);
        if (r >= 0)
                r = group_body(name, type, settings, options, &body, fault);
        if (r >= 0)
                r = group_from_json("new", body, m->loader, false, &group, fault);
        if (r >= 0)
                r = new_group_id(m, name, options, id, fault);
        if (r < 0)
                return r;
        memcpy(group->id, id, sizeof(id));
        stored = group_to_json(group);
        Pending *p = stored ? pending_new(m, done, userdata) : NULL;
        if (!p)
                return fault_oom(fault);
        p->group = TAKE_PTR(group);
        return pending_insert(p, TABLE_GROUPS, p->group->id, NULL, stored, on_group_stored, fault);
}

static void on_rule_stored(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Rule *rule = p->rule;

        if (result >= 0) {
                /* The group may have gone while the rule was written. */
                Group *group = policy_find_group(p->m->policy, p->owner);
                result = group ? 0 : -ENOENT;
                if (group) {
                        rule->group = group;
                        result = policy_add_rule(p->m->policy, rule);
                }
                if (result >= 0) {
                        TAKE_PTR(p->rule);
                        log_message(LOG_INFO, LOG_EVENT_RULE, log_fields("RULE", rule->id, "GROUP", rule->group->id),
                                    "rule %s added to group %s", rule->name, rule->group->name);
                        announce(p->m, OBJECT_RULE, rule->id);
                        manager_changed(p->m, OBJECT_GROUP, rule->group->id, "Rules");
                }
        }
        pending_finish(p, result, fault, result >= 0 ? rule->id : NULL);
}

static int new_rule_id(Manager *m, const Group *group, json_t *options, char ret[static ID_SIZE], Fault *fault) {
        const char *wanted = json_string_value(json_object_get(options, "id"));

        if (!wanted) {
                int r = policy_new_rule_id(m->policy, group, ret);
                return r < 0 ? fault_set(fault, r, FAULT_LIMIT_REACHED, "no id is free for a rule of '%s'", group->id)
                             : 0;
        }
        if (!id_is_valid(wanted))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%.64s' is no id", wanted);
        if (policy_find_rule(m->policy, wanted) || pending_reserves(m, wanted))
                return fault_set_object(fault, -EEXIST, FAULT_RULE_EXISTS, wanted, "there is a rule '%s' already",
                                        wanted);
        snprintf(ret, ID_SIZE, "%s", wanted);
        return 0;
}

int manager_add_rule(Manager *m, const Caller *caller, Group *group, const char *name, json_t *where, json_t *options,
                     OpDone done, void *userdata, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = options ? json_deep_copy(options) : json_object(), *stored = NULL;
        _cleanup_(rule_freep) Rule *rule = NULL;
        char id[ID_SIZE];
        int r = check_writable(m, fault);

        if (r < 0)
                return r;
        if (policy_count_rules(m->policy) >= RULES_MAX)
                return fault_set(fault, -E2BIG, FAULT_LIMIT_REACHED, "there are %u rules already", RULES_MAX);
        r = new_rule_id(m, group, options, id, fault);
        if (r < 0)
                return r;
        json_object_del(body, "id");
        json_object_set_new(body, "name", json_string(name));
        json_object_set(body, "where", where);
        r = rule_from_json(id, body, group, group->module, false, &rule, fault);
        if (r >= 0)
                r = demand_check(m, group->module, &(PolicyChange) { .rule = rule }, fault);
        if (r < 0)
                return r;
        stored = rule_to_json(rule);
        Pending *p = stored ? pending_new(m, done, userdata) : NULL;
        if (!p)
                return fault_oom(fault);
        p->rule = TAKE_PTR(rule);
        snprintf(p->owner, sizeof(p->owner), "%s", group->id);
        return pending_insert(p, TABLE_RULES, id, group->id, stored, on_rule_stored, fault);
}

/* ---- update ---- */

static void on_group_replaced(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        char id[ID_SIZE];

        memcpy(id, p->group->id, sizeof(id));
        if (result >= 0)
                result = policy_replace_group(p->m->policy, p->group);
        if (result >= 0) {
                TAKE_PTR(p->group);
                manager_group_edited(p->m, id);
                manager_kick(p->m);
        }
        pending_finish(p, result, fault, result >= 0 ? id : NULL);
}

static bool name_is_taken(Manager *m, const char *name, const Group *except) {
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                if (group != except && streq(group->name, name))
                        return true;
        return false;
}

/* A change that is being written is the ground for the next one: two edits of unlike keys must not undo each other. */
static Group *newest_group(Manager *m, Group *group) {
        for (Pending *p = m->pending; p; p = p->next)
                if (p->group && streq(p->group->id, group->id))
                        return p->group;
        return group;
}

static Rule *newest_rule(Manager *m, Rule *rule) {
        for (Pending *p = m->pending; p; p = p->next)
                if (p->rule && streq(p->rule->id, rule->id)) {
                        p->rule->group = rule->group; /* it may have been replaced meanwhile */
                        return p->rule;
                }
        return rule;
}

/* What the caller gives is checked in full. What stays may hold settings that the module does not know any more. */
static int check_group_changes(Manager *m, const Group *group, json_t *changes, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = json_deep_copy(changes);
        _cleanup_(group_freep) Group *checked = NULL;

        if (!body)
                return fault_oom(fault);
        json_object_set_new(body, "type", json_string(group->type));
        if (!json_object_get(body, "name"))
                json_object_set_new(body, "name", json_string(group->name));
        return group_from_json(group->id, body, m->loader, false, &checked, fault);
}

int manager_update_group(Manager *m, const Caller *caller, Group *group, json_t *changes, OpDone done, void *userdata,
                         Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = group_to_json(newest_group(m, group)), *stored = NULL;
        _cleanup_(group_freep) Group *next = NULL;
        const char *type = json_string_value(json_object_get(changes, "type"));
        int r = check_writable(m, fault);

        if (r < 0)
                return r;
        if (!body || json_object_update(body, changes) < 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the changes must be a dictionary");
        if (type && !streq(type, group->type))
                return fault_set_object(fault, -EINVAL, FAULT_INVALID_VALUE, group->id,
                                        "the type of a group can't change; make a new group");
        r = group->module ? check_group_changes(m, group, changes, fault) : 0;
        if (r >= 0 && group->kept_settings && json_object_get(changes, "settings"))
                r = json_object_update_missing(json_object_get(body, "settings"), group->kept_settings);
        if (r >= 0)
                r = group_from_json(group->id, body, m->loader, true, &next, fault);
        if (r >= 0 && json_object_get(changes, "settings"))
                r = demand_check(m, group->module, &(PolicyChange) { .group = next }, fault);
        if (r < 0)
                return r;
        if (name_is_taken(m, next->name, group))
                return fault_set(fault, -EEXIST, FAULT_GROUP_EXISTS, "there is a group '%.64s' already", next->name);
        stored = group_to_json(next);
        Pending *p = stored ? pending_new(m, done, userdata) : NULL;
        if (!p)
                return fault_oom(fault);
        p->group = TAKE_PTR(next);
        return pending_put(p, TABLE_GROUPS, p->group->id, NULL, stored, on_group_replaced, fault);
}

static void on_rule_replaced(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        char id[ID_SIZE];

        memcpy(id, p->rule->id, sizeof(id));
        if (result >= 0) {
                p->rule->group = policy_find_group(p->m->policy, p->owner);
                result = p->rule->group ? policy_replace_rule(p->m->policy, p->rule) : -ENOENT;
        }
        if (result >= 0) {
                TAKE_PTR(p->rule);
                manager_rule_edited(p->m, id);
        }
        pending_finish(p, result, fault, result >= 0 ? id : NULL);
}

/* The rule becomes what MakeResource would write for the device that is at its place now. */
static int accept_identity(Manager *m, const Rule *rule, json_t *body, Fault *fault) {
        _cleanup_(json_decrefp) json_t *accepted = NULL;
        const char *place = json_string_value(json_object_get(rule->identity, "device"));
        Device *device = place ? inventory_find(m->inventory, place) : NULL;
        int r;

        if (!place)
                return fault_set_object(fault, -EINVAL, FAULT_INVALID_ARGUMENT, rule->id,
                                        "rule '%s' records no device; only rules of MakeResource do", rule->name);
        if (!device)
                return fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, place,
                                        "there is no device at %s that could be taken in place of the recorded one", place);
        r = identity_rule_body(m, device, &accepted, fault);
        return r < 0 ? r : json_object_update(body, accepted) < 0 ? fault_oom(fault) : 0;
}

int manager_update_rule(Manager *m, const Caller *caller, Rule *rule, json_t *changes, json_t *options, OpDone done,
                        void *userdata, Fault *fault) {
        bool accept = false;
        const JsonKey keys[] = { { "accept-identity", JSON_KEY_BOOL, &accept, 0, false }, { 0 } };
        _cleanup_(json_decrefp) json_t *body = rule_to_json(newest_rule(m, rule)), *stored = NULL;
        _cleanup_(rule_freep) Rule *next = NULL;
        int r = json_parse_object(options, keys, "the options of Update", FAULT_UNKNOWN_OPTION, fault);

        if (r >= 0)
                r = check_writable(m, fault);
        if (r >= 0 && accept)
                r = accept_identity(m, rule, body, fault);
        if (r < 0)
                return r;
        json_object_del(body, "group");
        if (json_object_get(changes, "where")) { /* an edited rule is the administrator's */
                json_object_set_new(body, "origin", json_string("manual"));
                json_object_set_new(body, "strength", json_string(""));
                json_object_del(body, "identity");
        }
        if (!body || json_object_update(body, changes) < 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the changes must be a dictionary");
        /* Conditions that stay as they are may be invalid by now. */
        r = rule_from_json(rule->id, body, rule->group, rule->group->module, !json_object_get(changes, "where") && !accept, &next,
                           fault);
        if (r >= 0)
                r = demand_check(m, rule->group->module, &(PolicyChange) { .rule = next }, fault);
        if (r < 0)
                return r;
        stored = rule_to_json(next);
        Pending *p = stored ? pending_new(m, done, userdata) : NULL;
        if (!p)
                return fault_oom(fault);
        p->rule = TAKE_PTR(next);
        snprintf(p->owner, sizeof(p->owner), "%s", rule->group->id);
        return pending_put(p, TABLE_RULES, p->rule->id, p->owner, stored, on_rule_replaced, fault);
}

/* ---- remove ---- */

static void on_group_removed(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Group *group = policy_find_group(p->m->policy, p->owner);

        if (result >= 0 && group) {
                for (Rule *rule = group->rules; rule; rule = rule->next)
                        announce_removal(p->m, OBJECT_RULE, rule->id);
                announce_removal(p->m, OBJECT_GROUP, group->id);
                policy_remove_group(p->m->policy, group);
        }
        pending_finish(p, result, fault, p->owner);
}

int manager_remove_group_now(Manager *m, const Caller *caller, Group *group, OpDone done, void *userdata, Fault *fault) {
        Pending *p = pending_new(m, done, userdata);

        if (!p)
                return fault_oom(fault);
        snprintf(p->owner, sizeof(p->owner), "%s", group->id);
        return pending_remove(p, TABLE_GROUPS, group->id, TABLE_RULES, on_group_removed, fault);
}

int manager_remove_group(Manager *m, const Caller *caller, Group *group, json_t *options, OpDone done, void *userdata,
                         Job **ret_job, Fault *fault) {
        const JsonKey keys[] = { { 0 } };
        Allocation **users = NULL;
        size_t n = 0;
        int r = json_parse_object(options, keys, "the options of Remove", FAULT_UNKNOWN_OPTION, fault);

        if (r >= 0)
                r = check_writable(m, fault);
        if (r >= 0)
                r = manager_group_allocations(m, group, &users, &n);
        if (r < 0)
                return r;
        if (n > 0)
                r = fault_set_object(fault, -EBUSY, FAULT_GROUP_IN_USE, group->id,
                                     "group '%s' is named by %zu allocation%s, the first of consumer '%s'; release %s first",
                                     group->name, n, n == 1 ? "" : "s", users[0]->consumer, n == 1 ? "it" : "them");
        free(users);
        if (r >= 0 && pending_names_group(m, group->id))
                r = fault_set_object(fault, -EBUSY, FAULT_GROUP_IN_USE, group->id,
                                     "an allocation of group '%s' is being made", group->name);
        if (r >= 0)
                r = operation_unprovision_group(m, caller->uid, group, ret_job, fault);
        return r < 0 || *ret_job ? r : manager_remove_group_now(m, caller, group, done, userdata, fault);
}

static void on_rule_removed(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Rule *rule = policy_find_rule(p->m->policy, p->owner);

        if (result >= 0 && rule) {
                char group[ID_SIZE];
                memcpy(group, rule->group->id, sizeof(group));
                announce_removal(p->m, OBJECT_RULE, rule->id);
                policy_remove_rule(p->m->policy, rule);
                manager_changed(p->m, OBJECT_GROUP, group, "Rules");
        }
        pending_finish(p, result, fault, p->owner);
}

int manager_remove_rule(Manager *m, const Caller *caller, Rule *rule, OpDone done, void *userdata, Fault *fault) {
        int r = check_writable(m, fault);

        /* Without an exclusion a group may demand more. */
        if (r >= 0 && rule->action == RULE_EXCLUDE)
                r = demand_check(m, rule->group->module, &(PolicyChange) { .without_rule = rule->id }, fault);
        if (r < 0)
                return r;
        Pending *p = pending_new(m, done, userdata);
        if (!p)
                return fault_oom(fault);
        snprintf(p->owner, sizeof(p->owner), "%s", rule->id);
        return pending_remove(p, TABLE_RULES, rule->id, _STORE_TABLE_MAX, on_rule_removed, fault);
}
