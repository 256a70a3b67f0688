/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reset: a write to the attribute `reset`. The kernel picks the method (reset_method); nothing can be
 * undone. */

#include "step.h"

static int observe(StepCall *call, json_t **ret) {
        _cleanup_close_ int device_fd = -EBADF;
        int r;

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        if (!sysfs_exists_at(device_fd, "reset"))
                return step_fail(call, -EOPNOTSUPP, FAULT_STEP_FAILED,
                                 "%s offers no reset: what its last user left in it may stay",
                                 step_sysname(call));

        *ret = json_object();
        return *ret ? 0 : -ENOMEM;
}

static int run(StepCall *call) {
        _cleanup_close_ int device_fd = -EBADF;
        char method[128];
        int r;

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        r = step_write(call, device_fd, "reset", "reset", "1");
        if (r < 0)
                return r;

        if (sysfs_read_at(device_fd, "reset_method", method, sizeof(method)) > 0)
                step_note(call, "%s was reset, methods in order: %s", step_sysname(call), method);
        return 0;
}

static int undo(StepCall *call, json_t *observed) {
        return 0;
}

const StepOps step_ops_reset = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
