/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker-pool.h"

#include <syslog.h>
#include <utlist.h>

#include "lib/limits.h"
#include "log.h"
#include "worker-run.h"

/* A spare that dies is started again after 1, 2, 4 … seconds, until that seems of no use. */
#define SPARE_BACKOFF_USEC 1000000u
#define SPARE_FAILURES_MAX 5u
#define USEC_PER_MSEC 1000u

/* A process that no run speaks with any more. */
typedef struct Remnant {
        WorkerPool *pool;
        struct Remnant *prev, *next;
        WorkerProcess *process;
        sd_event_source *timer; /* until it is killed */
        bool stuck;             /* in the kernel; `gone` is called when it has ended */
        void (*gone)(void *userdata);
        void *userdata;
} Remnant;

/* A process that waits for work. Two of them: one for the next operation, which finds its place again when it is done, and one
 * that looks at the host: it remembers what does not change of a device (worker/pci-scan.h), so that it should not be the one
 * that ends after a few operations. */
#define SPARES_MAX 2u

typedef struct Spare {
        WorkerPool *pool;
        WorkerProcess *process; /* NULL: none */
} Spare;

struct WorkerPool {
        sd_event *event;
        char *worker;
        unsigned limit;
        unsigned timeout_percent;
        bool spare_wanted;

        WorkerRun *waiting;   /* for a place, in order */
        WorkerRun *running;   /* with a process */
        WorkerRun *cancelled; /* while they waited: done() is still due */
        Remnant *remnants;
        size_t n_running, n_stuck;

        Spare spares[SPARES_MAX];
        unsigned spare_failures;       /* one after another */
        sd_event_source *spare_source; /* starts it when the loop has nothing else to do */
        sd_event_source *spare_timer;  /* or when some time has passed */

        sd_event_source *later; /* what must not happen inside a call */
        bool draining;
        void (*idle)(void *userdata);
        void *idle_userdata;
};

sd_event *worker_pool_event(WorkerPool *pool) {
        return pool->event;
}

unsigned worker_pool_timeout_percent(const WorkerPool *pool) {
        return pool->timeout_percent;
}

size_t worker_pool_running(const WorkerPool *pool) {
        return pool->n_running;
}

size_t worker_pool_stuck(const WorkerPool *pool) {
        return pool->n_stuck;
}

/* ---- the spare ---- */

static bool knows_host(const Spare *spare) {
        return spare->process && worker_process_looks(spare->process) > 0;
}

/* For the next operation. */
static bool has_spare(const WorkerPool *pool) {
        for (size_t i = 0; i < SPARES_MAX; i++)
                if (pool->spares[i].process && !knows_host(&pool->spares[i]))
                        return true;
        return false;
}

static Spare *free_place(WorkerPool *pool) {
        for (size_t i = 0; i < SPARES_MAX; i++)
                if (!pool->spares[i].process)
                        return &pool->spares[i];
        return NULL;
}

/* One that has worked has its modules loaded. */
static bool is_better(const Spare *a, const Spare *b, WorkerMode mode) {
        bool look = mode == WORKER_GUARD;

        if (knows_host(a) != knows_host(b))
                return knows_host(a) == look;
        return worker_process_runs(a->process) > worker_process_runs(b->process);
}

static WorkerProcess *take_spare(WorkerPool *pool, WorkerMode mode) {
        Spare *best = NULL;

        for (size_t i = 0; i < SPARES_MAX; i++) {
                Spare *spare = &pool->spares[i];

                if (spare->process && worker_process_is_usable(spare->process) && (!best || is_better(spare, best, mode)))
                        best = spare;
        }
        return best ? TAKE_PTR(best->process) : NULL;
}

static void want_spare(WorkerPool *pool) {
        if (pool->spare_wanted && !has_spare(pool) && !pool->draining && pool->spare_failures == 0)
                (void) sd_event_source_set_enabled(pool->spare_source, SD_EVENT_ONESHOT);
}

static void spare_failed(WorkerPool *pool, const char *why) {
        pool->spare_failures++;
        if (pool->spare_failures > SPARE_FAILURES_MAX) {
                log_plain(LOG_ERR, "No worker is kept warm any more: %s", why);
                return;
        }

        log_plain(LOG_WARNING, "The spare worker is lost and started again later: %s", why);
        (void) sd_event_source_set_time_relative(pool->spare_timer, (uint64_t) SPARE_BACKOFF_USEC
                                                                            << (pool->spare_failures - 1));
        (void) sd_event_source_set_enabled(pool->spare_timer, SD_EVENT_ONESHOT);
}

void worker_pool_note_ready(WorkerPool *pool) {
        pool->spare_failures = 0;
}

static void on_spare_ready(void *userdata) {
        Spare *spare = userdata;

        spare->pool->spare_failures = 0;
}

static void on_spare_message(void *userdata, json_t *message) {
        Spare *spare = userdata;

        /* Nobody asked it anything: not one to be trusted with a device. */
        worker_process_kill(spare->process);
}

static void on_spare_silent(void *userdata, const char *problem) {
        Spare *spare = userdata;

        if (problem)
                log_plain(LOG_ERR, "The worker %s %s", spare->pool->worker, problem);
        worker_process_kill(spare->process);
}

static void on_spare_ended(void *userdata, const char *how) {
        Spare *spare = userdata;

        spare->process = worker_process_free(spare->process);
        if (!spare->pool->draining)
                spare_failed(spare->pool, how);
}

static const WorkerProcessEvents spare_events = {
        .ready = on_spare_ready,
        .message = on_spare_message,
        .silent = on_spare_silent,
        .ended = on_spare_ended,
};

static void start_spare(WorkerPool *pool) {
        _cleanup_fault_ Fault fault = { 0 };
        Spare *place = free_place(pool);

        if (!place || has_spare(pool) || pool->draining)
                return;
        if (worker_process_start(pool->event, pool->worker, &spare_events, place, &place->process, &fault) < 0)
                spare_failed(pool, strempty(fault.message));
}

static int on_spare_due(sd_event_source *source, void *userdata) {
        start_spare(userdata);
        return 0;
}

static int on_spare_time(sd_event_source *source, uint64_t usec, void *userdata) {
        start_spare(userdata);
        return 0;
}

/* ---- processes that are done with ---- */

static void remnant_free(Remnant *remnant) {
        DL_DELETE(remnant->pool->remnants, remnant);
        worker_process_free(remnant->process);
        sd_event_source_disable_unref(remnant->timer);
        free(remnant);
}

static void on_remnant_ready(void *userdata) {
}

static void on_remnant_message(void *userdata, json_t *message) {
}

static void on_remnant_silent(void *userdata, const char *problem) {
}

static void on_remnant_ended(void *userdata, const char *how) {
        Remnant *remnant = userdata;
        void (*gone)(void *) = remnant->gone;
        void *gone_userdata = remnant->userdata;

        if (remnant->stuck)
                remnant->pool->n_stuck--;
        remnant_free(remnant);
        if (gone)
                gone(gone_userdata);
}

static const WorkerProcessEvents remnant_events = {
        .ready = on_remnant_ready,
        .message = on_remnant_message,
        .silent = on_remnant_silent,
        .ended = on_remnant_ended,
};

static int on_remnant_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Remnant *remnant = userdata;

        worker_process_kill(remnant->process);
        return 0;
}

/* Asks the process to end and forgets about it, but for a stuck one's `gone`. */
static void retire(WorkerPool *pool, WorkerProcess *process, const WorkerRun *run, bool stuck) {
        Remnant *remnant = calloc(1, sizeof(*remnant));

        if (!remnant) {
                worker_process_free(process); /* kills it */
                return;
        }

        *remnant = (Remnant){ .pool = pool, .process = process, .stuck = stuck };
        if (stuck) {
                pool->n_stuck++;
                remnant->gone = run->events.gone;
                remnant->userdata = run->userdata;
        }
        DL_APPEND(pool->remnants, remnant);
        worker_process_set_owner(process, &remnant_events, remnant);
        worker_process_hang_up(process);
        if (!stuck && sd_event_add_time_relative(pool->event, &remnant->timer, CLOCK_MONOTONIC,
                                                 (uint64_t) STEP_KILL_GRACE_MSEC * USEC_PER_MSEC, 0,
                                                 on_remnant_time, remnant) < 0)
                worker_process_kill(process);
}

/* Most operations are followed by another soon: starting a process costs more than what is done in it. */
static bool keep(WorkerPool *pool, WorkerRun *run) {
        Spare *place = free_place(pool);

        if (!run->sound || !pool->spare_wanted || !place || pool->draining ||
            worker_process_runs(run->process) >= WORKER_RUNS_MAX ||
            worker_process_looks(run->process) >= WORKER_LOOKS_MAX || !worker_process_is_usable(run->process))
                return false;
        place->process = TAKE_PTR(run->process);
        worker_process_set_owner(place->process, &spare_events, place);
        return true;
}

/* ---- runs ---- */

static void do_later(WorkerPool *pool) {
        (void) sd_event_source_set_enabled(pool->later, SD_EVENT_ONESHOT);
}

static int start_run(WorkerPool *pool, WorkerRun *run, Fault *fault) {
        WorkerProcess *process = take_spare(pool, run->mode);
        int r;

        if (!process) {
                r = worker_process_start(pool->event, pool->worker, &spare_events, &pool->spares[0], &process, fault);
                if (r < 0)
                        return r;
        }
        r = worker_run_attach(run, process, fault);
        if (r < 0) {
                worker_process_free(process);
                return r;
        }

        if (run->mode == WORKER_GUARD)
                worker_process_count_look(process);
        else
                worker_process_count_run(process);
        DL_APPEND(pool->running, run);
        pool->n_running++;
        return 0;
}

static void call_done(WorkerRun *run) {
        run->events.done(run->userdata, run->result, &run->fault);
        worker_run_free(run);
}

static void start_waiting(WorkerPool *pool) {
        while (pool->waiting && pool->n_running < pool->limit) {
                WorkerRun *run = pool->waiting;
                int r;

                DL_DELETE(pool->waiting, run);
                r = start_run(pool, run, &run->fault);
                if (r < 0) {
                        run->result = r;
                        call_done(run);
                }
        }
}

void worker_pool_finish(WorkerPool *pool, WorkerRun *run, bool stuck) {
        DL_DELETE(pool->running, run);
        pool->n_running--;
        if (run->process && (stuck || !keep(pool, run)))
                retire(pool, TAKE_PTR(run->process), run, stuck);
        call_done(run);

        start_waiting(pool);
        /* Not when it is taken: starting another would keep the answer of this one waiting. */
        want_spare(pool);
        if (pool->draining)
                do_later(pool);
}

int worker_pool_run(WorkerPool *pool, const WorkerSpec *spec, const WorkerEvents *events, void *userdata,
                    WorkerRun **ret, Fault *fault) {
        _cleanup_(worker_run_freep) WorkerRun *run = NULL;
        int r;

        if (pool->draining)
                return fault_set(fault, -ESHUTDOWN, FAULT_CANCELLED, "The service is about to end");

        r = worker_run_new(pool, spec, events, userdata, &run, fault);
        if (r < 0)
                return r;
        if (spec->urgent || (pool->n_running < pool->limit && !pool->waiting)) {
                r = start_run(pool, run, fault);
                if (r < 0)
                        return r;
        } else
                DL_APPEND(pool->waiting, run);

        *ret = TAKE_PTR(run);
        return 0;
}

static void cancel_waiting(WorkerPool *pool, WorkerRun *run) {
        DL_DELETE(pool->waiting, run);
        DL_APPEND(pool->cancelled, run);
        run->state = RUN_ENDING;
        worker_run_fail(run, -ECANCELED, FAULT_CANCELLED, "Cancelled before it began");
        do_later(pool);
}

int worker_run_stop(WorkerRun *run) {
        if (run->state == RUN_WAITING) {
                cancel_waiting(run->pool, run);
                return 0;
        }
        if (run->mode != WORKER_EXECUTE)
                return -EOPNOTSUPP;

        run->stopping = true;
        return run->state == RUN_HELD ? worker_run_go(run) : 0;
}

static int on_later(sd_event_source *source, void *userdata) {
        WorkerPool *pool = userdata;

        while (pool->cancelled) {
                WorkerRun *run = pool->cancelled;

                DL_DELETE(pool->cancelled, run);
                call_done(run);
        }

        if (pool->draining && pool->idle && pool->n_running == 0) {
                void (*idle)(void *) = TAKE_PTR(pool->idle);

                idle(pool->idle_userdata);
        }
        return 0;
}

void worker_pool_drain(WorkerPool *pool, void (*idle)(void *userdata), void *userdata) {
        pool->draining = true;
        pool->idle = idle;
        pool->idle_userdata = userdata;

        for (size_t i = 0; i < SPARES_MAX; i++)
                if (pool->spares[i].process)
                        retire(pool, TAKE_PTR(pool->spares[i].process), NULL, false);
        while (pool->waiting)
                cancel_waiting(pool, pool->waiting);
        do_later(pool);
}

int worker_pool_new(sd_event *event, const char *worker, unsigned limit, bool spare, unsigned timeout_percent,
                    WorkerPool **ret) {
        _cleanup_(worker_pool_freep) WorkerPool *pool = NULL;
        int r;

        pool = calloc(1, sizeof(*pool));
        if (!pool)
                return -ENOMEM;
        pool->event = sd_event_ref(event);
        for (size_t i = 0; i < SPARES_MAX; i++)
                pool->spares[i].pool = pool;
        pool->limit = limit < 1 ? 1 : MIN_OF(limit, WORKERS_MAX);
        pool->timeout_percent = MAX_OF(timeout_percent, 1u);
        pool->spare_wanted = spare;
        pool->worker = strdup(worker);
        if (!pool->worker)
                return -ENOMEM;

        r = sd_event_add_defer(event, &pool->later, on_later, pool);
        if (r >= 0)
                r = sd_event_source_set_enabled(pool->later, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &pool->spare_timer, CLOCK_MONOTONIC, 0, 0,
                                               on_spare_time, pool);
        if (r >= 0)
                r = sd_event_source_set_enabled(pool->spare_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &pool->spare_source, on_spare_due, pool);
        if (r >= 0)
                r = sd_event_source_set_priority(pool->spare_source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(pool->spare_source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        want_spare(pool);
        *ret = TAKE_PTR(pool);
        return 0;
}

static void free_runs(WorkerRun *list) {
        WorkerRun *run, *next;

        DL_FOREACH_SAFE(list, run, next)
                worker_run_free(run);
}

WorkerPool *worker_pool_free(WorkerPool *pool) {
        if (!pool)
                return NULL;

        free_runs(pool->waiting);
        free_runs(pool->running);
        free_runs(pool->cancelled);
        while (pool->remnants)
                remnant_free(pool->remnants);
        for (size_t i = 0; i < SPARES_MAX; i++)
                worker_process_free(pool->spares[i].process);
        sd_event_source_disable_unref(pool->spare_source);
        sd_event_source_disable_unref(pool->spare_timer);
        sd_event_source_disable_unref(pool->later);
        sd_event_unref(pool->event);
        free(pool->worker);
        free(pool);
        return NULL;
}
