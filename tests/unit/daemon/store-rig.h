/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A store in directories of its own, and the loop that it reports to. */

#include "tests/unit/lib/test.h"

#include "daemon/store.h"

typedef struct StoreRig {
        char directory[64]; /* holds "state" and "run" */
        char state_directory[80];
        char runtime_directory[80];
        char state_path[96];
        char runtime_path[96];
        sd_event *event;
        Store *store;
        /* What the last transaction came to. */
        unsigned completed;
        int result;
        Fault fault;
        json_t *rows;
} StoreRig;

int rig_set_up(void **state); /* for cmocka; the store is not open yet */
int rig_tear_down(void **state);

void rig_open(StoreRig *rig);
void rig_close(StoreRig *rig);
void rig_reopen(StoreRig *rig);
/* Commits and waits for the answer, which is in rig->result and rig->fault too. */
int rig_commit(StoreRig *rig, StoreTxn *txn);
/* For transactions of one's own waiting: counts in rig->completed. */
void rig_done(void *userdata, int result, const Fault *fault);
void rig_wait(StoreRig *rig, unsigned completed);
/* One record written, waited for. */
int rig_put(StoreRig *rig, StoreTable table, const char *key, const char *text);
/* Rows in rig->rows. */
int rig_history(StoreRig *rig, json_t *filter);

/* Runs `body` in a process of its own that is gone, without closing anything, when this returns. Failed
 * assertions there fail the test here. */
void rig_in_child(StoreRig *rig, void (*body)(StoreRig *rig, void *userdata), void *userdata);

/* "KEY=BODY;KEY(OWNER)=BODY;…" of a table, in the order of loading. New memory. */
char *rig_dump(StoreRig *rig, StoreTable table);
void rig_assert_table(StoreRig *rig, StoreTable table, const char *expected);
/* "KEY:ALLOCATION;…", an exclusive key with '!' before it. */
char *rig_dump_claims(StoreRig *rig);
void rig_assert_claims(StoreRig *rig, const char *expected);

/* Runs SQL on a file that no store has open, as an administrator could. */
void rig_sql(const char *path, const char *sql);
/* The number that a query answers. */
int rig_sql_number(const char *path, const char *sql);
/* The names in the state directory that begin with `prefix`, sorted and joined by blanks. New memory. */
char *rig_list(const StoreRig *rig, const char *prefix);
