/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "uevent.h"

typedef struct RunOptions {
        const char *directory;  /* the host, already built; or NULL, and ... */
        json_t *recipe;         /* ... what to build in memory for this run */
        const char *controlled; /* "auto", "all", "none" or BDF[,BDF...], with wildcards */
        UeventFormat formats;
        mode_t mask; /* umask() of the command */
        char **command;
} RunOptions;

/* Runs the command on the host, in namespaces of its own, as root or as an ordinary user. Returns its
 * exit status, or 128 + the signal that ended it; or a negative errno if it could not be started. Nothing
 * is left of it afterwards. */
int namespace_run(const RunOptions *o);
