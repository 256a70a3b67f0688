/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service itself: how it is, what it can. */


#include "cli-bus.h"
#include "cli-format.h"
#include "cli-job.h"
#include "cli-object.h"
#include "cli-verbs.h"
#include "lib/id.h"
#include "lib/parse.h"

static const Line status_lines[] = {
        { "readiness", "readiness" },
        { "node", "node" },
        { "version", "version" },
        { "types", "types" },
        { "devices", "devices" },
        { "groups", "groups" },
        { "rules", "rules" },
        { "allocations", "allocations" },
        { "jobs", "jobs" },
        { "reboot-reasons", "reboot needed" },
        { "reload-required", "reload needed" },
        { "maintenance", "maintenance" },
        { "problems", "problems" },
        { "features", NULL },
        { "generation", NULL },
};

static int get_manager(Cli *cli, json_t **ret) {
        json_auto_t *reply = NULL, *object = json_object();
        const char *name;
        json_t *value;
        int r = bus_call(cli, BUS_ROOT, "org.freedesktop.DBus.Properties", "GetAll", "s",
                         json_pack("[s]", INTERFACE("Manager")), &reply);

        if (r < 0)
                return r;
        json_object_foreach(json_array_get(reply, 0), name, value) {
                char kebab[ID_SIZE];

                (void) json_object_set(object, camel_to_kebab(name, kebab) < 0 ? name : kebab, value);
        }
        *ret = TAKE_PTR(object);
        return 0;
}

/* {"free": 3, "active": 1}; with how many there are in all. */
static json_t *count_states(json_t *objects) {
        json_t *counts = json_pack("{s:I}", "total", (json_int_t) json_array_size(objects)), *object;
        size_t index;

        json_array_foreach(objects, index, object) {
                const char *state = json_text(object, "state");

                (void) json_object_set_new(
                        counts, state, json_integer(json_integer_value(json_object_get(counts, state)) + 1));
        }
        return counts;
}

static int add_counts(Cli *cli, json_t *status) {
        static const struct {
                Kind kind;
                const char *name;
        } kinds[] = {
                { KIND_ALLOCATION, "allocations" },
                { KIND_JOB, "jobs" },
        };
        json_auto_t *fields = json_pack("[s]", "state"), *devices = NULL, *groups = NULL;
        int r = list_devices(cli, "", NULL, NULL, fields, false, &devices);

        if (r >= 0)
                r = list_objects(cli, KIND_GROUP, &groups);
        if (r < 0)
                return r;
        (void) json_object_set_new(status, "devices", count_states(devices));
        (void) json_object_set_new(status, "groups", json_integer((json_int_t) json_array_size(groups)));
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                json_auto_t *objects = NULL;

                r = list_objects(cli, kinds[i].kind, &objects);
                if (r < 0)
                        return r;
                (void) json_object_set_new(status, kinds[i].name, count_states(objects));
        }
        return 0;
}

int verb_status(Cli *cli, char **arguments, int n) {
        json_auto_t *status = NULL;
        int r = get_manager(cli, &status);

        if (r >= 0)
                r = add_counts(cli, status);
        if (r < 0)
                return r;
        return cli->json ? show_json(cli, status)
                         : show_lines(cli, status_lines, ELEMENTSOF(status_lines), status, true);
}

int verb_wait(Cli *cli, char **arguments, int n) {
        json_auto_t *object = NULL;
        char readiness[32];
        int r = wait_for_service(cli, cli->timeout_usec, readiness);

        if (r < 0)
                return r;
        object = json_pack("{s:s}", "readiness", readiness);
        if (cli->json && show_json(cli, object) < 0)
                return -ENOMEM;
        return streq(readiness, "ready") ? 0
                                         : cli_fail(cli, STATUS_UNAVAILABLE, "the service is %s", readiness);
}

int verb_rescan(Cli *cli, char **arguments, int n) {
        int r = manager_change(cli, "Rescan", "a{sv}", json_pack("[{}]"), NULL);

        return r < 0 ? r : show_done(cli);
}

int verb_acknowledge(Cli *cli, char **arguments, int n) {
        int r = manager_change(cli, "AcknowledgeDamage", "a{sv}", json_pack("[{}]"), NULL);

        return r < 0 ? r : show_done(cli);
}

/* ---- modules ---- */

int verb_modules(Cli *cli, char **arguments, int n) {
        static const Column columns[] = {
                { "name" }, { "title" }, { "version" }, { "state" }, { "reason", .shrinks = true },
        };
        json_auto_t *modules = NULL;
        json_t *module;
        size_t index;
        int r = list_objects(cli, KIND_MODULE, &modules);

        json_array_foreach(modules, index, module)(void)
                json_object_set(module, "title", json_object_get(json_object_get(module, "facts"), "title"));
        return r < 0 ? r : show_table(cli, columns, ELEMENTSOF(columns), modules, false);
}

static int show_schema(Cli *cli, const char *title, json_t *rows, const Column *columns, size_t n) {
        if (json_array_size(rows) == 0)
                return 0;
        (void) putchar('\n');
        print_heading(cli, title);
        return show_table(cli, columns, n, rows, false);
}

int verb_module_show(Cli *cli, char **arguments, int n) {
        static const Line lines[] = {
                { "name", "name" }, { "version", "version" }, { "state", "state" }, { "reason", "reason" }
        };
        static const Column fields[] = {
                { "name" }, { "type" }, { "unit" }, { "flags" }, { "doc", .shrinks = true },
        };
        static const Column settings[] = {
                { "name" },
                { "type" },
                { "default" },
                { "minimum", .right = true },
                { "maximum", .right = true },
                { "choices" },
                { "override" },
                { "doc", .shrinks = true },
        };
        _cleanup_free_ char *path = NULL;
        json_auto_t *module = NULL;
        int r = find_object(cli, KIND_MODULE, arguments[0], &path);

        if (r >= 0)
                r = get_object(cli, KIND_MODULE, path, &module);
        if (r < 0)
                return r;
        if (cli->json)
                return show_json(cli, module);
        r = show_lines(cli, lines, ELEMENTSOF(lines), module, false);
        if (r >= 0)
                r = show_lines(cli, NULL, 0, json_object_get(module, "facts"), true);
        if (r >= 0)
                r = show_schema(cli, "Fields", json_object_get(module, "fields"), fields,
                                ELEMENTSOF(fields));
        if (r >= 0)
                r = show_schema(cli, "Settings of groups", json_object_get(module, "group-settings"),
                                settings, ELEMENTSOF(settings));
        if (r >= 0)
                r = show_schema(cli, "Settings of requests", json_object_get(module, "consumer-settings"),
                                settings, ELEMENTSOF(settings));
        return r;
}
