/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/limits.h"
#include "store-schema.h"
#include "store-txn.h"

/* What each operation says to a table of records, around the table's name. One record's body that does
 * not change is not written again. */
static const struct {
        const char *before;
        const char *after;
} record_sql[] = {
        [OP_PUT] = { "INSERT INTO ", " (key, owner, body) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE"
                                     " SET owner = excluded.owner, body = excluded.body"
                                     " WHERE owner IS NOT excluded.owner OR body IS NOT excluded.body" },
        [OP_INSERT] = { "INSERT INTO ", " (key, owner, body) VALUES (?1, ?2, ?3)" },
        [OP_REMOVE] = { "DELETE FROM ", " WHERE key = ?1" },
        [OP_REMOVE_OWNED] = { "DELETE FROM ", " WHERE owner = ?2" },
};

/* Slots of prepared statements: those of records first. */
typedef enum StatementSlot {
        STATEMENT_RECORDS = 0,
        STATEMENT_CLAIM_RIVAL = ELEMENTSOF(record_sql) * _STORE_TABLE_MAX,
        STATEMENT_CLAIM,
        STATEMENT_UNCLAIM,
        STATEMENT_HISTORY,
        STATEMENT_HISTORY_BOUND,
        STATEMENT_ACKNOWLEDGE,
        _STATEMENT_MAX,
} StatementSlot;
_Static_assert(_STATEMENT_MAX <= STORE_STATEMENTS_MAX, "more statements than places for them");

static int bind_text(sqlite3_stmt *statement, int index, const char *text) {
        /* A parameter that the statement does not have is not bound. */
        if (index > sqlite3_bind_parameter_count(statement))
                return SQLITE_OK;
        return sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

/* Runs it to its end; SQLITE_OK, or SQLITE_ROW when `row` wants the first row. */
static int run(sqlite3_stmt *statement, bool row) {
        int r = sqlite3_step(statement);

        if (r == SQLITE_ROW && row)
                return r;
        return r == SQLITE_DONE || r == SQLITE_ROW ? SQLITE_OK : r;
}

static void release(sqlite3_stmt *statement) {
        if (!statement)
                return;
        (void) sqlite3_reset(statement);
        (void) sqlite3_clear_bindings(statement);
}

/* The reason is taken from the connection before the statement is reset. */
static int failed(StoreFile *file, sqlite3_stmt *statement, int result, const char *doing, Fault *fault) {
        int r = store_file_fault(file, result, doing, fault);

        release(statement);
        return r;
}

/* The end of a statement without rows, whose preparation came to `result`. */
static int complete(StoreFile *file, sqlite3_stmt *statement, int result, const char *doing, Fault *fault) {
        if (result == SQLITE_OK)
                result = run(statement, false);
        if (result != SQLITE_OK)
                return failed(file, statement, result, doing, fault);

        release(statement);
        return 0;
}

static int apply_record(StoreFile *file, const StoreOp *op, Fault *fault) {
        const StoreTableInfo *table = store_schema_table(op->table);
        sqlite3_stmt *statement = NULL;
        char sql[320];
        int r;

        snprintf(sql, sizeof(sql), "%s%s%s", record_sql[op->kind].before, table->name,
                 record_sql[op->kind].after);
        r = store_file_statement(file, STATEMENT_RECORDS + op->kind * _STORE_TABLE_MAX + op->table, sql,
                                 &statement);
        if (r == SQLITE_OK)
                r = bind_text(statement, 1, op->key);
        if (r == SQLITE_OK)
                r = bind_text(statement, 2, op->owner);
        if (r == SQLITE_OK)
                r = bind_text(statement, 3, op->body);
        if (r == SQLITE_OK)
                r = run(statement, false);
        if (r == SQLITE_CONSTRAINT_UNIQUE) {
                release(statement);
                return fault_set_object(fault, -EEXIST, table->exists, op->key, "The %s '%s' exists already",
                                        table->noun, op->key);
        }
        if (r != SQLITE_OK)
                return failed(file, statement, r, "write a record", fault);

        release(statement);
        return 0;
}

static int busy(const StoreOp *op, const char *rival, Fault *fault) {
        return fault_set_object(fault, -EBUSY, FAULT_DEVICE_BUSY, rival, "'%s' is taken by %s%s", op->key,
                                rival ? "allocation " : "another allocation", strempty(rival));
}

/* Two may share a key, but nobody shares with the owner of an exclusive one. The index over exclusive
 * keys would notice half of that; the look beforehand knows the rest, and whose it is. */
static int apply_claim(StoreFile *file, const StoreOp *op, Fault *fault) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = store_file_statement(file, STATEMENT_CLAIM_RIVAL,
                                 "SELECT allocation FROM claims WHERE key = ?1 AND allocation <> ?2"
                                 " AND (exclusive OR ?3) LIMIT 1",
                                 &statement);
        if (r == SQLITE_OK)
                r = bind_text(statement, 1, op->key);
        if (r == SQLITE_OK)
                r = bind_text(statement, 2, op->owner);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int(statement, 3, op->exclusive);
        if (r == SQLITE_OK)
                r = run(statement, true);
        if (r == SQLITE_ROW) {
                r = busy(op, (const char *) sqlite3_column_text(statement, 0), fault);
                release(statement);
                return r;
        }
        if (r != SQLITE_OK)
                return failed(file, statement, r, "look for a claim", fault);
        release(statement);

        r = store_file_statement(
                file, STATEMENT_CLAIM,
                "INSERT INTO claims (key, allocation, exclusive) VALUES (?1, ?2, ?3)"
                " ON CONFLICT (key, allocation) DO UPDATE SET exclusive = max(exclusive, ?3)",
                &statement);
        if (r == SQLITE_OK)
                r = bind_text(statement, 1, op->key);
        if (r == SQLITE_OK)
                r = bind_text(statement, 2, op->owner);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int(statement, 3, op->exclusive);
        if (r == SQLITE_OK)
                r = run(statement, false);
        if (r == SQLITE_CONSTRAINT_UNIQUE) {
                release(statement);
                return busy(op, NULL, fault);
        }
        if (r != SQLITE_OK)
                return failed(file, statement, r, "write a claim", fault);

        release(statement);
        return 0;
}

static int apply_unclaim(StoreFile *file, const StoreOp *op, Fault *fault) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = store_file_statement(file, STATEMENT_UNCLAIM, "DELETE FROM claims WHERE allocation = ?1",
                                 &statement);
        if (r == SQLITE_OK)
                r = bind_text(statement, 1, op->owner);
        return complete(file, statement, r, "remove claims", fault);
}

/* SQLite's integers are signed; times beyond them do not occur. */
static sqlite3_int64 as_integer(uint64_t number) {
        return number > INT64_MAX ? INT64_MAX : (sqlite3_int64) number;
}

static int apply_history(StoreFile *file, const StoreOp *op, Fault *fault) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = store_file_statement(
                file, STATEMENT_HISTORY,
                "INSERT INTO history (verb, object, consumer, result, message, job, boot, run, devices,"
                " time_usec, uid, duration_usec, owner)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                &statement);
        for (size_t i = 0; r == SQLITE_OK && i < ELEMENTSOF(op->texts); i++)
                r = bind_text(statement, (int) i + 1, op->texts[i]);
        if (r == SQLITE_OK)
                r = bind_text(statement, 9, op->body);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 10, as_integer(op->row.time_usec));
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 11, op->row.uid);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 12, as_integer(op->row.duration_usec));
        if (r == SQLITE_OK && op->row.owner != UINT32_MAX)
                r = sqlite3_bind_int64(statement, 13, op->row.owner);
        r = complete(file, statement, r, "write the history", fault);
        if (r < 0)
                return r;

        /* Ids only grow, so that the oldest are those that lie furthest behind. */
        r = store_file_statement(file, STATEMENT_HISTORY_BOUND, "DELETE FROM history WHERE id <= ?1",
                                 &statement);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 1,
                                       sqlite3_last_insert_rowid(file->db) - (sqlite3_int64) HISTORY_MAX);
        return complete(file, statement, r, "shorten the history", fault);
}

static int apply_acknowledge(StoreFile *file, const StoreOp *op, Fault *fault) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = store_file_statement(file, STATEMENT_ACKNOWLEDGE, "DELETE FROM meta WHERE key = 'damaged'",
                                 &statement);
        return complete(file, statement, r, "acknowledge the damage", fault);
}

static int (*const appliers[])(StoreFile *file, const StoreOp *op, Fault *fault) = {
        [OP_PUT] = apply_record,      [OP_INSERT] = apply_record,
        [OP_REMOVE] = apply_record,   [OP_REMOVE_OWNED] = apply_record,
        [OP_CLAIM] = apply_claim,     [OP_UNCLAIM] = apply_unclaim,
        [OP_HISTORY] = apply_history, [OP_ACKNOWLEDGE] = apply_acknowledge,
};

int store_txn_apply(StoreFile *file, const StoreTxn *txn, Fault *fault) {
        for (size_t i = 0; i < txn->n_ops; i++) {
                int r = appliers[txn->ops[i].kind](file, &txn->ops[i], fault);

                if (r < 0)
                        return r;
        }

        return 0;
}
