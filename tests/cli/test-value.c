/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include <sys/socket.h>

#include "cli-value.h"

/* Messages need a connection to be made on, though nobody is at its other end. */
static sd_bus *bus;
static int other_end;

static int setup(void **state) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(sd_bus_new(&bus), 0);
        assert_true(sd_bus_set_fd(bus, pair[0], pair[0]) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        other_end = pair[1];
        return 0;
}

static int teardown(void **state) {
        sd_bus_close_unref(bus);
        close(other_end);
        return 0;
}

static sd_bus_message *new_message(void) {
        sd_bus_message *m;

        assert_true(sd_bus_message_new_method_call(bus, &m, "org.example", "/", "org.example", "Test") >= 0);
        return m;
}

static void seal(sd_bus_message *m) {
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        assert_true(sd_bus_message_rewind(m, true) >= 0);
}

static void test_both_ways(void **state) {
        static const struct {
                const char *signature, *json;
        } values[] = {
                { "s", "\"text\"" },
                { "b", "true" },
                { "o", "\"/org/example\"" },
                { "as", "[]" },
                { "as", "[\"a\", \"b\"]" },
                { "ao", "[\"/a\", \"/b\"]" },
                { "a(sss)", "[[\"a\", \"eq\", \"b\"], [\"c\", \"ne\", \"\"]]" },
                { "a{sv}", "{}" },
                { "a{sv}", "{\"s\": \"x\", \"i\": -9007199254740993, \"b\": false, \"d\": 0.5, \"l\": "
                           "[\"x\"], \"e\": []}" },
                { "a{sv}",
                  "{\"o\": {\"deep\": {\"deeper\": [{\"deepest\": 1}]}}, \"w\": [[\"a\", \"eq\", \"b\"]]}" },
                { "aa{sv}", "[{\"a\": 1}, {}, {\"b\": \"two\"}]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                json_auto_t *value = json_of(values[i].json);
                sd_bus_message *m = new_message();
                json_t *read = NULL;

                assert_true(value_append(m, values[i].signature, value) >= 0);
                seal(m);
                assert_string_equal(sd_bus_message_get_signature(m, true), values[i].signature);
                assert_int_equal(value_read(m, &read), 0);
                assert_json(read, values[i].json);
                assert_int_equal(value_read(m, &read), -ENXIO);
                sd_bus_message_unref(m);
        }
}

static void test_null_is_left_out(void **state) {
        json_auto_t *value = json_of("{\"a\": null, \"b\": 1}");
        sd_bus_message *m = new_message();
        json_t *read = NULL;

        assert_true(value_append(m, "a{sv}", value) >= 0);
        seal(m);
        assert_int_equal(value_read(m, &read), 0);
        assert_json(read, "{\"b\": 1}");
        sd_bus_message_unref(m);
}

static void test_every_number(void **state) {
        sd_bus_message *m = new_message();
        json_t *read = NULL;

        assert_true(sd_bus_message_append(m, "ynqiuxtdb", 255, -32768, 65535, INT32_MIN, UINT32_MAX,
                                          INT64_MIN, (uint64_t) INT64_MAX, 1.25, 1) >= 0);
        assert_true(sd_bus_message_append(m, "go", "as", "/x") >= 0);
        seal(m);
        assert_int_equal(values_read(m, &read), 0);
        assert_json(read, "[255, -32768, 65535, -2147483648, 4294967295, -9223372036854775808, "
                          "9223372036854775807, 1.25, "
                          "true, \"as\", \"/x\"]");
        sd_bus_message_unref(m);
}

/* A dictionary whose keys are no texts has no JSON. */
static void test_strange_dictionary(void **state) {
        sd_bus_message *m = new_message();
        json_t *read = NULL;

        assert_true(sd_bus_message_append(m, "a{us}", 1, 7u, "x") >= 0);
        seal(m);
        assert_int_equal(value_read(m, &read), -EINVAL);
        assert_null(read);
        sd_bus_message_unref(m);
}

static void test_paths_as_keys(void **state) {
        sd_bus_message *m = new_message();
        json_t *read = NULL;

        assert_true(sd_bus_message_append(m, "a{oa{sv}}", 1, "/x", 1, "k", "i", 3) >= 0);
        seal(m);
        assert_int_equal(value_read(m, &read), 0);
        assert_json(read, "{\"/x\": {\"k\": 3}}");
        sd_bus_message_unref(m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_ways),     cmocka_unit_test(test_null_is_left_out),
                cmocka_unit_test(test_every_number),  cmocka_unit_test(test_strange_dictionary),
                cmocka_unit_test(test_paths_as_keys),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
