/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observer.h"

#include "context.h"
#include "lib/protocol.h"
#include "lib/value-util.h"

static int check_present(Worker *worker, const PtDevice *device, Fault *fault) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = sysfs_open_device(&worker->sysfs, device->subsystem, device->sysname, &fd, NULL);
        if (r == -ENOENT || r == -ENODEV)
                return fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, device->id,
                                        "The device %s is gone", device->sysname);
        if (r < 0)
                return fault_set_object(fault, r, FAULT_WORKER_FAILED, device->id,
                                        "Cannot open the device %s: %s", device->sysname,
                                        strerrordesc_np(-r));

        return 0;
}

static int observe_device(Worker *worker, const DeviceList *devices, const JobDevice *item, json_t *fields,
                          char **ret_blob, Fault *fault) {
        _cleanup_context_ WorkerContext context = {};
        const PtModule *module = NULL;
        int r;

        r = check_present(worker, &item->device, fault);
        if (r < 0)
                return r;
        if (!item->module)
                return fault_set_object(fault, -EINVAL, FAULT_MODULE_MISSING, item->device.id,
                                        "No module is named for %s", item->device.id);
        r = module_set_get(&worker->modules, devices->module_dir, item->module, &module, fault);
        if (r < 0)
                return r;
        if (!module->observe)
                return 0;

        r = context_init(&context, worker, devices, module, &item->device, CONTEXT_READ);
        if (r < 0)
                return r;
        r = module->observe(&context.base, &item->device);
        if (r < 0)
                return fault_set_object(fault, r, FAULT_WORKER_FAILED, item->device.id, "Cannot read %s: %s",
                                        item->device.sysname,
                                        context.error ? context.error : strempty(strerrordesc_np(-r)));

        for (size_t i = 0; i < FIELDS_MAX && module->fields[i].name; i++)
                if (context.fields[i].type != PT_NONE &&
                    json_object_set_new(fields, module->fields[i].name, value_to_json(&context.fields[i])) <
                            0)
                        return fault_oom(fault);

        *ret_blob = TAKE_PTR(context.blob);
        return 0;
}

static int send_fields(Worker *worker, const char *id, json_t *fields, const char *blob, int result,
                       const Fault *fault) {
        return worker_send(worker, json_pack("{s:s, s:s, s:O, s:o, s:i, s:o}", "type", "fields", "device", id,
                                             "fields", fields, "blob", json_text(blob), "result", result,
                                             "error", json_fault(fault)));
}

int observer_run(Worker *worker, const DeviceList *devices) {
        for (size_t i = 0; i < devices->n_items; i++) {
                const JobDevice *item = &devices->items[i];
                _cleanup_json_ json_t *fields = json_object();
                _cleanup_fault_ Fault fault = {};
                _cleanup_free_ char *blob = NULL;
                int r, result;

                if (!fields)
                        return -ENOMEM;

                result = observe_device(worker, devices, item, fields, &blob, &fault);
                if (result < 0)
                        (void) json_object_clear(fields);
                r = send_fields(worker, item->device.id, fields, blob, result, &fault);
                if (r == -EMSGSIZE) {
                        (void) json_object_clear(fields);
                        result = fault_set_object(&fault, r, FAULT_WORKER_FAILED, item->device.id,
                                                  "The values of %s are too long to be sent",
                                                  item->device.sysname);
                        r = send_fields(worker, item->device.id, fields, NULL, result, &fault);
                }
                if (r < 0)
                        return r;
        }

        return 0;
}
