/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Groups and rules as one document. */

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-verbs.h"
#include "lib/parse.h"

#define DOCUMENT_MAX (16u * 1024 * 1024)

int verb_export(Cli *cli, char **arguments, int n) {
        json_auto_t *reply = NULL;
        int r = manager_call(cli, "Export", "a{sv}", json_pack("[{}]"), &reply);

        if (r >= 0)
                (void) printf("%s\n", strempty(json_string_value(json_array_get(reply, 0))));
        return r;
}

static int read_stream(Cli *cli, const char *name, FILE *f, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, n;

        do {
                char *larger = realloc(text, size + 65536 + 1);

                if (!larger)
                        return cli_oom(cli);
                text = larger;
                n = fread(text + size, 1, 65536, f);
                size += n;
                if (size > DOCUMENT_MAX)
                        return cli_fail(cli, STATUS_USAGE, "%s has more than %u bytes", name, DOCUMENT_MAX);
        } while (n > 0);
        if (ferror(f))
                return cli_fail(cli, STATUS_FAILED, "%s can't be read: %s", name, strerror(errno));
        text[size] = '\0';
        if (strlen(text) != size || !utf8_is_valid(text))
                return cli_fail(cli, STATUS_USAGE, "%s is not text in UTF-8", name);
        *ret = TAKE_PTR(text);
        return 0;
}

static int read_document(Cli *cli, const char *name, char **ret) {
        FILE *f = streq(name, "-") ? stdin : fopen(name, "re");
        int r;

        if (!f)
                return cli_fail(cli, STATUS_FAILED, "%s can't be opened: %s", name, strerror(errno));
        r = read_stream(cli, streq(name, "-") ? "standard input" : name, f, ret);
        if (f != stdin)
                (void) fclose(f);
        return r;
}

/* "+ rule nics-r2 of group nics", "~ group nics" with a line for each key that differs. */
static void show_change(const Cli *cli, json_t *change, bool dry_run) {
        const char *action = json_text(change, "action"), *group = json_text(change, "group");
        json_t *difference, *finding;
        size_t index;

        (void) printf("%s %s%s %s %s", streq(action, "create") ? "+" : streq(action, "remove") ? "-" : "~",
                      dry_run ? "would " : "", action, json_text(change, "kind"), json_text(change, "id"));
        if (*group)
                (void) printf(" of group %s", group);
        (void) putchar('\n');
        json_array_foreach(json_object_get(change, "differences"), index, difference) {
                const char *from = json_text(difference, "from"), *to = json_text(difference, "to");

                if (streq(action, "create") && !*to)
                        continue;
                (void) printf("    %s: ", json_text(difference, "key"));
                if (!streq(action, "create")) {
                        print_clean(stdout, *from ? from : "\"\"");
                        (void) fputs(" -> ", stdout);
                }
                print_clean(stdout, *to ? to : "\"\"");
                (void) putchar('\n');
        }
        json_array_foreach(json_object_get(change, "findings"), index, finding) {
                (void) printf("    %s: ", json_text(finding, "severity"));
                print_clean(stdout, json_text(finding, "text"));
                (void) putchar('\n');
        }
}

static void show_changes(const Cli *cli, json_t *changes, bool dry_run) {
        json_t *change;
        size_t index;

        if (json_array_size(changes) == 0)
                (void) printf("Nothing changes.\n");
        json_array_foreach(changes, index, change) show_change(cli, change, dry_run);
        (void) fflush(stdout);
}

static int call_apply(Cli *cli, const char *text, bool dry_run, json_t **ret) {
        return manager_change(cli, "Apply", "s a{sv}",
                              json_pack("[s, {s:b, s:b, s:b}]", text, "dry-run", dry_run, "prune", option_given(cli, "prune"),
                                        "keep-invalid", option_given(cli, "keep-invalid")),
                              ret);
}

/* What will be done is shown before it is done. */
static int show_first(Cli *cli, const char *text) {
        json_auto_t *reply = NULL;
        int r = call_apply(cli, text, true, &reply);

        if (r >= 0)
                show_changes(cli, json_array_get(reply, 0), false);
        return r;
}

int verb_apply(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *text = NULL;
        json_auto_t *reply = NULL, *object = NULL;
        bool dry_run = option_given(cli, "dry-run"), changed;
        long status = STATUS_CHANGED;
        int r = read_document(cli, arguments[0], &text);

        if (r >= 0)
                r = option_number(cli, "changed-exit-code", 0, 255, &status);
        if (r >= 0)
                r = cli->json || dry_run ? 0 : show_first(cli, text);
        if (r >= 0)
                r = call_apply(cli, text, dry_run, &reply);
        if (r < 0)
                return r;
        changed = json_array_size(json_array_get(reply, 0)) > 0;
        object = json_pack("{s:b, s:b, s:O}", "changed", changed, "dry-run", dry_run, "changes",
                           json_array_get(reply, 0));
        if (!cli->json && dry_run)
                show_changes(cli, json_array_get(reply, 0), true);
        else if (cli->json && show_json(cli, object) < 0)
                return -ENOMEM;
        return changed && option_given(cli, "changed-exit-code") ? (int) status : 0;
}
