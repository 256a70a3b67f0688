/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Deactivate and release: see who has a device open, wait until nobody has (draining), let the module prepare the give-back
 * (a reset), undo the steps of the activation, give up the devices; release then removes the allocation.
 *
 * An unbind beside an open VFIO node would hang in the kernel without limit, so the node is watched first and /proc is
 * searched after: what is closed in between is not missed. */

#include <stdio.h>

#include "confirm.h"
#include "given-nodes.h"
#include "identity-use.h"
#include "json-util.h"
#include "log.h"
#include "operation.h"
#include "reset-report.h"

static void ask_holders(Operation *op);

/* ---- the end ---- */

static void on_removed(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;
        Manager *m = op->m;
        Allocation *a = op->allocation;

        if (result < 0) {
                operation_fail(op, fault);
                operation_finish(op);
                return;
        }
        key_table_release(m->keys, a->id);
        /* A waiting or claimed one: everything else was deactivated before. */
        allocation_advance(m, a, EVENT_RELEASE);
        a->thick = false; /* nothing is reserved any more: no device may point here */
        manager_devices_changed(m, a);
        for (size_t i = 0; i < a->n_requests; i++)
                manager_changed(m, OBJECT_GROUP, a->requests[i].group, "Allocations");
        if (m->events.removed)
                m->events.removed(m->events.userdata, OBJECT_ALLOCATION, a->id);
        operation_finish(op);
}

static void remove_allocation(Operation *op) {
        StoreTxn *txn = store_begin(op->m->store, STORE_STATE);
        int r = txn ? 0 : -ENOMEM;

        if (r == 0) {
                store_remove(txn, TABLE_ALLOCATIONS, op->allocation->id);
                store_unclaim(txn, op->allocation->id);
                r = store_commit(txn, on_removed, op);
        }
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
                operation_finish(op);
        }
}

/* The operation, and with it the allocation, may be gone afterwards. */
static void finish_given_back(Operation *op) {
        Manager *m = op->m;
        char id[UUID_TEXT_SIZE];
        const Allocation *allocation;

        memcpy(id, op->allocation->id, sizeof(id));
        operation_finish(op);
        allocation = manager_find_allocation(m, id);
        if (allocation)
                identity_complete_use(m, allocation);
}

static void on_cleared(Operation *op) {
        if (op->allocation->state == ALLOCATION_DEACTIVATING)
                allocation_advance(op->m, op->allocation, EVENT_UNDONE);
        /* That nobody confirmed is why it is given back; a release that joined is still due. */
        if (op->release && (op->fault.code == FAULT_NONE || op->giving_back))
                remove_allocation(op);
        else
                finish_given_back(op);
}

static void on_undone(Operation *op) {
        if (op->undo_failed) {
                allocation_advance(op->m, op->allocation, EVENT_UNDO_FAILED);
                record_progress(op->m, op->allocation, NULL, NULL);
                operation_finish(op);
                return;
        }
        operation_clear(op, on_cleared);
}

static void undo_now(Operation *op) {
        job_set_state(op->m, op->job, JOB_UNDOING);
        op->after_undo = on_undone;
        operation_undo(op);
}

/* ---- what the module wants done before ---- */

static void on_prepare_before(void *userdata, WorkerRun *run, size_t step, const char *observed) {
        Operation *op = userdata;

        if (step < op->plan.n_steps)
                job_set_step(op->m, op->job, op->plan.steps[step].sentence, 0);
        worker_run_go(run);
}

static void on_prepare_after(void *userdata, WorkerRun *run, size_t step, int result, const char *error) {
        Operation *op = userdata;

        if (step >= op->plan.n_steps || result >= 0)
                return;
        if (op->plan.steps[step].flags & PT_STEP_DEMANDED) {
                char reason[TEXT_MAX_BYTES];

                (void) snprintf(reason, sizeof(reason), "What its group demands before it is given back failed (%s): %s",
                                op->plan.steps[step].sentence, isempty(error) ? strerror(-result) : error);
                operation_distrust(op, op->plan.steps[step].device, reason);
        } else
                log_message(LOG_WARNING, LOG_EVENT_NONE,
                            log_fields("JOB", op->job->id, "ALLOCATION", op->allocation->id),
                            "%s: %s (the give-back goes on)", op->plan.steps[step].sentence,
                            isempty(error) ? strerror(-result) : error);
}

static void on_report(void *userdata, const char *device, json_t *report, int result, const char *error) {
        reset_report_keep(userdata, device, report, result, error);
}

static void on_prepare_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (fault && fault->code == FAULT_DRIVER_STUCK) {
                operation_fail(op, fault);
                allocation_advance(op->m, op->allocation, EVENT_UNDO_FAILED);
                record_progress(op->m, op->allocation, NULL, NULL);
                operation_finish_stuck(op);
                return;
        }
        undo_now(op);
}

static void on_stuck_gone(void *userdata) {
        operation_stuck_gone(userdata);
}

static const WorkerEvents prepare_events = {
        .before = on_prepare_before,
        .after = on_prepare_after,
        .report = on_report,
        .done = on_prepare_done,
        .gone = on_stuck_gone,
};

static int plan_named(Operation *op, Device *device, PlanRequest *request, size_t request_index, size_t number, Fault *fault) {
        plan_request_identify(request, op->allocation, request_index, number);
        return inventory_plan(op->m->inventory, device, request, &op->plan, fault);
}

static int plan_prepare(Operation *op) {
        Allocation *a = op->allocation;

        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++) {
                        _cleanup_settings_ SettingValues settings = { 0 };
                        _cleanup_fault_ Fault fault = { 0 };
                        Device *device = inventory_find(op->m->inventory, a->requests[i].devices[k].device);
                        PlanRequest request;

                        if (!device || device->module->state != MODULE_LOADED)
                                continue;
                        if (plan_request_for(op->m, a, &a->requests[i], PT_VERB_DEACTIVATE, &settings, &request,
                                             &fault) < 0 ||
                            plan_named(op, device, &request, i, k, &fault) < 0)
                                log_plain(LOG_WARNING, "no plan to prepare the give-back of %s: %s", device->id,
                                          strempty(fault.message));
                }
        return op->plan.n_steps > 0;
}

static void prepare_give_back(Operation *op) {
        _cleanup_(json_decrefp) json_t *devices = allocation_records(op->allocation);
        _cleanup_fault_ Fault fault = { 0 };

        plan_done(&op->plan);
        op->plan = (Plan) { 0 };
        if (op->allocation->applied.n_steps == 0 || plan_prepare(op) == 0 ||
            worker_pool_run(op->m->workers,
                            &(WorkerSpec) {
                                    .mode = WORKER_EXECUTE,
                                    .job = op->job->id,
                                    .devices_json = devices,
                                    .module_directory = loader_directory(op->m->loader),
                                    .plan = &op->plan,
                            },
                            &prepare_events, op, &op->run, &fault) < 0)
                undo_now(op);
}

static void on_undo_recorded(void *userdata, int result, const Fault *fault) {
        prepare_give_back(userdata); /* an unwritten progress only costs a restart a second look */
}

static void begin_undo(Operation *op) {
        Allocation *a = op->allocation;

        op->watch = node_watch_free(op->watch);
        op->job->on_cancel = NULL;
        job_set_state(op->m, op->job, JOB_RUNNING);
        if (a->state != ALLOCATION_DEACTIVATING)
                allocation_advance(op->m, a, EVENT_UNDO);
        if (record_progress(op->m, a, on_undo_recorded, op) < 0)
                prepare_give_back(op);
}

/* ---- draining ---- */

static void on_node_closed(void *userdata) {
        Operation *op = userdata;

        /* The search under way may have passed the process already: it is asked again after. */
        if (op->run || op->recording)
                op->closed = true;
        else
                ask_holders(op);
}

static void on_drain_cancel(Job *job) {
        Operation *op = job->userdata;

        if (op->run)
                return; /* what is asked right now decides */
        fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled while a device was still open");
        op->allocation->releasing = false;
        op->allocation->confirm_usec = 0;
        if (op->allocation->state == ALLOCATION_DRAINING)
                allocation_advance(op->m, op->allocation, EVENT_CANCEL);
        record_progress(op->m, op->allocation, NULL, NULL);
        operation_finish(op);
}

static void wait_for_close(Operation *op) {
        op->job->on_cancel = on_drain_cancel;
        if (op->job->cancel)
                on_drain_cancel(op->job);
        else if (op->closed)
                ask_holders(op);
}

static void on_drain_recorded(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->recording = false;
        if (op->allocation->state == ALLOCATION_ACTIVE) /* not lost meanwhile */
                allocation_advance(op->m, op->allocation, EVENT_DEACTIVATE);
        wait_for_close(op);
}

/* Nobody sees "draining" before a restart would go on with it. */
static void record_draining(Operation *op) {
        Allocation *a = op->allocation;
        AllocationState state = a->state;
        int r;

        a->state = ALLOCATION_DRAINING;
        r = record_progress(op->m, a, on_drain_recorded, op);
        a->state = state;
        op->recording = r >= 0;
        if (r < 0)
                on_drain_recorded(op, r, NULL);
}

static void drain(Operation *op, json_t *holders) {
        json_t *first = json_array_get(holders, 0);
        char text[256];

        snprintf(text, sizeof(text), "wait until %s (pid %lld) closes %s",
                 strempty(json_string_value(json_object_get(first, "comm"))),
                 (long long) json_integer_value(json_object_get(first, "pid")),
                 strempty(json_string_value(json_object_get(first, "node"))));
        job_set_step(op->m, op->job, text, 0);
        job_set_state(op->m, op->job, JOB_WAITING);
        if (op->allocation->state == ALLOCATION_ACTIVE)
                record_draining(op);
        else
                wait_for_close(op);
}

static void on_held(void *userdata, WorkerRun *run, json_t *holders) {
        Operation *op = userdata;

        json_decref(op->holders);
        op->holders = json_incref(holders);
}

static void end_search(Operation *op) {
        if (op->giving_back)
                confirm_undo_again(op);
        else
                operation_finish(op);
}

static void on_holders_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (result < 0) {
                /* Not knowing who holds the device is no reason to hang in an unbind. */
                operation_fail(op, fault);
                end_search(op);
                return;
        }
        if (json_array_size(op->holders) > 0 && !op->force) {
                if (op->closed)
                        ask_holders(op);
                else
                        drain(op, op->holders);
        } else
                begin_undo(op);
}

static const WorkerEvents holders_events = {
        .held = on_held,
        .done = on_holders_done,
};

static void ask_holders(Operation *op) {
        op->closed = false;
        int r = op->watch ? 0 : node_watch_new(op->m->nodes, op->nodes, on_node_closed, op, &op->watch);

        if (r >= 0)
                r = worker_pool_run(op->m->workers,
                                    &(WorkerSpec) {
                                            .mode = WORKER_HOLDERS,
                                            .job = op->job->id,
                                            .nodes = (const char *const *) op->nodes,
                                    },
                                    &holders_events, op, &op->run, &op->fault);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_WORKER_FAILED, "who has the device open could not be found out: %s",
                          strerror(-r));
                end_search(op);
        }
}

/* The nodes that were given to the consumer are the ones it may have open. */
static int collect_nodes(Operation *op) {
        return given_nodes(op->m, op->allocation, &op->nodes);
}

static void begin(Operation *op) {
        Allocation *a = op->allocation;

        job_set_state(op->m, op->job, JOB_RUNNING);
        if (!allocation_state_holds(a->state)) {
                if (a->state == ALLOCATION_WAITING)
                        allocation_advance(op->m, a, EVENT_CANCEL);
                remove_allocation(op);
        } else if (op->force || op->nodes[0] == NULL)
                begin_undo(op);
        else
                ask_holders(op);
}

static int on_begin(sd_event_source *source, void *userdata) {
        sd_event_source_disable_unref(source);
        begin(userdata);
        return 0;
}

void operation_give_back(Operation *op) {
        if (!op->nodes && collect_nodes(op) < 0) {
                op->nodes = strv_free(op->nodes);
                confirm_undo_again(op);
                return;
        }
        begin(op);
}

/* The job is announced before anything happens to it. */
static int begin_later(Operation *op) {
        sd_event_source *source;

        return sd_event_add_defer(op->m->event, &source, on_begin, op);
}

static int start(Manager *m, Allocation *allocation, uid_t uid, const char *kind, bool force, bool release,
                 bool internal, Job **ret, Fault *fault) {
        Operation *op;
        int r = operation_new(m, kind, uid, allocation, NULL, &op, fault);

        if (r < 0)
                return r;
        op->force = force;
        op->release = release;
        op->internal = internal;
        r = collect_nodes(op);
        if (r >= 0)
                r = begin_later(op);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_NO_MEMORY, "out of memory");
                fault_copy(fault, &op->fault);
                operation_finish(op);
                return r;
        }
        if (ret)
                *ret = op->job;
        return 0;
}

/* One that waits takes up a stronger wish: to end in a release, or to wait no longer. */
static bool join_drain(Allocation *allocation, bool force, bool release, Job **ret) {
        Job *job = allocation->job;

        if (!job || job->on_cancel != on_drain_cancel)
                return false;
        Operation *op = job->userdata;
        op->force |= force;
        op->release |= release;
        *ret = job;
        if (release) {
                allocation->releasing = true;
                record_progress(op->m, allocation, NULL, NULL);
        }
        if (force && !op->run)
                begin_undo(op);
        return true;
}

int operation_deactivate(Manager *m, Allocation *allocation, uid_t uid, json_t *options, bool release, Job **ret,
                         Fault *fault) {
        bool force = false;
        const JsonKey keys[] = { { "force", JSON_KEY_BOOL, &force, 0, false }, { 0 } };
        int r = json_parse_object(options, keys, release ? "the options of Release" : "the options of Deactivate",
                                  FAULT_UNKNOWN_OPTION, fault);

        if (r >= 0 && (allocation_state_holds(allocation->state) || m->readiness == READINESS_LIMITED))
                r = operation_may_touch(m, fault);
        if (r < 0)
                return r;
        if (allocation->stuck || allocation->leftover)
                return fault_set_object(fault, -EBUSY, FAULT_DRIVER_STUCK, allocation->id,
                                        "a driver still works on a device of this allocation; it is given back when "
                                        "that has ended");
        if (!release && !allocation_state_holds(allocation->state) && !allocation->job)
                return fault_set_object(fault, -EALREADY, FAULT_WRONG_STATE, allocation->id,
                                        "the allocation is %s; there is nothing to deactivate",
                                        allocation_state_to_string(allocation->state));
        if (join_drain(allocation, force, release, ret))
                return 0;
        /* An activation that still waits for a device ends with the wish for it. */
        if (release && allocation->job && job_waits_for_device(allocation->job))
                (void) manager_cancel_job(m, allocation->job, NULL);
        /* Whoever gives the devices back by himself does not need to confirm that he took them. */
        if (allocation->job && allocation->job->state == JOB_CONFIRMING)
                confirm_drop(allocation->job->userdata);
        r = start(m, allocation, uid, release ? "release" : "deactivate", force, release, false, ret, fault);
        if (r >= 0)
                allocation->releasing = release;
        return r;
}

int operation_recover(Manager *m, Allocation *allocation, Fault *fault) {
        return start(m, allocation, 0, "recover", true, allocation->releasing, true, NULL, fault);
}

int operation_drain_again(Manager *m, Allocation *allocation, Fault *fault) {
        return start(m, allocation, 0, allocation->releasing ? "release" : "deactivate", false, allocation->releasing, false,
                     NULL, fault);
}
