/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is known of devices and groups without asking anybody: states, codes of blockers, counts. The full answers are those
 * of the explain-*.c files. */

#include "demand.h"
#include "guard.h"
#include "operation.h"
#include "quarantine.h"

/* ---- devices ---- */

/* The gravest of the device and those that would have to move with it. */
static Verdict bundle_verdict(Manager *m, const Device *device) {
        Verdict verdict = guard_verdict(m->guard, device->host), worst = VERDICT_FREE;
        _cleanup_free_ HostDevice **bundle = NULL;

        if (verdict >= VERDICT_CRITICAL || inventory_bundle(m->inventory, device, &bundle) < 0)
                return verdict;
        for (size_t i = 1; bundle[i]; i++) {
                Verdict other = guard_verdict(m->guard, bundle[i]);
                worst = MAX_OF(worst, other);
        }
        return worst >= VERDICT_CRITICAL ? VERDICT_CRITICAL : verdict;
}

static const char *unclaimed_state(Manager *m, const Device *device) {
        static const char *const words[_VERDICT_MAX] = {
                [VERDICT_FREE] = "free",
                [VERDICT_IN_USE] = "in-use-by-host",
                [VERDICT_CRITICAL] = "critical",
                [VERDICT_FORBIDDEN] = "forbidden",
        };

        return words[bundle_verdict(m, device)];
}

const char *manager_device_state(Manager *m, const Device *device) {
        if (device->role == PT_ROLE_PROVIDER)
                return "provider";
        if (device->role != PT_ROLE_OFFER)
                return "forbidden";
        if (device->quarantine)
                return "quarantined";
        if (!device->allocation)
                return unclaimed_state(m, device);
        switch (device->allocation->state) {
        case ALLOCATION_FAILED:
                return "failed";
        case ALLOCATION_ACTIVE:
        case ALLOCATION_DRAINING:
        case ALLOCATION_LOST:
        case ALLOCATION_FOLLOWING:
                return "active";
        case ALLOCATION_CLAIMED:
        case ALLOCATION_WAITING:
        case ALLOCATION_ACTIVATING:
        case ALLOCATION_DEACTIVATING:
        case ALLOCATION_GONE:
        case _ALLOCATION_STATE_MAX:
        case _ALLOCATION_STATE_INVALID:
                break;
        }
        return "claimed";
}

static size_t need_codes(Manager *m, const Device *device, const char **ret, size_t max) {
        _cleanup_free_ HostDevice **bundle = NULL;
        Verdict worst = VERDICT_FREE;
        size_t n = guard_codes(m->guard, device->host, ret, max);

        if (inventory_bundle(m->inventory, device, &bundle) < 0)
                return n;
        for (size_t i = 1; bundle[i]; i++) {
                Verdict other = guard_verdict(m->guard, bundle[i]);
                worst = MAX_OF(worst, other);
        }
        if (worst >= VERDICT_CRITICAL && n < max)
                ret[n++] = worst == VERDICT_FORBIDDEN ? "companion-forbidden" : "companion-critical";
        return n;
}

size_t manager_device_blockers(Manager *m, const Device *device, const char **ret, size_t max) {
        size_t n = 0;

        if (device->role == PT_ROLE_BRIDGE && n < max)
                ret[n++] = "bridge";
        if (device->role == PT_ROLE_PLATFORM && n < max)
                ret[n++] = "platform-device";
        if (device->role == PT_ROLE_PROVIDER && n < max)
                ret[n++] = "provider";
        if (device->quarantine && n < max)
                ret[n++] = "quarantined";
        if (device->allocation && n < max)
                ret[n++] = "claimed";
        if ((device->module->descriptor->flags & PT_TYPE_NEEDS_IOMMU) && device->host->iommu_group < 0 && n < max)
                ret[n++] = "no-iommu-group";
        /* Who has it had it in spite of that. */
        if (device->role == PT_ROLE_OFFER && !device->allocation)
                n += need_codes(m, device, ret + n, max - n);
        return n;
}

bool manager_device_allocatable(Manager *m, const Device *device) {
        const char *codes[8];

        return device->groups && device->groups[0] && manager_device_blockers(m, device, codes, ELEMENTSOF(codes)) == 0;
}

/* ---- groups ---- */

/* A bundle counts once, at the member of the group with the lowest id. */
static bool counts(Manager *m, const Group *group, const Device *device) {
        const HostDevice *host = source_iommu_group(inventory_source(m->inventory), device->host->iommu_group);

        if (device->role != PT_ROLE_OFFER)
                return false;
        for (; host; host = host->next_in_iommu_group)
                for (const Device *other = host->offers; other; other = other->next_offer)
                        if (other != device && other->role == PT_ROLE_OFFER && group_has_member(group, other) &&
                            strcmp(other->id, device->id) < 0)
                                return false;
        return true;
}

/* Of what one provider made no more than it has room for. */
static void count_rooms(Manager *m, const Group *group, unsigned *total, unsigned *available) {
        for (size_t i = 0; i < group->n_members; i++) {
                RoomItem *room = room_find(m, group->members[i]->provider, group);

                if (!room || room->n_members == 0)
                        continue;
                *total += MIN_OF(room->n_members, room->total);
                *available += MIN_OF(room->n_free, room->available);
                room->n_members = room->n_free = 0;
        }
}

void manager_group_counts(Manager *m, const Group *group, unsigned *ret_total, unsigned *ret_available,
                          unsigned *ret_allocated) {
        unsigned total = 0, available = 0, allocated = 0;
        bool rooms = false;

        for (size_t i = 0; i < group->n_members; i++) {
                const Device *device = group->members[i];
                RoomItem *room = room_find(m, device->provider, group);
                const char *codes[8];

                if (!counts(m, group, device))
                        continue;
                *(room ? &room->n_members : &total) += 1;
                rooms |= room != NULL;
                if (device->allocation)
                        allocated += !room || device_is_claimed_for(device, group);
                else if (group->enabled && manager_device_blockers(m, device, codes, ELEMENTSOF(codes)) == 0)
                        *(room ? &room->n_free : &available) += 1;
        }
        if (rooms)
                count_rooms(m, group, &total, &available);
        *ret_total = total;
        *ret_available = available;
        *ret_allocated = allocated;
}
