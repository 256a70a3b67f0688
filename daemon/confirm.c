/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "confirm.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "guard.h"
#include "lib/driver.h"
#include "log.h"
#include "pending.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define ACCURACY_USEC 1000u
#define UNDO_AGAIN_SEC 5u
#define PCI_CLASS_NETWORK 0x02u

static uint64_t now_boottime_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000u;
}

uint64_t confirm_deadline(unsigned sec) {
        return sec > 0 ? now_boottime_usec() + sec * USEC_PER_SEC : 0;
}

/* What is on a VFIO driver or on none carries nothing of the host's. An adapter on USB goes with its controller too. */
static bool takes_network(const Manager *m, const HostDevice *host) {
        if (!host->driver || driver_is_vfio(host->driver))
                return false;
        return host->class_code >> 16 == PCI_CLASS_NETWORK || guard_has_network(m->guard, host);
}

unsigned confirm_default_sec(const Manager *m, const AssignmentList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                for (HostDevice **host = list->items[i].bundle; *host; host++)
                        if (takes_network(m, *host))
                                return m->config.network_confirm_sec;
        return 0;
}

/* ---- the end of the wait ---- */

static void stop_waiting(Operation *op) {
        op->confirm = sd_event_source_disable_unref(op->confirm);
        op->job->on_cancel = NULL;
        op->job->deadline_usec = 0;
        manager_changed(op->m, OBJECT_JOB, op->job->id, "Deadline");
}

static void undo(Operation *op) {
        Allocation *a = op->allocation;

        stop_waiting(op);
        log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("JOB", op->job->id, "ALLOCATION", a->id, "CONSUMER", a->consumer),
                    "activation of %s: %s; its devices are given back", a->consumer, strempty(op->fault.message));
        /* To cancel from here on means to stop waiting for whoever has a device open. */
        op->job->cancel = false;
        op->giving_back = true;
        operation_give_back(op);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Operation *op = userdata;

        fault_set_object(&op->fault, -ETIME, FAULT_NOT_CONFIRMED, op->allocation->id,
                         "nobody confirmed the change in time");
        undo(op);
        return 0;
}

static void on_cancel(Job *job) {
        Operation *op = job->userdata;

        if (op->recording) /* the confirmation came first */
                return;
        fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled instead of confirmed");
        undo(op);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Operation *op = userdata;

        op->confirm = sd_event_source_disable_unref(op->confirm);
        operation_give_back(op);
        return 0;
}

void confirm_undo_again(Operation *op) {
        op->confirm = sd_event_source_disable_unref(op->confirm);
        if (sd_event_add_time_relative(op->m->event, &op->confirm, CLOCK_BOOTTIME, UNDO_AGAIN_SEC * USEC_PER_SEC, 0, on_again,
                                       op) < 0)
                operation_finish(op);
}

/* ---- waiting ---- */

void confirm_wait(Operation *op) {
        uint64_t deadline = op->allocation->confirm_usec;

        op->job->deadline_usec = deadline;
        op->job->on_cancel = on_cancel;
        manager_changed(op->m, OBJECT_JOB, op->job->id, "Deadline");
        job_set_step(op->m, op->job, "wait until the change is confirmed, else undo it", 1.0);
        job_set_state(op->m, op->job, JOB_CONFIRMING);
        if (sd_event_add_time(op->m->event, &op->confirm, CLOCK_BOOTTIME, deadline, ACCURACY_USEC, on_deadline, op) < 0) {
                fault_set(&op->fault, -ENOMEM, FAULT_NO_MEMORY, "the time to confirm could not be watched");
                undo(op);
        } else if (op->job->cancel) /* asked for while the last step ran */
                on_cancel(op->job);
}

void confirm_resume(Manager *m, Allocation *allocation) {
        _cleanup_fault_ Fault fault = { 0 };
        Operation *op;

        if (operation_new(m, "activate", allocation->confirm_uid, allocation, NULL, &op, &fault) < 0) {
                log_message(LOG_ERR, LOG_EVENT_JOB_FAILED, log_fields("ALLOCATION", allocation->id),
                            "the activation of %s can't be confirmed any more: %s", allocation->consumer,
                            strempty(fault.message));
                return;
        }
        confirm_wait(op);
}

void confirm_drop(Operation *op) {
        stop_waiting(op);
        op->allocation->confirm_usec = 0;
        operation_finish(op);
}

/* ---- Confirm ---- */

static void on_confirmed(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;
        Job *job = manager_find_job(p->m, p->owner);
        Operation *op = job && job->state == JOB_CONFIRMING ? job->userdata : NULL;

        if (op) {
                op->recording = false;
                if (result < 0) { /* nothing is on disk: it goes on waiting */
                        op->allocation->confirm_usec = job->deadline_usec;
                        (void) sd_event_source_set_enabled(op->confirm, SD_EVENT_ONESHOT);
                } else
                        confirm_drop(op);
        }
        pending_finish(p, result, fault, "");
}

int manager_confirm_job(Manager *m, Job *job, OpDone done, void *userdata, Fault *fault) {
        Operation *op = job->state == JOB_CONFIRMING ? job->userdata : NULL;

        if (!op)
                return fault_set(fault, -EBUSY, FAULT_WRONG_STATE,
                                 job->state == JOB_DONE ? "job %s is over: %s" : "job %s does not wait to be confirmed; it is %s",
                                 job->id, job->state == JOB_DONE ? job->result : job_state_to_string(job->state));
        if (op->recording)
                return fault_set(fault, -EALREADY, FAULT_WRONG_STATE, "job %s is being confirmed already", job->id);

        Pending *p = pending_new(m, done, userdata);
        if (!p)
                return fault_oom(fault);
        snprintf(p->owner, sizeof(p->owner), "%s", job->id);
        op->allocation->confirm_usec = 0;
        int r = record_progress(m, op->allocation, on_confirmed, p);
        if (r < 0) {
                op->allocation->confirm_usec = job->deadline_usec;
                pending_free(p);
                return fault_set(fault, r, FAULT_STORE_FAILED, "the confirmation could not be recorded: %s", strerror(-r));
        }
        op->recording = true;
        (void) sd_event_source_set_enabled(op->confirm, SD_EVENT_OFF);
        return 0;
}
