/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "declarative-document.h"

#include <stdarg.h>
#include <stdio.h>

#include "excerpt.h"
#include "json-locate.h"
#include "json-util.h"
#include "lib/limits.h"
#include "lib/schema.h"
#include "pending.h"

#define DOCUMENT_VERSION 1

static const char *const root_keys[] = { "version", "groups", "rules", NULL };
static const char *const group_keys[] = { "id",       "name",         "type",   "description", "class", "enabled",
                                          "settings", "user-defined", "choice", "tenant",      NULL };
static const char *const rule_keys[] = { "id",     "group", "name",   "enabled",  "action", "node-filter",
                                         "where", "origin", "strength", "identity", NULL };

/* ---- where ---- */

/* Prefixes the fault with the place in the document: "/groups/2 (line 14, column 7): …". */
int document_fail_at(const Document *d, const char *array, size_t index, const char *key, int result, Fault *fault) {
        _cleanup_fault_ Fault inner = { 0 };
        char pointer[256] = "";
        JsonPlace place;

        if (!fault || fault->code == FAULT_NONE || result == -ENOMEM)
                return result;
        if (array)
                snprintf(pointer, sizeof(pointer), "/%s/%zu%s%.64s", array, index, key ? "/" : "", strempty(key));
        else
                snprintf(pointer, sizeof(pointer), "/%.64s", strempty(key));
        if (json_locate(d->text, array, index, key, &place) < 0)
                return result;
        fault_move(&inner, fault);
        return fault_set_object(fault, result, inner.code, inner.object, "%s (line %u, column %u): %s", pointer, place.line,
                                place.column, strempty(inner.message));
}

static int check_keys(const Document *d, json_t *object, const char *array, size_t index, const char *const *keys,
                      const char *what, Fault *fault) {
        const char *key;
        json_t *value;

        if (!json_is_object(object))
                return document_fail_at(d, array, index, NULL,
                          fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "%s must be a dictionary", what), fault);
        json_object_foreach(object, key, value) {
                const char *nearest;
                char names[256] = "", quoted[EXCERPT_SIZE];

                if (strv_contains(keys, key))
                        continue;
                nearest = schema_nearest_name(keys, key);
                for (size_t i = 0; keys[i]; i++)
                        strcat(strcat(names, i > 0 ? ", " : ""), keys[i]);
                return document_fail_at(d, array, index, key,
                          fault_set(fault, -EINVAL, FAULT_UNKNOWN_OPTION, "'%s' is not known for %s%s%s%s; known: %s",
                                    excerpt(key, quoted), what, nearest ? ", did you mean '" : "", strempty(nearest),
                                    nearest ? "'?" : "", names),
                          fault);
        }
        return 0;
}

/* ---- the document ---- */

static void forget(Document *d) {
        DocumentGroup *group, *next_group;
        DocumentRule *rule, *next_rule;

        HASH_CLEAR(hh_name, d->by_name);
        HASH_ITER(hh, d->rules_by_id, rule, next_rule) {
                HASH_DEL(d->rules_by_id, rule);
                rule_free(rule->rule);
                json_decref(rule->stored);
                free(rule);
        }
        HASH_ITER(hh, d->by_id, group, next_group) {
                HASH_DEL(d->by_id, group);
                group_free(group->group);
                json_decref(group->stored);
                free(group->name);
                free(group->type);
                free(group);
        }
        json_decref(d->changes);
        d->changes = NULL;
        document_layouts_free(d->layouts);
        d->layouts = NULL;
        d->next_group = d->next_rule = 0;
}

void document_done(Document *d) {
        forget(d);
        json_decref(d->root);
        free(d->text);
        *d = (Document) { 0 };
}

int document_rewind(Document *d) {
        forget(d);
        d->changes = json_array();
        return d->changes ? 0 : -ENOMEM;
}

static int read_root(Document *d, Fault *fault) {
        unsigned version = 0;
        const JsonKey keys[] = {
                { "version", JSON_KEY_UINT, &version, 0, true },
                { "groups", JSON_KEY_ARRAY, &d->groups, 0, true },
                { "rules", JSON_KEY_ARRAY, &d->rules, 0, true },
                { 0 },
        };
        json_error_t error;
        int r;

        d->root = json_loads(d->text, JSON_REJECT_DUPLICATES, &error);
        if (!d->root)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "the document is not valid JSON: line %d, column %d: %s", error.line, error.column, error.text);
        if (!json_is_object(d->root))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "the document must be a dictionary");
        r = check_keys(d, d->root, NULL, 0, root_keys, "the document", fault);
        if (r >= 0)
                r = json_parse_object(d->root, keys, "the document", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        if (version != DOCUMENT_VERSION)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "the document has version %u; this service knows %d",
                                 version, DOCUMENT_VERSION);
        if (json_array_size(d->groups) > GROUPS_MAX || json_array_size(d->rules) > RULES_MAX)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE, "at most %u groups and %u rules are allowed", GROUPS_MAX,
                                 RULES_MAX);
        return 0;
}

int document_new(const char *text, const ApplyOptions *options, Document *ret, Fault *fault) {
        Document d = { .text = strdup(text), .prune = options->prune, .keep_invalid = options->keep_invalid };
        int r = d.text && document_rewind(&d) >= 0 ? read_root(&d, fault) : fault_oom(fault);

        if (r < 0) {
                document_done(&d);
                return r;
        }
        *ret = d;
        return 0;
}

/* ---- what differs ---- */

static void text_of(json_t *value, char **ret) {
        *ret = json_is_string(value) ? strdup(json_string_value(value))
               : value               ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT)
                                     : strdup("");
}

/* Conditions are shown as people write them. */
static void conditions_text(json_t *where, char **ret) {
        _cleanup_(conditions_freep) ConditionList *list = NULL;

        if (conditions_from_body(where, NULL, &list, NULL) < 0 || conditions_to_text(list, ret) < 0)
                text_of(where, ret);
}

static void note_difference(json_t *differences, const char *prefix, const char *key, json_t *from, json_t *to) {
        _cleanup_free_ char *before = NULL, *after = NULL, *name = NULL;

        if (!prefix && streq(key, "where")) {
                conditions_text(from, &before);
                conditions_text(to, &after);
        } else {
                text_of(from, &before);
                text_of(to, &after);
        }
        if (asprintf(&name, "%s%s", strempty(prefix), key) < 0)
                return;
        json_array_append_new(differences, json_pack("{s:s, s:s*, s:s*}", "key", name, "from", before, "to", after));
}

static void compare_objects(json_t *from, json_t *to, const char *prefix, json_t *differences) {
        const char *key;
        json_t *value;

        json_object_foreach(to, key, value) {
                json_t *before = json_object_get(from, key);

                if (before && json_equal(before, value))
                        continue;
                if (!prefix && streq(key, "settings"))
                        compare_objects(before, value, "settings.", differences);
                else
                        note_difference(differences, prefix, key, before, value);
        }
        json_object_foreach(from, key, value)
                if (!json_object_get(to, key))
                        note_difference(differences, prefix, key, value, NULL);
}

static int note_change(Document *d, const char *action, const char *kind, const char *id, const char *name,
                       const char *group, json_t *from, json_t *to) {
        static const char *const telling[] = { "type", "where" };
        _cleanup_(json_decrefp) json_t *differences = json_array();
        json_t *change;

        if (!differences)
                return -ENOMEM;
        /* Of what is new that alone is said which tells it apart. */
        if (to && !from)
                for (size_t i = 0; i < ELEMENTSOF(telling); i++)
                        if (json_object_get(to, telling[i]))
                                note_difference(differences, NULL, telling[i], NULL, json_object_get(to, telling[i]));
        if (to && from)
                compare_objects(from, to, NULL, differences);
        change = json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:O}", "action", action, "kind", kind, "id", id, "name", name, "group",
                           group, "differences", differences);
        return json_array_append_new(d->changes, change) < 0 ? -ENOMEM : 0;
}

/* ---- groups ---- */

static int take_id(json_t *object, const char *key, const char *what, char ret[static ID_SIZE], Fault *fault) {
        const char *text = json_string_value(json_object_get(object, key));
        char quoted[EXCERPT_SIZE];

        if (!text)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%s' of %s is missing or no text", key, what);
        if (!id_is_valid(text))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "'%s' of %s must be an id, lower-case letters and digits with single dashes inside, not '%s'",
                                 key, what, excerpt(text, quoted));
        snprintf(ret, ID_SIZE, "%s", text);
        return 0;
}

static json_t *without_ids(json_t *body) {
        json_t *copy = json_copy(body);

        json_object_del(copy, "id");
        json_object_del(copy, "group");
        return copy;
}

/* What the group has kept for another version of its module, and the document repeats, is no mistake of the document. */
static int check_group(Manager *m, const Group *there, const char *id, json_t *body, Fault *fault) {
        _cleanup_(json_decrefp) json_t *checked = json_copy(body), *settings = NULL;
        _cleanup_(group_freep) Group *group = NULL;
        const char *key;
        json_t *value;

        settings = json_copy(json_object_get(body, "settings"));
        if (!checked || (json_object_get(body, "settings") && !settings))
                return fault_oom(fault);
        json_object_foreach(there->kept_settings, key, value)
                if (settings && json_object_get(settings, key) && json_equal(json_object_get(settings, key), value))
                        json_object_del(settings, key);
        if (settings)
                json_object_set(checked, "settings", settings);
        return group_from_json(id, checked, m->loader, false, &group, fault);
}

static int new_group(const Document *d, Manager *m, const Group *there, const char *id, json_t *body, Group **ret,
                     Fault *fault) {
        bool stored = d->keep_invalid;
        int r = 0;

        /* Its module is missing: what can't be checked is kept, as it is over a restart. */
        if (!stored && there && (there->kept_settings || !there->module) &&
            streq(strempty(json_string_value(json_object_get(body, "type"))), there->type)) {
                r = there->module ? check_group(m, there, id, body, fault) : 0;
                stored = true;
        }
        return r < 0 ? r : group_from_json(id, body, m->loader, stored, ret, fault);
}

static int add_group(Document *d, DocumentGroup *entry, Fault *fault) {
        DocumentGroup *other;

        HASH_FIND_STR(d->by_id, entry->id, other);
        if (other)
                return fault_set_object(fault, -EEXIST, FAULT_GROUP_EXISTS, entry->id,
                                        "group '%s' stands twice; first at /groups/%zu", entry->id, other->index);
        HASH_FIND(hh_name, d->by_name, entry->name, strlen(entry->name), other);
        if (other)
                return fault_set_object(fault, -EEXIST, FAULT_GROUP_EXISTS, entry->id,
                                        "the groups '%s' and '%s' have the same name", other->id, entry->id);
        HASH_ADD_STR(d->by_id, id, entry);
        HASH_ADD_KEYPTR(hh_name, d->by_name, entry->name, strlen(entry->name), entry);
        return 0;
}

/* Reads the body; leaves entry->group NULL when all of it is there just so. */
static int fill_group(Document *d, Manager *m, json_t *body, DocumentGroup *entry, Fault *fault) {
        Group *there = policy_find_group(m->policy, entry->id);
        _cleanup_(json_decrefp) json_t *own = without_ids(body), *before = there ? group_to_json(there) : NULL;
        int r = 0;

        if (!own || (there && !before))
                return fault_oom(fault);
        if (!before || !json_equal(before, own)) {
                r = new_group(d, m, there, entry->id, own, &entry->group, fault);
                if (r < 0)
                        return r;
                entry->stored = group_to_json(entry->group);
                if (!entry->stored)
                        return fault_oom(fault);
                if (before && json_equal(before, entry->stored)) {
                        entry->group = group_free(entry->group);
                        json_decref(entry->stored);
                        entry->stored = NULL;
                }
        }
        entry->name = strdup(entry->group ? entry->group->name : there->name);
        entry->type = strdup(entry->group ? entry->group->type : there->type);
        if (!entry->name || !entry->type)
                return fault_oom(fault);
        if (entry->group)
                r = note_change(d, there ? "update" : "create", "group", entry->id, entry->name, NULL, before, entry->stored);
        return r < 0 ? fault_oom(fault) : 0;
}

static int read_group(Document *d, Manager *m, size_t index, Fault *fault) {
        json_t *body = json_array_get(d->groups, index);
        DocumentGroup *entry;
        int r = check_keys(d, body, "groups", index, group_keys, "a group", fault);

        if (r < 0)
                return r;
        entry = calloc(1, sizeof(DocumentGroup));
        if (!entry)
                return fault_oom(fault);
        entry->index = index;
        r = take_id(body, "id", "a group", entry->id, fault);
        if (r >= 0)
                r = fill_group(d, m, body, entry, fault);
        if (r >= 0)
                r = add_group(d, entry, fault);
        if (r >= 0)
                return 0;
        group_free(entry->group);
        json_decref(entry->stored);
        free(entry->name);
        free(entry->type);
        free(entry);
        return document_fail_at(d, "groups", index, NULL, r, fault);
}

/* ---- rules ---- */

/* What is valid, and yet hardly meant; with the change that was noted last. */
static int note_findings(Document *d, const Rule *rule) {
        json_t *change = json_array_get(d->changes, json_array_size(d->changes) - 1);
        _cleanup_free_ char *contradiction = rule->invalid ? NULL : conditions_contradiction(rule->where);

        if (!contradiction)
                return 0;
        return json_object_set_new(change, "findings",
                                   json_pack("[{s:s, s:s, s:s, s:s}]", "severity", "warning", "code", "contradiction", "culprit",
                                             rule->id, "text", contradiction)) < 0
                       ? -ENOMEM
                       : 0;
}

/* `group`: as it will be. Conditions that stay as they are may be invalid by now. */
static int fill_rule(Document *d, Manager *m, json_t *body, Group *group, DocumentRule *entry, Fault *fault) {
        Rule *there = policy_find_rule(m->policy, entry->id);
        _cleanup_(json_decrefp) json_t *own = without_ids(body), *before = there ? rule_to_json(there) : NULL;
        bool stays = there && streq(there->group->id, entry->owner), stored = d->keep_invalid || !group->module;
        int r = 0;

        if (!own || (there && !before))
                return fault_oom(fault);
        json_object_set(own, "group", json_object_get(body, "group"));
        if (stays && json_equal(before, own))
                return 0;
        if (stays && there->invalid && json_equal(json_object_get(before, "where"), json_object_get(own, "where")))
                stored = true;
        r = rule_from_json(entry->id, own, group, group->module, stored, &entry->rule, fault);
        if (r < 0)
                return r;
        entry->stored = rule_to_json(entry->rule);
        entry->rule->group = NULL; /* it may be replaced or gone by the time that this is applied */
        if (!entry->stored)
                return fault_oom(fault);
        if (stays && json_equal(before, entry->stored)) {
                entry->rule = rule_free(entry->rule);
                json_decref(entry->stored);
                entry->stored = NULL;
                return 0;
        }
        r = note_change(d, there ? "update" : "create", "rule", entry->id, entry->rule->name, entry->owner, before,
                        entry->stored);
        if (r >= 0)
                r = note_findings(d, entry->rule);
        return r < 0 ? fault_oom(fault) : 0;
}

static int add_rule(Document *d, Manager *m, DocumentRule *entry, Fault *fault) {
        const Rule *there = policy_find_rule(m->policy, entry->id);
        DocumentRule *other;
        DocumentGroup *owner = NULL;

        HASH_FIND_STR(d->rules_by_id, entry->id, other);
        if (other)
                return fault_set_object(fault, -EEXIST, FAULT_RULE_EXISTS, entry->id,
                                        "rule '%s' stands twice; first at /rules/%zu", entry->id, other->index);
        if (there)
                HASH_FIND_STR(d->by_id, there->group->id, owner);
        if (there && !owner && !d->prune)
                return fault_set_object(fault, -EEXIST, FAULT_RULE_EXISTS, entry->id,
                                        "rule '%s' belongs to group '%s', which is not in the document; name that group "
                                        "too, or give the rule another id",
                                        entry->id, there->group->id);
        HASH_ADD_STR(d->rules_by_id, id, entry);
        return 0;
}

static int read_owner(Document *d, Manager *m, const DocumentRule *entry, Group **ret, Fault *fault) {
        DocumentGroup *owner;
        Group *group;

        HASH_FIND_STR(d->by_id, entry->owner, owner);
        group = !owner ? NULL : owner->group ?: policy_find_group(m->policy, entry->owner);
        if (!group)
                return fault_set_object(fault, -ENOENT, FAULT_UNKNOWN_GROUP, entry->owner,
                                        "rule '%s' names the group '%s', which is not in the document", entry->id,
                                        entry->owner);
        *ret = group;
        return 0;
}

static int read_rule(Document *d, Manager *m, size_t index, Fault *fault) {
        json_t *body = json_array_get(d->rules, index);
        DocumentRule *entry;
        Group *group = NULL;
        int r = check_keys(d, body, "rules", index, rule_keys, "a rule", fault);

        if (r < 0)
                return r;
        entry = calloc(1, sizeof(DocumentRule));
        if (!entry)
                return fault_oom(fault);
        entry->index = index;
        r = take_id(body, "id", "a rule", entry->id, fault);
        if (r >= 0)
                r = take_id(body, "group", "a rule", entry->owner, fault);
        if (r >= 0)
                r = read_owner(d, m, entry, &group, fault);
        if (r >= 0)
                r = fill_rule(d, m, body, group, entry, fault);
        if (r >= 0)
                r = add_rule(d, m, entry, fault);
        if (r >= 0)
                return 0;
        rule_free(entry->rule);
        json_decref(entry->stored);
        free(entry);
        return document_fail_at(d, "rules", index, NULL, r, fault);
}

int document_read(Document *d, Manager *m, Fault *fault) {
        int r;

        if (d->next_group < json_array_size(d->groups)) {
                r = read_group(d, m, d->next_group++, fault);
                return r < 0 ? r : 1;
        }
        if (d->next_rule < json_array_size(d->rules)) {
                r = read_rule(d, m, d->next_rule++, fault);
                return r < 0 ? r : 1;
        }
        return 0;
}

/* ---- the whole ---- */

static DocumentGroup *named(const Document *d, const char *id) {
        DocumentGroup *entry;

        HASH_FIND_STR(d->by_id, id, entry);
        return entry;
}

static int check_removal(Manager *m, const Group *group, Fault *fault) {
        _cleanup_free_ Allocation **users = NULL;
        size_t n = 0;
        int r = manager_group_allocations(m, group, &users, &n);

        if (r < 0)
                return fault_oom(fault);
        if (n > 0 || pending_names_group(m, group->id))
                return fault_set_object(fault, -EBUSY, FAULT_GROUP_IN_USE, group->id,
                                        "group '%s' is not in the document but %zu allocation%s name%s it; release %s first",
                                        group->id, n, n == 1 ? "" : "s", n == 1 ? "s" : "", n == 1 ? "it" : "them");
        return 0;
}

static int check_there(Document *d, Manager *m, const Group *group, Fault *fault) {
        const DocumentGroup *next = named(d, group->id);
        DocumentGroup *namesake = NULL;

        if (next && !streq(next->type, group->type))
                return document_fail_at(d, "groups", next->index, "type",
                          fault_set_object(fault, -EINVAL, FAULT_INVALID_VALUE, group->id,
                                           "the type of group '%s' is %s and can't change; make a new group", group->id,
                                           group->type),
                          fault);
        if (next)
                return 0;
        if (d->prune)
                return check_removal(m, group, fault);
        HASH_FIND(hh_name, d->by_name, group->name, strlen(group->name), namesake);
        if (!namesake)
                return 0;
        return document_fail_at(d, "groups", namesake->index, NULL,
                  fault_set_object(fault, -EEXIST, FAULT_GROUP_EXISTS, namesake->id,
                                   "there is a group '%s' already, with the id '%s'", group->name, group->id),
                  fault);
}

static int check_counts(Document *d, Manager *m, size_t removed_groups, size_t removed_rules, Fault *fault) {
        size_t groups = policy_count_groups(m->policy) - removed_groups, rules = policy_count_rules(m->policy) - removed_rules;
        DocumentGroup *group, *next_group;
        DocumentRule *rule, *next_rule;

        HASH_ITER(hh, d->by_id, group, next_group)
                groups += !policy_find_group(m->policy, group->id);
        HASH_ITER(hh, d->rules_by_id, rule, next_rule)
                rules += !policy_find_rule(m->policy, rule->id);
        if (groups > GROUPS_MAX || rules > RULES_MAX)
                return fault_set(fault, -E2BIG, FAULT_LIMIT_REACHED,
                                 "with this document there would be %zu groups and %zu rules; at most %u and %u are allowed",
                                 groups, rules, GROUPS_MAX, RULES_MAX);
        return 0;
}

int document_check(Document *d, Manager *m, Fault *fault) {
        size_t groups = 0, rules = 0;
        int r = 0;

        for (Rule *rule = policy_first_rule(m->policy); rule && r >= 0; rule = rule->hh.next) {
                DocumentRule *entry;

                HASH_FIND_STR(d->rules_by_id, rule->id, entry);
                if (entry || !(d->prune || named(d, rule->group->id)))
                        continue;
                r = note_change(d, "remove", "rule", rule->id, rule->name, rule->group->id, NULL, NULL);
                rules++;
        }
        if (r < 0)
                return fault_oom(fault);
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next) {
                r = check_there(d, m, group, fault);
                if (r < 0)
                        return r;
                if (!d->prune || named(d, group->id))
                        continue;
                if (note_change(d, "remove", "group", group->id, group->name, NULL, NULL, NULL) < 0)
                        return fault_oom(fault);
                groups++;
        }
        return check_counts(d, m, groups, rules, fault);
}

char *document_summary(json_t *changes) {
        static const char *const actions[] = { "create", "update", "remove" }, *const kinds[] = { "group", "rule" };
        char *text = NULL;
        size_t size, n = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t a = 0; a < ELEMENTSOF(actions); a++)
                for (size_t k = 0; k < ELEMENTSOF(kinds); k++) {
                        size_t count = 0, index;
                        json_t *change;

                        json_array_foreach(changes, index, change)
                                count += streq(json_string_value(json_object_get(change, "action")), actions[a]) &&
                                         streq(json_string_value(json_object_get(change, "kind")), kinds[k]);
                        if (count > 0)
                                (void) fprintf(f, "%s%zu %s%s %sd", n++ > 0 ? ", " : "", count, kinds[k], count == 1 ? "" : "s",
                                               actions[a]);
                }
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
