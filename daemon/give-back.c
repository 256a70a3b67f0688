/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Undoing an activation from its records, and giving up devices afterwards. Used by deactivate, by a failed activate and by
 * the reconcile of a start. */

#include "leftover.h"
#include "log.h"
#include "observe.h"
#include "operation.h"
#include "room.h"


json_t *allocation_records(const Allocation *allocation) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < allocation->n_requests; i++)
                for (size_t k = 0; k < allocation->requests[i].n_devices; k++)
                        json_array_extend(array, allocation->requests[i].devices[k].records);
        return array;
}

void manager_devices_changed(Manager *m, const Allocation *allocation) {
        size_t index;
        json_t *record;
        _cleanup_(json_decrefp) json_t *records = allocation_records(allocation);

        json_array_foreach(records, index, record) {
                const char *id = json_string_value(json_object_get(record, "id"));
                HostDevice *host = id ? source_find(inventory_source(m->inventory), id) : NULL;

                for (Device *device = host ? host->offers : NULL; device; device = device->next_offer) {
                        device->allocation = allocation_state_holds(allocation->state) || allocation->thick
                                                     ? (Allocation *) allocation
                                                     : NULL;
                        room_changed(m, device->provider);
                        manager_changed(m, OBJECT_DEVICE, device->id, "State");
                        manager_changed(m, OBJECT_DEVICE, device->id, "Allocation");
                        manager_changed(m, OBJECT_DEVICE, device->id, "Allocatable");
                        manager_changed(m, OBJECT_DEVICE, device->id, "Blockers");
                        for (size_t i = 0; device->groups && device->groups[i]; i++) {
                                manager_changed(m, OBJECT_GROUP, device->groups[i]->id, "Available");
                                manager_changed(m, OBJECT_GROUP, device->groups[i]->id, "Allocated");
                        }
                }
        }
}

static bool anything_begun(const Allocation *a) {
        for (size_t i = 0; a->observed && i < a->applied.n_steps; i++)
                if (a->observed[i])
                        return true;
        return false;
}

static void on_records_removed(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0)
                operation_fail(op, fault);
        op->after_undo(op);
}

/* The records go only when everything is as found: a second undo of a restored device changes nothing. */
static void remove_records(Operation *op) {
        Allocation *a = op->allocation;
        StoreTxn *txn;

        allocation_clear_steps(a);
        txn = store_begin(op->m->store, STORE_RUNTIME);
        if (!txn) {
                op->after_undo(op);
                return;
        }
        store_remove_owned(txn, TABLE_STEPS, a->id);
        store_remove(txn, TABLE_PROGRESS, a->id);
        if (store_commit(txn, on_records_removed, op) < 0)
                op->after_undo(op);
}

static void on_undo_after(void *userdata, WorkerRun *run, size_t step, int result, const char *error) {
        Operation *op = userdata;
        Allocation *a = op->allocation;

        if (step >= a->applied.n_steps)
                return;
        job_set_step(op->m, op->job, a->applied.steps[step].sentence,
                     1.0 - (double) step / (double) a->applied.n_steps);
        if (result >= 0)
                return;
        op->undo_failed = true;
        log_message(LOG_ERR, LOG_EVENT_UNDO_FAILED,
                    log_fields("JOB", op->job->id, "ALLOCATION", a->id, "DEVICE",
                               strempty(a->applied.steps[step].device)),
                    "undo of \"%s\" failed: %s", a->applied.steps[step].sentence, strempty(error));
}

/* The records go after the probe: one that was cut off is made up for by the next start. */
static void on_probed(Operation *op) {
        if (!op->unprobed) {
                remove_records(op);
                return;
        }
        op->undo_failed = true;
        op->after_undo(op);
}

static void on_undo_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;
        _cleanup_(json_decrefp) json_t *records = allocation_records(op->allocation);

        op->run = NULL;
        if (op->undo_failed)
                fault_set_object(&op->fault, result, fault->code, fault->object, "The give-back failed: %s",
                                 strempty(fault->message));
        else if (result < 0) {
                /* The worker itself died, ran out of time or is stuck: nobody knows how far it came. */
                op->undo_failed = true;
                operation_fail(op, fault);
        }
        if (fault && fault->code == FAULT_DRIVER_STUCK) {
                allocation_advance(op->m, op->allocation, EVENT_UNDO_FAILED);
                record_progress(op->m, op->allocation, NULL, NULL);
                operation_finish_stuck(op);
                return;
        }
        if (op->undo_failed) {
                if (leftover_watch(op->m, op->allocation) && (!fault || op->fault.code == fault->code))
                        op->fault.code = FAULT_DRIVER_STUCK;
                op->after_undo(op);
                return;
        }
        operation_probe(op, records, op->allocation->notes, on_probed);
}

static void on_stuck_gone(void *userdata) {
        operation_stuck_gone(userdata);
}

static const WorkerEvents undo_events = {
        .after = on_undo_after,
        .done = on_undo_done,
        .gone = on_stuck_gone,
};

static json_t *observed_list(const Allocation *a) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < a->applied.n_steps; i++)
                json_array_append_new(array, a->observed[i] ? json_string(a->observed[i]) : json_null());
        return array;
}

void operation_undo(Operation *op) {
        Allocation *a = op->allocation;
        _cleanup_(json_decrefp) json_t *devices = allocation_records(a), *observed = NULL;
        int r;

        op->undo_failed = false;
        if (!anything_begun(a)) {
                remove_records(op);
                return;
        }
        observed = observed_list(a);
        r = worker_pool_run(op->m->workers,
                            &(WorkerSpec) {
                                    .mode = WORKER_UNDO,
                                    .job = op->job->id,
                                    .devices_json = devices,
                                    .module_directory = loader_directory(op->m->loader),
                                    .plan = &a->applied,
                                    .observed = observed,
                            },
                            &undo_events, op, &op->run, &op->fault);
        if (r < 0) {
                fault_set(&op->fault, r, FAULT_WORKER_FAILED, "no worker could be started: %s", strerror(-r));
                op->undo_failed = true;
                op->after_undo(op);
        }
}

/* ---- giving up ---- */

static void after_clear(Operation *op) {
        Manager *m = op->m;
        Allocation *a = op->allocation;

        if (!a->thick)
                key_table_release(m->keys, a->id);
        op->after_clear(op);
        manager_kick(m);
}

void operation_clear(Operation *op, OperationNext next) {
        Allocation *a = op->allocation;
        static const KeyList no_keys = { 0 };

        op->after_clear = next;
        observe_family(op->m, a);
        /* Seen from outside the devices are free from here on; their keys follow when that is on disk. */
        AllocationState state = a->state;
        a->state = ALLOCATION_CLAIMED;
        manager_devices_changed(op->m, a);
        a->state = state;
        allocation_clear_steps(a);
        if (!a->thick)
                for (size_t i = 0; i < a->n_requests; i++)
                        request_clear_devices(&a->requests[i]);
        a->restart_required = false;
        a->confirm_usec = 0;
        manager_changed(op->m, OBJECT_ALLOCATION, a->id, "Devices");
        manager_changed(op->m, OBJECT_ALLOCATION, a->id, "Requests");
        manager_changed(op->m, OBJECT_ALLOCATION, a->id, "RestartRequired");
        operation_store(op, a->thick ? NULL : &no_keys, after_clear);
}
