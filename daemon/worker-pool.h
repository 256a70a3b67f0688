/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starts workers, speaks lib/protocol.h with them, enforces the time limits, and notices a child that is
 * stuck in the kernel. One run is one request, and a process does one at a time; up to two that did well, or were just started,
 * wait for the next, so that a run need not wait for exec. Runs beyond the limit wait in order of arrival. */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "host-device.h"
#include "lib/plan.h"

typedef struct WorkerPool WorkerPool;
typedef struct WorkerRun WorkerRun;

typedef enum WorkerMode {
        WORKER_EXECUTE,
        WORKER_UNDO,
        WORKER_OBSERVE,
        WORKER_HOLDERS,
        WORKER_PROBE,
        WORKER_GUARD,
        WORKER_CHECK,
        WORKER_PORTS,
        WORKER_USE,
} WorkerMode;

/* Everything is borrowed for the length of worker_pool_run(). */
typedef struct WorkerSpec {
        WorkerMode mode;
        const char *job;             /* id, for the log */
        HostDevice *const *devices;  /* NULL-terminated: the only ones the worker may touch */
        const char *module_directory;
        const char *module_file;     /* of the devices' module; NULL for none */
        const Plan *plan;            /* execute, undo */
        json_t *observed;            /* undo: [text or null…], one a step */
        json_t *devices_json;        /* instead of `devices`, for records of devices that are gone; NULL otherwise */
        const char *const *nodes;    /* holders */
        const char *const *below;    /* holders: syspaths of devices: what is below them and its nodes too; NULL for none */
        bool guess;                  /* holders: VFIO device files of unknown devices too, as not certain */
        bool note;                   /* execute: modules note first what a probe compares later */
        const char *const *providers; /* use: those of `devices` that are asked about */
        json_t *notes;               /* probe: {device: text} as noted; NULL for none */
        unsigned timeout_msec;       /* observe, holders, probe, guard, use: of the whole request; 0: default */
        bool urgent;                 /* does not wait for a place: others wait for what it finds out */
} WorkerSpec;

typedef enum PortReport {
        PORT_REPORT_NOTHING, /* it does not know */
        PORT_REPORT_FULL,    /* something is there */
        PORT_REPORT_EMPTY,   /* its link is down, or its slot is empty */
} PortReport;

typedef struct WorkerEvents {
        /* Execute: the worker waits before step `step`, without a time limit; answer with worker_run_go()
         * (now or later) or worker_run_stop(). */
        void (*before)(void *userdata, WorkerRun *run, size_t step, const char *observed);
        /* Execute and undo: the step is over; `result` 0 or a negative errno. */
        void (*after)(void *userdata, WorkerRun *run, size_t step, int result, const char *error);
        /* Before `after`: what a step reports (lib/protocol.h) that the service keeps for the device. */
        void (*report)(void *userdata, const char *device, json_t *report, int result, const char *error);
        /* Observe: one device's slow fields. */
        void (*fields)(void *userdata, WorkerRun *run, const char *device, json_t *fields, const char *blob, int result,
                       const char *error);
        /* Holders, before `held`: [{device, subsystem, name, node}…]; `device` is the syspath. */
        void (*children)(void *userdata, WorkerRun *run, json_t *children);
        /* Holders: [{pid, comm, unit, node, certain}…]. */
        void (*held)(void *userdata, WorkerRun *run, json_t *holders);
        /* Execute with `note`: before the first step, what a device's module wants to be given when it is probed. */
        void (*noted)(void *userdata, const char *device, const char *text);
        /* Probe: one device; findings as in lib/protocol.h. */
        void (*health)(void *userdata, const char *device, json_t *findings, int result, const char *error);
        /* Guard: one message of evidence, several come. */
        void (*evidence)(void *userdata, WorkerRun *run, json_t *items, json_t *unresolved);
        /* Check: [{id, title, status, …}…] as lib/protocol.h has them. */
        void (*checked)(void *userdata, WorkerRun *run, json_t *checks);
        /* Ports: what is below the port. One that can't be asked knows nothing. */
        void (*port)(void *userdata, const char *device, PortReport report);
        /* Use: one provider; `use` NULL with a negative `result`. */
        void (*used)(void *userdata, const char *device, json_t *use, int result, const char *error);
        /* The end, exactly once; the run is freed when it returns. `fault`: StepFailed, TimedOut,
         * WorkerFailed, Cancelled or DriverStuck, or what the worker says of the step that failed
         * (DeviceGone, DriverMissing …); never NULL. With DriverStuck the process is still in the kernel:
         * `gone` follows when it has ended at last. */
        void (*done)(void *userdata, int result, const Fault *fault);
        /* Only after DriverStuck: the stuck child has ended. `userdata` as given to worker_pool_run(). */
        void (*gone)(void *userdata);
} WorkerEvents;

/* `timeout_percent`: of the time limits of steps and requests; 100 leaves them as they are. */
int worker_pool_new(sd_event *event, const char *worker, unsigned limit, bool spare, unsigned timeout_percent,
                    WorkerPool **ret);
/* Kills what runs; stuck children are left to the kernel. No callbacks come after this; not to be called
 * from one. */
WorkerPool *worker_pool_free(WorkerPool *pool);
DEFINE_CLEANUP(WorkerPool *, worker_pool_free)

/* Fails when the worker cannot be started (WorkerFailed with path and reason); a run that had to wait for
 * its place reports that through done(). No callback comes before this returns. */
int worker_pool_run(WorkerPool *pool, const WorkerSpec *spec, const WorkerEvents *events, void *userdata,
                    WorkerRun **ret, Fault *fault);
int worker_run_go(WorkerRun *run);
/* Ends an execute run before its next step, or any run that still waits for a place; done() comes with
 * Cancelled, unless the last step was under way already and ends well. -EOPNOTSUPP for other runs. */
int worker_run_stop(WorkerRun *run);
pid_t worker_run_pid(const WorkerRun *run); /* 0 while it waits for a place */
size_t worker_pool_running(const WorkerPool *pool);
size_t worker_pool_stuck(const WorkerPool *pool);
/* No new runs; those that wait for a place are cancelled; `idle` is called once nothing runs any more (on
 * the next turn of the loop when nothing does). For SIGTERM. */
void worker_pool_drain(WorkerPool *pool, void (*idle)(void *userdata), void *userdata);
