/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Export and apply: groups and rules as one document. Apply makes the host's groups and rules equal to it, all or nothing;
 * applying the same document twice changes nothing. */

#include <stdio.h>

#include "json-util.h"
#include "lib/limits.h"
#include "log.h"
#include "operation.h"
#include "pending.h"

#define DOCUMENT_VERSION 1

static int compare_groups(const void *a, const void *b) {
        return strcmp((*(Group *const *) a)->id, (*(Group *const *) b)->id);
}

static void export_group(Group *group, json_t *groups, json_t *rules) {
        json_t *body = group_to_json(group);

        json_object_set_new(body, "id", json_string(group->id));
        json_array_append_new(groups, body);
        for (Rule *rule = group->rules; rule; rule = rule->next) {
                body = rule_to_json(rule);
                json_object_set_new(body, "id", json_string(rule->id));
                json_object_set_new(body, "group", json_string(group->id));
                json_array_append_new(rules, body);
        }
}

/* In order of ids, so that two exports can be compared line by line. */
json_t *manager_export(Manager *m) {
        size_t n = 0;
        _cleanup_free_ Group **sorted = calloc(policy_count_groups(m->policy) + 1, sizeof(Group *));
        json_t *groups = json_array(), *rules = json_array();

        if (!sorted) {
                json_decref(groups);
                json_decref(rules);
                return NULL;
        }
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                sorted[n++] = group;
        qsort(sorted, n, sizeof(Group *), compare_groups);
        for (size_t i = 0; i < n; i++)
                export_group(sorted[i], groups, rules);
        return json_pack("{s:i, s:o, s:o}", "version", DOCUMENT_VERSION, "groups", groups, "rules", rules);
}

/* The parsed document beside what is there. */
typedef struct Document {
        Group **groups;   /* owned, NULL-terminated */
        Rule **rules;     /* owned */
        char (*owners)[ID_SIZE]; /* group ids of the rules */
        bool *kept_groups, *kept_rules; /* which are there already just so */
        size_t n_groups, n_rules;
        json_t *changes;  /* [{action, kind, id}…] */
} Document;

static void document_done(Document *d) {
        for (size_t i = 0; i < d->n_rules; i++)
                rule_free(d->rules[i]);
        for (size_t i = 0; i < d->n_groups; i++)
                group_free(d->groups[i]);
        free(d->groups);
        free(d->rules);
        free(d->owners);
        free(d->kept_groups);
        free(d->kept_rules);
        json_decref(d->changes);
}

static Group *document_group(const Document *d, const char *id) {
        for (size_t i = 0; i < d->n_groups; i++)
                if (streq(d->groups[i]->id, id))
                        return d->groups[i];
        return NULL;
}

static int take_text(json_t *object, const char *key, const char *what, char ret[static ID_SIZE], Fault *fault) {
        const char *text = json_string_value(json_object_get(object, key));

        if (!text || !id_is_valid(text))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%s' of %s must be an id, not '%.64s'", key, what,
                                 strempty(text));
        snprintf(ret, ID_SIZE, "%s", text);
        json_object_del(object, key);
        return 0;
}

static int parse_groups(Manager *m, json_t *array, Document *d, Fault *fault) {
        size_t index;
        json_t *body;

        d->groups = calloc(json_array_size(array) + 1, sizeof(Group *));
        d->kept_groups = calloc(json_array_size(array) + 1, sizeof(bool));
        if (!d->groups || !d->kept_groups)
                return fault_oom(fault);
        json_array_foreach(array, index, body) {
                char id[ID_SIZE];
                int r = take_text(body, "id", "a group", id, fault);

                if (r >= 0 && document_group(d, id))
                        r = fault_set_object(fault, -EEXIST, FAULT_GROUP_EXISTS, id, "group '%s' stands twice", id);
                if (r >= 0)
                        r = group_from_json(id, body, m->loader, false, &d->groups[d->n_groups], fault);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < d->n_groups; i++)
                        if (streq(d->groups[i]->name, d->groups[d->n_groups]->name)) {
                                group_free(d->groups[d->n_groups]);
                                return fault_set_object(fault, -EEXIST, FAULT_GROUP_EXISTS, id,
                                                        "the groups '%s' and '%s' have the same name", d->groups[i]->id, id);
                        }
                d->n_groups++;
        }
        return 0;
}

static int parse_rules(Manager *m, json_t *array, Document *d, Fault *fault) {
        size_t index;
        json_t *body;

        d->rules = calloc(json_array_size(array) + 1, sizeof(Rule *));
        d->owners = calloc(json_array_size(array) + 1, ID_SIZE);
        d->kept_rules = calloc(json_array_size(array) + 1, sizeof(bool));
        if (!d->rules || !d->owners || !d->kept_rules)
                return fault_oom(fault);
        json_array_foreach(array, index, body) {
                char id[ID_SIZE], *owner = d->owners[d->n_rules];
                Group *group = NULL;
                int r = take_text(body, "id", "a rule", id, fault);

                if (r >= 0)
                        r = take_text(body, "group", "a rule", owner, fault);
                if (r >= 0 && !(group = document_group(d, owner)))
                        r = fault_set_object(fault, -ENOENT, FAULT_UNKNOWN_GROUP, owner,
                                             "rule '%s' names the group '%s', which is not in the document", id, owner);
                if (r >= 0)
                        r = rule_from_json(id, body, group, group->module, false, &d->rules[d->n_rules], fault);
                if (r < 0)
                        return r;
                d->n_rules++;
        }
        return 0;
}

static void note_change(Document *d, const char *action, const char *kind, const char *id) {
        json_array_append_new(d->changes, json_pack("{s:s, s:s, s:s}", "action", action, "kind", kind, "id", id));
}

static bool equal_bodies(json_t *a, json_t *b) {
        bool equal = json_equal(a, b);

        json_decref(a);
        json_decref(b);
        return equal;
}

/* Groups first, then rules; what goes is noted last. */
static void compare(Manager *m, Document *d) {
        bool quiet = !m->pending; /* what is being written may differ by the time that the document is applied */

        for (size_t i = 0; i < d->n_groups; i++) {
                Group *there = policy_find_group(m->policy, d->groups[i]->id);
                if (!there)
                        note_change(d, "create", "group", d->groups[i]->id);
                else if (!equal_bodies(group_to_json(there), group_to_json(d->groups[i])))
                        note_change(d, "update", "group", there->id);
                else
                        d->kept_groups[i] = quiet;
        }
        for (size_t i = 0; i < d->n_rules; i++) {
                Rule *there = policy_find_rule(m->policy, d->rules[i]->id);
                if (!there)
                        note_change(d, "create", "rule", d->rules[i]->id);
                else if (!equal_bodies(rule_to_json(there), rule_to_json(d->rules[i])) ||
                         !streq(there->group->id, d->owners[i]))
                        note_change(d, "update", "rule", there->id);
                else
                        d->kept_rules[i] = quiet;
        }
        for (Rule *rule = policy_first_rule(m->policy); rule; rule = rule->hh.next) {
                bool kept = false;
                for (size_t i = 0; i < d->n_rules && !kept; i++)
                        kept = streq(d->rules[i]->id, rule->id);
                if (!kept)
                        note_change(d, "remove", "rule", rule->id);
        }
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                if (!document_group(d, group->id))
                        note_change(d, "remove", "group", group->id);
}

/* Refused while used; the type of a group can't change. */
static int check_changes(Manager *m, const Document *d, Fault *fault) {
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next) {
                const Group *next = document_group(d, group->id);
                Allocation **users = NULL;
                size_t n = 0;
                int r = 0;

                if (next && !streq(next->type, group->type))
                        return fault_set_object(fault, -EINVAL, FAULT_INVALID_VALUE, group->id,
                                                "the type of group '%s' can't change", group->id);
                if (!next && manager_group_allocations(m, group, &users, &n) >= 0 &&
                    (n > 0 || pending_names_group(m, group->id)))
                        r = fault_set_object(fault, -EBUSY, FAULT_GROUP_IN_USE, group->id,
                                             "group '%s' is not in the document but has %zu allocations", group->id, n);
                free(users);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < d->n_rules; i++)
                for (size_t k = 0; k < i; k++)
                        if (streq(d->rules[i]->id, d->rules[k]->id))
                                return fault_set_object(fault, -EEXIST, FAULT_RULE_EXISTS, d->rules[i]->id,
                                                        "rule '%s' stands twice", d->rules[i]->id);
        return 0;
}

typedef struct Apply {
        Manager *m;
        Document document;
        OpDone done;
        void *userdata;
} Apply;

static void apply_groups(Manager *m, Document *d) {
        for (size_t i = 0; i < d->n_groups; i++) {
                Group *group = d->groups[i];
                bool there = policy_find_group(m->policy, group->id) != NULL;

                if (there && d->kept_groups[i])
                        continue;
                int r = there ? policy_replace_group(m->policy, group) : policy_add_group(m->policy, group);

                if (r < 0)
                        continue;
                if (!there && m->events.added)
                        m->events.added(m->events.userdata, OBJECT_GROUP, group->id);
                else if (there)
                        manager_group_edited(m, group->id);
                d->groups[i] = NULL;
        }
}

static void remove_rule(Manager *m, Rule *rule) {
        char group[ID_SIZE];

        memcpy(group, rule->group->id, sizeof(group));
        if (m->events.removed)
                m->events.removed(m->events.userdata, OBJECT_RULE, rule->id);
        policy_remove_rule(m->policy, rule);
        manager_changed(m, OBJECT_GROUP, group, "Rules");
}

static void apply_rules(Manager *m, Document *d) {
        for (size_t i = 0; i < d->n_rules; i++) {
                Rule *rule = d->rules[i];
                Rule *there = policy_find_rule(m->policy, rule->id);

                rule->group = policy_find_group(m->policy, d->owners[i]);
                if (there && there->group == rule->group && d->kept_rules[i])
                        continue;
                if (there && there->group != rule->group) { /* it moves to another group */
                        remove_rule(m, there);
                        there = NULL;
                }
                if (!rule->group || (there ? policy_replace_rule(m->policy, rule) : policy_add_rule(m->policy, rule)) < 0)
                        continue;
                if (!there && m->events.added)
                        m->events.added(m->events.userdata, OBJECT_RULE, rule->id);
                else if (there)
                        manager_rule_edited(m, rule->id);
                manager_changed(m, OBJECT_GROUP, rule->group->id, "Rules");
                d->rules[i] = NULL;
        }
}

/* Rules stand before groups in the list. What somebody else removed while this was written is not there any more. */
static void remove_rest(Manager *m, json_t *changes) {
        json_t *change;
        size_t index;

        json_array_foreach(changes, index, change) {
                const char *id = json_string_value(json_object_get(change, "id"));
                bool is_group = streq(json_string_value(json_object_get(change, "kind")), "group");
                Rule *rule = is_group ? NULL : policy_find_rule(m->policy, id);
                Group *group = is_group ? policy_find_group(m->policy, id) : NULL;

                if (!streq(json_string_value(json_object_get(change, "action")), "remove"))
                        continue;
                if (rule)
                        remove_rule(m, rule);
                if (!group)
                        continue;
                for (Rule *own = group->rules; own && m->events.removed; own = own->next)
                        m->events.removed(m->events.userdata, OBJECT_RULE, own->id); /* added meanwhile */
                if (m->events.removed)
                        m->events.removed(m->events.userdata, OBJECT_GROUP, id);
                policy_remove_group(m->policy, group);
        }
}

static void on_applied(void *userdata, int result, const Fault *fault) {
        Apply *apply = userdata;
        Document *d = &apply->document;

        if (result >= 0) {
                /* Rules that stay move with their groups; rules that go do so before their groups. */
                apply_groups(apply->m, d);
                apply_rules(apply->m, d);
                remove_rest(apply->m, d->changes);
                manager_kick(apply->m);
        }
        if (apply->done)
                apply->done(apply->userdata, result, fault, "changed");
        document_done(d);
        free(apply);
}

static void store_changes(Manager *m, const Document *d, StoreTxn *txn) {
        json_t *change;
        size_t index;

        for (size_t i = 0; i < d->n_groups; i++) {
                _cleanup_(json_decrefp) json_t *body = d->kept_groups[i] ? NULL : group_to_json(d->groups[i]);
                if (body)
                        store_put(txn, TABLE_GROUPS, d->groups[i]->id, NULL, body);
        }
        for (size_t i = 0; i < d->n_rules; i++) {
                _cleanup_(json_decrefp) json_t *body = d->kept_rules[i] ? NULL : rule_to_json(d->rules[i]);
                if (body)
                        store_put(txn, TABLE_RULES, d->rules[i]->id, d->owners[i], body);
        }
        json_array_foreach(d->changes, index, change)
                if (streq(json_string_value(json_object_get(change, "action")), "remove"))
                        store_remove(txn,
                                     streq(json_string_value(json_object_get(change, "kind")), "group") ? TABLE_GROUPS
                                                                                                         : TABLE_RULES,
                                     json_string_value(json_object_get(change, "id")));
}

static int parse_document(Manager *m, const char *text, Document *d, Fault *fault) {
        json_error_t error;
        _cleanup_(json_decrefp) json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        json_t *groups = NULL, *rules = NULL;
        unsigned version = 0;
        const JsonKey keys[] = {
                { "version", JSON_KEY_UINT, &version, 0, true },
                { "groups", JSON_KEY_ARRAY, &groups, 0, true },
                { "rules", JSON_KEY_ARRAY, &rules, 0, true },
                { 0 },
        };

        if (!root)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the document is not valid JSON: line %d, column %d: %s",
                                 error.line, error.column, error.text);
        int r = json_parse_object(root, keys, "the document", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        if (version != DOCUMENT_VERSION)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "the document has version %u; this service knows %d",
                                 version, DOCUMENT_VERSION);
        if (json_array_size(groups) > GROUPS_MAX || json_array_size(rules) > RULES_MAX)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "at most %u groups and %u rules are allowed", GROUPS_MAX,
                                 RULES_MAX);
        r = parse_groups(m, groups, d, fault);
        return r < 0 ? r : parse_rules(m, rules, d, fault);
}

int manager_apply(Manager *m, const Caller *caller, const char *text, bool dry_run, OpDone done, void *userdata,
                  json_t **ret_changes, Fault *fault) {
        Apply *apply = calloc(1, sizeof(Apply));
        StoreTxn *txn;
        int r;

        if (!apply)
                return fault_oom(fault);
        *apply = (Apply) { .m = m, .done = done, .userdata = userdata };
        apply->document.changes = json_array();
        r = parse_document(m, text, &apply->document, fault);
        if (r >= 0) {
                compare(m, &apply->document);
                r = check_changes(m, &apply->document, fault);
        }
        if (r >= 0 && !dry_run && m->readiness == READINESS_LIMITED)
                r = fault_set(fault, -EROFS, FAULT_READ_ONLY_STATE, "the state can't be written: %s",
                              strempty(store_health_reason(m->store)));
        if (r >= 0 && ret_changes)
                *ret_changes = json_incref(apply->document.changes);
        if (r < 0 || dry_run || json_array_size(apply->document.changes) == 0) {
                if (r >= 0 && done)
                        done(userdata, 0, NULL, dry_run && json_array_size(apply->document.changes) > 0 ? "changed"
                                                                                                         : "unchanged");
                document_done(&apply->document);
                free(apply);
                return r;
        }
        txn = store_begin(m->store, STORE_STATE);
        if (txn)
                store_changes(m, &apply->document, txn);
        r = txn ? store_commit(txn, on_applied, apply) : -ENOMEM;
        if (r < 0) {
                document_done(&apply->document);
                free(apply);
                return fault_set(fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
        }
        return 0;
}
