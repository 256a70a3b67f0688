/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Activations that are undone unless they are confirmed: the remark and the question while one is waited for. */

#include "cli.h"

typedef struct Confirmation Confirmation;

/* Watches the job of a wait from now on: when it waits to be confirmed that is said on standard error, and asked where there
 * is somebody at the terminal. NULL for want of memory. */
Confirmation *confirmation_new(Cli *cli, const char *job);
Confirmation *confirmation_free(Confirmation *confirmation);
/* The job of this allocation that waits to be confirmed. 0: there is none. */
int find_confirming(Cli *cli, const char *allocation, char **ret_path);
