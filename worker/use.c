/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "use.h"

#include "context.h"
#include "lib/protocol.h"
#include "module-load.h"

/* `ret`: new reference, untouched on failure. */
static int measure(Worker *worker, const DeviceList *devices, const JobDevice *item, json_t **ret, Fault *fault) {
        _cleanup_context_ WorkerContext context = {};
        const PtModule *module = NULL;
        int r;

        if (!item->module)
                return fault_set_object(fault, -EINVAL, FAULT_MODULE_MISSING, item->device.id,
                                        "No module is named for %s", item->device.id);
        r = module_set_get(&worker->modules, devices->module_dir, item->module, &module, fault);
        if (r < 0)
                return r;
        if (!module->use)
                return fault_set_object(fault, -EOPNOTSUPP, FAULT_WORKER_FAILED, item->device.id,
                                        "devices of type %s are not measured", module->type);
        r = context_init(&context, worker, devices, module, &item->device, CONTEXT_USE);
        if (r < 0)
                return r;
        r = module->use(&context.base, &item->device);
        if (r >= 0 && !context.use)
                r = -ENODATA;
        if (r < 0)
                return fault_set_object(fault, r, FAULT_WORKER_FAILED, item->device.id, "%s",
                                        context.error ? context.error : strempty(strerrordesc_np(-r)));
        *ret = TAKE_PTR(context.use);
        return 0;
}

int use_run(Worker *worker, json_t *message, int *ret_result, Fault *fault) {
        json_t *providers = json_object_get(message, "providers"), *id;
        _cleanup_device_list_ DeviceList devices = {};
        size_t i;

        *ret_result = device_list_from_message(message, &devices, fault);
        if (*ret_result < 0)
                return 0;
        json_array_foreach(providers, i, id) {
                const JobDevice *item = device_list_find(&devices, strempty(json_string_value(id)));
                _cleanup_json_ json_t *use = NULL;
                _cleanup_fault_ Fault own = {};
                int r, result;

                if (!item) {
                        *ret_result = fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "A provider is not among the devices");
                        return 0;
                }
                result = measure(worker, &devices, item, &use, &own);
                r = worker_send(worker, json_pack("{s:s, s:s, s:o, s:i, s:o}", "type", "used", "device", item->device.id,
                                                  "use", use ? json_incref(use) : json_null(), "result", result, "error",
                                                  json_fault(&own)));
                if (r < 0)
                        return r;
        }
        return 0;
}
