/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-confirm.h"

#include <poll.h>
#include <time.h>

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-value.h"
#include "cli-verbs.h"

#define USEC_PER_SEC UINT64_C(1000000)

struct Confirmation {
        Cli *cli;
        char *job;
        bool told;
        sd_bus_slot *changes, *first;
        sd_event_source *input;
};

/* How long there is to answer, rounded up; 0 where our clock is not the service's. */
static unsigned seconds_left(const Cli *cli, uint64_t deadline_usec) {
        struct timespec ts;
        uint64_t now;

        if (cli->host)
                return 0;
        clock_gettime(CLOCK_BOOTTIME, &ts);
        now = (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
        return deadline_usec > now ? (unsigned) ((deadline_usec - now + USEC_PER_SEC - 1) / USEC_PER_SEC) : 0;
}

static int on_answered(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const Confirmation *c = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e) /* the job's own end says the rest */
                cli_note(c->cli, "That was refused: %s", strempty(e->message));
        return 0;
}

static void send(Confirmation *c, const char *method) {
        sd_bus_message *m = NULL;

        c->input = sd_event_source_disable_unref(c->input);
        if (bus_message(c->cli, c->job, INTERFACE("Job"), method, "a{sv}", json_pack("[{}]"), &m) >= 0)
                (void) sd_bus_call_async(c->cli->bus, NULL, m, on_answered, c, 0);
        sd_bus_message_unref(m);
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Confirmation *c = userdata;
        char line[64] = "";
        ssize_t n = read(fd, line, sizeof(line) - 1);

        if (n <= 0) { /* nobody there any more: the time decides */
                c->input = sd_event_source_disable_unref(c->input);
                return 0;
        }
        if (line[0] == 'y' || line[0] == 'Y')
                send(c, "Confirm");
        else if (line[0] == 'n' || line[0] == 'N')
                send(c, "Cancel");
        else
                (void) fputs("Keep it? [y/n] ", stderr);
        return 0;
}

static void tell(Confirmation *c, uint64_t deadline_usec) {
        unsigned left = seconds_left(c->cli, deadline_usec);
        char when[32] = "soon";

        if (c->told || c->cli->json)
                return;
        c->told = true;
        if (left > 0)
                (void) snprintf(when, sizeof(when), "in %u s", left);
        (void) fputs(c->cli->progress ? "\r\033[K" : "", stderr);
        cli_note(c->cli, "The devices are taken. That is undone %s unless it is confirmed: passthroughctl confirm %s", when,
                 strrchr(c->job, '/') + 1);
        if (!isatty(STDIN_FILENO) || !c->cli->progress)
                return;
        (void) fputs("Keep it? [y/n] ", stderr);
        (void) sd_event_add_io(c->cli->event, &c->input, STDIN_FILENO, POLLIN, on_input, c);
}

static void look_at(Confirmation *c, json_t *properties) {
        if (streq(json_text(properties, "State"), "confirming"))
                tell(c, (uint64_t) json_integer_value(json_object_get(properties, "Deadline")));
}

static int on_changes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        json_auto_t *values = NULL;

        if (values_read(m, &values) >= 0)
                look_at(userdata, json_array_get(values, 1));
        return 0;
}

static int on_first(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        json_auto_t *values = NULL;

        if (!sd_bus_message_get_error(m) && values_read(m, &values) >= 0)
                look_at(userdata, json_array_get(values, 0));
        return 0;
}

Confirmation *confirmation_new(Cli *cli, const char *job) {
        Confirmation *c = calloc(1, sizeof(Confirmation));
        sd_bus_message *m = NULL;

        if (!c || !(c->job = strdup(job)))
                return confirmation_free(c);
        c->cli = cli;
        (void) sd_bus_match_signal(cli->bus, &c->changes, BUS_NAME, job, "org.freedesktop.DBus.Properties",
                                   "PropertiesChanged", on_changes, c);
        /* It may have come so far before we listened. */
        if (bus_message(cli, job, "org.freedesktop.DBus.Properties", "GetAll", "s", json_pack("[s]", INTERFACE("Job")),
                        &m) >= 0)
                (void) sd_bus_call_async(cli->bus, &c->first, m, on_first, c, 0);
        sd_bus_message_unref(m);
        return c;
}

Confirmation *confirmation_free(Confirmation *c) {
        if (!c)
                return NULL;
        sd_bus_slot_unref(c->changes);
        sd_bus_slot_unref(c->first);
        if (c->input)
                (void) fputc('\n', stderr);
        sd_event_source_disable_unref(c->input);
        free(c->job);
        free(c);
        return NULL;
}

/* ---- confirm ---- */

/* The one job that waits to be confirmed, of `allocation` or, with NULL, of any. */
static int find_one(Cli *cli, const char *allocation, char **ret_path) {
        json_auto_t *jobs = NULL;
        json_t *job, *found = NULL;
        size_t index, n = 0;
        int r = list_objects(cli, KIND_JOB, &jobs);

        if (r < 0)
                return r;
        json_array_foreach(jobs, index, job) {
                json_t *object = json_array_get(json_object_get(job, "objects"), 0);

                if (!streq(json_text(job, "state"), "confirming") ||
                    (allocation && !streq_null(json_string_value(object), allocation)))
                        continue;
                found = job;
                n++;
        }
        if (n > 1)
                return cli_fail(cli, STATUS_USAGE, "%zu jobs wait to be confirmed; name one of 'passthroughctl jobs'", n);
        if (n == 0)
                return 0;
        r = kind_path(cli, KIND_JOB, json_text(found, "id"), ret_path);
        return r < 0 ? r : 1;
}

int find_confirming(Cli *cli, const char *allocation, char **ret_path) {
        json_auto_t *path = json_string(allocation), *id = path ? id_of_path(path) : NULL;

        return id ? find_one(cli, json_string_value(id), ret_path) : cli_oom(cli);
}

/* A job by its number, else an allocation by what people call it. */
static int find_named(Cli *cli, const char *name, char **ret_path) {
        _cleanup_free_ char *allocation = NULL;
        int r;

        if (strspn(name, "0123456789") == strlen(name))
                return find_object(cli, KIND_JOB, name, ret_path);
        r = find_object(cli, KIND_ALLOCATION, name, &allocation);
        return r < 0 ? r : find_confirming(cli, allocation, ret_path);
}

int verb_confirm(Cli *cli, char **arguments, int n) {
        _cleanup_free_ char *path = NULL;
        int r = n > 0 ? find_named(cli, arguments[0], &path) : find_one(cli, NULL, &path);

        if (r >= 0 && !path)
                r = cli_fail(cli, STATUS_NOT_FOUND, "no job waits to be confirmed");
        if (r >= 0)
                r = bus_change(cli, path, INTERFACE("Job"), "Confirm", "a{sv}", json_pack("[{}]"), NULL);
        return r < 0 ? r : show_done(cli);
}
