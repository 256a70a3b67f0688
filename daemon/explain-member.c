/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which rules bring a device into which groups, and on what the others fail. */

#include <stdio.h>

#include "explain-internal.h"
#include "lib/limits.h"
#include "lib/value-util.h"
#include "place.h"
#include "provider.h"

/* Failing conditions that are told of a rule; more than NEAR_MAX and it was not meant for the device. */
#define FAILED_MAX 8u
#define NEAR_MAX 2u
/* Rules of one group, and of all groups, of which is said how they fail. */
#define RULES_OF_GROUP_MAX 8u
#define RULES_SAID_MAX 64u
/* Rules that are put to devices while a group's near misses are looked for: some milliseconds. */
#define CHECKS_MAX 50000u
#define NEAR_SAID_MAX 20u

/* ---- the words ---- */

static char *value_text(const Device *device, const char *field) {
        PtValue value = { 0 };
        char *text = NULL;

        if (device_get_named_value(device, field, &value) < 0 || value_format(&value, &text) < 0)
                return NULL;
        return text;
}

/* "slot: it is 0000:01:00.0, wanted = 0000:02:00.0" */
static char *failure_text(const ConditionList *where, uint8_t position, const Device *device) {
        const char *field, *value;
        _cleanup_free_ char *is = NULL;
        char *text;
        Operator op;

        conditions_get(where, position, &field, &op, &value);
        is = value_text(device, field);
        if (asprintf(&text, "%s: it is %s%s%s, the rule wants %s %s", field, is ? "\"" : "", is ?: "not known", is ? "\"" : "",
                     operator_to_string(op), isempty(value) ? "\"\"" : value) < 0)
                return NULL;
        return text;
}

static json_t *failures_to_json(const ConditionList *where, const uint8_t *failed, size_t n, const Device *device) {
        json_t *array = json_array();

        for (size_t i = 0; i < n; i++) {
                const char *field, *value;
                PtValue is = { 0 };
                Operator op;

                conditions_get(where, failed[i], &field, &op, &value);
                if (device_get_named_value(device, field, &is) < 0)
                        is = (PtValue) { .type = PT_NONE };
                (void) json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:o}", "field", field, "operator",
                                                              operator_to_string(op), "value", value, "is",
                                                              value_to_json(&is)));
        }
        return array;
}

static json_t *about_rule(const Rule *rule) {
        return json_pack("{s:s, s:s}", "group", rule->group->id, "rule", rule->id);
}

/* ---- one device ---- */

typedef struct Membership {
        Manager *m;
        Device *device;
        Explanation *e;
        size_t n_said, n_far;
} Membership;

/* A rule of which nothing fits is about something else, however few conditions it has. */
static bool is_near(const Rule *rule, size_t n_failed) {
        return n_failed <= NEAR_MAX && (n_failed == 0 || n_failed < conditions_count(rule->where));
}

static void say_failures(Membership *s, const Rule *rule, const uint8_t *failed, size_t n) {
        char buffer[1024] = "";
        json_t *more = about_rule(rule);
        size_t used = 0;

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *text = failure_text(rule->where, failed[i], s->device);
                int w = snprintf(buffer + used, sizeof(buffer) - used, "%s%s", i > 0 ? "; " : "", strempty(text));

                used = w > 0 ? MIN_OF(used + (size_t) w, sizeof(buffer) - 1) : used;
        }
        (void) json_object_set_new(more, "conditions", failures_to_json(rule->where, failed, n, s->device));
        bool near = n == 1 && is_near(rule, n);

        explanation_add(s->e, PT_SEVERITY_NOTE, near ? "near-miss" : "no-match", rule->id, NULL, more,
                        "rule '%s' of group '%s' fails %son %s", rule->name, rule->group->name, near ? "only " : "", buffer);
}

/* What would bring it in speaks elsewhere, or not at all. */
static bool say_silent(Membership *s, const Rule *rule) {
        uint8_t failed[1];
        bool unknown = false;

        if (rule->invalid || rule->action != RULE_INCLUDE || rule_applies(rule, s->m->config.node))
                return false;
        if (conditions_distance(rule->where, s->device, 0, failed, &unknown) > 0 || unknown)
                return true;
        if (!rule->enabled)
                explanation_add(s->e, PT_SEVERITY_NOTE, "rule-disabled", rule->id, "passthroughctl rule enable",
                                about_rule(rule), "rule '%s' of group '%s' fits, but is disabled", rule->name,
                                rule->group->name);
        else
                explanation_add(s->e, PT_SEVERITY_NOTE, "other-node", rule->id, "change the node filter of the rule",
                                about_rule(rule), "rule '%s' of group '%s' fits, but speaks on '%s' only, not on '%s'",
                                rule->name, rule->group->name, rule->node_filter, s->m->config.node);
        s->n_said++;
        return true;
}

static void say_unread(Membership *s, const Rule *rule) {
        const char *error = conditions_error(rule->where);

        if (error)
                explanation_add(s->e, PT_SEVERITY_WARNING, "regex-limit", rule->id, "simplify the expression",
                                about_rule(rule), "rule '%s' of group '%s': %s", rule->name, rule->group->name, error);
        else
                explanation_add(s->e, PT_SEVERITY_WARNING, "unread", rule->id, "ask again in a moment", about_rule(rule),
                                "whether rule '%s' of group '%s' fits is not known: %s", rule->name, rule->group->name,
                                s->device->slow == SLOW_FAILED ? "a field that it names cannot be read"
                                                               : "a field that it names was not read yet");
        s->n_said++;
}

/* An include rule fits and it is no member all the same. */
static void say_excluded(Membership *s, const Group *group) {
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                _cleanup_free_ char *text = NULL;
                Match match;

                if (rule->action != RULE_EXCLUDE || !rule_applies(rule, s->m->config.node))
                        continue;
                match = rule->invalid ? MATCH_UNKNOWN : conditions_match(rule->where, s->device, NULL);
                if (match == MATCH_NO)
                        continue;
                (void) conditions_to_text(rule->where, &text);
                if (rule->invalid)
                        explanation_add(s->e, PT_SEVERITY_WARNING, "invalid-rule", rule->id, "update or remove the rule",
                                        about_rule(rule), "exclude rule '%s' of group '%s' is not valid and keeps every device out: %s",
                                        rule->name, group->name, rule->invalid);
                else if (match == MATCH_UNKNOWN)
                        say_unread(s, rule);
                else
                        explanation_add(s->e, PT_SEVERITY_WARNING, "excluded", rule->id, "change or remove the exclude rule",
                                        about_rule(rule), "exclude rule '%s' keeps it out of group '%s': %s", rule->name,
                                        group->name, strempty(text));
                s->n_said++;
        }
}

/* The rule that makes it a member. */
static void say_member(Membership *s, const Group *group) {
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                _cleanup_free_ char *text = NULL;

                if (rule->action != RULE_INCLUDE || rule->invalid || !rule_applies(rule, s->m->config.node) ||
                    conditions_match(rule->where, s->device, NULL) != MATCH_YES)
                        continue;
                (void) conditions_to_text(rule->where, &text);
                explanation_add(s->e, PT_SEVERITY_NOTE, "member", group->id, NULL, about_rule(rule),
                                "rule '%s' brings it into group '%s': %s", rule->name, group->name, strempty(text));
                return;
        }
}

/* Why no rule of the group brings it in. */
static void say_stranger(Membership *s, const Group *group) {
        bool included = false, near = false;
        size_t n_rules = 0;

        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                uint8_t failed[FAILED_MAX];
                bool unknown = false;
                size_t n;

                if (s->n_said >= RULES_SAID_MAX || n_rules >= RULES_OF_GROUP_MAX)
                        break;
                if (say_silent(s, rule) || rule->invalid || rule->action != RULE_INCLUDE)
                        continue;
                n = conditions_distance(rule->where, s->device, s->e->all_rules ? FAILED_MAX : NEAR_MAX, failed, &unknown);
                if (!s->e->all_rules && !is_near(rule, n))
                        continue;
                n = MIN_OF(n, FAILED_MAX);
                near = true;
                n_rules++;
                if (n > 0) {
                        say_failures(s, rule, failed, n);
                        s->n_said++;
                } else if (unknown)
                        say_unread(s, rule);
                else
                        included = true;
        }
        if (included)
                say_excluded(s, group);
        s->n_far += !near;
}

void explain_membership(Manager *m, Device *device, Explanation *e) {
        Membership s = { .m = m, .device = device, .e = e };

        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                if (group->module == device->module && group_has_member(group, device))
                        say_member(&s, group);
        /* Bridges and what belongs to the chipset: no rule decides that. */
        if (device->role != PT_ROLE_OFFER)
                return;
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                if (group->module == device->module && !group_has_member(group, device))
                        say_stranger(&s, group);
        if (s.n_far > 0)
                explanation_add(e, PT_SEVERITY_NOTE, "no-near-rule", NULL, NULL, NULL,
                                s.n_far == 1 ? "no rule of %zu other group comes near it"
                                             : "no rule of %zu other groups comes near it",
                                s.n_far);
        if (s.n_said >= RULES_SAID_MAX)
                explanation_add(e, PT_SEVERITY_NOTE, "more-rules", NULL, NULL, NULL,
                                "more rules come near it; the first %u are listed", RULES_SAID_MAX);
}

/* ---- one group ---- */

typedef struct NearDevice {
        Device *device;
        const Rule *rule;
        uint8_t position;
} NearDevice;

static int compare_near(const void *a, const void *b) {
        return place_compare(((const NearDevice *) a)->device, ((const NearDevice *) b)->device);
}

/* The first rule that fails for one condition only; where another one can't be judged, as what it asks was not read yet, that is
 * not known. Counts the rules that were asked. */
static bool find_near(Manager *m, const Group *group, Device *device, bool single, NearDevice *ret, size_t *checks) {
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                uint8_t failed[1];
                bool unknown = false;

                if (rule->action != RULE_INCLUDE || rule->invalid || !rule_applies(rule, m->config.node) ||
                    (!single && conditions_count(rule->where) < 2))
                        continue;
                (*checks)++;
                if (conditions_distance(rule->where, device, 1, failed, &unknown) != 1 || unknown)
                        continue;
                *ret = (NearDevice) { device, rule, failed[0] };
                return true;
        }
        return false;
}

static void say_near(const NearDevice *near, Explanation *e) {
        _cleanup_free_ char *text = failure_text(near->rule->where, near->position, near->device);
        json_t *more = about_rule(near->rule);

        (void) json_object_set_new(more, "conditions",
                                   failures_to_json(near->rule->where, &near->position, 1, near->device));
        e->subject = near->device->id;
        explanation_add(e, PT_SEVERITY_NOTE, "near-miss", near->rule->id, NULL, more,
                        "%s (%s) fails rule '%s' only on %s", near->device->host->sysname, near->device->name,
                        near->rule->name, strempty(text));
        e->subject = NULL;
}

void explain_near(Manager *m, Group *group, Explanation *e) {
        _cleanup_free_ NearDevice *near = NULL;
        size_t n = 0, n_looked = 0, n_devices = 0, checks = 0;

        if (!group->module || !group->rules)
                return;
        near = calloc(inventory_count(m->inventory) + 1, sizeof(NearDevice));
        if (!near)
                return;
        for (Device *device = inventory_first(m->inventory); device; device = device->hh.next) {
                if (device->module != group->module || device->role != PT_ROLE_OFFER)
                        continue;
                n_devices++;
                if (checks >= CHECKS_MAX)
                        continue;
                n_looked++;
                if (!group_has_member(group, device))
                        n += find_near(m, group, device, e->all_rules, &near[n], &checks);
        }
        qsort(near, n, sizeof(NearDevice), compare_near);
        for (size_t i = 0; i < n && i < NEAR_SAID_MAX; i++)
                say_near(&near[i], e);
        if (n > NEAR_SAID_MAX)
                explanation_add(e, PT_SEVERITY_NOTE, "more-near", NULL, "passthroughctl preview", NULL,
                                "%zu devices fail a rule by one condition only; %u are listed", n, NEAR_SAID_MAX);
        if (n_looked < n_devices)
                explanation_add(e, PT_SEVERITY_NOTE, "looked-at-some", NULL, "passthroughctl preview", NULL,
                                "%zu of %zu devices were compared with the rules", n_looked, n_devices);
}
