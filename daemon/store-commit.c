/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-thread.h"

static void set_result(StoreTxn *txn, int result, Fault *fault) {
        fault_done(&txn->request.fault);
        txn->request.result = result;
        fault_move(&txn->request.fault, fault);
}

static void roll_back(StoreFile *file) {
        /* Some failures (a full disk, a broken one) have rolled back everything already. */
        if (!sqlite3_get_autocommit(file->db))
                (void) store_file_exec(file, "ROLLBACK");
}

static int try_alone(StoreFile *file, StoreTxn *txn, Fault *fault) {
        int r, q;

        q = store_file_exec(file, "BEGIN IMMEDIATE");
        if (q != SQLITE_OK)
                return store_file_fault(file, q, "begin a transaction", fault);

        r = store_txn_apply(file, txn, fault);
        if (r >= 0) {
                q = store_file_exec(file, "COMMIT");
                if (q != SQLITE_OK)
                        r = store_file_fault(file, q, "commit", fault);
        }
        if (r < 0)
                roll_back(file);

        return r;
}

static void commit_alone(StoreFile *file, StoreTxn *txn) {
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        r = try_alone(file, txn, &fault);
        if (r == -ENOSPC && file->wal_frames > 0 && store_file_checkpoint(file) == SQLITE_OK) {
                /* The WAL begins at its start again, in space that it has already. What does not make the
                 * database larger, such as giving devices back, goes on while others fill the disk. */
                fault_done(&fault);
                r = try_alone(file, txn, &fault);
        }
        set_result(txn, r, &fault);
}

/* One transaction inside the common one. False when the common one is lost. */
static bool apply_with_others(StoreFile *file, StoreTxn *txn) {
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        if (store_file_exec(file, "SAVEPOINT one") != SQLITE_OK)
                return false;

        r = store_txn_apply(file, txn, &fault);
        set_result(txn, r, &fault);
        if (sqlite3_get_autocommit(file->db))
                return false;
        if (r < 0 && store_file_exec(file, "ROLLBACK TO one") != SQLITE_OK)
                return false;

        return store_file_exec(file, "RELEASE one") == SQLITE_OK;
}

/* One fdatasync() for all of them. False when nothing was committed and each must be tried by itself. */
static bool commit_together(StoreFile *file, StoreTxn *const *txns, size_t n) {
        bool good = store_file_exec(file, "BEGIN IMMEDIATE") == SQLITE_OK;

        for (size_t i = 0; good && i < n; i++)
                good = apply_with_others(file, txns[i]);
        if (good)
                good = store_file_exec(file, "COMMIT") == SQLITE_OK;
        if (!good)
                roll_back(file);

        return good;
}

static void refuse(StoreFile *file, StoreTxn *txn) {
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        r = fault_set(&fault, -EROFS, FAULT_READ_ONLY_STATE, "The service's state cannot be changed: %s",
                      strempty(file->reason));
        set_result(txn, r, &fault);
}

void store_commit_group(StoreFile *file, StoreTxn *const *txns, size_t n) {
        if (!file->writable) {
                for (size_t i = 0; i < n; i++)
                        refuse(file, txns[i]);
                return;
        }
        if (n > 1 && commit_together(file, txns, n))
                return;

        for (size_t i = 0; i < n; i++)
                commit_alone(file, txns[i]);
}
