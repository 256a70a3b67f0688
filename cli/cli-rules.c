/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-bus.h"
#include "cli-conditions.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-settings.h"
#include "cli-verbs.h"

static const Column rule_columns[] = {
        { "id" },
        { "group" },
        { "name", .shrinks = true },
        { "enabled" },
        { "action" },
        { "conditions", .shrinks = true },
        { "matches", .right = true },
        { "origin" },
        { "strength" },
        { "state" },
};

static const Line rule_lines[] = {
        { "id", "id" },           { "name", "name" },
        { "group", "group" },     { "enabled", "enabled" },
        { "action", "action" },   { "conditions", "conditions" },
        { "where", NULL },        { "node-filter", "node-filter" },
        { "origin", "origin" },   { "strength", "strength" },
        { "matched", "matched" }, { "matches", NULL },
        { "recorded", "recorded" }, { "breaks", "breaks by" },
        { "identity", NULL },
        { "state", "state" },     { "reason", "reason" },
};

/* Conditions as text, and the number of matches, beside the triples and the list. */
static int complete_rule(Cli *cli, json_t *rule) {
        json_t *identity = json_object_get(rule, "identity");
        _cleanup_free_ char *text = NULL;

        if (conditions_format(json_object_get(rule, "where"), &text) < 0)
                return cli_oom(cli);
        (void) json_object_set_new(rule, "conditions", json_string(text));
        if (*json_text(identity, "device")) {
                (void) json_object_set_new(rule, "recorded",
                                           json_sprintf("%s at %s", json_text(identity, "name"), json_text(identity, "device")));
                (void) json_object_set_new(rule, "breaks", json_string(json_text(identity, "breaks")));
        }
        (void) json_object_set_new(
                rule, "matches",
                json_integer((json_int_t) json_array_size(json_object_get(rule, "matched"))));
        return 0;
}

/* The id of a group that is named in any way. */
static int group_id(Cli *cli, const char *name, json_t **ret) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *text = NULL;
        int r = find_object(cli, KIND_GROUP, name, &path);

        if (r < 0)
                return r;
        text = json_string(path);
        *ret = id_of_path(text);
        return 0;
}

int verb_rules(Cli *cli, char **arguments, int n) {
        json_auto_t *rules = NULL, *group = NULL;
        int r = list_objects(cli, KIND_RULE, &rules);

        if (r >= 0 && option_text(cli, "group"))
                r = group_id(cli, option_text(cli, "group"), &group);
        for (size_t i = json_array_size(rules); i > 0 && r >= 0; i--) {
                json_t *rule = json_array_get(rules, i - 1);

                if (group && !streq(json_text(rule, "group"), json_string_value(group)))
                        (void) json_array_remove(rules, i - 1);
                else
                        r = complete_rule(cli, rule);
        }
        return r < 0 ? r : show_table(cli, rule_columns, ELEMENTSOF(rule_columns), rules, false);
}

int verb_rule_show(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *rule = NULL;
        int r = find_object(cli, KIND_RULE, arguments[0], &path);

        if (r >= 0)
                r = get_object(cli, KIND_RULE, path, &rule);
        if (r >= 0)
                r = complete_rule(cli, rule);
        if (r < 0)
                return r;
        return cli->json ? show_json(cli, rule)
                         : show_lines(cli, rule_lines, ELEMENTSOF(rule_lines), rule, true);
}

/* ---- changes ---- */

/* The arguments that follow are one text, so that it need not be quoted as a whole. */
static int read_conditions(Cli *cli, char **arguments, int n, json_t **ret) {
        _cleanup_fault_ Fault fault = { 0 };
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        int r;

        if (!f)
                return cli_oom(cli);
        for (int i = 0; i < n; i++)
                (void) fprintf(f, "%s%s", i > 0 ? " " : "", arguments[i]);
        r = fclose(f) == 0 ? conditions_parse(text, ret, &fault) : -ENOMEM;
        free(text);
        return r < 0 ? cli_fail_word(cli, STATUS_USAGE, fault_code_to_string(fault.code), fault.message) : 0;
}

static void take_body(Cli *cli, json_t *body) {
        take_option(cli, "name", "name", body);
        take_option(cli, "action", "action", body);
        take_option(cli, "enabled", "enabled", body);
        take_option(cli, "node-filter", "node-filter", body);
}

int verb_rule_add(Cli *cli, char **arguments, int n) {
        json_auto_t *where = NULL, *options = json_object(), *reply = NULL, *id = NULL, *object = NULL;
        _cleanup_free_ char *path = NULL;
        int r = read_conditions(cli, arguments + 1, n - 1, &where);

        if (r >= 0)
                r = find_object(cli, KIND_GROUP, arguments[0], &path);
        if (r < 0)
                return r;
        take_body(cli, options);
        (void) json_object_del(options, "name");
        take_option(cli, "id", "id", options);
        r = bus_change(cli, path, INTERFACE("Group"), "AddRule", "s a(sss) a{sv}",
                       json_pack("[s, O, O]", option_text(cli, "name") ?: "rule", where, options), &reply);
        if (r < 0)
                return r;
        id = id_of_path(json_array_get(reply, 0));
        object = json_pack("{s:O}", "rule", id);
        if (cli->json)
                return show_json(cli, object);
        (void) printf("%s\n", strempty(json_string_value(id)));
        return 0;
}

int verb_rule_update(Cli *cli, char **arguments, int n) {
        json_auto_t *where = NULL, *changes = json_object();
        _cleanup_free_ char *path = NULL;
        int r = n > 1 ? read_conditions(cli, arguments + 1, n - 1, &where) : 0;

        if (r >= 0)
                r = find_object(cli, KIND_RULE, arguments[0], &path);
        if (r < 0)
                return r;
        take_body(cli, changes);
        if (where)
                (void) json_object_set(changes, "where", where);
        if (json_object_size(changes) == 0)
                return cli_fail(cli, STATUS_USAGE,
                                "nothing is to be changed; passthroughctl rule update --help");
        r = bus_change(cli, path, INTERFACE("Rule"), "Update", "a{sv} a{sv}", json_pack("[O, {}]", changes),
                       NULL);
        return r < 0 ? r : show_done(cli);
}

int verb_rule_accept(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_RULE, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Rule"), "Update", "a{sv} a{sv}",
                               json_pack("[{}, {s:b}]", "accept-identity", true), NULL);
        return r < 0 ? r : show_done(cli);
}

int verb_rule_remove(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_RULE, arguments[0], &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Rule"), "Remove", "a{sv}", json_pack("[{}]"), NULL);
        return r < 0 ? r : show_done(cli);
}

/* ---- preview ---- */

static int rows_of_devices(Cli *cli, const char *group, json_t *paths, json_t **ret) {
        json_auto_t *fields = json_pack("[s, s, s, s, s]", "id", "slot", "port", "name", "state"),
                    *object = NULL, *devices = NULL, *by_id = json_object();
        json_t *device, *path;
        size_t i;
        int r = get_object(cli, KIND_GROUP, group, &object);

        if (r >= 0)
                r = list_devices(cli, json_text(object, "type"), NULL, NULL, fields, false, &devices);
        if (r < 0)
                return r;
        json_array_foreach(devices, i, device)(void) json_object_set(by_id, json_text(device, "id"), device);
        *ret = json_array();
        json_array_foreach(paths, i, path) {
                json_auto_t *id = id_of_path(path);
                json_t *known = json_object_get(by_id, strempty(json_string_value(id)));

                (void) json_array_append_new(*ret,
                                             known ? json_incref(known) : json_pack("{s:O}", "id", id));
        }
        return 0;
}

static int show_preview(Cli *cli, json_t *matched, json_t *near, json_t *claimed, json_t *findings) {
        static const Column matched_columns[] = { { "id", "DEVICE" },
                                                  { "name", .shrinks = true },
                                                  { "state" } };
        static const Column near_columns[] = {
                { "device" }, { "field" }, { "operator" }, { "value" }, { "is" }
        };
        static const Column claimed_columns[] = { { "device" }, { "groups", .shrinks = true } };
        int r;

        (void) printf("%zu %s.\n", json_array_size(matched),
                      json_array_size(matched) == 1 ? "device matches" : "devices match");
        r = show_table(cli, matched_columns, ELEMENTSOF(matched_columns), matched, false);
        if (r >= 0 && json_array_size(near) > 0) {
                (void) printf("\nThese fail by one condition only:\n");
                r = show_table(cli, near_columns, ELEMENTSOF(near_columns), near, false);
        }
        if (r >= 0 && json_array_size(claimed) > 0) {
                (void) printf("\nOther groups have these already:\n");
                r = show_table(cli, claimed_columns, ELEMENTSOF(claimed_columns), claimed, false);
        }
        if (r >= 0 && json_array_size(findings) > 0) {
                (void) putchar('\n');
                show_findings(cli, findings);
        }
        return r;
}

int verb_preview(Cli *cli, char **arguments, int n) {
        json_auto_t *where = NULL, *reply = NULL, *matched = NULL, *object = NULL;
        _cleanup_free_ char *path = NULL;
        int r = read_conditions(cli, arguments + 1, n - 1, &where);

        if (r >= 0)
                r = find_object(cli, KIND_GROUP, arguments[0], &path);
        if (r >= 0)
                r = bus_call(cli, path, INTERFACE("Group"), "PreviewRule", "a(sss) a{sv}",
                             json_pack("[O, {}]", where), &reply);
        if (r >= 0)
                r = rows_of_devices(cli, path, json_array_get(reply, 0), &matched);
        if (r < 0)
                return r;
        object = json_pack("{s:O, s:O, s:O, s:O}", "matched", matched, "near", json_array_get(reply, 1), "claimed",
                           json_array_get(reply, 2), "findings", json_array_get(reply, 3));
        return cli->json ? show_json(cli, object)
                         : show_preview(cli, matched, json_array_get(reply, 1), json_array_get(reply, 2),
                                        json_array_get(reply, 3));
}
