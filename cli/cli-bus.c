/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-bus.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli-value.h"

#define AGENT "pkttyagent"
#define AGENT_START_MSEC 5000
/* The service answers at once, but it may have to ask polkit and polkit a person. */
#define CALL_TIMEOUT_USEC (UINT64_C(300) * 1000000)

/* ---- the agent that asks for passwords on a terminal ---- */

static _Noreturn void run_agent(int notify, pid_t parent) {
        char number[16];

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || fcntl(notify, F_SETFD, 0) < 0)
                _exit(EXIT_FAILURE);
        (void) snprintf(number, sizeof(number), "%d", notify);
        (void) execlp(AGENT, AGENT, "--notify-fd", number, "--fallback", (char *) NULL);
        _exit(EXIT_FAILURE);
}

/* Only where somebody can answer. Without the agent the service says what right is missing. */
static void start_agent(Cli *cli) {
        int pair[2];
        pid_t parent = getpid();

        if (cli->agent > 0 || !cli->ask_password || cli->host || geteuid() == 0 || !isatty(STDIN_FILENO) ||
            !isatty(STDERR_FILENO))
                return;
        if (pipe2(pair, O_CLOEXEC) < 0)
                return;
        cli->agent = fork();
        if (cli->agent == 0)
                run_agent(pair[1], parent);
        close(pair[1]);
        /* It closes its end when it is registered, or when it could not start. */
        if (cli->agent > 0)
                (void) poll(&(struct pollfd){ .fd = pair[0], .events = POLLHUP }, 1, AGENT_START_MSEC);
        close(pair[0]);
}

static void stop_agent(Cli *cli) {
        if (cli->agent <= 0)
                return;
        (void) kill(cli->agent, SIGTERM);
        (void) kill(cli->agent, SIGCONT);
        (void) waitpid(cli->agent, NULL, 0);
        cli->agent = 0;
}

/* ---- connection ---- */

int bus_connect(Cli *cli) {
        int r = cli->host ? sd_bus_open_system_remote(&cli->bus, cli->host) : sd_bus_open_system(&cli->bus);

        if (r < 0)
                return cli_fail(cli, STATUS_NO_SERVICE, "the system bus%s%s can't be reached: %s",
                                cli->host ? " of " : "", strempty(cli->host), strerror(-r));
        r = sd_bus_set_method_call_timeout(cli->bus, CALL_TIMEOUT_USEC);
        if (r >= 0)
                r = sd_event_default(&cli->event);
        if (r >= 0)
                r = sd_bus_attach_event(cli->bus, cli->event, SD_EVENT_PRIORITY_NORMAL);
        return r < 0 ? cli_fail_bus(cli, r, NULL) : 0;
}

void bus_disconnect(Cli *cli) {
        stop_agent(cli);
        cli->bus = sd_bus_flush_close_unref(cli->bus);
        cli->event = sd_event_unref(cli->event);
}

/* ---- calls ---- */

/* Appends the values by the signature's parts. */
static int append_arguments(sd_bus_message *m, const char *signature, json_t *arguments) {
        _cleanup_free_ char *copy = strdup(signature);
        char *save = NULL;
        size_t i = 0;
        int r = copy ? 0 : -ENOMEM;

        for (char *part = copy ? strtok_r(copy, " ", &save) : NULL; part && r >= 0;
             part = strtok_r(NULL, " ", &save))
                r = value_append(m, part, json_array_get(arguments, i++));
        return r;
}

int bus_message(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
                json_t *arguments, sd_bus_message **ret) {
        json_auto_t *owned = arguments;
        sd_bus_message *m = NULL;
        int r;

        if (!isempty(signature) && !arguments)
                return cli_fail(cli, STATUS_USAGE, "an argument is not valid UTF-8");
        r = sd_bus_message_new_method_call(cli->bus, &m, BUS_NAME, path, interface, method);
        if (r >= 0)
                r = append_arguments(m, strempty(signature), arguments);
        if (r < 0) {
                sd_bus_message_unref(m);
                return cli_fail_bus(cli, r, NULL);
        }
        *ret = m;
        return 0;
}

int bus_try(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
            json_t *arguments, json_t **ret, sd_bus_error *error) {
        sd_bus_message *m = NULL, *reply = NULL;
        int r = bus_message(cli, path, interface, method, signature, arguments, &m);

        if (r < 0)
                return r;
        r = sd_bus_call(cli->bus, m, 0, error, &reply);
        if (r >= 0 && ret)
                r = values_read(reply, ret);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
        return r < 0 ? r : 0;
}

int bus_call(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
             json_t *arguments, json_t **ret) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        cli->status = STATUS_OK;
        r = bus_try(cli, path, interface, method, signature, arguments, ret, &error);
        if (r < 0 && cli->status == STATUS_OK)
                r = cli_fail_bus(cli, r, &error);
        sd_bus_error_free(&error);
        return r;
}

static int allow_asking(Cli *cli) {
        start_agent(cli);
        return sd_bus_set_allow_interactive_authorization(cli->bus, cli->ask_password);
}

int bus_change(Cli *cli, const char *path, const char *interface, const char *method, const char *signature,
               json_t *arguments, json_t **ret) {
        int r;

        r = allow_asking(cli);
        if (r < 0) {
                json_decref(arguments);
                return cli_fail_bus(cli, r, NULL);
        }
        return bus_call(cli, path, interface, method, signature, arguments, ret);
}

int manager_call(Cli *cli, const char *method, const char *signature, json_t *arguments, json_t **ret) {
        return bus_call(cli, BUS_ROOT, INTERFACE("Manager"), method, signature, arguments, ret);
}

int manager_change(Cli *cli, const char *method, const char *signature, json_t *arguments, json_t **ret) {
        return bus_change(cli, BUS_ROOT, INTERFACE("Manager"), method, signature, arguments, ret);
}

int manager_change_message(Cli *cli, const char *method, const char *signature, json_t *arguments, sd_bus_message **ret) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *m = NULL;
        int r = allow_asking(cli);

        if (r < 0) {
                json_decref(arguments);
                return cli_fail_bus(cli, r, NULL);
        }
        r = bus_message(cli, BUS_ROOT, INTERFACE("Manager"), method, signature, arguments, &m);
        if (r < 0)
                return r;
        r = sd_bus_call(cli->bus, m, 0, &error, ret);
        if (r < 0)
                r = cli_fail_bus(cli, r, &error);
        sd_bus_error_free(&error);
        sd_bus_message_unref(m);
        return r < 0 ? r : 0;
}
