/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A resource group: a named pool of devices of one type. Owned by the policy.
 *
 * Members are the devices that at least one include rule fits and no exclude rule. What cannot be said yet
 * (a field that was not read, an expression that came to its limits, an exclude rule whose field is gone)
 * keeps a device out. */

#include "rule.h"
#include "settings.h"

typedef enum ChoicePolicy {
        CHOICE_ORDER,  /* in order of place */
        CHOICE_PACK,   /* fill what is used already */
        CHOICE_SPREAD, /* as far apart as possible */
        CHOICE_NUMA,   /* nearest to the node asked for */
        _CHOICE_MAX,
        _CHOICE_INVALID = -EINVAL,
} ChoicePolicy;
DECLARE_STRING_TABLE(choice_policy, ChoicePolicy);

struct Group {
        char id[ID_SIZE];
        char *name;
        char *type;
        Module *module; /* NULL while the type is missing or refused */
        char *description;
        char *class; /* icon: gpu vgpu storage hid usb network media audio fpga pci unknown */
        bool enabled;
        SettingValues settings;
        json_t *kept_settings; /* stored ones that the module does not know (any more): written back; or NULL */
        char **user_defined; /* NULL-terminated, settings a consumer may override */
        ChoicePolicy choice;
        char *tenant;     /* "" for none */
        Rule *rules;      /* in order of creation */
        Device **members; /* unordered; maintained by membership */
        size_t n_members, n_members_allocated;
        Device **by_place; /* the members in order of place, made when asked for; NULL since a change */
        struct Matcher *matcher; /* the rules as matching needs them; maintained by the policy */
        UT_hash_handle hh;       /* in the policy, by id */
};

/* Body: {name, type, description, class, enabled, settings, user-defined, choice, tenant}. Unknown keys are
 * refused. `stored`: a missing module is fine. */
int group_from_json(const char *id, json_t *body, Loader *loader, bool stored, Group **ret, Fault *fault);
Group *group_free(Group *group);
DEFINE_CLEANUP(Group *, group_free)
json_t *group_to_json(const Group *group);
bool group_has_member(const Group *group, const Device *device);
/* The members in order of place: group->n_members, borrowed until membership changes. NULL when empty or
 * out of memory. */
Device *const *group_members_by_place(const Group *group);
