/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One database file of the store: opened, checked, brought to the present schema, set aside when it is
 * damaged, read from a copy when it cannot or must not be written. Opened on the loop's thread, then used
 * by the store's thread alone.
 *
 * State is durable: WAL with synchronous=FULL, which costs one fdatasync() a commit and survives a loss
 * of power at any instant. The runtime database has the same form without the fdatasync(): it must
 * survive the process, not the machine. The exclusive lock keeps a second service out and the index of
 * the WAL in memory, where a full disk cannot hurt it. */

#include <sqlite3.h>

#include "store.h"

#define STORE_STATEMENTS_MAX 64u

typedef struct StoreFile {
        StoreKind kind;
        char *path;
        sqlite3 *db;
        sqlite3_stmt *statements[STORE_STATEMENTS_MAX]; /* prepared once; see store_file_statement() */
        bool writable;                                  /* false: a copy, or empty in memory */
        StoreHealth health;                             /* as found when it was opened */
        char *reason;                                   /* why health is not ok */
        int wal_frames;                                 /* waiting in the WAL for a checkpoint */
        off_t wal_reserved;                             /* what store_file_reserve() made sure of */
} StoreFile;

/* `scratch`: a directory for the copy that a read-only database is read from. Fails for want of memory
 * and when another process uses the file (-EBUSY); everything else ends in `health`. */
int store_file_open(StoreKind kind, const char *directory, const char *scratch, StoreFile **ret,
                    Fault *fault);
StoreFile *store_file_close(StoreFile *file);
DEFINE_CLEANUP(StoreFile *, store_file_close)

/* The statement that `slot` stands for, ready to be bound; `sql` is used the first time only. Give it
 * back with sqlite3_reset(). Returns an SQLite result. */
int store_file_statement(StoreFile *file, unsigned slot, const char *sql, sqlite3_stmt **ret);
/* Runs SQL without results. Returns an SQLite result. */
int store_file_exec(StoreFile *file, const char *sql);
/* Copies the WAL into the database, so that it can be written from its beginning again. */
int store_file_checkpoint(StoreFile *file);
/* Lets the WAL's file grow ahead of its use: fdatasync() of a file that does not grow is cheaper, and on
 * a disk that others fill up later there is room for what does not make the database larger. */
void store_file_reserve(StoreFile *file);
/* Turns the result of the last call into an errno with its fault. `doing` completes "Cannot …". */
int store_file_fault(StoreFile *file, int result, const char *doing, Fault *fault);
