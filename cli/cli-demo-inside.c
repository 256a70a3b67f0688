/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The demo, inside of the simulated host: a bus, the service, and the commands of the tour. The simulated
 * host has its own /run, so that everything lies where it always does. */

#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "cli-bus.h"
#include "cli-demo.h"
#include "cli-format.h"
#include "cli-object.h"
#include "cli-spawn.h"
#include "cli-verbs.h"

#define BUS_SOCKET "/run/dbus/system_bus_socket"
#define RUNTIME_DIRECTORY "/run/passthroughd"
#define COMMAND_MAX 12
#define START_TRIES 100
#define START_PAUSE_NSEC (50 * 1000 * 1000)

/* Nobody but the demo is on this bus. */
static const char bus_configuration[] =
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
        " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
        "<busconfig>\n"
        "  <type>system</type>\n"
        "  <listen>unix:path=" BUS_SOCKET "</listen>\n"
        "  <auth>EXTERNAL</auth>\n"
        "  <policy context=\"default\">\n"
        "    <allow user=\"*\"/>\n"
        "    <allow own=\"*\"/>\n"
        "    <allow send_type=\"method_call\"/>\n"
        "    <allow send_type=\"signal\"/>\n"
        "    <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n"
        "    <allow send_requested_reply=\"true\" send_type=\"error\"/>\n"
        "    <allow receive_type=\"method_call\"/>\n"
        "    <allow receive_type=\"method_return\"/>\n"
        "    <allow receive_type=\"error\"/>\n"
        "    <allow receive_type=\"signal\"/>\n"
        "  </policy>\n"
        "</busconfig>\n";

typedef struct Demo {
        Cli *cli;
        const char *directory;
        char own[PATH_MAX];
        pid_t bus, service;
} Demo;

/* ---- start ---- */

static int write_file(Demo *demo, const char *name, const char *text, char ret_path[static PATH_MAX]) {
        FILE *f;

        (void) snprintf(ret_path, PATH_MAX, "%s/%s", demo->directory, name);
        f = fopen(ret_path, "we");
        if (!f)
                return cli_fail(demo->cli, STATUS_FAILED, "%s can't be written: %s", ret_path,
                                strerror(errno));
        (void) fputs(text, f);
        return fclose(f) == 0 ? 0
                              : cli_fail(demo->cli, STATUS_FAILED, "%s can't be written: %s", ret_path,
                                         strerror(errno));
}

static int start_bus(Demo *demo) {
        char path[PATH_MAX], log[PATH_MAX], option[PATH_MAX + 32];
        int r = write_file(demo, "bus.conf", bus_configuration, path);

        if (r < 0)
                return r;
        (void) snprintf(log, sizeof(log), "%s/bus.log", demo->directory);
        (void) snprintf(option, sizeof(option), "--config-file=%s", path);
        r = spawn(demo->cli,
                  (char *[]){ (char *) "dbus-daemon", option, (char *) "--nofork", (char *) "--nopidfile",
                              NULL },
                  log, &demo->bus);
        for (unsigned i = 0; r >= 0 && access(BUS_SOCKET, F_OK) < 0; i++) {
                if (i >= START_TRIES)
                        return cli_fail(demo->cli, STATUS_FAILED, "dbus-daemon did not start; see %s", log);
                (void) nanosleep(&(struct timespec){ .tv_nsec = START_PAUSE_NSEC }, NULL);
        }
        return r;
}

static int start_service(Demo *demo) {
        _cleanup_free_ char *daemon = NULL, *worker = NULL, *text = NULL;
        char path[PATH_MAX], log[PATH_MAX], state[PATH_MAX], etc[PATH_MAX];
        int r = demo_part(demo->cli, DEMO_DAEMON, &daemon);

        if (r >= 0)
                r = demo_part(demo->cli, DEMO_WORKER, &worker);
        if (r < 0)
                return r;
        /* The service wants paths without "..". */
        if (!realpath(worker, path))
                return cli_fail(demo->cli, STATUS_FAILED, "%s: %s", worker, strerror(errno));
        if (asprintf(&text, "[Service]\nNode=demo\nModuleDirectory=%s/modules\nWorker=%s\n", demo->directory,
                     path) < 0)
                return cli_oom(demo->cli);
        r = write_file(demo, "etc/passthroughd.conf", text, path);
        if (r < 0)
                return r;
        (void) snprintf(log, sizeof(log), "%s/passthroughd.log", demo->directory);
        (void) snprintf(state, sizeof(state), "%s/state", demo->directory);
        (void) snprintf(etc, sizeof(etc), "%s/etc", demo->directory);
        if (mkdir(RUNTIME_DIRECTORY, 0755) < 0 && errno != EEXIST)
                return cli_fail(demo->cli, STATUS_FAILED, "%s can't be made: %s", RUNTIME_DIRECTORY,
                                strerror(errno));
        (void) setenv("STATE_DIRECTORY", state, 1);
        (void) setenv("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY, 1);
        return spawn(demo->cli, (char *[]){ daemon, (char *) "--config", etc, NULL }, log, &demo->service);
}

/* ---- tour ---- */

static void print_command(const Demo *demo, const char *const *arguments) {
        (void) fputs(demo->cli->colour ? "\033[1m$ passthroughctl" : "$ passthroughctl", stdout);
        for (size_t i = 0; arguments[i]; i++)
                (void) printf(strpbrk(arguments[i], " \"") ? " '%s'" : " %s", arguments[i]);
        (void) fputs(demo->cli->colour ? "\033[0m\n" : "\n", stdout);
}

static int run_command(Demo *demo, const char *const *arguments) {
        char *command[COMMAND_MAX] = { demo->own };

        for (size_t i = 0; arguments[i] && i + 2 < COMMAND_MAX; i++)
                command[i + 1] = (char *) arguments[i];
        return run_program(demo->cli, command, NULL);
}

static int run_step(Demo *demo, const DemoStep *step) {
        int r;

        if (step->text)
                (void) printf("\n# %s\n", step->text);
        print_command(demo, step->command);
        r = run_command(demo, step->command);
        if (r == step->status)
                return 0;
        return r < 0 ? r
                     : cli_fail(demo->cli, STATUS_FAILED, "this command ended with status %d, not %d", r,
                                step->status);
}

static int read_driver(Demo *demo, const char *device, char **ret) {
        _cleanup_free_ char *path = NULL;
        json_auto_t *object = NULL;
        int r = find_object(demo->cli, KIND_DEVICE, device, &path);

        if (r >= 0)
                r = get_object(demo->cli, KIND_DEVICE, path, &object);
        if (r < 0)
                return r;
        *ret = strdup(json_text(object, "driver"));
        return *ret ? 0 : cli_oom(demo->cli);
}

static int run_tour(Demo *demo, const DemoTour *tour) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        int r = tour->device ? read_driver(demo, tour->device, &before) : 0;

        for (const DemoStep *step = tour->steps; r >= 0 && step->command[0]; step++)
                r = run_step(demo, step);
        if (r >= 0 && tour->device)
                r = read_driver(demo, tour->device, &after);
        if (r < 0 || streq_null(before, after))
                return r;
        return cli_fail(demo->cli, STATUS_FAILED, "%s has the driver '%s' at the end, and had '%s'",
                        tour->device, after, before);
}

static void show_log(const Demo *demo) {
        char path[PATH_MAX], line[1024];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/passthroughd.log", demo->directory);
        f = fopen(path, "re");
        if (!f)
                return;
        (void) fputs("The service said:\n", stderr);
        while (fgets(line, sizeof(line), f))
                (void) fprintf(stderr, "  %s", line);
        (void) fclose(f);
}

/* Until it is ready, or has ended. */
static int wait_for_start(Demo *demo) {
        char *command[] = { demo->own, (char *) "wait", (char *) "--timeout=15", NULL };
        pid_t waiter, pid;
        int status, r = spawn(demo->cli, command, NULL, &waiter);

        if (r < 0)
                return r;
        while ((pid = waitpid(-1, &status, 0)) > 0) {
                if (pid == demo->service) {
                        demo->service = 0;
                        spawn_stop(waiter);
                        return cli_fail(demo->cli, STATUS_FAILED, "the service did not start");
                }
                if (pid == waiter)
                        break;
        }
        return pid == waiter && WIFEXITED(status) && WEXITSTATUS(status) == 0
                       ? 0
                       : cli_fail(demo->cli, STATUS_FAILED, "the service did not start in time");
}

static int run(Demo *demo) {
        int r = start_bus(demo);

        if (r >= 0)
                r = start_service(demo);
        if (r >= 0)
                r = wait_for_start(demo);
        if (r >= 0)
                r = bus_connect(demo->cli);
        if (r >= 0)
                r = run_tour(demo, demo_tour(strempty(getenv(DEMO_TOUR))));
        return r;
}

int verb_demo_inside(Cli *cli, char **arguments, int n) {
        Demo demo = { .cli = cli, .directory = getenv(DEMO_DIRECTORY) };
        ssize_t length = readlink("/proc/self/exe", demo.own, sizeof(demo.own) - 1);
        int r;

        if (!demo.directory || length < 0)
                return cli_fail(cli, STATUS_USAGE, "this is a part of passthroughctl demo");
        (void) setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" BUS_SOCKET, 1);
        r = run(&demo);
        bus_disconnect(cli);
        spawn_stop(demo.service);
        spawn_stop(demo.bus);
        if (r < 0)
                show_log(&demo);
        else
                (void) printf("\nThat was it; everything is as it was.\n");
        return r;
}
