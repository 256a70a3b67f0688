/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-util.h"
#include "lib/limits.h"
#include "lib/value-util.h"
#include "place.h"
#include "policy-internal.h"

/* What a rule would do, before there is one. Nothing is changed, but that slow fields are asked for. */
typedef struct Preview {
        Policy *policy;
        const Group *group;
        ConditionList *where;
        Device **matched;
        size_t n_matched;
        size_t n_unread;   /* may match once they were read */
        size_t n_near;     /* also those that are not listed */
        size_t n_excluded; /* match, but an exclude rule of the group keeps them out */
        size_t n_unfit;    /* match, but are bridges or belong to the chipset */
        json_t *near, *claimed, *warnings;
} Preview;

static void preview_done(Preview *preview) {
        conditions_free(preview->where);
        free(preview->matched);
        json_decref(preview->near);
        json_decref(preview->claimed);
        json_decref(preview->warnings);
}

static int add_near(Preview *preview, const Device *device, const bool *failed) {
        const char *field, *value;
        Operator op;
        PtValue is = { 0 };
        json_t *entry;
        size_t i = 0;

        if (preview->n_near++ >= PREVIEW_NEAR_MAX)
                return 0;
        while (!failed[i])
                i++;
        conditions_get(preview->where, i, &field, &op, &value);
        if (device_get_field_by_name(device, field, &is) < 0)
                is = (PtValue){ .type = PT_NONE };
        entry = json_pack("{ss ss ss ss so}", "device", device->id, "field", field, "operator",
                          operator_to_string(op), "value", value, "is", value_to_json(&is));
        return json_array_append_new(preview->near, entry) < 0 ? -ENOMEM : 0;
}

static bool is_excluded(const Preview *preview, const Device *device) {
        for (const Rule *rule = preview->group->rules; rule; rule = rule->next)
                if (rule->action == RULE_EXCLUDE && !rule->invalid &&
                    rule_applies(rule, preview->policy->node) &&
                    conditions_match(rule->where, device, NULL) != MATCH_NO)
                        return true;
        return false;
}

static int add_matched(Preview *preview, Device *device) {
        json_t *ids = NULL;

        if (device->role != PT_ROLE_OFFER) {
                preview->n_unfit++;
                return 0;
        }
        preview->matched[preview->n_matched++] = device;
        preview->n_excluded += is_excluded(preview, device);

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
        if (ids && json_object_set_new(preview->claimed, device->id, ids) < 0)
                return -ENOMEM;
        return 0;
}

static int look_at(Preview *preview, Device *device) {
        bool failed[CONDITIONS_MAX];

        switch (conditions_match(preview->where, device, NULL)) {
        case MATCH_YES:
                return add_matched(preview, device);
        case MATCH_UNKNOWN:
                if (device->role != PT_ROLE_OFFER || device->slow == SLOW_FRESH)
                        return 0;
                preview->n_unread++;
                if (device->slow == SLOW_UNKNOWN)
                        policy_want_slow(preview->policy, device);
                return 0;
        case MATCH_NO:
                if (device->role == PT_ROLE_OFFER &&
                    conditions_failures(preview->where, device, failed) == 1)
                        return add_near(preview, device, failed);
                return 0;
        }
        return 0;
}

/* Numbers that the kernel gives anew at every boot select something else then. */
static int warn_of_volatile_fields(Preview *preview) {
        const PtField *fields = preview->group->module->descriptor->fields;
        uint64_t named = conditions_fields(preview->where);

        for (size_t i = 0; fields[i].name; i++)
                if ((named & (UINT64_C(1) << i)) && (fields[i].flags & PT_FIELD_VOLATILE) &&
                    json_append_text(preview->warnings,
                         "The field %s may differ after a restart of the host; the rule would then match "
                         "something else",
                         fields[i].name) < 0)
                        return -ENOMEM;
        return 0;
}

static const char *plural(size_t n, const char *one, const char *many) {
        return n == 1 ? one : many;
}

static int add_warnings(Preview *preview) {
        _cleanup_free_ char *contradiction = conditions_contradiction(preview->where);
        const char *error = conditions_error(preview->where);
        size_t n = json_object_size(preview->claimed);
        json_t *warnings = preview->warnings;

        if (conditions_count(preview->where) == 0 &&
            json_append_text(warnings, "There are no conditions: everything matches. A rule needs at least one") < 0)
                return -ENOMEM;
        if (contradiction && json_append_text(warnings, "%s", contradiction) < 0)
                return -ENOMEM;
        if (error && json_append_text(warnings, "%s", error) < 0)
                return -ENOMEM;
        if (warn_of_volatile_fields(preview) < 0)
                return -ENOMEM;
        if (preview->n_unread > 0 &&
            json_append_text(warnings, "%zu %s not read yet and may match as well; ask again in a moment",
                 preview->n_unread, plural(preview->n_unread, "device was", "devices were")) < 0)
                return -ENOMEM;
        if (preview->n_excluded > 0 &&
            json_append_text(warnings, "%zu of them %s kept out by an exclude rule of the group", preview->n_excluded,
                 plural(preview->n_excluded, "is", "are")) < 0)
                return -ENOMEM;
        if (preview->n_unfit > 0 &&
            json_append_text(warnings, "%zu more %s: bridges and devices of the chipset are never offered",
                 preview->n_unfit, plural(preview->n_unfit, "matches", "match")) < 0)
                return -ENOMEM;
        if (n > 0 &&
            json_append_text(warnings, "%zu of them %s to other groups, too", n, plural(n, "belongs", "belong")) < 0)
                return -ENOMEM;
        if (preview->n_near > PREVIEW_NEAR_MAX &&
            json_append_text(warnings, "%zu devices fail by one condition only; %u are listed", preview->n_near,
                 PREVIEW_NEAR_MAX) < 0)
                return -ENOMEM;
        return 0;
}

static int preview_run(Preview *preview) {
        _cleanup_free_ Device **devices = NULL;
        size_t n = 0;

        preview->near = json_array();
        preview->claimed = json_object();
        preview->warnings = json_array();
        preview->matched = calloc(inventory_count(preview->policy->inventory) + 1, sizeof(Device *));
        devices = calloc(inventory_count(preview->policy->inventory) + 1, sizeof(Device *));
        if (!preview->near || !preview->claimed || !preview->warnings || !preview->matched || !devices)
                return -ENOMEM;

        for (Device *d = inventory_first(preview->policy->inventory); d; d = d->hh.next)
                if (d->module == preview->group->module)
                        devices[n++] = d;
        /* Which near misses are listed must not hang on the order in which devices appeared. */
        place_sort(devices, n);
        for (size_t i = 0; i < n; i++)
                if (look_at(preview, devices[i]) < 0)
                        return -ENOMEM;
        return add_warnings(preview);
}

static json_t *preview_to_json(const Preview *preview) {
        json_t *matched = json_array();

        for (size_t i = 0; matched && i < preview->n_matched; i++)
                if (json_array_append_new(matched, json_string(preview->matched[i]->id)) < 0) {
                        json_decref(matched);
                        return NULL;
                }
        return json_pack("{so sO sO sO}", "matched", matched, "near", preview->near, "claimed-by",
                         preview->claimed, "warnings", preview->warnings);
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
