/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small helpers that every file uses. Nothing here has state. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))
#define PRINTF_LIKE(string_index, first) __attribute__((__format__(__printf__, string_index, first)))

/* Runs the function on the variable's address when it goes out of scope. */
#define _cleanup_(function) __attribute__((cleanup(function)))

/* Defines `function`p(), the cleanup form of a free function that accepts NULL. */
#define DEFINE_CLEANUP(type, function)                                                                      \
        static inline void function##p(type *p) {                                                           \
                if (*p)                                                                                     \
                        function(*p);                                                                       \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

static inline int close_fd(int fd) {
        if (fd >= 0)
                (void) close(fd);
        return -EBADF;
}
static inline void close_fdp(int *fd) {
        (void) close_fd(*fd);
}
#define _cleanup_close_ _cleanup_(close_fdp)

/* Takes the value out of a variable that owns it. */
#define TAKE_PTR(p)                                                                                         \
        ({                                                                                                  \
                __typeof__(p) *_pp = &(p);                                                                  \
                __typeof__(p) _v = *_pp;                                                                    \
                *_pp = NULL;                                                                                \
                _v;                                                                                         \
        })
#define TAKE_FD(fd)                                                                                         \
        ({                                                                                                  \
                int *_fp = &(fd);                                                                           \
                int _v = *_fp;                                                                              \
                *_fp = -EBADF;                                                                              \
                _v;                                                                                         \
        })

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}
static inline bool streq_null(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool isempty(const char *s) {
        return !s || s[0] == '\0';
}
static inline const char *strempty(const char *s) {
        return s ? s : "";
}
/* Returns what follows `prefix`, or NULL when `s` does not begin with it. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Defines NAME_to_string() and NAME_from_string() over a table indexed by the enumeration. The latter
 * returns -EINVAL for a word that is not there. */
#define DECLARE_STRING_TABLE(name, Type)                                                                    \
        const char *name##_to_string(Type value);                                                           \
        Type name##_from_string(const char *text)
#define DEFINE_STRING_TABLE(name, Type, table)                                                              \
        const char *name##_to_string(Type value) {                                                          \
                if ((int) value < 0 || (size_t) value >= ELEMENTSOF(table))                                 \
                        return NULL;                                                                        \
                return (table)[value];                                                                      \
        }                                                                                                   \
        Type name##_from_string(const char *text) {                                                         \
                for (size_t i = 0; text && i < ELEMENTSOF(table); i++)                                      \
                        if ((table)[i] && streq((table)[i], text))                                          \
                                return (Type) i;                                                            \
                return (Type) -EINVAL;                                                                      \
        }
