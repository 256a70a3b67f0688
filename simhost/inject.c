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
        char name[64];  /* "*": any */
        long value;     /* errno, microseconds, or a number of VFs */
        unsigned count; /* times that are left; 0: always */
};

static const char *const kind_names[] = {
        [INJECT_FAIL] = "fail",
        [INJECT_DELAY] = "delay",
        [INJECT_HANG] = "hang",
        [INJECT_LIMIT] = "limit",
};

static bool matches(const Injection *i, InjectionKind kind, const char *operation, const char *name) {
        return i->kind == kind && string_equal(i->operation, operation) &&
               (string_equal(i->name, "*") || string_equal(i->name, name));
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

static void add(Kernel *k, InjectionKind kind, const char *operation, const char *name, long value,
                unsigned count) {
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

#define WORDS_MAX 4

/* The words of an order; their number, or 0 if it is not between the two. They lie in @buffer. */
static size_t order_words(const char *text, size_t min, size_t max, char buffer[static 256],
                          char *words[WORDS_MAX]) {
        size_t n;

        copy_text(buffer, 256, text);
        n = split_words(buffer, words, max);
        return n >= min && n <= max ? n : 0;
}

/* fail OPERATION NAME ERRNO [COUNT] */
int inject_write_fail(Kernel *k, const char *text) {
        char buffer[256], *words[WORDS_MAX];
        size_t n = order_words(text, 3, 4, buffer, words);
        uint64_t count = 1;

        if (n == 0 || errno_from_name(words[2]) == 0 || (n == 4 && string_to_u64(words[3], 10, &count) < 0))
                return -EINVAL;
        add(k, INJECT_FAIL, words[0], words[1], errno_from_name(words[2]), (unsigned) count);
        return 0;
}

/* delay OPERATION MICROSECONDS [NAME] */
int inject_write_delay(Kernel *k, const char *text) {
        char buffer[256], *words[WORDS_MAX];
        size_t n = order_words(text, 2, 3, buffer, words);
        const char *name = n == 3 ? words[2] : "*";
        Injection *old;
        uint64_t us;

        if (n == 0 || string_to_u64(words[1], 10, &us) < 0 || us > INT_MAX)
                return -EINVAL;
        while ((old = find(k, INJECT_DELAY, words[0], name)))
                drop(k, old);
        if (us > 0)
                add(k, INJECT_DELAY, words[0], name, (long) us, 0);
        return 0;
}

/* hang OPERATION NAME */
int inject_write_hang(Kernel *k, const char *text) {
        char buffer[256], *words[WORDS_MAX];

        if (order_words(text, 2, 2, buffer, words) == 0)
                return -EINVAL;
        add(k, INJECT_HANG, words[0], words[1], 0, 0);
        return 0;
}

/* release [OPERATION [NAME]]: ends hangs, and forgets what else was ordered for them */
int inject_write_release(Kernel *k, const char *text) {
        char buffer[256], *words[WORDS_MAX];
        size_t n = order_words(text, 0, 2, buffer, words);
        Injection *next;

        for (Injection *i = k->injections; i; i = next) {
                next = i->next;
                if ((n < 1 || string_equal(i->operation, words[0])) &&
                    (n < 2 || string_equal(i->name, words[1])))
                        drop(k, i);
        }
        kernel_notify(k);
        return 0;
}

/* limit BDF N */
int inject_write_limit(Kernel *k, const char *text) {
        char buffer[256], *words[WORDS_MAX];
        Injection *old;
        uint64_t n;

        if (order_words(text, 2, 2, buffer, words) == 0 || string_to_u64(words[1], 10, &n) < 0 ||
            n > INT_MAX)
                return -EINVAL;
        while ((old = find(k, INJECT_LIMIT, "sriov_numvfs", words[0])))
                drop(k, old);
        add(k, INJECT_LIMIT, "sriov_numvfs", words[0], (long) n, 0);
        return 0;
}

void inject_list(Kernel *k, char *ret, size_t size) {
        size_t n = 0;

        ret[0] = '\0';
        for (Injection *i = k->injections; i && n < size; i = i->next)
                n += (size_t) snprintf(ret + n, size - n, "%s %s %s %ld %u\n", kind_names[i->kind],
                                       i->operation, i->name, i->value, i->count);
}
