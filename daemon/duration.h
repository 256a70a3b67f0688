/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How long operations took, by verb and type: what a plan expects of the next one. Kept in memory; filled from the history at
 * the start. */

#include "manager.h"

typedef struct Duration Duration;

/* `devices`: ids of what the operation was about, as in a history row; the first one's type counts. */
void duration_note(Manager *m, const char *verb, json_t *devices, const char *object, uint64_t usec);
/* Asks the store for the last runs; the answer comes later. */
void durations_load(Manager *m);
/* The median; -ENODATA when it never ran. */
int duration_expected(const Manager *m, const char *verb, const char *type, uint64_t *ret_usec, size_t *ret_runs);
void durations_free(Manager *m);
