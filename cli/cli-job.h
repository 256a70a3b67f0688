/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waiting: for jobs, and for the service. */

#include "cli.h"

/* Waits for the job with its progress on the terminal; reports how it ended. When the service ends
 * meanwhile, what became of the allocation is looked at after its restart: `wanted` is the state it
 * should have then, NULL when it should be gone. `allocation` NULL: the job is not about one. */
int wait_job(Cli *cli, const char *job, const char *allocation, const char *wanted);
/* The same, with the job as the answer; --no-wait does not wait. */
int finish_job(Cli *cli, const char *job, const char *allocation, const char *wanted);
/* Waits until the service is there and has left "starting"; its last word goes to `ret`, of 32 bytes. */
int wait_for_service(Cli *cli, uint64_t timeout_usec, char ret[static 32]);

/* Ctrl-C and SIGTERM end a wait, not the program: their handling begins here. */
typedef struct Loop {
        Cli *cli;
        bool done, interrupted, timed_out;
        sd_event_source *sources[3];
} Loop;
int loop_begin(Loop *loop, Cli *cli, uint64_t timeout_usec);
/* Runs until `done`, interrupted or timed out. */
int loop_run(Loop *loop);
void loop_end(Loop *loop);
