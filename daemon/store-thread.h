/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The store's thread: takes what waits, commits it, and hands it back to the loop through an eventfd. The
 * loop never waits for it but in store_flush(), store_load() and store_close(). */

#include <pthread.h>
#include <sys/types.h>

#include "store-txn.h"

typedef struct RequestQueue {
        StoreRequest *first;
        StoreRequest *last;
} RequestQueue;

struct Store {
        /* The store's thread only, once it runs. */
        StoreFile *files[_STORE_MAX];

        /* Both, under the mutex. */
        pthread_mutex_t mutex;
        pthread_cond_t wake;    /* something waits, or stopping */
        pthread_cond_t settled; /* a request that somebody waits for is finished */
        RequestQueue waiting;
        RequestQueue finished;
        bool stopping;

        /* The loop's thread only. */
        pthread_t thread;
        bool started;
        int eventfd; /* counts finished requests */
        sd_event_source *source;
        StoreHealth health;
        char *reason;
};

int store_thread_start(Store *store);
/* Everything that waits is done before it ends. */
void store_thread_stop(Store *store);
void store_thread_submit(Store *store, StoreRequest *request);
/* Submits and waits until the request and all before it are done; the request stays the caller's. */
void store_thread_run(Store *store, StoreRequest *request);
/* Takes all that was finished since the last call. */
StoreRequest *store_thread_collect(Store *store);

/* store-commit.c: commits the transactions of one database in their order, together where that works.
 * Their results are in the requests. */
void store_commit_group(StoreFile *file, StoreTxn *const *txns, size_t n);
/* store-query.c: everything else. */
void store_query_run(StoreFile *const *files, StoreRequest *request);
