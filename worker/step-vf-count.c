/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Set VF count: autoprobe off, 0, the number, and what the kernel says afterwards. The kernel takes another number than 0
 * only where there are none (EBUSY, drivers/pci/iov.c), and a driver may take the write and enable fewer: only what
 * sriov_numvfs reads and the virtfnN links show counts. Nobody is kept from pulling a VF from under its user by the kernel:
 * that none of them is in use is for the service to see to, before. */

#include <stdio.h>
#include <time.h>

#include "kernel-error.h"
#include "lib/parse.h"
#include "step.h"

#define COUNT "sriov_numvfs"
#define AUTOPROBE "sriov_drivers_autoprobe"
#define TOTAL "sriov_totalvfs"

#define LOOK_FIRST_MSEC 2u
#define LOOK_LONGEST_MSEC 100u

static uint64_t now_msec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000u + (uint64_t) ts.tv_nsec / 1000000u;
}

static int read_number(StepCall *call, int device_fd, const char *attribute, uint32_t *ret) {
        char text[ATTRIBUTE_MAX_BYTES + 1];
        ssize_t n;

        n = sysfs_read_at(device_fd, attribute, text, sizeof(text));
        if (n == -ENOENT)
                return step_fail(call, -EOPNOTSUPP, FAULT_WRONG_STATE,
                                 "%s has no SR-IOV: there is no %s. Its firmware settings may have it switched off",
                                 step_sysname(call), attribute);
        if (n < 0)
                return step_fail(call, (int) n, kernel_error_code(attribute, (int) n), "Cannot read %s of %s: %s", attribute,
                                 step_sysname(call), strerrordesc_np((int) -n));
        if (parse_uint32(text, ret) < 0)
                return step_fail(call, -EIO, FAULT_STEP_FAILED, "%s of %s reads \"%s\", which is no number", attribute,
                                 step_sysname(call), text);

        return 0;
}

/* NULL in `ret` where the kernel has no such switch (before 4.11). */
static int read_autoprobe(StepCall *call, int device_fd, const char **ret) {
        char text[ATTRIBUTE_MAX_BYTES + 1];
        ssize_t n;

        n = sysfs_read_at(device_fd, AUTOPROBE, text, sizeof(text));
        if (n == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        if (n < 0)
                return step_fail(call, (int) n, kernel_error_code(AUTOPROBE, (int) n), "Cannot read " AUTOPROBE " of %s: %s",
                                 step_sysname(call), strerrordesc_np((int) -n));

        *ret = streq(text, "0") ? "0" : "1";
        return 0;
}

static int set_autoprobe(StepCall *call, int device_fd, const char *value) {
        const char *found;
        int r;

        r = read_autoprobe(call, device_fd, &found);
        if (r < 0 || !found || streq(found, value))
                return r;
        r = step_write(call, device_fd, AUTOPROBE, AUTOPROBE, value);
        if (r >= 0)
                r = read_autoprobe(call, device_fd, &found);
        if (r >= 0 && !streq_null(found, value))
                return step_fail(call, -EIO, FAULT_STEP_FAILED, AUTOPROBE " of %s was set to %s but reads %s",
                                 step_sysname(call), value, strempty(found));

        return r;
}

static int write_count(StepCall *call, int device_fd, uint32_t count) {
        char text[16];
        uint32_t found = 0;
        int r;

        (void) snprintf(text, sizeof(text), "%u", count);
        r = step_write(call, device_fd, COUNT, COUNT, text);
        if (r >= 0)
                r = read_number(call, device_fd, COUNT, &found);
        if (r < 0)
                return r;
        if (found != count)
                return step_fail(call, -EIO, FAULT_STEP_FAILED,
                                 "The driver of %s took the request for %u virtual functions but made %u; its network "
                                 "interface may be down, its firmware at a limit, or resetting (see the kernel log)",
                                 step_sysname(call), count, found);

        return 0;
}

/* The links are there as soon as the kernel has registered the functions; some drivers do that later. */
static int wait_for_links(StepCall *call, int device_fd, uint32_t count) {
        uint64_t deadline = now_msec() + step_timeout_msec(call->step);
        char link[32];
        int r;

        (void) snprintf(link, sizeof(link), "virtfn%u", count > 0 ? count - 1 : 0);
        for (unsigned interval = LOOK_FIRST_MSEC; sysfs_exists_at(device_fd, link) != (count > 0);
             interval = MIN_OF(interval * 2, LOOK_LONGEST_MSEC)) {
                if (now_msec() >= deadline)
                        return step_fail(call, -ETIMEDOUT, FAULT_TIMED_OUT,
                                         "%s has %u virtual functions but %s did not %s within %u ms", step_sysname(call),
                                         count, link, count > 0 ? "appear" : "vanish", step_timeout_msec(call->step));
                r = worker_pause(call->worker, interval);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int change_count(StepCall *call, int device_fd, uint32_t count) {
        uint32_t found = 0;
        int r;

        r = read_number(call, device_fd, COUNT, &found);
        if (r < 0 || found == count)
                return r;
        if (found != 0) {
                r = write_count(call, device_fd, 0);
                if (r < 0)
                        return r;
        }
        if (count != 0) {
                r = write_count(call, device_fd, count);
                if (r < 0)
                        return r;
        }

        return wait_for_links(call, device_fd, count);
}

static int wanted_count(StepCall *call, int device_fd, uint32_t *ret) {
        uint32_t count, total = 0;
        int r;

        r = parse_uint32(call->step->value, &count);
        if (r < 0)
                return step_fail(call, -EINVAL, FAULT_INVALID_VALUE, "\"%s\" is no number of virtual functions",
                                 call->step->value);
        r = read_number(call, device_fd, TOTAL, &total);
        if (r < 0)
                return r;
        if (count > total)
                return step_fail(call, -ERANGE, FAULT_INVALID_VALUE,
                                 "%u virtual functions are wanted of %s, which makes %u at most (" TOTAL ")", count,
                                 step_sysname(call), total);

        *ret = count;
        return 0;
}

static int observe(StepCall *call, json_t **ret) {
        _cleanup_close_ int device_fd = -EBADF;
        const char *autoprobe = NULL;
        uint32_t count = 0;
        int r;

        r = step_open_device(call, &device_fd);
        if (r >= 0)
                r = read_number(call, device_fd, COUNT, &count);
        if (r >= 0)
                r = read_autoprobe(call, device_fd, &autoprobe);
        if (r < 0)
                return r;

        *ret = json_pack("{s:I, s:s?}", "count", (json_int_t) count, "autoprobe", autoprobe);
        return *ret ? 0 : -ENOMEM;
}

static int run(StepCall *call) {
        _cleanup_close_ int device_fd = -EBADF;
        uint32_t count = 0;
        int r;

        r = step_open_device(call, &device_fd);
        if (r >= 0)
                r = wanted_count(call, device_fd, &count);
        if (r < 0)
                return r;
        /* Before the functions appear: it says nothing to those that are there. */
        if (count > 0) {
                r = set_autoprobe(call, device_fd, "0");
                if (r < 0)
                        return r;
        }
        r = change_count(call, device_fd, count);
        if (r < 0)
                return r;

        step_note(call, "%s has %u virtual functions", step_sysname(call), count);
        return 0;
}

static int undo(StepCall *call, json_t *observed) {
        json_t *count = json_object_get(observed, "count");
        _cleanup_close_ int device_fd = -EBADF;
        const char *autoprobe = NULL;
        int r;

        r = step_get_observed(call, observed, "autoprobe", &autoprobe);
        if (r < 0)
                return r;
        if (!json_is_integer(count) || json_integer_value(count) < 0 || json_integer_value(count) > UINT16_MAX ||
            (autoprobe && !streq(autoprobe, "0") && !streq(autoprobe, "1")))
                return step_fail(call, -EBADMSG, FAULT_STATE_DAMAGED,
                                 "The record does not say how many virtual functions %s had before: nothing was restored",
                                 step_sysname(call));
        r = step_open_device_for_undo(call, &device_fd);
        if (r < 0 || device_fd < 0)
                return r;

        /* First, so that the functions found before get the drivers that they had. */
        if (autoprobe) {
                r = set_autoprobe(call, device_fd, autoprobe);
                if (r < 0)
                        return r;
        }
        r = change_count(call, device_fd, (uint32_t) json_integer_value(count));
        if (r < 0)
                return r;

        step_note(call, "%s has %lld virtual functions again", step_sysname(call), (long long) json_integer_value(count));
        return 0;
}

const StepOps step_ops_vf_count = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
