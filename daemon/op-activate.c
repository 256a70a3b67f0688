/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Activate: choose, lock, record, load modules, run the steps; undo all of it when one fails.
 *
 *   begin → chosen, keys taken → stored (state.db) → recorded (runtime.db) → kernel modules → worker: before → recorded → go
 *   … → active, or: undo what was begun → cleared → claimed */

#include <limits.h>
#include <stdio.h>

#include "confirm.h"
#include "follow.h"
#include "guard.h"
#include "history.h"
#include "identity.h"
#include "identity-use.h"
#include "in-force.h"
#include "json-util.h"
#include "log.h"
#include "observe.h"
#include "operation.h"
#include "plan-record.h"
#include "provision.h"

static void activate_begin(Operation *op);
static void load_next_module(Operation *op);
static void start_worker(Operation *op);
static void on_evidence_again(void *userdata, int result);

static void on_cleared(Operation *op) {
        allocation_advance(op->m, op->allocation, EVENT_UNDONE);
        operation_finish(op);
}

static void on_undone(Operation *op) {
        Allocation *a = op->allocation;

        /* The failure that began the undo came first and is kept; whether the undo itself failed shows in what is left. */
        if (a->applied.n_steps > 0) {
                allocation_advance(op->m, a, EVENT_UNDO_FAILED);
                record_progress(op->m, a, NULL, NULL);
                operation_finish(op);
                return;
        }
        operation_clear(op, on_cleared);
}

static void undo_all(Operation *op) {
        allocation_advance(op->m, op->allocation, EVENT_UNDO);
        job_set_state(op->m, op->job, JOB_UNDOING);
        op->after_undo = on_undone;
        operation_undo(op);
}

static void finish_active(Operation *op) {
        observe_family(op->m, op->allocation);
        allocation_advance(op->m, op->allocation, EVENT_ACTIVATED);
        if (op->allocation->confirm_usec > 0)
                confirm_wait(op);
        else
                operation_finish(op);
}

static void on_active_recorded(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0) {
                operation_fail(op, fault);
                undo_all(op);
                return;
        }
        finish_active(op);
}

/* The consumer hears "active" only when a restart would find it so. */
static void record_active(Operation *op) {
        Allocation *a = op->allocation;
        AllocationState state = a->state;
        int r;

        a->confirm_usec = confirm_deadline(op->confirm_sec);
        a->confirm_uid = op->uid;
        a->state = ALLOCATION_ACTIVE;
        r = record_progress(op->m, a, on_active_recorded, op);
        a->state = state;
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the progress could not be recorded: %s", strerror(-r));
                undo_all(op);
        }
}

/* ---- the worker ---- */

static void run_ended(Operation *op) {
        if (op->fault.code == FAULT_NONE) {
                record_active(op);
                return;
        }
        if (op->fault.code == FAULT_DRIVER_STUCK) {
                /* The kernel still works on a step: undoing beside it would hang too. The bundle stays locked. */
                allocation_advance(op->m, op->allocation, EVENT_UNDO);
                allocation_advance(op->m, op->allocation, EVENT_UNDO_FAILED);
                record_progress(op->m, op->allocation, NULL, NULL);
                operation_finish_stuck(op);
                return;
        }
        undo_all(op);
}

/* What was free when it was chosen: is it still? */
static void check_need(Operation *op) {
        const Allocation *a = op->allocation;

        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices && op->fault.code == FAULT_NONE; k++) {
                        _cleanup_findings_ FindingList findings = { 0 };
                        Device *device = inventory_find(op->m->inventory, a->requests[i].devices[k].device);

                        if (device)
                                device_need(op->m, device, &findings);
                        if (device && !device_accept_overridden(device, (const char *const *) op->overrides, &findings))
                                fault_set_object(&op->fault, -EBUSY, FAULT_DEVICE_BLOCKED, device->id, "%s: %s",
                                                 device->host->sysname, finding_first_blocker(&findings)->text);
                }
}

static void start_worker(Operation *op) {
        if (op->job->cancel)
                fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled before the first step");
        if (op->fault.code == FAULT_NONE)
                check_need(op);
        if (op->fault.code != FAULT_NONE)
                undo_all(op);
        else
                operation_run_steps(op, &op->allocation->applied, 0, run_ended);
}

static void on_evidence_again(void *userdata, int result) {
        Operation *op = userdata;

        /* Its records are on disk; the next start undoes what was begun. */
        if (result != -ESHUTDOWN)
                start_worker(op);
}

/* ---- kernel modules ---- */

static void on_module_loaded(void *userdata, int result) {
        Operation *op = userdata;
        const char *name = op->plan.steps[op->next_module].name;

        if (result < 0)
                fault_set(&op->fault, result, FAULT_DRIVER_MISSING, "the kernel module %s could not be loaded: %s", name,
                          result == -ENOENT ? "modprobe did not find it or it refused to load" : strerror(-result));
        op->next_module++;
        load_next_module(op);
}

static void load_next_module(Operation *op) {
        for (; op->fault.code == FAULT_NONE && op->next_module < op->plan.n_steps; op->next_module++) {
                const PtStep *step = &op->plan.steps[op->next_module];
                if (step->kind != PT_STEP_LOAD_MODULE)
                        continue;
                job_set_step(op->m, op->job, step->sentence, 0);
                int r = kernel_module_load(op->m, step->name, on_module_loaded, op);
                if (r == 0)
                        return;
                if (r < 0)
                        fault_set(&op->fault, r, FAULT_DRIVER_MISSING, "the kernel module %s could not be loaded: %s",
                                  step->name, strerror(-r));
        }
        /* Something was mounted, or an address came, while the choice was being recorded: look again. */
        if (op->fault.code == FAULT_NONE && guard_generation(op->m->guard) != op->evidence)
                guard_refresh(op->m->guard, on_evidence_again, op);
        else
                start_worker(op);
}

/* ---- choosing and recording ---- */

static void on_progress_recorded(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0) {
                operation_fail(op, fault);
                undo_all(op);
                return;
        }
        load_next_module(op);
}

static void on_claim_stored(Operation *op) {
        int r;

        if (op->fault.code != FAULT_NONE) {
                undo_all(op);
                return;
        }
        manager_changed(op->m, OBJECT_ALLOCATION, op->allocation->id, "Devices");
        manager_changed(op->m, OBJECT_ALLOCATION, op->allocation->id, "Requests");
        r = record_progress(op->m, op->allocation, on_progress_recorded, op);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_STORE_FAILED, "the progress could not be recorded: %s", strerror(-r));
                undo_all(op);
        }
}

/* Steps of the worker go into the allocation; modules to load stay in op->plan. */
static int split_plan(Operation *op) {
        Allocation *a = op->allocation;

        allocation_clear_steps(a);
        for (size_t i = 0; i < op->plan.n_steps; i++)
                if (op->plan.steps[i].kind != PT_STEP_LOAD_MODULE) {
                        int r = plan_append(&a->applied, &op->plan.steps[i]);
                        if (r < 0)
                                return r;
                }
        a->observed = calloc(a->applied.n_steps + 1, sizeof(char *));
        return a->observed ? 0 : -ENOMEM;
}

static int keep_assignments(Operation *op, const AssignmentList *list) {
        Allocation *a = op->allocation;

        for (size_t i = 0; i < a->n_requests; i++)
                request_clear_devices(&a->requests[i]);
        for (size_t i = 0; i < list->n_items; i++) {
                Assignment *item = &list->items[i];
                int r = request_assign(&a->requests[item->request], item->device, item->bundle);
                if (r < 0)
                        return fault_oom(&op->fault);
                if (item->device->module->descriptor->flags & PT_TYPE_FOLLOWS) {
                        r = follow_remember(op->m, item->device, &a->requests[item->request], &op->fault);
                        if (r < 0)
                                return r;
                }
        }
        for (size_t i = 0; i < a->n_requests; i++) {
                int r = request_remember(&a->requests[i]);
                if (r < 0)
                        return fault_oom(&op->fault);
        }
        if (identity_note_use(op->m, a) < 0)
                return fault_oom(&op->fault);
        return split_plan(op) < 0 ? fault_oom(&op->fault) : allocation_note_settings(op->m, a, &op->fault);
}

/* What would be done now, against what the caller agreed to. */
static int check_token(Operation *op, const AssignmentList *list) {
        _cleanup_(plan_record_freep) PlanRecord *now = NULL;
        char token[33];

        if (!op->token)
                return 0;
        if (plan_record_new(&now) < 0)
                return fault_oom(&op->fault);
        plan_record_choices(now, op->allocation, list);
        plan_record_steps(now, &op->plan);
        (void) plan_record_token(now, token);
        if (streq(token, op->token))
                return 0;
        return plan_changed(op->m, op->token, now, op->allocation->id, NULL, &op->fault);
}

/* A plan that promised devices is void when they cannot be had; one that foresaw it has nothing to add. */
static int explain_with_plan(Operation *op, int r) {
        const PlanRecord *then = op->token ? plans_find(op->m, op->token) : NULL;
        _cleanup_fault_ Fault why = { 0 };

        if (!op->token || r == -ENOMEM || (then && plan_record_has_blockers(then)))
                return r;
        fault_move(&why, &op->fault);
        return plan_changed(op->m, op->token, NULL, op->allocation->id, &why, &op->fault);
}

/* What an administrator decided otherwise is on record, with what it was about, also when the activation fails then. */
static int note_override(Operation *op, const Assignment *item) {
        const Allocation *a = op->allocation;
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_findings_ FindingList findings = { 0 };
        _cleanup_(json_decrefp) json_t *devices = NULL;
        _cleanup_free_ char *message = NULL;
        const PtFinding *blocker;
        PlanRequest request;
        int r = plan_request_for(op->m, a, &a->requests[item->request], PT_VERB_ACTIVATE, &settings, &request, &op->fault);

        if (r < 0)
                return r;
        (void) device_eligible(op->m, item->device, a->id, &request, &findings);
        blocker = finding_first_blocker(&findings);
        if (!blocker)
                return 0;
        devices = json_pack("[s]", item->device->id);
        message = finding_all_blockers(&findings);
        if (!devices || !message)
                return fault_oom(&op->fault);
        log_message(LOG_NOTICE, LOG_EVENT_OVERRIDDEN,
                    log_fields("DEVICE", item->device->id, "ALLOCATION", a->id, "CONSUMER", a->consumer),
                    "user %u overrides what stands against %s (%s): %s", (unsigned) op->uid, item->device->host->sysname,
                    blocker->code, message);
        history_note(op->m, &(HistoryEntry) {
                .uid = op->uid,
                .owner = a->owner,
                .operation = "override",
                .object = a->id,
                .consumer = a->consumer,
                .job = op->job->id,
                .message = message,
                .devices = devices,
        });
        return 0;
}

static int note_overrides(Operation *op, const AssignmentList *list) {
        int r = 0;

        for (size_t i = 0; i < list->n_items && r >= 0; i++)
                if (strv_contains((const char *const *) op->overrides, list->items[i].device->id))
                        r = note_override(op, &list->items[i]);
        return r;
}

static int choose_and_plan(Operation *op, AssignmentList *list) {
        int r = assign_devices(op->m, op->allocation, op->allocation->id, (const char *const *) op->overrides,
                               false, list, &op->fault);

        if (r >= 0)
                r = assignment_plan(op->m, op->allocation, list, PT_VERB_ACTIVATE, &op->plan, &op->fault);
        if (r < 0)
                return explain_with_plan(op, r);
        r = check_token(op, list);
        if (r >= 0)
                r = note_overrides(op, list);
        if (r >= 0)
                r = keep_assignments(op, list);
        if (r >= 0 && op->confirm_sec == UINT_MAX)
                op->confirm_sec = confirm_default_sec(op->m, list);
        return r;
}

static void choose(Operation *op);

/* Without an answer the guard counts more as critical, and says so where that stops anybody. */
static void on_evidence(void *userdata, int result) {
        Operation *op = userdata;

        op->evidence_asked = false;
        /* The end of a reading, and what it changes, kicks again. */
        if (!op->m->stopping && op->job->state == JOB_WAITING && !identity_is_being_read(op->m, op->allocation))
                choose(op);
}

/* Devices whose modules decide by what an observer read. */
static bool needs_reports(Manager *m, const Allocation *a) {
        for (size_t i = 0; i < a->n_requests; i++) {
                const Group *group = policy_find_group(m->policy, a->requests[i].group);

                if (group && group->module && group->module->descriptor->observe &&
                    group->module->descriptor->flags & PT_TYPE_SHARED)
                        return true;
        }
        return false;
}

/* The speed of a card, say, is asked for when one of its functions is first wanted. */
static bool reads_providers(Manager *m, const Allocation *a) {
        size_t n = 0;

        for (size_t i = 0; i < a->n_requests; i++) {
                const Group *group = policy_find_group(m->policy, a->requests[i].group);

                n += group ? observe_providers(m, group, NULL, NULL, NULL) : 0;
        }
        return n > 0 && observe_is_busy(m);
}

/* Devices are chosen by what the host needs now. */
static void activate_begin(Operation *op) {
        /* Stays waiting; manager_kick() comes again, or the evidence. */
        if (op->evidence_asked || (op->m->readiness == READINESS_STARTING && !manager_is_reconciled(op->m)))
                return;
        /* What is offered is being read of the drivers. */
        if (observe_is_busy(op->m) && needs_reports(op->m, op->allocation))
                return;
        if (identity_is_being_read(op->m, op->allocation) || reads_providers(op->m, op->allocation))
                return;
        /* Its devices may be made at this moment. */
        if (provision_concerns(op->m, op->allocation))
                return;
        op->evidence_asked = true;
        guard_refresh(op->m->guard, on_evidence, op);
}

/* What drivers offer may have been changed by somebody else since it was read: it is read once more before the answer is no. */
static bool looks_again(Operation *op) {
        size_t n = 0;

        if (op->looked_again || op->job->cancel || op->fault.code != FAULT_NO_DEVICE_AVAILABLE ||
            !needs_reports(op->m, op->allocation))
                return false;
        for (size_t i = 0; i < op->allocation->n_requests; i++) {
                const Group *group = policy_find_group(op->m->policy, op->allocation->requests[i].group);

                n += group ? observe_members(op->m, group) : 0;
        }
        if (n == 0 || !observe_is_busy(op->m))
                return false;
        op->looked_again = true;
        fault_done(&op->fault);
        op->fault = (Fault) { 0 };
        return true;
}

static void choose(Operation *op) {
        _cleanup_assignments_ AssignmentList list = { 0 };
        Allocation *a = op->allocation;

        /* Not the latest: what changed while the evidence was collected is looked at before the first step. */
        op->evidence = guard_known(op->m->guard);
        plan_done(&op->plan);
        op->plan = (Plan) { 0 };
        if (choose_and_plan(op, &list) < 0) {
                if (looks_again(op))
                        return;
                manager_changed(op->m, OBJECT_ALLOCATION, a->id, "Requests"); /* with their status */
                if (a->wait && op->fault.code == FAULT_NO_DEVICE_AVAILABLE && !op->job->cancel) {
                        fault_done(&op->fault);
                        op->fault = (Fault) { 0 };
                        allocation_advance(op->m, a, EVENT_NO_DEVICE);
                        return;
                }
                allocation_clear_steps(a);
                if (list.n_items > 0 && !a->thick) {
                        for (size_t i = 0; i < a->n_requests; i++)
                                request_clear_devices(&a->requests[i]);
                        key_table_release(op->m->keys, a->id);
                }
                if (a->state == ALLOCATION_WAITING)
                        allocation_advance(op->m, a, EVENT_CANCEL);
                operation_finish(op);
                return;
        }
        job_set_state(op->m, op->job, JOB_RUNNING);
        allocation_advance(op->m, a, EVENT_ACTIVATE);
        manager_devices_changed(op->m, a);
        operation_store(op, &list.keys, on_claim_stored);
}

/* The job waits for a device or for readiness: it ends at once. A running one ends before its next step. */
static void on_cancel(Job *job) {
        Operation *op = job->userdata;

        if (job->state == JOB_WAITING) {
                fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled while it waited");
                if (op->allocation->state == ALLOCATION_WAITING)
                        allocation_advance(op->m, op->allocation, EVENT_CANCEL);
                operation_finish(op);
        }
}

bool job_waits_for_device(const Job *job) {
        const Operation *op = job->userdata;

        return job->state == JOB_WAITING && streq(job->operation, "activate") && !op->giving_back;
}

static int on_kick(sd_event_source *source, void *userdata) {
        Manager *m = userdata;

        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        for (Job *job = m->jobs, *next; job; job = next) {
                next = job->hh.next;
                if (job_waits_for_device(job))
                        activate_begin(job->userdata);
        }
        return 0;
}

void manager_kick(Manager *m) {
        if (m->kick)
                sd_event_source_set_enabled(m->kick, SD_EVENT_ONESHOT);
        else if (sd_event_add_defer(m->event, &m->kick, on_kick, m) >= 0)
                /* After what came in this turn: a release and its signals go first. */
                sd_event_source_set_priority(m->kick, SD_EVENT_PRIORITY_IDLE);
}

/* That it was done is in the history also when the activation fails. */
static void accept_identity(Operation *op) {
        if (identity_accept_use(op->m, op->allocation, &op->accepted) < 0 || !op->accepted)
                return;
        history_note(op->m, &(HistoryEntry) {
                .uid = op->uid,
                .owner = op->allocation->owner,
                .operation = "accept-identity",
                .object = op->allocation->id,
                .consumer = op->allocation->consumer,
                .job = op->job->id,
                .message = op->accepted,
        });
}

int operation_activate(Manager *m, Allocation *allocation, uid_t uid, json_t *options, Job **ret, Fault *fault) {
        _cleanup_free_ char *token = NULL;
        _cleanup_(strv_freep) char **overrides = NULL;
        unsigned confirm = UINT_MAX;
        bool accept = false;
        const JsonKey keys[] = {
                { "plan", JSON_KEY_STRING, &token, 64, false },
                { "confirm-timeout", JSON_KEY_UINT, &confirm, CONFIRM_MAX_SEC, false },
                { "override", JSON_KEY_STRV, &overrides, 0, false },
                { "accept-identity", JSON_KEY_BOOL, &accept, 0, false },
                { 0 },
        };
        Operation *op;
        int r = json_parse_object(options, keys, "the options of Activate", FAULT_UNKNOWN_OPTION, fault);

        if (r < 0)
                return r;
        r = operation_may_touch(m, fault);
        if (r < 0)
                return r;
        if (allocation->job && streq(allocation->job->operation, "activate")) {
                *ret = allocation->job; /* the same wish again */
                return 0;
        }
        if (allocation_next(allocation->state, EVENT_ACTIVATE) < 0)
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, allocation->id,
                                        "the allocation is %s; only a claimed one can be activated",
                                        allocation_state_to_string(allocation->state));
        r = operation_new(m, "activate", uid, allocation, NULL, &op, fault);
        if (r < 0)
                return r;
        op->token = TAKE_PTR(token);
        op->confirm_sec = confirm;
        op->overrides = TAKE_PTR(overrides);
        op->job->on_cancel = on_cancel;
        if (accept)
                accept_identity(op);
        *ret = op->job;
        manager_kick(m);
        return 0;
}
