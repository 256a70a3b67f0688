/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "probe.h"

#include "context.h"
#include "lib/protocol.h"
#include "module-load.h"

static int check_present(Worker *worker, const PtDevice *device, Fault *fault) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = sysfs_open_device(&worker->sysfs, device->subsystem, device->sysname, &fd, NULL);
        if (r == -ENOENT || r == -ENODEV)
                return fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, device->id, "The device %s is gone",
                                        device->sysname);
        if (r < 0)
                return fault_set_object(fault, r, FAULT_WORKER_FAILED, device->id, "Cannot open the device %s: %s",
                                        device->sysname, strerrordesc_np(-r));
        return 0;
}

/* `ret_findings`, `ret_note`: owned by the caller, NULL for none. */
static int look_at(Worker *worker, const DeviceList *devices, const JobDevice *item, const char *noted,
                   json_t **ret_findings, char **ret_note, Fault *fault) {
        _cleanup_context_ WorkerContext context = {};
        const PtModule *module = NULL;
        int r;

        r = check_present(worker, &item->device, fault);
        if (r < 0 || !item->module)
                return r;
        r = module_set_get(&worker->modules, devices->module_dir, item->module, &module, fault);
        if (r < 0 || !module->health)
                return r;
        r = context_init(&context, worker, devices, module, &item->device, CONTEXT_HEALTH);
        if (r < 0)
                return r;
        context.noted = noted;
        r = module->health(&context.base, &item->device);
        /* A card that is pulled meanwhile reads like a broken one. */
        if (check_present(worker, &item->device, fault) == -ENODEV)
                return -ENODEV;
        if (r < 0)
                return fault_set_object(fault, r, FAULT_WORKER_FAILED, item->device.id, "Cannot look at %s: %s",
                                        item->device.sysname,
                                        context.error ? context.error : strempty(strerrordesc_np(-r)));
        *ret_findings = TAKE_PTR(context.findings);
        *ret_note = TAKE_PTR(context.observed);
        return 0;
}

int probe_note(Worker *worker, const DeviceList *devices) {
        for (size_t i = 0; i < devices->n_items; i++) {
                _cleanup_json_ json_t *findings = NULL;
                _cleanup_fault_ Fault fault = {};
                _cleanup_free_ char *note = NULL;
                int r;

                if (look_at(worker, devices, &devices->items[i], NULL, &findings, &note, &fault) < 0 || isempty(note))
                        continue;
                r = worker_send(worker, json_pack("{s:s, s:s, s:s}", "type", "noted", "device",
                                                  devices->items[i].device.id, "text", note));
                if (r < 0)
                        return r;
        }
        return 0;
}

int probe_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        _cleanup_device_list_ DeviceList devices = {};
        json_t *notes = json_object_get(message, "notes");

        *ret_result = device_list_from_message(message, &devices, fault);
        if (*ret_result < 0)
                return 0;

        for (size_t i = 0; i < devices.n_items; i++) {
                const JobDevice *item = &devices.items[i];
                _cleanup_json_ json_t *findings = NULL;
                _cleanup_fault_ Fault own = {};
                _cleanup_free_ char *note = NULL;
                int r, result;

                result = look_at(worker, &devices, item, json_string_value(json_object_get(notes, item->device.id)),
                                 &findings, &note, &own);
                r = worker_send(worker, json_pack("{s:s, s:s, s:o, s:i, s:o}", "type", "health", "device",
                                                  item->device.id, "findings",
                                                  findings ? json_incref(findings) : json_array(), "result", result,
                                                  "error", json_fault(&own)));
                if (r < 0)
                        return r;
        }
        return 0;
}
