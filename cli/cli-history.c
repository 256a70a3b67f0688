/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who asked for what, and what somebody who helps from afar wants to see. */

#include <pwd.h>
#include <sys/stat.h>
#include <time.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-verbs.h"
#include "lib/parse.h"

static const Column history_columns[] = {
        { "when" },
        { "user" },
        { "operation" },
        { "object" },
        { "consumer" },
        { "devices" },
        { "result" },
        { "seconds", "TOOK", .right = true },
        { "message", .shrinks = true },
};

/* "30m", "2h", "7d": so long ago; "2026-05-01" or "2026-05-01 12:30": since then. */
static int parse_time(Cli *cli, const char *text, uint64_t *ret_usec) {
        static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S" };
        static const char units[] = "smhd";
        static const unsigned seconds[] = { 1, 60, 3600, 86400 };
        size_t length = strlen(text);
        _cleanup_free_ char *number = strndup(text, length > 0 ? length - 1 : 0);
        const char *unit = length > 1 ? strchr(units, text[length - 1]) : NULL;
        uint32_t count;

        if (number && unit && parse_uint32(number, &count) >= 0) {
                uint64_t ago = (uint64_t) count * seconds[unit - units], now = (uint64_t) time(NULL);

                *ret_usec = (now > ago ? now - ago : 0) * 1000000u;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                struct tm tm = { .tm_isdst = -1 };
                const char *end = strptime(text, forms[i], &tm);

                if (end && *end == '\0') {
                        *ret_usec = (uint64_t) mktime(&tm) * 1000000u;
                        return 0;
                }
        }
        return cli_fail(cli, STATUS_USAGE, "'%s' is no time; wanted: 30m, 2h, 7d, or 2026-05-01 12:30",
                        text);
}

static int history_filter(Cli *cli, json_t *filter) {
        static const char *const texts[] = { "object", "consumer", "operation", "result" };
        static const char *const times[] = { "since", "until" };
        const char *user = option_text(cli, "user");
        long limit = 100;
        int r = option_number(cli, "limit", 1, 10000, &limit);

        if (r < 0)
                return r;
        (void) json_object_set_new(filter, "limit", json_integer(limit));
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (option_text(cli, texts[i]))
                        (void) json_object_set_new(filter, texts[i], json_string(option_text(cli, texts[i])));
        if (user) {
                struct passwd *entry = getpwnam(user);
                uint32_t uid = entry ? entry->pw_uid : 0;

                if (!entry && parse_uint32(user, &uid) < 0)
                        return cli_fail(cli, STATUS_NOT_FOUND, "there is no user '%s'", user);
                (void) json_object_set_new(filter, "uid", json_integer(uid));
        }
        for (size_t i = 0; i < ELEMENTSOF(times) && r >= 0; i++) {
                uint64_t usec = 0;

                if (!option_text(cli, times[i]))
                        continue;
                r = parse_time(cli, option_text(cli, times[i]), &usec);
                if (r >= 0)
                        (void) json_object_set_new(filter, times[i], json_integer((json_int_t) usec));
        }
        return r;
}

static void complete_row(json_t *row) {
        time_t when = (time_t) (json_integer_value(json_object_get(row, "time")) / 1000000);
        json_int_t duration = json_integer_value(json_object_get(row, "duration"));
        struct passwd *user = getpwuid((uid_t) json_integer_value(json_object_get(row, "uid")));
        struct tm tm;
        char text[64] = "";

        if (localtime_r(&when, &tm))
                (void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
        (void) json_object_set_new(row, "when", json_string(text));
        if (user)
                (void) json_object_set_new(row, "user", json_string(user->pw_name));
        else
                (void) json_object_set(row, "user", json_object_get(row, "uid"));
        (void) json_object_set_new(row, "seconds", json_sprintf("%.2f s", (double) duration / 1e6));
}

int verb_history(Cli *cli, char **arguments, int n) {
        json_auto_t *filter = json_object(), *reply = NULL;
        json_t *row;
        size_t index;
        int r = history_filter(cli, filter);

        /* Without the right for more the service shows the caller's own; only --all is worth a password. */
        if (r >= 0 && option_given(cli, "all"))
                (void) json_object_set_new(filter, "all", json_true());
        if (r >= 0 && option_given(cli, "all"))
                r = manager_change(cli, "History", "a{sv}", json_pack("[O]", filter), &reply);
        else if (r >= 0)
                r = manager_call(cli, "History", "a{sv}", json_pack("[O]", filter), &reply);
        if (r < 0)
                return r;
        json_array_foreach(json_array_get(reply, 0), index, row) complete_row(row);
        return show_table(cli, history_columns, ELEMENTSOF(history_columns), json_array_get(reply, 0),
                          false);
}

/* ---- the report ---- */

static int copy_report(Cli *cli, int fd, FILE *out, const char *name) {
        char buffer[65536];
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                if (fwrite(buffer, 1, (size_t) n, out) != (size_t) n)
                        return cli_fail(cli, STATUS_FAILED, "%s can't be written: %s", name, strerror(errno));
        if (n < 0)
                return cli_fail(cli, STATUS_FAILED, "the report can't be read: %s", strerror(errno));
        return fflush(out) == 0 ? 0 : cli_fail(cli, STATUS_FAILED, "%s can't be written: %s", name, strerror(errno));
}

/* Only its owner reads it: it says much about the host. */
static int save_report(Cli *cli, int fd, const char *name) {
        int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        FILE *out = file < 0 ? NULL : fdopen(file, "w");
        int r;

        if (!out) {
                r = cli_fail(cli, STATUS_FAILED, "%s can't be opened: %s", name, strerror(errno));
                (void) close_fd(file);
                return r;
        }
        r = copy_report(cli, fd, out, name);
        if (fclose(out) != 0 && r >= 0)
                r = cli_fail(cli, STATUS_FAILED, "%s can't be written: %s", name, strerror(errno));
        return r < 0 ? r : show_done(cli);
}

int verb_report(Cli *cli, char **arguments, int n) {
        const char *name = option_text(cli, "output");
        sd_bus_message *reply = NULL;
        int fd, r;

        if (cli->host)
                return cli_fail(cli, STATUS_USAGE, "a report can't be fetched from another host; run it there");
        r = manager_change_message(cli, "SupportReport", "a{sv}", json_pack("[{s:b}]", "full", option_given(cli, "full")),
                                   &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "h", &fd); /* the message's */
        if (r < 0)
                r = cli_fail_bus(cli, r, NULL);
        else
                r = name && !streq(name, "-") ? save_report(cli, fd, name) : copy_report(cli, fd, stdout, "standard output");
        sd_bus_message_unref(reply);
        return r;
}
