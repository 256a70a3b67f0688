/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inject.h"

#include <time.h>

typedef enum InjectionKind {
        INJECT_FAIL,
        INJECT_DELAY,
        INJECT_HANG,
        INJECT_LIMIT,
} InjectionKind;

struct Injection {
        Injection *next;
        InjectionKind kind;
        char operation[32];
        char name[64];          /* "*": any */
        long value;             /* errno, microseconds, or a number of VFs */
        unsigned count;         /* times that are left; 0: always */
};

static const char *const kind_names[] = {
        [INJECT_FAIL] = "fail", [INJECT_DELAY] = "delay", [INJECT_HANG] = "hang", [INJECT_LIMIT] = "limit",
};

static bool matches(const Injection *i, InjectionKind kind, const char *operation, const char *name) {
        return i->kind == kind && string_equal(i->operation, operation)
                && (string_equal(i->name, "*") || string_equal(i->name, name));
}

static Injection *find(Kernel *k, InjectionKind kind, const char *operation, const char *name) {
        for (Injection *i = k->injections; i; i = i->next)
                if (matches(i, kind, operation, name))
                        return i;
        return NULL;
}

static void drop(Kernel *k, Injection *which) {
        for (Injection **i = &k->injections; *i; i = &(*i)->next)
                if (*i == which) {
                        *i = which->next;
                        free(which);
                        return;
                }
}

static void add(Kernel *k, InjectionKind kind, const char *operation, const char *name, long value, unsigned count) {
        Injection *i = allocate(sizeof(*i));

        i->kind = kind;
        copy_text(i->operation, sizeof(i->operation), operation);
        copy_text(i->name, sizeof(i->name), name);
        i->value = value;
        i->count = count;
        i->next = k->injections;
        k->injections = i;
}

static void sleep_microseconds(Kernel *k, long us) {
        struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

        kernel_leave(k);
        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
        kernel_enter(k);
}

int inject(Kernel *k, const char *operation, const char *name) {
        Injection *i;
        int error;

        i = find(k, INJECT_DELAY, operation, name);
        if (i)
                sleep_microseconds(k, i->value);
        while (find(k, INJECT_HANG, operation, name))
                kernel_wait(k, operation, name, "ordered to hang");
        i = find(k, INJECT_FAIL, operation, name);
        if (!i)
                return 0;

        error = (int) i->value;
        if (i->count == 1)
                drop(k, i);
        else if (i->count > 0)
                i->count--;
        return -error;
}

int inject_limit(Kernel *k, const char *name, int asked) {
        Injection *i = find(k, INJECT_LIMIT, "sriov_numvfs", name);

        return i && i->value < asked ? (int) i->value : asked;
}

/* fail OPERATION NAME ERRNO [COUNT] */
int inject_write_fail(Kernel *k, const char *text) {
        char operation[32], name[64], error[32];
        unsigned count = 1;

        if (sscanf(text, "%31s %63s %31s %u", operation, name, error, &count) < 3 || errno_from_name(error) == 0)
                return -EINVAL;
        add(k, INJECT_FAIL, operation, name, errno_from_name(error), count);
        return 0;
}

/* delay OPERATION MICROSECONDS [NAME] */
int inject_write_delay(Kernel *k, const char *text) {
        char operation[32], name[64] = "*";
        Injection *old;
        long us;

        if (sscanf(text, "%31s %ld %63s", operation, &us, name) < 2 || us < 0)
                return -EINVAL;
        while ((old = find(k, INJECT_DELAY, operation, name)))
                drop(k, old);
        if (us > 0)
                add(k, INJECT_DELAY, operation, name, us, 0);
        return 0;
}

/* hang OPERATION NAME */
int inject_write_hang(Kernel *k, const char *text) {
        char operation[32], name[64];

        if (sscanf(text, "%31s %63s", operation, name) != 2)
                return -EINVAL;
        add(k, INJECT_HANG, operation, name, 0, 0);
        return 0;
}

/* release [OPERATION [NAME]]: ends hangs, and forgets what else was ordered for them */
int inject_write_release(Kernel *k, const char *text) {
        char operation[32] = "", name[64] = "";
        Injection *next;

        (void) sscanf(text, "%31s %63s", operation, name);
        for (Injection *i = k->injections; i; i = next) {
                next = i->next;
                if ((operation[0] == '\0' || string_equal(i->operation, operation))
                    && (name[0] == '\0' || string_equal(i->name, name)))
                        drop(k, i);
        }
        kernel_notify(k);
        return 0;
}

/* limit BDF N */
int inject_write_limit(Kernel *k, const char *text) {
        char name[64];
        Injection *old;
        int n;

        if (sscanf(text, "%63s %d", name, &n) != 2 || n < 0)
                return -EINVAL;
        while ((old = find(k, INJECT_LIMIT, "sriov_numvfs", name)))
                drop(k, old);
        add(k, INJECT_LIMIT, "sriov_numvfs", name, n, 0);
        return 0;
}

void inject_list(Kernel *k, char *ret, size_t size) {
        size_t n = 0;

        ret[0] = '\0';
        for (Injection *i = k->injections; i && n < size; i = i->next)
                n += (size_t) snprintf(ret + n, size - n, "%s %s %s %ld %u\n", kind_names[i->kind], i->operation,
                                       i->name, i->value, i->count);
}
