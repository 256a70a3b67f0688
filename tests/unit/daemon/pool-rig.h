/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A pool of fake workers, and a record of what each run called back. */

#include "tests/unit/lib/test.h"

#include "daemon/worker-pool.h"

typedef struct PoolRig PoolRig;

typedef struct RunRecord {
        PoolRig *rig;
        WorkerRun *run;  /* NULL once it is done */
        char log[512];   /* "before0 after0 …" */
        bool hold;       /* go is not given by itself */
        int stop_before; /* stop instead of go at this step; -1: never */
        size_t observed_length;
        unsigned done, gone;
        int result;
        Fault fault;
        json_t *held; /* the last holders */
} RunRecord;

struct PoolRig {
        sd_event *event;
        WorkerPool *pool;
        RunRecord records[96];
        size_t n_records;
        unsigned idle;
        Plan plan;        /* three steps; see pool_rig_step() */
        json_t *observed; /* for undo */
};

int pool_rig_set_up(void **state); /* for cmocka; the pool is not made yet */
int pool_rig_tear_down(void **state);
void pool_rig_new(PoolRig *rig, const char *worker, unsigned limit, bool spare);
/* Sets how a worker begins (see fake-worker.c). */
void pool_rig_begin(const char *how);

/* Replaces the plan by one of `n` steps with this timeout; `optional` or -1: the one whose failure does
 * not matter. */
void pool_rig_plan(PoolRig *rig, size_t n, unsigned timeout_msec, int optional);
/* A new run; expected to be taken. */
RunRecord *pool_rig_run(PoolRig *rig, WorkerMode mode, const char *name);
/* A run that is refused at once: the fault is in the record. */
RunRecord *pool_rig_refused(PoolRig *rig, WorkerMode mode, const char *name);
void pool_rig_wait(RunRecord *record);
void pool_rig_wait_gone(RunRecord *record);
void pool_rig_turn(PoolRig *rig, unsigned msec); /* lets the loop run that long */
/* The run, waited for, ended so. */
void assert_run(RunRecord *record, const char *log, int result, FaultCode code, const char *words);
double pool_rig_now(void);
/* Children of this process, zombies included. */
size_t pool_rig_children(void);
/* Lets the loop run until there are so many. */
void pool_rig_wait_children(PoolRig *rig, size_t n);
