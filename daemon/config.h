/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The configuration: /etc/passthroughd/passthroughd.conf and the files passthroughd.conf.d/NAME.conf
 * beside it, INI as libinih reads it, plus the directories that systemd states in the environment. An
 * unknown section or key, or a bad value, is reported with file, line and what is valid, and the default
 * stays; the service starts in any case. */

#include "lib/fault.h"

/* A line of [Protect], not looked into: what it means depends on the modules (protect.h). */
typedef struct ConfigProtect {
        bool forbidden; /* Forbidden=, else Critical= */
        char *text;     /* "pci: slot begins 0000:3b" */
        char *place;    /* "/etc/passthroughd/passthroughd.conf:12" */
} ConfigProtect;

typedef struct Config {
        char *node;              /* [Service] Node=; default: host name */
        char *module_directory;  /* [Service] ModuleDirectory= */
        char *worker;            /* [Service] Worker= */
        char *state_directory;   /* STATE_DIRECTORY, default /var/lib/passthroughd */
        char *runtime_directory; /* RUNTIME_DIRECTORY, default /run/passthroughd */
        int log_level;           /* [Log] Level=debug info notice warning err; default info */
        unsigned workers;        /* [Service] Workers=; most that run side by side, 1 … WORKERS_MAX */
        unsigned step_timeout_percent; /* [Service] StepTimeoutFactor=; of the kinds' own times, 0.01 … 120 */
        unsigned network_confirm_sec; /* [Service] NetworkConfirmSec=; 0: none */
        bool spare_worker;       /* [Service] SpareWorker=; keep one warm */
        unsigned quarantine_retry_sec; /* [Health] QuarantineRetrySec=; 0: never */
        ConfigProtect *protect;  /* in the order of the files */
        size_t n_protect;
        char **problems;         /* what was wrong, for the log and `passthroughctl status`; NULL-terminated */
} Config;

/* Fails only for want of memory. An empty value asks for the default. */
int config_load(const char *directory, Config *ret);
void config_done(Config *config);
/* Another problem, found by whoever uses a value; made fit to be shown. */
int config_add_problem(Config *config, const char *format, ...) PRINTF_LIKE(2, 3);
#define _cleanup_config_ _cleanup_(config_done)
