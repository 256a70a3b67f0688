/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "lib/parse.h"
#include "test.h"

static void test_bool(void **state) {
        static const char *const yes[] = { "true", "yes", "on", "1" };
        static const char *const no[] = { "false", "no", "off", "0" };
        static const char *const wrong[] = { "", "True", "y", "2", " 1", "1 ", "01", "true\n" };
        bool value;

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                value = false;
                assert_int_equal(parse_bool(yes[i], &value), 0);
                assert_true(value);
        }
        for (size_t i = 0; i < ELEMENTSOF(no); i++) {
                value = true;
                assert_int_equal(parse_bool(no[i], &value), 0);
                assert_false(value);
        }
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(parse_bool(wrong[i], &value), -EINVAL);
        assert_int_equal(parse_bool(NULL, &value), -EINVAL);
}

/* Texts that are a number for no type. */
static const char *const no_numbers[] = {
        "",     " ", "+1",   " 1",  "1 ", "1\n", "1.0", "1e3", "0x", "a",     "1a",
        "0x1g", "g", "0X1f", "0xg", "1k", "--1", "-",   "-0x", "１", "1,000", "99999999999999999999x",
};

static void test_uint(void **state) {
        static const struct {
                const char *text;
                uint64_t value;
        } good[] = {
                { "0", 0 },
                { "007", 7 },
                { "4294967295", UINT32_MAX },
                { "4294967296", 4294967296u },
                { "18446744073709551615", UINT64_MAX },
                { "0x0", 0 },
                { "0xffffFFFFffffffff", UINT64_MAX },
                { "0x00000000000000000000001", 1 },
        };
        uint64_t value = 42;
        uint32_t narrow = 42;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(parse_uint64(good[i].text, &value), 0);
                assert_true(value == good[i].value);

                narrow = 42;
                assert_int_equal(parse_uint32(good[i].text, &narrow),
                                 good[i].value > UINT32_MAX ? -ERANGE : 0);
                assert_true(narrow == (good[i].value > UINT32_MAX ? 42 : good[i].value));
        }

        value = 42;
        for (size_t i = 0; i < ELEMENTSOF(no_numbers); i++) {
                assert_int_equal(parse_uint64(no_numbers[i], &value), -EINVAL);
                assert_int_equal(parse_uint32(no_numbers[i], &narrow), -EINVAL);
        }
        assert_int_equal(parse_uint64("-1", &value), -EINVAL);
        assert_int_equal(parse_uint64(NULL, &value), -EINVAL);
        assert_int_equal(parse_uint32(NULL, &narrow), -EINVAL);
        assert_int_equal(parse_uint64("18446744073709551616", &value), -ERANGE);
        assert_int_equal(parse_uint64("0x10000000000000000", &value), -ERANGE);
        assert_true(value == 42); /* untouched by every failure */
}

static void test_int(void **state) {
        static const struct {
                const char *text;
                int64_t value;
        } good[] = {
                { "0", 0 },
                { "-0", 0 },
                { "-1", -1 },
                { "2147483647", INT32_MAX },
                { "-2147483648", INT32_MIN },
                { "2147483648", 2147483648 },
                { "-2147483649", -2147483649 },
                { "9223372036854775807", INT64_MAX },
                { "-9223372036854775808", INT64_MIN },
                { "-0x8000000000000000", INT64_MIN },
        };
        int64_t value = 42;
        int32_t narrow;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                bool fits = good[i].value >= INT32_MIN && good[i].value <= INT32_MAX;

                assert_int_equal(parse_int64(good[i].text, &value), 0);
                assert_true(value == good[i].value);

                narrow = 42;
                assert_int_equal(parse_int32(good[i].text, &narrow), fits ? 0 : -ERANGE);
                assert_true(narrow == (fits ? good[i].value : 42));
        }

        value = 42;
        for (size_t i = 0; i < ELEMENTSOF(no_numbers); i++) {
                assert_int_equal(parse_int64(no_numbers[i], &value), -EINVAL);
                assert_int_equal(parse_int32(no_numbers[i], &narrow), -EINVAL);
        }
        assert_int_equal(parse_int64(NULL, &value), -EINVAL);
        assert_int_equal(parse_int32(NULL, &narrow), -EINVAL);
        assert_int_equal(parse_int64("9223372036854775808", &value), -ERANGE);
        assert_int_equal(parse_int64("-9223372036854775809", &value), -ERANGE);
        assert_true(value == 42);
}

/* Every number survives the way through its text. */
static void test_number_round_trip(void **state) {
        uint64_t seed = 88172645463325252u;
        char text[32];

        for (int i = 0; i < 10000; i++) {
                uint64_t unsigned_value, number;
                int64_t signed_value;

                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                number = seed >> (i % 64);

                (void) snprintf(text, sizeof(text), "%" PRIu64, number);
                assert_int_equal(parse_uint64(text, &unsigned_value), 0);
                assert_true(unsigned_value == number);
                (void) snprintf(text, sizeof(text), "0x%" PRIx64, number);
                assert_int_equal(parse_uint64(text, &unsigned_value), 0);
                assert_true(unsigned_value == number);
                (void) snprintf(text, sizeof(text), "%" PRIi64, (int64_t) number);
                assert_int_equal(parse_int64(text, &signed_value), 0);
                assert_true(signed_value == (int64_t) number);
        }
}

static void test_hex32(void **state) {
        uint32_t value = 42;

        assert_int_equal(parse_hex32("8086", &value), 0);
        assert_int_equal(value, 0x8086);
        assert_int_equal(parse_hex32("0x10DE", &value), 0);
        assert_int_equal(value, 0x10de);
        assert_int_equal(parse_hex32("0xffffffff", &value), 0);
        assert_true(value == UINT32_MAX);

        value = 42;
        assert_int_equal(parse_hex32("100000000", &value), -ERANGE);
        assert_int_equal(parse_hex32("0x", &value), -EINVAL);
        assert_int_equal(parse_hex32("", &value), -EINVAL);
        assert_int_equal(parse_hex32("-1", &value), -EINVAL);
        assert_int_equal(parse_hex32("0x8086\n", &value), -EINVAL);
        assert_int_equal(parse_hex32("vfio", &value), -EINVAL);
        assert_int_equal(parse_hex32(NULL, &value), -EINVAL);
        assert_int_equal(value, 42);
}

static void test_bdf(void **state) {
        static const char *const wrong[] = {
                "",
                "3b:00.0",
                "000:3b:00.0",
                "000000000:3b:00.0",
                "0000:3b:00",
                "0000:3b:00.",
                "0000:3b:00.00",
                "0000:3b:00.0 ",
                " 000:3b:00.0",
                "0000:3b:0.0",
                "0000:3:00.0",
                "0000:3b.00.0",
                "0000:3b:00:0",
                "0000-3b-00-0",
                "000g:3b:00.0",
                "0000:3g:00.0",
                "0000:3b:0g.0",
                "0000:3b:00.g",
                "0x00:3b:00.0",
                "-000:3b:00.0",
                "0000:3b:00.0:",
                "::::",
        };
        uint8_t bus = 42, slot = 42, function = 42;
        uint32_t domain = 42;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(parse_bdf(wrong[i], &domain, &bus, &slot, &function), -EINVAL);
        assert_int_equal(parse_bdf(NULL, &domain, &bus, &slot, &function), -EINVAL);
        assert_int_equal(parse_bdf("0000:3b:20.0", &domain, &bus, &slot, &function), -ERANGE);
        assert_int_equal(parse_bdf("0000:3b:00.8", &domain, &bus, &slot, &function), -ERANGE);
        assert_true(domain == 42 && bus == 42 && slot == 42 && function == 42);

        assert_int_equal(parse_bdf("0000:3b:1f.7", &domain, &bus, &slot, &function), 0);
        assert_true(domain == 0 && bus == 0x3b && slot == 0x1f && function == 7);
        assert_int_equal(parse_bdf("10000:e1:00.0", &domain, &bus, &slot, &function),
                         0); /* behind Intel's VMD */
        assert_true(domain == 0x10000 && bus == 0xe1 && slot == 0 && function == 0);
        assert_int_equal(parse_bdf("FFFFFFFF:ff:00.1", &domain, &bus, &slot, &function), 0);
        assert_true(domain == UINT32_MAX && bus == 0xff && slot == 0 && function == 1);
}

static void test_dev(void **state) {
        static const char *const wrong[] = { "",        ":",       "189",   "189:", ":5",
                                             "189:5:1", "189:5\n", "0x1:5", "-1:5", "a:b" };
        unsigned major_number = 42, minor_number = 42;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(parse_dev(wrong[i], &major_number, &minor_number), -EINVAL);
        assert_int_equal(parse_dev(NULL, &major_number, &minor_number), -EINVAL);
        assert_int_equal(parse_dev("4096:0", &major_number, &minor_number), -ERANGE);
        assert_int_equal(parse_dev("0:1048576", &major_number, &minor_number), -ERANGE);
        assert_int_equal(parse_dev("99999999999999999999:0", &major_number, &minor_number), -ERANGE);
        assert_true(major_number == 42 && minor_number == 42);

        assert_int_equal(parse_dev("189:5", &major_number, &minor_number), 0);
        assert_true(major_number == 189 && minor_number == 5);
        assert_int_equal(parse_dev("4095:1048575", &major_number, &minor_number), 0);
        assert_true(major_number == 4095 && minor_number == 1048575);
}

static void test_uuid(void **state) {
        static const char *const wrong[] = {
                "",
                "-",
                "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a1",
                "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a100",
                "c73f2e8e-1c1b-4e5a-9d2b8d6f6e3c2a10",
                "c73f2e8e1-c1b-4e5a-9d2b-8d6f6e3c2a10",
                "{c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a10}",
                "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a1g",
                "c73f2e8e1c1b4e5a9d2b8d6f6e3c2a1",
                "c73f2e8e1c1b4e5a9d2b8d6f6e3c2a100",
                "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a10-",
                " c73f2e8e1c1b4e5a9d2b8d6f6e3c2a10",
        };
        char uuid[UUID_TEXT_SIZE] = "untouched";

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(parse_uuid(wrong[i], uuid), -EINVAL);
        assert_int_equal(parse_uuid(NULL, uuid), -EINVAL);
        assert_string_equal(uuid, "untouched");

        assert_int_equal(parse_uuid("C73F2E8E-1C1B-4E5A-9D2B-8D6F6E3C2A10", uuid), 0);
        assert_string_equal(uuid, "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a10");
        assert_int_equal(parse_uuid("c73f2e8e1c1b4e5a9d2b8d6f6e3c2a10", uuid), 0);
        assert_string_equal(uuid, "c73f2e8e-1c1b-4e5a-9d2b-8d6f6e3c2a10");
}

static void test_utf8(void **state) {
        assert_true(utf8_is_valid(""));
        assert_true(utf8_is_valid("GPU"));
        assert_true(utf8_is_valid("Gerät № 1 😀"));
        assert_true(utf8_is_valid("\x7f\x01\n"));
        assert_true(utf8_is_valid("\xc2\x80 \xe0\xa0\x80 \xf0\x90\x80\x80")); /* the first of each length */
        assert_true(utf8_is_valid("\xed\x9f\xbf \xee\x80\x80"));              /* around the surrogates */
        assert_true(utf8_is_valid("\xf4\x8f\xbf\xbf"));                       /* U+10FFFF */
        assert_false(utf8_is_valid(NULL));

        for (size_t i = 0; i < ELEMENTSOF(invalid_utf8); i++)
                assert_false(utf8_is_valid(invalid_utf8[i]));
}

static void test_clean(void **state) {
        static const char *const dirty[] = {
                "a\nb",         "\t",       "\x1b[31mred", "\x7f", "\xc2\x80", /* the first of C1 */
                "\xc2\x85",     "\xc2\x9f",                                    /* the last of C1 */
                "\xe2\x80\xa8",                                                /* line separator */
                "\xe2\x80\xae",                                                /* right-to-left override */
                "\xe2\x81\xa6",                                                /* the first isolate */
                "\xe2\x81\xa9",                                                /* the last one */
        };

        assert_true(text_is_clean("", 0));
        assert_true(text_is_clean("Gerät № 1 😀", 64));
        assert_false(text_is_clean(NULL, 64));
        assert_true(text_is_clean("abc", 3));
        assert_false(text_is_clean("abcd", 3));
        assert_false(text_is_clean("ab\xc3\xa4", 3)); /* bytes count, not characters */

        for (size_t i = 0; i < ELEMENTSOF(dirty); i++)
                assert_false(text_is_clean(dirty[i], 64));
        for (size_t i = 0; i < ELEMENTSOF(invalid_utf8); i++)
                assert_false(text_is_clean(invalid_utf8[i], 64));
}

static void test_megabyte(void **state) {
        _cleanup_free_ char *digits = repeat('9', MEGABYTE);
        uint8_t bus, slot, function;
        char uuid[UUID_TEXT_SIZE];
        uint32_t narrow, domain;
        unsigned major_number, minor_number;
        uint64_t value;

        assert_int_equal(parse_uint64(digits, &value), -ERANGE);
        assert_int_equal(parse_hex32(digits, &narrow), -ERANGE);
        assert_int_equal(parse_bdf(digits, &domain, &bus, &slot, &function), -EINVAL);
        assert_int_equal(parse_dev(digits, &major_number, &minor_number), -EINVAL);
        assert_int_equal(parse_uuid(digits, uuid), -EINVAL);
        assert_true(utf8_is_valid(digits));
        assert_true(text_is_clean(digits, MEGABYTE));
        assert_false(text_is_clean(digits, MEGABYTE - 1));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bool),     cmocka_unit_test(test_uint),
                cmocka_unit_test(test_int),      cmocka_unit_test(test_number_round_trip),
                cmocka_unit_test(test_hex32),    cmocka_unit_test(test_bdf),
                cmocka_unit_test(test_dev),      cmocka_unit_test(test_uuid),
                cmocka_unit_test(test_utf8),     cmocka_unit_test(test_clean),
                cmocka_unit_test(test_megabyte),
        };

        return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
