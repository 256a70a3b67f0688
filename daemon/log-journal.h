/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The journal's native protocol: one datagram an entry, sent without ever waiting. No state but the
 * socket; safe from any thread. */

#include "lib/macro.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define JOURNAL_FIELDS_MAX 24u        /* in one entry; what is beyond is left out */
#define JOURNAL_VALUE_MAX_BYTES 8192u /* of one value; what is beyond is cut off and marked with "…" */

typedef struct JournalField {
        const char *key;   /* [A-Z][A-Z0-9_]*, at most 64; a field with another name is left out */
        const char *value; /* any text, also of several lines */
} JournalField;

/* A socket that journal_send() can use, or a negative errno. */
int journal_open(void);
/* Hands the entry to whoever reads at `path`. -EAGAIN when the reader does not keep up, -ENOENT or
 * -ECONNREFUSED when there is none. */
int journal_send(int fd, const char *path, const JournalField *fields, size_t n_fields);
