/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "room.h"

#include <stdio.h>

#include "demand.h"

/* Whether anybody could say anything. */
static bool has_layouts(const Provider *provider) {
        return provider && provider->device && provider->module->descriptor && provider->module->descriptor->layout;
}

static int ask(Manager *m, Provider *provider, const RoomClaim *claims, size_t n_claims, Room **ret) {
        size_t max = policy_count_groups(m->policy);
        Room *room = calloc(1, sizeof(Room) + max * sizeof(RoomItem));
        int r;

        if (!room)
                return -ENOMEM;
        room->edits = policy_edits(m->policy);
        r = demand_rooms(m, provider->device, claims, n_claims, room);
        if (r < 0) {
                free(room);
                return r;
        }
        *ret = room;
        return 0;
}

static RoomItem *find_item(Room *room, const char *group) {
        for (size_t i = 0; room && i < room->n_items; i++)
                if (streq(room->items[i].group, group))
                        return &room->items[i];
        return NULL;
}

/* One that never said anything is not asked again because of a claim: rooms that depend on claims were there before. */
static bool is_current(const Manager *m, const Room *room) {
        return room && room->edits == policy_edits(m->policy) && (!room->stale || room->n_items == 0);
}

RoomItem *room_find(Manager *m, Provider *provider, const Group *group) {
        Room *room;

        if (!has_layouts(provider) || group->module != provider->module)
                return NULL;
        if (!is_current(m, provider->room)) {
                if (ask(m, provider, NULL, 0, &room) < 0)
                        return NULL;
                free(provider->room);
                provider->room = room;
        }
        return find_item(provider->room, group->id);
}

int room_available(Manager *m, Provider *provider, const Group *group, const RoomClaim *claims, size_t n_claims,
                   uint32_t *ret) {
        _cleanup_free_ Room *room = NULL;
        const RoomItem *item = room_find(m, provider, group);

        if (item && n_claims > 0) {
                if (ask(m, provider, claims, n_claims, &room) < 0)
                        return 0;
                item = find_item(room, group->id);
        }
        if (!item)
                return 0;
        *ret = item->available;
        return 1;
}

/* The largest that another group can have at all; NULL for none. */
static const RoomItem *largest_other(const Room *room, const Group *group) {
        const RoomItem *largest = NULL;

        for (size_t i = 0; i < room->n_items; i++) {
                const RoomItem *item = &room->items[i];

                if (!streq(item->group, group->id) && item->available > 0 && item->size > 0 &&
                    (!largest || item->size > largest->size))
                        largest = item;
        }
        return largest;
}

static uint32_t lost(const Room *before, Room *after, const Group *group) {
        uint64_t sum = 0;

        for (size_t i = 0; i < before->n_items; i++) {
                const RoomItem *item = &before->items[i];
                const RoomItem *left = find_item(after, item->group);

                if (!streq(item->group, group->id) && left && left->available < item->available)
                        sum += (uint64_t) (item->available - left->available) * item->size;
        }
        return (uint32_t) MIN_OF(sum, UINT32_MAX);
}

uint32_t room_cost(Manager *m, Provider *provider, const Group *group, const RoomClaim *claims, size_t n_claims,
                   char ret_text[static ROOM_TEXT_SIZE]) {
        _cleanup_free_ RoomClaim *with = calloc(n_claims + 1, sizeof(RoomClaim));
        _cleanup_free_ Room *before = NULL, *after = NULL;
        const RoomItem *largest, *left;

        ret_text[0] = '\0';
        /* Who says nothing of this group's room has nothing to say of the others' for its sake. */
        if (!with || !room_find(m, provider, group))
                return 0;
        if (n_claims > 0)
                memcpy(with, claims, n_claims * sizeof(RoomClaim));
        with[n_claims] = (RoomClaim){ group->id, 1 };
        if (ask(m, provider, claims, n_claims, &before) < 0)
                return 0;
        largest = largest_other(before, group);
        if (!largest || ask(m, provider, with, n_claims + 1, &after) < 0)
                return 0;
        left = find_item(after, largest->group);
        if (!left)
                return 0;
        if (left->available < largest->available)
                (void) snprintf(ret_text, ROOM_TEXT_SIZE, "leaves room for %u × %s of group %s, %u less than before",
                                (unsigned) left->available, largest->name, largest->group,
                                (unsigned) (largest->available - left->available));
        else
                (void) snprintf(ret_text, ROOM_TEXT_SIZE, "leaves room for %u × %s of group %s", (unsigned) left->available,
                                largest->name, largest->group);
        return lost(before, after, group);
}

void room_blocker(Manager *m, const Provider *provider, const Group *group, FindingList *findings) {
        const RoomItem *item = find_item(provider->room, group->id);
        unsigned claimed = 0;

        for (size_t i = 0; i < provider->n_children; i++)
                claimed += device_is_claimed_for(provider->children[i], group);
        (void) finding_add(findings, PT_SEVERITY_BLOCKER, "no-room", provider->device->id,
                           "give back a device that was made by it, or change what the groups demand of it",
                           "%s (%s) has no room for another device of group '%s': of at most %u it has %u, and what else is "
                           "made or promised there leaves room for none",
                           provider->device->host->sysname, provider->device->name, group->name,
                           item ? (unsigned) item->total : 0, claimed);
}

static void tell(Manager *m, const Provider *provider) {
        static const char *const properties[] = { "Total", "Available", "Allocated" };

        for (size_t i = 0; i < provider->room->n_items; i++)
                for (size_t k = 0; k < ELEMENTSOF(properties); k++)
                        manager_changed(m, OBJECT_GROUP, provider->room->items[i].group, properties[k]);
}

void room_changed(Manager *m, Provider *provider) {
        if (!provider || !provider->room)
                return;
        tell(m, provider);
        provider->room->stale = true;
}

void room_all_changed(Manager *m) {
        for (Provider *p = inventory_first_provider(m->inventory); p; p = p->hh.next)
                if (p->room)
                        tell(m, p);
}
