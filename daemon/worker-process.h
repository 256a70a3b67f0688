/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One process of the worker: started, talked to without ever waiting, watched through its pidfd. It knows
 * nothing of what it is used for; its owner may change while it lives. Owned by whoever started it, until
 * `ended` at the earliest. */

#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "lib/fault.h"

typedef struct WorkerProcess WorkerProcess;

typedef struct WorkerProcessEvents {
        /* It said hello and takes a request. */
        void (*ready)(void *userdata);
        void (*message)(void *userdata, json_t *message);
        /* Nothing more will come from it: it closed its end (`problem` NULL) or said what cannot be
         * understood. It still runs. Comes once. */
        void (*silent)(void *userdata, const char *problem);
        /* It is gone, `how`: "was killed by SIGSEGV". Everything that it said was passed on before. The
         * owner frees it. */
        void (*ended)(void *userdata, const char *how);
} WorkerProcessEvents;

/* The fault says path and reason when it cannot be started. */
int worker_process_start(sd_event *event, const char *path, const WorkerProcessEvents *events,
                         void *userdata, WorkerProcess **ret, Fault *fault);
/* Kills what still runs. */
WorkerProcess *worker_process_free(WorkerProcess *process);
DEFINE_CLEANUP(WorkerProcess *, worker_process_free)

void worker_process_set_owner(WorkerProcess *process, const WorkerProcessEvents *events, void *userdata);
/* Runs that it served; looks at the host are counted apart. */
unsigned worker_process_runs(const WorkerProcess *process);
void worker_process_count_run(WorkerProcess *process);
unsigned worker_process_looks(const WorkerProcess *process);
void worker_process_count_look(WorkerProcess *process);
bool worker_process_is_ready(const WorkerProcess *process);
/* Whether it still listens, as far as that can be known now. */
bool worker_process_is_usable(const WorkerProcess *process);
pid_t worker_process_pid(const WorkerProcess *process);
/* Sends now or as soon as there is room. -EPIPE when it is silent already. */
int worker_process_send(WorkerProcess *process, json_t *message);
/* Closes the socket, which asks it to end. */
void worker_process_hang_up(WorkerProcess *process);
void worker_process_kill(WorkerProcess *process);
