/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#define WORDS_MAX 12

typedef struct Parse {
        const char *words[WORDS_MAX];
        Cli cli;
        char **arguments;
        int n, result;
} Parse;

static void parse(void *userdata) {
        Parse *p = userdata;
        static char *argv[WORDS_MAX + 2];
        int argc = 1;

        argv[0] = (char *) "passthroughctl";
        for (int i = 0; i < WORDS_MAX && p->words[i]; i++)
                argv[argc++] = (char *) p->words[i];
        argv[argc] = NULL;
        p->cli = (Cli){ .ask_password = true };
        p->result = cli_parse(&p->cli, argc, argv, &p->arguments, &p->n);
}

static void test_verbs_and_options_in_any_order(void **state) {
        static const Parse lines[] = {
                { .words = { "--json", "device", "show", "x" } },
                { .words = { "device", "show", "--json", "x" } },
                { .words = { "device", "show", "x", "-j" } },
                { .words = { "-j", "device", "show", "--", "x" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                Parse p = lines[i];

                parse(&p);
                assert_int_equal(p.result, 0);
                assert_string_equal(p.cli.verb->name, "device show");
                assert_int_equal(p.n, 1);
                assert_string_equal(p.arguments[0], "x");
                assert_true(p.cli.json);
                free(p.cli.values);
        }
}

static void test_values(void **state) {
        Parse p = { .words = { "devices", "--where", "a = b", "--columns=x,y", "-s", "z", "-f", "t",
                               "--timeout", "5" } };
        long number = 7;

        parse(&p);
        assert_int_equal(p.result, 0);
        assert_string_equal(option_text(&p.cli, "where"), "a = b");
        assert_string_equal(option_text(&p.cli, "columns"), "x,y");
        assert_string_equal(option_text(&p.cli, "sort"), "z");
        assert_string_equal(option_text(&p.cli, "filter"), "t");
        assert_null(option_text(&p.cli, "group"));
        assert_false(option_given(&p.cli, "tree"));
        assert_true(p.cli.timeout_usec == 5000000);
        assert_int_equal(option_number(&p.cli, "limit", 1, 9, &number), 0);
        assert_int_equal(number, 7);
        free(p.cli.values);
}

static void test_repeated(void **state) {
        Parse p = { .words = { "group", "update", "g", "--set", "a=1", "--set=b=2", "--set", "c=" } };
        size_t at = 0;

        parse(&p);
        assert_int_equal(p.result, 0);
        assert_string_equal(option_next(&p.cli, "set", &at), "a=1");
        assert_string_equal(option_next(&p.cli, "set", &at), "b=2");
        assert_string_equal(option_next(&p.cli, "set", &at), "c=");
        assert_null(option_next(&p.cli, "set", &at));
        assert_string_equal(option_text(&p.cli, "set"), "c=");
        free(p.cli.values);
}

static void test_optional_argument(void **state) {
        Parse without = { .words = { "apply", "--changed-exit-code", "file" } };
        Parse with = { .words = { "apply", "--changed-exit-code=9", "file" } };
        long number = 2;

        parse(&without);
        assert_int_equal(without.result, 0);
        assert_string_equal(without.arguments[0], "file");
        assert_true(option_given(&without.cli, "changed-exit-code"));
        assert_int_equal(option_number(&without.cli, "changed-exit-code", 0, 255, &number), 0);
        free(without.cli.values);

        parse(&with);
        assert_int_equal(option_number(&with.cli, "changed-exit-code", 0, 255, &number), 1);
        assert_int_equal(number, 9);
        free(with.cli.values);
}

static void test_wrong_lines(void **state) {
        static const struct {
                Parse parse;
                const char *text;
        } wrong[] = {
                { { .words = { NULL } }, "passthroughctl [OPTION" },
                { { .words = { "nonsense" } }, "there is no verb 'nonsense'" },
                { { .words = { "device" } }, "must be one of: show, provision, reset, quarantine, clear-quarantine" },
                { { .words = { "device", "nonsense" } }, "device nonsense: what follows 'device'" },
                { { .words = { "devices", "--nonsense" } }, "unrecognized option '--nonsense'" },
                { { .words = { "--nonsense", "devices" } }, "unrecognized option '--nonsense'" },
                { { .words = { "devices", "--where" } }, "requires an argument" },
                { { .words = { "devices", "x" } }, "devices takes no arguments" },
                { { .words = { "device", "show" } },
                  "device show takes more arguments: passthroughctl device show DEVICE" },
                { { .words = { "device", "show", "a", "b" } }, "takes fewer arguments" },
                { { .words = { "wait", "--timeout=-1" } }, "'-1' is no time" },
                { { .words = { "wait", "--timeout=1s" } }, "'1s' is no time" },
                { { .words = { "groups", "--tree" } }, "unrecognized option '--tree'" },
        };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                Parse p = wrong[i].parse;
                _cleanup_free_ char *text = capture(stderr, parse, &p);

                assert_true(p.result < 0);
                assert_int_equal(p.cli.status, STATUS_USAGE);
                assert_contains(text, wrong[i].text);
                free(p.cli.values);
        }
}

static void test_help_and_version(void **state) {
        static const struct {
                Parse parse;
                const char *text;
        } lines[] = {
                { { .words = { "--help" } }, "Options of every verb:" },
                { { .words = { "--version" } }, "passthroughctl " PROJECT_VERSION "\n" },
                { { .words = { "rule", "add", "-h" } }, "--node-filter=PATTERN" },
                { { .words = { "apply", "--help" } }, "--changed-exit-code[=CODE]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                Parse p = lines[i].parse;
                _cleanup_free_ char *text = capture(stdout, parse, &p);

                assert_int_equal(p.result, 1);
                assert_contains(text, lines[i].text);
                free(p.cli.values);
        }
}

static void test_infinite_wait(void **state) {
        Parse p = { .words = { "wait", "--timeout=infinity", "--no-ask-password" } };

        parse(&p);
        assert_int_equal(p.result, 0);
        assert_true(p.cli.timeout_usec == UINT64_MAX);
        assert_false(p.cli.ask_password);
        free(p.cli.values);
}

/* The table itself: what the parser and the completion rely on. */
static void test_table(void **state) {
        for (const Verb *verb = verbs; verb->name; verb++) {
                assert_non_null(verb->run);
                assert_true(verb->max < 0 || verb->max >= verb->min);
                for (const Verb *other = verb + 1; other->name; other++) {
                        assert_string_not_equal(verb->name, other->name);
                        /* A verb of one word would hide those of two that begin with it. */
                        if (!strchr(verb->name, ' ') && startswith(other->name, verb->name))
                                assert_true(other->name[strlen(verb->name)] != ' ');
                }
                for (const Option *option = verb->options; option && option->name; option++) {
                        assert_non_null(option->help);
                        for (const Option *common = common_options; common->name; common++) {
                                assert_string_not_equal(option->name, common->name);
                                assert_true(!option->letter || option->letter != common->letter);
                        }
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verbs_and_options_in_any_order),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_repeated),
                cmocka_unit_test(test_optional_argument),
                cmocka_unit_test(test_wrong_lines),
                cmocka_unit_test(test_help_and_version),
                cmocka_unit_test(test_infinite_wait),
                cmocka_unit_test(test_table),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
