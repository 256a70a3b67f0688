/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What was measured of one thing, in memory: the last samples one by one, and by minute for longer. Both are bounded; the
 * oldest goes. Any number that is measured is kept under its name, METER_VALUES_MAX of them. */

#include <jansson.h>

#include "lib/macro.h"

typedef struct MeterHistory MeterHistory;

MeterHistory *meter_history_new(size_t samples_max, size_t minutes_max);
MeterHistory *meter_history_free(MeterHistory *history);
DEFINE_CLEANUP(MeterHistory *, meter_history_free)

/* Adds the integers of an object. `time_msec`: since 1970. -ENOMEM: it is not kept. */
int meter_history_add(MeterHistory *history, int64_t time_msec, const json_t *sample);
/* [{time, NAME: value, …}, …], oldest first, those later than `since_msec`. New reference; NULL: -ENOMEM. */
json_t *meter_history_samples(const MeterHistory *history, int64_t since_msec);
/* The same by minutes: {time (its beginning), samples, NAME: average, NAME-peak: greatest, …}; the last may go on. */
json_t *meter_history_minutes(const MeterHistory *history, int64_t since_msec);
