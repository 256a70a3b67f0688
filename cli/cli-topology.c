/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <time.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-settings.h"
#include "cli-verbs.h"

static const Column boot_columns[] = {
        { "boot" }, { "kernel" }, { "when", "TIME" }, { "devices", .right = true }, { "current" },
};

static void add_time(json_t *boot) {
        time_t seconds = (time_t) (json_integer_value(json_object_get(boot, "time")) / 1000000);
        struct tm tm;
        char text[32];

        if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
                (void) json_object_set_new(boot, "when", json_string(text));
}

int verb_topology_list(Cli *cli, char **arguments, int n) {
        json_auto_t *reply = NULL;
        json_t *boot;
        size_t index;
        int r = manager_call(cli, "TopologyBoots", "a{sv}", json_pack("[{}]"), &reply);

        if (r < 0)
                return r;
        if (!cli->json)
                json_array_foreach(json_array_get(reply, 0), index, boot) add_time(boot);
        return show_table(cli, boot_columns, ELEMENTSOF(boot_columns), json_array_get(reply, 0), false);
}

static void show_concerned(json_t *change, const char *key) {
        _cleanup_free_ char *text = NULL;

        if (json_array_size(json_object_get(change, key)) == 0 || cell_text(json_object_get(change, key), &text) < 0)
                return;
        (void) printf("        %s: ", key);
        print_clean(stdout, text);
        (void) putchar('\n');
}

static void show_change(const Cli *cli, json_t *change) {
        print_word(cli, stdout, json_text(change, "severity"));
        (void) fputs(" ", stdout);
        print_clean(stdout, json_text(change, "kind"));
        (void) fputs(": ", stdout);
        print_clean(stdout, json_text(change, "text"));
        (void) putchar('\n');
        if (streq(json_text(change, "kind"), "renumbered")) {
                (void) fputs("        before: ", stdout);
                print_clean(stdout, json_text(change, "before"));
                (void) fputs("\n        now: ", stdout);
                print_clean(stdout, json_text(change, "after"));
                (void) putchar('\n');
        }
        show_concerned(change, "groups");
        show_concerned(change, "rules");
        show_concerned(change, "allocations");
}

int verb_topology_diff(Cli *cli, char **arguments, int n) {
        json_auto_t *options = json_object(), *reply = NULL;
        json_t *changes, *change;
        size_t index;
        int r;

        take_option(cli, "boot", "since", options);
        take_option(cli, "until", "until", options);
        r = manager_call(cli, "TopologyDiff", "a{sv}", json_pack("[O]", options), &reply);
        if (r < 0)
                return r;
        changes = json_array_get(reply, 0);
        if (cli->json)
                return show_json(cli, changes);
        json_array_foreach(changes, index, change) show_change(cli, change);
        if (json_array_size(changes) == 0)
                (void) puts("Nothing differs.");
        return 0;
}
