/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "bus.h"
#include "log.h"
#include "manager.h"
#include "memory.h"

#define CONFIG_DIRECTORY "/etc/passthroughd"

typedef struct Service {
        sd_event *event;
        Manager *manager;
        Bus *bus;
} Service;

static int parse_arguments(int argc, char **argv, const char **ret_config) {
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "version", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        int c;

        *ret_config = CONFIG_DIRECTORY;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        *ret_config = optarg;
                        break;
                case 'v':
                        puts("passthroughd " PROJECT_VERSION);
                        return 0;
                case 'h':
                        puts("passthroughd [--config DIRECTORY] [--version] [--help]\n\n"
                             "The system service of device passthrough; see passthroughd(8).");
                        return 0;
                default:
                        return -EINVAL;
                }
        return optind < argc ? -EINVAL : 1;
}

static void on_idle(void *userdata) {
        Service *service = userdata;

        sd_event_exit(service->event, 0);
}

/* Ordered end: callers are told, steps under way end, the store is flushed. */
static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Service *service = userdata;

        if (service->manager->stopping) /* a second signal: now */
                return sd_event_exit(service->event, 0);
        (void) sd_notify(false, "STOPPING=1\nSTATUS=Waiting for running steps");
        manager_stop(service->manager, on_idle, service);
        return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Service *service = userdata;

        if (manager_rescan(service->manager) < 0)
                log_plain(LOG_WARNING, "the host could not be scanned again");
        return 0;
}

static int open_event(Service *service) {
        sigset_t signals;
        int r;

        /* Blocked in all threads: the loop takes them; children get an empty mask. */
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        signal(SIGPIPE, SIG_IGN);

        r = sd_event_default(&service->event);
        if (r >= 0)
                r = sd_event_add_signal(service->event, NULL, SIGTERM, on_terminate, service);
        if (r >= 0)
                r = sd_event_add_signal(service->event, NULL, SIGINT, on_terminate, service);
        if (r >= 0)
                r = sd_event_add_signal(service->event, NULL, SIGHUP, on_hangup, service);
        if (r >= 0)
                r = sd_event_set_watchdog(service->event, true);
        return r < 0 ? r : 0;
}

static int start(Service *service, Config *config, Fault *fault) {
        ManagerEvents events;
        int r;

        r = bus_new(service->event, &service->bus, fault);
        if (r < 0)
                return r;
        bus_events(service->bus, &events);
        r = manager_new(service->event, config, &events, &service->manager, fault);
        if (r < 0)
                return r;
        *config = (Config) { 0 }; /* the manager's now */
        r = bus_attach(service->bus, service->manager, fault);
        if (r >= 0)
                r = manager_start(service->manager, fault);
        /* The name comes last: whoever sees it finds every object. */
        if (r >= 0)
                r = bus_request_name(service->bus, fault);
        return r;
}

static void stop(Service *service) {
        if (service->manager)
                manager_answer_waiting(service->manager);
        /* The bus goes first, so that nobody asks a manager that is being taken apart. */
        service->bus = bus_free(service->bus);
        service->manager = manager_free(service->manager);
        service->event = sd_event_unref(service->event);
}

int main(int argc, char **argv) {
        _cleanup_config_ Config config = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        const char *config_directory;
        Service service = { 0 };
        int r = parse_arguments(argc, argv, &config_directory);

        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        memory_begin();
        log_open("passthroughd", LOG_INFO);
        r = config_load(config_directory, &config);
        if (r >= 0) {
                log_set_max_level(config.log_level);
                for (size_t i = 0; config.problems && config.problems[i]; i++)
                        log_plain(LOG_WARNING, "%s", config.problems[i]);
                r = open_event(&service);
        }
        if (r >= 0)
                r = start(&service, &config, &fault);
        if (r >= 0) {
                log_message(LOG_NOTICE, LOG_EVENT_STARTED, NULL, "passthroughd " PROJECT_VERSION " is ready");
                (void) sd_notify(false, "READY=1\nSTATUS=Ready");
                r = sd_event_loop(service.event);
        }
        if (r < 0)
                log_plain(LOG_ERR, "the service can't go on: %s", fault.message ? fault.message : strerror(-r));
        stop(&service);
        log_message(LOG_NOTICE, LOG_EVENT_STOPPED, NULL, "passthroughd has stopped");
        log_close();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
