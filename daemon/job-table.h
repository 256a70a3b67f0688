/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Jobs as the manager keeps them: made, moved on, finished, and dropped a while later. */

#include "manager.h"

uint64_t now_monotonic_usec(void);
/* `objects`: "allocations/ID", "devices/ID", NULL-terminated. LimitReached when there are too many already. */
int job_new(Manager *m, const char *operation, uid_t uid, const char *const *objects, Job **ret, Fault *fault);
void job_set_state(Manager *m, Job *job, JobState state);
void job_set_step(Manager *m, Job *job, const char *sentence, double progress);
/* Ends the job and signals it; `fault` NULL or empty means success. The job is freed after JOB_LINGER_SEC. */
void job_finish(Manager *m, Job *job, const Fault *fault);
void jobs_free(Manager *m);
