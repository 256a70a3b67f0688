/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Set driver: driver_override, unbind, drivers_probe, and what the `driver` link says afterwards. Writing to
 * drivers_probe succeeds even when no driver took the device (drivers/base/bus.c), so only the link
 * counts. */

#include <fcntl.h>
#include <stdio.h>

#include "kernel-error.h"
#include "step.h"

#define GOING_MSEC 200u
#define GOING_POLL_MSEC 20u
#define DRIVER_NAME_SIZE 256

typedef struct DriverState {
        char driver[DRIVER_NAME_SIZE];          /* empty: none bound */
        char override[ATTRIBUTE_MAX_BYTES + 1]; /* empty: not set */
        bool has_override;                      /* some buses (usb, mdev) do not know driver_override */
} DriverState;

/* What is bound and unbound: the device, or the part of it that the step names. */
static const char *bound_name(const StepCall *call) {
        return call->step->name ? call->step->name : step_sysname(call);
}

static int open_bound(StepCall *call, int *ret_fd) {
        _cleanup_close_ int device_fd = -EBADF;
        int fd, r;

        if (!call->step->name)
                return step_open_device(call, ret_fd);

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        /* Its own folder, no link to elsewhere. */
        fd = entry_name_is_valid(call->step->name) && strchr(call->step->name, ':')
                     ? openat(device_fd, call->step->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : -1;
        if (fd < 0)
                return step_fail(call, -ENODEV, FAULT_DEVICE_GONE, "%s has no part %s now", step_sysname(call),
                                 call->step->name);
        *ret_fd = fd;
        return 0;
}

/* A device that was enumerated anew may have other parts, which have what the kernel gave them. */
static int open_bound_for_undo(StepCall *call, int *ret_fd) {
        int r = open_bound(call, ret_fd);

        if (r != -ENODEV)
                return r;
        fault_done(&call->fault);
        call->fault = (Fault){};
        step_note(call, "%s is gone: nothing to restore", bound_name(call));
        *ret_fd = -EBADF;
        return 0;
}

static int read_driver(StepCall *call, int device_fd, char ret[static DRIVER_NAME_SIZE]) {
        ssize_t n;

        n = sysfs_link_at(device_fd, "driver", ret, DRIVER_NAME_SIZE);
        if (n == -ENOENT) {
                ret[0] = '\0';
                return 0;
        }
        if (n < 0)
                return step_fail(call, (int) n, FAULT_STEP_FAILED,
                                 "Cannot read which driver %s is bound to: %s", bound_name(call),
                                 strerrordesc_np((int) -n));

        return 0;
}

static int read_state(StepCall *call, int device_fd, DriverState *ret) {
        ssize_t n;
        int r;

        r = read_driver(call, device_fd, ret->driver);
        if (r < 0)
                return r;

        n = sysfs_read_at(device_fd, "driver_override", ret->override, sizeof(ret->override));
        if (n < 0 && n != -ENOENT)
                return step_fail(call, (int) n, kernel_error_code("driver_override", (int) n),
                                 "Cannot read driver_override of %s: %s", bound_name(call),
                                 strerrordesc_np((int) -n));

        ret->has_override = n >= 0;
        if (n < 0 || streq(ret->override, "(null)"))
                ret->override[0] = '\0';
        return 0;
}

/* "bound to vfio-pci with driver_override vfio-pci": where things stand, for messages. */
static const char *describe_state(const DriverState *state, char *buffer, size_t size) {
        const char *bound = isempty(state->driver) ? "without a driver" : "bound to ";

        if (!state->has_override)
                (void) snprintf(buffer, size, "%s%s", bound, state->driver);
        else if (isempty(state->override))
                (void) snprintf(buffer, size, "%s%s, driver_override not set", bound, state->driver);
        else
                (void) snprintf(buffer, size, "%s%s, driver_override %s", bound, state->driver,
                                state->override);

        return buffer;
}

static void note_state(StepCall *call, int device_fd) {
        char text[DRIVER_NAME_SIZE + ATTRIBUTE_MAX_BYTES + 64];
        DriverState state;
        Fault kept = call->fault;

        /* Reading must not add to a fault that is there already. */
        call->fault = (Fault){};
        if (read_state(call, device_fd, &state) >= 0)
                step_note(call, "%s is %s", bound_name(call), describe_state(&state, text, sizeof(text)));
        fault_done(&call->fault);
        call->fault = kept;
}

static bool driver_is_registered(StepCall *call, const char *driver) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "/sys/bus/%s/drivers/%s", call->device->device.subsystem, driver) < 0)
                return false;

        return sysfs_exists(&call->worker->sysfs, path);
}

static int require_driver(StepCall *call, const char *driver) {
        if (driver_is_registered(call, driver))
                return 0;

        return step_fail(call, -ENOENT, FAULT_DRIVER_MISSING,
                         "No driver %s is registered on the %s bus: its kernel module is not loaded", driver,
                         call->device->device.subsystem);
}

static int set_override(StepCall *call, int device_fd, const char *override) {
        char found[ATTRIBUTE_MAX_BYTES + 1];
        ssize_t n;
        int r;

        /* A write of no bytes never reaches the kernel's attribute: an empty line clears it. */
        r = step_write(call, device_fd, "driver_override", "driver_override",
                       isempty(override) ? "\n" : override);
        if (r < 0)
                return r;

        n = sysfs_read_at(device_fd, "driver_override", found, sizeof(found));
        if (n < 0)
                return step_fail(call, (int) n, FAULT_STEP_FAILED,
                                 "Cannot read driver_override of %s back: %s", bound_name(call),
                                 strerrordesc_np((int) -n));
        if (!streq(found, override) && !(isempty(override) && streq(found, "(null)")))
                return step_fail(call, -EIO, FAULT_STEP_FAILED,
                                 "driver_override of %s was set to \"%s\" but reads \"%s\"",
                                 bound_name(call), override, found);

        return 0;
}

/* Writes the device's name to an attribute of the bus or of one of its drivers. No fault: callers look at
 * the `driver` link. */
static int write_to_bus(StepCall *call, const char *driver, const char *attribute) {
        const char *bus = call->device->device.subsystem;
        _cleanup_free_ char *path = NULL;
        int r;

        r = driver ? asprintf(&path, "sys/bus/%s/drivers/%s/%s", bus, driver, attribute)
                   : asprintf(&path, "sys/bus/%s/%s", bus, attribute);
        if (r < 0)
                return -ENOMEM;

        return sysfs_write_at(call->worker->sysfs.root_fd, path, bound_name(call));
}

static int unbind(StepCall *call, int device_fd, const char *driver) {
        char now[DRIVER_NAME_SIZE];
        const char *hint;
        int r, error;

        error = write_to_bus(call, driver, "unbind");
        r = read_driver(call, device_fd, now);
        if (r < 0)
                return r;
        if (!streq(now, driver))
                return 0;

        /* Still bound. */
        if (error >= 0)
                error = -EBUSY;
        hint = kernel_error_hint("unbind", error);
        return step_fail(call, error, FAULT_DEVICE_BUSY, "The driver %s does not let go of %s: %s%s%s%s",
                         driver, bound_name(call), strerrordesc_np(-error), hint ? " (" : "",
                         strempty(hint), hint ? ")" : "");
}

/* What the device itself shows beats the general hint. */
static const char *bind_hint(int device_fd, const char *driver, int error, FaultCode *code) {
        char class_code[32];

        *code = kernel_error_code("bind", error);
        if (error == -EINVAL && strstr(driver, "vfio") && !sysfs_exists_at(device_fd, "iommu_group")) {
                *code = FAULT_NO_IOMMU;
                return "the device has no IOMMU group: the IOMMU is off, or does not cover it";
        }
        if (error == -EINVAL && sysfs_read_at(device_fd, "class", class_code, sizeof(class_code)) > 0 &&
            startswith(class_code, "0x06"))
                return "the device is a bridge, which cannot be given away";
        if (error == -EBUSY && sysfs_exists_at(device_fd, "virtfn0"))
                return "virtual functions of the device are enabled; take them away first";

        return kernel_error_hint("bind", error);
}

static int fail_bind(StepCall *call, int device_fd, const char *driver, int error) {
        char text[DRIVER_NAME_SIZE + ATTRIBUTE_MAX_BYTES + 64];
        DriverState state;
        FaultCode code;
        const char *hint;
        int r;

        r = read_state(call, device_fd, &state);
        if (r < 0)
                return r;

        hint = bind_hint(device_fd, driver, error, &code);
        return step_fail(call, error, code, "Cannot bind %s to %s: %s%s%s%s; the device is %s",
                         bound_name(call), driver, strerrordesc_np(-error), hint ? " (" : "",
                         strempty(hint), hint ? ")" : "", describe_state(&state, text, sizeof(text)));
}

/* Asks the driver itself: the only write whose errno is that of the driver's probe. */
static int bind_directly(StepCall *call, int device_fd, const char *driver) {
        char now[DRIVER_NAME_SIZE];
        int r, error;

        error = write_to_bus(call, driver, "bind");
        r = read_driver(call, device_fd, now);
        if (r < 0)
                return r;
        if (streq(now, driver))
                return 0;

        return error < 0 ? error : -ENODEV;
}

/* The device has no driver and an override that lets only `driver` have it (or its bus knows no
 * overrides). */
static int attach(StepCall *call, int device_fd, const char *driver, bool has_override) {
        char now[DRIVER_NAME_SIZE];
        int r;

        if (has_override) {
                (void) write_to_bus(call, NULL, "drivers_probe");
                r = read_driver(call, device_fd, now);
                if (r < 0)
                        return r;
                if (streq(now, driver))
                        return 0;
                if (!isempty(now))
                        return fail_bind(call, device_fd, driver, -EBUSY);
        }

        r = bind_directly(call, device_fd, driver);
        if (r < 0)
                return fail_bind(call, device_fd, driver, r);

        return 0;
}

static int observe(StepCall *call, json_t **ret) {
        _cleanup_close_ int device_fd = -EBADF;
        DriverState state;
        int r;

        r = open_bound(call, &device_fd);
        if (r < 0)
                return r;
        r = read_state(call, device_fd, &state);
        if (r < 0)
                return r;

        *ret = json_pack("{s:s?, s:s?}", "driver", isempty(state.driver) ? NULL : state.driver, "override",
                         state.has_override ? state.override : NULL);
        if (!*ret)
                return step_fail(call, -EILSEQ, FAULT_STEP_FAILED,
                                 "driver_override of %s is not text and could not be restored later",
                                 bound_name(call));

        return 0;
}

/* A device that is being pulled loses its driver first. */
static bool goes_away(StepCall *call) {
        for (unsigned waited = 0; waited < GOING_MSEC; waited += GOING_POLL_MSEC) {
                _cleanup_close_ int fd = -EBADF;
                int r = step_open_device(call, &fd);

                if (r == -ENODEV)
                        return true; /* the fault says so */
                if (r < 0 || worker_pause(call->worker, GOING_POLL_MSEC) < 0)
                        return false;
        }
        return false;
}

static int run(StepCall *call) {
        const char *wanted = strempty(call->step->value);
        _cleanup_close_ int device_fd = -EBADF;
        char now[DRIVER_NAME_SIZE];
        DriverState state;
        int r;

        r = open_bound(call, &device_fd);
        if (r < 0)
                return r;
        r = read_state(call, device_fd, &state);
        if (r < 0)
                return r;

        if (!isempty(wanted) && !streq(state.driver, wanted)) {
                r = require_driver(call, wanted);
                if (r < 0)
                        return r;
        }
        if (state.has_override && !streq(state.override, wanted)) {
                r = set_override(call, device_fd, wanted);
                if (r < 0)
                        return r;
        }
        if (!isempty(state.driver) && !streq(state.driver, wanted)) {
                r = unbind(call, device_fd, state.driver);
                if (r < 0)
                        return r;
        }
        if (!isempty(wanted) && !streq(state.driver, wanted)) {
                r = attach(call, device_fd, wanted, state.has_override);
                if (r < 0)
                        return r;
        }

        r = read_driver(call, device_fd, now);
        if (r < 0)
                return r;
        if (isempty(now) && !isempty(wanted) && goes_away(call))
                return -ENODEV;
        if (!streq(now, wanted))
                return step_fail(call, -EBUSY, FAULT_DEVICE_BUSY, "%s should %s%s now, but is %s%s",
                                 bound_name(call), isempty(wanted) ? "have no driver" : "be bound to ",
                                 wanted, isempty(now) ? "without a driver" : "bound to ", now);

        note_state(call, device_fd);
        return 0;
}

/* The driver found before may be one that the kernel would not choose by itself (vfio-pci after its override
 * was cleared, a VF's driver while autoprobe is off). An override for as long as the bind takes leads there
 * too. */
static int restore_driver(StepCall *call, int device_fd, const char *driver, const DriverState *state,
                          const char *override) {
        int r, bound;

        if (!state->has_override || isempty(override) || streq(override, driver)) {
                bound = bind_directly(call, device_fd, driver);
                if (bound >= 0)
                        return 0;
                if (!state->has_override || bound != -ENODEV)
                        return fail_bind(call, device_fd, driver, bound);
        }

        r = set_override(call, device_fd, driver);
        if (r < 0)
                return r;
        bound = attach(call, device_fd, driver, true);
        r = set_override(call, device_fd, override);
        return bound < 0 ? bound : r;
}

static int restore(StepCall *call, int device_fd, const char *driver, const char *override) {
        DriverState state;
        int r;

        r = read_state(call, device_fd, &state);
        if (r < 0)
                return r;

        if (state.has_override && !streq(state.override, override)) {
                r = set_override(call, device_fd, override);
                if (r < 0)
                        return r;
        }
        if (streq(state.driver, driver))
                return 0;

        /* Before anything is unbound: a device without any driver would help nobody. */
        if (!isempty(driver)) {
                r = require_driver(call, driver);
                if (r < 0)
                        return r;
        }
        if (!isempty(state.driver)) {
                r = unbind(call, device_fd, state.driver);
                if (r < 0)
                        return r;
        }

        return isempty(driver) ? 0 : restore_driver(call, device_fd, driver, &state, override);
}

/* Whatever went wrong on the way, what counts is where the device ended. */
static int verify_restored(StepCall *call, int device_fd, const char *driver, const char *override,
                           int error) {
        char is_text[DRIVER_NAME_SIZE + ATTRIBUTE_MAX_BYTES + 64],
                was_text[DRIVER_NAME_SIZE + ATTRIBUTE_MAX_BYTES + 64];
        _cleanup_fault_ Fault cause = {};
        DriverState is, was = {};
        int r;

        fault_move(&cause, &call->fault);
        r = read_state(call, device_fd, &is);
        if (r < 0)
                return r;
        if (streq(is.driver, driver) && (!is.has_override || streq(is.override, override)))
                return 0;

        was.has_override = is.has_override;
        (void) snprintf(was.driver, sizeof(was.driver), "%s", driver);
        (void) snprintf(was.override, sizeof(was.override), "%s", override);
        return step_fail(call, error < 0 ? error : -EIO,
                         cause.code == FAULT_NONE ? FAULT_STEP_FAILED : cause.code,
                         "%s was %s before and could not be restored: it is %s now%s%s", bound_name(call),
                         describe_state(&was, was_text, sizeof(was_text)),
                         describe_state(&is, is_text, sizeof(is_text)), cause.message ? ". " : "",
                         strempty(cause.message));
}

static int undo(StepCall *call, json_t *observed) {
        const char *driver = NULL, *override = NULL;
        _cleanup_close_ int device_fd = -EBADF;
        int r;

        r = step_get_observed(call, observed, "driver", &driver);
        if (r < 0)
                return r;
        r = step_get_observed(call, observed, "override", &override);
        if (r < 0)
                return r;
        if (driver && (!entry_name_is_valid(driver) || strlen(driver) >= DRIVER_NAME_SIZE))
                return step_fail(call, -EBADMSG, FAULT_STATE_DAMAGED,
                                 "The record names \"%s\" as the driver of %s, which cannot be one: nothing "
                                 "was restored",
                                 driver, bound_name(call));
        if (strlen(strempty(override)) > ATTRIBUTE_MAX_BYTES)
                return step_fail(call, -EBADMSG, FAULT_STATE_DAMAGED,
                                 "The record of driver_override of %s is longer than the kernel takes: "
                                 "nothing was restored",
                                 bound_name(call));

        r = open_bound_for_undo(call, &device_fd);
        if (r < 0 || device_fd < 0)
                return r;

        r = restore(call, device_fd, strempty(driver), strempty(override));
        r = verify_restored(call, device_fd, strempty(driver), strempty(override), r);
        if (r >= 0)
                note_state(call, device_fd);
        return r;
}

const StepOps step_ops_driver = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
