/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Programs that the demo starts. */

#include "cli.h"

/* Standard output and error go to the file `log`, or stay where it is NULL; all signals at their
 * defaults. */
int spawn(Cli *cli, char *const *command, const char *log, pid_t *ret);
/* The exit status, or 128 + the signal that ended it. */
int spawn_wait(pid_t pid);
int run_program(Cli *cli, char *const *command, const char *log);
/* SIGTERM, and SIGKILL where that does not help in time. */
void spawn_stop(pid_t pid);
