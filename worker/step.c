/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "step.h"

#include <stdarg.h>
#include <stdio.h>

#include "kernel-error.h"

const char *step_sysname(const StepCall *call) {
        return call->device->device.sysname;
}

int step_open_device(StepCall *call, int *ret_fd) {
        const PtDevice *device = &call->device->device;
        int r;

        r = sysfs_open_device(&call->worker->sysfs, device->subsystem, device->sysname, ret_fd, NULL);
        if (r == -ENOENT || r == -ENODEV)
                return step_fail(call, -ENODEV, FAULT_DEVICE_GONE, "The device %s is gone", device->sysname);
        if (r < 0)
                return step_fail(call, r, FAULT_STEP_FAILED, "Cannot open the device %s of %s: %s",
                                 device->sysname, device->subsystem, strerrordesc_np(-r));

        return 0;
}

int step_open_device_for_undo(StepCall *call, int *ret_fd) {
        int r;

        r = step_open_device(call, ret_fd);
        if (r == -ENODEV) {
                fault_done(&call->fault);
                call->fault = (Fault){};
                step_note(call, "%s is gone: nothing to restore", step_sysname(call));
                *ret_fd = -EBADF;
                return 0;
        }

        return r;
}

int step_fail(StepCall *call, int error, FaultCode code, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (r < 0) {
                message = NULL;
                return fault_oom(&call->fault);
        }

        return fault_set_object(&call->fault, error, code, call->step->device, "%s", message);
}

void step_note(StepCall *call, const char *format, ...) {
        char *text = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return;

        free(call->text);
        call->text = text;
}

int step_write(StepCall *call, int dir_fd, const char *path, const char *attribute, const char *value) {
        const char *hint;
        int r;

        r = sysfs_write_at(dir_fd, path, value);
        if (r >= 0)
                return 0;

        hint = kernel_error_hint(attribute, r);
        return step_fail(call, r, kernel_error_code(attribute, r),
                         "Cannot write \"%.*s\" to %s of %s: %s%s%s%s", (int) strcspn(value, "\n"), value,
                         attribute, step_sysname(call), strerrordesc_np(-r), hint ? " (" : "",
                         strempty(hint), hint ? ")" : "");
}

int step_get_observed(StepCall *call, json_t *observed, const char *key, const char **ret) {
        json_t *value = json_object_get(observed, key);

        if (!json_is_string(value) && !json_is_null(value))
                return step_fail(call, -EBADMSG, FAULT_STATE_DAMAGED,
                                 "The record of what %s was before lacks \"%s\": nothing was restored",
                                 step_sysname(call), key);

        *ret = json_string_value(value);
        return 0;
}
