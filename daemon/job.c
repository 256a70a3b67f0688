/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "job-table.h"
#include "json-util.h"
#include "lib/limits.h"

static const char *const job_state_table[_JOB_STATE_MAX] = {
        [JOB_WAITING] = "waiting",
        [JOB_RUNNING] = "running",
        [JOB_CONFIRMING] = "confirming",
        [JOB_UNDOING] = "undoing",
        [JOB_DONE] = "done",
};
DEFINE_STRING_TABLE(job_state, JobState, job_state_table)

uint64_t now_monotonic_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

static void job_free(Job *job) {
        sd_event_source_disable_unref(job->linger);
        strv_free(job->objects);
        fault_done(&job->fault);
        free(job->operation);
        free(job->step);
        free(job->result);
        free(job);
}

static size_t count_unfinished(Manager *m, uid_t uid) {
        size_t n = 0;

        for (Job *job = m->jobs; job; job = job->hh.next)
                n += job->uid == uid && job->state != JOB_DONE;
        return n;
}

/* Finished jobs give way to new ones, the oldest first. */
static bool make_room(Manager *m) {
        for (Job *job = m->jobs; job; job = job->hh.next)
                if (job->state == JOB_DONE && !job->leaving) {
                        job->leaving = true;
                        (void) sd_event_source_set_time_accuracy(job->linger, 1);
                        (void) sd_event_source_set_time_relative(job->linger, 0);
                        return true;
                }
        return false;
}

int job_new(Manager *m, const char *operation, uid_t uid, const char *const *objects, Job **ret, Fault *fault) {
        if (m->stopping)
                return fault_set(fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping");
        if ((HASH_COUNT(m->jobs) >= JOBS_MAX && !make_room(m)) ||
            (uid != 0 && count_unfinished(m, uid) >= JOBS_PER_UID_MAX))
                return fault_set(fault, -EAGAIN, FAULT_LIMIT_REACHED, "too many jobs are under way; try again later");

        Job *job = calloc(1, sizeof(Job));
        if (!job)
                return fault_oom(fault);
        snprintf(job->id, sizeof(job->id), "%" PRIu64, ++m->next_job);
        job->uid = uid;
        job->state = JOB_WAITING;
        job->started_usec = now_monotonic_usec();
        job->operation = strdup(operation);
        job->step = strdup("");
        job->result = strdup("");
        if (!job->operation || !job->step || !job->result || strv_copy(objects, &job->objects) < 0) {
                job_free(job);
                return fault_oom(fault);
        }
        HASH_ADD_STR(m->jobs, id, job);
        if (m->events.added)
                m->events.added(m->events.userdata, OBJECT_JOB, job->id);
        *ret = job;
        return 0;
}

void job_set_state(Manager *m, Job *job, JobState state) {
        if (job->state == state)
                return;
        job->state = state;
        manager_changed(m, OBJECT_JOB, job->id, "State");
}

void job_set_step(Manager *m, Job *job, const char *sentence, double progress) {
        char *step = strdup(strempty(sentence));

        if (!step)
                return; /* a progress text is not worth failing for */
        free(job->step);
        job->step = step;
        job->progress = progress;
        manager_changed(m, OBJECT_JOB, job->id, "Step");
        manager_changed(m, OBJECT_JOB, job->id, "Progress");
}

typedef struct Linger {
        Manager *manager;
        Job *job;
} Linger;

static void job_drop(Manager *m, Job *job) {
        if (m->events.removed)
                m->events.removed(m->events.userdata, OBJECT_JOB, job->id);
        HASH_DEL(m->jobs, job);
        free(job->userdata);
        job_free(job);
}

static int on_linger(sd_event_source *source, uint64_t usec, void *userdata) {
        Linger *linger = userdata;

        job_drop(linger->manager, linger->job);
        return 0;
}

static const char *result_word(const Fault *fault) {
        switch ((int) fault->code) {
        case FAULT_NONE:
                return "done";
        case FAULT_CANCELLED:
                return "cancelled";
        case FAULT_TIMED_OUT:
        case FAULT_NOT_CONFIRMED:
                return "timeout";
        case FAULT_DRIVER_STUCK:
                return "stuck";
        default:
                return "failed";
        }
}

void job_finish(Manager *m, Job *job, const Fault *fault) {
        static const Fault none = { 0 };
        char *result = strdup(result_word(fault ? fault : &none));

        if (result) {
                free(job->result);
                job->result = result;
        }
        if (fault)
                fault_copy(&job->fault, fault);
        job->on_cancel = NULL;
        job->userdata = NULL;
        job_set_step(m, job, "", 1.0);
        job_set_state(m, job, JOB_DONE);
        manager_changed(m, OBJECT_JOB, job->id, "Result");
        manager_changed(m, OBJECT_JOB, job->id, "Error");
        manager_changed(m, OBJECT_JOB, job->id, "ErrorMessage");
        if (m->events.job_removed)
                m->events.job_removed(m->events.userdata, job);

        Linger *linger = malloc(sizeof(Linger));
        if (linger) {
                *linger = (Linger) { m, job };
                job->userdata = linger;
        }
        if (!linger || sd_event_add_time_relative(m->event, &job->linger, CLOCK_MONOTONIC,
                                                  JOB_LINGER_SEC * UINT64_C(1000000), 1000000, on_linger, linger) < 0)
                job_drop(m, job);
}

int manager_cancel_job(Manager *m, Job *job, Fault *fault) {
        if (job->state == JOB_DONE)
                return fault_set(fault, -EALREADY, FAULT_WRONG_STATE, "job %s is over: %s", job->id, job->result);
        if (job->state == JOB_UNDOING)
                return fault_set(fault, -EBUSY, FAULT_WRONG_STATE,
                                 "job %s is restoring what it changed and cannot be stopped", job->id);
        if (job->cancel)
                return 0;
        job->cancel = true;
        if (job->on_cancel)
                job->on_cancel(job);
        return 0;
}

void jobs_free(Manager *m) {
        Job *job, *next;

        HASH_ITER(hh, m->jobs, job, next) {
                HASH_DEL(m->jobs, job);
                if (job->state == JOB_DONE)
                        free(job->userdata);
                job_free(job);
        }
}

Job *manager_find_job(Manager *m, const char *id) {
        Job *job;

        HASH_FIND_STR(m->jobs, id, job);
        return job;
}
