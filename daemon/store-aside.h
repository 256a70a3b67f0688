/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is done to database files from outside: a damaged one is kept aside, one that must not be written
 * is copied. */

#include "lib/macro.h"

/* What SQLite keeps beside a database. */
#define STORE_COMPANIONS                                                                                    \
        { "-wal", "-shm", "-journal" }

/* Renames PATH to PATH.damaged-TIMESTAMP and what lies beside it likewise. The database goes first:
 * without it the rest is never mistaken for a part of its successor. Returns 1 and where it is now, 0
 * when there was nothing to move. */
int store_set_aside(const char *path, char **ret);
/* Whether something says that a database was here: one set aside, or a WAL without its database. `ret`:
 * its path. */
bool store_left_behind(const char *path, char **ret);
/* Copies PATH and its WAL or journal into a new directory below `scratch`. `ret`: the copy. */
int store_copy(const char *path, const char *scratch, char **ret);
/* Removes the copy and its directory, also while it is open. */
void store_remove_copy(const char *copy);
