/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-txn.h"

#include <jansson.h>

#include "lib/parse.h"
#include "store-schema.h"

StoreTxn *store_begin(Store *store, StoreKind kind) {
        StoreTxn *txn = calloc(1, sizeof(*txn));

        if (!txn)
                return NULL; /* which everything here takes for a transaction without memory */
        txn->request.kind = REQUEST_TRANSACTION;
        txn->request.store = store;
        txn->kind = kind;
        return txn;
}

static void op_done(StoreOp *op) {
        free(op->key);
        free(op->owner);
        free(op->body);
        for (size_t i = 0; i < ELEMENTSOF(op->texts); i++)
                free(op->texts[i]);
}

void store_txn_free(StoreTxn *txn) {
        if (!txn)
                return;
        for (size_t i = 0; i < txn->n_ops; i++)
                op_done(&txn->ops[i]);
        free(txn->ops);
        fault_done(&txn->request.fault);
        free(txn);
}

StoreTxn *store_abandon(StoreTxn *txn) {
        store_txn_free(txn);
        return NULL;
}

static void fail(StoreTxn *txn, int error) {
        if (txn->error >= 0)
                txn->error = error;
}

/* A further operation, or NULL once the transaction has failed. */
static StoreOp *add_op(StoreTxn *txn, StoreOpKind kind) {
        StoreOp *ops;

        if (!txn || txn->error < 0)
                return NULL;

        /* The array is full whenever its length is a power of two. */
        if ((txn->n_ops & (txn->n_ops - 1)) == 0) {
                ops = reallocarray(txn->ops, txn->n_ops > 0 ? txn->n_ops * 2 : 1, sizeof(StoreOp));
                if (!ops) {
                        fail(txn, -ENOMEM);
                        return NULL;
                }
                txn->ops = ops;
        }

        txn->ops[txn->n_ops] = (StoreOp){ .kind = kind };
        return &txn->ops[txn->n_ops++];
}

static void copy_text(StoreTxn *txn, const char *text, char **ret) {
        if (!text)
                return;
        *ret = strdup(text);
        if (!*ret)
                fail(txn, -ENOMEM);
}

static void copy_json(StoreTxn *txn, json_t *json, char **ret) {
        if (!json) {
                fail(txn, -EINVAL);
                return;
        }
        *ret = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!*ret)
                fail(txn, -ENOMEM);
}

/* The operation on a record of `table`, or NULL. A table of the other database is a mistake of the
 * caller. */
static StoreOp *add_record_op(StoreTxn *txn, StoreOpKind kind, StoreTable table, const char *key,
                              const char *owner) {
        StoreOp *op = add_op(txn, kind);

        if (!op)
                return NULL;

        op->table = table;
        if (!store_schema_table(table) || store_schema_table(table)->kind != txn->kind)
                fail(txn, -EINVAL);
        copy_text(txn, key, &op->key);
        copy_text(txn, owner, &op->owner);
        return op;
}

void store_put(StoreTxn *txn, StoreTable table, const char *key, const char *owner, json_t *body) {
        StoreOp *op = add_record_op(txn, OP_PUT, table, key, owner);

        if (op)
                copy_json(txn, body, &op->body);
}

void store_put_text(StoreTxn *txn, StoreTable table, const char *key, const char *owner, char *body) {
        StoreOp *op = add_record_op(txn, OP_PUT, table, key, owner);

        if (op)
                op->body = body;
        else
                free(body);
        if (txn && !body)
                fail(txn, -ENOMEM);
}

void store_insert(StoreTxn *txn, StoreTable table, const char *key, const char *owner, json_t *body) {
        StoreOp *op = add_record_op(txn, OP_INSERT, table, key, owner);

        if (op)
                copy_json(txn, body, &op->body);
}

void store_remove(StoreTxn *txn, StoreTable table, const char *key) {
        (void) add_record_op(txn, OP_REMOVE, table, key, NULL);
}

void store_remove_owned(StoreTxn *txn, StoreTable table, const char *owner) {
        (void) add_record_op(txn, OP_REMOVE_OWNED, table, NULL, owner);
}

static StoreOp *add_state_op(StoreTxn *txn, StoreOpKind kind) {
        StoreOp *op = add_op(txn, kind);

        if (op && txn->kind != STORE_STATE)
                fail(txn, -EINVAL);
        return op;
}

void store_claim(StoreTxn *txn, const char *key, bool exclusive, const char *allocation) {
        StoreOp *op = add_state_op(txn, OP_CLAIM);

        if (!op)
                return;
        op->exclusive = exclusive;
        copy_text(txn, key, &op->key);
        copy_text(txn, allocation, &op->owner);
}

void store_unclaim(StoreTxn *txn, const char *allocation) {
        StoreOp *op = add_state_op(txn, OP_UNCLAIM);

        if (op)
                copy_text(txn, allocation, &op->owner);
}

void store_acknowledge_op(StoreTxn *txn) {
        if (add_op(txn, OP_ACKNOWLEDGE))
                txn->acknowledges = true;
}

/* The history is shown on the bus, which takes UTF-8 only. */
static void make_valid(char *text) {
        if (!text || utf8_is_valid(text))
                return;
        for (char *p = text; *p; p++)
                if ((unsigned char) *p >= 0x80)
                        *p = '?';
}

void store_history(StoreTxn *txn, const HistoryRow *row) {
        const char *const texts[] = { row->operation, row->object, row->consumer, row->result,
                                      row->message,   row->job,    row->boot,     row->run };
        StoreOp *op = add_state_op(txn, OP_HISTORY);

        if (!op)
                return;
        op->row = (HistoryRow){ .time_usec = row->time_usec,
                                .uid = row->uid,
                                .owner = row->owner,
                                .duration_usec = row->duration_usec };
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                copy_text(txn, strempty(texts[i]), &op->texts[i]);
                make_valid(op->texts[i]);
        }
        if (row->devices)
                copy_json(txn, row->devices, &op->body);
}

void store_txn_names(const StoreTxn *txn, void (*each)(void *userdata, const char *name), void *userdata) {
        for (size_t i = 0; i < txn->n_ops; i++) {
                if (txn->ops[i].key)
                        each(userdata, txn->ops[i].key);
                if (txn->ops[i].owner)
                        each(userdata, txn->ops[i].owner);
        }
}
