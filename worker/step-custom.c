/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Custom steps: code of the device's module, called in the order observe, run, or undo with the text that
 * observe left. */

#include "context.h"
#include "step.h"

typedef struct CustomCall {
        const PtCustomStep *custom;
        const PtModule *module;
        PtDevice device; /* as it is now */
        char driver[256];
} CustomCall;

static int prepare(StepCall *call, CustomCall *ret) {
        const JobDevice *known = call->device;
        _cleanup_close_ int device_fd = -EBADF;
        int r;

        if (!known->module)
                return step_fail(call, -ENOENT, FAULT_MODULE_MISSING,
                                 "No module is named for %s: its step %s cannot be run", step_sysname(call),
                                 strempty(call->step->name));
        r = module_set_get(&call->worker->modules, call->devices->module_dir, known->module, &ret->module,
                           &call->fault);
        if (r < 0)
                return r;
        ret->custom = module_find_custom_step(ret->module, call->step->name);
        if (!ret->custom)
                return step_fail(call, -ENOENT, FAULT_MODULE_MISSING, "The module %s has no step %s",
                                 ret->module->type, strempty(call->step->name));

        /* The request says which driver was bound when it was made; earlier steps may have changed that. */
        ret->device = known->device;
        r = sysfs_open_device(&call->worker->sysfs, known->device.subsystem, known->device.sysname,
                              &device_fd, NULL);
        if (r >= 0)
                ret->device.driver = sysfs_link_at(device_fd, "driver", ret->driver, sizeof(ret->driver)) > 0
                                             ? ret->driver
                                             : NULL;
        return 0;
}

/* The module's own words, where it had some. */
static int conclude(StepCall *call, const WorkerContext *context, int r) {
        if (r >= 0)
                return 0;

        return context->error ? step_fail(call, r, FAULT_STEP_FAILED, "%s", context->error) : r;
}

static int observe(StepCall *call, json_t **ret) {
        _cleanup_context_ WorkerContext context = {};
        CustomCall custom = {};
        int r;

        r = prepare(call, &custom);
        if (r < 0)
                return r;
        r = context_init(&context, call->worker, call->devices, custom.module, &custom.device,
                         CONTEXT_RECORD);
        if (r < 0)
                return r;
        if (custom.custom->observe) {
                r = conclude(call, &context,
                             custom.custom->observe(&context.base, &custom.device, call->step));
                if (r < 0)
                        return r;
        }

        *ret = json_pack("{s:s}", "text", strempty(context.observed));
        if (!*ret)
                return step_fail(call, -EILSEQ, FAULT_STEP_FAILED,
                                 "What the module %s observed of %s is not UTF-8 text and could not be used "
                                 "to undo the step",
                                 custom.module->type, step_sysname(call));

        return 0;
}

static int run(StepCall *call) {
        _cleanup_context_ WorkerContext context = {};
        CustomCall custom = {};
        int r;

        r = prepare(call, &custom);
        if (r < 0)
                return r;
        if (!custom.custom->run)
                return 0;
        r = context_init(&context, call->worker, call->devices, custom.module, &custom.device,
                         CONTEXT_WRITE);
        if (r < 0)
                return r;

        return conclude(call, &context, custom.custom->run(&context.base, &custom.device, call->step));
}

static int undo(StepCall *call, json_t *observed) {
        _cleanup_context_ WorkerContext context = {};
        CustomCall custom = {};
        const char *text = NULL;
        int r;

        r = step_get_observed(call, observed, "text", &text);
        if (r < 0)
                return r;
        r = prepare(call, &custom);
        if (r < 0)
                return r;
        if (!custom.custom->undo)
                return 0;
        r = context_init(&context, call->worker, call->devices, custom.module, &custom.device,
                         CONTEXT_WRITE);
        if (r < 0)
                return r;

        return conclude(call, &context,
                        custom.custom->undo(&context.base, &custom.device, call->step, strempty(text)));
}

const StepOps step_ops_custom = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
