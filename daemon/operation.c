/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "operation.h"

#include <assert.h>
#include <stdio.h>

#include "duration.h"
#include "guard.h"
#include "follow.h"
#include "history.h"
#include "identity-use.h"
#include "json-util.h"
#include "log.h"
#include "pending.h"
#include "presence.h"
#include "provision.h"

int operation_new(Manager *m, const char *kind, uid_t uid, Allocation *allocation, const char *device, Operation **ret,
                  Fault *fault) {
        char object[ID_SIZE + 16];
        const char *objects[] = { object, NULL };
        Operation *op;

        if (allocation && allocation->job)
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, allocation->id,
                                        "job %s (%s) is under way for this allocation", allocation->job->id,
                                        allocation->job->operation);
        if (allocation && pending_reserves(m, allocation->id))
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, allocation->id,
                                        "an edit of this allocation is being written; try again");
        snprintf(object, sizeof(object), "%s/%s", allocation ? "allocations" : "devices",
                 allocation ? allocation->id : device);
        int r = operation_new_for(m, kind, uid, objects, &op, fault);
        if (r < 0)
                return r;
        op->allocation = allocation;
        if (allocation)
                allocation->job = op->job;
        *ret = op;
        return 0;
}

int operation_new_for(Manager *m, const char *kind, uid_t uid, const char *const *objects, Operation **ret, Fault *fault) {
        Operation *op = calloc(1, sizeof(Operation));

        if (!op)
                return fault_oom(fault);
        int r = job_new(m, kind, uid, objects, &op->job, fault);
        if (r < 0) {
                free(op);
                return r;
        }
        op->m = m;
        op->uid = uid;
        op->job->userdata = op;
        *ret = op;
        return 0;
}

int operation_may_touch(Manager *m, Fault *fault) {
        const char *why = strempty(store_health_reason(m->store));

        if (m->readiness == READINESS_DEGRADED)
                return fault_set(fault, -EROFS, FAULT_DEGRADED,
                                 "the state was damaged and begun anew; no device is touched until an administrator says "
                                 "\"passthroughctl acknowledge\": %s", why);
        if (m->readiness == READINESS_LIMITED)
                return fault_set(fault, -EROFS, FAULT_READ_ONLY_STATE, "the state can't be written: %s", why);
        return 0;
}

void operation_free(Operation *op) {
        guard_cancel(op->m->guard, op);
        node_watch_free(op->watch);
        sd_event_source_disable_unref(op->confirm);
        plan_done(&op->plan);
        fault_done(&op->fault);
        strv_free(op->nodes);
        strv_free(op->overrides);
        json_decref(op->holders);
        json_decref(op->notes);
        json_decref(op->unsound);
        free(op->remark);
        provisioning_free(op->provisioning);
        free(op->token);
        free(op->accepted);
        free(op->bundle);
        free(op);
}

void operation_fail(Operation *op, const Fault *fault) {
        if (op->fault.code == FAULT_NONE)
                fault_copy(&op->fault, fault);
}

/* Devices used last stay named in the request after a give-back. */
static json_t *devices_of(const Allocation *allocation) {
        json_t *array = json_array();

        for (size_t i = 0; allocation && i < allocation->n_requests; i++)
                for (size_t k = 0; allocation->requests[i].last && allocation->requests[i].last[k]; k++)
                        json_array_append_new(array, json_string(allocation->requests[i].last[k]));
        return array;
}

static void write_history(Operation *op) {
        _cleanup_(json_decrefp) json_t *devices = devices_of(op->allocation);

        if (op->fault.code == FAULT_NONE)
                duration_note(op->m, op->job->operation, devices, op->job->objects[0] + strlen("devices/"),
                              now_monotonic_usec() - op->job->started_usec);
        history_note(op->m, &(HistoryEntry) {
                .uid = op->uid,
                .owner = op->allocation ? op->allocation->owner : HISTORY_NO_OWNER,
                .operation = op->job->operation,
                .object = op->allocation ? op->allocation->id : strchr(op->job->objects[0], '/') + 1,
                .consumer = op->allocation ? op->allocation->consumer : "",
                .job = op->job->id,
                .fault = &op->fault,
                .message = op->accepted ?: op->remark,
                .started_usec = op->job->started_usec,
                .devices = devices,
        });
        history_flush(op->m); /* the job's own changes were committed a moment ago; so is this */
}

static LogEvent log_event_of(const Operation *op) {
        if (op->fault.code == FAULT_DRIVER_STUCK)
                return LOG_EVENT_DRIVER_STUCK;
        if (op->fault.code != FAULT_NONE)
                return LOG_EVENT_JOB_FAILED;
        if (streq(op->job->operation, "activate"))
                return LOG_EVENT_ACTIVATED;
        if (streq(op->job->operation, "release"))
                return LOG_EVENT_RELEASED;
        if (streq(op->job->operation, "deactivate"))
                return LOG_EVENT_DEACTIVATED;
        return LOG_EVENT_RECONCILED;
}

static void settle(Operation *op) {
        Manager *m = op->m;
        Job *job = op->job;
        Allocation *allocation = op->allocation;
        bool failed = op->fault.code != FAULT_NONE;

        log_message(failed ? LOG_WARNING : LOG_INFO, log_event_of(op),
                    log_fields("JOB", job->id, "ALLOCATION", allocation ? allocation->id : "", "CONSUMER",
                               allocation ? allocation->consumer : ""),
                    "%s of %s %s%s%s", job->operation, job->objects[0], failed ? "failed: " : "done",
                    failed ? strempty(op->fault.message) : "", "");
        if (!op->internal)
                write_history(op);
        if (allocation) {
                allocation->job = NULL;
                fault_done(&allocation->failure);
                allocation->failure = (Fault) { 0 };
                if (!job->stuck)
                        allocation->releasing = false;
                if (failed)
                        fault_copy(&allocation->failure, &op->fault);
        }
        job_finish(m, job, failed ? &op->fault : NULL);
        op->job = NULL;
}

void operation_finish(Operation *op) {
        Manager *m = op->m;
        Allocation *allocation = op->allocation;
        bool recovered = op->internal, in_vain = op->release && op->fault.code != FAULT_NONE;

        settle(op);
        operation_free(op);
        if (allocation && allocation->state == ALLOCATION_GONE) {
                HASH_DEL(m->allocations, allocation);
                allocation_free(allocation);
        } else if (allocation) {
                identity_resume_use(m, allocation);
                if (allocation->holder_gone && !in_vain)
                        manager_holder_vanished(m, allocation);
        }
        if (recovered)
                manager_recovered(m);
        provision_retry(m);
        manager_kick(m);
}

void operation_finish_stuck(Operation *op) {
        bool recovered = op->internal;

        op->job->stuck = true;
        if (op->allocation)
                op->allocation->stuck = op;
        settle(op);
        if (recovered)
                manager_recovered(op->m);
}

void operation_stuck_gone(Operation *op) {
        Manager *m = op->m;
        Allocation *allocation = op->allocation;

        if (allocation) {
                allocation->stuck = NULL;
                allocation_recover(m, allocation, "the driver that was stuck came back");
        } else
                operation_release_keys(op);
        operation_free(op);
}

void allocation_advance(Manager *m, Allocation *allocation, AllocationEvent event) {
        AllocationState next = allocation_next(allocation->state, event);

        assert((int) next >= 0);
        if (next == allocation->state)
                return;
        bool was_active = allocation->state == ALLOCATION_ACTIVE;

        if (allocation->state == ALLOCATION_FOLLOWING)
                allocation->follow = follow_free(allocation->follow);
        allocation->state = next;
        manager_changed(m, OBJECT_ALLOCATION, allocation->id, "State");
        manager_devices_changed(m, allocation);
        if (was_active || next == ALLOCATION_ACTIVE)
                presence_update(m);
}

static void on_stored(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0)
                operation_fail(op, fault);
        op->after_store(op);
}

void operation_store(Operation *op, const KeyList *keys, OperationNext next) {
        Allocation *a = op->allocation;
        _cleanup_(json_decrefp) json_t *body = allocation_to_json(a);
        StoreTxn *txn = store_begin(op->m->store, STORE_STATE);
        int r = txn && body ? 0 : -ENOMEM;

        op->after_store = next;
        if (r == 0) {
                store_put(txn, TABLE_ALLOCATIONS, a->id, NULL, body);
                if (keys)
                        store_unclaim(txn, a->id);
                for (size_t i = 0; keys && i < keys->n_items; i++)
                        store_claim(txn, keys->items[i].key, keys->items[i].exclusive, a->id);
                r = store_commit(TAKE_PTR(txn), on_stored, op);
        }
        store_abandon(txn);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
                next(op);
        }
}

int record_progress(Manager *m, const Allocation *allocation, StoreDone done, void *userdata) {
        _cleanup_(json_decrefp) json_t *body =
                json_pack("{s:s, s:b}", "state", allocation_state_to_string(allocation->state), "release",
                          allocation->releasing);

        if (body && allocation->notes)
                json_object_set(body, "notes", allocation->notes);
        if (body && allocation->in_force)
                json_object_set(body, "settings", allocation->in_force);
        if (body && allocation->confirm_usec > 0) {
                json_object_set_new(body, "confirm", json_integer((json_int_t) allocation->confirm_usec));
                json_object_set_new(body, "confirm-uid", json_integer((json_int_t) allocation->confirm_uid));
        }

        if (body && allocation->follow)
                json_object_set_new(body, "away", follow_away(allocation->follow));

        StoreTxn *txn = store_begin(m->store, STORE_RUNTIME);
        if (!txn || !body) {
                store_abandon(txn);
                return -ENOMEM;
        }
        store_put(txn, TABLE_PROGRESS, allocation->id, NULL, body);
        return store_commit(txn, done, userdata);
}

void operations_free(Manager *m) {
        for (Job *job = m->jobs; job; job = job->hh.next)
                if (job->state != JOB_DONE && job->userdata) {
                        operation_free(job->userdata);
                        job->userdata = NULL;
                }
        for (Allocation *a = m->allocations; a; a = a->hh.next)
                if (a->stuck) {
                        operation_free(a->stuck);
                        a->stuck = NULL;
                }
}
