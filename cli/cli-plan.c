/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What would be chosen and done, before it is. */

#include "cli-bus.h"
#include "cli-explain.h"
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

/* What each request gets, and what becomes of what moves along. */
static void show_choice(const Cli *cli, json_t *choice) {
        json_t *chosen = json_object_get(choice, "chosen"), *device, *companion;
        size_t i, k;

        (void) fputs("request ", stdout);
        print_clean(stdout, json_text(choice, "name"));
        (void) fputs(" (group ", stdout);
        print_clean(stdout, json_text(choice, "group"));
        (void) printf("%s): ", json_is_true(json_object_get(choice, "optional")) ? ", optional" : "");
        if (json_array_size(chosen) == 0)
                (void) printf("nothing");
        json_array_foreach(chosen, i, device) {
                (void) printf("%s%s", i > 0 ? ", " : "", json_text(device, "device"));
                json_array_foreach(json_object_get(device, "companions"), k, companion)
                        (void) printf("%s%s %s", k > 0 ? ", " : " with ", json_text(companion, "device"),
                                      json_text(companion, "fate"));
        }
        (void) putchar('\n');
}

static int show_choices(Cli *cli, json_t *choices) {
        json_auto_t *rows = candidate_rows(choices);
        json_t *choice;
        size_t i;
        int r;

        if (json_array_size(choices) == 0)
                return 0;
        print_heading(cli, "Choices");
        json_array_foreach(choices, i, choice)
                show_choice(cli, choice);
        (void) putchar('\n');
        print_heading(cli, "Candidates");
        r = show_table(cli, candidate_columns, ELEMENTSOF(candidate_columns), rows, false);
        (void) putchar('\n');
        return r;
}

static int show_plan(Cli *cli, const char *verb, json_t *reply) {
        const char *token = strempty(json_string_value(json_array_get(reply, 3)));
        json_t *findings = json_array_get(reply, 2);
        int r = show_choices(cli, json_array_get(reply, 0));

        if (r < 0)
                return r;
        print_heading(cli, "Steps");
        if (json_array_size(json_array_get(reply, 1)) == 0)
                (void) printf("There is nothing to do.\n");
        show_steps(cli, json_array_get(reply, 1));
        if (json_array_size(findings) > 0) {
                (void) putchar('\n');
                show_explanation(cli, "Findings", findings);
        }
        (void) printf("\nToken: %s", token);
        if (streq(verb, "activate") && !has_blocker(findings))
                (void) printf(" (--plan=%s does this and nothing else)", token);
        (void) putchar('\n');
        return 0;
}

/* What the verbs other than activate are about. */
static const struct {
        const char *verb;
        Kind kind;
} kinds[] = {
        { "deactivate", KIND_ALLOCATION }, { "release", KIND_ALLOCATION }, { "reset", KIND_DEVICE },
        { "remove", KIND_GROUP },          { "provision", KIND_DEVICE },   { "unprovision", KIND_DEVICE },
};

static int read_object(Cli *cli, Kind kind, const char *name, json_t *objects) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, kind, name, &path);

        if (r >= 0)
                (void) json_array_append_new(objects, json_string(path));
        return r;
}

static int read_what(Cli *cli, const char *verb, char **arguments, int n, json_t *objects, json_t *requests) {
        const char *allocation = option_text(cli, "allocation");
        json_t *list = NULL;
        int r;

        if (streq(verb, "activate")) {
                if ((allocation != NULL) == (n > 0))
                        return cli_fail(cli, STATUS_USAGE, "plan takes requests, or --allocation");
                if (allocation)
                        return read_object(cli, KIND_ALLOCATION, allocation, objects);
                r = read_requests(cli, arguments, n, &list);
                if (r >= 0)
                        (void) json_array_extend(requests, list);
                json_decref(list);
                return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                if (!streq(kinds[i].verb, verb))
                        continue;
                if ((kinds[i].kind == KIND_ALLOCATION && allocation ? 1 : 0) + n != 1)
                        return cli_fail(cli, STATUS_USAGE, "plan --verb=%s takes one %s", verb, kind_word(kinds[i].kind));
                return read_object(cli, kinds[i].kind, n > 0 ? arguments[0] : allocation, objects);
        }
        return cli_fail(cli, STATUS_USAGE,
                        "'%s' can't be planned; valid: activate, deactivate, release, reset, remove, provision, unprovision", verb);
}

int verb_plan(Cli *cli, char **arguments, int n) {
        json_auto_t *objects = json_array(), *requests = json_array(), *options = json_object(), *reply = NULL, *object = NULL;
        const char *verb = option_text(cli, "verb") ?: "activate";
        int r = read_what(cli, verb, arguments, n, objects, requests);

        if (r >= 0)
                r = take_overrides(cli, options);
        if (r >= 0)
                r = manager_call(cli, "Plan", "s ao aa{sv} a{sv}",
                                 json_pack("[s, O, O, O]", verb, objects, requests, options), &reply);
        if (r < 0)
                return r;
        object = json_pack("{s:O, s:O, s:O, s:O}", "choices", json_array_get(reply, 0), "steps",
                           json_array_get(reply, 1), "findings", json_array_get(reply, 2), "token",
                           json_array_get(reply, 3));
        r = cli->json ? show_json(cli, object) : show_plan(cli, verb, reply);
        return r < 0 ? r : has_blocker(json_array_get(reply, 2)) ? STATUS_UNAVAILABLE : r;
}
