/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One operation under way, or finished a moment ago. Owned by the Manager's table; a finished job stays for JOB_LINGER_SEC. */

#include <systemd/sd-event.h>
#include <uthash.h>

#include "lib/fault.h"
#include "lib/id.h"

typedef enum JobState {
        JOB_WAITING,
        JOB_RUNNING,
        JOB_CONFIRMING,
        JOB_UNDOING,
        JOB_DONE,
        _JOB_STATE_MAX,
} JobState;
DECLARE_STRING_TABLE(job_state, JobState);

typedef struct Job {
        char id[ID_SIZE];        /* "1", "2" … of this run of the service */
        char *operation;         /* activate, deactivate, release, reset, provision … */
        uid_t uid;               /* who asked */
        JobState state;
        char *step;              /* sentence of the step under way; "" for none */
        double progress;         /* 0 … 1 */
        char **objects;          /* "allocations/ID", "devices/ID": NULL-terminated */
        char *result;            /* "" while it runs, then done, failed, cancelled, timeout, stuck */
        Fault fault;             /* why it failed */
        uint64_t started_usec;   /* CLOCK_MONOTONIC */
        uint64_t deadline_usec;  /* CLOCK_BOOTTIME: until then it has to be confirmed; 0: it has not */
        bool cancel;             /* asked to stop before the next step */
        bool stuck;              /* ended, but its child is still in the kernel */
        bool leaving;            /* finished, and gone before its time: room is short */
        void *userdata;          /* of the operation, while it runs */
        void (*on_cancel)(struct Job *job);
        sd_event_source *linger;
        UT_hash_handle hh;       /* in the manager, by id */
} Job;
