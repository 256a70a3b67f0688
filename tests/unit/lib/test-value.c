/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/limits.h"
#include "lib/protocol.h" /* _cleanup_json_ */
#include "lib/value-util.h"
#include "test.h"

static const char *const two_words[] = { "a", "b", NULL };
static const char *const no_words[] = { NULL };

/* One or more of each type, with the text form. */
static const struct {
        PtValue value;
        const char *text;
} samples[] = {
        { { .type = PT_BOOL, .b = true }, "true" },
        { { .type = PT_BOOL, .b = false }, "false" },
        { { .type = PT_INT32, .i = -1 }, "-1" },
        { { .type = PT_INT32, .i = INT32_MIN }, "-2147483648" },
        { { .type = PT_INT32, .i = INT32_MAX }, "2147483647" },
        { { .type = PT_UINT32, .u = 0 }, "0" },
        { { .type = PT_UINT32, .u = UINT32_MAX }, "4294967295" },
        { { .type = PT_INT64, .x = INT64_MIN }, "-9223372036854775808" },
        { { .type = PT_INT64, .x = INT64_MAX }, "9223372036854775807" },
        { { .type = PT_UINT64, .t = 1 }, "1" },
        { { .type = PT_UINT64, .t = UINT64_MAX }, "18446744073709551615" },
        { { .type = PT_STRING, .s = "" }, "" },
        { { .type = PT_STRING, .s = "Gerät, 1" }, "Gerät, 1" },
        { { .type = PT_STRV, .strv = no_words }, "" },
        { { .type = PT_STRV, .strv = two_words }, "a,b" },
};

static void test_types(void **state) {
        static const struct {
                uint32_t type;
                const char *signature;
        } types[] = {
                { PT_BOOL, "b" },   { PT_INT32, "i" },  { PT_UINT32, "u" }, { PT_INT64, "x" },
                { PT_UINT64, "t" }, { PT_STRING, "s" }, { PT_STRV, "as" },
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                assert_string_equal(type_signature(types[i].type), types[i].signature);
                assert_non_null(type_title(types[i].type));
        }
        assert_string_equal(type_title(PT_UINT32), "a whole number from 0 to 4294967295");
        assert_null(type_signature(PT_NONE));
        assert_null(type_title(PT_NONE));
        assert_null(type_signature('v'));
        assert_null(type_title(UINT32_MAX));
}

static void test_copy(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                _cleanup_value_ PtValue copy = { 0 };

                assert_int_equal(value_copy(&samples[i].value, &copy), 0);
                assert_int_equal(copy.type, samples[i].value.type);
                assert_true(value_equal(&copy, &samples[i].value));
                if (copy.type == PT_STRING)
                        assert_ptr_not_equal(copy.s, samples[i].value.s);
                if (copy.type == PT_STRV)
                        assert_ptr_not_equal(copy.strv, samples[i].value.strv);
        }
}

static void test_copy_refused(void **state) {
        const char *bad_list[] = { "good", "bad\xff", NULL };
        PtValue copy = { .type = PT_INT32, .i = 42 };

        assert_int_equal(value_copy(&(PtValue){ .type = 'v' }, &copy), -EINVAL);
        assert_int_equal(value_copy(&PT_VALUE_STRING(NULL), &copy), -EINVAL);
        assert_int_equal(value_copy(&PT_VALUE_STRV(NULL), &copy), -EINVAL);
        assert_int_equal(value_copy(&PT_VALUE_STRV(bad_list), &copy), -EILSEQ);
        for (size_t i = 0; i < ELEMENTSOF(invalid_utf8); i++)
                assert_int_equal(value_copy(&PT_VALUE_STRING(invalid_utf8[i]), &copy), -EILSEQ);
        assert_true(copy.type == PT_INT32 && copy.i == 42);
}

static void test_none(void **state) {
        _cleanup_free_ char *text = NULL;
        PtValue none = { 0 }, copy = PT_VALUE_INT32(1);
        json_t *json;

        assert_int_equal(value_copy(&none, &copy), 0);
        assert_int_equal(copy.type, PT_NONE);
        assert_true(value_equal(&none, &copy));
        assert_int_equal(value_format(&none, &text), 0);
        assert_string_equal(text, "");

        json = value_to_json(&none);
        assert_true(json_is_null(json));
        assert_int_equal(value_from_json(PT_NONE, json, "it", &copy, NULL), 0);
        assert_int_equal(copy.type, PT_NONE);
        assert_int_equal(value_from_json(PT_STRING, json, "it", &copy, NULL), -EINVAL);
        json_decref(json);

        value_done(&none);
        value_done(NULL);
}

static void test_text_round_trip(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                _cleanup_value_ PtValue parsed = { 0 };
                _cleanup_fault_ Fault fault = { 0 };
                _cleanup_free_ char *text = NULL;

                assert_int_equal(value_format(&samples[i].value, &text), 0);
                assert_string_equal(text, samples[i].text);
                assert_int_equal(value_parse(samples[i].value.type, text, "it", &parsed, &fault), 0);
                assert_true(value_equal(&parsed, &samples[i].value));
                assert_int_equal(fault.code, FAULT_NONE);
        }

        assert_int_equal(value_format(&(PtValue){ .type = 'v' }, NULL), -EINVAL);
}

static void test_json_round_trip(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                _cleanup_value_ PtValue read = { 0 };
                _cleanup_json_ json_t *json = NULL, *parsed = NULL;
                _cleanup_free_ char *text = NULL;

                json = value_to_json(&samples[i].value);
                assert_non_null(json);
                text = json_dumps(json, JSON_ENCODE_ANY);
                assert_non_null(text);
                parsed = json_loads(text, JSON_DECODE_ANY, NULL);
                assert_non_null(parsed);
                assert_int_equal(value_from_json(samples[i].value.type, parsed, "it", &read, NULL), 0);
                assert_true(value_equal(&read, &samples[i].value));
        }

        assert_null(value_to_json(&(PtValue){ .type = 'v' }));

        /* A number for as long as jansson has numbers. */
        for (uint64_t t = INT64_MAX; t <= (uint64_t) INT64_MAX + 1; t++) {
                _cleanup_json_ json_t *json = value_to_json(&PT_VALUE_UINT64(t));

                assert_int_equal(json_typeof(json), t <= INT64_MAX ? JSON_INTEGER : JSON_STRING);
        }
}

static void test_parse_refused(void **state) {
        static const struct {
                uint32_t type;
                const char *text;
                int error;
                FaultCode code;
                const char *words;
        } wrong[] = {
                { PT_BOOL, "maybe", -EINVAL, FAULT_INVALID_VALUE,
                  "it is \"maybe\", but must be true or false" },
                { PT_BOOL, "", -EINVAL, FAULT_INVALID_VALUE, "true or false" },
                { PT_INT32, "2147483648", -ERANGE, FAULT_INVALID_VALUE, "from -2147483648 to 2147483647" },
                { PT_UINT32, "-1", -EINVAL, FAULT_INVALID_VALUE, "from 0 to 4294967295" },
                { PT_UINT32, "4294967296", -ERANGE, FAULT_INVALID_VALUE, "from 0 to 4294967295" },
                { PT_INT64, "1.5", -EINVAL, FAULT_INVALID_VALUE, "a whole number" },
                { PT_UINT64, "18446744073709551616", -ERANGE, FAULT_INVALID_VALUE,
                  "to 18446744073709551615" },
                { PT_STRING, NULL, -EINVAL, FAULT_INVALID_VALUE, "no value" },
                { PT_STRING, "\xff", -EINVAL, FAULT_INVALID_VALUE, "UTF-8" },
                { PT_STRV, ",", -EINVAL, FAULT_INVALID_VALUE, "a list" },
                { PT_STRV, "a,", -EINVAL, FAULT_INVALID_VALUE, "a list" },
                { PT_STRV, ",a", -EINVAL, FAULT_INVALID_VALUE, "a list" },
                { PT_STRV, "a,,b", -EINVAL, FAULT_INVALID_VALUE, "a list" },
                { PT_NONE, "a", -EINVAL, FAULT_INTERNAL, "unknown type" },
                { 'v', "a", -EINVAL, FAULT_INTERNAL, "unknown type" },
        };
        PtValue value = PT_VALUE_INT32(42);

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_fault_ Fault fault = { 0 };

                assert_int_equal(value_parse(wrong[i].type, wrong[i].text, "it", &value, &fault),
                                 wrong[i].error);
                assert_fault(&fault, wrong[i].code, wrong[i].words);
                assert_int_equal(value_parse(wrong[i].type, wrong[i].text, "it", &value, NULL),
                                 wrong[i].error);
        }
        assert_true(value.type == PT_INT32 && value.i == 42);
}

static void test_size(void **state) {
        _cleanup_free_ char *longest = repeat('x', TEXT_MAX_BYTES),
                            *longer = repeat('x', TEXT_MAX_BYTES + 1), *huge = repeat('9', MEGABYTE);
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_value_ PtValue value = { 0 };
        _cleanup_json_ json_t *json = NULL, *list = NULL;

        assert_int_equal(value_parse(PT_STRING, longest, "it", &value, &fault), 0);
        assert_int_equal(value_parse(PT_STRING, longer, "it", &value, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "longer than 4096 bytes");
        assert_int_equal(value_parse(PT_UINT64, huge, "it", &value, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "longer than 4096 bytes");

        json = json_string(longest);
        value_done(&value);
        assert_int_equal(value_from_json(PT_STRING, json, "it", &value, &fault), 0);
        json_decref(json);
        json = json_string(huge);
        assert_int_equal(value_from_json(PT_STRING, json, "it", &value, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "longer than 4096 bytes");
        list = json_pack("[sO]", "a", json);
        assert_int_equal(value_from_json(PT_STRV, list, "it", &value, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "longer than 4096 bytes");
}

/* What clients send where something else would be due, and is taken all the same. */
static void test_json_taken(void **state) {
        static const struct {
                uint32_t type;
                const char *json, *text;
        } good[] = {
                { PT_BOOL, "1", "true" },
                { PT_BOOL, "0", "false" },
                { PT_BOOL, "\"yes\"", "true" },
                { PT_UINT32, "\"0x10\"", "16" },
                { PT_UINT32, "0", "0" },
                { PT_UINT64, "0", "0" },
                { PT_INT64, "-9007199254740992.0", "-9007199254740992" },
                { PT_INT32, "-2147483648", "-2147483648" },
                { PT_INT32, "3.0", "3" },
                { PT_UINT64, "9007199254740992.0", "9007199254740992" },
                { PT_INT64, "\"-9223372036854775808\"", "-9223372036854775808" },
                { PT_UINT64, "\"18446744073709551615\"", "18446744073709551615" },
                { PT_STRV, "\"a,b\"", "a,b" },
                { PT_STRV, "[\"a\", \"\"]", "a," },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_json_ json_t *json = json_loads(good[i].json, JSON_DECODE_ANY, NULL);
                _cleanup_value_ PtValue value = { 0 };
                _cleanup_fault_ Fault fault = { 0 };
                _cleanup_free_ char *text = NULL;

                assert_int_equal(value_from_json(good[i].type, json, "it", &value, &fault), 0);
                assert_int_equal(fault.code, FAULT_NONE);
                assert_int_equal(value.type, good[i].type);
                assert_int_equal(value_format(&value, &text), 0);
                assert_string_equal(text, good[i].text);
        }
}

static void test_json_refused(void **state) {
        static const struct {
                uint32_t type;
                const char *json;
                int error;
                const char *words;
        } wrong[] = {
                { PT_BOOL, "2", -EINVAL, "it is 2, but must be true or false" },
                { PT_BOOL, "1.0", -EINVAL, "a floating point number" },
                { PT_BOOL, "null", -EINVAL, "it is null" },
                { PT_INT32, "2147483648", -ERANGE, "it is 2147483648, but" },
                { PT_INT32, "-2147483649", -ERANGE, "from -2147483648" },
                { PT_INT32, "3.5", -EINVAL, "a floating point number" },
                { PT_INT32, "true", -EINVAL, "it is true" },
                { PT_UINT32, "-1", -ERANGE, "from 0" },
                { PT_UINT32, "4294967296", -ERANGE, "to 4294967295" },
                { PT_UINT64, "-1", -ERANGE, "from 0" },
                { PT_UINT64, "1e300", -ERANGE, "a floating point number" },
                { PT_INT64, "-1e300", -ERANGE, "a floating point number" },
                { PT_INT64, "{}", -EINVAL, "an object" },
                { PT_INT64, "\"\"", -EINVAL, "a whole number" },
                { PT_STRING, "1", -EINVAL, "it is 1, but must be text" },
                { PT_STRING, "1.0", -EINVAL, "text" },
                { PT_STRING, "[\"a\"]", -EINVAL, "an array" },
                { PT_STRING, "\"a\\u0000b\"", -EINVAL, "NUL" },
                { PT_STRV, "[\"a\", 1]", -EINVAL, "it is 1" },
                { PT_STRV, "[[\"a\"]]", -EINVAL, "an array" },
                { PT_STRV, "[\"a\\u0000b\"]", -EINVAL, "NUL" },
                { PT_STRV, "{}", -EINVAL, "an object" },
                { PT_STRV, "3", -EINVAL, "a list" },
        };
        _cleanup_json_ json_t *list = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        PtValue value = PT_VALUE_INT32(42);

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_json_ json_t *json =
                        json_loads(wrong[i].json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

                assert_non_null(json);
                assert_int_equal(value_from_json(wrong[i].type, json, "it", &value, &fault), wrong[i].error);
                assert_fault(&fault, FAULT_INVALID_VALUE, wrong[i].words);
        }

        list = json_pack("[o]", json_string_nocheck("\xff"));
        assert_int_equal(value_from_json(PT_STRV, list, "it", &value, &fault), -EILSEQ);
        assert_fault(&fault, FAULT_INVALID_VALUE, "UTF-8");

        assert_int_equal(value_from_json(PT_BOOL, NULL, "it", &value, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "missing");
        assert_int_equal(value_from_json('v', json_null(), "it", &value, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INTERNAL, "unknown type");
        assert_true(value.type == PT_INT32 && value.i == 42);
}

static void assert_less(PtValue a, PtValue b) {
        assert_true(value_compare(&a, &b) < 0);
        assert_true(value_compare(&b, &a) > 0);
        assert_true(value_compare(&a, &a) == 0);
        assert_false(value_equal(&a, &b));
        assert_true(value_equal(&b, &b));
}

static void test_compare(void **state) {
        static const char *const one_word[] = { "a", NULL };
        static const char *const other_words[] = { "a", "c", NULL };

        assert_less(PT_VALUE_BOOL(false), PT_VALUE_BOOL(true));
        assert_less(PT_VALUE_INT32(INT32_MIN), PT_VALUE_INT32(INT32_MAX));
        assert_less(PT_VALUE_UINT32(0), PT_VALUE_UINT32(UINT32_MAX));
        assert_less(PT_VALUE_INT64(INT64_MIN), PT_VALUE_INT64(INT64_MAX));
        assert_less(PT_VALUE_UINT64(0), PT_VALUE_UINT64(UINT64_MAX));
        assert_less(PT_VALUE_UINT64(9), PT_VALUE_UINT64(10)); /* by size, not by text */
        assert_less(PT_VALUE_STRING("10"), PT_VALUE_STRING("9"));
        assert_less(PT_VALUE_STRING(""), PT_VALUE_STRING("a"));
        assert_less(PT_VALUE_STRING("z"), PT_VALUE_STRING("ä"));
        assert_less(PT_VALUE_STRV(no_words), PT_VALUE_STRV(one_word));
        assert_less(PT_VALUE_STRV(one_word), PT_VALUE_STRV(two_words));
        assert_less(PT_VALUE_STRV(two_words), PT_VALUE_STRV(other_words));
        assert_less(PT_VALUE_BOOL(true), PT_VALUE_INT32(0)); /* by type */
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_types),           cmocka_unit_test(test_copy),
                cmocka_unit_test(test_copy_refused),    cmocka_unit_test(test_none),
                cmocka_unit_test(test_text_round_trip), cmocka_unit_test(test_json_round_trip),
                cmocka_unit_test(test_parse_refused),   cmocka_unit_test(test_size),
                cmocka_unit_test(test_json_taken),      cmocka_unit_test(test_json_refused),
                cmocka_unit_test(test_compare),
        };

        return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
