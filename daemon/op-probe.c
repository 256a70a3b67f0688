/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The last part of a give-back and of a reset: what comes back is looked at while its keys are still held, and what is unsound
 * goes into quarantine before anybody else can have it. */

#include "log.h"
#include "operation.h"
#include "quarantine.h"

static QuarantineSpec spec_of(Operation *op, const char *device, const char *reason) {
        json_t *notes = op->allocation ? op->allocation->notes : op->notes;

        return (QuarantineSpec) {
                .device = device,
                .reason = reason,
                .note = json_string_value(json_object_get(notes, device)),
                .allocation = op->allocation,
                .verb = op->job->operation,
                .uid = op->uid,
        };
}

static void log_findings(Operation *op, const char *device, json_t *findings) {
        json_t *finding;
        size_t index;

        json_array_foreach(findings, index, finding) {
                json_int_t severity = json_integer_value(json_object_get(finding, "severity"));

                if (severity != PT_SEVERITY_BLOCKER) /* the quarantine says those */
                        log_message(severity == PT_SEVERITY_WARNING ? LOG_WARNING : LOG_INFO, LOG_EVENT_NONE,
                                    log_fields("JOB", op->job->id, "DEVICE", device), "%s after the %s: %s", device,
                                    op->job->operation, strempty(json_string_value(json_object_get(finding, "text"))));
        }
}

static void keep_findings(Manager *m, const char *id, json_t *findings) {
        HostDevice *host = source_find(inventory_source(m->inventory), id);

        for (Device *device = host ? host->offers : NULL; device; device = device->next_offer) {
                json_decref(device->health);
                device->health = json_array_size(findings) > 0 ? json_incref(findings) : NULL;
        }
}

void operation_distrust(Operation *op, const char *device, const char *reason) {
        if (!op->unsound)
                op->unsound = json_object();
        if (!json_object_get(op->unsound, device))
                (void) json_object_set_new(op->unsound, device, json_string(reason));
}

static void on_each(void *userdata, const char *device, const char *reason, json_t *findings) {
        Operation *op = userdata;

        log_findings(op, device, findings);
        keep_findings(op->m, device, findings);
        if (reason)
                operation_distrust(op, device, reason);
}

static void enter_all(Operation *op) {
        const char *device;
        json_t *reason;

        json_object_foreach(op->unsound, device, reason) {
                const QuarantineSpec spec = spec_of(op, device, json_string_value(reason));

                (void) quarantine_enter(op->m, &spec);
        }
        op->after_probe(op);
}

/* Unwritten or not: whoever asks next does not get it. A restart would not know, which is said. */
static void on_stored(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        if (result < 0)
                log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("JOB", op->job->id),
                            "a quarantine could not be written and ends with the service: %s", strempty(fault->message));
        enter_all(op);
}

static void on_done(void *userdata, int result) {
        Operation *op = userdata;
        const char *device;
        json_t *reason;
        StoreTxn *txn;

        op->unprobed = result < 0;
        if (op->unprobed)
                fault_set(&op->fault, result, FAULT_NOT_READY,
                          "the service ends; its devices are looked at when it starts again");
        if (op->unprobed || json_object_size(op->unsound) == 0) {
                op->after_probe(op);
                return;
        }
        txn = store_begin(op->m->store, STORE_STATE);
        json_object_foreach(op->unsound, device, reason) {
                const QuarantineSpec spec = spec_of(op, device, json_string_value(reason));

                if (txn && quarantine_store(op->m, txn, &spec) < 0)
                        txn = store_abandon(txn);
        }
        if (!txn || store_commit(txn, on_stored, op) < 0) {
                log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("JOB", op->job->id),
                            "a quarantine could not be written and ends with the service");
                enter_all(op);
        }
}

void operation_probe(Operation *op, json_t *devices, json_t *notes, OperationNext next) {
        op->after_probe = next;
        op->unprobed = false;
        job_set_step(op->m, op->job, "see whether the devices are sound", 1);
        if (probe_start(op->m, devices, notes, op->job->id, on_each, on_done, op) <= 0)
                on_done(op, 0);
}
