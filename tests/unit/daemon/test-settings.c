/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/settings.h"
#include "host-tree.h"

static const char *const modes[] = { "fast", "safe", NULL };

static const PtSetting schema[] = {
        { "mode", NULL, "How", PT_STRING, PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE, 0, 0,
          modes, "safe" },
        { "size", "MiB", "How much", PT_UINT32, PT_SETTING_GROUP, 1, 64, NULL, "8" },
        { "mac", NULL, "Address", PT_STRING, PT_SETTING_CONSUMER, 0, 0, NULL, "" },
        { "trust", NULL, "Whether", PT_BOOL, PT_SETTING_GROUP | PT_SETTING_OVERRIDE, 0, 0, NULL, "false" },
        { "weight", NULL, "Heavy", PT_INT64, PT_SETTING_GROUP | PT_SETTING_CONSUMER, -5, 5, NULL, "0" },
        { 0 },
};

static json_t *parse(const char *text) {
        json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

        assert_non_null(json);
        return json;
}

static int from_text(const char *text, uint32_t flags, SettingValues *ret, Fault *fault) {
        json_t *json = parse(text);
        int r = settings_from_json(schema, json, flags, ret, fault);

        json_decref(json);
        return r;
}

static void assert_refused(const char *text, uint32_t flags, FaultCode code, const char *words) {
        _cleanup_settings_ SettingValues values = { 0 };
        _cleanup_fault_ Fault fault = { 0 };

        assert_true(from_text(text, flags, &values, &fault) < 0);
        assert_fault(&fault, code, words);
        assert_null(values.values);
}

static void assert_json(json_t *json, const char *expected) {
        json_t *other = parse(expected);

        if (!json_equal(json, other))
                fail_msg("%s is not %s", json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY), expected);
        json_decref(json);
        json_decref(other);
}

static void test_refusals(void **state) {
        assert_refused("[]", PT_SETTING_GROUP, FAULT_INVALID_ARGUMENT, "must be an object");
        assert_refused("{\"mod\": \"fast\"}", PT_SETTING_GROUP, FAULT_UNKNOWN_SETTING,
                       "did you mean \"mode\"");
        assert_refused("{\"qqqqqqqq\": 1}", PT_SETTING_GROUP, FAULT_UNKNOWN_SETTING,
                       "there are: mode, size, mac, trust, weight");
        assert_refused("{\"mac\": \"x\"}", PT_SETTING_GROUP, FAULT_UNKNOWN_SETTING,
                       "belongs to the consumer's request");
        assert_refused("{\"size\": 3}", PT_SETTING_CONSUMER, FAULT_UNKNOWN_SETTING, "belongs to the group");
        assert_refused("{\"size\": 65}", PT_SETTING_GROUP, FAULT_INVALID_VALUE, "from 1 to 64 MiB");
        assert_refused("{\"size\": \"many\"}", PT_SETTING_GROUP, FAULT_INVALID_VALUE, "size");
        assert_refused("{\"mode\": \"slow\"}", PT_SETTING_GROUP, FAULT_INVALID_VALUE, "fast,safe");
        assert_refused("{\"mode\": {}}", PT_SETTING_GROUP, FAULT_INVALID_VALUE, "mode");
        /* One bad value, and none is taken. */
        assert_refused("{\"mode\": \"fast\", \"size\": 0}", PT_SETTING_GROUP, FAULT_INVALID_VALUE, "size");
}

static void test_type_without_settings(void **state) {
        _cleanup_settings_ SettingValues values = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        json_t *json = parse("{\"mode\": \"fast\"}");
        PtValue value;

        assert_true(settings_from_json(NULL, json, PT_SETTING_GROUP, &values, &fault) < 0);
        assert_fault(&fault, FAULT_UNKNOWN_SETTING, "this type has none");
        json_decref(json);
        assert_int_equal(settings_from_json(NULL, NULL, PT_SETTING_GROUP, &values, &fault), 0);
        assert_int_equal(settings_get(&values, "mode", &value), -ENOENT);
        assert_json(settings_to_json(&values), "{}");
        assert_json(settings_schema_to_json(NULL, PT_SETTING_GROUP), "[]");
}

static void test_values(void **state) {
        _cleanup_settings_ SettingValues values = { 0 };
        PtValue value;

        assert_int_equal(from_text("{\"size\": \"16\", \"mode\": null, \"trust\": \"yes\"}",
                                   PT_SETTING_GROUP, &values, NULL),
                         0);
        assert_json(settings_to_json(&values), "{\"size\": 16, \"trust\": true}");

        assert_int_equal(settings_get(&values, "size", &value), 0);
        assert_int_equal(value.u, 16);
        /* Defaults. */
        assert_int_equal(settings_get(&values, "mode", &value), 0);
        assert_int_equal(value.type, PT_STRING);
        assert_string_equal(value.s, "safe");
        assert_int_equal(settings_get(&values, "weight", &value), 0);
        assert_int_equal(value.type, PT_INT64);
        assert_int_equal(value.x, 0);
        assert_int_equal(settings_get(&values, "nonsense", &value), -ENOENT);
}

static void test_nothing_given(void **state) {
        _cleanup_settings_ SettingValues values = { 0 };

        assert_int_equal(from_text("null", PT_SETTING_GROUP, &values, NULL), 0);
        assert_json(settings_to_json(&values), "{}");
}

/* Who wins, for every kind of setting. */
static void test_merge(void **state) {
        static const char *const mode[] = { "mode", NULL }, *const trust[] = { "mac", "trust", NULL };
        static const struct {
                const char *group, *consumer;
                const char *const *user_defined;
                const char *expected; /* NULL: refused */
        } cases[] = {
                { "{}", "{}", NULL, "{}" },
                { "{\"size\": 4}", "{}", NULL, "{\"size\": 4}" },
                { "{}", "{\"mac\": \"a\"}", NULL, "{\"mac\": \"a\"}" },
                /* The group leaves it open: the consumer may say. */
                { "{}", "{\"mode\": \"fast\"}", NULL, "{\"mode\": \"fast\"}" },
                /* The group has decided, and does not let anybody change it. */
                { "{\"mode\": \"safe\"}", "{\"mode\": \"fast\"}", NULL, NULL },
                { "{\"mode\": \"safe\"}", "{\"mode\": \"fast\"}", trust, NULL },
                /* Asking for what is decided is no override. */
                { "{\"mode\": \"safe\"}", "{\"mode\": \"safe\"}", NULL, "{\"mode\": \"safe\"}" },
                { "{\"mode\": \"safe\"}", "{\"mode\": \"fast\"}", mode, "{\"mode\": \"fast\"}" },
                /* Override only: not the consumer's own, unless it is named. */
                { "{}", "{\"trust\": true}", NULL, NULL },
                { "{}", "{\"trust\": true}", trust, "{\"trust\": true}" },
                { "{\"trust\": false}", "{\"trust\": true}", trust, "{\"trust\": true}" },
                /* No override flag: naming it opens nothing. */
                { "{\"weight\": 1}", "{\"weight\": 2}", trust, NULL },
                { "{}", "{\"weight\": 2}", NULL, "{\"weight\": 2}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_settings_ SettingValues group = { 0 }, consumer = { 0 }, merged = { 0 };
                _cleanup_fault_ Fault fault = { 0 };
                int r;

                assert_int_equal(from_text(cases[i].group, PT_SETTING_GROUP, &group, NULL), 0);
                assert_int_equal(from_text(cases[i].consumer, PT_SETTING_CONSUMER, &consumer, NULL), 0);
                r = settings_merge(&group, cases[i].user_defined, &consumer, &merged, &fault);
                if (cases[i].expected) {
                        assert_int_equal(r, 0);
                        assert_json(settings_to_json(&merged), cases[i].expected);
                } else {
                        assert_int_equal(r, -EPERM);
                        assert_fault(&fault, FAULT_INVALID_VALUE, "lets consumers define");
                }
        }
}

static void test_merge_without_consumer(void **state) {
        _cleanup_settings_ SettingValues group = { 0 }, merged = { 0 };

        assert_int_equal(from_text("{\"size\": 4, \"mode\": \"fast\"}", PT_SETTING_GROUP, &group, NULL), 0);
        assert_int_equal(settings_merge(&group, NULL, NULL, &merged, NULL), 0);
        assert_json(settings_to_json(&merged), "{\"size\": 4, \"mode\": \"fast\"}");
}

static void test_schema_to_json(void **state) {
        json_t *group = settings_schema_to_json(schema, PT_SETTING_GROUP);

        assert_json(settings_schema_to_json(schema, PT_SETTING_CONSUMER),
                    "[{\"name\": \"mode\", \"type\": \"s\", \"doc\": \"How\", \"default\": \"safe\", "
                    "\"override\": true,"
                    "  \"choices\": [\"fast\", \"safe\"]},"
                    " {\"name\": \"mac\", \"type\": \"s\", \"doc\": \"Address\", \"default\": \"\", "
                    "\"override\": false},"
                    " {\"name\": \"trust\", \"type\": \"b\", \"doc\": \"Whether\", \"default\": false, "
                    "\"override\": true},"
                    " {\"name\": \"weight\", \"type\": \"x\", \"doc\": \"Heavy\", \"default\": 0, "
                    "\"override\": false,"
                    "  \"minimum\": -5, \"maximum\": 5}]");
        assert_json(json_incref(json_array_get(group, 1)),
                    "{\"name\": \"size\", \"type\": \"u\", \"unit\": \"MiB\", \"doc\": \"How much\", "
                    "\"default\": 8,"
                    " \"override\": false, \"minimum\": 1, \"maximum\": 64}");
        json_decref(group);
}

static void test_fields_to_json(void **state) {
        static const PtField fields[] = {
                { "memory", "MiB", "Size", PT_UINT64, PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE },
                { "serial", NULL, "Number", PT_STRING, PT_FIELD_SLOW | PT_FIELD_SCRUB | PT_FIELD_VOLATILE },
                { 0 },
        };

        assert_json(fields_to_json(fields),
                    "[{\"name\": \"memory\", \"type\": \"t\", \"unit\": \"MiB\", \"doc\": \"Size\","
                    "  \"flags\": [\"constant\", \"matchable\"]},"
                    " {\"name\": \"serial\", \"type\": \"s\", \"doc\": \"Number\","
                    "  \"flags\": [\"scrub\", \"slow\", \"volatile\"]}]");
        assert_json(fields_to_json(NULL), "[]");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refusals),       cmocka_unit_test(test_type_without_settings),
                cmocka_unit_test(test_values),         cmocka_unit_test(test_nothing_given),
                cmocka_unit_test(test_merge),          cmocka_unit_test(test_merge_without_consumer),
                cmocka_unit_test(test_schema_to_json), cmocka_unit_test(test_fields_to_json),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
