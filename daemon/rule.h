/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A rule of a group: conditions, include or exclude, an optional node filter. Owned by its group. */

#include "condition.h"

typedef enum RuleAction {
        RULE_INCLUDE,
        RULE_EXCLUDE,
        _RULE_ACTION_MAX,
        _RULE_ACTION_INVALID = -EINVAL,
} RuleAction;
DECLARE_STRING_TABLE(rule_action, RuleAction);

typedef struct Rule {
        char id[ID_SIZE];
        char *name;
        Group *group;
        bool enabled;
        RuleAction action;
        char *node_filter; /* host name or shell pattern; "" = all nodes */
        ConditionList *where;
        char *origin;      /* "auto" (make resource) or "manual" */
        char *strength;    /* of the identity that an auto rule uses: "serial (100)"; "" for manual ones */
        json_t *identity;  /* what a rule of MakeResource was made of (identity.h); NULL for manual ones */
        char *invalid;     /* why it matches nothing: its field is gone; NULL when valid */
        struct Rule *next; /* of the same group, in order of creation */
        struct Rule *next_at_place; /* maintained by policy-place.c */
        UT_hash_handle hh; /* in the policy, by id */
} Rule;

/* Body: {name, group, enabled, action, node-filter, where: [[f, op, v]…] or text, origin, strength,
 * identity}.
 * Unknown keys are refused. When loading (`stored`) a rule that is no longer valid is kept as invalid with
 * the reason. */
int rule_from_json(const char *id, json_t *body, Group *group, const Module *module, bool stored, Rule **ret,
                   Fault *fault);
Rule *rule_free(Rule *rule);
DEFINE_CLEANUP(Rule *, rule_free)
json_t *rule_to_json(const Rule *rule);
/* Whether it speaks on this node. */
bool rule_applies(const Rule *rule, const char *node);
