/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meter-history.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/limits.h"

#define NAME_SIZE 40
#define MSEC_PER_MINUTE INT64_C(60000)
#define FIRST_ROOM 16u

typedef struct Sample {
        int64_t time;
        uint32_t known; /* bit per value */
        int32_t values[METER_VALUES_MAX];
} Sample;

typedef struct Minute {
        int64_t time;
        uint32_t known, n_samples;
        int32_t averages[METER_VALUES_MAX], peaks[METER_VALUES_MAX];
} Minute;

/* The oldest entry is at `first` once there is no more room to grow. */
typedef struct Ring {
        void *items;
        size_t size; /* of one */
        size_t n, first, allocated, max;
} Ring;

/* The minute that goes on. */
typedef struct Running {
        int64_t time;
        uint32_t n_samples, n[METER_VALUES_MAX];
        int64_t sums[METER_VALUES_MAX];
        int32_t peaks[METER_VALUES_MAX];
} Running;

struct MeterHistory {
        char names[METER_VALUES_MAX][NAME_SIZE];
        size_t n_names;
        Ring samples, minutes;
        Running running; /* n_samples 0: none */
};

_Static_assert(METER_VALUES_MAX <= 32, "a bit for each value");

static const void *ring_get(const Ring *ring, size_t i) {
        return (const char *) ring->items + (ring->first + i) % ring->allocated * ring->size;
}

static int ring_add(Ring *ring, const void *item) {
        if (ring->n == ring->allocated && ring->allocated < ring->max) {
                size_t n = MIN_OF(ring->allocated ? ring->allocated * 2 : FIRST_ROOM, ring->max);
                void *items = reallocarray(ring->items, n, ring->size);

                if (!items)
                        return -ENOMEM;
                ring->items = items;
                ring->allocated = n;
        }
        if (ring->n < ring->allocated)
                memcpy((char *) ring->items + ring->n++ * ring->size, item, ring->size);
        else {
                memcpy((char *) ring->items + ring->first * ring->size, item, ring->size);
                ring->first = (ring->first + 1) % ring->allocated;
        }
        return 0;
}

MeterHistory *meter_history_new(size_t samples_max, size_t minutes_max) {
        MeterHistory *history = calloc(1, sizeof(*history));

        if (history) {
                history->samples = (Ring){ .size = sizeof(Sample), .max = samples_max };
                history->minutes = (Ring){ .size = sizeof(Minute), .max = minutes_max };
        }
        return history;
}

MeterHistory *meter_history_free(MeterHistory *history) {
        if (!history)
                return NULL;
        free(history->samples.items);
        free(history->minutes.items);
        free(history);
        return NULL;
}

/* Its number; -1 for one name too many. */
static int index_of(MeterHistory *history, const char *name) {
        for (size_t i = 0; i < history->n_names; i++)
                if (streq(history->names[i], name))
                        return (int) i;
        /* They are keys of the answer. */
        if (history->n_names == METER_VALUES_MAX || strlen(name) >= NAME_SIZE || streq(name, "time") || streq(name, "samples"))
                return -1;
        strcpy(history->names[history->n_names], name);
        return (int) history->n_names++;
}

static Minute finished(const Running *running) {
        Minute minute = { .time = running->time, .n_samples = running->n_samples };

        for (size_t i = 0; i < METER_VALUES_MAX; i++) {
                if (running->n[i] == 0)
                        continue;
                minute.known |= 1u << i;
                /* Rounded: the numbers are never negative but for temperatures. */
                minute.averages[i] = (int32_t) ((running->sums[i] + (running->sums[i] < 0 ? -1 : 1) * (int64_t) (running->n[i] / 2)) /
                                                running->n[i]);
                minute.peaks[i] = running->peaks[i];
        }
        return minute;
}

static void run_on(Running *running, const Sample *sample) {
        running->n_samples++;
        for (size_t i = 0; i < METER_VALUES_MAX; i++) {
                if (!(sample->known & 1u << i))
                        continue;
                if (running->n[i]++ == 0 || sample->values[i] > running->peaks[i])
                        running->peaks[i] = sample->values[i];
                running->sums[i] += sample->values[i];
        }
}

int meter_history_add(MeterHistory *history, int64_t time_msec, const json_t *sample) {
        int64_t minute = time_msec - time_msec % MSEC_PER_MINUTE;
        Sample taken = { .time = time_msec };
        const char *name;
        json_t *value;
        int r;

        json_object_foreach((json_t *) sample, name, value) {
                json_int_t number = json_integer_value(value);
                int i = json_is_integer(value) && number >= INT32_MIN && number <= INT32_MAX ? index_of(history, name) : -1;

                if (i < 0)
                        continue;
                taken.known |= 1u << i;
                taken.values[i] = (int32_t) number;
        }
        /* A clock that was set back begins a new minute, too. */
        if (history->running.n_samples > 0 && history->running.time != minute) {
                Minute before = finished(&history->running);

                r = ring_add(&history->minutes, &before);
                if (r < 0)
                        return r;
                history->running.n_samples = 0;
        }
        r = ring_add(&history->samples, &taken);
        if (r < 0)
                return r;
        if (history->running.n_samples == 0)
                history->running = (Running){ .time = minute };
        run_on(&history->running, &taken);
        return 0;
}

static int set_new(json_t *object, const char *name, json_int_t value) {
        return json_object_set_new(object, name, json_integer(value));
}

json_t *meter_history_samples(const MeterHistory *history, int64_t since_msec) {
        json_t *rows = json_array();

        for (size_t i = 0; rows && i < history->samples.n; i++) {
                const Sample *sample = ring_get(&history->samples, i);
                json_t *row;

                if (sample->time <= since_msec)
                        continue;
                row = json_object();
                (void) set_new(row, "time", sample->time);
                for (size_t k = 0; k < history->n_names; k++)
                        if (sample->known & 1u << k)
                                (void) set_new(row, history->names[k], sample->values[k]);
                (void) json_array_append_new(rows, row);
        }
        return rows;
}

static void add_minute(const MeterHistory *history, const Minute *minute, int64_t since_msec, json_t *rows) {
        json_t *row;

        if (minute->time <= since_msec)
                return;
        row = json_object();
        (void) set_new(row, "time", minute->time);
        (void) set_new(row, "samples", minute->n_samples);
        for (size_t k = 0; k < history->n_names; k++) {
                char peak[NAME_SIZE + sizeof("-peak")];

                if (!(minute->known & 1u << k))
                        continue;
                (void) snprintf(peak, sizeof(peak), "%s-peak", history->names[k]);
                (void) set_new(row, history->names[k], minute->averages[k]);
                (void) set_new(row, peak, minute->peaks[k]);
        }
        (void) json_array_append_new(rows, row);
}

json_t *meter_history_minutes(const MeterHistory *history, int64_t since_msec) {
        json_t *rows = json_array();

        if (!rows)
                return NULL;
        for (size_t i = 0; i < history->minutes.n; i++)
                add_minute(history, ring_get(&history->minutes, i), since_msec, rows);
        if (history->running.n_samples > 0) {
                Minute now = finished(&history->running);

                add_minute(history, &now, since_msec, rows);
        }
        return rows;
}
