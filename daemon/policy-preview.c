/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "json-util.h"
#include "lib/limits.h"
#include "lib/value-util.h"
#include "place.h"
#include "provider.h"
#include "policy-internal.h"

/* Devices of which is said that other groups have them, one by one. */
#define CLAIMED_MAX 100u

/* What a rule would do, before there is one. Nothing is changed, but that slow fields are asked for. */
typedef struct NearMiss {
        Device *device;
        uint8_t position; /* of the condition that fails */
} NearMiss;

typedef struct Preview {
        Policy *policy;
        const Group *group;
        ConditionList *where;
        Device **matched;
        size_t n_matched;
        NearMiss *misses;
        size_t n_misses, n_allocated;
        size_t n_unread;   /* may match once they were read */
        size_t n_excluded; /* match, but an exclude rule of the group keeps them out */
        size_t n_unfit;    /* match, but are bridges or belong to the chipset */
        size_t n_claimed;  /* match, and are in other groups, too */
        size_t n_taken;    /* match, and somebody has them */
        json_t *near, *claimed, *findings;
} Preview;

static void preview_done(Preview *preview) {
        conditions_free(preview->where);
        free(preview->matched);
        free(preview->misses);
        json_decref(preview->near);
        json_decref(preview->claimed);
        json_decref(preview->findings);
}

static int add_finding(Preview *preview, PtSeverity severity, const char *code, const char *format, ...)
        PRINTF_LIKE(4, 5);
static int add_finding(Preview *preview, PtSeverity severity, const char *code, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return json_array_append_new(preview->findings,
                                     json_pack("{ss ss ss}", "severity", severity_to_string(severity), "code", code,
                                               "text", text)) < 0
                       ? -ENOMEM
                       : 0;
}

static int take_miss(Preview *preview, Device *device, uint8_t position) {
        if (preview->n_misses == preview->n_allocated) {
                size_t n = preview->n_allocated ? 2 * preview->n_allocated : 64;
                NearMiss *misses = reallocarray(preview->misses, n, sizeof(NearMiss));

                if (!misses)
                        return -ENOMEM;
                preview->misses = misses;
                preview->n_allocated = n;
        }
        preview->misses[preview->n_misses++] = (NearMiss){ device, position };
        return 0;
}

static int add_near(Preview *preview, const NearMiss *miss) {
        const char *field, *value;
        Operator op;
        PtValue is = { 0 };

        conditions_get(preview->where, miss->position, &field, &op, &value);
        if (device_get_named_value(miss->device, field, &is) < 0)
                is = (PtValue){ .type = PT_NONE };
        return json_array_append_new(preview->near, json_pack("{ss ss ss ss so}", "device", miss->device->id, "field",
                                                              field, "operator", operator_to_string(op), "value",
                                                              value, "is", value_to_json(&is))) < 0
                       ? -ENOMEM
                       : 0;
}

static bool is_excluded(const Preview *preview, const Device *device) {
        for (const Rule *rule = preview->group->rules; rule; rule = rule->next)
                if (rule->action == RULE_EXCLUDE && !rule->invalid &&
                    rule_applies(rule, preview->policy->node) &&
                    conditions_match(rule->where, device, NULL) != MATCH_NO)
                        return true;
        return false;
}

/* Which other groups have the device already. */
static int add_claimed(Preview *preview, const Device *device) {
        json_t *ids = NULL;

        for (size_t i = 0; device->groups && device->groups[i]; i++) {
                if (device->groups[i] == preview->group)
                        continue;
                if (!ids)
                        ids = json_array();
                if (json_array_append_new(ids, json_string(device->groups[i]->id)) < 0) {
                        json_decref(ids);
                        return -ENOMEM;
                }
        }
        if (!ids)
                return 0;
        if (preview->n_claimed++ >= CLAIMED_MAX) {
                json_decref(ids);
                return 0;
        }
        return json_array_append_new(preview->claimed, json_pack("{ss so}", "device", device->id, "groups", ids)) < 0
                       ? -ENOMEM
                       : 0;
}

static void look_unread(Preview *preview, Device *device) {
        if (device->role != PT_ROLE_OFFER || device->slow == SLOW_FRESH)
                return;
        preview->n_unread++;
        if (device->slow == SLOW_UNKNOWN)
                policy_want_slow(preview->policy, device);
}

static int look_at(Preview *preview, Device *device) {
        uint8_t failed[1];
        bool unknown = false;

        switch (conditions_distance(preview->where, device, 1, failed, &unknown)) {
        case 0:
                if (unknown)
                        look_unread(preview, device);
                else if (device->role != PT_ROLE_OFFER)
                        preview->n_unfit++;
                else
                        preview->matched[preview->n_matched++] = device;
                return 0;
        case 1: /* and no other, if all can be judged; of a single condition, most devices are about something else */
                return device->role == PT_ROLE_OFFER && !unknown && conditions_count(preview->where) > 1
                               ? take_miss(preview, device, failed[0])
                               : 0;
        default:
                return 0;
        }
}

static int compare_misses(const void *a, const void *b) {
        return place_compare(((const NearMiss *) a)->device, ((const NearMiss *) b)->device);
}

/* Which are listed must not hang on the order in which devices appeared. */
static int list_devices(Preview *preview) {
        bool excludes = false;

        for (const Rule *rule = preview->group->rules; rule && !excludes; rule = rule->next)
                excludes = rule->action == RULE_EXCLUDE;
        place_sort(preview->matched, preview->n_matched);
        if (preview->n_misses > 1)
                qsort(preview->misses, preview->n_misses, sizeof(NearMiss), compare_misses);
        for (size_t i = 0; i < preview->n_misses && i < PREVIEW_NEAR_MAX; i++)
                if (add_near(preview, &preview->misses[i]) < 0)
                        return -ENOMEM;
        for (size_t i = 0; i < preview->n_matched; i++) {
                Device *device = preview->matched[i];

                preview->n_excluded += excludes && is_excluded(preview, device);
                preview->n_taken += device->allocation != NULL;
                if (add_claimed(preview, device) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Numbers that the kernel gives anew at every boot select something else then. */
static int warn_of_volatile_fields(Preview *preview) {
        const PtField *fields = preview->group->module->descriptor->fields;
        uint64_t named = conditions_fields(preview->where) | conditions_provider_fields(preview->where);

        for (size_t i = 0; fields[i].name; i++)
                if ((named & (UINT64_C(1) << i)) && (fields[i].flags & PT_FIELD_VOLATILE) &&
                    add_finding(preview, PT_SEVERITY_WARNING, "volatile-field",
                                "The field %s may differ after a restart of the host; the rule would then match "
                                "something else",
                                fields[i].name) < 0)
                        return -ENOMEM;
        return 0;
}

/* A rule of the group that says the same, or keeps out what this one would bring in. */
static int warn_of_rules(Preview *preview) {
        _cleanup_free_ char *text = NULL;

        if (conditions_to_text(preview->where, &text) < 0)
                return -ENOMEM;
        for (const Rule *rule = preview->group->rules; rule; rule = rule->next) {
                _cleanup_free_ char *other = NULL;

                if (rule->invalid)
                        continue;
                if (conditions_to_text(rule->where, &other) < 0)
                        return -ENOMEM;
                if (streq(text, other) &&
                    add_finding(preview, PT_SEVERITY_WARNING, "same-rule", "Rule '%s' of the group has the same conditions%s",
                                rule->name, rule->action == RULE_EXCLUDE ? " and excludes" : "") < 0)
                        return -ENOMEM;
        }
        return 0;
}

static const char *plural(size_t n, const char *one, const char *many) {
        return n == 1 ? one : many;
}

static int warn_of_conditions(Preview *preview) {
        _cleanup_free_ char *contradiction = conditions_contradiction(preview->where);
        const char *error = conditions_error(preview->where);

        if (conditions_count(preview->where) == 0 &&
            add_finding(preview, PT_SEVERITY_WARNING, "no-conditions",
                        "There are no conditions: everything matches. A rule needs at least one") < 0)
                return -ENOMEM;
        if (contradiction && add_finding(preview, PT_SEVERITY_WARNING, "contradiction", "%s", contradiction) < 0)
                return -ENOMEM;
        if (error && add_finding(preview, PT_SEVERITY_WARNING, "regex-limit", "%s", error) < 0)
                return -ENOMEM;
        if (warn_of_volatile_fields(preview) < 0)
                return -ENOMEM;
        return warn_of_rules(preview);
}

static int add_findings(Preview *preview) {
        const Preview *p = preview;
        int r = warn_of_conditions(preview);

        if (r >= 0 && p->n_unread > 0)
                r = add_finding(preview, PT_SEVERITY_WARNING, "unread",
                                "%zu %s not read yet and may match as well; ask again in a moment", p->n_unread,
                                plural(p->n_unread, "device was", "devices were"));
        if (r >= 0 && p->n_excluded > 0)
                r = add_finding(preview, PT_SEVERITY_WARNING, "excluded", "%zu of them %s kept out by an exclude rule of the group",
                                p->n_excluded, plural(p->n_excluded, "is", "are"));
        if (r >= 0 && p->n_unfit > 0)
                r = add_finding(preview, PT_SEVERITY_NOTE, "never-offered",
                                "%zu more %s: bridges and devices of the chipset are never offered", p->n_unfit,
                                plural(p->n_unfit, "matches", "match"));
        if (r >= 0 && p->n_claimed > 0)
                r = add_finding(preview, PT_SEVERITY_WARNING, "other-groups", "%zu of them %s to other groups, too%s", p->n_claimed,
                                plural(p->n_claimed, "belongs", "belong"),
                                p->n_claimed > CLAIMED_MAX ? "; the first 100 are listed" : "");
        if (r >= 0 && p->n_taken > 0)
                r = add_finding(preview, PT_SEVERITY_NOTE, "in-use", "%zu of them %s in use now", p->n_taken,
                                plural(p->n_taken, "is", "are"));
        if (r >= 0 && p->n_misses > PREVIEW_NEAR_MAX)
                r = add_finding(preview, PT_SEVERITY_NOTE, "more-near",
                                "%zu devices fail by one condition only; %u are listed", p->n_misses, PREVIEW_NEAR_MAX);
        return r;
}

static int preview_run(Preview *preview) {
        preview->near = json_array();
        preview->claimed = json_array();
        preview->findings = json_array();
        preview->matched = calloc(inventory_count(preview->policy->inventory) + 1, sizeof(Device *));
        if (!preview->near || !preview->claimed || !preview->findings || !preview->matched)
                return -ENOMEM;

        for (Device *d = inventory_first(preview->policy->inventory); d; d = d->hh.next)
                if (d->module == preview->group->module && look_at(preview, d) < 0)
                        return -ENOMEM;
        if (list_devices(preview) < 0)
                return -ENOMEM;
        return add_findings(preview);
}

static json_t *preview_to_json(const Preview *preview) {
        json_t *matched = json_array();

        for (size_t i = 0; matched && i < preview->n_matched; i++)
                if (json_array_append_new(matched, json_string(preview->matched[i]->id)) < 0) {
                        json_decref(matched);
                        return NULL;
                }
        return json_pack("{so sO sO sO}", "matched", matched, "near", preview->near, "claimed",
                         preview->claimed, "findings", preview->findings);
}

int policy_preview(Policy *policy, const Group *group, json_t *where, json_t **ret, Fault *fault) {
        _cleanup_(preview_done) Preview preview = { .policy = policy, .group = group };
        json_t *json;
        int r;

        if (!group->module)
                return fault_set_object(fault, -ENOENT, FAULT_MODULE_MISSING, group->id,
                                        "The module of type %s is missing, so nothing can be matched",
                                        group->type);
        r = conditions_from_body(where, group->module, &preview.where, fault);
        if (r < 0)
                return r;
        if (preview_run(&preview) < 0)
                return fault_oom(fault);
        json = preview_to_json(&preview);
        if (!json)
                return fault_oom(fault);
        *ret = json;
        return 0;
}
