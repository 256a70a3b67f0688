/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is kept of measurements: bounded, oldest first, by minutes with averages and peaks. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "daemon/meter-history.h"
#include "lib/limits.h"
#include "lib/protocol.h"

#define MINUTE INT64_C(60000)

static void add(MeterHistory *history, int64_t time, const char *text) {
        _cleanup_json_ json_t *sample = json_loads(text, 0, NULL);

        assert_non_null(sample);
        assert_int_equal(meter_history_add(history, time, sample), 0);
}

static void check_rows(json_t *rows, const char *expected) {
        _cleanup_json_ json_t *owned = rows, *wanted = json_loads(expected, 0, NULL);

        assert_non_null(wanted);
        if (!json_equal(owned, wanted))
                fail_msg("%s, not %s", json_dumps(owned, JSON_SORT_KEYS), expected);
}

static void test_samples(void **state) {
        _cleanup_(meter_history_freep) MeterHistory *history = meter_history_new(3, 3);

        check_rows(meter_history_samples(history, 0), "[]");
        check_rows(meter_history_minutes(history, 0), "[]");
        add(history, 1000, "{\"gpu\": 10, \"name\": \"x\", \"devices\": [], \"late\": 99999999999}");
        add(history, 2000, "{\"power\": 70000}");
        check_rows(meter_history_samples(history, 0), "[{\"time\": 1000, \"gpu\": 10}, {\"time\": 2000, \"power\": 70000}]");
        check_rows(meter_history_samples(history, 1000), "[{\"time\": 2000, \"power\": 70000}]");
        add(history, 3000, "{\"gpu\": 0}");
        add(history, 4000, "{\"gpu\": 40}");
        add(history, 5000, "{\"time\": 1, \"samples\": 2, \"gpu\": 50}");
        check_rows(meter_history_samples(history, 0), "[{\"time\": 3000, \"gpu\": 0}, {\"time\": 4000, \"gpu\": 40}, "
                                                      "{\"time\": 5000, \"gpu\": 50}]");
}

static void test_minutes(void **state) {
        _cleanup_(meter_history_freep) MeterHistory *history = meter_history_new(2, 2);

        add(history, 5 * MINUTE + 1, "{\"gpu\": 10, \"temperature\": -3}");
        add(history, 5 * MINUTE + 2, "{\"gpu\": 15}");
        check_rows(meter_history_minutes(history, 0),
                   "[{\"time\": 300000, \"samples\": 2, \"gpu\": 13, \"gpu-peak\": 15, \"temperature\": -3, "
                   "\"temperature-peak\": -3}]");
        add(history, 6 * MINUTE, "{\"gpu\": 99}");
        add(history, 9 * MINUTE, "{\"gpu\": 1}");
        add(history, 4 * MINUTE, "{\"gpu\": 7}"); /* the clock was set back */
        check_rows(meter_history_minutes(history, 5 * MINUTE),
                   "[{\"time\": 360000, \"samples\": 1, \"gpu\": 99, \"gpu-peak\": 99}, "
                   "{\"time\": 540000, \"samples\": 1, \"gpu\": 1, \"gpu-peak\": 1}]");
        check_rows(meter_history_minutes(history, 0),
                   "[{\"time\": 360000, \"samples\": 1, \"gpu\": 99, \"gpu-peak\": 99}, "
                   "{\"time\": 540000, \"samples\": 1, \"gpu\": 1, \"gpu-peak\": 1}, "
                   "{\"time\": 240000, \"samples\": 1, \"gpu\": 7, \"gpu-peak\": 7}]");
}

/* A day and more at the shortest interval stays within its bounds. */
static void test_bounds(void **state) {
        _cleanup_(meter_history_freep) MeterHistory *history = meter_history_new(METER_SAMPLES_MAX, METER_MINUTES_MAX);
        _cleanup_json_ json_t *sample = json_object(), *samples = NULL, *minutes = NULL;
        int64_t start = INT64_C(1700000000000) / MINUTE * MINUTE;

        for (unsigned i = 0; i < METER_VALUES_MAX + 4; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "v%u", i);
                assert_int_equal(json_object_set_new(sample, name, json_integer(i)), 0);
        }
        for (unsigned i = 0; i < 2 * 1500; i++)
                assert_int_equal(meter_history_add(history, start + i * 30000, sample), 0);
        samples = meter_history_samples(history, 0);
        minutes = meter_history_minutes(history, 0);
        assert_int_equal(json_array_size(samples), METER_SAMPLES_MAX);
        assert_int_equal(json_array_size(minutes), METER_MINUTES_MAX + 1); /* and the one that goes on */
        assert_int_equal(json_object_size(json_array_get(samples, 0)), METER_VALUES_MAX + 1);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(samples, METER_SAMPLES_MAX - 1), "time")),
                         start + (2 * 1500 - 1) * 30000);
        for (size_t i = 1; i < json_array_size(minutes); i++)
                assert_int_equal(json_integer_value(json_object_get(json_array_get(minutes, i), "time")) -
                                         json_integer_value(json_object_get(json_array_get(minutes, i - 1), "time")),
                                 MINUTE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_samples),
                cmocka_unit_test(test_minutes),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
