/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A device came back: what was set up on it before is forgotten, then its steps are run anew.
 *
 *   begin → what the host needs → old steps undone → stored under its present name (state.db) → steps rewritten (runtime.db)
 *   → worker: before → recorded → go … → active, or: those steps undone → waited for again, or lost
 *
 * Other devices of the allocation are in use meanwhile, and nothing is done to them. */

#include <stdio.h>

#include "follow.h"
#include "guard.h"
#include "log.h"

/* ---- the end ---- */

static void end(Operation *op, bool back) {
        Manager *m = op->m;
        Allocation *a = op->allocation;
        Request *request;
        const char *device = follow_find(a, op->device, &request) ? op->device : op->former;
        bool lost = !back && op->fault.code != FAULT_DEVICE_GONE && op->fault.code != FAULT_DEVICE_BLOCKED &&
                    !follow_vanished_again(a, device) && a->state == ALLOCATION_FOLLOWING;

        if (lost)
                operation_device_lost(m, a, device, "not ready");
        else if (a->state == ALLOCATION_FOLLOWING && follow_settled(a, device, back) && back)
                allocation_advance(m, a, EVENT_FOLLOWED);
        if (back && m->events.device_followed) {
                Device *there = inventory_find(m->inventory, device);

                if (there)
                        m->events.device_followed(m->events.userdata, a, op->former, there);
        }
        if (!lost)
                record_progress(m, a, NULL, NULL);
        operation_finish(op);
}

static void stuck(Operation *op) {
        allocation_advance(op->m, op->allocation, EVENT_UNDO);
        allocation_advance(op->m, op->allocation, EVENT_UNDO_FAILED);
        record_progress(op->m, op->allocation, NULL, NULL);
        operation_finish_stuck(op);
}

/* ---- undoing what was set up on this device alone ---- */

static bool is_of(const PtStep *step, const char *host) {
        return step->device && streq(step->device, host);
}

static json_t *observed_of(const Allocation *a, const char *host, bool *ret_any) {
        json_t *array = json_array();

        *ret_any = false;
        for (size_t i = 0; array && i < a->applied.n_steps; i++) {
                bool begun = a->observed[i] && is_of(&a->applied.steps[i], host);

                *ret_any |= begun;
                json_array_append_new(array, begun ? json_string(a->observed[i]) : json_null());
        }
        return array;
}

static void on_undo_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (fault && fault->code == FAULT_DRIVER_STUCK) {
                operation_fail(op, fault);
                stuck(op);
                return;
        }
        /* What is not as found any more is said; the device has what the kernel gave it when it came back. */
        if (result < 0)
                log_message(LOG_WARNING, LOG_EVENT_UNDO_FAILED,
                            log_fields("JOB", op->job->id, "ALLOCATION", op->allocation->id), "%s",
                            fault ? strempty(fault->message) : strerror(-result));
        op->after_undo(op);
}

static void on_stuck_gone(void *userdata) {
        operation_stuck_gone(userdata);
}

static const WorkerEvents undo_events = { .done = on_undo_done, .gone = on_stuck_gone };

static void undo_own(Operation *op, const char *host, OperationNext next) {
        Allocation *a = op->allocation;
        _cleanup_(json_decrefp) json_t *devices = allocation_records(a), *observed = NULL;
        bool any;
        int r;

        op->after_undo = next;
        observed = observed_of(a, host, &any);
        if (!any) {
                next(op);
                return;
        }
        r = worker_pool_run(op->m->workers,
                            &(WorkerSpec) {
                                    .mode = WORKER_UNDO,
                                    .job = op->job->id,
                                    .devices_json = devices,
                                    .module_directory = loader_directory(op->m->loader),
                                    .plan = &a->applied,
                                    .observed = observed,
                            },
                            &undo_events, op, &op->run, &op->fault);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_WORKER_FAILED, "no worker could be started: %s", strerror(-r));
                next(op);
        }
}

/* ---- the steps ---- */

static void on_failed_undone(Operation *op) {
        end(op, false);
}

static void on_back_recorded(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0)
                operation_fail(op, fault);
        if (op->fault.code == FAULT_NONE)
                end(op, true);
        else
                undo_own(op, op->device, on_failed_undone);
}

static void run_ended(Operation *op) {
        Allocation *a = op->allocation;

        if (op->fault.code == FAULT_DRIVER_STUCK) {
                stuck(op);
                return;
        }
        if (op->fault.code == FAULT_NONE && follow_vanished_again(a, op->device))
                fault_set_object(&op->fault, -ENODEV, FAULT_DEVICE_GONE, op->device, "%s vanished again", op->device);
        if (op->fault.code != FAULT_NONE) {
                undo_own(op, op->device, on_failed_undone);
                return;
        }
        /* On disk before anybody hears of it. Until then a restart does all of this again. */
        if (record_progress(op->m, a, on_back_recorded, op) < 0)
                on_back_recorded(op, 0, NULL);
}

static void on_steps_rewritten(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0) {
                operation_fail(op, fault);
                end(op, false);
                return;
        }
        operation_run_steps(op, &op->plan, op->allocation->applied.n_steps - op->plan.n_steps, run_ended);
}

/* Steps of devices that the allocation has no more are left out. */
static bool still_needed(const Allocation *a, const PtStep *step, const char *host) {
        return step->device && !streq(step->device, host) && allocation_has_device(a, step->device);
}

static int replace_steps(Operation *op) {
        Allocation *a = op->allocation;
        Plan plan = { 0 };
        char **observed = calloc(a->applied.n_steps + op->plan.n_steps + 1, sizeof(char *));
        int r = observed ? 0 : -ENOMEM;
        size_t n = 0;

        for (size_t i = 0; r >= 0 && i < a->applied.n_steps; i++)
                if (still_needed(a, &a->applied.steps[i], op->device))
                        r = plan_append(&plan, &a->applied.steps[i]);
        for (size_t i = 0; r >= 0 && i < op->plan.n_steps; i++)
                r = plan_append(&plan, &op->plan.steps[i]);
        if (r < 0) {
                plan_done(&plan);
                free(observed);
                return r;
        }
        /* Nothing fails from here on: what was observed is never lost. */
        for (size_t i = 0; i < a->applied.n_steps; i++)
                if (still_needed(a, &a->applied.steps[i], op->device))
                        observed[n++] = TAKE_PTR(a->observed[i]);
        allocation_clear_steps(a);
        a->applied = plan;
        a->observed = observed;
        return 0;
}

static int write_steps(Operation *op, StoreTxn *txn) {
        const Allocation *a = op->allocation;

        store_remove_owned(txn, TABLE_STEPS, a->id);
        for (size_t i = 0; i < a->applied.n_steps; i++) {
                _cleanup_(json_decrefp) json_t *body = NULL;
                char key[UUID_TEXT_SIZE + 32];

                if (!a->observed[i])
                        continue;
                body = json_pack("{s:o, s:s}", "step", step_to_json(&a->applied.steps[i]), "observed", a->observed[i]);
                if (!body)
                        return -ENOMEM;
                snprintf(key, sizeof(key), "%s/%06zu", a->id, i);
                store_put(txn, TABLE_STEPS, key, a->id, body);
        }
        return 0;
}

/* The progress goes first: with the present name in its list of what is away, a restart does this again. */
static void on_stored(Operation *op) {
        StoreTxn *txn = NULL;
        int r;

        if (op->fault.code != FAULT_NONE) {
                end(op, false);
                return;
        }
        manager_changed(op->m, OBJECT_ALLOCATION, op->allocation->id, "Devices");
        manager_changed(op->m, OBJECT_ALLOCATION, op->allocation->id, "Requests");
        manager_devices_changed(op->m, op->allocation);
        r = replace_steps(op);
        if (r >= 0)
                r = record_progress(op->m, op->allocation, NULL, NULL);
        if (r >= 0) {
                txn = store_begin(op->m->store, STORE_RUNTIME);
                r = txn ? write_steps(op, txn) : -ENOMEM;
        }
        if (r >= 0)
                r = store_commit(TAKE_PTR(txn), on_steps_rewritten, op);
        store_abandon(txn);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the steps could not be recorded: %s", strerror(-r));
                end(op, false);
        }
}

/* ---- the device under its present name ---- */

/* What all devices of the allocation occupy. -ENODATA when that is not known of one. */
static int all_keys(const Allocation *a, KeyList *ret) {
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++) {
                        json_t *keys = json_object_get(json_array_get(a->requests[i].devices[k].records, 0), "keys"), *key;
                        size_t index;

                        if (!json_is_array(keys))
                                return -ENODATA;
                        json_array_foreach(keys, index, key)
                                if (key_list_add(ret, strempty(json_string_value(json_array_get(key, 0))),
                                                 json_is_true(json_array_get(key, 1))) < 0)
                                        return -ENOMEM;
                }
        return 0;
}

/* Identities stay those of the beginning: other firmware has others for a while. */
static int take_over(Operation *op, Device *device, Request *request, AssignedDevice *assigned) {
        HostDevice *bundle[] = { device->host, NULL };
        _cleanup_(json_decrefp) json_t *identities =
                json_incref(json_object_get(json_array_get(assigned->records, 0), "identities"));
        Request fresh = { 0 };
        int r;

        r = request_assign(&fresh, device, bundle);
        if (r >= 0)
                r = follow_remember(op->m, device, &fresh, &op->fault);
        if (r >= 0 && identities)
                json_object_set(json_array_get(fresh.devices[0].records, 0), "identities", identities);
        if (r < 0) {
                request_clear_devices(&fresh);
                return r;
        }
        AssignedDevice former = *assigned;
        *assigned = fresh.devices[0];
        fresh.devices[0] = former;
        request_clear_devices(&fresh);
        follow_renamed(op->allocation, op->former, device->id);
        return request_remember(request);
}

static int plan_steps(Operation *op, Device *device, const Request *request) {
        _cleanup_settings_ SettingValues settings = { 0 };
        PlanRequest plan;
        int r;

        r = plan_request_for(op->m, op->allocation, request, PT_VERB_FOLLOW, &settings, &plan, &op->fault);
        return r < 0 ? r : inventory_plan(op->m->inventory, device, &plan, &op->plan, &op->fault);
}

static void on_old_undone(Operation *op) {
        Allocation *a = op->allocation;
        Device *device = inventory_find(op->m->inventory, op->device);
        bool moved = !streq(op->device, op->former);
        _cleanup_keys_ KeyList keys = { 0 };
        AssignedDevice *assigned;
        Request *request;
        int r;

        if (op->fault.code != FAULT_NONE) {
                end(op, false);
                return;
        }
        assigned = follow_find(a, op->former, &request);
        r = device && assigned ? 0
                               : fault_set_object(&op->fault, -ENODEV, FAULT_DEVICE_GONE, op->device, "%s is gone again",
                                                  op->device);
        if (r >= 0)
                r = plan_steps(op, device, request);
        if (r >= 0) {
                r = take_over(op, device, request, assigned);
                moved &= r >= 0;
        }
        if (r >= 0 && moved)
                r = all_keys(a, &keys);
        if (r >= 0 && moved) {
                key_table_release(op->m->keys, a->id);
                r = key_table_take(op->m->keys, &keys, a->id, &op->fault);
        }
        if (r < 0) {
                if (op->fault.code == FAULT_NONE)
                        fault_set(&op->fault, r, FAULT_INTERNAL, "%s can't be followed: %s", op->device, strerror(-r));
                end(op, false);
                return;
        }
        operation_store(op, moved ? &keys : NULL, on_stored);
}

/* ---- whether it may be had ---- */

static int check(Operation *op) {
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_findings_ FindingList findings = { 0 };
        Device *device = inventory_find(op->m->inventory, op->device);
        const Group *group;
        Request *request;
        PlanRequest plan;
        int r;

        if (!device || !follow_find(op->allocation, op->former, &request))
                return fault_set_object(&op->fault, -ENODEV, FAULT_DEVICE_GONE, op->device, "%s is gone again", op->device);
        group = policy_find_group(op->m->policy, request->group);
        if (!streq(op->device, op->former) && (!group || !group_has_member(group, device)))
                return fault_set_object(&op->fault, -EPERM, FAULT_DEVICE_BLOCKED, op->device,
                                        "%s came back at %s, which the rules of its group do not have", op->former,
                                        op->device);
        r = plan_request_for(op->m, op->allocation, request, PT_VERB_FOLLOW, &settings, &plan, &op->fault);
        if (r < 0)
                return r;
        if (!device_eligible(op->m, device, op->allocation->id, &plan, &findings))
                return fault_set_object(&op->fault, -EBUSY, FAULT_DEVICE_BLOCKED, device->id, "%s: %s",
                                        device->host->sysname, finding_first_blocker(&findings)->text);
        return 0;
}

static void on_evidence(void *userdata, int result) {
        Operation *op = userdata;

        if (result == -ESHUTDOWN)
                return; /* its records are on disk; the next start goes on */
        if (check(op) < 0)
                end(op, false);
        else
                undo_own(op, op->former, on_old_undone);
}

static int on_begin(sd_event_source *source, void *userdata) {
        Operation *op = userdata;

        sd_event_source_disable_unref(source);
        guard_refresh(op->m->guard, on_evidence, op);
        return 0;
}

int operation_follow(Manager *m, Allocation *a, const char *former, const char *device, Fault *fault) {
        sd_event_source *source;
        Operation *op;
        int r;

        r = operation_new(m, "follow", 0, a, NULL, &op, fault);
        if (r < 0)
                return r;
        (void) snprintf(op->former, sizeof(op->former), "%s", former);
        (void) snprintf(op->device, sizeof(op->device), "%s", device);
        job_set_state(m, op->job, JOB_RUNNING);
        /* The job is announced before anything happens to it. */
        r = sd_event_add_defer(m->event, &source, on_begin, op);
        if (r < 0) {
                fault_set(fault, r, FAULT_NO_MEMORY, "out of memory");
                (void) fault_copy(&op->fault, fault);
                operation_finish(op); /* not end(): the caller looks at the others that are away */
        }
        return r < 0 ? r : 0;
}
