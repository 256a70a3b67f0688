/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many devices of a provider a group can have, where that is fewer than there are: framebuffer that others use up, sizes that
 * do not go together. The module's layout() says it with put_room(). What it said is kept with the provider until claims, rules,
 * settings or the provider itself differ. */

#include "finding.h"
#include "manager.h"
#include "module-call.h"
#include "provider.h"

typedef struct RoomItem {
        char group[ID_SIZE];
        uint32_t total, available;
        char name[DEMAND_NAME_SIZE]; /* of one device, for people; "" where it was not said */
        uint32_t size;               /* of one */
        unsigned n_members, n_free; /* for room_count() */
} RoomItem;

typedef struct Room {
        uint64_t edits; /* of the policy, when layout() was asked */
        bool stale;
        size_t n_items;
        RoomItem items[]; /* of the groups that it said anything about */
} Room;

/* More claims than there are, for asking what would be left: what the same request list got already. */
typedef struct RoomClaim {
        const char *group;
        uint32_t count;
} RoomClaim;

/* What is left for the group at its provider: NULL where nothing was said, so that it can have all that are free. Borrowed until
 * the next turn of the loop. */
RoomItem *room_find(Manager *m, Provider *provider, const Group *group);
/* The same if these were claimed, too: 1 and the number, or 0. Nothing is kept. */
int room_available(Manager *m, Provider *provider, const Group *group, const RoomClaim *claims, size_t n_claims,
                   uint32_t *ret);
/* What other groups lose of the provider when one more device of it goes to this group, beside these claims: how much, in the
 * unit of put_size(), and what is left for the largest of theirs in words ("" where no other wants anything). */
#define ROOM_TEXT_SIZE 256
uint32_t room_cost(Manager *m, Provider *provider, const Group *group, const RoomClaim *claims, size_t n_claims,
                   char ret_text[static ROOM_TEXT_SIZE]);
/* "no-room", for people. */
void room_blocker(Manager *m, const Provider *provider, const Group *group, FindingList *findings);
/* It may be different now: asked again when somebody wants to know; its groups are said to have changed. NULL is fine. */
void room_changed(Manager *m, Provider *provider);
/* The same for all, after an edit of groups or rules. */
void room_all_changed(Manager *m);
