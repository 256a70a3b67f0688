/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an activation would choose and do, before it does. */

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-settings.h"
#include "cli-verbs.h"

static const Column candidate_columns[] = {
        { "request" },
        { "group" },
        { "device" },
        { "chosen" },
        { "score", .right = true },
        { "companions" },
        { "why", .shrinks = true },
};

/* One row a candidate; why it was chosen, or why it cannot be. */
static json_t *candidate_rows(json_t *choices) {
        json_t *rows = json_array(), *choice, *candidate, *blocker;
        size_t i, k, b;

        json_array_foreach(choices, i, choice)
                json_array_foreach(json_object_get(choice, "candidates"), k, candidate) {
                json_t *row = json_copy(candidate), *why = json_array();

                /* Notes and warnings stand in the findings, too. */
                json_array_foreach(json_object_get(candidate, "blockers"), b,
                                   blocker) if (streq(json_text(blocker, "severity"), "blocker"))(void)
                        json_array_append(why, json_object_get(blocker, "text"));
                if (json_array_size(why) == 0)
                        (void) json_array_extend(why, json_object_get(candidate, "reasons"));
                (void) json_object_set_new(row, "why", why);
                (void) json_object_set(row, "request", json_object_get(choice, "request"));
                (void) json_object_set(row, "group", json_object_get(choice, "group"));
                (void) json_array_append_new(rows, row);
        }
        return rows;
}

static void show_steps(const Cli *cli, json_t *steps) {
        json_t *step;
        size_t index;

        json_array_foreach(steps, index, step) {
                (void) printf("%3zu. ", index + 1);
                print_clean(stdout, json_text(step, "text"));
                if (!isempty(json_text(step, "device")))
                        (void) printf(" (%s)", json_text(step, "device"));
                if (json_is_true(json_object_get(step, "optional")))
                        (void) fputs(", may fail", stdout);
                if (json_is_false(json_object_get(step, "undoable")))
                        (void) fputs(", cannot be undone", stdout);
                (void) putchar('\n');
        }
}

static int show_plan(Cli *cli, json_t *reply) {
        json_auto_t *rows = candidate_rows(json_array_get(reply, 0));
        const char *token = strempty(json_string_value(json_array_get(reply, 3)));
        int r;

        print_heading(cli, "Candidates");
        r = show_table(cli, candidate_columns, ELEMENTSOF(candidate_columns), rows, false);
        if (r < 0)
                return r;
        (void) putchar('\n');
        print_heading(cli, "Steps");
        if (json_array_size(json_array_get(reply, 1)) == 0)
                (void) printf("There is nothing to do.\n");
        show_steps(cli, json_array_get(reply, 1));
        if (json_array_size(json_array_get(reply, 2)) > 0) {
                (void) putchar('\n');
                print_heading(cli, "Findings");
                show_findings(cli, json_array_get(reply, 2));
        }
        (void) printf("\nToken: %s (--plan=%s does this and nothing else)\n", token, token);
        return 0;
}

int verb_plan(Cli *cli, char **arguments, int n) {
        json_auto_t *objects = json_array(), *requests = json_array(), *reply = NULL, *object = NULL;
        const char *allocation = option_text(cli, "allocation");
        int r = 0;

        if ((allocation != NULL) == (n > 0))
                return cli_fail(cli, STATUS_USAGE, "plan takes requests, or --allocation");
        if (allocation) {
                _cleanup_free_ char *path = NULL;

                r = find_object(cli, KIND_ALLOCATION, allocation, &path);
                if (r >= 0)
                        (void) json_array_append_new(objects, json_string(path));
        } else {
                json_t *list = NULL;

                r = read_requests(cli, arguments, n, &list);
                if (r >= 0)
                        (void) json_array_extend(requests, list);
                json_decref(list);
        }
        if (r >= 0)
                r = manager_call(cli, "Plan", "s ao aa{sv} a{sv}",
                                 json_pack("[s, O, O, {}]", "activate", objects, requests), &reply);
        if (r < 0)
                return r;
        object = json_pack("{s:O, s:O, s:O, s:O}", "choices", json_array_get(reply, 0), "steps",
                           json_array_get(reply, 1), "findings", json_array_get(reply, 2), "token",
                           json_array_get(reply, 3));
        return cli->json ? show_json(cli, object) : show_plan(cli, reply);
}
