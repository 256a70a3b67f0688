/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All groups and rules, and which devices belong to which group. Membership is kept incrementally: a device
 * that changes is matched against the rules of its type, a rule that changes against the devices of its
 * type; nothing else is touched. */

#include "group.h"

typedef struct Policy Policy;

typedef struct PolicyEvents {
        void *userdata;
        void (*membership)(void *userdata, Device *device);  /* Device.Groups differs */
        void (*group_changed)(void *userdata, Group *group); /* Devices, Total, Available differ */
        /* A rule names a slow field: have it read for this device. */
        void (*want_slow)(void *userdata, Device *device);
        /* Whether an object that is being written will have the id. May be NULL. */
        bool (*reserved)(void *userdata, const char *id);
} PolicyEvents;

int policy_new(Inventory *inventory, Loader *loader, const char *node, const PolicyEvents *events,
               Policy **ret);
/* Before the inventory: devices point at their groups. */
Policy *policy_free(Policy *policy);
DEFINE_CLEANUP(Policy *, policy_free)

Group *policy_find_group(Policy *policy, const char *id);
Group *policy_find_group_by_name(Policy *policy, const char *name); /* id first, then name */
Group *policy_first_group(Policy *policy);
Rule *policy_find_rule(Policy *policy, const char *id);
Rule *policy_first_rule(Policy *policy);
size_t policy_count_groups(const Policy *policy);
size_t policy_count_rules(const Policy *policy);
/* Grows with every change of a group or a rule. */
uint64_t policy_edits(const Policy *policy);

/* Take ownership and match. -EEXIST when the id is taken. */
int policy_add_group(Policy *policy, Group *group);
int policy_add_rule(Policy *policy, Rule *rule);
/* Replaces content under the same id (the old one's members and rules move over) and matches again. */
int policy_replace_group(Policy *policy, Group *group);
int policy_replace_rule(Policy *policy, Rule *rule);
void policy_remove_rule(Policy *policy, Rule *rule);
void policy_remove_group(Policy *policy, Group *group); /* its rules too */

/* The inventory's events arrive here. */
void policy_device_added(Policy *policy, Device *device);
void policy_device_changed(Policy *policy, Device *device, uint64_t fields);
void policy_device_removed(Policy *policy, Device *device);

/* The rules that record what stood at the place of this device, linked by next_at_place; NULL for none. */
Rule *policy_rules_at(Policy *policy, const char *device);

/* What a rule fits, in order of place: new memory. */
int policy_rule_devices(Policy *policy, const Rule *rule, Device ***ret, size_t *ret_n);

/* Devices that a rule would match and those that fail by one condition only: {matched: [id…], near:
 * [{device, field, operator, value, is}…], claimed: [{device, groups}…] (in other groups, too), findings:
 * [{severity, code, text}…]} */
int policy_preview(Policy *policy, const Group *group, json_t *where, json_t **ret, Fault *fault);
/* A free id made from the name: "my-gpus", "my-gpus-2" …; of a rule, from its group's: "my-gpus-1". */
int policy_new_group_id(Policy *policy, const char *name, char ret[static ID_SIZE]);
int policy_new_rule_id(Policy *policy, const Group *group, char ret[static ID_SIZE]);
/* The strongest identity of the device that no other device of the type shares now: {kind, strength,
 * condition, breaks, passed-over: ["serial: usb-1-2 has the same"…]}. Identities by volatile fields are
 * passed over, and those that an unread device may share (it is asked for); VolatileIdentity when none is
 * left. */
int policy_identify(Policy *policy, Device *device, json_t **ret, Fault *fault);
