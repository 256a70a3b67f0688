/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a change of the host means for whoever uses it. */

#include "json-util.h"
#include "topology-boot.h"

static void add_once(json_t *list, const char *text) {
        json_t *known;
        size_t index;

        json_array_foreach(list, index, known)
                if (streq(json_string_value(known), text))
                        return;
        json_array_append_new(list, json_string(text));
}

static const char *text_of(json_t *row, const char *key) {
        return strempty(json_string_value(json_object_get(row, key)));
}

static bool is_kind(json_t *row, const char *const *kinds) {
        for (size_t i = 0; kinds[i]; i++)
                if (streq(text_of(row, "kind"), kinds[i]))
                        return true;
        return false;
}

/* Rules that say where a device is, when another one is there or none; and rules that name the number of an IOMMU group, when
 * these are others. */
static bool concerns(const Rule *rule, json_t *row) {
        static const char *const places[] = { "gone", "moved", NULL };
        static const char *const numbers[] = { "split", "merged", "regrouped", "renumbered", "iommu-lost", NULL };
        bool of_place = is_kind(row, places), of_group = is_kind(row, numbers);

        for (size_t i = 0; i < conditions_count(rule->where); i++) {
                const char *field, *value;
                Operator operator;

                conditions_get(rule->where, i, &field, &operator, &value);
                if ((of_group && streq(field, "iommu-group")) || (of_place && strstr(value, text_of(row, "before"))))
                        return true;
        }
        return false;
}

static void add_rules(Manager *m, json_t *row, json_t *rules, json_t *groups) {
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                for (Rule *rule = group->rules; rule; rule = rule->next)
                        if (concerns(rule, row)) {
                                add_once(rules, rule->id);
                                add_once(groups, group->id);
                        }
}

/* It has the device, or had it last and is given it again by preference. */
static bool uses(const Allocation *a, const char *device) {
        if (allocation_has_device(a, device))
                return true;
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; a->requests[i].last && a->requests[i].last[k]; k++)
                        if (streq(a->requests[i].last[k], device))
                                return true;
        return false;
}

static void add_allocations(Manager *m, json_t *devices, json_t *allocations) {
        json_t *device;
        size_t index;

        for (Allocation *a = m->allocations; a; a = a->hh.next)
                json_array_foreach(devices, index, device)
                        if (uses(a, json_string_value(device)))
                                add_once(allocations, a->id);
}

/* Groups that were removed since concern nobody; those that have the device now do. */
static json_t *present_groups(Manager *m, json_t *row) {
        json_t *list = json_array(), *group, *id;
        size_t index;

        json_array_foreach(json_object_get(row, "groups"), index, group)
                if (policy_find_group(m->policy, json_string_value(group)))
                        json_array_append(list, group);
        json_array_foreach(json_object_get(row, "devices"), index, id) {
                const Device *device = inventory_find(m->inventory, json_string_value(id));

                for (size_t i = 0; device && device->groups && device->groups[i]; i++)
                        add_once(list, device->groups[i]->id);
        }
        return list;
}

void topology_add_use(Manager *m, json_t *rows) {
        json_t *row;
        size_t index;

        json_array_foreach(rows, index, row) {
                json_t *groups = present_groups(m, row), *rules = json_array(), *allocations = json_array();

                add_rules(m, row, rules, groups);
                add_allocations(m, json_object_get(row, "devices"), allocations);
                add_allocations(m, json_object_get(row, "was"), allocations);
                json_object_set_new(row, "groups", groups);
                json_object_set_new(row, "rules", rules);
                json_object_set_new(row, "allocations", allocations);
        }
}
