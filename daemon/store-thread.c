/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-thread.h"

#include <signal.h>
#include <sys/eventfd.h>

#include "lib/limits.h"

#define THREAD_STACK_BYTES (512u * 1024u)
#define BATCH_MAX 256u
/* The WAL is copied into the database when there is nothing else to do, or when it has become long
 * nevertheless. */
#define CHECKPOINT_IDLE_FRAMES 400
#define CHECKPOINT_BUSY_FRAMES 1000

/* Transactions that are committed at one time, those of the runtime database first: their commit costs
 * nothing, and a step waits for each. */
typedef struct Batch {
        StoreTxn *txns[_STORE_MAX][BATCH_MAX];
        size_t n_txns[_STORE_MAX];
        uint64_t state_names[64]; /* a Bloom filter over what the transactions of the state database name */
} Batch;

static void queue_append(RequestQueue *queue, StoreRequest *request) {
        request->next = NULL;
        if (queue->last)
                queue->last->next = request;
        else
                queue->first = request;
        queue->last = request;
}

static StoreRequest *queue_take_all(RequestQueue *queue) {
        StoreRequest *first = queue->first;

        *queue = (RequestQueue){ 0 };
        return first;
}

/* Hands a finished request back; the eventfd is written by the caller, once for many. True when the loop
 * must be told. */
static bool hand_back(Store *store, StoreRequest *request) {
        bool waited = request->waited; /* once it is finished, it is no longer ours */

        if (waited) {
                request->finished = true;
                pthread_cond_broadcast(&store->settled);
        } else
                queue_append(&store->finished, request);

        return !waited;
}

static void tell_loop(Store *store) {
        /* The only failure possible is a counter at its end, which says the same. */
        (void) eventfd_write(store->eventfd, 1);
}

static void name_place(const char *name, size_t *ret_word, uint64_t *ret_bit) {
        uint64_t hash = 14695981039346656037u; /* FNV-1a */

        for (const unsigned char *p = (const unsigned char *) name; *p; p++)
                hash = (hash ^ *p) * 1099511628211u;
        hash ^= hash >> 32;
        *ret_word = hash >> 6 & 63;
        *ret_bit = (uint64_t) 1 << (hash & 63);
}

static void remember_name(void *userdata, const char *name) {
        Batch *batch = userdata;
        uint64_t bit;
        size_t word;

        name_place(name, &word, &bit);
        batch->state_names[word] |= bit;
}

typedef struct Search {
        const Batch *batch;
        bool found;
} Search;

static void look_up_name(void *userdata, const char *name) {
        Search *search = userdata;
        uint64_t bit;
        size_t word;

        name_place(name, &word, &bit);
        search->found |= (search->batch->state_names[word] & bit) != 0;
}

/* Whether the transaction may be committed with the batch. One of the runtime database would overtake
 * those of the state database, which it must not when they speak of the same thing. */
static bool batch_takes(const Batch *batch, const StoreTxn *txn) {
        Search search = { .batch = batch };

        if (batch->n_txns[txn->kind] == BATCH_MAX)
                return false;
        if (txn->kind == STORE_RUNTIME && batch->n_txns[STORE_STATE] > 0)
                store_txn_names(txn, look_up_name, &search);

        return !search.found;
}

static void batch_add(Batch *batch, StoreTxn *txn) {
        batch->txns[txn->kind][batch->n_txns[txn->kind]++] = txn;
        if (txn->kind == STORE_STATE)
                store_txn_names(txn, remember_name, batch);
}

static void batch_commit(Store *store, Batch *batch) {
        static const StoreKind order[] = { STORE_RUNTIME, STORE_STATE };

        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                StoreFile *file = store->files[order[i]];
                size_t n = batch->n_txns[order[i]];
                bool tell = false;

                if (n == 0)
                        continue;
                store_commit_group(file, batch->txns[order[i]], n);

                pthread_mutex_lock(&store->mutex);
                for (size_t k = 0; k < n; k++)
                        tell |= hand_back(store, &batch->txns[order[i]][k]->request);
                pthread_mutex_unlock(&store->mutex);
                if (tell)
                        tell_loop(store);

                if (file->wal_frames >= CHECKPOINT_BUSY_FRAMES)
                        (void) store_file_checkpoint(file);
        }
}

/* Does the requests in their order. */
static void work_off(Store *store, StoreRequest *request) {
        Batch batch;

        while (request) {
                batch.n_txns[STORE_STATE] = batch.n_txns[STORE_RUNTIME] = 0;
                memset(batch.state_names, 0, sizeof(batch.state_names));

                while (request && request->kind == REQUEST_TRANSACTION &&
                       batch_takes(&batch, (StoreTxn *) request)) {
                        StoreTxn *txn = (StoreTxn *) request;

                        request = request->next;
                        batch_add(&batch, txn);
                }
                batch_commit(store, &batch);

                while (request && request->kind != REQUEST_TRANSACTION) {
                        StoreRequest *next = request->next;
                        bool tell;

                        store_query_run(store->files, request);
                        pthread_mutex_lock(&store->mutex);
                        tell = hand_back(store, request);
                        pthread_mutex_unlock(&store->mutex);
                        if (tell)
                                tell_loop(store);
                        request = next;
                }
        }
}

/* What can be done while nobody waits. */
static void tidy(Store *store) {
        for (size_t i = 0; i < _STORE_MAX; i++)
                if (store->files[i]->wal_frames >= CHECKPOINT_IDLE_FRAMES)
                        (void) store_file_checkpoint(store->files[i]);

        store_file_reserve(store->files[STORE_STATE]);
}

static void *thread_main(void *userdata) {
        Store *store = userdata;
        bool stop = false;

        while (!stop) {
                StoreRequest *requests;

                pthread_mutex_lock(&store->mutex);
                while (!store->waiting.first && !store->stopping)
                        pthread_cond_wait(&store->wake, &store->mutex);
                requests = queue_take_all(&store->waiting);
                stop = !requests;
                pthread_mutex_unlock(&store->mutex);

                work_off(store, requests);

                pthread_mutex_lock(&store->mutex);
                requests = store->waiting.first;
                pthread_mutex_unlock(&store->mutex);
                if (!requests && !stop)
                        tidy(store);
        }

        return NULL;
}

int store_thread_start(Store *store) {
        sigset_t all, before;
        pthread_attr_t attributes;
        int r;

        /* Signals are the loop's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pthread_attr_init(&attributes);
        (void) pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
        r = pthread_create(&store->thread, &attributes, thread_main, store);
        pthread_attr_destroy(&attributes);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;

        store->started = true;
        (void) pthread_setname_np(store->thread, "store");
        return 0;
}

void store_thread_stop(Store *store) {
        if (!store->started)
                return;

        pthread_mutex_lock(&store->mutex);
        store->stopping = true;
        pthread_cond_signal(&store->wake);
        pthread_mutex_unlock(&store->mutex);
        (void) pthread_join(store->thread, NULL);
        store->started = false;
}

void store_thread_submit(Store *store, StoreRequest *request) {
        pthread_mutex_lock(&store->mutex);
        queue_append(&store->waiting, request);
        pthread_cond_signal(&store->wake);
        pthread_mutex_unlock(&store->mutex);
}

void store_thread_run(Store *store, StoreRequest *request) {
        request->waited = true;
        request->finished = false;

        pthread_mutex_lock(&store->mutex);
        queue_append(&store->waiting, request);
        pthread_cond_signal(&store->wake);
        while (!request->finished)
                pthread_cond_wait(&store->settled, &store->mutex);
        pthread_mutex_unlock(&store->mutex);
}

StoreRequest *store_thread_collect(Store *store) {
        StoreRequest *requests;

        pthread_mutex_lock(&store->mutex);
        requests = queue_take_all(&store->finished);
        pthread_mutex_unlock(&store->mutex);
        return requests;
}
