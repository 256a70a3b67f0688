/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "duration.h"

#include <stdio.h>

#include "log.h"

#define RUNS_MAX 31u   /* remembered of a kind, the newest */
#define ROWS_MAX 2000u /* of the history, looked through at the start */

struct Duration {
        char name[64]; /* "activate pci" */
        uint64_t runs[RUNS_MAX];
        size_t n, next;
        UT_hash_handle hh;
};

static Duration *find(const Manager *m, const char *name) {
        Duration *duration;

        HASH_FIND_STR(m->durations, name, duration);
        return duration;
}

/* The type stands before the first dash of a device's id. */
static bool name_of(const char *verb, const char *device, char ret[static 64]) {
        const char *dash = device ? strchr(device, '-') : NULL;

        return dash && snprintf(ret, 64, "%s %.*s", verb, (int) (dash - device), device) < 64;
}

static void note(Manager *m, const char *verb, const char *device, uint64_t usec) {
        char name[64];
        Duration *duration;

        if (!name_of(verb, device, name))
                return;
        duration = find(m, name);
        if (!duration) {
                duration = calloc(1, sizeof(Duration));
                if (!duration)
                        return;
                strcpy(duration->name, name);
                HASH_ADD_STR(m->durations, name, duration);
        }
        duration->runs[duration->next] = usec;
        duration->next = (duration->next + 1) % RUNS_MAX;
        duration->n = MIN_OF(duration->n + 1, (size_t) RUNS_MAX);
}

void duration_note(Manager *m, const char *verb, json_t *devices, const char *object, uint64_t usec) {
        note(m, verb, json_string_value(json_array_get(devices, 0)) ?: object, usec);
}

/* Newest first: the oldest are put in first, for the newest to stay. */
static void on_rows(void *userdata, int result, json_t *rows, const Fault *fault) {
        Manager *m = userdata;

        if (result < 0) {
                log_plain(LOG_WARNING, "how long operations took can't be read: %s", strempty(fault->message));
                return;
        }
        for (size_t i = json_array_size(rows); i > 0; i--) {
                json_t *row = json_array_get(rows, i - 1);
                const char *outcome = json_string_value(json_object_get(row, "result"));

                if (outcome && streq(outcome, "done"))
                        duration_note(m, strempty(json_string_value(json_object_get(row, "operation"))),
                                      json_object_get(row, "devices"), json_string_value(json_object_get(row, "object")),
                                      (uint64_t) json_integer_value(json_object_get(row, "duration")));
        }
}

void durations_load(Manager *m) {
        _cleanup_(json_decrefp) json_t *filter = json_pack("{s:i}", "limit", (int) ROWS_MAX);
        _cleanup_fault_ Fault fault = { 0 };

        if (store_query_history(m->store, filter, UINT32_MAX, on_rows, m, &fault) < 0)
                log_plain(LOG_WARNING, "how long operations took can't be asked for: %s", strempty(fault.message));
}

static int compare(const void *a, const void *b) {
        uint64_t first = *(const uint64_t *) a, second = *(const uint64_t *) b;

        return (first > second) - (first < second);
}

int duration_expected(const Manager *m, const char *verb, const char *type, uint64_t *ret_usec, size_t *ret_runs) {
        uint64_t sorted[RUNS_MAX];
        const Duration *duration;
        char name[64];

        if (snprintf(name, sizeof(name), "%s %s", verb, type) >= (int) sizeof(name))
                return -ENODATA;
        duration = find(m, name);
        if (!duration)
                return -ENODATA;
        memcpy(sorted, duration->runs, duration->n * sizeof(uint64_t));
        qsort(sorted, duration->n, sizeof(uint64_t), compare);
        *ret_usec = sorted[duration->n / 2];
        *ret_runs = duration->n;
        return 0;
}

void durations_free(Manager *m) {
        Duration *duration, *next;

        HASH_ITER(hh, m->durations, duration, next) {
                HASH_DEL(m->durations, duration);
                free(duration);
        }
}
