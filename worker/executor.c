/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "executor.h"

#include "device-lock.h"
#include "lib/protocol.h"
#include "probe.h"
#include "step.h"

static int observe_nothing(StepCall *call, json_t **ret) {
        *ret = json_object();
        return *ret ? 0 : -ENOMEM;
}

static int run_nothing(StepCall *call) {
        return 0;
}

static int undo_nothing(StepCall *call, json_t *observed) {
        return 0;
}

/* A kernel module is loaded by the service before it starts the worker: the step is passed on so that the
 * numbers of steps are the same on both sides. */
static const StepOps step_ops_load_module = {
        .observe = observe_nothing,
        .run = run_nothing,
        .undo = undo_nothing,
};

static const StepOps *const step_ops_table[_PT_STEP_MAX] = {
        [PT_STEP_WRITE_ATTRIBUTE] = &step_ops_attribute,
        [PT_STEP_SET_DRIVER] = &step_ops_driver,
        [PT_STEP_RESET] = &step_ops_reset,
        [PT_STEP_NODE_OWNER] = &step_ops_node,
        [PT_STEP_LOAD_MODULE] = &step_ops_load_module,
        [PT_STEP_WAIT] = &step_ops_wait,
        [PT_STEP_CUSTOM] = &step_ops_custom,
        [PT_STEP_SET_VF_COUNT] = &step_ops_vf_count,
        [PT_STEP_CREATE_MDEV] = &step_ops_mdev,
};

static int send_after(StepCall *call, size_t index, int result) {
        bool failed = result < 0;

        return worker_send(call->worker,
                           json_pack("{s:s, s:I, s:i, s:o, s:s?, s:o, s:O?}", "type", "after", "step",
                                     (json_int_t) index, "result", result, "error", json_fault(&call->fault),
                                     "code", failed ? fault_code_to_string(call->fault.code) : NULL, "text",
                                     json_text(call->text), "report", call->report));
}

/* Has what was observed recorded and waits for the word that it is safe. A service that has hung up does not
 * know of this step: it is not begun. Fails when it has; `ret_refusal` is 0 for go, or what the job ends
 * with. */
static int ask(Worker *worker, size_t index, const char *observed, int *ret_refusal, Fault *fault) {
        _cleanup_json_ json_t *answer = NULL;
        int64_t step;
        int r;

        r = worker_send(worker, json_pack("{s:s, s:I, s:s}", "type", "before", "step", (json_int_t) index,
                                          "observed", observed));
        if (r == -EMSGSIZE || r == -ENOMEM) {
                *ret_refusal =
                        fault_set(fault, r, FAULT_WORKER_FAILED,
                                  "What was observed before step %zu cannot be sent to be recorded: %s",
                                  index, strerrordesc_np(-r));
                return 0;
        }
        if (r < 0)
                return r;

        r = message_receive(worker->fd, &answer);
        if (r == 0)
                return -EPIPE;
        if (r < 0 && r != -EBADMSG)
                return r;

        if (r > 0 && streq(message_type(answer), "stop"))
                *ret_refusal =
                        fault_set(fault, -ECANCELED, FAULT_CANCELLED, "Stopped before step %zu", index);
        else if (r > 0 && streq(message_type(answer), "go") && message_get_int(answer, "step", &step) >= 0 &&
                 step == (int64_t) index)
                *ret_refusal = 0;
        else
                *ret_refusal =
                        fault_set(fault, -EPROTO, FAULT_WORKER_FAILED,
                                  "The answer to step %zu was neither \"go\" for it nor \"stop\"", index);
        return 0;
}

/* A step that fails without saying why (memory, a module of few words) still gets a sentence. */
static void complete_fault(StepCall *call, int result) {
        if (result < 0)
                (void) step_fail(call, result, FAULT_STEP_FAILED, "Cannot %s: %s",
                                 strempty(call->step->sentence), strempty(strerrordesc_np(-result)));
}

/* Whatever a step says went wrong with a card that was pulled meanwhile: it is gone, which is all that an undo wants. */
static int blame_absence(StepCall *call, JobMode mode, int result) {
        _cleanup_close_ int device_fd = -EBADF;
        _cleanup_fault_ Fault cause = {};

        if (result >= 0 || !call->device)
                return result;

        fault_move(&cause, &call->fault);
        if (mode == JOB_UNDO && step_open_device_for_undo(call, &device_fd) >= 0 && device_fd < 0)
                return 0;
        if (mode == JOB_EXECUTE && step_open_device(call, &device_fd) == -ENODEV)
                return -ENODEV;

        fault_done(&call->fault);
        fault_move(&call->fault, &cause);
        return result;
}

static int finish_step(StepCall *call, JobMode mode, size_t index, int *result) {
        int r;

        *result = blame_absence(call, mode, *result);
        complete_fault(call, *result);
        r = send_after(call, index, *result);

        fault_done(&call->fault);
        json_decref(call->report);
        free(call->text);
        return r;
}

static StepCall make_call(Worker *worker, const Job *job, size_t index) {
        const PtStep *step = &job->plan.steps[index];

        return (StepCall){
                .worker = worker,
                .devices = &job->devices,
                .device = device_list_find(&job->devices, step->device),
                .step = step,
        };
}

/* What became of one step. */
typedef struct Outcome {
        int result;
        bool refused; /* the service did not let it begin: the job ends with the result */
} Outcome;

static int execute_step(Worker *worker, const Job *job, size_t index, Outcome *ret, Fault *fault) {
        StepCall call = make_call(worker, job, index);
        const StepOps *ops = step_ops_table[call.step->kind];
        _cleanup_json_ json_t *observed = NULL;
        _cleanup_free_ char *text = NULL;
        Outcome outcome = {};
        int r = 0;

        outcome.result = ops->observe(&call, &observed);
        if (outcome.result >= 0) {
                text = json_dumps(observed, JSON_COMPACT | JSON_SORT_KEYS);
                if (!text)
                        outcome.result = -ENOMEM;
        }
        if (outcome.result >= 0) {
                r = ask(worker, index, text, &outcome.result, fault);
                outcome.refused = r >= 0 && outcome.result < 0;
                if (r >= 0 && !outcome.refused)
                        outcome.result = ops->run(&call);
        }

        if (r >= 0 && !outcome.refused)
                r = finish_step(&call, job->mode, index, &outcome.result);
        else {
                fault_done(&call.fault);
                json_decref(call.report);
                free(call.text);
        }
        *ret = outcome;
        return r;
}

static int execute(Worker *worker, const Job *job, int *ret_result, Fault *fault) {
        for (size_t i = 0; i < job->plan.n_steps; i++) {
                Outcome outcome = {};
                int r;

                r = execute_step(worker, job, i, &outcome, fault);
                if (r < 0)
                        return r;
                if (outcome.refused ||
                    (outcome.result < 0 && !(job->plan.steps[i].flags & PT_STEP_OPTIONAL))) {
                        *ret_result = outcome.result;
                        return 0;
                }
        }

        *ret_result = 0;
        return 0;
}

static int undo_from_record(StepCall *call, const StepOps *ops, size_t index, const char *record) {
        _cleanup_json_ json_t *observed = NULL;

        if (call->step->flags & PT_STEP_NO_RETURN) {
                step_note(call, "a point of no return: nothing to undo");
                return 0;
        }

        observed = json_loads(record, 0, NULL);
        if (!json_is_object(observed))
                return step_fail(call, -EBADMSG, FAULT_STATE_DAMAGED,
                                 "The record of step %zu (%s) cannot be read: nothing was restored", index,
                                 strempty(call->step->sentence));

        return ops->undo(call, observed);
}

static int undo_step(Worker *worker, const Job *job, size_t index, Outcome *ret, Fault *fault) {
        StepCall call = make_call(worker, job, index);
        Outcome outcome = {};
        int r;

        /* The record is echoed, so that a service that stores every "before" stores the same again. */
        r = ask(worker, index, job->observed[index], &outcome.result, fault);
        outcome.refused = outcome.result < 0;
        if (r >= 0 && !outcome.refused) {
                outcome.result = undo_from_record(&call, step_ops_table[call.step->kind], index,
                                                  job->observed[index]);
                r = finish_step(&call, job->mode, index, &outcome.result);
        }

        *ret = outcome;
        return r;
}

static int undo(Worker *worker, const Job *job, int *ret_result, Fault *fault) {
        int first_failure = 0;

        for (size_t i = job->plan.n_steps; i-- > 0;) {
                Outcome outcome = {};
                int r;

                if (!job->observed[i])
                        continue;
                r = undo_step(worker, job, i, &outcome, fault);
                if (r < 0)
                        return r;
                if (outcome.result < 0 && first_failure == 0)
                        first_failure = outcome.result;
                if (outcome.refused)
                        break;
        }

        *ret_result = first_failure;
        return 0;
}

int executor_run(Worker *worker, const Job *job, int *ret_result, Fault *fault) {
        _cleanup_device_lock_ DeviceLock lock = {};
        int r;

        r = device_lock_take(&lock, worker, &job->devices, fault);
        if (r < 0) {
                *ret_result = r;
                return 0;
        }

        if (job->mode == JOB_EXECUTE && job->note) {
                r = probe_note(worker, &job->devices);
                if (r < 0)
                        return r;
        }

        return job->mode == JOB_UNDO ? undo(worker, job, ret_result, fault)
                                     : execute(worker, job, ret_result, fault);
}
