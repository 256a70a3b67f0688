/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What groups want of providers. A group makes a demand on each provider that one of its include rules selects by conditions on
 * `provider.FIELD`, and that no exclude rule names as a whole; its settings say how much. The module of the type decides on the
 * one layout that serves all demands on a provider, or says which group is at fault. */

#include "manager.h"
#include "provider.h"
#include "room.h"

/* How one layout of a provider becomes another. */
typedef enum Transition {
        TRANSITION_REPLACE, /* the new steps take the place of those before, where they concern the same */
        TRANSITION_BESIDE,  /* the same, and what is in use is left alone: nothing has to be free for it */
        TRANSITION_ANEW,    /* everything is undone first */
        TRANSITION_KEEP,    /* it is so already, and in use: only for whom it is made is noted */
} Transition;

/* A change of groups and rules that is not made yet, for asking what would be. All may be NULL. */
typedef struct PolicyChange {
        const Group *group;        /* stands for the one with the same id: its settings count */
        const Group *new_group;    /* is added; ignored where it is there already */
        const Rule *rule;          /* is added, or stands for the one with the same id */
        const char *without_rule;  /* id */
        const char *without_group; /* id */
        const struct GroupView *views; /* stand for all groups and rules that there are; nothing else of the change counts then */
        size_t n_views;
} PolicyChange;

/* A group as it would be, with the rules that it would have, in order. All is borrowed. */
typedef struct GroupView {
        const Group *group;
        const Rule **rules;
        size_t n_rules;
} GroupView;

/* Whether the group's rules select the provider. */
bool demand_exists(Manager *m, const Group *group, const Device *provider, const PolicyChange *change);
/* Whether a request for this group has it. */
bool device_is_claimed_for(const Device *device, const Group *group);
/* Ids of the groups that make demands, in order of creation: NULL-terminated, new memory. */
int demand_groups(Manager *m, const Device *provider, const PolicyChange *change, char ***ret);
/* What the module says of the room of each group while it decides on the layout, as far as it says any. */
int demand_rooms(Manager *m, Device *provider, const RoomClaim *claims, size_t n_claims, Room *ret);
/* The layout for all demands: {name: [type, value]}; JSON null when there is none. LayoutConflict when there is no layout that
 * serves all; the fault's object is the group at fault. */
int demand_layout(Manager *m, Device *provider, const PolicyChange *change, json_t **ret, Fault *fault);
/* A layout in words: "vfs 5"; "" for none. */
void layout_text(json_t *layout, char *buffer, size_t size);
/* What a rule that is not made yet would demand of providers: added to the findings of policy_preview()'s result. */
int demand_preview(Manager *m, Group *group, json_t *where, json_t *result, Fault *fault);
/* Whether every provider of the type still has a layout after the change: LayoutConflict. */
int demand_check(Manager *m, const Module *module, const PolicyChange *change, Fault *fault);
/* What the module says of the way from the layout that was made to another; both are there. */
int provider_change(Manager *m, Device *provider, json_t *made, json_t *layout, Transition *ret, Fault *fault);
/* What the module finds missing of the layout that was made: -ENODATA when it can't tell now. */
int provider_verify(Manager *m, Device *provider, json_t *made, FindingList *ret, Fault *fault);
/* Steps on the same thing by the module's own name count as one: those of modules that know of changes. */
bool provider_merges_custom_steps(const Device *provider);
/* The keys that a change of its layout needs. */
int provider_uses(Manager *m, Device *provider, KeyList *ret, Fault *fault);
/* Appends the steps that make the layout. */
int provider_plan(Manager *m, Device *provider, json_t *layout, Plan *plan, Fault *fault);
/* How many more devices of each profile it could make: {profile: number}. `ret_profiles` (may be NULL): what is known of
 * profiles, {profile: {name: value}}. */
int provider_capacity(Manager *m, Device *provider, json_t **ret, json_t **ret_profiles, Fault *fault);
