/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <assert.h>
#include <stdio.h>

#include "lib/limits.h"
#include "membership.h"
#include "place.h"
#include "policy-internal.h"
#include "provider.h"

int policy_new(Inventory *inventory, Loader *loader, const char *node, const PolicyEvents *events,
               Policy **ret) {
        _cleanup_(policy_freep) Policy *policy = calloc(1, sizeof(Policy));

        if (!policy)
                return -ENOMEM;
        policy->inventory = inventory;
        policy->loader = loader;
        policy->node = strdup(node);
        if (!policy->node)
                return -ENOMEM;
        if (events)
                policy->events = *events;
        *ret = TAKE_PTR(policy);
        return 0;
}

static void type_groups_free(Policy *policy, TypeGroups *type) {
        HASH_DEL(policy->types, type);
        free(type->groups);
        free(type);
}

Policy *policy_free(Policy *policy) {
        Group *group, *next_group;
        TypeGroups *type, *next_type;

        if (!policy)
                return NULL;
        /* Nobody is told of memberships that end because everything does. */
        policy->events = (PolicyEvents){ 0 };
        HASH_CLEAR(hh, policy->rules);
        HASH_ITER(hh, policy->groups, group, next_group) {
                while (group->n_members > 0)
                        membership_leave(group, group->members[group->n_members - 1]);
                HASH_DEL(policy->groups, group);
                group_free(group);
        }
        HASH_ITER(hh, policy->types, type, next_type)
                type_groups_free(policy, type);
        policy_places_free(policy);
        free(policy->node);
        free(policy);
        return NULL;
}

Group *policy_find_group(Policy *policy, const char *id) {
        Group *group;

        HASH_FIND_STR(policy->groups, id, group);
        return group;
}

Group *policy_find_group_by_name(Policy *policy, const char *name) {
        Group *group = policy_find_group(policy, name);

        if (group)
                return group;
        for (group = policy->groups; group; group = group->hh.next)
                if (streq(group->name, name))
                        return group;
        return NULL;
}

Group *policy_first_group(Policy *policy) {
        return policy->groups;
}

Rule *policy_find_rule(Policy *policy, const char *id) {
        Rule *rule;

        HASH_FIND_STR(policy->rules, id, rule);
        return rule;
}

Rule *policy_first_rule(Policy *policy) {
        return policy->rules;
}

size_t policy_count_groups(const Policy *policy) {
        return HASH_COUNT(policy->groups);
}

uint64_t policy_edits(const Policy *policy) {
        return policy->edits;
}

size_t policy_count_rules(const Policy *policy) {
        return HASH_COUNT(policy->rules);
}

static void tell_membership(Policy *policy, Device *device) {
        if (policy->events.membership)
                policy->events.membership(policy->events.userdata, device);
}

static void tell_group(Policy *policy, Group *group) {
        if (policy->events.group_changed)
                policy->events.group_changed(policy->events.userdata, group);
}

void policy_want_slow(Policy *policy, Device *device) {
        Device *provider = device_get_provider(device);

        if (!policy->events.want_slow)
                return;
        if (device->slow == SLOW_UNKNOWN)
                policy->events.want_slow(policy->events.userdata, device);
        if (provider && provider->slow == SLOW_UNKNOWN)
                policy->events.want_slow(policy->events.userdata, provider);
}

/* Links or unlinks as the rules say now; whether that was a change. Without memory a device stays out. */
static bool policy_settle(Group *group, Device *device, bool member, bool *ret_unread) {
        bool fits = matcher_fits(group, device, ret_unread);

        if (member == fits)
                return false;
        if (!fits) {
                membership_leave(group, device);
                return true;
        }
        return membership_join(group, device) >= 0;
}

static TypeGroups *policy_groups_of(Policy *policy, const char *type) {
        TypeGroups *groups;

        HASH_FIND_STR(policy->types, type, groups);
        return groups;
}

/* Settles the device with the groups of its type whose rules name one of the fields, or, where `provider` is set, anything of
 * its provider. */
static void policy_settle_device(Policy *policy, Device *device, uint64_t fields, bool provider) {
        TypeGroups *type = policy_groups_of(policy, device->module->name);
        bool changed = false, unread = false;

        /* Marks its groups, so that none of the others has to look for itself among them. */
        policy->round++;
        for (size_t i = 0; device->groups && device->groups[i]; i++)
                device->groups[i]->matcher->round = policy->round;

        for (size_t i = 0; type && i < type->n_groups; i++) {
                Group *group = type->groups[i];

                if (matcher_update(group, policy->node) < 0)
                        continue;
                /* That a slow field turned out not to be there changes no field, but what is known. */
                if (!(group->matcher->fields & fields) && !group->matcher->slow && !(provider && group->matcher->provider))
                        continue;
                if (!policy_settle(group, device, group->matcher->round == policy->round, &unread))
                        continue;
                changed = true;
                tell_group(policy, group);
        }
        if (changed)
                tell_membership(policy, device);
        if (unread)
                policy_want_slow(policy, device);
}

/* What is said of a provider is said of all that it made. */
static void policy_settle_children(Policy *policy, const Device *device) {
        if (device->role != PT_ROLE_PROVIDER || !device->provider)
                return;
        for (size_t i = 0; i < device->provider->n_children; i++)
                policy_settle_device(policy, device->provider->children[i], 0, true);
}

void policy_device_added(Policy *policy, Device *device) {
        policy_settle_device(policy, device, UINT64_MAX, true);
        policy_settle_children(policy, device);
}

void policy_device_changed(Policy *policy, Device *device, uint64_t fields) {
        policy_settle_device(policy, device, fields, false);
        policy_settle_children(policy, device);
}

void policy_device_removed(Policy *policy, Device *device) {
        while (device->groups) {
                Group *group = device->groups[0];

                membership_leave(group, device);
                tell_group(policy, group);
        }
}

/* Rules that matter: of the others it is the same whether they are there. */
static bool speaks(const Policy *policy, const Rule *rule) {
        return rule && rule_applies(rule, policy->node) && !(rule->invalid && rule->action == RULE_INCLUDE);
}

/* Whether the group has to be asked about the device after `old` became `new` (NULL: not there, or says
 * nothing). It spares asking all other rules of the group: one that includes can only bring in what it fits
 * now and lose what it fitted before; one that excludes the other way round. */
static bool edit_affects(const Group *group, const Rule *old, const Rule *new, const Device *device) {
        bool member = group_has_member(group, device);
        Match after;

        if ((old && old->invalid) || (new && new->invalid) || (old && new && old->action != new->action))
                return true;
        after = new ? conditions_match(new->where, device, NULL) : MATCH_NO;
        if ((new ?: old)->action == RULE_INCLUDE) {
                if (!member || after == MATCH_YES)
                        return after != MATCH_NO && !member;
                return old && conditions_match(old->where, device, NULL) == MATCH_YES;
        }
        if (member || after == MATCH_UNKNOWN)
                return after != MATCH_NO;
        return after == MATCH_NO && old && conditions_match(old->where, device, NULL) != MATCH_NO;
}

/* Brings the group up to date after one of its rules changed. */
static void policy_settle_edit(Policy *policy, Group *group, const Rule *old, const Rule *new) {
        bool changed = false;

        if (group->matcher)
                group->matcher->valid = false;
        old = speaks(policy, old) ? old : NULL;
        new = speaks(policy, new) ? new : NULL;
        if (!group->module || (!old && !new))
                return;

        for (Device *device = inventory_first(policy->inventory); device; device = device->hh.next) {
                bool unread = false;

                if (device->module != group->module || !edit_affects(group, old, new, device))
                        continue;
                /* Only now: loading ten thousand rules must not make the matcher ten thousand times. */
                if (matcher_update(group, policy->node) < 0)
                        break;
                if (policy_settle(group, device, group_has_member(group, device), &unread)) {
                        changed = true;
                        tell_membership(policy, device);
                }
                if (unread)
                        policy_want_slow(policy, device);
        }
        if (changed)
                tell_group(policy, group);
}

static int type_groups_reserve(Policy *policy, const char *name, TypeGroups **ret) {
        TypeGroups *type = policy_groups_of(policy, name);

        if (!type) {
                type = calloc(1, sizeof(TypeGroups));
                if (!type)
                        return -ENOMEM;
                (void) snprintf(type->type, sizeof(type->type), "%s", name);
                HASH_ADD_STR(policy->types, type, type);
        }
        if (type->n_groups == type->n_allocated) {
                size_t n = type->n_allocated ? 2 * type->n_allocated : 4;
                Group **groups = reallocarray(type->groups, n, sizeof(Group *));

                if (!groups)
                        return -ENOMEM;
                type->groups = groups;
                type->n_allocated = n;
        }
        *ret = type;
        return 0;
}

int policy_add_group(Policy *policy, Group *group) {
        TypeGroups *type;
        int r;

        if (policy_find_group(policy, group->id))
                return -EEXIST;
        if (policy_count_groups(policy) >= GROUPS_MAX)
                return -E2BIG;
        /* A group whose type is missing has no members; its name is free text then and may be longer than
         * one. */
        if (group->module) {
                r = type_groups_reserve(policy, group->type, &type);
                if (r < 0)
                        return r;
                type->groups[type->n_groups++] = group;
        }
        policy->edits++;
        HASH_ADD_STR(policy->groups, id, group);
        return 0;
}

static Rule **rule_link(Group *group, const Rule *rule) {
        Rule **link = &group->rules;

        while (*link != rule)
                link = &(*link)->next;
        return link;
}

static int policy_append_rule(Policy *policy, Rule *rule) {
        Group *group = rule->group;

        if (!group->matcher) {
                int r = matcher_update(group, policy->node);

                if (r < 0)
                        return r;
        }
        if (policy_place_add(policy, rule) < 0)
                return -ENOMEM;
        policy->edits++;
        rule->next = NULL;
        if (group->matcher->last_rule)
                group->matcher->last_rule->next = rule;
        else
                group->rules = rule;
        group->matcher->last_rule = rule;
        HASH_ADD_STR(policy->rules, id, rule);
        return 0;
}

int policy_add_rule(Policy *policy, Rule *rule) {
        int r;

        if (policy_find_rule(policy, rule->id))
                return -EEXIST;
        if (policy_count_rules(policy) >= RULES_MAX)
                return -E2BIG;
        r = policy_append_rule(policy, rule);
        if (r < 0)
                return r;
        policy_settle_edit(policy, rule->group, NULL, rule);
        return 0;
}

int policy_replace_group(Policy *policy, Group *group) {
        Group *old = policy_find_group(policy, group->id);
        TypeGroups *type;

        if (!old)
                return -ENOENT;
        if (old->module != group->module || !streq(old->type, group->type))
                return -EINVAL;

        type = group->module ? policy_groups_of(policy, group->type) : NULL;
        for (size_t i = 0; type && i < type->n_groups; i++)
                if (type->groups[i] == old)
                        type->groups[i] = group;
        policy->edits++;
        membership_move(old, group);
        group->rules = TAKE_PTR(old->rules);
        for (Rule *rule = group->rules; rule; rule = rule->next)
                rule->group = group;
        group->matcher = TAKE_PTR(old->matcher);

        HASH_DEL(policy->groups, old);
        group_free(old);
        HASH_ADD_STR(policy->groups, id, group);
        tell_group(policy, group);
        return 0;
}

/* Takes the rule out of the tables; it is its last owner's. */
static void policy_unlink_rule(Policy *policy, Rule *rule) {
        Matcher *matcher = rule->group->matcher;

        policy->edits++;
        *rule_link(rule->group, rule) = rule->next;
        policy_place_remove(policy, rule);
        HASH_DEL(policy->rules, rule);
        if (matcher->last_rule != rule)
                return;
        matcher->last_rule = rule->group->rules;
        while (matcher->last_rule && matcher->last_rule->next)
                matcher->last_rule = matcher->last_rule->next;
}

int policy_replace_rule(Policy *policy, Rule *rule) {
        Rule *old = policy_find_rule(policy, rule->id);
        Matcher *matcher;

        if (!old)
                return -ENOENT;
        if (old->group != rule->group)
                return -EINVAL;

        if (policy_place_add(policy, rule) < 0)
                return -ENOMEM;
        policy_place_remove(policy, old);
        policy->edits++;
        matcher = rule->group->matcher;
        *rule_link(rule->group, old) = rule;
        rule->next = old->next;
        if (matcher->last_rule == old)
                matcher->last_rule = rule;
        HASH_DEL(policy->rules, old);
        HASH_ADD_STR(policy->rules, id, rule);
        policy_settle_edit(policy, rule->group, old, rule);
        rule_free(old);
        return 0;
}

void policy_remove_rule(Policy *policy, Rule *rule) {
        policy_unlink_rule(policy, rule);
        policy_settle_edit(policy, rule->group, rule, NULL);
        rule_free(rule);
}

void policy_remove_group(Policy *policy, Group *group) {
        TypeGroups *type = group->module ? policy_groups_of(policy, group->type) : NULL;

        for (size_t i = 0; type && i < type->n_groups; i++)
                if (type->groups[i] == group) {
                        type->groups[i] = type->groups[--type->n_groups];
                        break;
                }
        while (group->n_members > 0) {
                Device *device = group->members[group->n_members - 1];

                membership_leave(group, device);
                tell_membership(policy, device);
        }
        for (Rule *rule = group->rules; rule; rule = rule->next) {
                policy_place_remove(policy, rule);
                HASH_DEL(policy->rules, rule);
        }
        policy->edits++;
        HASH_DEL(policy->groups, group);
        group_free(group);
}

int policy_rule_devices(Policy *policy, const Rule *rule, Device ***ret, size_t *ret_n) {
        _cleanup_free_ Device **devices = NULL;
        size_t n = 0;

        devices = calloc(inventory_count(policy->inventory) + 1, sizeof(Device *));
        if (!devices)
                return -ENOMEM;
        for (Device *d = inventory_first(policy->inventory); d && !rule->invalid; d = d->hh.next)
                if (d->role == PT_ROLE_OFFER && conditions_match(rule->where, d, NULL) == MATCH_YES)
                        devices[n++] = d;
        place_sort(devices, n);
        *ret = TAKE_PTR(devices);
        *ret_n = n;
        return 0;
}

/* `base`, or the first of base-2, base-3 … for which `taken` does not hold; the base is cut where the id
 * would be too long. */
static int number_id(Policy *policy, const char *base, size_t first,
                     bool (*taken)(Policy *policy, const char *id), char ret[static ID_SIZE]) {
        for (size_t n = first; n < SIZE_MAX; n++) {
                char suffix[24] = "", id[ID_SIZE];
                size_t length = strlen(base);

                if (n > 0)
                        (void) snprintf(suffix, sizeof(suffix), "-%zu", n);
                length = MIN_OF(length, ID_MAX - strlen(suffix));
                while (length > 1 && base[length - 1] == '-')
                        length--;
                (void) snprintf(id, sizeof(id), "%.*s%s", (int) length, base, suffix);
                if (taken(policy, id))
                        continue;
                strcpy(ret, id);
                return 0;
        }
        return -ENOSPC;
}

static bool is_reserved(Policy *policy, const char *id) {
        return policy->events.reserved && policy->events.reserved(policy->events.userdata, id);
}

static bool group_id_taken(Policy *policy, const char *id) {
        return policy_find_group(policy, id) || is_reserved(policy, id);
}

static bool rule_id_taken(Policy *policy, const char *id) {
        return policy_find_rule(policy, id) || is_reserved(policy, id);
}

int policy_new_group_id(Policy *policy, const char *name, char ret[static ID_SIZE]) {
        char base[ID_SIZE];

        /* A name of other letters than ours is a fine name. */
        if (id_from_name(name, base) < 0)
                strcpy(base, "group");
        if (!group_id_taken(policy, base)) {
                strcpy(ret, base);
                return 0;
        }
        return number_id(policy, base, 2, group_id_taken, ret);
}

int policy_new_rule_id(Policy *policy, const Group *group, char ret[static ID_SIZE]) {
        size_t n = 1;

        for (const Rule *rule = group->rules; rule; rule = rule->next)
                n++;
        return number_id(policy, group->id, n, rule_id_taken, ret);
}
