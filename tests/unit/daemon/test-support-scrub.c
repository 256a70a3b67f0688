/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../lib/test.h"
#include "daemon/support-scrub.h"

static Scrubber *scrubber;

static int setup(void **state) {
        return scrubber_new(&scrubber);
}

static int teardown(void **state) {
        scrubber = scrubber_free(scrubber);
        return 0;
}

static void assert_scrubbed(const char *text, const char *expected) {
        char *clean = NULL;

        assert_int_equal(scrubber_text(scrubber, text, &clean), 0);
        assert_string_equal(clean, expected);
        free(clean);
}

static void test_values_anywhere(void **state) {
        assert_int_equal(scrubber_add(scrubber, "S3CR3T"), 0);
        assert_int_equal(scrubber_add(scrubber, "s3cr3t"), 0);
        assert_int_equal(scrubber_add(scrubber, "S3CR3T-9 of two"), 0);
        assert_int_equal(scrubber_add(scrubber, "S3CRET"), 0);
        assert_scrubbed("serial = S3CR3T and x", "serial = <scrubbed> and x");
        assert_scrubbed("xs3cr3ty", "x<scrubbed>y");
        assert_scrubbed("S3CR3T-9 of two", "<scrubbed>");
        assert_scrubbed("S3CR3T-9 of", "<scrubbed>-9 of");
        assert_scrubbed("s3cretS3CRET", "<scrubbed><scrubbed>");
        assert_scrubbed("S3CR S3CR3", "S3CR S3CR3");
        assert_scrubbed("", "");
}

/* What is like them is in every address of a device. */
static void test_values_that_say_nothing(void **state) {
        assert_int_equal(scrubber_add(scrubber, "0000"), 0);
        assert_int_equal(scrubber_add(scrubber, "abc"), 0);
        assert_int_equal(scrubber_add(scrubber, ""), 0);
        assert_int_equal(scrubber_add(scrubber, NULL), 0);
        assert_scrubbed("0000:01:00.0 abc", "0000:01:00.0 abc");
}

static void test_addresses(void **state) {
        assert_scrubbed("eth0 52:54:00:12:34:56 up", "eth0 <mac> up");
        assert_scrubbed("52-54-00-12-34-AB", "<mac>");
        assert_scrubbed("52:54-00:12:34:56", "52:54-00:12:34:56");
        assert_scrubbed("52:54:00:12:34:56:78", "52:54:00:12:34:56:78");
        assert_scrubbed("0000:01:00.0", "0000:01:00.0");
        assert_scrubbed("52:54:00:12:34", "52:54:00:12:34");
}

static void test_json(void **state) {
        json_auto_t *value = json_pack("{s:s, s:[s, i, {s:s}], s:n}", "a", "x S3CR3T", "b", "52:54:00:12:34:56", 7, "S3CR3T",
                                       "clean", "c"),
                    *expected = json_pack("{s:s, s:[s, i, {s:s}], s:n}", "a", "x <scrubbed>", "b", "<mac>", 7, "S3CR3T",
                                          "clean", "c");

        assert_int_equal(scrubber_add(scrubber, "S3CR3T"), 0);
        assert_int_equal(scrubber_json(scrubber, value), 0);
        assert_true(json_equal(value, expected));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_values_anywhere, setup, teardown),
                cmocka_unit_test_setup_teardown(test_values_that_say_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
                cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
