/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Changes of layouts.
 *
 *   targets chosen, keys taken → nobody has a device open → layouts that have to be made anew: recorded as being changed in
 *   runtime.db → undone → layouts that go: forgotten in state.db → undone → forgotten in runtime.db → new layouts: recorded in
 *   runtime.db → worker: before → recorded → go … → state.db → runtime.db → the host is
 *   scanned, so that the devices are known → done; or: undo of what was begun → recorded as before.
 *
 * A layout is in state.db only once it was made: a job that a crash interrupts is undone, and was never said to be done. One that
 * is made anew stays there until the next one is; where that fails, or a crash comes between, the old one is made again. A change
 * beside what is in use takes no keys. */

#include <stdio.h>

#include "json-util.h"
#include "log.h"
#include "observe.h"
#include "pending.h"
#include "provisioning.h"

static void make_layouts(Operation *op);

void provisioning_free(Provisioning *provisioning) {
        if (!provisioning)
                return;
        for (size_t i = 0; i < provisioning->n_targets; i++) {
                json_decref(provisioning->targets[i].layout);
                strv_free(provisioning->targets[i].groups);
        }
        free(provisioning->targets);
        free(provisioning);
}

/* ---- the end ---- */

static void end_of_removal(void *userdata, int result, const Fault *fault, const char *id) {
        Operation *op = userdata;

        if (result < 0)
                operation_fail(op, fault);
        operation_finish(op);
}

/* How many there are belongs to what was made. Whether it is written before a crash or not: a start finds the same. */
static void note_devices(Manager *m, Provision *p) {
        const Device *provider = inventory_find(m->inventory, p->id);
        StoreTxn *txn = store_begin(m->store, STORE_RUNTIME);

        p->n_devices = provider && provider->provider ? provider->provider->n_children : 0;
        if (txn && provision_store_state(txn, p) >= 0)
                (void) store_commit(TAKE_PTR(txn), NULL, NULL);
        store_abandon(txn);
}

void provisioning_finish(Operation *op) {
        Provisioning *all = op->provisioning;
        Manager *m = op->m;

        operation_release_keys(op);
        for (size_t i = 0; i < all->n_targets; i++) {
                Provision *p = all->targets[i].p;

                p->job = NULL;
                fault_done(&p->failure);
                p->failure = (Fault){ 0 };
                if (op->fault.code != FAULT_NONE)
                        fault_copy(&p->failure, &op->fault);
                else if (p->made && !all->recovering)
                        note_devices(m, p);
                if (op->fault.code == FAULT_NONE || !p->made)
                        provision_clear_drift(p);
                if (!all->recovering)
                        provision_ended(m, p, &op->fault);
                provision_verify_soon(m, p);
                provision_hold(m, p);
                observe_provider_changed(m, inventory_find(m->inventory, p->id));
                provision_changed(m, p);
                provision_release(m, p);
        }
        if (all->remove_group[0] != '\0' && op->fault.code == FAULT_NONE) {
                const Caller caller = { .uid = op->uid };
                Group *group = policy_find_group(m->policy, all->remove_group);

                if (group && manager_remove_group_now(m, &caller, group, end_of_removal, op, &op->fault) >= 0)
                        return;
        }
        operation_finish(op);
        manager_settle(m);
}

/* The kernel has them: nothing is tried again before somebody asks. */
static void end_stuck(Operation *op) {
        for (size_t i = 0; i < op->provisioning->n_targets; i++) {
                Provision *p = op->provisioning->targets[i].p;

                p->job = NULL;
                p->again = p->starting = false;
                fault_done(&p->failure);
                p->failure = (Fault){ 0 };
                fault_copy(&p->failure, &op->fault);
        }
        operation_finish_stuck(op);
}

/* The devices are in the inventory when the job is over, whether their events came already or not. */
static void scan_and_finish(Operation *op) {
        op->provisioning->scanning = true;
        if (manager_rescan(op->m) < 0) {
                op->provisioning->scanning = false;
                provisioning_finish(op);
        }
}

void provision_scanned(Manager *m) {
        for (Job *job = m->jobs, *next; job; job = next) {
                Operation *op = job->state == JOB_DONE ? NULL : job->userdata;

                next = job->hh.next;
                if (!op || !op->provisioning || !op->provisioning->scanning)
                        continue;
                op->provisioning->scanning = false;
                provisioning_finish(op);
        }
}

/* ---- transactions ---- */

typedef int (*RowsOf)(StoreTxn *txn, const Provision *p);

/* What `rows` says of all targets in one transaction; then `next`, with a failure in op->fault. */
static void on_rows_stored(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0)
                operation_fail(op, fault);
        op->after_store(op);
}

static void store_rows(Operation *op, StoreKind kind, RowsOf rows, OperationNext next) {
        StoreTxn *txn = store_begin(op->m->store, kind);
        int r = txn ? 0 : -ENOMEM;

        op->after_store = next;
        for (size_t i = 0; i < op->provisioning->n_targets && r >= 0; i++)
                r = rows(txn, op->provisioning->targets[i].p);
        if (r >= 0)
                r = store_commit(TAKE_PTR(txn), on_rows_stored, op);
        store_abandon(txn);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
                next(op);
        }
}

static int rows_of_runtime(StoreTxn *txn, const Provision *p) {
        int r = provision_store_steps(txn, p);

        return r < 0 ? r : provision_store_state(txn, p);
}

/* ---- undoing ---- */

/* The steps of all targets from their first one on, as one plan; the worker gets them in this order. */
static int compose(Operation *op, Plan *plan, json_t *observed) {
        const Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++) {
                const Provision *p = all->targets[i].p;

                for (size_t k = all->targets[i].first; k < p->applied.n_steps; k++) {
                        int r = plan_append(plan, &p->applied.steps[k]);

                        if (r < 0)
                                return r;
                        if (observed)
                                json_array_append_new(observed, p->observed[k] ? json_string(p->observed[k]) : json_null());
                }
        }
        return 0;
}

static json_t *device_records(const Operation *op) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < op->provisioning->n_targets; i++)
                if (op->provisioning->targets[i].p->record)
                        json_array_append(array, op->provisioning->targets[i].p->record);
        return array;
}

static bool anything_begun(const Operation *op) {
        const Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++)
                for (size_t k = all->targets[i].first; k < all->targets[i].p->applied.n_steps; k++)
                        if (all->targets[i].p->observed[k])
                                return true;
        return false;
}

static void after_undone(Operation *op) {
        op->after_undo(op);
}

static void forget_undone(Operation *op) {
        Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++) {
                Provision *p = all->targets[i].p;

                provision_drop_steps(p, all->targets[i].first);
                p->changing = false;
                if (p->applied.n_steps == 0) {
                        json_decref(p->made);
                        p->made = NULL;
                }
        }
        store_rows(op, STORE_RUNTIME, rows_of_runtime, after_undone);
}

static void on_undo_after(void *userdata, WorkerRun *run, size_t step, int result, const char *error) {
        Operation *op = userdata;

        if (step >= op->plan.n_steps)
                return;
        job_set_step(op->m, op->job, op->plan.steps[step].sentence, 1.0 - (double) step / (double) op->plan.n_steps);
        if (result >= 0)
                return;
        op->undo_failed = true;
        log_message(LOG_ERR, LOG_EVENT_UNDO_FAILED,
                    log_fields("JOB", op->job->id, "DEVICE", strempty(op->plan.steps[step].device)),
                    "undo of \"%s\" failed: %s", op->plan.steps[step].sentence, strempty(error));
}

static void on_undo_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (result >= 0 && !op->undo_failed) {
                forget_undone(op);
                return;
        }
        /* The records stay: the next job, or the next start, tries again. */
        if (op->fault.code == FAULT_NONE)
                fault_set_object(&op->fault, result, fault->code, fault->object, "The give-back failed: %s",
                                 strempty(fault->message));
        if (fault->code == FAULT_DRIVER_STUCK) {
                end_stuck(op);
                return;
        }
        provisioning_finish(op);
}

static void on_stuck_gone(void *userdata) {
        operation_stuck_gone(userdata);
}

static const WorkerEvents undo_events = {
        .after = on_undo_after,
        .done = on_undo_done,
        .gone = on_stuck_gone,
};

/* Undoes the steps of all targets from their first one on, then `next`. */
static void undo(Operation *op, OperationNext next) {
        _cleanup_(json_decrefp) json_t *devices = device_records(op), *observed = json_array();
        int r;

        op->after_undo = next;
        op->undo_failed = false;
        if (!anything_begun(op)) {
                forget_undone(op);
                return;
        }
        job_set_state(op->m, op->job, JOB_UNDOING);
        plan_done(&op->plan);
        r = observed && devices ? compose(op, &op->plan, observed) : -ENOMEM;
        if (r >= 0)
                r = worker_pool_run(op->m->workers,
                                    &(WorkerSpec){
                                            .mode = WORKER_UNDO,
                                            .job = op->job->id,
                                            .devices_json = devices,
                                            .module_directory = loader_directory(op->m->loader),
                                            .plan = &op->plan,
                                            .observed = observed,
                                    },
                                    &undo_events, op, &op->run, &op->fault);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_WORKER_FAILED, "no worker could be started: %s", strerror(-r));
                provisioning_finish(op);
        }
}

/* ---- layouts that go ---- */

static void set_first(Operation *op, bool of_change) {
        Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++) {
                Target *target = &all->targets[i];
                bool goes = !target->layout && !of_change;

                target->first = goes ? 0 : of_change ? target->p->base : target->p->applied.n_steps;
        }
}

static void on_removed(Operation *op) {
        if (op->fault.code != FAULT_NONE)
                scan_and_finish(op);
        else
                make_layouts(op);
}

static void on_removal_stored(Operation *op) {
        if (op->fault.code != FAULT_NONE) {
                provisioning_finish(op);
                return;
        }
        set_first(op, false);
        undo(op, on_removed);
}

static void remove_layouts(Operation *op) {
        Provisioning *all = op->provisioning;
        bool any = false;

        for (size_t i = 0; i < all->n_targets; i++) {
                Provision *p = all->targets[i].p;

                if (all->targets[i].layout)
                        continue;
                any = true;
                json_decref(p->wanted);
                p->wanted = NULL;
        }
        if (any)
                store_rows(op, STORE_STATE, provision_store_layout, on_removal_stored);
        else
                make_layouts(op);
}

/* ---- new layouts ---- */

static void end_made(Operation *op) {
        scan_and_finish(op);
}

static void on_layout_stored(Operation *op) {
        /* The host is as state.db says by now; a record that could not be written makes the next start undo and make anew. */
        store_rows(op, STORE_RUNTIME, rows_of_runtime, end_made);
}

static void keep_made(Operation *op) {
        Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++) {
                Target *target = &all->targets[i];
                Provision *p = target->p;
                const Device *provider = inventory_find(op->m->inventory, p->id);
                PtValue model;

                if (!target->layout)
                        continue;
                (void) provision_merge_steps(p, provider && provider_merges_custom_steps(provider));
                p->changing = false;
                json_decref(p->made);
                p->made = json_incref(target->layout);
                json_decref(p->wanted);
                p->wanted = json_incref(target->layout);
                strv_free(p->groups);
                p->groups = TAKE_PTR(target->groups);
                free(p->model);
                p->model = provider && device_get_field_by_name(provider, "vendor-device", &model) >= 0 ? strdup(model.s)
                                                                                                        : NULL;
        }
        store_rows(op, STORE_STATE, provision_store_layout, on_layout_stored);
}

static void on_change_undone(Operation *op) {
        scan_and_finish(op);
}

static void run_ended(Operation *op) {
        if (op->fault.code == FAULT_NONE) {
                keep_made(op);
                return;
        }
        if (op->fault.code == FAULT_DRIVER_STUCK) {
                end_stuck(op);
                return;
        }
        set_first(op, true);
        undo(op, on_change_undone);
}

static void on_step_recorded(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->recording = false;
        if (!op->run) { /* the worker died meanwhile */
                run_ended(op);
                return;
        }
        if (result < 0)
                operation_fail(op, fault);
        if (result < 0 || op->job->cancel)
                worker_run_stop(op->run);
        else
                worker_run_go(op->run);
}

/* Which provider's which step the worker's step is. */
static Provision *locate(const Operation *op, size_t step, size_t *ret_index) {
        const Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++) {
                Provision *p = all->targets[i].p;
                size_t n = p->applied.n_steps - all->targets[i].first;

                if (step < n) {
                        *ret_index = all->targets[i].first + step;
                        return p;
                }
                step -= n;
        }
        return NULL;
}

static int record_step(Operation *op, size_t step, const char *observed) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        char key[ID_SIZE + 32];
        StoreTxn *txn;
        size_t index;
        Provision *p = locate(op, step, &index);
        int r;

        if (!p)
                return -EBADMSG;
        free(p->observed[index]);
        p->observed[index] = strdup(observed);
        body = json_pack("{s:o, s:s}", "step", step_to_json(&p->applied.steps[index]), "observed", observed);
        txn = p->observed[index] && body ? store_begin(op->m->store, STORE_RUNTIME) : NULL;
        if (!txn)
                return -ENOMEM;
        (void) snprintf(key, sizeof(key), "%s/%06zu", p->id, index);
        store_put(txn, TABLE_PROVISION_STEPS, key, p->id, body);
        r = store_commit(txn, on_step_recorded, op);
        op->recording = r >= 0;
        return r;
}

static void on_before(void *userdata, WorkerRun *run, size_t step, const char *observed) {
        Operation *op = userdata;
        int r = -EBADMSG;

        if (step < op->plan.n_steps) {
                job_set_step(op->m, op->job, op->plan.steps[step].sentence, (double) step / (double) op->plan.n_steps);
                r = record_step(op, step, observed);
        }
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the step could not be recorded: %s", strerror(-r));
                worker_run_stop(run);
        }
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (result < 0)
                operation_fail(op, fault);
        /* The store still has this operation in hand while it writes a step. */
        if (!op->recording)
                run_ended(op);
}

static const WorkerEvents make_events = {
        .before = on_before,
        .done = on_done,
        .gone = on_stuck_gone,
};

static void start_worker(Operation *op) {
        _cleanup_(json_decrefp) json_t *devices = device_records(op);
        int r;

        if (op->job->cancel)
                fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled before the first step");
        if (op->fault.code != FAULT_NONE) {
                run_ended(op);
                return;
        }
        set_first(op, true);
        plan_done(&op->plan);
        r = compose(op, &op->plan, NULL);
        if (r >= 0 && op->plan.n_steps == 0) {
                run_ended(op);
                return;
        }
        if (r >= 0)
                r = worker_pool_run(op->m->workers,
                                    &(WorkerSpec){
                                            .mode = WORKER_EXECUTE,
                                            .job = op->job->id,
                                            .devices_json = devices,
                                            .module_directory = loader_directory(op->m->loader),
                                            .plan = &op->plan,
                                    },
                                    &make_events, op, &op->run, &op->fault);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_WORKER_FAILED, "no worker could be started: %s", strerror(-r));
                run_ended(op);
        }
}

static int plan_target(Operation *op, Target *target) {
        Device *provider = inventory_find(op->m->inventory, target->p->id);
        _cleanup_plan_ Plan plan = { 0 };
        Provision *p = target->p;
        int r;

        if (!provider)
                return fault_set_object(&op->fault, -ENODEV, FAULT_DEVICE_GONE, p->id, "%s is gone", p->id);
        json_decref(p->record);
        p->record = host_device_to_json(provider->host, provider->module->file);
        r = p->record ? provider_plan(op->m, provider, target->layout, &plan, &op->fault) : fault_oom(&op->fault);
        p->base = p->applied.n_steps;
        for (size_t i = 0; i < plan.n_steps && r >= 0; i++)
                if (provision_append_step(p, &plan.steps[i]) < 0)
                        r = fault_oom(&op->fault);
        p->changing = r >= 0;
        p->beside = target->transition == TRANSITION_BESIDE;
        return r;
}

static void make_layouts(Operation *op) {
        Provisioning *all = op->provisioning;
        bool any = false;

        for (size_t i = 0; i < all->n_targets && op->fault.code == FAULT_NONE; i++) {
                Target *target = &all->targets[i];

                if (!target->layout)
                        continue;
                any = true;
                target->p->base = target->p->applied.n_steps;
                if (target->transition != TRANSITION_KEEP && plan_target(op, target) < 0)
                        break;
        }
        if (op->fault.code != FAULT_NONE) {
                set_first(op, true);
                undo(op, on_change_undone);
        } else if (any)
                store_rows(op, STORE_RUNTIME, provision_store_state, start_worker);
        else
                scan_and_finish(op);
}

static bool is_anew(const Target *target) {
        return target->transition == TRANSITION_ANEW && target->layout && target->p->applied.n_steps > 0;
}

static void on_undone_for_anew(Operation *op) {
        if (op->fault.code != FAULT_NONE) {
                scan_and_finish(op);
                return;
        }
        job_set_state(op->m, op->job, JOB_RUNNING);
        remove_layouts(op);
}

/* From here on a crash leads to a start that undoes the rest, and makes what state.db says. */
static void on_anew_recorded(Operation *op) {
        Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets; i++)
                all->targets[i].first = is_anew(&all->targets[i]) ? 0 : all->targets[i].p->applied.n_steps;
        if (op->job->cancel)
                fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled before the first step");
        if (op->fault.code != FAULT_NONE) {
                for (size_t i = 0; i < all->n_targets; i++)
                        if (is_anew(&all->targets[i])) {
                                all->targets[i].p->changing = false;
                                all->targets[i].p->base = all->targets[i].p->applied.n_steps;
                        }
                store_rows(op, STORE_RUNTIME, provision_store_state, provisioning_finish);
                return;
        }
        undo(op, on_undone_for_anew);
}

static void on_cleaned(Operation *op) {
        Provisioning *all = op->provisioning;
        bool any = false;

        if (op->fault.code != FAULT_NONE) {
                provisioning_finish(op);
                return;
        }
        for (size_t i = 0; i < all->n_targets; i++)
                if (is_anew(&all->targets[i])) {
                        any = true;
                        all->targets[i].p->changing = true;
                        all->targets[i].p->beside = false;
                        all->targets[i].p->base = 0;
                }
        if (any)
                store_rows(op, STORE_RUNTIME, provision_store_state, on_anew_recorded);
        else
                remove_layouts(op);
}

/* What an earlier change could not undo is undone first. */
void provisioning_run(Operation *op) {
        set_first(op, true);
        undo(op, on_cleaned);
}

void provisioning_undo(Operation *op) {
        undo(op, on_change_undone);
}
