/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include "cli-conditions.h"

static void test_parse(void **state) {
        static const struct {
                const char *text, *json;
        } good[] = {
                { "", "[]" },
                { " \t ", "[]" },
                { "vendor-id = 10de", "[[\"vendor-id\", \"eq\", \"10de\"]]" },
                { "vendor-id=10de", "[[\"vendor-id\", \"eq\", \"10de\"]]" },
                { "  a eq b  and\tc ne d ", "[[\"a\", \"eq\", \"b\"], [\"c\", \"ne\", \"d\"]]" },
                { "a!=b and c<1 and d<=2 and e>3 and f>=4",
                  "[[\"a\",\"ne\",\"b\"],[\"c\",\"lt\",\"1\"],[\"d\",\"le\",\"2\"],[\"e\",\"gt\",\"3\"],["
                  "\"f\",\"ge\",\"4\"]]" },
                { "a ^= x and b $= y and c *= z",
                  "[[\"a\",\"begins\",\"x\"],[\"b\",\"ends\",\"y\"],[\"c\",\"contains\",\"z\"]]" },
                { "a icontains x and b begins y", "[[\"a\",\"icontains\",\"x\"],[\"b\",\"begins\",\"y\"]]" },
                { "name ~ ^NVIDIA.*A100", "[[\"name\", \"regex\", \"^NVIDIA.*A100\"]]" },
                { "name~^=x$", "[[\"name\", \"regex\", \"^=x$\"]]" },
                { "name = \"a b\"", "[[\"name\", \"eq\", \"a b\"]]" },
                { "name = \"and\" and b = \"\"", "[[\"name\", \"eq\", \"and\"], [\"b\", \"eq\", \"\"]]" },
                { "name = \"say \\\"x\\\\y\\\"\"", "[[\"name\", \"eq\", \"say \\\"x\\\\y\\\"\"]]" },
                { "provider.slot begins 0000:3b", "[[\"provider.slot\", \"begins\", \"0000:3b\"]]" },
                { "name = Größe", "[[\"name\", \"eq\", \"Größe\"]]" },
                { "a = android", "[[\"a\", \"eq\", \"android\"]]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_fault_ Fault fault = { 0 };
                json_t *json = NULL;

                if (conditions_parse(good[i].text, &json, &fault) < 0)
                        fail_msg("%s: %s", good[i].text, fault.message);
                assert_json(json, good[i].json);
        }
}

static void test_refuse(void **state) {
        static const struct {
                const char *text, *message;
                FaultCode code;
        } wrong[] = {
                { "= x", "At character 1: the name of a field", FAULT_UNKNOWN_FIELD },
                { "a = b and", "At character 10: the text ends", FAULT_UNKNOWN_FIELD },
                { "a", "At character 2: the text ends where an operator", FAULT_UNKNOWN_OPERATOR },
                { "a is b", "At character 3: an operator is expected", FAULT_UNKNOWN_OPERATOR },
                { "a == b", "At character 3: an operator is expected", FAULT_UNKNOWN_OPERATOR },
                { "a =~ b", "At character 3: an operator is expected", FAULT_UNKNOWN_OPERATOR },
                { "a EQ b", "At character 3: an operator is expected", FAULT_UNKNOWN_OPERATOR },
                { "a =", "At character 4: the text ends where a value", FAULT_INVALID_VALUE },
                { "a = and b = c", "a value is missing before \"and\"", FAULT_INVALID_VALUE },
                { "a = \"b", "At character 5: the closing quote", FAULT_INVALID_VALUE },
                { "a = \"b\\", "in double quotes a backslash", FAULT_INVALID_VALUE },
                { "a = \"b\\n\"", "in double quotes a backslash", FAULT_INVALID_VALUE },
                { "a = b\"c", "At character 6: a value with a quote", FAULT_INVALID_VALUE },
                { "a = \"b\"c = d", "a blank is expected", FAULT_INVALID_ARGUMENT },
                { "a = b or c = d", "write another rule", FAULT_INVALID_ARGUMENT },
                { "a = b || c = d", "write another rule", FAULT_INVALID_ARGUMENT },
                { "a = b c", "\"and\" or the end", FAULT_INVALID_ARGUMENT },
                { "größe = ä is", "At character 11: \"and\" or the end", FAULT_INVALID_ARGUMENT },
                { "a = \xff", "not valid UTF-8", FAULT_INVALID_VALUE },
        };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_fault_ Fault fault = { 0 };
                json_t *json = NULL;

                assert_true(conditions_parse(wrong[i].text, &json, &fault) < 0);
                assert_null(json);
                assert_contains(fault.message, wrong[i].message);
                assert_int_equal(fault.code, wrong[i].code);
        }
}

static void test_format(void **state) {
        static const char *const texts[] = {
                "",
                "a = b",
                "a != b and c < 1 and d <= 2 and e > 3 and f >= 4",
                "a ^= x and b $= y and c *= z and d icontains q and e ~ ^r",
                "a = \"\" and b = \"and\" and c = \"x y\" and d = \"q\\\"\\\\\"",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_fault_ Fault fault = { 0 };
                _cleanup_free_ char *text = NULL;
                json_auto_t *json = NULL;

                assert_int_equal(conditions_parse(texts[i], &json, &fault), 0);
                assert_int_equal(conditions_format(json, &text), 0);
                assert_string_equal(text, texts[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_refuse),
                cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
