/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../lib/test.h"
#include "daemon/group.h"
#include "daemon/json-util.h"
#include "fake-inventory.h"
#include "lib/limits.h"
#include "lib/parse.h"

static Group *group;

static int setup(void **state) {
        json_t *body = json_pack("{ss ss}", "name", "GPUs", "type", "test");

        assert_int_equal(group_from_json("gpus", body, fake_loader(), false, &group, NULL), 0);
        json_decref(body);
        return 0;
}

static int teardown(void **state) {
        group = group_free(group);
        return 0;
}

static int parse_rule(json_t *body, Fault *fault) {
        Rule *rule = NULL;
        int r = rule_from_json("rule-1", body, group, group->module, false, &rule, fault);

        assert_true((r < 0) == (rule == NULL));
        rule_free(rule);
        json_decref(body);
        return r;
}

static int parse_group(json_t *body, Fault *fault) {
        Group *g = NULL;
        int r = group_from_json("group-1", body, fake_loader(), false, &g, fault);

        assert_true((r < 0) == (g == NULL));
        group_free(g);
        json_decref(body);
        return r;
}

static json_t *where(void) {
        return json_pack("[[sss]]", "vendor-id", "=", "10de");
}

static void test_rule_defaults(void **state) {
        _cleanup_(rule_freep) Rule *rule = NULL;
        json_auto_t *body = json_pack("{ss}", "where", "vendor-id = 10de and numa-node <= 1"),
                    *written = NULL;
        json_auto_t *expected =
                json_pack("{ss ss sb ss ss s[[sss][sss]] ss ss}", "name", "rule-1", "group", "gpus",
                          "enabled", 1, "action", "include", "node-filter", "", "where", "vendor-id", "eq",
                          "10de", "numa-node", "le", "1", "origin", "manual", "strength", "");

        assert_int_equal(rule_from_json("rule-1", body, group, group->module, false, &rule, NULL), 0);
        assert_ptr_equal(rule->group, group);
        assert_null(rule->invalid);
        written = rule_to_json(rule);
        assert_true(json_equal(written, expected));
}

static void test_rule_full(void **state) {
        _cleanup_(rule_freep) Rule *rule = NULL, *again = NULL;
        json_auto_t *written = NULL, *copy = NULL;
        json_auto_t *body = json_pack("{ss ss sb ss ss so ss ss}", "name", "Größe", "group", "gpus",
                                      "enabled", 0, "action", "exclude", "node-filter", "gpu-*.example",
                                      "where", where(), "origin", "auto", "strength", "serial (100)");

        assert_int_equal(rule_from_json("rule-1", body, group, group->module, false, &rule, NULL), 0);
        assert_false(rule->enabled);
        assert_int_equal(rule->action, RULE_EXCLUDE);
        written = rule_to_json(rule);
        assert_int_equal(rule_from_json("rule-1", written, group, group->module, true, &again, NULL), 0);
        copy = rule_to_json(again);
        assert_true(json_equal(written, copy));
}

/* JavaScript and Python send what they like. */
static void test_rule_lenient_types(void **state) {
        _cleanup_(rule_freep) Rule *rule = NULL;
        json_auto_t *body = json_pack("{ss so}", "enabled", "no", "where", where());

        assert_int_equal(rule_from_json("rule-1", body, group, group->module, false, &rule, NULL), 0);
        assert_false(rule->enabled);
}

static void test_rule_refused(void **state) {
        _cleanup_free_ char *megabyte = repeat('x', MEGABYTE);
        Fault fault = { 0 };
        Rule *rule = NULL;
        json_t *many = json_array();

        assert_int_equal(parse_rule(json_array(), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "a rule must be");
        assert_int_equal(parse_rule(json_object(), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "'where' of a rule is missing");
        assert_int_equal(parse_rule(json_pack("{so si}", "where", where(), "colour", 1), &fault), -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_OPTION, "'colour'");
        assert_int_equal(parse_rule(json_pack("{so si}", "where", where(), "name", 1), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "'name' of a rule must be a text");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "name", ""), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "name of a rule is empty");
        assert_int_equal(parse_rule(json_pack("{so ss#}", "where", where(), "name", "a\0b", 3), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "name");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "name", "a\nb"), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "control characters");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "name", megabyte), &fault),
                         -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "256");
        assert_int_equal(
                parse_rule(json_pack("{so so}", "where", where(), "name", json_string_nocheck("a\xff")),
                           &fault),
                -EINVAL);
        assert_true(utf8_is_valid(fault.message));
        assert_fault(&fault, FAULT_INVALID_VALUE, "name");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "group", "nics"), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "cannot be moved to \"nics\"");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "enabled", "maybe"), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "true or false");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "action", "add"), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "must be include or exclude");
        assert_int_equal(parse_rule(json_pack("{so ss}", "where", where(), "origin", "divine"), &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "must be auto or manual");
        assert_int_equal(
                parse_rule(json_pack("{so ss}", "where", where(), "node-filter", "*a*a*a*a*a*"), &fault),
                -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "6 asterisks; at most 4");
        assert_int_equal(parse_rule(json_pack("{si}", "where", 1), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "list of triples");
        assert_int_equal(parse_rule(json_pack("{s[]}", "where"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "needs at least one condition");
        assert_int_equal(parse_rule(json_pack("{ss}", "where", "  "), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "slot ~ .");
        assert_int_equal(parse_rule(json_pack("{ss#}", "where", "name = a\0 and", 13), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_VALUE, "NUL");
        assert_int_equal(parse_rule(json_pack("{ss}", "where", "colour = red"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_FIELD, "colour");
        assert_int_equal(parse_rule(json_pack("{ss}", "where", "name like x"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_OPERATOR, "like");
        assert_int_equal(parse_rule(json_pack("{ss}", "where", "name ~ ["), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_REGEX, "At character 9");
        for (size_t i = 0; i < 10000; i++)
                json_array_append_new(many, json_pack("[sss]", "name", "=", "x"));
        assert_int_equal(parse_rule(json_pack("{so}", "where", many), &fault), -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "10000 conditions");

        assert_int_equal(rule_from_json("No Id", NULL, group, group->module, false, &rule, &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "DNS label");
}

/* A stored rule waits for its field: it is kept to the letter, matches nothing and says why. */
static void test_rule_stored(void **state) {
        static const char *const invalid[] = { "colour = red and name ~ \"[ x\"", "name ~ [",
                                               "numa-node begins 1" };

        for (size_t i = 0; i < ELEMENTSOF(invalid); i++) {
                _cleanup_(rule_freep) Rule *rule = NULL;
                json_auto_t *body = json_pack("{ss}", "where", invalid[i]), *written = NULL;
                _cleanup_free_ char *text = NULL;

                assert_int_equal(rule_from_json("rule-1", body, group, group->module, true, &rule, NULL), 0);
                assert_non_null(rule->invalid);
                assert_non_null(strstr(rule->invalid, "At character"));
                assert_int_equal(conditions_to_text(rule->where, &text), 0);
                assert_string_equal(text, i == 2 ? "numa-node ^= 1" : invalid[i]);
                assert_int_equal(conditions_fields(rule->where), 0);
        }

        /* Without the module nothing can be said against it. */
        _cleanup_(rule_freep) Rule *rule = NULL;
        json_auto_t *body = json_pack("{ss}", "where", "colour = red");
        assert_int_equal(rule_from_json("rule-1", body, group, NULL, true, &rule, NULL), 0);
        assert_null(rule->invalid);
}

static void test_rule_applies(void **state) {
        static const struct {
                const char *filter, *node;
                bool applies;
        } cases[] = {
                { "", "host1", true },         { "host1", "host1", true },
                { "HOST1", "host1", true },    { "host1", "host10", false },
                { "host*", "host10", true },   { "host?", "host10", false },
                { "host[12]", "host2", true }, { "*.gpu.*", "a.gpu.example", true },
        };
        Rule rule = { .enabled = true };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                rule.node_filter = (char *) cases[i].filter;
                assert_int_equal(rule_applies(&rule, cases[i].node), cases[i].applies);
        }
        rule.enabled = false;
        assert_false(rule_applies(&rule, "host1"));
}

static void test_names(void **state) {
        for (RuleAction a = 0; a < _RULE_ACTION_MAX; a++)
                assert_int_equal(rule_action_from_string(rule_action_to_string(a)), a);
        for (ChoicePolicy p = 0; p < _CHOICE_MAX; p++)
                assert_int_equal(choice_policy_from_string(choice_policy_to_string(p)), p);
        assert_null(choice_policy_to_string(_CHOICE_MAX));
}

static void test_group_defaults(void **state) {
        json_auto_t *written = group_to_json(group);
        json_auto_t *expected = json_pack("{ss ss ss ss sb s{} s[] ss ss}", "name", "GPUs", "type", "test",
                                          "description", "", "class", "pci", "enabled", 1, "settings",
                                          "user-defined", "choice", "order", "tenant", "");

        assert_true(json_equal(written, expected));
        assert_ptr_equal(group->module, &fake_module);
}

static void test_group_full(void **state) {
        _cleanup_(group_freep) Group *g = NULL, *again = NULL;
        json_auto_t *written = NULL, *copy = NULL;
        json_auto_t *body = json_pack("{ss ss ss ss sb s{ss si} s[ss] ss ss}", "name", "GPUs", "type",
                                      "test", "description", "All of them", "class", "gpu", "enabled", 0,
                                      "settings", "mode", "fast", "rate", 20, "user-defined", "rate", "rate",
                                      "choice", "numa", "tenant", "acme");

        assert_int_equal(group_from_json("gpus", body, fake_loader(), false, &g, NULL), 0);
        assert_int_equal(g->choice, CHOICE_NUMA);
        assert_int_equal(strv_length((const char *const *) g->user_defined), 1);
        written = group_to_json(g);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(written, "settings"), "rate")),
                         20);
        assert_int_equal(group_from_json("gpus", written, fake_loader(), true, &again, NULL), 0);
        copy = group_to_json(again);
        assert_true(json_equal(written, copy));
        assert_null(again->kept_settings);
}

static void test_group_refused(void **state) {
        _cleanup_free_ char *megabyte = repeat('x', MEGABYTE);
        static const struct {
                const char *key, *value;
                FaultCode code;
                const char *words;
        } cases[] = {
                { "name", "", FAULT_INVALID_VALUE, "name of a group is empty" },
                { "name", "a\tb", FAULT_INVALID_VALUE, "control characters" },
                { "type", "gpu", FAULT_UNKNOWN_TYPE, "There is no type \"gpu\"; known types: test, other" },
                { "type", "", FAULT_UNKNOWN_TYPE, "There is no type \"\"" },
                { "type", "broken", FAULT_MODULE_MISSING, "was refused: it is from the future" },
                { "class", "spaceship", FAULT_INVALID_VALUE, "must be one of: gpu, vgpu" },
                { "choice", "random", FAULT_INVALID_VALUE, "must be one of: order, pack, spread, numa" },
                { "enabled", "maybe", FAULT_INVALID_VALUE, "true or false" },
                { "settings", "fast", FAULT_INVALID_VALUE, "dictionary" },
                { "user-defined", "rat", FAULT_UNKNOWN_SETTING,
                  "no setting \"rat\" that could be user-defined, did you mean \"rate\"?" },
                { "user-defined", "rate,mode", FAULT_INVALID_VALUE,
                  "mode of type test cannot be user-defined" },
                { "Name", "x", FAULT_UNKNOWN_OPTION, "'Name'" },
        };
        Fault fault = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *body = json_pack("{ss ss}", "name", "GPUs", "type", "test");

                json_object_set_new(body, cases[i].key, json_string(cases[i].value));
                assert_true(parse_group(body, &fault) < 0);
                assert_fault(&fault, cases[i].code, cases[i].words);
        }

        assert_int_equal(parse_group(json_object(), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "missing");
        assert_int_equal(parse_group(json_pack("{ss}", "name", "x"), &fault), -EINVAL);
        assert_fault(&fault, FAULT_INVALID_ARGUMENT, "'type' of a group is missing");
        assert_int_equal(parse_group(json_pack("{ss ss}", "name", megabyte, "type", "test"), &fault),
                         -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "name");
        assert_int_equal(
                parse_group(json_pack("{ss ss ss}", "name", "x", "type", "test", "description", megabyte),
                            &fault),
                -E2BIG);
        assert_fault(&fault, FAULT_TOO_LARGE, "description");
        assert_int_equal(parse_group(json_pack("{ss ss s{ss}}", "name", "x", "type", "test", "settings",
                                               "mod", "fast"),
                                     &fault),
                         -EINVAL);
        assert_fault(&fault, FAULT_UNKNOWN_SETTING, "did you mean \"mode\"");
        assert_int_equal(
                parse_group(json_pack("{ss ss s{si}}", "name", "x", "type", "test", "settings", "rate", 101),
                            &fault),
                -ERANGE);
        assert_fault(&fault, FAULT_INVALID_VALUE, "from 1 to 100");
        assert_int_equal(parse_group(json_pack("{ss ss# }", "name", "x", "type", "test\0", 5), &fault),
                         -EINVAL);
        fault_done(&fault);
}

/* What a stored group says outlives the module that understood it. */
static void test_group_stored(void **state) {
        _cleanup_(group_freep) Group *without = NULL, *older = NULL, *refused = NULL;
        json_auto_t *body = json_pack("{ss ss s{ss} s[s]}", "name", "x", "type", "gone", "settings", "mode",
                                      "fast", "user-defined", "speed");
        json_auto_t *newer = json_pack("{ss ss s{ss si ss}}", "name", "x", "type", "test", "settings",
                                       "mode", "fast", "rate", 1000, "turbo", "on");
        json_auto_t *written = NULL, *again = NULL;

        assert_int_equal(group_from_json("g", body, fake_loader(), true, &without, NULL), 0);
        assert_null(without->module);
        assert_string_equal(without->class, "unknown");
        written = group_to_json(without);
        assert_true(json_equal(json_object_get(written, "settings"), json_object_get(body, "settings")));
        assert_true(
                json_equal(json_object_get(written, "user-defined"), json_object_get(body, "user-defined")));

        /* Settings that this version of the module does not have, or not with this value. */
        assert_int_equal(group_from_json("g", newer, fake_loader(), true, &older, NULL), 0);
        assert_int_equal(json_object_size(older->kept_settings), 2);
        again = group_to_json(older);
        assert_true(json_equal(json_object_get(again, "settings"), json_object_get(newer, "settings")));

        json_object_set_new(body, "type", json_string("broken"));
        assert_int_equal(group_from_json("g", body, fake_loader(), true, &refused, NULL), 0);
        assert_null(refused->module);
}

/* A class that the service does not know is no class. */
static void test_group_class_of_module(void **state) {
        _cleanup_(group_freep) Group *g = NULL;
        json_auto_t *body = json_pack("{ss ss}", "name", "x", "type", "other");

        assert_int_equal(group_from_json("g", body, fake_loader(), false, &g, NULL), 0);
        assert_string_equal(g->class, "unknown");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_rule_defaults), TEST(test_rule_full),      TEST(test_rule_lenient_types),
                TEST(test_rule_refused),  TEST(test_rule_stored),    TEST(test_rule_applies),
                TEST(test_names),         TEST(test_group_defaults), TEST(test_group_full),
                TEST(test_group_refused), TEST(test_group_stored),   TEST(test_group_class_of_module),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
