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

static void show_changes(json_t *changes, bool dry_run) {
        json_t *change;
        size_t index;

        if (json_array_size(changes) == 0)
                (void) printf("Nothing changes.\n");
        json_array_foreach(changes, index, change)(void)
                printf("%s%s %s %s\n", dry_run ? "would " : "", json_text(change, "action"),
                       json_text(change, "kind"), json_text(change, "id"));
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
                r = manager_change(cli, "Apply", "s a{sv}",
                                   json_pack("[s, {s:b}]", text, "dry-run", dry_run), &reply);
        if (r < 0)
                return r;
        changed = json_array_size(json_array_get(reply, 0)) > 0;
        object = json_pack("{s:b, s:b, s:O}", "changed", changed, "dry-run", dry_run, "changes",
                           json_array_get(reply, 0));
        if (!cli->json)
                show_changes(json_array_get(reply, 0), dry_run);
        else if (show_json(cli, object) < 0)
                return -ENOMEM;
        return changed && option_given(cli, "changed-exit-code") ? (int) status : 0;
}
