/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which devices are in which groups: the links between them, and the question whether a device belongs.
 * Used by the policy only, which calls it when a device, a rule or a group changes. */

#include "group.h"

/* The rules of one group as matching needs them: those that speak on this node, without what is for people.
 * Made anew when first needed after the group's rules changed. */
typedef struct Matcher {
        ConditionList **includes; /* then the exclusions, in one array */
        size_t n_includes, n_excludes;
        uint64_t fields; /* named by any of them */
        bool slow;       /* one of them names a slow field */
        bool provider;   /* one of them names a field of the device's provider */
        bool closed;     /* an exclude rule is not valid: nobody can be said to belong */
        bool valid;      /* is as the rules are */
        uint64_t round;  /* the policy's mark: of which look at a device the group is one of */
        Rule *last_rule; /* the end of group->rules; maintained by the policy */
} Matcher;

Matcher *matcher_free(Matcher *matcher);
/* Brings group->matcher in line with group->rules. */
int matcher_update(Group *group, const char *node);
/* Whether the device belongs to the group; its matcher must be up to date. `ret_unread` is set when that
 * hangs on a field that was not read yet, else untouched. */
bool matcher_fits(const Group *group, const Device *device, bool *ret_unread);

/* Link and unlink. Constant time, whatever the size of the group. */
int membership_join(Group *group, Device *device);
void membership_leave(Group *group, Device *device);
/* Puts `new` where the members of `old` point to `old`, and moves them over. */
void membership_move(Group *old, Group *new);
