/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Time stamps and percentiles for the bare programs and the client. Times are in microseconds. */

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline double now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec * 1e6 + (double) ts.tv_nsec / 1e3;
}

static inline int compare_double(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

/* Sorts `values`. */
static inline double percentile(double *values, size_t n, double p) {
        qsort(values, n, sizeof(double), compare_double);
        return values[(size_t) (p * (double) (n - 1) + 0.5)];
}
