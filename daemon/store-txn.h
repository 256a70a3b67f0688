/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Transactions: built on the loop's thread, handed over whole, applied on the store's thread. */

#include "store-file.h"

typedef enum StoreRequestKind {
        REQUEST_TRANSACTION,
        REQUEST_LOAD,
        REQUEST_LOAD_CLAIMS,
        REQUEST_HISTORY,
        REQUEST_RECORD,
        REQUEST_FLUSH, /* nothing but its place in the order */
} StoreRequestKind;

/* What waits for the store's thread. The first member of every kind of request. */
typedef struct StoreRequest {
        StoreRequestKind kind;
        struct StoreRequest *next;
        Store *store;
        bool waited; /* somebody blocks until `finished`, and owns the request */
        bool finished;
        int result;
        Fault fault;
} StoreRequest;

typedef enum StoreOpKind {
        OP_PUT,
        OP_INSERT,
        OP_REMOVE,
        OP_REMOVE_OWNED,
        OP_CLAIM,
        OP_UNCLAIM,
        OP_HISTORY,
        OP_ACKNOWLEDGE,
} StoreOpKind;

typedef struct StoreOp {
        StoreOpKind kind;
        StoreTable table;
        bool exclusive; /* OP_CLAIM */
        char *key;
        char *owner;    /* OP_CLAIM, OP_UNCLAIM: the allocation */
        char *body;     /* JSON; OP_HISTORY: the devices */
        HistoryRow row; /* OP_HISTORY: the numbers */
        char *texts[8]; /* OP_HISTORY: operation, object, consumer, result, message, job, boot, run */
} StoreOp;

struct StoreTxn {
        StoreRequest request;
        StoreKind kind;
        StoreOp *ops;
        size_t n_ops;
        int error; /* the first failure while it was built */
        bool acknowledges;
        StoreDone done;
        void *userdata;
};

void store_txn_free(StoreTxn *txn);
/* Removes the word that a predecessor was damaged. */
void store_acknowledge_op(StoreTxn *txn);
/* Applies the operations inside a transaction or savepoint that the caller began. */
int store_txn_apply(StoreFile *file, const StoreTxn *txn, Fault *fault);
/* Calls `each` with what the transaction names: keys and owners. */
void store_txn_names(const StoreTxn *txn, void (*each)(void *userdata, const char *name), void *userdata);
