/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The start: stored allocations are loaded, their resource keys locked, and what the last run left is moved towards fewer
 * claims. Running it twice is the same as once: everything is decided from what is recorded and observed. */

#include "confirm.h"
#include "follow.h"
#include "json-util.h"
#include "log.h"
#include "operation.h"
#include "reconcile.h"

static int load_allocation(void *userdata, const char *key, const char *owner, json_t *body) {
        Manager *m = userdata;
        _cleanup_fault_ Fault fault = { 0 };
        Allocation *allocation;

        if (allocation_from_json(key, body, m->policy, true, &allocation, &fault) < 0) {
                log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("ALLOCATION", key),
                            "the stored allocation %s is not used: %s", key, strempty(fault.message));
                return 0;
        }
        HASH_ADD_STR(m->allocations, id, allocation);
        return 0;
}

static int load_claim(void *userdata, const char *key, bool exclusive, const char *allocation) {
        Manager *m = userdata;
        _cleanup_keys_ KeyList keys = { 0 };
        _cleanup_fault_ Fault fault = { 0 };

        if (key_list_add(&keys, key, exclusive) < 0 || key_table_take(m->keys, &keys, allocation, &fault) < 0)
                log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("ALLOCATION", allocation),
                            "the stored claim of %s on %s could not be locked: %s", allocation, key,
                            strempty(fault.message));
        return 0;
}

static int load_step(void *userdata, const char *key, const char *owner, json_t *body) {
        Manager *m = userdata;
        _cleanup_fault_ Fault fault = { 0 };
        Allocation *a = owner ? manager_find_allocation(m, owner) : NULL;
        const char *observed = json_string_value(json_object_get(body, "observed"));
        PtStep step;

        if (!a || step_from_json(json_object_get(body, "step"), &step, &fault) < 0) {
                log_message(LOG_ERR, LOG_EVENT_STORE, NULL, "the step record %s is not used: %s", key,
                            a ? strempty(fault.message) : "its allocation is gone");
                return 0;
        }
        char **list = reallocarray(a->observed, a->applied.n_steps + 2, sizeof(char *));
        char *text = observed ? strdup(observed) : NULL;
        if (list)
                a->observed = list;
        if (list && plan_append(&a->applied, &step) >= 0)
                list[a->applied.n_steps - 1] = TAKE_PTR(text);
        free(text);
        step_done(&step);
        return 0;
}

static int load_progress(void *userdata, const char *key, const char *owner, json_t *body) {
        Manager *m = userdata;
        Allocation *a = manager_find_allocation(m, key);
        const char *word = json_string_value(json_object_get(body, "state"));

        if (a && !a->notes)
                a->notes = json_incref(json_object_get(body, "notes"));
        if (a && !a->in_force)
                a->in_force = json_incref(json_object_get(body, "settings"));
        if (a && !a->away)
                a->away = json_incref(json_object_get(body, "away"));
        if (a)
                a->releasing = json_is_true(json_object_get(body, "release"));
        if (a) {
                a->confirm_usec = (uint64_t) json_integer_value(json_object_get(body, "confirm"));
                a->confirm_uid = (uid_t) json_integer_value(json_object_get(body, "confirm-uid"));
        }
        if (a && word && (int) allocation_state_from_string(word) >= 0)
                a->state = allocation_state_from_string(word);
        return 0;
}

int reconcile_load(Manager *m, Fault *fault) {
        int r = store_load(m->store, TABLE_ALLOCATIONS, load_allocation, m, fault);

        if (r >= 0)
                r = store_load_claims(m->store, load_claim, m, fault);
        if (r >= 0)
                r = store_load(m->store, TABLE_PROGRESS, load_progress, m, fault);
        if (r >= 0)
                r = store_load(m->store, TABLE_STEPS, load_step, m, fault);
        return r;
}

/* Whether the activation left the device bound to another driver than it is now. */
static bool is_rebound(const Allocation *a, const HostDevice *host) {
        for (size_t i = 0; i < a->applied.n_steps; i++) {
                const PtStep *step = &a->applied.steps[i];

                if (step->kind == PT_STEP_SET_DRIVER && !step->name && streq(step->device, host->id) &&
                    !streq(strempty(host->driver), strempty(step->value)))
                        return true;
        }
        return false;
}

/* Of the host's devices, not of those that modules make of them: a refused module takes nothing from a consumer. */
static bool host_is_there(Manager *m, const AssignedDevice *assigned) {
        size_t index;
        json_t *record;

        json_array_foreach(assigned->records, index, record) {
                const char *id = json_string_value(json_object_get(record, "id"));

                if (!id || !source_find(inventory_source(m->inventory), id))
                        return false;
        }
        return true;
}

/* Why the consumer no longer has what it was given: a device is gone, or was pulled and plugged again while nobody looked, or
 * rebound by somebody else. NULL: nothing is amiss. */
static const char *what_is_amiss(Manager *m, const Allocation *a, const char **ret_device) {
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++)
                        if (!host_is_there(m, &a->requests[i].devices[k])) {
                                *ret_device = a->requests[i].devices[k].device;
                                return "unplugged";
                        }
        for (size_t i = 0; i < a->applied.n_steps; i++) {
                const char *id = strempty(a->applied.steps[i].device);
                const HostDevice *host = source_find(inventory_source(m->inventory), id);

                if (!a->applied.steps[i].device || (host && !is_rebound(a, host)))
                        continue;
                *ret_device = id;
                return !host ? "unplugged" : host->driver ? "rebound" : "unbound";
        }
        return NULL;
}

/* ---- devices that vanish while somebody has them ---- */

void operation_device_lost(Manager *m, Allocation *a, const char *id, const char *why) {
        const char *device = allocation_device_of_host(a, id) ?: id;

        log_message(LOG_WARNING, LOG_EVENT_DEVICE_LOST,
                    log_fields("ALLOCATION", a->id, "DEVICE", device, "CONSUMER", a->consumer),
                    "%s was %s while %s used it", device, why, a->consumer);
        if (a->state == ALLOCATION_ACTIVE || a->state == ALLOCATION_FOLLOWING) {
                allocation_advance(m, a, EVENT_DEVICE_LOST);
                record_progress(m, a, NULL, NULL);
        }
        if (m->events.device_lost)
                m->events.device_lost(m->events.userdata, a, device, why);
}

/* In other states the job under way meets it by itself. */
void operation_host_removed(Manager *m, const HostDevice *host) {
        for (Allocation *a = m->allocations; a; a = a->hh.next)
                if ((a->state == ALLOCATION_ACTIVE || a->state == ALLOCATION_DRAINING ||
                     a->state == ALLOCATION_FOLLOWING) &&
                    allocation_device_of_host(a, host->id) && !follow_begin(m, a, host->id))
                        operation_device_lost(m, a, host->id, "unplugged");
}

/* Whoever takes a device from its consumer by hand is not fought with, but it is said. While it has no driver that is not known
 * yet: a card that is pulled loses its driver first. Nothing is concluded about other devices: their events may be under way. */
void operation_host_changed(Manager *m, const HostDevice *host) {
        for (Allocation *a = m->allocations; a; a = a->hh.next)
                if (a->state == ALLOCATION_ACTIVE && host->driver && allocation_device_of_host(a, host->id) &&
                    is_rebound(a, host))
                        operation_device_lost(m, a, host->id, "rebound");
}

void allocation_recover(Manager *m, Allocation *a, const char *why) {
        _cleanup_fault_ Fault fault = { 0 };

        log_message(LOG_NOTICE, LOG_EVENT_RECONCILED, log_fields("ALLOCATION", a->id, "CONSUMER", a->consumer),
                    "allocation of %s: %s; its devices are given back", a->consumer, why);
        m->reconciling++;
        if (operation_recover(m, a, &fault) < 0) {
                m->reconciling--;
                log_message(LOG_ERR, LOG_EVENT_UNDO_FAILED, log_fields("ALLOCATION", a->id), "%s",
                            strempty(fault.message));
        }
}

static void reconcile_one(Manager *m, Allocation *a) {
        _cleanup_fault_ Fault fault = { 0 };
        AllocationState found = a->state;
        const char *why, *device;

        manager_devices_changed(m, a);
        if (found == ALLOCATION_CLAIMED) {
                if (!a->thick && allocation_count_devices(a) > 0) {
                                /* As after EVENT_REBOOT: no progress is recorded on this boot. The kernel has forgotten everything,
                         * so only the claim has to go. */
                        a->state = ALLOCATION_DEACTIVATING;
                        allocation_recover(m, a, "the host was started anew");
                }
                return;
        }
        a->state = allocation_next(found, EVENT_CRASH);
        if (a->state == ALLOCATION_DEACTIVATING) {
                allocation_recover(m, a, found == ALLOCATION_ACTIVATING ? "its activation was interrupted"
                                                             : "its give-back was interrupted");
        } else if (a->state == ALLOCATION_DRAINING) {
                if (operation_drain_again(m, a, &fault) < 0)
                        log_plain(LOG_ERR, "%s: %s", a->id, strempty(fault.message));
        } else if (a->state == ALLOCATION_FOLLOWING || a->state == ALLOCATION_ACTIVE) {
                follow_resume(m, a);
                if (a->state == ALLOCATION_ACTIVE && (why = what_is_amiss(m, a, &device)))
                        operation_device_lost(m, a, device, why);
        }
        if (a->confirm_usec > 0 && (a->state == ALLOCATION_ACTIVE || a->state == ALLOCATION_LOST))
                confirm_resume(m, a);
}

/* What a provider can make is read of its driver later. */
static void restore_slots(Manager *m, const Allocation *a) {
        _cleanup_(json_decrefp) json_t *records = allocation_records(a);
        json_t *record;
        size_t index;

        json_array_foreach(records, index, record) {
                const char *subsystem = json_string_value(json_object_get(record, "subsystem")),
                           *sysname = json_string_value(json_object_get(record, "sysname"));
                json_int_t slot = json_integer_value(json_object_get(record, "slot"));
                HostDevice *whole = slot > 0 && subsystem && sysname
                                            ? source_find_by_name(inventory_source(m->inventory), subsystem, sysname)
                                            : NULL;

                if (whole && slot <= SLOTS_MAX)
                        inventory_restore_slot(m->inventory, whole, (uint32_t) slot);
        }
}

void reconcile_start(Manager *m) {
        for (Allocation *a = m->allocations, *next; a; a = next) {
                next = a->hh.next;
                restore_slots(m, a);
                reconcile_one(m, a);
        }
}
