/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pwd.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-job.h"
#include "cli-object.h"
#include "cli-settings.h"
#include "cli-verbs.h"
#include "lib/parse.h"

static const Column allocation_columns[] = {
        { "id" },
        { "consumer", .shrinks = true },
        { "state" },
        { "owner" },
        { "groups" },
        { "devices", .shrinks = true },
        { "remarks", .shrinks = true },
};

static const Line allocation_lines[] = {
        { "id", "id" },
        { "consumer", "consumer" },
        { "owner", "owner" },
        { "owner-uid", NULL },
        { "state", "state" },
        { "lifetime", "lifetime" },
        { "devices", "devices" },
        { "groups", NULL },
        { "requests", NULL },
        { "remarks", NULL },
        { "migratable", "migratable" },
        { "restart-required", "restart-required" },
};

static const Column request_columns[] = {
        { "id", "REQUEST" },
        { "group" },
        { "count", .right = true },
        { "name" },
        { "enabled" },
        { "optional" },
        { "devices" },
        { "companions" },
        { "settings" },
        { "status", .shrinks = true },
};

/* ---- what a person wants to read ---- */

static json_t *user_name(json_t *uid) {
        struct passwd *user = getpwuid((uid_t) json_integer_value(uid));
        json_t *name = user ? json_string(user->pw_name) : NULL;

        return name ?: json_sprintf("%lld", (long long) json_integer_value(uid));
}

static void complete(json_t *allocation) {
        json_t *groups = json_array(), *remarks = json_array(), *request;
        size_t index;

        json_array_foreach(json_object_get(allocation, "requests"), index, request) {
                long long count = (long long) json_integer_value(json_object_get(request, "count"));

                (void) json_array_append_new(
                        groups, count == 1 ? json_string(json_text(request, "group"))
                                           : json_sprintf("%s:%lld", json_text(request, "group"), count));
                if (!isempty(json_text(request, "status")))
                        (void) json_array_append(remarks, json_object_get(request, "status"));
        }
        if (json_is_true(json_object_get(allocation, "restart-required")))
                (void) json_array_append_new(remarks, json_string("restart-required"));
        (void) json_object_set_new(allocation, "groups", groups);
        (void) json_object_set_new(allocation, "remarks", remarks);
        (void) json_object_set_new(allocation, "owner", user_name(json_object_get(allocation, "owner-uid")));
}

int verb_allocations(Cli *cli, char **arguments, int n) {
        json_auto_t *allocations = NULL;
        const char *consumer = option_text(cli, "consumer"), *state = option_text(cli, "state");
        int r = list_objects(cli, KIND_ALLOCATION, &allocations);

        for (size_t i = json_array_size(allocations); i > 0 && r >= 0; i--) {
                json_t *allocation = json_array_get(allocations, i - 1);

                if ((consumer && !streq(json_text(allocation, "consumer"), consumer)) ||
                    (state && !streq(json_text(allocation, "state"), state)))
                        (void) json_array_remove(allocations, i - 1);
                else
                        complete(allocation);
        }
        if (r >= 0)
                r = sort_rows(cli, allocations, "consumer", false);
        return r < 0 ? r
                     : show_table(cli, allocation_columns, ELEMENTSOF(allocation_columns), allocations,
                                  false);
}

static int show_guest_config(Cli *cli, const char *path, const char *format) {
        json_auto_t *reply = NULL;
        int r = bus_change(cli, path, INTERFACE("Allocation"), "GuestConfig", "s a{sv}",
                           json_pack("[s, {}]", format), &reply);

        if (r >= 0)
                (void) fputs(strempty(json_string_value(json_array_get(reply, 0))), stdout);
        return r;
}

/* What the guest runs with, whatever was changed since. */
static int show_in_force(Cli *cli, json_t *requests) {
        static const Column columns[] = { { "request" }, { "setting", "IN FORCE" }, { "value", .shrinks = true } };
        json_auto_t *rows = json_array();
        json_t *request, *value;
        const char *name;
        size_t index;

        json_array_foreach(requests, index, request)
                json_object_foreach(json_object_get(request, "in-force"), name, value)
                        (void) json_array_append_new(rows, json_pack("{s:O, s:s, s:O}", "request", json_object_get(request, "id"),
                                                                     "setting", name, "value", value));
        if (json_array_size(rows) == 0)
                return 0;
        (void) putchar('\n');
        return show_table(cli, columns, ELEMENTSOF(columns), rows, false);
}

int verb_show(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *allocation = NULL;
        int r = find_object(cli, KIND_ALLOCATION, arguments[0], &path);

        if (r >= 0 && option_text(cli, "format"))
                return show_guest_config(cli, path, option_text(cli, "format"));
        if (r >= 0)
                r = get_object(cli, KIND_ALLOCATION, path, &allocation);
        if (r < 0)
                return r;
        complete(allocation);
        if (cli->json)
                return show_json(cli, allocation);
        r = show_lines(cli, allocation_lines, ELEMENTSOF(allocation_lines), allocation, true);
        if (r < 0)
                return r;
        (void) putchar('\n');
        r = show_table(cli, request_columns, ELEMENTSOF(request_columns), json_object_get(allocation, "requests"), false);
        return r < 0 ? r : show_in_force(cli, json_object_get(allocation, "requests"));
}

/* ---- allocate, update ---- */

/* By name or number. */
static int take_user(Cli *cli, const char *option, const char *key, json_t *options) {
        const char *text = option_text(cli, option);
        struct passwd *user;
        uint32_t uid;

        if (!text)
                return 0;
        if (parse_uint32(text, &uid) < 0) {
                user = getpwnam(text);
                if (!user)
                        return cli_fail(cli, STATUS_NOT_FOUND, "there is no user '%s'", text);
                uid = user->pw_uid;
        }
        (void) json_object_set_new(options, key, json_integer(uid));
        return 0;
}

static int allocate_options(Cli *cli, json_t *options) {
        static const char *const flags[] = { "thick", "wait", "activate" };
        const char *lifetime = option_text(cli, "lifetime");
        int r;

        if (lifetime && !streq(lifetime, "persistent") && !streq(lifetime, "unit"))
                return cli_fail(cli, STATUS_USAGE,
                                "--lifetime must be persistent or unit, not '%s': what ends with a "
                                "connection would end with "
                                "this command",
                                lifetime);
        take_option(cli, "uuid", "uuid", options);
        take_option(cli, "lifetime", "lifetime", options);
        take_option(cli, "unit", "holder", options);
        take_option(cli, "plan", "plan", options);
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                if (option_given(cli, flags[i]))
                        (void) json_object_set_new(options, flags[i], json_true());
        r = take_user(cli, "owner", "owner-uid", options);
        return r < 0 ? r : take_user(cli, "node-owner", "node-uid", options);
}

int verb_allocate(Cli *cli, char **arguments, int n) {
        json_auto_t *requests = NULL, *options = json_object(), *reply = NULL, *id = NULL, *job_id = NULL,
                    *object = NULL;
        const char *path, *job;
        int r = read_requests(cli, arguments + 1, n - 1, &requests);

        if (r >= 0)
                r = allocate_options(cli, options);
        if (r >= 0)
                r = manager_change(cli, "Allocate", "s aa{sv} a{sv}",
                                   json_pack("[s, O, O]", arguments[0], requests, options), &reply);
        if (r < 0)
                return r;
        path = strempty(json_string_value(json_array_get(reply, 0)));
        job = strempty(json_string_value(json_array_get(reply, 1)));
        id = id_of_path(json_array_get(reply, 0));
        job_id = id_of_path(json_array_get(reply, 1));
        object = json_pack("{s:O, s:O*}", "allocation", id, "job", streq(job, "/") ? NULL : job_id);
        if (!cli->json)
                (void) printf("%s\n", strempty(json_string_value(id)));
        else if (show_json(cli, object) < 0)
                return -ENOMEM;
        (void) fflush(stdout);
        if (option_given(cli, "activate") && streq(job, "/"))
                return cli_fail(cli, STATUS_UNAVAILABLE,
                                "allocated, but not activated; passthroughctl explain allocation %s",
                                strempty(json_string_value(id)));
        return streq(job, "/") || cli->no_wait ? 0 : wait_job(cli, job, path, "active");
}

int verb_update(Cli *cli, char **arguments, int n) {
        json_auto_t *requests = NULL;
        _cleanup_free_ char *path = NULL;
        int r = read_requests(cli, arguments + 1, n - 1, &requests);

        if (r >= 0)
                r = find_object(cli, KIND_ALLOCATION, arguments[0], &path);
        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Allocation"), "Update", "aa{sv} a{sv}",
                               json_pack("[O, {}]", requests), NULL);
        return r < 0 ? r : show_done(cli);
}

/* ---- use ---- */

static int run_job(Cli *cli, const char *name, const char *method, json_t *options, const char *wanted) {
        json_auto_t *reply = NULL;
        _cleanup_free_ char *path = NULL;
        int r = find_object(cli, KIND_ALLOCATION, name, &path);

        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Allocation"), method, "a{sv}",
                               json_pack("[O]", options), &reply);
        return r < 0 ? r
                     : finish_job(cli, strempty(json_string_value(json_array_get(reply, 0))), path, wanted);
}

/* Devices that may be had over an overridable blocker have to be named. */
int take_overrides(Cli *cli, json_t *options) {
        json_t *devices = NULL;
        const char *name;
        size_t at = 0;

        while ((name = option_next(cli, "override", &at))) {
                _cleanup_free_ char *path = NULL;
                json_auto_t *text = NULL;
                int r = find_object(cli, KIND_DEVICE, name, &path);

                if (r < 0) {
                        json_decref(devices);
                        return r;
                }
                if (!devices)
                        devices = json_array();
                text = json_string(path);
                (void) json_array_append_new(devices, id_of_path(text));
        }
        if (devices)
                (void) json_object_set_new(options, "override", devices);
        return 0;
}

int verb_activate(Cli *cli, char **arguments, int n) {
        json_auto_t *options = json_object();
        unsigned seconds = 0;
        int r = take_overrides(cli, options);

        if (r < 0)
                return r;
        take_option(cli, "plan", "plan", options);
        r = option_seconds(cli, "confirm-within", &seconds);
        if (r < 0)
                return r;
        if (r > 0)
                (void) json_object_set_new(options, "confirm-timeout", json_integer(seconds));
        if (option_given(cli, "accept-identity"))
                (void) json_object_set_new(options, "accept-identity", json_true());
        return run_job(cli, arguments[0], "Activate", options, "active");
}

static json_t *force_option(const Cli *cli) {
        return option_given(cli, "force") ? json_pack("{s:b}", "force", true) : json_object();
}

int verb_deactivate(Cli *cli, char **arguments, int n) {
        json_auto_t *options = force_option(cli);

        return run_job(cli, arguments[0], "Deactivate", options, "claimed");
}

int verb_release(Cli *cli, char **arguments, int n) {
        json_auto_t *options = force_option(cli);

        return run_job(cli, arguments[0], "Release", options, NULL);
}
