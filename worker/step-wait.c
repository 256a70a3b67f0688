/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Wait: until an attribute reads a value, or until an entry exists. sysfs tells nobody about changes of its
 * attributes (inotify sees only what comes through the file system), so this looks again, at intervals that
 * grow. */

#include <stdio.h>
#include <time.h>

#include "step.h"

#define WAIT_FIRST_MSEC 1u
#define WAIT_LONGEST_MSEC 100u

static uint64_t now_msec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000u + (uint64_t) ts.tv_nsec / 1000000u;
}

/* 1 when the condition holds, 0 when not yet. `found` says what is there instead. A device that is not there
 * (yet, or for a moment: a VF that is made again) is opened again at the next look. */
static int look(StepCall *call, char *found, size_t size) {
        const PtDevice *device = &call->device->device;
        _cleanup_close_ int device_fd = -EBADF;
        const char *wanted = call->step->value;
        ssize_t n;
        int r;

        r = sysfs_open_device(&call->worker->sysfs, device->subsystem, device->sysname, &device_fd, NULL);
        if (r == -ENOENT || r == -ENODEV) {
                (void) snprintf(found, size, "the device is not there");
                return 0;
        }
        if (r < 0)
                return r;

        if (isempty(wanted)) {
                (void) snprintf(found, size, "it does not exist");
                return sysfs_exists_at(device_fd, call->step->name);
        }

        n = sysfs_read_at(device_fd, call->step->name, found, size);
        if (n < 0) {
                (void) snprintf(found, size, "reading it says: %s", strerrordesc_np((int) -n));
                return 0;
        }

        return streq(found, wanted);
}

static int observe(StepCall *call, json_t **ret) {
        *ret = json_object();
        return *ret ? 0 : -ENOMEM;
}

static int run(StepCall *call) {
        uint64_t deadline = now_msec() + step_timeout_msec(call->step);
        char found[ATTRIBUTE_MAX_BYTES + 1] = "";
        int r;

        for (unsigned interval = WAIT_FIRST_MSEC;; interval = MIN_OF(interval * 2, WAIT_LONGEST_MSEC)) {
                uint64_t now;

                r = look(call, found, sizeof(found));
                if (r < 0)
                        return r;
                if (r > 0)
                        return 0;

                now = now_msec();
                if (now >= deadline)
                        break;
                r = worker_pause(call->worker, (unsigned) MIN_OF((uint64_t) interval, deadline - now));
                if (r < 0)
                        return r;
        }

        if (isempty(call->step->value))
                return step_fail(call, -ETIMEDOUT, FAULT_TIMED_OUT,
                                 "%s of %s did not appear within %u ms: %s", call->step->name,
                                 step_sysname(call), step_timeout_msec(call->step), found);

        return step_fail(call, -ETIMEDOUT, FAULT_TIMED_OUT,
                         "%s of %s did not become \"%s\" within %u ms: %s", call->step->name,
                         step_sysname(call), call->step->value, step_timeout_msec(call->step), found);
}

static int undo(StepCall *call, json_t *observed) {
        return 0;
}

const StepOps step_ops_wait = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
