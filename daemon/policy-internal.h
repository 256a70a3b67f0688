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

struct Policy {
        Inventory *inventory;
        Loader *loader;
        char *node;
        PolicyEvents events;
        Group *groups;
        Rule *rules;
        TypeGroups *types;
        uint64_t round; /* of looking at one device */
};

void policy_want_slow(Policy *policy, Device *device);
