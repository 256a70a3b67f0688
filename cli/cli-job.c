/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-job.h"

#include <signal.h>
#include <sys/ioctl.h>

#include "cli-bus.h"
#include "cli-confirm.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-value.h"

/* So long a restart of the service may take before we stop looking what became of the job. */
#define RESTART_USEC (UINT64_C(60) * 1000000)

/* ---- loop ---- */

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Loop *loop = userdata;

        loop->interrupted = true;
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Loop *loop = userdata;

        loop->timed_out = true;
        return 0;
}

static void block_signals(int how) {
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        (void) sigprocmask(how, &signals, NULL);
}

int loop_begin(Loop *loop, Cli *cli, uint64_t timeout_usec) {
        int r;

        *loop = (Loop){ .cli = cli };
        block_signals(SIG_BLOCK);
        r = sd_event_add_signal(cli->event, &loop->sources[0], SIGINT, on_signal, loop);
        if (r >= 0)
                r = sd_event_add_signal(cli->event, &loop->sources[1], SIGTERM, on_signal, loop);
        if (r >= 0 && timeout_usec != UINT64_MAX)
                r = sd_event_add_time_relative(cli->event, &loop->sources[2], CLOCK_MONOTONIC, timeout_usec,
                                               0, on_timeout, loop);
        return r < 0 ? cli_fail_bus(cli, r, NULL) : 0;
}

int loop_run(Loop *loop) {
        while (!loop->done && !loop->interrupted && !loop->timed_out) {
                int r = sd_event_run(loop->cli->event, UINT64_MAX);

                if (r < 0)
                        return cli_fail(loop->cli, STATUS_NO_SERVICE,
                                        "the connection to the bus is lost: %s", strerror(-r));
        }
        return 0;
}

void loop_end(Loop *loop) {
        for (size_t i = 0; i < ELEMENTSOF(loop->sources); i++)
                loop->sources[i] = sd_event_source_disable_unref(loop->sources[i]);
        block_signals(SIG_UNBLOCK);
}

/* ---- progress ---- */

typedef struct Wait {
        Loop loop;
        char *step;
        double progress;
        bool shown;     /* a progress line is on the terminal */
        bool lost;      /* the service went */
        json_t *result; /* [result, error, message] */
        char *error;    /* of the call itself */
        char *message;
        sd_bus_slot *slots[3];
        Confirmation *confirmation;
} Wait;

static void clear_progress(Wait *wait) {
        if (wait->shown)
                (void) fputs("\r\033[K", stderr);
        wait->shown = false;
}

/* One line that is written over; never more than the terminal is wide, or it could not be. */
static void show_progress(Wait *wait) {
        struct winsize size = { 0 };
        char line[512], *p = line;
        size_t width = 80;

        if (!wait->loop.cli->progress || isempty(wait->step))
                return;
        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_col > 0)
                width = size.ws_col;
        (void) snprintf(line, sizeof(line), "[%3.0f %%] %s", wait->progress * 100, wait->step);
        for (size_t columns = 0; *p && columns + 1 < width; p++)
                columns += ((unsigned char) p[1] & 0xc0) != 0x80;
        *p = '\0';
        (void) fputs("\r\033[K", stderr);
        print_clean(stderr, line);
        (void) fflush(stderr);
        wait->shown = true;
}

static int on_job_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Wait *wait = userdata;
        json_auto_t *values = NULL;
        json_t *changed, *step;

        if (values_read(m, &values) < 0)
                return 0;
        changed = json_array_get(values, 1);
        step = json_object_get(changed, "Step");
        if (json_object_get(changed, "Progress"))
                wait->progress = json_number_value(json_object_get(changed, "Progress"));
        if (step) {
                char *copy = strdup(strempty(json_string_value(step)));

                if (copy) {
                        free(wait->step);
                        wait->step = copy;
                }
        }
        show_progress(wait);
        return 0;
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Wait *wait = userdata;
        const char *name, *old, *new;

        if (sd_bus_message_read(m, "sss", &name, &old, &new) >= 0 && !isempty(old))
                wait->loop.done = wait->lost = true;
        return 0;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Wait *wait = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (!e) {
                (void) values_read(m, &wait->result);
                wait->loop.done = true;
                return 0;
        }
        /* The bus answers in the service's place when that ends. */
        if (streq(e->name, SD_BUS_ERROR_NO_REPLY) || streq(e->name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
            streq(e->name, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                wait->lost = true;
        wait->error = strdup(e->name);
        wait->message = strdup(strempty(e->message));
        wait->loop.done = true;
        return 0;
}

static int subscribe(Wait *wait, const char *job) {
        Cli *cli = wait->loop.cli;
        char rule[256];
        int r = 0;

        if (cli->progress)
                r = sd_bus_match_signal(cli->bus, &wait->slots[0], BUS_NAME, job,
                                        "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                        on_job_changed, wait);
        (void) snprintf(rule, sizeof(rule),
                        "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
                        BUS_NAME);
        if (r >= 0)
                r = sd_bus_add_match(cli->bus, &wait->slots[1], rule, on_owner_changed, wait);
        return r;
}

static int ask(Wait *wait, const char *job) {
        Cli *cli = wait->loop.cli;
        sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(cli->bus, &m, BUS_NAME, job, INTERFACE("Job"), "Wait");

        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_call_async(cli->bus, &wait->slots[2], m, on_answer, wait, UINT64_MAX);
        sd_bus_message_unref(m);
        return r < 0 ? cli_fail_bus(cli, r, NULL) : 0;
}

static void wait_done(Wait *wait) {
        clear_progress(wait);
        confirmation_free(wait->confirmation);
        for (size_t i = 0; i < ELEMENTSOF(wait->slots); i++)
                sd_bus_slot_unref(wait->slots[i]);
        free(wait->step);
        free(wait->error);
        free(wait->message);
        json_decref(wait->result);
        loop_end(&wait->loop);
}

/* ---- how it ended ---- */

static int report_result(Cli *cli, json_t *result) {
        const char *word = strempty(json_string_value(json_array_get(result, 0)));
        const char *error = strempty(json_string_value(json_array_get(result, 1)));
        const char *message = strempty(json_string_value(json_array_get(result, 2)));

        if (streq(word, "done"))
                return 0;
        return cli_fail_word(cli, status_of_error(error), isempty(error) ? word : error, message);
}

/* After a restart the numbers of jobs begin anew: the allocation itself says what became of it. */
static int look_after_restart(Cli *cli, const char *id, const char *allocation, const char *wanted) {
        json_auto_t *object = NULL;
        char readiness[32];
        const char *state;
        int r;

        cli_note(cli, "The service ended while job %s was under way; waiting for it to come back.", id);
        if (!allocation)
                return cli_fail(cli, STATUS_NO_SERVICE,
                                "the service ended while job %s was under way; what it had begun is undone "
                                "at its next start",
                                id);
        r = wait_for_service(cli, RESTART_USEC, readiness);
        if (r < 0)
                return cli_fail(cli, STATUS_NO_SERVICE,
                                "the service ended while job %s was under way and is not back; what was "
                                "unfinished is undone at its next start, and passthroughctl allocations shows "
                                "the outcome",
                                id);
        cli->quiet = !wanted;
        r = get_object(cli, KIND_ALLOCATION, allocation, &object);
        cli->quiet = false;
        if (r < 0)
                return !wanted && cli->status == STATUS_NOT_FOUND ? 0 : r;
        state = json_text(object, "state");
        /* It may have gone on waiting to be confirmed, under another number. */
        if (wanted && streq(state, wanted)) {
                _cleanup_free_ char *job = NULL;

                r = streq(wanted, "active") ? find_confirming(cli, allocation, &job) : 0;
                return r <= 0 ? r : wait_job(cli, job, allocation, wanted);
        }
        return cli_fail(cli, STATUS_FAILED,
                        "the service ended while job %s was under way; the allocation is %s after its "
                        "restart, so the job "
                        "was undone: try again",
                        id, state);
}

static int conclude(Wait *wait, const char *id, const char *allocation, const char *wanted) {
        Cli *cli = wait->loop.cli;

        clear_progress(wait);
        loop_end(&wait->loop); /* there may be another wait */
        if (wait->result)
                return report_result(cli, wait->result);
        if (wait->lost)
                return look_after_restart(cli, id, allocation, wanted);
        if (wait->error) {
                sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(wait->error, strempty(wait->message));

                return cli_fail_bus(cli, -EIO, &error);
        }
        return cli_fail(cli, wait->loop.interrupted ? STATUS_INTERRUPTED : STATUS_STILL_RUNNING,
                        "job %s goes on; 'passthroughctl job wait %s' waits for it, 'passthroughctl job "
                        "cancel %s' stops it",
                        id, id, id);
}

int wait_job(Cli *cli, const char *job, const char *allocation, const char *wanted) {
        const char *id = strrchr(job, '/') + 1;
        Wait wait = { 0 };
        int r;

        r = loop_begin(&wait.loop, cli, cli->timeout_usec);
        if (r >= 0)
                r = subscribe(&wait, job);
        if (r >= 0)
                r = ask(&wait, job);
        if (r >= 0 && wanted && streq(wanted, "active"))
                wait.confirmation = confirmation_new(cli, job);
        if (r >= 0)
                r = loop_run(&wait.loop);
        if (r >= 0)
                r = conclude(&wait, id, allocation, wanted);
        wait_done(&wait);
        return r;
}

int finish_job(Cli *cli, const char *job, const char *allocation, const char *wanted) {
        const char *id = strrchr(job, '/') + 1;
        json_auto_t *object = NULL;
        int r = cli->no_wait ? 0 : wait_job(cli, job, allocation, wanted);

        if (r < 0)
                return r;
        if (!cli->json) {
                if (cli->no_wait)
                        (void) printf("%s\n", id);
                return 0;
        }
        object = json_pack("{s:s, s:s*}", "job", id, "result", cli->no_wait ? NULL : "done");
        return show_json(cli, object);
}

/* ---- the service ---- */

static int on_something(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Loop *loop = userdata;

        loop->done = true;
        return 0;
}

/* 1: it is there and has finished its start. 0: not yet. */
static int look(Cli *cli, char ret[static 32]) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char *text = NULL;
        int r = sd_bus_get_property_string(cli->bus, BUS_NAME, BUS_ROOT, INTERFACE("Manager"), "Readiness",
                                           &error, &text);

        (void) snprintf(ret, 32, "%s", r < 0 ? "not running" : text);
        free(text);
        if (r < 0 && status_of_error(strrchr(error.name ?: ".", '.') + 1) != STATUS_NO_SERVICE)
                r = cli_fail_bus(cli, r, &error);
        else
                r = r >= 0 && !streq(ret, "starting");
        sd_bus_error_free(&error);
        return r;
}

int wait_for_service(Cli *cli, uint64_t timeout_usec, char ret[static 32]) {
        sd_bus_slot *slots[2] = { NULL };
        Loop loop;
        int r = loop_begin(&loop, cli, timeout_usec);

        if (r >= 0)
                r = sd_bus_match_signal(cli->bus, &slots[0], BUS_NAME, BUS_ROOT,
                                        "org.freedesktop.DBus.Properties", "PropertiesChanged", on_something,
                                        &loop);
        if (r >= 0)
                r = sd_bus_add_match(cli->bus, &slots[1],
                                     "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
                                     "arg0='" BUS_NAME "'",
                                     on_something, &loop);
        while (r >= 0 && (r = look(cli, ret)) == 0) {
                loop.done = false;
                r = loop_run(&loop);
                if (r >= 0 && loop.interrupted)
                        r = cli_fail(cli, STATUS_INTERRUPTED, "interrupted; the service is %s", ret);
                if (r >= 0 && loop.timed_out)
                        r = cli_fail(cli, STATUS_STILL_RUNNING, "the time is over; the service is %s", ret);
        }
        sd_bus_slot_unref(slots[0]);
        sd_bus_slot_unref(slots[1]);
        loop_end(&loop);
        return r;
}
