/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reset: a write to the attribute `reset`. The kernel tries the methods of reset_method in order and takes the first that does
 * not turn out to be inapplicable; a method that is demanded is made the only one for the moment. Nothing can be undone. */

#include <time.h>

#include "lib/parse.h"
#include "step.h"

#define METHODS_SIZE 128

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

static int64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* The words of `methods` as a list; `ret_found` whether `wanted` is one of them. */
static json_t *split(const char *methods, const char *wanted, bool *ret_found) {
        char copy[METHODS_SIZE], *word, *state = NULL;
        json_t *list = json_array();

        *ret_found = false;
        (void) snprintf(copy, sizeof(copy), "%s", methods);
        for (word = strtok_r(copy, " ", &state); list && word; word = strtok_r(NULL, " ", &state)) {
                *ret_found |= streq(word, wanted);
                (void) json_array_append_new(list, json_string(word));
        }
        return list;
}

static int narrow(StepCall *call, int device_fd, const char *methods, bool offered) {
        if (!offered)
                return step_fail(call, -EOPNOTSUPP, FAULT_STEP_FAILED, "%s does not offer the reset %s; the kernel lists %s",
                                 step_sysname(call), call->step->value, isempty(methods) ? "none" : methods);
        return streq(methods, call->step->value)
                       ? 0
                       : step_write(call, device_fd, "reset_method", "reset_method", call->step->value);
}

/* A device that can be reset in fewer ways than before would be refused later for no reason. */
static int widen(StepCall *call, int device_fd, const char *methods, int result) {
        Fault first = {};
        int r;

        if (streq(methods, call->step->value))
                return result;
        fault_move(&first, &call->fault);
        r = step_write(call, device_fd, "reset_method", "reset_method", methods);
        if (result >= 0) {
                fault_done(&first);
                return r;
        }
        fault_done(&call->fault);
        fault_move(&call->fault, &first);
        return result;
}

static int run(StepCall *call) {
        const char *asked = strempty(call->step->value);
        _cleanup_close_ int device_fd = -EBADF;
        char methods[METHODS_SIZE] = "";
        json_t *list, *first;
        bool offered;
        int64_t began;
        int r;

        r = step_open_device(call, &device_fd);
        if (r < 0)
                return r;
        /* Kernels before 5.15 reset without saying how. */
        if (sysfs_read_at(device_fd, "reset_method", methods, sizeof(methods)) < 0)
                methods[0] = '\0';
        list = split(methods, asked, &offered);
        if (!isempty(asked)) {
                r = narrow(call, device_fd, methods, offered);
                if (r < 0) {
                        json_decref(list);
                        return r;
                }
        }

        began = now_usec();
        r = step_write(call, device_fd, "reset", "reset", "1");
        first = json_array_get(list, 0);
        call->report = json_pack("{s:O, s:s, s:s, s:I}", "methods", list, "asked", asked, "used",
                                 isempty(asked) ? strempty(json_string_value(first)) : asked, "duration",
                                 (json_int_t) (now_usec() - began));
        json_decref(list);
        if (!isempty(asked))
                r = widen(call, device_fd, methods, r);
        if (r >= 0 && !isempty(methods))
                step_note(call, "%s was reset, methods in order: %s", step_sysname(call), isempty(asked) ? methods : asked);
        return r;
}

static int undo(StepCall *call, json_t *observed) {
        return 0;
}

const StepOps step_ops_reset = {
        .observe = observe,
        .run = run,
        .undo = undo,
};
