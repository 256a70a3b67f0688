/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Create mdev: a mediated device comes into being by a write of its UUID, gets an IOMMU group of its own and with it a VFIO
 * node (drivers/vfio/mdev). Both are there when the write returns, the node in /dev a little later. The kernel keeps nothing of
 * it over a reboot.
 *
 * Removing: drivers of vGPUs let go of one only some time after its last user closed it, and take it away by themselves at
 * times (EAGAIN, EBUSY, EPERM, or it is gone): so it is asked for again until it is gone. */

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "kernel-error.h"
#include "lib/protocol.h"
#include "step.h"

#define TYPES "mdev_supported_types"
#define PATH_SIZE (2 * NAME_MAX_BYTES)
#define LOOK_FIRST_MSEC 2u
#define LOOK_LONGEST_MSEC 100u
#define REMOVE_AGAIN_MSEC 500u

static uint64_t now_msec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000u + (uint64_t) ts.tv_nsec / 1000000u;
}

/* An mdev of this UUID below any parent: the bus knows it. */
static bool uuid_is_taken(StepCall *call) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s", call->step->value);
        return sysfs_exists(&call->worker->sysfs, path);
}

/* The type was there when the plan was made; drivers withdraw some when others are made. */
static int check_type(StepCall *call, int device_fd) {
        char path[PATH_SIZE];

        if ((size_t) snprintf(path, sizeof(path), TYPES "/%s/create", call->step->name) < sizeof(path) &&
            sysfs_exists_at(device_fd, path))
                return 0;
        return step_fail(call, -ENOENT, FAULT_WRONG_STATE,
                         "%s offers no mediated devices of the type %s now: its driver may have been reloaded or changed",
                         step_sysname(call), call->step->name);
}

static int observe(StepCall *call, json_t **ret) {
        _cleanup_close_ int device_fd = -EBADF;
        int r;

        r = step_open_device(call, &device_fd);
        if (r >= 0)
                r = check_type(call, device_fd);
        if (r < 0)
                return r;
        if (uuid_is_taken(call))
                return step_fail(call, -EEXIST, FAULT_WRONG_STATE,
                                 "There is a mediated device %s already, which this service did not make: remove it "
                                 "(echo 1 > /sys/bus/mdev/devices/%s/remove)",
                                 call->step->value, call->step->value);

        *ret = json_object();
        return *ret ? 0 : -ENOMEM;
}

/* Linux 6.1: drivers/vfio/mdev/mdev_core.c, and what drivers of parents return. */
static int explain_refusal(StepCall *call, int error) {
        const char *why = NULL;

        if (error == -ENOSPC || error == -EUSERS)
                return step_fail(call, error, FAULT_NO_DEVICE_AVAILABLE,
                                 "%s has no room for another mediated device of the type %s (%s)", step_sysname(call),
                                 call->step->name, strerrordesc_np(-error));
        if (error == -EEXIST)
                why = "the UUID is in use";
        else if (error == -ENODEV)
                why = "its driver is being unloaded";
        else if (error == -EIO || error == -EINVAL || error == -EPERM)
                why = "its driver refuses; see the kernel log";
        return step_fail(call, error, kernel_error_code("create", error),
                         "Cannot make a mediated device of the type %s on %s: %s%s%s%s", call->step->name,
                         step_sysname(call), strerrordesc_np(-error), why ? " (" : "", strempty(why), why ? ")" : "");
}

/* The IOMMU group, then the node in /dev that comes with it. */
static int await_node(StepCall *call, int device_fd, char *node, size_t size) {
        uint64_t deadline = now_msec() + step_timeout_msec(call->step);
        char link[PATH_SIZE], group[32], path[96];
        int r;

        (void) snprintf(link, sizeof(link), "%s/iommu_group", call->step->value);
        for (unsigned interval = LOOK_FIRST_MSEC;; interval = MIN_OF(interval * 2, LOOK_LONGEST_MSEC)) {
                if (sysfs_link_at(device_fd, link, group, sizeof(group)) > 0) {
                        (void) snprintf(node, size, "vfio/%s", group);
                        (void) snprintf(path, sizeof(path), "/dev/%s", node);
                        if (sysfs_exists(&call->worker->sysfs, path))
                                return 0;
                }
                if (now_msec() >= deadline)
                        return step_fail(call, -ETIMEDOUT, FAULT_TIMED_OUT,
                                         "The mediated device %s of %s was made but has no VFIO node after %u ms; is a "
                                         "driver for it loaded?",
                                         call->step->value, step_sysname(call), step_timeout_msec(call->step));
                r = worker_pause(call->worker, interval);
                if (r < 0)
                        return r;
        }
}

/* As a node-owner step of the mediated device itself would. */
static int give_node(StepCall *call, const char *node) {
        const JobDevice made = {
                .device = { .struct_size = sizeof(PtDevice),
                            .id = call->device->device.id,
                            .subsystem = "mdev",
                            .sysname = call->step->value,
                            .iommu_group = -1 },
        };
        const PtStep step = {
                .kind = PT_STEP_NODE_OWNER,
                .device = call->step->device,
                .name = node,
                .sentence = call->step->sentence,
                .timeout_ms = call->step->timeout_ms,
                .uid = call->step->uid,
                .gid = call->step->gid,
                .mode = call->step->mode,
        };
        StepCall inner = { .worker = call->worker, .devices = call->devices, .device = &made, .step = &step };
        _cleanup_json_ json_t *found = NULL;
        int r;

        r = step_ops_node.observe(&inner, &found); /* waits until udev is done with it */
        if (r >= 0)
                r = step_ops_node.run(&inner);
        fault_move(&call->fault, &inner.fault);
        free(inner.text);
        return r;
}

static int run(StepCall *call) {
        _cleanup_close_ int device_fd = -EBADF;
        char path[PATH_SIZE], node[64];
        int r;

        r = step_open_device(call, &device_fd);
        if (r >= 0)
                r = check_type(call, device_fd);
        if (r < 0)
                return r;
        (void) snprintf(path, sizeof(path), TYPES "/%s/create", call->step->name);
        r = sysfs_write_at(device_fd, path, call->step->value);
        if (r < 0)
                return explain_refusal(call, r);
        r = await_node(call, device_fd, node, sizeof(node));
        if (r >= 0)
                r = give_node(call, node);
        if (r < 0)
                return r;

        step_note(call, "the mediated device %s has the node /dev/%s", call->step->value, node);
        return 0;
}

/* 0 when it is gone or going; what may be over in a moment is passed over until then. */
static int ask_to_go(StepCall *call, int device_fd, const char *path) {
        int r = sysfs_write_at(device_fd, path, "1");

        if (r >= 0 || r == -ENOENT || r == -ENODEV || r == -EAGAIN || r == -EBUSY || r == -EPERM)
                return r;
        return step_fail(call, r, kernel_error_code("remove", r), "Cannot remove the mediated device %s of %s: %s",
                         call->step->value, step_sysname(call), strerrordesc_np(-r));
}

static int undo(StepCall *call, json_t *observed) {
        uint64_t deadline = now_msec() + step_timeout_msec(call->step), again = 0;
        _cleanup_close_ int device_fd = -EBADF;
        char path[PATH_SIZE];
        int r, last = 0;

        r = step_open_device_for_undo(call, &device_fd);
        if (r < 0 || device_fd < 0)
                return r;
        (void) snprintf(path, sizeof(path), "%s/remove", call->step->value);
        for (unsigned interval = LOOK_FIRST_MSEC; sysfs_exists_at(device_fd, call->step->value);
             interval = MIN_OF(interval * 2, LOOK_LONGEST_MSEC)) {
                if (now_msec() >= deadline)
                        return step_fail(call, last < 0 ? last : -ETIMEDOUT, FAULT_DEVICE_BUSY,
                                         "The driver of %s does not let go of the mediated device %s within %u ms%s%s",
                                         step_sysname(call), call->step->value, step_timeout_msec(call->step),
                                         last < 0 ? ": " : "", last < 0 ? strerrordesc_np(-last) : "");
                if (now_msec() >= again) {
                        last = ask_to_go(call, device_fd, path);
                        if (call->fault.code != FAULT_NONE)
                                return last;
                        again = now_msec() + REMOVE_AGAIN_MSEC;
                }
                r = worker_pause(call->worker, interval);
                if (r < 0)
                        return r;
        }

        return 0;
}

const StepOps step_ops_mdev = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
