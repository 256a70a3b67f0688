/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who asked for what, when, with which result: jobs, changes of groups, rules and allocations, and what was refused. Rows
 * say which start of the service (run) and of the host (boot) they are from, because the numbers of jobs begin anew. */

#include "manager.h"

#define HISTORY_NO_OWNER ((uid_t) -1)

typedef struct HistoryEntry {
        uid_t uid;
        uid_t owner;            /* of the allocation, who may see the row too; HISTORY_NO_OWNER for none */
        const char *operation;  /* "activate", "create-group" … */
        const char *object;     /* id */
        const char *consumer;   /* NULL for none */
        const char *job;        /* NULL for none */
        const Fault *fault;     /* NULL when it was done */
        const char *message;    /* of what was done; NULL for none */
        uint64_t started_usec;  /* CLOCK_MONOTONIC; 0: now */
        json_t *devices;        /* [id…], borrowed; NULL for none */
} HistoryEntry;

int history_new(Manager *m);
/* Remembers it; written with what else comes within a moment, so that a reply never waits for it. */
void history_note(Manager *m, const HistoryEntry *entry);
/* The same as a part of what the transaction does. */
void history_put(Manager *m, StoreTxn *txn, const HistoryEntry *entry);
/* A refusal for want of a right or for bad arguments. Those of one user are bounded: nobody can push the rows of others out. */
void history_note_refused(Manager *m, const HistoryEntry *entry);
/* Hands what is remembered to the store. */
void history_flush(Manager *m);
/* `filter`: as store_query_history() takes it. Sees all that was noted before. */
int history_query(Manager *m, json_t *filter, uid_t only, StoreRows done, void *userdata, Fault *fault);
void history_free(Manager *m);
