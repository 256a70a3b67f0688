/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rule.h"

#include <fnmatch.h>

#include "excerpt.h"
#include "group.h"
#include "identity.h"
#include "json-util.h"
#include "lib/limits.h"

/* fnmatch() tries every division of the text between asterisks. */
#define NODE_FILTER_ASTERISKS_MAX 4u

static const char *const rule_actions[_RULE_ACTION_MAX] = {
        [RULE_INCLUDE] = "include",
        [RULE_EXCLUDE] = "exclude",
};

DEFINE_STRING_TABLE(rule_action, RuleAction, rule_actions)

Rule *rule_free(Rule *rule) {
        if (!rule)
                return NULL;
        free(rule->name);
        free(rule->node_filter);
        conditions_free(rule->where);
        free(rule->origin);
        free(rule->strength);
        json_decref(rule->identity);
        free(rule->invalid);
        free(rule);
        return NULL;
}

static int set_default(char **text, const char *value, Fault *fault) {
        if (*text)
                return 0;
        *text = strdup(value);
        return *text ? 0 : fault_oom(fault);
}

static int check_node_filter(const char *filter, Fault *fault) {
        unsigned asterisks = 0;

        for (const char *p = filter; *p; p++)
                asterisks += *p == '*';
        if (asterisks > NODE_FILTER_ASTERISKS_MAX)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "The node filter of a rule has %u asterisks; at most %u are allowed",
                                 asterisks, NODE_FILTER_ASTERISKS_MAX);
        return 0;
}

/* The words that are not free text. */
static int check_words(Rule *rule, const char *group, const char *action, Fault *fault) {
        char text[EXCERPT_SIZE];

        if (group && !streq(group, rule->group->id))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "The rule %s belongs to the group %s and cannot be moved to \"%s\"",
                                 rule->id, rule->group->id, excerpt(group, text));
        if (action) {
                rule->action = rule_action_from_string(action);
                if ((int) rule->action < 0)
                        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                         "The action of a rule is \"%s\", but must be include or exclude",
                                         excerpt(action, text));
        }
        if (!streq(rule->origin, "auto") && !streq(rule->origin, "manual"))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "The origin of a rule is \"%s\", but must be auto or manual",
                                 excerpt(rule->origin, text));
        if (rule->name[0] == '\0')
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "The name of a rule is empty");
        return check_node_filter(rule->node_filter, fault);
}

static int set_conditions(Rule *rule, json_t *where, const Module *module, bool stored, Fault *fault) {
        _cleanup_fault_ Fault reason = { 0 };
        int r;

        r = conditions_from_body(where, module, &rule->where, &reason);
        /* A stored rule outlives its field: it is kept as it was written, so that it works again with the
         * module that has the field, and says until then why it matches nothing. */
        if (r < 0 && r != -ENOMEM && stored) {
                r = conditions_from_body(where, NULL, &rule->where, fault);
                if (r < 0)
                        return r;
                rule->invalid = strdup(strempty(reason.message));
                return rule->invalid ? 0 : fault_oom(fault);
        }
        if (r < 0) {
                fault_move(fault, &reason);
                return r;
        }
        if (!stored && conditions_count(rule->where) == 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                 "A rule needs at least one condition; one that fits every device is "
                                 "written as %s ~ .",
                                 module ? module->descriptor->fields[0].name : "name");
        return 0;
}

int rule_from_json(const char *id, json_t *body, Group *group, const Module *module, bool stored, Rule **ret,
                   Fault *fault) {
        _cleanup_(rule_freep) Rule *rule = calloc(1, sizeof(Rule));
        _cleanup_free_ char *group_id = NULL, *action = NULL;
        json_t *where = NULL, *identity = NULL;
        int r;

        if (!rule)
                return fault_oom(fault);
        if (!id_is_valid(id))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 "The id of a rule must be a DNS label");
        strcpy(rule->id, id);
        rule->group = group;
        rule->enabled = true;

        r = json_parse_object(body,
                              (const JsonKey[]){
                                      { "name", JSON_KEY_STRING, &rule->name, NAME_MAX_BYTES },
                                      { "group", JSON_KEY_STRING, &group_id, NAME_MAX_BYTES },
                                      { "enabled", JSON_KEY_BOOL, &rule->enabled },
                                      { "action", JSON_KEY_STRING, &action, NAME_MAX_BYTES },
                                      { "node-filter", JSON_KEY_STRING, &rule->node_filter, NAME_MAX_BYTES },
                                      { "where", JSON_KEY_ANY, &where, .required = true },
                                      { "origin", JSON_KEY_STRING, &rule->origin, NAME_MAX_BYTES },
                                      { "strength", JSON_KEY_STRING, &rule->strength, NAME_MAX_BYTES },
                                      { "identity", JSON_KEY_OBJECT, &identity },
                                      { NULL },
                              },
                              "a rule", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0)
                return r;
        if (set_default(&rule->name, id, fault) < 0 || set_default(&rule->node_filter, "", fault) < 0 ||
            set_default(&rule->origin, "manual", fault) < 0 || set_default(&rule->strength, "", fault) < 0)
                return -ENOMEM;
        r = check_words(rule, group_id, action, fault);
        if (r < 0)
                return r;
        r = set_conditions(rule, where, module && module->descriptor ? module : NULL, stored, fault);
        if (r >= 0 && identity)
                r = identity_check_body(identity, fault);
        if (r < 0)
                return r;
        if (identity && !(rule->identity = json_deep_copy(identity)))
                return fault_oom(fault);
        *ret = TAKE_PTR(rule);
        return 0;
}

json_t *rule_to_json(const Rule *rule) {
        return json_pack("{ss ss sb ss ss so ss ss sO*}", "name", rule->name, "group", rule->group->id,
                         "enabled", (int) rule->enabled, "action", rule_action_to_string(rule->action),
                         "node-filter", rule->node_filter, "where", conditions_to_json(rule->where),
                         "origin", rule->origin, "strength", rule->strength, "identity", rule->identity);
}

bool rule_applies(const Rule *rule, const char *node) {
        if (!rule->enabled)
                return false;
        return rule->node_filter[0] == '\0' || fnmatch(rule->node_filter, node, FNM_CASEFOLD) == 0;
}
