/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/limits.h"
#include "lib/schema.h"
#include "lib/value-util.h"
#include "test.h"

#define LONGEST "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-abcdefghi" /* 63 characters */

static const PtField fields[] = {
        { "vendor-id", NULL, "The vendor.", PT_STRING, PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
        { "numa-node", NULL, "The NUMA node.", PT_INT32, PT_FIELD_MATCHABLE },
        { "speed", "MT/s", "The speed of the link.", PT_UINT32, 0 },
        { LONGEST, NULL, "The longest name.", PT_BOOL, 0 },
        { 0 },
};

static const char *const modes[] = { "fast", "safe", NULL };
static const PtSetting settings[] = {
        { "mode", NULL, "How.", PT_STRING, PT_SETTING_GROUP, 0, 0, modes, "safe" },
        { "rate", "Mbit/s", "How fast.", PT_UINT32, PT_SETTING_GROUP, 1, 100, NULL, "10" },
        { "offset", NULL, "Where.", PT_INT64, PT_SETTING_GROUP, -5, 5, NULL, "-5" },
        { "size", NULL, "How much.", PT_UINT64, PT_SETTING_GROUP, 0, 10, NULL, "0" },
        { "delta", NULL, "By how much.", PT_INT32, PT_SETTING_GROUP, 0, 0, NULL, "0" },
        { "limit", NULL, "At most.", PT_UINT64, PT_SETTING_GROUP, 0, INT64_MAX, NULL,
          "9223372036854775807" },
        { "rom", NULL, "With its ROM.", PT_BOOL, PT_SETTING_CONSUMER, 0, 0, NULL, "true" },
        { "label", NULL, "A label.", PT_STRING, PT_SETTING_CONSUMER, 0, 0, NULL, "" },
        { 0 },
};

static void test_find(void **state) {
        assert_int_equal(schema_find_field(fields, "vendor-id"), 0);
        assert_int_equal(schema_find_field(fields, "speed"), 2);
        assert_int_equal(schema_find_field(fields, "Speed"), -ENOENT);
        assert_int_equal(schema_find_field(fields, ""), -ENOENT);
        assert_int_equal(schema_find_field(fields, NULL), -ENOENT);
        assert_int_equal(schema_find_field(NULL, "speed"), -ENOENT);
        assert_int_equal(schema_count_fields(fields), 4);
        assert_int_equal(schema_count_fields(NULL), 0);

        assert_ptr_equal(schema_find_setting(settings, "rate"), &settings[1]);
        assert_null(schema_find_setting(settings, "speed"));
        assert_null(schema_find_setting(settings, NULL));
        assert_null(schema_find_setting(NULL, "rate"));
}

static void test_parse_setting(void **state) {
        static const struct {
                const char *name, *text;
        } good[] = {
                { "mode", "fast" }, { "rate", "1" },        { "rate", "100" },          { "offset", "-5" },
                { "offset", "5" },  { "size", "10" },       { "delta", "-2147483648" }, { "rom", "false" },
                { "label", "" },    { "label", "Gerät 1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                const PtSetting *setting = schema_find_setting(settings, good[i].name);
                _cleanup_value_ PtValue value = { 0 };
                _cleanup_free_ char *text = NULL;

                assert_int_equal(schema_parse_setting(setting, good[i].text, &value, NULL), 0);
                assert_int_equal(value.type, setting->type);
                assert_int_equal(value_format(&value, &text), 0);
                assert_string_equal(text, good[i].text);
        }
}

static void test_setting_refused(void **state) {
        static const struct {
                const char *name, *text;
                int error;
                const char *words;
        } wrong[] = {
                { "mode", "slow", -EINVAL, "The setting mode is \"slow\", but must be one of: fast,safe" },
                { "mode", "", -EINVAL, "one of" },
                { "rate", "0", -ERANGE, "The setting rate is 0, but must be from 1 to 100 Mbit/s" },
                { "rate", "101", -ERANGE, "from 1 to 100" },
                { "rate", "-1", -EINVAL, "The setting rate is \"-1\"" },
                { "rate", "4294967296", -ERANGE, "4294967295" },
                { "offset", "-6", -ERANGE, "from -5 to 5" },
                { "offset", "6", -ERANGE, "from -5 to 5" },
                { "size", "11", -ERANGE, "from 0 to 10" },
                { "size", "18446744073709551615", -ERANGE, "from 0 to 10" },
                { "delta", "2147483648", -ERANGE, "2147483647" },
                { "rom", "maybe", -EINVAL, "true or false" },
                { "label", "a\nb", -EINVAL, "control characters" },
                { "label", "\xff", -EINVAL, "UTF-8" },
                { "label", NULL, -EINVAL, "no value" },
        };
        _cleanup_free_ char *huge = repeat('x', MEGABYTE);
        _cleanup_fault_ Fault fault = { 0 };
        PtValue value = PT_VALUE_INT32(42);

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const PtSetting *setting = schema_find_setting(settings, wrong[i].name);

                assert_int_equal(schema_parse_setting(setting, wrong[i].text, &value, &fault),
                                 wrong[i].error);
                assert_fault(&fault, FAULT_INVALID_VALUE, wrong[i].words);
        }
        assert_int_equal(schema_parse_setting(&settings[7], huge, &value, &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "The setting label is longer");
        assert_true(value.type == PT_INT32 && value.i == 42);

        huge[TEXT_MAX_BYTES] = '\0';
        assert_int_equal(schema_parse_setting(&settings[7], huge, &value, &fault), 0);
        value_done(&value);
}

/* Values that did not come through the text form: from JSON or the bus. */
static void test_check_setting(void **state) {
        _cleanup_free_ char *huge = repeat('x', MEGABYTE);
        _cleanup_fault_ Fault fault = { 0 };

        assert_int_equal(schema_check_setting(&settings[1], &PT_VALUE_UINT32(100), &fault), 0);
        assert_int_equal(schema_check_setting(&settings[1], &PT_VALUE_INT32(50), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "The setting rate must be a whole number");
        assert_int_equal(schema_check_setting(&settings[1], &(PtValue){ 0 }, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "The setting rate must be");
        assert_int_equal(schema_check_setting(&settings[3], &PT_VALUE_UINT64(UINT64_MAX), &fault), -ERANGE);
        assert_fault(&fault, FAULT_INVALID_VALUE, "is 18446744073709551615, but");
        assert_int_equal(schema_check_setting(&settings[7], &PT_VALUE_STRING(huge), &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "longer than 4096");
        assert_int_equal(schema_check_setting(&settings[7], &PT_VALUE_STRING(NULL), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "no value");
        for (size_t i = 0; i < ELEMENTSOF(invalid_utf8); i++) {
                assert_int_equal(
                        schema_check_setting(&settings[7], &PT_VALUE_STRING(invalid_utf8[i]), &fault),
                        -EINVAL);
                assert_fault(&fault, FAULT_INVALID_VALUE, "UTF-8");
        }
}

static void test_default(void **state) {
        for (const PtSetting *s = settings; s->name; s++) {
                _cleanup_value_ PtValue value = { 0 };
                _cleanup_free_ char *text = NULL;

                assert_int_equal(schema_default(s, &value), 0);
                assert_int_equal(value_format(&value, &text), 0);
                assert_string_equal(text, s->default_text);
        }
}

static void test_nearest(void **state) {
        _cleanup_free_ char *huge = repeat('x', MEGABYTE);

        assert_string_equal(schema_nearest_field(fields, "vendorid"), "vendor-id");
        assert_string_equal(schema_nearest_field(fields, "vendor_id"), "vendor-id");
        assert_string_equal(schema_nearest_field(fields, "numanode"), "numa-node");
        assert_string_equal(schema_nearest_field(fields, "sped"), "speed");
        assert_string_equal(schema_nearest_field(fields, "speed"), "speed");
        assert_null(schema_nearest_field(fields, "spxxxed")); /* 7 characters, distance 3 */
        assert_null(schema_nearest_field(fields, "xyzspeed"));
        assert_null(schema_nearest_field(fields, "sp"));
        assert_string_equal(schema_nearest_field(fields, LONGEST), LONGEST);
        assert_string_equal(schema_nearest_field(fields, &LONGEST[10]), LONGEST);
        assert_null(schema_nearest_field(fields, LONGEST "x"));
        assert_null(schema_nearest_field(fields, ""));
        assert_null(schema_nearest_field(fields, huge));
        assert_null(schema_nearest_field(fields, NULL));
        assert_null(schema_nearest_field(NULL, "speed"));

        assert_string_equal(schema_nearest_setting(settings, "mod"), "mode");
        assert_null(schema_nearest_setting(settings, "entirely-different"));
        assert_null(schema_nearest_setting(settings, NULL));
        assert_null(schema_nearest_setting(NULL, "mode"));
}

static void test_tables(void **state) {
        _cleanup_fault_ Fault fault = { 0 };

        assert_int_equal(schema_check_tables(fields, settings, &fault), 0);
        assert_int_equal(schema_check_tables(fields, NULL, &fault), 0);
        assert_int_equal(schema_check_tables(NULL, NULL, &fault), 0);
        assert_int_equal(fault.code, FAULT_NONE);
}

static void test_bad_fields(void **state) {
        static const struct {
                PtField field;
                const char *words;
        } wrong[] = {
                { { "Bad", NULL, "Doc.", PT_BOOL, 0 }, "not in kebab-case" },
                { { "", NULL, "Doc.", PT_BOOL, 0 }, "not in kebab-case" },
                { { "slot-2", NULL, "Doc.", PT_BOOL, 0 }, "not in kebab-case" },
                { { "good", NULL, NULL, PT_BOOL, 0 }, "good has no documentation" },
                { { "good", NULL, "", PT_BOOL, 0 }, "good has no documentation" },
                { { "good", NULL, "a\nb", PT_BOOL, 0 }, "not clean text" },
                { { "good", NULL, "Doc.", PT_NONE, 0 }, "unknown type 0" },
                { { "good", NULL, "Doc.", 'v', 0 }, "unknown type 118" },
                { { "speed", NULL, "Doc.", PT_BOOL, 0 }, "speed is there twice" },
        };
        PtField many[FIELDS_MAX + 2] = { 0 };
        char names[FIELDS_MAX + 1][3];
        _cleanup_fault_ Fault fault = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const PtField table[] = { fields[2], wrong[i].field, { 0 } };

                assert_int_equal(schema_check_tables(table, NULL, &fault), -EINVAL);
                assert_fault(&fault, FAULT_INVALID_ARGUMENT, wrong[i].words);
        }

        for (size_t i = 0; i <= FIELDS_MAX; i++) {
                names[i][0] = (char) ('a' + i / 26);
                names[i][1] = (char) ('a' + i % 26);
                names[i][2] = '\0';
                many[i] = (PtField){ .name = names[i], .doc = "Doc.", .type = PT_BOOL };
        }
        assert_int_equal(schema_check_tables(many, NULL, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "more than 64 fields");
        many[FIELDS_MAX].name = NULL;
        assert_int_equal(schema_check_tables(many, NULL, &fault), 0);
}

static void test_bad_settings(void **state) {
        static const char *const no_choices[] = { NULL };
        static const struct {
                PtSetting setting;
                const char *words;
        } wrong[] = {
                { { "a_b", NULL, "Doc.", PT_BOOL, 0, 0, 0, NULL, "true" }, "not in kebab-case" },
                { { "good", NULL, "", PT_BOOL, 0, 0, 0, NULL, "true" }, "no documentation" },
                { { "good", NULL, "Doc.", 'v', 0, 0, 0, NULL, "true" }, "unknown type" },
                { { "good", NULL, "Doc.", PT_STRV, 0, 0, 0, NULL, "" }, "is a list" },
                { { "good", NULL, "Doc.", PT_INT32, 0, 2, 1, NULL, "1" }, "minimum above its maximum" },
                { { "good", NULL, "Doc.", PT_BOOL, 0, 0, 1, NULL, "true" },
                  "is no number, but has a range" },
                { { "good", NULL, "Doc.", PT_INT32, 0, 0, 0, modes, "1" }, "is no text, but has choices" },
                { { "good", NULL, "Doc.", PT_STRING, 0, 0, 0, no_choices, "" }, "empty list of choices" },
                { { "good", NULL, "Doc.", PT_BOOL, 0, 0, 0, NULL, NULL }, "has no default" },
                { { "good", NULL, "Doc.", PT_BOOL, 0, 0, 0, NULL, "" }, "default \"\", which is not valid" },
                { { "good", NULL, "Doc.", PT_INT32, 0, 1, 5, NULL, "6" },
                  "default \"6\", which is not valid" },
                { { "good", NULL, "Doc.", PT_STRING, 0, 0, 0, modes, "slow" }, "default \"slow\"" },
                { { "rate", NULL, "Doc.", PT_BOOL, 0, 0, 0, NULL, "true" }, "rate is there twice" },
        };
        PtSetting many[FIELDS_MAX + 2] = { 0 };
        char names[FIELDS_MAX + 1][3];
        _cleanup_fault_ Fault fault = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const PtSetting table[] = { settings[1], wrong[i].setting, { 0 } };

                assert_int_equal(schema_check_tables(fields, table, &fault), -EINVAL);
                assert_fault(&fault, FAULT_INVALID_ARGUMENT, wrong[i].words);
        }

        for (size_t i = 0; i <= FIELDS_MAX; i++) {
                names[i][0] = (char) ('a' + i / 26);
                names[i][1] = (char) ('a' + i % 26);
                names[i][2] = '\0';
                many[i] = (PtSetting){
                        .name = names[i], .doc = "Doc.", .type = PT_BOOL, .default_text = "true"
                };
        }
        assert_int_equal(schema_check_tables(fields, many, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "more than 64 settings");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_find),
                cmocka_unit_test(test_parse_setting),
                cmocka_unit_test(test_setting_refused),
                cmocka_unit_test(test_check_setting),
                cmocka_unit_test(test_default),
                cmocka_unit_test(test_nearest),
                cmocka_unit_test(test_tables),
                cmocka_unit_test(test_bad_fields),
                cmocka_unit_test(test_bad_settings),
        };

        return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
