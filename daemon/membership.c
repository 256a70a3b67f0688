/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "membership.h"

#include <assert.h>

#include "provider.h"

Matcher *matcher_free(Matcher *matcher) {
        if (!matcher)
                return NULL;
        free(matcher->includes);
        free(matcher);
        return NULL;
}

static size_t count_rules(const Group *group) {
        size_t n = 0;

        for (const Rule *rule = group->rules; rule; rule = rule->next)
                n++;
        return n;
}

/* Appends the rules of one action. */
static void take_rules(Matcher *matcher, const Group *group, RuleAction action, const char *node,
                       size_t *n) {
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                if (rule->action != action || !rule_applies(rule, node))
                        continue;
                if (rule->invalid) {
                        matcher->closed |= action == RULE_EXCLUDE;
                        continue;
                }
                matcher->includes[matcher->n_includes + matcher->n_excludes] = rule->where;
                (*n)++;
                matcher->fields |= conditions_fields(rule->where);
                matcher->slow |= conditions_need_slow(rule->where);
                matcher->provider |= conditions_name_provider(rule->where);
        }
}

int matcher_update(Group *group, const char *node) {
        Matcher *matcher = group->matcher;
        ConditionList **lists;

        if (matcher && matcher->valid)
                return 0;
        if (!matcher) {
                matcher = group->matcher = calloc(1, sizeof(Matcher));
                if (!matcher)
                        return -ENOMEM;
        }
        lists = reallocarray(matcher->includes, count_rules(group) + 1, sizeof(ConditionList *));
        if (!lists)
                return -ENOMEM;
        *matcher = (Matcher){
                .includes = lists,
                .round = matcher->round,
                .last_rule = matcher->last_rule,
                .valid = true,
        };
        take_rules(matcher, group, RULE_INCLUDE, node, &matcher->n_includes);
        take_rules(matcher, group, RULE_EXCLUDE, node, &matcher->n_excludes);
        return 0;
}

/* Whether an unknown answer may become another one once the device was read. */
static bool is_unread(ConditionList *list, const Device *device) {
        const Device *provider = conditions_name_provider(list) ? device_get_provider(device) : NULL;

        return conditions_need_slow(list) &&
               (device->slow == SLOW_UNKNOWN || (provider && provider->slow == SLOW_UNKNOWN));
}

bool matcher_fits(const Group *group, const Device *device, bool *ret_unread) {
        const Matcher *matcher = group->matcher;
        bool included = false, unread = false;

        if (device->role != PT_ROLE_OFFER || matcher->closed)
                return false;
        for (size_t i = 0; i < matcher->n_includes && !included; i++) {
                Match match = conditions_match(matcher->includes[i], device, NULL);

                included = match == MATCH_YES;
                unread |= match == MATCH_UNKNOWN && is_unread(matcher->includes[i], device);
        }
        if (!included && !unread)
                return false;
        for (size_t i = 0; i < matcher->n_excludes; i++) {
                ConditionList *list = matcher->includes[matcher->n_includes + i];
                Match match = conditions_match(list, device, NULL);

                if (match == MATCH_YES)
                        return false;
                if (match == MATCH_UNKNOWN) {
                        included = false;
                        unread |= is_unread(list, device);
                }
        }
        *ret_unread |= unread && !included;
        return included;
}

/* Device.groups ends with NULL; behind it, in the same piece of memory and for this file only, stands for
 * each group the device's position in group->members. So a device leaves a group of ten thousand without
 * being searched for. */
static uint32_t *positions(Group **groups, size_t n) {
        return (uint32_t *) (groups + n + 1);
}

static size_t count_groups(const Device *device) {
        size_t n = 0;

        while (device->groups && device->groups[n])
                n++;
        return n;
}

static size_t find_group(const Device *device, const Group *group) {
        size_t i = 0;

        while (device->groups[i] != group)
                i++;
        return i;
}

static Group **allocate_groups(size_t n) {
        return malloc((n + 1) * sizeof(Group *) + n * sizeof(uint32_t));
}

static int reserve_member(Group *group) {
        size_t n = group->n_members_allocated ? 2 * group->n_members_allocated : 4;
        Device **members;

        if (group->n_members < group->n_members_allocated)
                return 0;
        members = reallocarray(group->members, n, sizeof(Device *));
        if (!members)
                return -ENOMEM;
        group->members = members;
        group->n_members_allocated = n;
        return 0;
}

static void forget_order(Group *group) {
        free(group->by_place);
        group->by_place = NULL;
}

int membership_join(Group *group, Device *device) {
        size_t n = count_groups(device);
        Group **groups = allocate_groups(n + 1);

        if (!groups || reserve_member(group) < 0) {
                free(groups);
                return -ENOMEM;
        }
        if (n > 0) {
                memcpy(groups, device->groups, n * sizeof(Group *));
                memcpy(positions(groups, n + 1), positions(device->groups, n), n * sizeof(uint32_t));
        }
        groups[n] = group;
        groups[n + 1] = NULL;
        positions(groups, n + 1)[n] = (uint32_t) group->n_members;
        free(device->groups);
        device->groups = groups;

        group->members[group->n_members++] = device;
        forget_order(group);
        return 0;
}

/* Takes entry `i` of `n` out of the list, in place: a removal must not fail. */
static void drop_group(Device *device, size_t i, size_t n) {
        Group **groups = device->groups;
        uint32_t *old = positions(groups, n), *new = positions(groups, n - 1);

        if (n == 1) {
                free(groups);
                device->groups = NULL;
                return;
        }
        memmove(groups + i, groups + i + 1, (n - i) * sizeof(Group *));
        /* The positions move down by one pointer; those of the entries behind by one entry more. */
        memmove(new, old, i * sizeof(uint32_t));
        memmove(new + i, old + i + 1, (n - i - 1) * sizeof(uint32_t));
}

void membership_leave(Group *group, Device *device) {
        size_t n = count_groups(device), i = find_group(device, group);
        uint32_t position = positions(device->groups, n)[i];
        Device *last = group->members[group->n_members - 1];

        assert(group->members[position] == device);
        group->members[position] = last;
        positions(last->groups, count_groups(last))[find_group(last, group)] = position;
        group->n_members--;
        drop_group(device, i, n);
        forget_order(group);
}

void membership_move(Group *old, Group *new) {
        for (size_t i = 0; i < old->n_members; i++) {
                Device *device = old->members[i];

                device->groups[find_group(device, old)] = new;
        }
        new->members = TAKE_PTR(old->members);
        new->n_members = old->n_members;
        new->n_members_allocated = old->n_members_allocated;
        new->by_place = TAKE_PTR(old->by_place);
        old->n_members = old->n_members_allocated = 0;
}
