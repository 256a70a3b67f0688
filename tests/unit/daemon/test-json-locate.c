/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../lib/test.h"
#include "daemon/json-locate.h"

static const char text[] = "{\n"
                           "  \"version\": 1, \"other\": {\"rules\": [\"]\", \"\\\"\"]},\n"
                           "  \"groups\": [{\"id\": \"ä\", \"n\\u0061me\": 2}, 17,\n"
                           "    {\"settings\": {\"id\": [[]]}, \"id\": \"b\"}\n"
                           "  ],\n"
                           "  \"rules\": []\n"
                           "}\n";

static void assert_place(const char *array, size_t index, const char *key, unsigned line, unsigned column) {
        JsonPlace place = { 0 };

        assert_int_equal(json_locate(text, array, index, key, &place), 0);
        assert_int_equal(place.line, line);
        assert_int_equal(place.column, column);
}

static void assert_nowhere(const char *array, size_t index, const char *key) {
        JsonPlace place;

        assert_int_equal(json_locate(text, array, index, key, &place), -ENOENT);
}

static void test_places(void **state) {
        assert_place(NULL, 0, NULL, 1, 1);
        assert_place(NULL, 0, "version", 2, 3);
        assert_place(NULL, 0, "rules", 6, 3);
        assert_place("groups", 0, NULL, 3, 14);
        assert_place("groups", 0, "id", 3, 15);
        /* Characters count, not bytes; and a key is what it says, however it is written. */
        assert_place("groups", 0, "name", 3, 26);
        assert_place("groups", 1, NULL, 3, 43);
        assert_place("groups", 2, NULL, 4, 5);
        /* Not the one within. */
        assert_place("groups", 2, "id", 4, 32);
}

static void test_what_is_not_there(void **state) {
        assert_nowhere(NULL, 0, "group");
        assert_nowhere("rules", 0, NULL);
        assert_nowhere("groups", 3, NULL);
        assert_nowhere("groups", 1, "id");
        assert_nowhere("version", 0, NULL);
        assert_nowhere("nothing", 0, NULL);
}

/* Whatever it is given, it comes to an end within the text. */
static void test_cut_texts(void **state) {
        for (size_t length = 0; length < sizeof(text); length++) {
                char *cut = strndup(text, length);
                JsonPlace place;

                assert_non_null(cut);
                (void) json_locate(cut, "groups", 2, "id", &place);
                (void) json_locate(cut, NULL, 0, "rules", &place);
                free(cut);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_what_is_not_there),
                cmocka_unit_test(test_cut_texts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
