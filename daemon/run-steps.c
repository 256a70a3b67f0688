/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Steps of an allocation in a worker: each is recorded with what was observed before it is let go on. */

#include <stdio.h>

#include "log.h"
#include "operation.h"

static void on_step_recorded(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->recording = false;
        if (!op->run) { /* the worker died meanwhile */
                op->after_run(op);
                return;
        }
        if (result < 0) {
                operation_fail(op, fault);
                worker_run_stop(op->run);
        } else if (op->job->cancel)
                worker_run_stop(op->run);
        else
                worker_run_go(op->run);
}

static int record_step(Operation *op, size_t step, const char *observed) {
        Allocation *a = op->allocation;
        char key[UUID_TEXT_SIZE + 32];
        _cleanup_(json_decrefp) json_t *body =
                json_pack("{s:o, s:s}", "step", step_to_json(&a->applied.steps[step]), "observed", observed);
        StoreTxn *txn;

        free(a->observed[step]);
        a->observed[step] = strdup(observed);
        if (!body || !a->observed[step] || !(txn = store_begin(op->m->store, STORE_RUNTIME)))
                return -ENOMEM;
        snprintf(key, sizeof(key), "%s/%06zu", a->id, step);
        store_put(txn, TABLE_STEPS, key, a->id, body);
        int r = store_commit(txn, on_step_recorded, op);
        op->recording = r >= 0;
        return r;
}

static void on_before(void *userdata, WorkerRun *run, size_t step, const char *observed) {
        Operation *op = userdata;
        Allocation *a = op->allocation;
        int r;

        step += op->first_step;
        r = step < a->applied.n_steps ? 0 : -EBADMSG;

        if (r == 0) {
                job_set_step(op->m, op->job, a->applied.steps[step].sentence,
                             (double) step / (double) a->applied.n_steps);
                r = record_step(op, step, observed);
        }
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the step could not be recorded: %s", strerror(-r));
                worker_run_stop(run);
        }
}

/* What ends the job comes with done(), and with the worker's word for it. */
static void on_after(void *userdata, WorkerRun *run, size_t step, int result, const char *error) {
        Operation *op = userdata;
        const Plan *plan = &op->allocation->applied;

        step += op->first_step;
        if (result < 0 && step < plan->n_steps && plan->steps[step].flags & PT_STEP_OPTIONAL)
                log_message(LOG_NOTICE, LOG_EVENT_NONE, log_fields("JOB", op->job->id, "ALLOCATION", op->allocation->id),
                            "%s: %s (goes on)", plan->steps[step].sentence, strempty(error));
}

static void on_noted(void *userdata, const char *device, const char *text) {
        Operation *op = userdata;
        Allocation *a = op->allocation;

        if (!a->notes)
                a->notes = json_object();
        (void) json_object_set_new(a->notes, device, json_string(text));
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (result < 0)
                operation_fail(op, fault);
        /* The store still has this operation in hand while it writes a step. */
        if (!op->recording)
                op->after_run(op);
}

static void on_stuck_gone(void *userdata) {
        operation_stuck_gone(userdata);
}

static const WorkerEvents worker_events = {
        .before = on_before,
        .after = on_after,
        .noted = on_noted,
        .done = on_done,
        .gone = on_stuck_gone,
};

void operation_run_steps(Operation *op, const Plan *plan, size_t first, OperationNext next) {
        _cleanup_(json_decrefp) json_t *devices = allocation_records(op->allocation);
        int r;

        op->first_step = first;
        op->after_run = next;
        r = worker_pool_run(op->m->workers,
                            &(WorkerSpec) {
                                    .mode = WORKER_EXECUTE,
                                    .job = op->job->id,
                                    .devices_json = devices,
                                    .module_directory = loader_directory(op->m->loader),
                                    .plan = plan,
                                    .note = true,
                            },
                            &worker_events, op, &op->run, &op->fault);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_WORKER_FAILED, "no worker could be started: %s", strerror(-r));
                next(op);
        }
}
