/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Write attribute: the value is written and read back. The kernel shows some values otherwise than it takes
 * them (numbers in hexadecimal, switches as Y and N, an unset name as "(null)", the chosen word of a list in
 * brackets); what means the same counts as the same. An attribute that cannot be read has nothing to compare
 * and nothing to restore. */

#include "kernel-error.h"
#include "lib/parse.h"
#include "step.h"

/* Takes an integer in any of the forms that attributes use. */
static bool read_number(const char *text, int64_t *ret) {
        uint64_t unsigned_value;

        if (parse_int64(text, ret) >= 0)
                return true;
        if (parse_uint64(text, &unsigned_value) >= 0 && unsigned_value <= INT64_MAX) {
                *ret = (int64_t) unsigned_value;
                return true;
        }

        return false;
}

static bool read_switch(const char *text, bool *ret) {
        if (streq(text, "Y") || streq(text, "y") || streq(text, "N") || streq(text, "n")) {
                *ret = text[0] == 'Y' || text[0] == 'y';
                return true;
        }

        return parse_bool(text, ret) >= 0;
}

/* "none [mq-deadline] kyber" has chosen mq-deadline. */
static bool is_chosen(const char *list, const char *word) {
        const char *open = strchr(list, '['), *close = open ? strchr(open, ']') : NULL;

        return close && (size_t) (close - open - 1) == strlen(word) &&
               strncmp(open + 1, word, strlen(word)) == 0;
}

static bool means_same(const char *wanted, const char *found) {
        int64_t wanted_number, found_number;
        bool wanted_switch, found_switch;

        if (streq(wanted, found) || (isempty(wanted) && streq(found, "(null)")))
                return true;
        if (read_number(wanted, &wanted_number) && read_number(found, &found_number))
                return wanted_number == found_number;
        if (read_switch(wanted, &wanted_switch) && read_switch(found, &found_switch))
                return wanted_switch == found_switch;

        return is_chosen(found, wanted);
}

/* 1 with the text, 0 when the attribute is there but cannot be read. */
static int read_attribute(StepCall *call, int device_fd, char *buffer, size_t size) {
        ssize_t n;

        n = sysfs_read_at(device_fd, call->step->name, buffer, size);
        if (n == -EACCES) /* write-only; sysfs says so to root too */
                return 0;
        if (n < 0)
                return step_fail(call, (int) n, kernel_error_code(call->step->name, (int) n),
                                 "Cannot read %s of %s: %s", call->step->name, step_sysname(call),
                                 strerrordesc_np((int) -n));

        return 1;
}

/* The restored text must be one that the kernel takes: of a list, the chosen word; of "(null)", the empty
 * line. */
static const char *writable_form(char *value) {
        char *open = strchr(value, '['), *close = open ? strchr(open, ']') : NULL;

        if (close) {
                *close = '\0';
                return open + 1;
        }
        if (isempty(value) || streq(value, "(null)"))
                return "\n";

        return value;
}

static int write_and_verify(StepCall *call, int device_fd, const char *value, bool readable) {
        char found[ATTRIBUTE_MAX_BYTES + 1];
        int r;

        /* A write of no bytes never reaches the kernel's attribute. */
        r = step_write(call, device_fd, call->step->name, call->step->name, isempty(value) ? "\n" : value);
        if (r < 0 || !readable)
                return r;
        r = read_attribute(call, device_fd, found, sizeof(found));
        if (r <= 0)
                return r;
        if (!means_same(streq(value, "\n") ? "" : value, found))
                return step_fail(call, -EIO, FAULT_STEP_FAILED,
                                 "%s of %s was set to \"%s\" but reads \"%s\"", call->step->name,
                                 step_sysname(call), value, found);

        return 0;
}

static int observe(StepCall *call, json_t **ret) {
        _cleanup_close_ int device_fd = -EBADF;
        char found[ATTRIBUTE_MAX_BYTES + 1];
        int r;

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        r = read_attribute(call, device_fd, found, sizeof(found));
        if (r < 0)
                return r;

        *ret = json_pack("{s:s?}", "value", r == 0 ? NULL : found);
        if (!*ret)
                return step_fail(call, -EILSEQ, FAULT_STEP_FAILED,
                                 "%s of %s is not text and could not be restored later", call->step->name,
                                 step_sysname(call));

        return 0;
}

static int run(StepCall *call) {
        const char *wanted = strempty(call->step->value);
        _cleanup_close_ int device_fd = -EBADF;
        char found[ATTRIBUTE_MAX_BYTES + 1];
        int r;

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        r = read_attribute(call, device_fd, found, sizeof(found));
        if (r < 0)
                return r;
        if (r > 0 && means_same(wanted, found))
                return 0;

        return write_and_verify(call, device_fd, wanted, r > 0);
}

static int undo(StepCall *call, json_t *observed) {
        _cleanup_close_ int device_fd = -EBADF;
        char found[ATTRIBUTE_MAX_BYTES + 1];
        _cleanup_free_ char *copy = NULL;
        const char *value = NULL;
        int r;

        r = step_get_observed(call, observed, "value", &value);
        if (r < 0)
                return r;
        if (!value) {
                step_note(call, "%s cannot be read: nothing to restore", call->step->name);
                return 0;
        }

        r = step_open_device_for_undo(call, &device_fd);
        if (r < 0 || device_fd < 0)
                return r;
        r = read_attribute(call, device_fd, found, sizeof(found));
        if (r < 0)
                return r;
        if (r > 0 && streq(value, found))
                return 0;

        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        return write_and_verify(call, device_fd, writable_form(copy), r > 0);
}

const StepOps step_ops_attribute = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
