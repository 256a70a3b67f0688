/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the policy-*.c files share. */

#include "policy.h"

/* The groups of one type: what has to be asked about a device. */
typedef struct TypeGroups {
        char type[TYPE_NAME_MAX + 1];
        Group **groups;
        size_t n_groups, n_allocated;
        UT_hash_handle hh;
} TypeGroups;

/* Rules that record a device at one place; linked by next_at_place. */
typedef struct PlaceRules {
        char device[ID_SIZE];
        Rule *first;
        UT_hash_handle hh;
} PlaceRules;

struct Policy {
        Inventory *inventory;
        Loader *loader;
        char *node;
        PolicyEvents events;
        Group *groups;
        Rule *rules;
        TypeGroups *types;
        PlaceRules *places; /* policy-place.c */
        uint64_t edits;
        uint64_t round; /* of looking at one device */
};

void policy_want_slow(Policy *policy, Device *device);
int policy_place_add(Policy *policy, Rule *rule);
void policy_place_remove(Policy *policy, Rule *rule);
void policy_places_free(Policy *policy);
