/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include <sys/mman.h>

#define CAPTURE_MAX 65536

char *capture(FILE *stream, void (*function)(void *userdata), void *userdata) {
        int fd = fileno(stream), copy = dup(fd), memory = memfd_create("capture", MFD_CLOEXEC);
        char *text = calloc(1, CAPTURE_MAX + 1);

        assert_true(copy >= 0 && memory >= 0 && text);
        (void) fflush(stream);
        assert_true(dup2(memory, fd) >= 0);
        function(userdata);
        (void) fflush(stream);
        assert_true(dup2(copy, fd) >= 0);
        assert_true(pread(memory, text, CAPTURE_MAX, 0) >= 0);
        close(copy);
        close(memory);
        return text;
}

json_t *json_of(const char *text) {
        json_error_t error;
        json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

        if (!json)
                fail_msg("%s: %s", text, error.text);
        return json;
}

void assert_json(json_t *found, const char *expected) {
        json_auto_t *a = found, *b = json_of(expected);
        char *text = json_dumps(a, JSON_ENCODE_ANY);

        if (!json_equal(a, b))
                fail_msg("found %s, expected %s", text, expected);
        free(text);
}

void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                fail_msg("\"%s\" is not in \"%s\"", part, text);
}
