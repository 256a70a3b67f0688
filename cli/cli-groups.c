/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-job.h"
#include "cli-bus.h"
#include "cli-conditions.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-settings.h"
#include "cli-verbs.h"

static const Column group_columns[] = {
        { "id" },
        { "name", .shrinks = true },
        { "type" },
        { "class" },
        { "enabled" },
        { "total", .right = true },
        { "available", .right = true },
        { "allocated", .right = true },
        { "notes", .shrinks = true },
};

static const Line group_lines[] = {
        { "id", "id" },
        { "name", "name" },
        { "type", "type" },
        { "description", "description" },
        { "class", "class" },
        { "enabled", "enabled" },
        { "choice", "choice" },
        { "tenant", "tenant" },
        { "settings", "settings" },
        { "user-defined", "user-defined" },
        { "total", "total" },
        { "available", "available" },
        { "allocated", "allocated" },
        { "providers", "providers" },
        { "devices", "devices" },
        { "allocations", "allocations" },
        { "notes", "notes" },
        { "rules", NULL },
};

/* Options that are a group's own keys. */
static const struct {
        const char *option, *key;
} body_options[] = {
        { "description", "description" },
        { "class", "class" },
        { "choice", "choice" },
        { "tenant", "tenant" },
        { "user-defined", "user-defined" },
};

int verb_groups(Cli *cli, char **arguments, int n) {
        json_auto_t *groups = NULL;
        int r = list_objects(cli, KIND_GROUP, &groups);

        return r < 0 ? r : show_table(cli, group_columns, ELEMENTSOF(group_columns), groups, false);
}

static int show_rules_of(Cli *cli, json_t *group) {
        json_t *id;
        size_t index;

        json_array_foreach(json_object_get(group, "rules"), index, id) {
                _cleanup_free_ char *path = NULL, *text = NULL;
                json_auto_t *rule = NULL;
                int r = kind_path(cli, KIND_RULE, json_string_value(id), &path);

                if (r >= 0)
                        r = get_object(cli, KIND_RULE, path, &rule);
                if (r < 0)
                        return r;
                if (conditions_format(json_object_get(rule, "where"), &text) < 0)
                        return cli_oom(cli);
                (void) printf("%*s: %s %s: ", 20, index == 0 ? "rules" : "", json_text(rule, "id"),
                              json_text(rule, "action"));
                print_clean(stdout, text);
                if (!json_is_true(json_object_get(rule, "enabled")))
                        (void) fputs(" (disabled)", stdout);
                if (streq(json_text(rule, "state"), "invalid"))
                        (void) printf(" (invalid: %s)", json_text(rule, "reason"));
                (void) putchar('\n');
        }
        return 0;
}

int verb_group_show(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *group = NULL;
        int r = find_object(cli, KIND_GROUP, arguments[0], &path);

        if (r >= 0)
                r = get_object(cli, KIND_GROUP, path, &group);
        if (r < 0)
                return r;
        if (cli->json)
                return show_json(cli, group);
        r = show_lines(cli, group_lines, ELEMENTSOF(group_lines), group, true);
        return r < 0 ? r : show_rules_of(cli, group);
}

/* ---- changes ---- */

static void take_body(Cli *cli, json_t *body) {
        for (size_t i = 0; i < ELEMENTSOF(body_options); i++)
                take_option(cli, body_options[i].option, body_options[i].key, body);
}

/* What was made: its id, for scripts and people alike. */
static int show_made(Cli *cli, const char *what, json_t *path) {
        json_auto_t *id = id_of_path(path), *object = NULL;

        if (!cli->json) {
                (void) printf("%s\n", strempty(json_string_value(id)));
                return 0;
        }
        object = json_pack("{s:O}", what, id);
        return show_json(cli, object);
}

int verb_group_create(Cli *cli, char **arguments, int n) {
        json_auto_t *settings = NULL, *options = json_object(), *reply = NULL;
        int r = read_assignments(cli, "set", &settings);

        if (r < 0)
                return r;
        take_body(cli, options);
        take_option(cli, "id", "id", options);
        if (option_given(cli, "disabled"))
                (void) json_object_set_new(options, "enabled", json_false());
        r = manager_change(cli, "CreateGroup", "s s a{sv} a{sv}",
                           json_pack("[s, s, o, O]", arguments[0], arguments[1],
                                     settings ? json_incref(settings) : json_object(), options),
                           &reply);
        return r < 0 ? r : show_made(cli, "group", json_array_get(reply, 0));
}

static int update(Cli *cli, const char *name, json_t *changes) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_GROUP, name, &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Group"), "Update", "a{sv} a{sv}",
                               json_pack("[O, {}]", changes), NULL);
        return r < 0 ? r : show_done(cli);
}

/* The service replaces all settings by those given: the ones that stay have to come along. "NAME=" asks
 * for the default. */
static int merge_settings(Cli *cli, const char *name, json_t *given, json_t **ret) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *group = NULL;
        json_t *settings, *value;
        const char *key;
        int r = find_object(cli, KIND_GROUP, name, &path);

        if (r >= 0)
                r = get_object(cli, KIND_GROUP, path, &group);
        if (r < 0)
                return r;
        settings = json_deep_copy(json_object_get(group, "settings"));
        json_object_foreach(given, key, value) if (isempty(json_string_value(value)))(void)
                json_object_del(settings, key);
        else(void) json_object_set(settings, key, value);
        *ret = settings;
        return 0;
}

int verb_group_update(Cli *cli, char **arguments, int n) {
        json_auto_t *given = NULL, *changes = json_object();
        int r = read_assignments(cli, "set", &given);

        if (r < 0)
                return r;
        take_body(cli, changes);
        take_option(cli, "name", "name", changes);
        if (given) {
                json_t *settings = NULL;

                r = merge_settings(cli, arguments[0], given, &settings);
                if (r < 0)
                        return r;
                (void) json_object_set_new(changes, "settings", settings);
        }
        if (json_object_size(changes) == 0)
                return cli_fail(cli, STATUS_USAGE,
                                "nothing is to be changed; passthroughctl group update --help");
        return update(cli, arguments[0], changes);
}

int verb_group_enable(Cli *cli, char **arguments, int n) {
        json_auto_t *changes = json_pack("{s:b}", "enabled", true);

        return update(cli, arguments[0], changes);
}

int verb_group_disable(Cli *cli, char **arguments, int n) {
        json_auto_t *changes = json_pack("{s:b}", "enabled", false);

        return update(cli, arguments[0], changes);
}

int verb_group_remove(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *reply = NULL;
        int r = find_object(cli, KIND_GROUP, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Group"), "Remove", "a{sv}", json_pack("[{}]"), &reply);
        if (r < 0 || streq(strempty(json_string_value(json_array_get(reply, 0))), "/"))
                return r < 0 ? r : show_done(cli);
        return finish_job(cli, json_string_value(json_array_get(reply, 0)), NULL, NULL);
}

int verb_group_provision(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *reply = NULL;
        int r = find_object(cli, KIND_GROUP, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Group"), "Provision", "a{sv}", json_pack("[{}]"), &reply);
        return r < 0 ? r : finish_job(cli, json_string_value(json_array_get(reply, 0)), NULL, NULL);
}

/* The rule's id on standard output, for scripts; how strong it is beside it, for people. */
static void show_resource(Cli *cli, json_t *path, const char *id) {
        json_auto_t *rule = NULL;
        json_t *identity;

        (void) printf("%s\n", id);
        (void) fflush(stdout);
        if (get_object(cli, KIND_RULE, json_string_value(path), &rule) < 0)
                return;
        identity = json_object_get(rule, "identity");
        cli_note(cli, "  %s is recognised by %s; what would break it: %s", json_text(identity, "name"),
                 json_text(rule, "strength"), json_text(identity, "breaks"));
}

int verb_make_resource(Cli *cli, char **arguments, int n) {
        json_auto_t *devices = json_array(), *reply = NULL, *ids = json_array(), *object = NULL, *options = json_object();
        json_auto_t *settings = NULL;
        json_t *path;
        size_t index;
        int r = read_assignments(cli, "set", &settings);

        for (int i = 1; i < n && r >= 0; i++) {
                _cleanup_free_ char *device = NULL;

                r = find_object(cli, KIND_DEVICE, arguments[i], &device);
                if (r >= 0)
                        (void) json_array_append_new(devices, json_string(device));
        }
        take_option(cli, "type", "type", options);
        if (settings)
                (void) json_object_set(options, "settings", settings);
        if (r >= 0)
                r = manager_change(cli, "MakeResource", "ao s a{sv}",
                                   json_pack("[O, s, O]", devices, arguments[0], options), &reply);
        if (r < 0)
                return r;
        json_array_foreach(json_array_get(reply, 0), index, path) {
                json_t *id = id_of_path(path);

                (void) json_array_append_new(ids, id);
                if (!cli->json)
                        show_resource(cli, path, strempty(json_string_value(id)));
        }
        object = json_pack("{s:O}", "rules", ids);
        return cli->json ? show_json(cli, object) : 0;
}
