/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include "cli-settings.h"

static void test_requests(void **state) {
        static const struct {
                const char *text, *json;
        } good[] = {
                { "gpus", "{\"group\": \"gpus\"}" },
                { "gpus:2", "{\"group\": \"gpus\", \"count\": 2}" },
                { "My GPUs:3,optional", "{\"group\": \"My GPUs\", \"count\": 3, \"optional\": true}" },
                { "gpus,optional=no,enabled",
                  "{\"group\": \"gpus\", \"optional\": \"no\", \"enabled\": true}" },
                { "gpus,name=a b,order=2,companions=park,id=x,description=d=e",
                  "{\"group\": \"gpus\", \"name\": \"a b\", \"order\": \"2\", \"companions\": \"park\", "
                  "\"id\": \"x\", "
                  "\"description\": \"d=e\"}" },
                { "nets,vlan=7,trust=on",
                  "{\"group\": \"nets\", \"settings\": {\"vlan\": \"7\", \"trust\": \"on\"}}" },
                { "gpus,count=4", "{\"group\": \"gpus\", \"count\": \"4\"}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                Cli cli = { 0 };
                json_t *request = NULL;

                assert_int_equal(read_request(&cli, good[i].text, &request), 0);
                assert_json(request, good[i].json);
        }
}

static void test_wrong_requests(void **state) {
        static const char *const wrong[] = { "",          ",optional",      "gpus:",      "gpus:0",
                                             "gpus:-1",   "gpus:2x",        "gpus,count", "gpus,companions",
                                             "gpus,vlan", "gpus,name=\xff", "\xff" };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                Cli cli = { .quiet = true };
                json_t *request = NULL;

                assert_true(read_request(&cli, wrong[i], &request) < 0);
                assert_int_equal(cli.status, STATUS_USAGE);
                assert_null(request);
        }
}

static void test_lists(void **state) {
        char *texts[] = { (char *) "a:2", (char *) "b,optional" };
        Cli cli = { 0 };
        json_t *requests = NULL;

        assert_int_equal(read_requests(&cli, texts, 2, &requests), 0);
        assert_json(requests, "[{\"group\": \"a\", \"count\": 2}, {\"group\": \"b\", \"optional\": true}]");
}

static void test_assignments(void **state) {
        static const Option option = { .name = "set", .argument = "NAME=VALUE" };
        OptionValue values[] = {
                { &option, "vlan=7" }, { &option, "text=a=b" }, { &option, "empty=" }, { &option, "vlan=8" }
        };
        OptionValue wrong[] = { { &option, "=x" } };
        Cli cli = { .values = values, .n_values = ELEMENTSOF(values), .quiet = true };
        json_t *object = NULL;

        assert_int_equal(read_assignments(&cli, "set", &object), 0);
        assert_json(object, "{\"vlan\": \"8\", \"text\": \"a=b\", \"empty\": \"\"}");

        object = NULL;
        cli = (Cli){ .values = wrong, .n_values = 1, .quiet = true };
        assert_true(read_assignments(&cli, "set", &object) < 0);
        assert_int_equal(cli.status, STATUS_USAGE);
        json_decref(object);

        object = NULL;
        cli = (Cli){ 0 };
        assert_int_equal(read_assignments(&cli, "set", &object), 0);
        assert_null(object);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_wrong_requests),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_assignments),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
