/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One run of a worker: the protocol of one request, its time limits, and how it ends. The pool owns runs;
 * a run borrows its process from the moment that it has a place. */

#include "worker-pool.h"
#include "worker-process.h"

typedef enum RunState {
        RUN_WAITING,  /* for a place */
        RUN_STARTING, /* for the worker's hello */
        RUN_WORKING,  /* the worker's turn; the time limit runs */
        RUN_HELD,     /* our turn: before a step, until go or stop */
        RUN_ENDING,   /* decided; only the end of the process is missing */
} RunState;

struct WorkerRun {
        WorkerPool *pool;
        WorkerRun *prev, *next; /* in the pool's list of its state */
        WorkerEvents events;
        void *userdata;

        WorkerMode mode;
        char *job;
        json_t *request;         /* until it is sent */
        json_t *steps;           /* execute, undo: as sent */
        json_t *observed;        /* undo */
        uint32_t *timeouts_msec; /* of the steps */
        size_t n_steps;
        unsigned timeout_msec; /* observe, holders, guard */

        RunState state;
        WorkerProcess *process;
        sd_event_source *timer;
        size_t step;   /* the next to begin or the one under way; undo: one more than that */
        bool begun;    /* that step may have changed something */
        bool stopping; /* ends before the next step */
        bool stopped;  /* the worker was told so */
        bool killed;
        bool sound; /* it came to its end as the protocol says: its process can be asked again */
        int result;
        Fault fault; /* the first that went wrong, or empty */
};

int worker_run_new(WorkerPool *pool, const WorkerSpec *spec, const WorkerEvents *events, void *userdata,
                   WorkerRun **ret, Fault *fault);
WorkerRun *worker_run_free(WorkerRun *run);
DEFINE_CLEANUP(WorkerRun *, worker_run_free)
/* Gives the run the process that it speaks with from now on. */
int worker_run_attach(WorkerRun *run, WorkerProcess *process, Fault *fault);
/* What a run does that ends before it has a process. */
void worker_run_fail(WorkerRun *run, int error, FaultCode code, const char *text);

/* For runs, by the pool: */
sd_event *worker_pool_event(WorkerPool *pool);
unsigned worker_pool_timeout_percent(const WorkerPool *pool);
/* A worker works: the program is sound. */
void worker_pool_note_ready(WorkerPool *pool);
/* The run is over. Its process, if it still has one, is asked to end, or is stuck. Calls done() and frees
 * the run. */
void worker_pool_finish(WorkerPool *pool, WorkerRun *run, bool stuck);
