/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "follow.h"

#include "log.h"

typedef struct Away {
        char device[ID_SIZE];    /* as it is assigned */
        char candidate[ID_SIZE]; /* what it came back as; empty: nothing yet */
        uint64_t began;          /* CLOCK_MONOTONIC: when it vanished */
        uint64_t deadline;       /* lost then */
        uint64_t seen, settled;  /* when the candidate was first seen, and when it is left alone */
        bool running;            /* its operation is under way */
        bool again;              /* it vanished meanwhile */
        struct Away *next;
} Away;

struct Follow {
        Manager *m;
        Allocation *a;
        sd_event_source *timer;
        Away *away;
};

Follow *follow_free(Follow *follow) {
        if (!follow)
                return NULL;
        while (follow->away) {
                Away *next = follow->away->next;

                free(follow->away);
                follow->away = next;
        }
        sd_event_source_disable_unref(follow->timer);
        follow->m->following--;
        free(follow);
        return NULL;
}

static Away *find_away(const Follow *follow, const char *device) {
        Away *away = follow ? follow->away : NULL;

        while (away && !streq(away->device, device))
                away = away->next;
        return away;
}

json_t *follow_away(const Follow *follow) {
        json_t *array = json_array();

        for (const Away *away = follow->away; array && away; away = away->next)
                json_array_append_new(array, json_string(away->device));
        return array;
}

/* ---- what an allocation has ---- */

AssignedDevice *follow_find(Allocation *a, const char *device, Request **ret_request) {
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++)
                        if (streq(a->requests[i].devices[k].device, device)) {
                                *ret_request = &a->requests[i];
                                return &a->requests[i].devices[k];
                        }
        return NULL;
}

/* The first record is that of the device itself. */
static json_t *record_of(const AssignedDevice *assigned) {
        return json_array_get(assigned->records, 0);
}

static const char *record_host(const AssignedDevice *assigned) {
        return strempty(json_string_value(json_object_get(record_of(assigned), "id")));
}

static AssignedDevice *find_by_host(Allocation *a, const char *host, Request **ret_request) {
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++)
                        if (streq(record_host(&a->requests[i].devices[k]), host)) {
                                *ret_request = &a->requests[i];
                                return &a->requests[i].devices[k];
                        }
        return NULL;
}

static json_t *keys_to_json(const KeyList *keys) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < keys->n_items; i++)
                json_array_append_new(array, json_pack("[s, b]", keys->items[i].key, keys->items[i].exclusive));
        return array;
}

int follow_remember(Manager *m, Device *device, Request *request, Fault *fault) {
        AssignedDevice *assigned = &request->devices[request->n_devices - 1];
        _cleanup_keys_ KeyList keys = { 0 };
        json_t *identities;
        int r;

        r = inventory_uses(m->inventory, device, &keys, fault);
        if (r >= 0)
                r = inventory_identities(m->inventory, device, &identities, fault);
        if (r < 0)
                return r;
        if (json_object_set_new(record_of(assigned), "identities", identities) < 0 ||
            json_object_set_new(record_of(assigned), "keys", keys_to_json(&keys)) < 0)
                return fault_oom(fault);
        return 0;
}

/* The module and the effective settings of a request; NULL when its devices are not followed. */
static const Module *request_module(Manager *m, const Allocation *a, const Request *request, SettingValues *settings,
                                    PlanRequest *ret) {
        const Group *group = policy_find_group(m->policy, request->group);

        if (!group || !group->module || group->module->state != MODULE_LOADED ||
            !(group->module->descriptor->flags & PT_TYPE_FOLLOWS) ||
            plan_request_for(m, a, request, PT_VERB_FOLLOW, settings, ret, NULL) < 0)
                return NULL;
        return group->module;
}

static uint64_t follow_usec(const SettingValues *settings) {
        PtValue value;

        if (settings_get(settings, "follow-time", &value) < 0 || value.type != PT_UINT32)
                return (uint64_t) FOLLOW_DEFAULT_SEC * 1000000;
        return (uint64_t) value.u * 1000000;
}

/* ---- time ---- */

static void give_up(Follow *follow, const Away *away) {
        Manager *m = follow->m;
        Allocation *a = follow->a;
        char device[ID_SIZE];
        bool replaced = inventory_find(m->inventory, away->device);

        memcpy(device, away->device, sizeof(device));
        /* Frees `follow`. */
        operation_device_lost(m, a, device, replaced ? "replaced" : "unplugged");
}

static void rearm(Follow *follow);
static void consider(Follow *follow, Away *away, Device *device);

/* Returns whether `follow` is still there. */
static bool look(Follow *follow, Away *away, uint64_t now) {
        _cleanup_fault_ Fault fault = { 0 };

        if (away->running)
                return true;
        if (away->candidate[0] != '\0' && now >= away->settled && !follow->a->job) {
                away->running = true;
                away->again = false;
                if (operation_follow(follow->m, follow->a, away->device, away->candidate, &fault) < 0) {
                        log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("ALLOCATION", follow->a->id), "%s",
                                    strempty(fault.message));
                        away->running = false;
                        away->candidate[0] = '\0';
                }
                return true;
        }
        if (away->candidate[0] == '\0' && now >= away->deadline) {
                give_up(follow, away);
                return false;
        }
        return true;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Follow *follow = userdata;
        uint64_t now = now_monotonic_usec();

        for (Away *away = follow->away; away; away = away->next)
                if (!look(follow, away, now))
                        return 0;
        rearm(follow);
        return 0;
}

/* While another job of the allocation is under way, its end is looked for again. */
static uint64_t next_look(const Follow *follow) {
        uint64_t next = UINT64_MAX, now = now_monotonic_usec();

        for (const Away *away = follow->away; away; away = away->next) {
                uint64_t when = away->deadline;

                if (away->running)
                        continue;
                if (away->candidate[0] != '\0')
                        when = follow->a->job ? MAX_OF(away->settled, now + FOLLOW_SETTLE_USEC) : away->settled;
                next = MIN_OF(next, when);
        }
        return next;
}

static void rearm(Follow *follow) {
        uint64_t next = next_look(follow);
        int r;

        if (next == UINT64_MAX) {
                if (follow->timer)
                        sd_event_source_set_enabled(follow->timer, SD_EVENT_OFF);
                return;
        }
        if (!follow->timer) {
                r = sd_event_add_time(follow->m->event, &follow->timer, CLOCK_MONOTONIC, next, 0, on_time, follow);
        } else {
                r = sd_event_source_set_time(follow->timer, next);
                if (r >= 0)
                        r = sd_event_source_set_enabled(follow->timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_plain(LOG_ERR, "No timer can be set for a device that is away: %s", strerror(-r));
}

/* ---- devices that go ---- */

static Away *add_away(Manager *m, Allocation *a, const char *device, uint64_t usec) {
        Follow *follow = a->follow;
        Away *away = find_away(follow, device);

        if (!follow) {
                follow = calloc(1, sizeof(*follow));
                if (!follow)
                        return NULL;
                follow->m = m;
                follow->a = a;
                a->follow = follow;
                m->following++;
        }
        if (!away) {
                away = calloc(1, sizeof(*away));
                if (!away)
                        return NULL;
                memcpy(away->device, device, sizeof(away->device));
                away->next = follow->away;
                follow->away = away;
        }
        away->began = now_monotonic_usec();
        away->deadline = away->began + usec;
        away->candidate[0] = '\0';
        away->again = true;
        return away;
}

static bool begin(Manager *m, Allocation *a, const Request *request, const char *device) {
        _cleanup_settings_ SettingValues settings = { 0 };
        PlanRequest plan;
        uint64_t usec;

        if (!request_module(m, a, request, &settings, &plan))
                return false;
        usec = follow_usec(&settings);
        if (usec == 0 || !add_away(m, a, device, usec)) {
                if (a->follow && !a->follow->away)
                        a->follow = follow_free(a->follow);
                return false;
        }
        log_message(LOG_NOTICE, LOG_EVENT_NONE, log_fields("ALLOCATION", a->id, "DEVICE", device, "CONSUMER", a->consumer),
                    "%s vanished while %s used it; it stays the consumer's if it comes back within %u s", device,
                    a->consumer, (unsigned) (usec / 1000000));
        return true;
}

/* What came while the event of its going was yet to come. The one that goes is still in the inventory. */
static void look_around(Follow *follow, Away *away) {
        for (Device *device = inventory_first(follow->m->inventory); device; device = device->hh.next)
                if (device->module->descriptor->flags & PT_TYPE_FOLLOWS && !streq(device->id, away->device))
                        consider(follow, away, device);
}

bool follow_begin(Manager *m, Allocation *a, const char *host) {
        AssignedDevice *assigned;
        Request *request;
        Away *away;

        if (m->stopping || (a->state != ALLOCATION_ACTIVE && a->state != ALLOCATION_FOLLOWING))
                return false;
        assigned = find_by_host(a, host, &request);
        if (!assigned || !begin(m, a, request, assigned->device))
                return false;
        allocation_advance(m, a, EVENT_DEVICE_AWAY);
        record_progress(m, a, NULL, NULL);
        away = find_away(a->follow, assigned->device);
        if (away)
                look_around(a->follow, away);
        rearm(a->follow);
        return true;
}

/* ---- devices that come ---- */

/* Another device of the same consumer, or what another of its devices comes back as. Serial numbers that are not as unique as
 * they look lead here. */
static bool is_taken(Follow *follow, const Away *away, const Device *device) {
        Request *request;

        for (const Away *other = follow->away; other; other = other->next)
                if (other != away && streq(other->candidate, device->id))
                        return true;
        return !streq(device->id, away->device) && follow_find(follow->a, device->id, &request);
}

/* It was at another place already when this one vanished: that is nobody who comes back. Of a device that moves from one half
 * of a connector to the other, the halves' events come in any order. */
static bool was_there(const Away *away, const Device *device) {
        return !streq(device->id, away->device) && device->host->appeared + FOLLOW_LATEST_USEC < away->began;
}

static void consider(Follow *follow, Away *away, Device *device) {
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_findings_ FindingList findings = { 0 };
        bool same = streq(device->id, away->device);
        const PtFinding *blocker;
        AssignedDevice *assigned;
        Request *request;
        PlanRequest plan;
        uint64_t now = now_monotonic_usec();
        int r;

        assigned = follow_find(follow->a, away->device, &request);
        if (!assigned || away->running || (device->allocation && device->allocation != follow->a) ||
            is_taken(follow, away, device) || was_there(away, device) ||
            request_module(follow->m, follow->a, request, &settings, &plan) != device->module)
                return;
        r = inventory_follow(follow->m->inventory, device, json_object_get(record_of(assigned), "identities"), same,
                             &plan, &findings);
        blocker = finding_first_blocker(&findings);
        if (r < 0 || blocker) {
                /* What udev knew of it later made another of it. */
                if (streq(away->candidate, device->id))
                        away->candidate[0] = '\0';
                if (blocker)
                        log_message(LOG_WARNING, LOG_EVENT_NONE,
                                    log_fields("ALLOCATION", follow->a->id, "DEVICE", device->id), "%s", blocker->text);
                return;
        }
        if (!streq(away->candidate, device->id)) {
                id_copy(away->candidate, device->id);
                away->seen = now;
        }
        away->settled = MIN_OF(now + FOLLOW_SETTLE_USEC, away->seen + FOLLOW_LATEST_USEC);
}

void follow_device_seen(Manager *m, Device *device) {
        if (m->following == 0 || !(device->module->descriptor->flags & PT_TYPE_FOLLOWS))
                return;
        for (Allocation *a = m->allocations; a; a = a->hh.next) {
                if (!a->follow)
                        continue;
                for (Away *away = a->follow->away; away; away = away->next)
                        consider(a->follow, away, device);
                rearm(a->follow);
        }
}

/* ---- for the operation ---- */

void follow_renamed(Allocation *a, const char *former, const char *device) {
        Away *away = find_away(a->follow, former);

        if (away)
                memmove(away->device, device, strlen(device) + 1);
}

bool follow_vanished_again(const Allocation *a, const char *device) {
        const Away *away = find_away(a->follow, device);

        return away && away->again;
}

bool follow_settled(Allocation *a, const char *device, bool back) {
        for (Away **place = a->follow ? &a->follow->away : NULL; place && *place; place = &(*place)->next) {
                Away *away = *place;

                if (!streq(away->device, device))
                        continue;
                away->running = false;
                if (!back) {
                        Device *there;

                        away->candidate[0] = '\0';
                        there = away->again ? inventory_find(a->follow->m->inventory, device) : NULL;
                        if (there)
                                consider(a->follow, away, there);
                        break;
                }
                *place = away->next;
                free(away);
                break;
        }
        if (!a->follow || !a->follow->away)
                return true;
        rearm(a->follow);
        return false;
}

/* ---- the start ---- */

static bool recorded_as_away(const Allocation *a, const char *device) {
        json_t *id;
        size_t i;

        json_array_foreach(a->away, i, id)
                if (streq(strempty(json_string_value(id)), device))
                        return true;
        return false;
}

static bool anything_recorded(const Allocation *a, const char *host) {
        for (size_t i = 0; i < a->applied.n_steps; i++)
                if (a->applied.steps[i].device && streq(a->applied.steps[i].device, host))
                        return true;
        return false;
}

/* Gone, enumerated anew while nobody looked, or not made ready to the end. */
static bool is_away(Manager *m, const Allocation *a, const AssignedDevice *assigned) {
        const HostDevice *host = source_find(inventory_source(m->inventory), record_host(assigned));
        json_t *instance = json_object_get(record_of(assigned), "instance");

        return recorded_as_away(a, assigned->device) || !host || !anything_recorded(a, host->id) ||
               (json_is_integer(instance) && json_integer_value(instance) != (json_int_t) host->instance);
}

void follow_resume(Manager *m, Allocation *a) {
        bool was_following = a->state == ALLOCATION_FOLLOWING;

        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++)
                        if (is_away(m, a, &a->requests[i].devices[k]))
                                (void) begin(m, a, &a->requests[i], a->requests[i].devices[k].device);
        json_decref(a->away);
        a->away = NULL;
        if (!a->follow) {
                /* Ready again, and cut off before that was written. */
                if (was_following)
                        allocation_advance(m, a, EVENT_FOLLOWED);
                return;
        }
        if (!was_following)
                allocation_advance(m, a, EVENT_DEVICE_AWAY);
        record_progress(m, a, NULL, NULL);
        for (Away *away = a->follow->away; away; away = away->next) {
                Device *there = inventory_find(m->inventory, away->device);

                if (there)
                        consider(a->follow, away, there);
        }
        rearm(a->follow);
}
