/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include "cli-format.h"

static void test_cells(void **state) {
        static const struct {
                const char *json, *text;
        } cells[] = {
                { "\"x\"", "x" },
                { "12", "12" },
                { "-1", "-1" },
                { "0.5", "0.5" },
                { "true", "yes" },
                { "false", "no" },
                { "null", "" },
                { "[]", "" },
                { "[\"a\", \"b\"]", "a, b" },
                { "[1, 2]", "1, 2" },
                { "{\"a\": 1, \"b\": [\"x\", \"y\"]}", "a=1, b=x, y" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cells); i++) {
                _cleanup_free_ char *text = NULL;
                json_auto_t *json = json_of(cells[i].json);

                assert_int_equal(cell_text(json, &text), 0);
                assert_string_equal(text, cells[i].text);
        }
}

static void test_sort(void **state) {
        static const struct {
                const char *key, *order;
                bool reverse;
        } orders[] = {
                { "n", "[1, 2, 3, 4]", false }, { "n", "[4, 3, 2, 1]", true },
                { "t", "[2, 4, 3, 1]", false }, /* without regard to case; equal ones as they were */
                { "t", "[1, 3, 2, 4]", true },  { "missing", "[3, 1, 2, 4]", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(orders); i++) {
                json_auto_t *rows = json_of(
                        "[{\"n\": 3, \"t\": \"b\"}, {\"n\": 1, \"t\": \"C\"}, {\"n\": 2, \"t\": \"a\"},"
                        " {\"n\": 4, \"t\": \"A\"}]");
                json_t *numbers = json_array(), *row;
                Cli cli = { 0 };
                size_t index;

                assert_int_equal(sort_rows(&cli, rows, orders[i].key, orders[i].reverse), 0);
                json_array_foreach(rows, index, row)(void)
                        json_array_append(numbers, json_object_get(row, "n"));
                assert_json(numbers, orders[i].order);
        }
}

/* 10 comes after 9. */
static void test_sort_numbers(void **state) {
        json_auto_t *rows = json_of("[{\"n\": 10}, {\"n\": 9}, {\"n\": -1}]");
        Cli cli = { 0 };

        assert_int_equal(sort_rows(&cli, rows, "n", false), 0);
        assert_json(json_incref(rows), "[{\"n\": -1}, {\"n\": 9}, {\"n\": 10}]");
}

static void test_contains(void **state) {
        json_auto_t *row = json_of("{\"name\": \"NVIDIA A10\", \"groups\": [\"gpus\"], \"n\": 17}");

        assert_true(row_contains(row, "nvidia"));
        assert_true(row_contains(row, "GPUS"));
        assert_true(row_contains(row, "17"));
        assert_false(row_contains(row, "amd"));
        assert_false(row_contains(row, "name")); /* values are searched, not their names */
}

static void print_hostile(void *userdata) {
        print_clean(stdout, userdata);
}

/* A USB stick may call itself anything. */
static void test_no_escape_sequences(void **state) {
        static const struct {
                const char *text, *shown;
        } texts[] = {
                { "plain ä €", "plain ä €" },
                { "\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m" },
                { "bell\a\x7f", "bell\\x07\\x7f" },
                { "\xc2\x9b"
                  "31m",
                  "\\x9b31m" },
                { "two\nlines", "two\nlines" },
                { "back\rspace", "back\\x0dspace" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_free_ char *text = capture(stdout, print_hostile, (void *) texts[i].text);

                assert_string_equal(text, texts[i].shown);
        }
}

typedef struct Table {
        Cli cli;
        const char *json;
        bool tree;
} Table;

static void print_table(void *userdata) {
        static const Column columns[] = { { "place" }, { "iommu-group", "IOMMU", .right = true } };
        Table *table = userdata;
        json_auto_t *rows = json_of(table->json);

        assert_int_equal(show_table(&table->cli, columns, ELEMENTSOF(columns), rows, table->tree), 0);
}

static void test_table(void **state) {
        Table table = {
                .json = "[{\"place\": \"a\", \"iommu-group\": 7}, {\"place\": \"b\", \"iommu-group\": -1}]"
        };
        _cleanup_free_ char *text = capture(stdout, print_table, &table), *plain = NULL, *json = NULL,
                            *empty = NULL;

        assert_string_equal(text, "PLACE IOMMU\na         7\nb     \n");

        table.cli.no_legend = true;
        plain = capture(stdout, print_table, &table);
        assert_string_equal(plain, "a         7\nb     \n");

        table.cli.json = true;
        json = capture(stdout, print_table, &table);
        assert_json(json_of(json), table.json);

        table = (Table){ .json = "[]" };
        empty = capture(stdout, print_table, &table);
        assert_string_equal(empty, "");
}

static void test_tree(void **state) {
        Table table = {
                .json = "[{\"place\": \"group\", \"children\": [{\"place\": \"x\"}, {\"place\": \"y\"}]}]",
                .tree = true
        };
        _cleanup_free_ char *text = capture(stdout, print_table, &table);

        /* The C locale has no lines to draw with. */
        assert_string_equal(text, "PLACE IOMMU\ngroup \n|-x   \n`-y   \n");
}

static void print_findings(void *userdata) {
        json_auto_t *findings = json_of(
                "[{\"severity\": \"blocker\", \"code\": \"in-use\", \"text\": \"used\\u001b\", "
                "\"remedy\": \"stop it\"}, {\"severity\": \"note\", \"code\": \"n\", \"text\": \"t\", "
                "\"device\": \"pci-1\"}]");

        show_findings(userdata, findings);
}

static void test_findings(void **state) {
        Cli cli = { 0 };
        _cleanup_free_ char *text = capture(stdout, print_findings, &cli), *coloured = NULL;

        assert_string_equal(text, "blocker in-use: used\\x1b\n        remedy: stop it\nnote n: pci-1: t\n");
        cli.colour = true;
        coloured = capture(stdout, print_findings, &cli);
        assert_contains(coloured, "\033[31mblocker\033[0m in-use");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cells),
                cmocka_unit_test(test_sort),
                cmocka_unit_test(test_sort_numbers),
                cmocka_unit_test(test_contains),
                cmocka_unit_test(test_no_escape_sequences),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_findings),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
