/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker-run.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "lib/limits.h"
#include "lib/protocol.h"
#include "log.h"
#include "worker-request.h"

/* A worker that watches the time itself, as in a step that waits, gets to say so. */
#define REPORT_GRACE_MSEC 500u
#define TIMER_ACCURACY_USEC 10000u
#define USEC_PER_MSEC 1000u
#define PLACE_SIZE 512u

static bool has_steps(const WorkerRun *run) {
        return run->mode == WORKER_EXECUTE || run->mode == WORKER_UNDO;
}

/* ---- its beginning and end as an object ---- */

static int take_plan(WorkerRun *run, const WorkerSpec *spec, Fault *fault) {
        if (!spec->plan)
                return fault_set(fault, -EINVAL, FAULT_INTERNAL, "A job has no plan");

        run->n_steps = spec->plan->n_steps;
        run->steps = plan_to_json(spec->plan);
        run->timeouts_msec = calloc(run->n_steps + 1, sizeof(uint32_t));
        if (!run->steps || !run->timeouts_msec)
                return fault_oom(fault);
        for (size_t i = 0; i < run->n_steps; i++)
                run->timeouts_msec[i] = step_timeout_msec(&spec->plan->steps[i]);

        if (run->mode == WORKER_UNDO) {
                if (json_array_size(spec->observed) != run->n_steps)
                        return fault_set(fault, -EINVAL, FAULT_INTERNAL,
                                         "A job to undo has not one record a step");
                run->observed = json_incref(spec->observed);
        }
        return 0;
}

int worker_run_new(WorkerPool *pool, const WorkerSpec *spec, const WorkerEvents *events, void *userdata,
                   WorkerRun **ret, Fault *fault) {
        _cleanup_(worker_run_freep) WorkerRun *run = NULL;
        int r;

        run = calloc(1, sizeof(*run));
        if (!run)
                return fault_oom(fault);
        run->pool = pool;
        run->events = *events;
        run->userdata = userdata;
        run->mode = spec->mode;
        run->timeout_msec = spec->timeout_msec > 0 ? spec->timeout_msec : OBSERVE_TIMEOUT_MSEC;
        run->job = strdup(strempty(spec->job));
        if (!run->job)
                return fault_oom(fault);

        r = has_steps(run) ? take_plan(run, spec, fault) : 0;
        if (r < 0)
                return r;
        run->step = run->mode == WORKER_UNDO ? run->n_steps : 0;

        run->request = worker_request_new(spec, run->steps);
        if (!run->request)
                return fault_set(fault, -EINVAL, FAULT_INTERNAL,
                                 "The request to the worker cannot be put together");

        *ret = TAKE_PTR(run);
        return 0;
}

WorkerRun *worker_run_free(WorkerRun *run) {
        if (!run)
                return NULL;
        worker_process_free(run->process);
        sd_event_source_disable_unref(run->timer);
        json_decref(run->request);
        json_decref(run->steps);
        json_decref(run->observed);
        free(run->timeouts_msec);
        free(run->job);
        fault_done(&run->fault);
        free(run);
        return NULL;
}

pid_t worker_run_pid(const WorkerRun *run) {
        return run->process ? worker_process_pid(run->process) : 0;
}

/* ---- where it is ---- */

static bool was_observed(const WorkerRun *run, size_t step) {
        return json_is_string(json_array_get(run->observed, step));
}

/* The step that the worker must speak of next. False when all are over. */
static bool current_step(const WorkerRun *run, size_t *ret) {
        if (run->mode == WORKER_EXECUTE) {
                *ret = run->step;
                return run->step < run->n_steps;
        }

        for (size_t step = run->step; step-- > 0;)
                if (was_observed(run, step)) {
                        *ret = step;
                        return true;
                }
        return false;
}

static const char *step_text(const WorkerRun *run, size_t step, const char *member) {
        return json_string_value(json_object_get(json_array_get(run->steps, step), member));
}

/* "in step 2 of 5 (bind 0000:3b:00.0 to vfio-pci)" */
static void describe_place(const WorkerRun *run, char buffer[static PLACE_SIZE]) {
        size_t step;

        if (!run->process || !worker_process_is_ready(run->process))
                snprintf(buffer, PLACE_SIZE, "before it was ready");
        else if (run->mode == WORKER_OBSERVE)
                snprintf(buffer, PLACE_SIZE, "while it looked at devices");
        else if (run->mode == WORKER_CHECK)
                snprintf(buffer, PLACE_SIZE, "while it checked the host");
        else if (run->mode == WORKER_HOLDERS)
                snprintf(buffer, PLACE_SIZE, "while it looked for holders of devices");
        else if (run->mode == WORKER_PROBE)
                snprintf(buffer, PLACE_SIZE, "while it probed devices");
        else if (run->mode == WORKER_GUARD)
                snprintf(buffer, PLACE_SIZE, "while it looked at what the host needs");
        else if (run->mode == WORKER_PORTS)
                snprintf(buffer, PLACE_SIZE, "while it asked ports");
        else if (current_step(run, &step))
                snprintf(buffer, PLACE_SIZE, "%s step %zu of %zu (%s)", run->begun ? "in" : "before",
                         step + 1, run->n_steps, strempty(step_text(run, step, "sentence")));
        else
                snprintf(buffer, PLACE_SIZE, "after its last step");
}

static const char *current_device(const WorkerRun *run) {
        size_t step;

        return has_steps(run) && current_step(run, &step) ? step_text(run, step, "device") : NULL;
}

/* ---- how it ends ---- */

static void set_timer(WorkerRun *run, unsigned msec);

static void PRINTF_LIKE(4, 5)
        set_failure(WorkerRun *run, int error, FaultCode code, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int r;

        if (run->result < 0)
                return;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        run->result = fault_set_object(&run->fault, error, code, current_device(run), "%s",
                                       r < 0 ? "The worker failed" : text);
        if (r < 0)
                text = NULL;
}

void worker_run_fail(WorkerRun *run, int error, FaultCode code, const char *text) {
        set_failure(run, error, code, "%s", text);
}

static void kill_process(WorkerRun *run) {
        run->state = RUN_ENDING;
        run->killed = true;
        worker_process_kill(run->process);
        set_timer(run, STEP_KILL_GRACE_MSEC);
}

/* The worker broke the rules: nothing that it says counts any more. */
static void PRINTF_LIKE(2, 3) fail_protocol(WorkerRun *run, const char *format, ...) {
        _cleanup_free_ char *what = NULL;
        char place[PLACE_SIZE];
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
                what = NULL;
        va_end(arguments);

        describe_place(run, place);
        set_failure(run, -EPROTO, FAULT_WORKER_FAILED, "The worker %s %s", strempty(what), place);
        kill_process(run);
}

static void on_ended(void *userdata, const char *how) {
        WorkerRun *run = userdata;
        char place[PLACE_SIZE];

        describe_place(run, place);
        set_failure(run, -ECONNRESET, FAULT_WORKER_FAILED, "The worker %s %s", how, place);
        run->process = worker_process_free(run->process);
        worker_pool_finish(run->pool, run, false);
}

static void on_silent(void *userdata, const char *problem) {
        WorkerRun *run = userdata;

        if (run->state == RUN_ENDING)
                return;
        if (problem) {
                fail_protocol(run, "%s", problem);
                return;
        }
        /* It ends by itself, most likely; how it does says more than we know now. */
        run->state = RUN_ENDING;
        set_timer(run, STEP_KILL_GRACE_MSEC);
}

static void time_out(WorkerRun *run) {
        char place[PLACE_SIZE];

        describe_place(run, place);
        set_failure(run, -ETIMEDOUT, FAULT_TIMED_OUT, "The worker took too long %s and was ended", place);
        kill_process(run);
}

/* SIGKILL was not enough: it is inside a system call that the kernel does not let it leave. */
static void give_up(WorkerRun *run) {
        char place[PLACE_SIZE];

        describe_place(run, place);
        run->result = 0;
        fault_done(&run->fault);
        set_failure(run, -ETIMEDOUT, FAULT_DRIVER_STUCK, "The kernel does not let go of worker %d %s",
                    (int) worker_process_pid(run->process), place);
        worker_pool_finish(run->pool, run, true);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        WorkerRun *run = userdata;

        if (run->state != RUN_ENDING)
                time_out(run);
        else if (!run->killed) {
                char place[PLACE_SIZE];

                describe_place(run, place);
                set_failure(run, -EPROTO, FAULT_WORKER_FAILED, "The worker closed its socket %s", place);
                kill_process(run);
        } else
                give_up(run);

        return 0;
}

/* 0: no limit. */
static void set_timer(WorkerRun *run, unsigned msec) {
        uint64_t usec = (uint64_t) msec * USEC_PER_MSEC;
        int r;

        if (msec == 0) {
                (void) sd_event_source_set_enabled(run->timer, SD_EVENT_OFF);
                return;
        }

        r = sd_event_source_set_time_relative(run->timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(run->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_plain(LOG_ERR, "The time limit of a worker cannot be set: %s", strerrordesc_np(-r));
}

static unsigned scaled(const WorkerRun *run, unsigned msec) {
        uint64_t product = (uint64_t) msec * worker_pool_timeout_percent(run->pool) / 100;

        return product > UINT32_MAX - REPORT_GRACE_MSEC ? UINT32_MAX
                                                        : (unsigned) product + REPORT_GRACE_MSEC;
}

/* The worker's turn: as long as the step at hand may take, which also bounds what it reads before and
 * says after. */
static void let_work(WorkerRun *run) {
        unsigned msec = run->timeout_msec;
        size_t step;

        if (has_steps(run))
                msec = current_step(run, &step) ? run->timeouts_msec[step] : STEP_TIMEOUT_MSEC;
        run->state = RUN_WORKING;
        set_timer(run, scaled(run, msec));
}

/* ---- what the worker says ---- */

static void send(WorkerRun *run, json_t *message) {
        _cleanup_json_ json_t *owned = message;
        int r;

        r = owned ? worker_process_send(run->process, owned) : -ENOMEM;
        if (r == -EPIPE) /* its end is about to be noticed, with the reason */
                return;
        if (r < 0)
                fail_protocol(run, "cannot be told more (%s)", strerrordesc_np(-r));
}

static int answer(WorkerRun *run, size_t step) {
        json_t *message;

        run->begun = !run->stopping;
        run->stopped = run->stopping;
        message = run->stopping ? json_pack("{s:s}", "type", "stop")
                                : json_pack("{s:s, s:I}", "type", "go", "step", (json_int_t) step);
        let_work(run);
        send(run, message);
        return 0;
}

int worker_run_go(WorkerRun *run) {
        size_t step;

        if (run->state != RUN_HELD || !current_step(run, &step))
                return -EINVAL;
        return answer(run, step);
}

/* The step that the message speaks of, if that is the one whose turn it is. */
static bool step_of(WorkerRun *run, json_t *message, size_t *ret) {
        int64_t step;
        size_t expected;

        if (!has_steps(run) || message_get_int(message, "step", &step) < 0 ||
            !current_step(run, &expected) || step != (int64_t) expected) {
                fail_protocol(run, "spoke of a step that is not its turn");
                return false;
        }

        *ret = expected;
        return true;
}

static void take_before(WorkerRun *run, json_t *message) {
        const char *observed;
        size_t step;

        if (!step_of(run, message, &step))
                return;
        if (run->begun) {
                fail_protocol(run, "began the same step again");
                return;
        }
        if (message_get_string(message, "observed", &observed) < 0) {
                fail_protocol(run, "did not say what it observed");
                return;
        }

        /* An undo has its record already and nothing to wait for. */
        if (run->stopping || run->mode == WORKER_UNDO || !run->events.before) {
                (void) answer(run, step);
                return;
        }
        run->state = RUN_HELD;
        set_timer(run, 0);
        run->events.before(run->userdata, run, step, observed);
}

static FaultCode code_of(json_t *message) {
        int code = (int) fault_code_from_string(json_string_value(json_object_get(message, "code")));

        /* That it is stuck is not for itself to say: whoever hears so waits for its end. */
        return code > FAULT_NONE && code != FAULT_DRIVER_STUCK ? (FaultCode) code : FAULT_STEP_FAILED;
}

static bool is_optional(const WorkerRun *run, size_t step) {
        json_t *flags = json_object_get(json_array_get(run->steps, step), "flags"), *flag;
        size_t i;

        json_array_foreach(flags, i, flag)
                if (streq_null(json_string_value(flag), "optional"))
                        return true;
        return false;
}

static void note_step_failure(WorkerRun *run, size_t step, int result, const char *error, json_t *message) {
        if (run->mode == WORKER_EXECUTE && is_optional(run, step))
                return;

        /* Kept until the worker says that it is done: an undo goes on. */
        if (run->fault.code == FAULT_NONE)
                (void) fault_set_object(&run->fault, result, code_of(message),
                                        step_text(run, step, "device"), "Step %zu of %zu failed (%s): %s",
                                        step + 1, run->n_steps, strempty(step_text(run, step, "sentence")),
                                        error);
}

static void take_after(WorkerRun *run, json_t *message) {
        const char *error = json_string_value(json_object_get(message, "error"));
        const char *text = json_string_value(json_object_get(message, "text"));
        int64_t result;
        size_t step;

        if (!step_of(run, message, &step))
                return;
        if (message_get_int(message, "result", &result) < 0 || result > 0 || result < INT32_MIN) {
                fail_protocol(run, "did not say what became of the step");
                return;
        }
        if (run->mode == WORKER_EXECUTE && !run->begun && result >= 0) {
                fail_protocol(run, "did the step without being told to");
                return;
        }

        if (result < 0) {
                error = isempty(error) ? strempty(strerrordesc_np((int) -result)) : error;
                note_step_failure(run, step, (int) result, error, message);
        }
        if (!isempty(text))
                log_message(LOG_INFO, LOG_EVENT_NONE, log_fields("JOB", run->job), "%s: %s",
                            strempty(step_text(run, step, "sentence")), text);

        if (run->events.report && json_is_object(json_object_get(message, "report")))
                run->events.report(run->userdata, strempty(step_text(run, step, "device")),
                                   json_object_get(message, "report"), (int) result, error);
        run->step = run->mode == WORKER_EXECUTE ? step + 1 : step;
        run->begun = false;
        let_work(run);
        if (run->events.after)
                run->events.after(run->userdata, run, step, (int) result, error);
}

static void take_fields(WorkerRun *run, json_t *message) {
        const char *device = json_string_value(json_object_get(message, "device"));
        const char *blob = json_string_value(json_object_get(message, "blob"));
        json_t *fields = json_object_get(message, "fields");
        int64_t result = 0;

        if (run->mode != WORKER_OBSERVE || !device || message_get_int(message, "result", &result) < 0 ||
            strlen(strempty(blob)) > BLOB_MAX_BYTES) {
                fail_protocol(run, "spoke of fields that nobody asked for, or not completely");
                return;
        }
        if (run->events.fields)
                run->events.fields(run->userdata, run, device, json_is_object(fields) ? fields : NULL, blob,
                                   (int) result, json_string_value(json_object_get(message, "error")));
}

static void take_held(WorkerRun *run, json_t *message) {
        json_t *holders = json_object_get(message, "holders");

        if (run->mode != WORKER_HOLDERS || !json_is_array(holders)) {
                fail_protocol(run, "spoke of holders that nobody asked for");
                return;
        }
        if (run->events.children)
                run->events.children(run->userdata, run, json_object_get(message, "children"));
        if (run->events.held)
                run->events.held(run->userdata, run, holders);
}

static void take_noted(WorkerRun *run, json_t *message) {
        const char *device = json_string_value(json_object_get(message, "device"));
        const char *text = json_string_value(json_object_get(message, "text"));

        if (run->mode != WORKER_EXECUTE || run->step > 0 || run->begun || !device || !text ||
            strlen(text) > TEXT_MAX_BYTES) {
                fail_protocol(run, "noted what nobody asked for, or not completely");
                return;
        }
        if (run->events.noted)
                run->events.noted(run->userdata, device, text);
}

static void take_health(WorkerRun *run, json_t *message) {
        const char *device = json_string_value(json_object_get(message, "device"));
        json_t *findings = json_object_get(message, "findings");
        int64_t result;

        if (run->mode != WORKER_PROBE || !device || !json_is_array(findings) ||
            message_get_int(message, "result", &result) < 0 || result > 0 || result < INT32_MIN) {
                fail_protocol(run, "spoke of a device's health that nobody asked for, or not completely");
                return;
        }
        if (run->events.health)
                run->events.health(run->userdata, device, findings, (int) result,
                                   json_string_value(json_object_get(message, "error")));
}

static void take_evidence(WorkerRun *run, json_t *message) {
        json_t *items = json_object_get(message, "items"), *unresolved = json_object_get(message, "unresolved");

        if (run->mode != WORKER_GUARD || !json_is_array(items) || !json_is_array(unresolved)) {
                fail_protocol(run, "spoke of evidence that nobody asked for, or not completely");
                return;
        }
        if (run->events.evidence)
                run->events.evidence(run->userdata, run, items, unresolved);
}

static void take_checked(WorkerRun *run, json_t *message) {
        json_t *checks = json_object_get(message, "checks");

        if (run->mode != WORKER_CHECK || !json_is_array(checks)) {
                fail_protocol(run, "spoke of checks that nobody asked for");
                return;
        }
        if (run->events.checked)
                run->events.checked(run->userdata, run, checks);
}

static void take_port(WorkerRun *run, json_t *message) {
        const char *device = json_string_value(json_object_get(message, "device"));
        json_t *link = json_object_get(message, "link"), *card = json_object_get(message, "card");
        PortReport report = PORT_REPORT_NOTHING;

        if (run->mode != WORKER_PORTS || !device) {
                fail_protocol(run, "spoke of a port that nobody asked for");
                return;
        }
        if (json_is_false(link) || json_is_false(card))
                report = PORT_REPORT_EMPTY;
        else if (json_is_true(link) || json_is_true(card))
                report = PORT_REPORT_FULL;
        if (run->events.port)
                run->events.port(run->userdata, device, report);
}

static void take_used(WorkerRun *run, json_t *message) {
        const char *device = json_string_value(json_object_get(message, "device"));
        json_t *use = json_object_get(message, "use");
        int64_t result;

        if (run->mode != WORKER_USE || !device || message_get_int(message, "result", &result) < 0 || result > 0 ||
            result < INT32_MIN || (result == 0 && !json_is_object(use))) {
                fail_protocol(run, "spoke of a use that nobody asked for, or not completely");
                return;
        }
        if (run->events.used)
                run->events.used(run->userdata, device, result < 0 ? NULL : use, (int) result,
                                 json_string_value(json_object_get(message, "error")));
}

static void take_log(WorkerRun *run, json_t *message) {
        int64_t level = LOG_INFO;

        (void) message_get_int(message, "level", &level);
        if (level < LOG_ERR || level > LOG_DEBUG)
                level = LOG_INFO;
        log_message((int) level, LOG_EVENT_NONE, log_fields("JOB", run->job), "worker: %s",
                    strempty(json_string_value(json_object_get(message, "text"))));
}

static void take_done(WorkerRun *run, json_t *message) {
        const char *error = json_string_value(json_object_get(message, "error"));
        int64_t result = 0;
        size_t step;

        if (message_get_int(message, "result", &result) < 0 || result > 0 || result < INT32_MIN) {
                fail_protocol(run, "did not say how it ended");
                return;
        }
        if (result == 0 && !run->stopped && has_steps(run) &&
            (current_step(run, &step) || run->fault.code != FAULT_NONE)) {
                fail_protocol(run, "said that all was done");
                return;
        }

        if (run->stopped) {
                fault_done(&run->fault);
                run->result = fault_set(&run->fault, -ECANCELED, FAULT_CANCELLED,
                                        "Cancelled before step %zu of %zu", run->step + 1, run->n_steps);
        } else if (result < 0) {
                run->result = (int) result;
                (void) fault_set(&run->fault, run->result, FAULT_WORKER_FAILED, "%s",
                                 isempty(error) ? strempty(strerrordesc_np((int) -result)) : error);
        }
        run->sound = run->result == 0 || run->stopped;
        worker_pool_finish(run->pool, run, false);
}

static const struct {
        const char *type;
        void (*take)(WorkerRun *run, json_t *message);
} messages[] = {
        { "before", take_before }, { "after", take_after }, { "fields", take_fields },
        { "held", take_held },     { "log", take_log },     { "done", take_done },
        { "noted", take_noted },   { "health", take_health },
        { "evidence", take_evidence },
        { "checked", take_checked },
        { "port", take_port },
        { "used", take_used },
};

static void on_message(void *userdata, json_t *message) {
        WorkerRun *run = userdata;

        if (run->state == RUN_ENDING)
                return;
        if (run->state == RUN_HELD && !streq(message_type(message), "log")) {
                fail_protocol(run, "did not wait for its turn");
                return;
        }

        for (size_t i = 0; i < ELEMENTSOF(messages); i++)
                if (streq(messages[i].type, message_type(message))) {
                        messages[i].take(run, message);
                        return;
                }
        fail_protocol(run, "said something unknown");
}

static void on_ready(void *userdata) {
        WorkerRun *run = userdata;

        if (run->state == RUN_ENDING)
                return;
        worker_pool_note_ready(run->pool);
        let_work(run);
        send(run, TAKE_PTR(run->request));
}

static const WorkerProcessEvents process_events = {
        .ready = on_ready,
        .message = on_message,
        .silent = on_silent,
        .ended = on_ended,
};

int worker_run_attach(WorkerRun *run, WorkerProcess *process, Fault *fault) {
        int r;

        r = sd_event_add_time_relative(worker_pool_event(run->pool), &run->timer, CLOCK_MONOTONIC, 0,
                                       TIMER_ACCURACY_USEC, on_timer, run);
        if (r < 0)
                return fault_set(fault, r, FAULT_WORKER_FAILED, "Cannot set a time limit: %s",
                                 strerrordesc_np(-r));

        run->process = process;
        run->state = RUN_STARTING;
        worker_process_set_owner(process, &process_events, run);
        set_timer(run, scaled(run, has_steps(run) ? OBSERVE_TIMEOUT_MSEC : run->timeout_msec));
        if (worker_process_is_ready(process))
                on_ready(run);
        return 0;
}
