/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-bus.h"
#include "cli-format.h"
#include "cli-verbs.h"

#define STATUS_WIDTH 8
#define INDENT (STATUS_WIDTH + 1)

static const struct {
        const char *word;
        int status;
} weights[] = {
        { "pass", STATUS_OK },
        { "warn", STATUS_WARNINGS },
        { "unknown", STATUS_WARNINGS },
        { "fail", STATUS_PROBLEMS },
};

static int weight_of(const char *word) {
        for (size_t i = 0; i < ELEMENTSOF(weights); i++)
                if (streq(weights[i].word, word))
                        return weights[i].status;
        return STATUS_WARNINGS;
}

static void show_detail(const char *label, const char *text) {
        if (isempty(text))
                return;
        (void) printf("%*s%s: ", INDENT, "", label);
        print_clean(stdout, text);
        (void) putchar('\n');
}

static void show_check(const Cli *cli, json_t *check) {
        const char *status = json_text(check, "status");
        bool passed = streq(status, "pass");
        json_t *line;
        size_t index;

        print_word(cli, stdout, status);
        (void) printf("%*s", INDENT - (int) MIN_OF(strlen(status), (size_t) STATUS_WIDTH), "");
        print_clean(stdout, json_text(check, "title"));
        (void) fputs(": ", stdout);
        print_clean(stdout, json_text(check, "text"));
        (void) putchar('\n');
        if (!passed || option_given(cli, "verbose"))
                json_array_foreach(json_object_get(check, "evidence"), index, line)
                        show_detail("seen", json_string_value(line));
        show_detail("remedy", json_text(check, "remedy"));
        if (json_is_true(json_object_get(check, "pending")))
                show_detail("restart", "it is configured already; only a restart of the host is missing");
}

int verb_check(Cli *cli, char **arguments, int n) {
        json_auto_t *options = json_object(), *reply = NULL;
        json_t *checks;
        json_t *only = n > 0 ? json_array() : NULL, *check;
        size_t index, passed = 0;
        int status = STATUS_OK, r;

        for (int i = 0; i < n; i++)
                (void) json_array_append_new(only, json_string(arguments[i]));
        if (only)
                (void) json_object_set_new(options, "only", only);
        r = manager_call(cli, "CheckHost", "a{sv}", json_pack("[O]", options), &reply);
        if (r < 0)
                return r;
        checks = json_array_get(reply, 0);
        json_array_foreach(checks, index, check) {
                int weight = weight_of(json_text(check, "status"));

                status = weight > status ? weight : status;
                passed += weight == STATUS_OK;
        }
        if (cli->json)
                r = show_json(cli, checks);
        else {
                json_array_foreach(checks, index, check) show_check(cli, check);
                (void) printf("\n%zu of %zu checks passed.\n", passed, json_array_size(checks));
        }
        return r < 0 ? r : status;
}
