/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reset of a device that nobody claims. The operation itself holds the device's resource keys while it runs. */

#include <stdio.h>

#include "guard.h"
#include "lib/driver.h"
#include "operation.h"
#include "reset-report.h"

static void holder_name(const Operation *op, char ret[static ID_SIZE]) {
        snprintf(ret, ID_SIZE, "job:%.40s", op->holder);
}

void operation_release_keys(Operation *op) {
        char holder[ID_SIZE];

        holder_name(op, holder);
        key_table_release(op->m->keys, holder);
}

static void on_before(void *userdata, WorkerRun *run, size_t step, const char *observed) {
        Operation *op = userdata;

        if (step < op->plan.n_steps)
                job_set_step(op->m, op->job, op->plan.steps[step].sentence, (double) step / (double) op->plan.n_steps);
        if (op->job->cancel)
                worker_run_stop(run);
        else
                worker_run_go(run);
}

static void on_probed(Operation *op) {
        operation_release_keys(op);
        operation_finish(op);
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;

        op->run = NULL;
        if (result < 0)
                operation_fail(op, fault);
        if (op->fault.code == FAULT_DRIVER_STUCK) {
                operation_finish_stuck(op); /* keys stay until the child is gone */
                return;
        }
        Device *device = inventory_find(op->m->inventory, op->job->objects[0] + strlen("devices/"));
        _cleanup_(json_decrefp) json_t *records = json_array();
        if (device)
                (void) json_array_append_new(records, host_device_to_json(device->host, device->module->file));
        operation_probe(op, records, op->notes, on_probed);
}

static void on_noted(void *userdata, const char *device, const char *text) {
        Operation *op = userdata;

        if (!op->notes)
                op->notes = json_object();
        (void) json_object_set_new(op->notes, device, json_string(text));
}

static void on_report(void *userdata, const char *device, json_t *report, int result, const char *error) {
        reset_report_keep(userdata, device, report, result, error);
}

static void on_gone(void *userdata) {
        operation_stuck_gone(userdata);
}

static const WorkerEvents reset_events = {
        .before = on_before,
        .noted = on_noted,
        .report = on_report,
        .done = on_done,
        .gone = on_gone,
};

static int take_keys(Operation *op, Device *device, Fault *fault) {
        _cleanup_keys_ KeyList keys = { 0 };
        char holder[ID_SIZE];
        int r = inventory_uses(op->m->inventory, device, &keys, fault);

        if (r < 0)
                return r;
        holder_name(op, holder);
        return key_table_take(op->m->keys, &keys, holder, fault);
}

static int plan_reset(Operation *op, Device *device, Fault *fault) {
        const PlanRequest request = { .verb = PT_VERB_RESET, .gid = (gid_t) -1 };
        int r = inventory_plan(op->m->inventory, device, &request, &op->plan, fault);

        if (r < 0)
                return r;
        if (op->plan.n_steps == 0)
                return fault_set_object(fault, -ENOTSUP, FAULT_WRONG_STATE, device->id, "%s has no reset of its own",
                                        device->host->sysname);
        return 0;
}

static int start_worker(Operation *op, Device *device, Fault *fault) {
        int r = inventory_bundle(op->m->inventory, device, &op->bundle);

        if (r < 0)
                return fault_oom(fault);
        job_set_state(op->m, op->job, JOB_RUNNING);
        return worker_pool_run(op->m->workers,
                               &(WorkerSpec) {
                                       .mode = WORKER_EXECUTE,
                                       .job = op->job->id,
                                       .devices = op->bundle,
                                       .module_directory = loader_directory(op->m->loader),
                                       .module_file = device->module->file,
                                       .plan = &op->plan,
                                       .note = true,
                               },
                               &reset_events, op, &op->run, fault);
}

/* ---- who has it open ---- */

static void on_held(void *userdata, WorkerRun *run, json_t *holders) {
        Operation *op = userdata;

        json_decref(op->holders);
        op->holders = json_incref(holders);
}

static void give_up(Operation *op) {
        operation_release_keys(op);
        operation_finish(op);
}

static void on_holders_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;
        json_t *first = json_array_get(op->holders, 0);
        Device *device = inventory_find(op->m->inventory, op->job->objects[0] + strlen("devices/"));

        op->run = NULL;
        if (result < 0)
                operation_fail(op, fault);
        else if (!device)
                fault_set(&op->fault, -ENODEV, FAULT_DEVICE_GONE, "the device is gone");
        else if (first)
                fault_set_object(&op->fault, -EBUSY, FAULT_DEVICE_BUSY, device->id, "%s (pid %lld) has %s open",
                                 strempty(json_string_value(json_object_get(first, "comm"))),
                                 (long long) json_integer_value(json_object_get(first, "pid")),
                                 strempty(json_string_value(json_object_get(first, "node"))));
        if (op->fault.code != FAULT_NONE || start_worker(op, device, &op->fault) < 0)
                give_up(op);
}

static const WorkerEvents holders_events = {
        .held = on_held,
        .done = on_holders_done,
};

/* A device on a VFIO driver, or on usbfs, may be in the hands of somebody that we know nothing of. */
static int ask_holders(Operation *op, const Device *device, Fault *fault) {
        char node[32];
        const char *nodes[] = { node, NULL };

        if (streq(device->host->subsystem, "usb"))
                (void) snprintf(node, sizeof(node), "/dev/bus/usb/%03u/%03u", device->host->instance >> 8,
                                device->host->instance & 0xff);
        else
                (void) snprintf(node, sizeof(node), "/dev/vfio/%d", (int) device->host->iommu_group);
        return worker_pool_run(op->m->workers,
                               &(WorkerSpec) { .mode = WORKER_HOLDERS, .job = op->job->id, .nodes = nodes },
                               &holders_events, op, &op->run, fault);
}

/* ---- whether the host needs it ---- */

static int begin(Operation *op, Device *device, Fault *fault) {
        _cleanup_findings_ FindingList findings = { 0 };
        const PtFinding *blocker;

        /* Siblings too: a reset of the slot or bus takes them along. */
        device_need(op->m, device, &findings);
        blocker = finding_first_blocker(&findings);
        if (blocker)
                return fault_set_object(fault, -EBUSY, FAULT_DEVICE_BLOCKED, device->id, "%s: %s", device->host->sysname,
                                        blocker->text);
        return device->host->driver ? ask_holders(op, device, fault) : start_worker(op, device, fault);
}

static void on_evidence(void *userdata, int result) {
        Operation *op = userdata;
        Device *device = inventory_find(op->m->inventory, op->job->objects[0] + strlen("devices/"));

        if (result == -ESHUTDOWN)
                return;
        if (op->job->cancel)
                fault_set(&op->fault, -ECANCELED, FAULT_CANCELLED, "cancelled before the first step");
        else if (!device)
                fault_set(&op->fault, -ENODEV, FAULT_DEVICE_GONE, "the device is gone");
        if (op->fault.code != FAULT_NONE || begin(op, device, &op->fault) < 0)
                give_up(op);
}

/* Of a device with parts (interfaces of a USB device) those are bound, and its own driver only carries them. */
const char *device_host_driver(const Device *device) {
        const char *driver = device->host->driver;
        PtValue parts;

        if (device_get_field_by_name(device, "interface-drivers", &parts) >= 0 && parts.type == PT_STRV)
                return parts.strv[0];
        return driver_is_vfio(driver) ? NULL : driver;
}

int manager_reset_device(Manager *m, const Caller *caller, Device *device, Job **ret, Fault *fault) {
        const char *driver;
        Operation *op;
        int r;

        if (device->role != PT_ROLE_OFFER)
                return fault_set_object(fault, -EPERM, FAULT_DEVICE_BLOCKED, device->id,
                                        "%s belongs to the host and is never reset", device->name);
        driver = device_host_driver(device);
        if (driver)
                return fault_set_object(fault, -EBUSY, FAULT_DEVICE_BUSY, device->id,
                                        "the host's driver %s uses %s; a reset would take it from under it", driver,
                                        device->host->sysname);
        r = operation_new(m, "reset", caller->uid, NULL, device->id, &op, fault);
        if (r < 0)
                return r;
        snprintf(op->holder, sizeof(op->holder), "%s", op->job->id);
        r = take_keys(op, device, fault);
        if (r >= 0)
                r = plan_reset(op, device, fault);
        if (r >= 0 && !guard_stale(m->guard))
                r = begin(op, device, fault);
        else if (r >= 0) {
                *ret = op->job; /* kept for a while, even when the answer comes at once */
                guard_refresh(m->guard, on_evidence, op);
                return 0;
        }
        if (r < 0) {
                fault_copy(&op->fault, fault);
                give_up(op);
                return r;
        }
        *ret = op->job;
        return 0;
}
