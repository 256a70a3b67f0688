/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-rig.h"

#include <dirent.h>
#include <ftw.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WAIT_USEC (10u * 1000u * 1000u)
#define DUMP_SIZE (1024u * 1024u)

int rig_set_up(void **state) {
        StoreRig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        strcpy(rig->directory, "/tmp/test-store-XXXXXX");
        assert_non_null(mkdtemp(rig->directory));
        snprintf(rig->state_directory, sizeof(rig->state_directory), "%s/state", rig->directory);
        snprintf(rig->runtime_directory, sizeof(rig->runtime_directory), "%s/run", rig->directory);
        snprintf(rig->state_path, sizeof(rig->state_path), "%s/state.db", rig->state_directory);
        snprintf(rig->runtime_path, sizeof(rig->runtime_path), "%s/runtime.db", rig->runtime_directory);
        assert_int_equal(mkdir(rig->state_directory, 0700), 0);
        assert_int_equal(mkdir(rig->runtime_directory, 0700), 0);
        assert_int_equal(sd_event_new(&rig->event), 0);
        *state = rig;
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

int rig_tear_down(void **state) {
        StoreRig *rig = *state;

        rig_close(rig);
        sd_event_unref(rig->event);
        assert_int_equal(nftw(rig->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT), 0);
        free(rig);
        return 0;
}

void rig_open(StoreRig *rig) {
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        r = store_open(rig->event, rig->state_directory, rig->runtime_directory, &rig->store, &fault);
        if (r < 0)
                fail_msg("%s", strempty(fault.message));
}

void rig_close(StoreRig *rig) {
        rig->store = store_close(rig->store);
        fault_done(&rig->fault);
        json_decref(rig->rows);
        rig->rows = NULL;
        rig->completed = 0;
}

void rig_reopen(StoreRig *rig) {
        rig_close(rig);
        rig_open(rig);
}

void rig_done(void *userdata, int result, const Fault *fault) {
        StoreRig *rig = userdata;

        rig->completed++;
        rig->result = result;
        fault_done(&rig->fault);
        assert_non_null(fault);
        assert_int_equal(fault_copy(&rig->fault, fault), 0);
        assert_true((result < 0) == (fault->code != FAULT_NONE));
}

void rig_wait(StoreRig *rig, unsigned completed) {
        while (rig->completed < completed)
                if (sd_event_run(rig->event, WAIT_USEC) <= 0)
                        fail_msg("the store does not answer");
        assert_int_equal(rig->completed, completed);
}

int rig_commit(StoreRig *rig, StoreTxn *txn) {
        unsigned completed = rig->completed;

        assert_int_equal(store_commit(txn, rig_done, rig), 0);
        assert_int_equal(rig->completed, completed);
        rig_wait(rig, completed + 1);
        return rig->result;
}

int rig_put(StoreRig *rig, StoreTable table, const char *key, const char *text) {
        StoreTxn *txn = store_begin(rig->store, table >= TABLE_PROGRESS ? STORE_RUNTIME : STORE_STATE);
        json_t *body = json_string(text);

        store_put(txn, table, key, NULL, body);
        json_decref(body);
        return rig_commit(rig, txn);
}

void rig_in_child(StoreRig *rig, void (*body)(StoreRig *rig, void *userdata), void *userdata) {
        int status;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                /* Or a failed assertion would go on with the next test. */
                if (setenv("CMOCKA_TEST_ABORT", "1", 1) < 0 || sd_event_new(&rig->event) < 0)
                        _exit(EXIT_FAILURE);
                body(rig, userdata);
                _exit(EXIT_SUCCESS);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void take_rows(void *userdata, int result, json_t *rows, const Fault *fault) {
        StoreRig *rig = userdata;

        json_decref(rig->rows);
        rig->rows = json_incref(rows);
        rig_done(rig, result, fault);
}

int rig_history(StoreRig *rig, json_t *filter) {
        unsigned completed = rig->completed;
        int r;

        fault_done(&rig->fault);
        r = store_query_history(rig->store, filter, UINT32_MAX, take_rows, rig, &rig->fault);
        json_decref(filter);
        if (r < 0)
                return r;
        rig_wait(rig, completed + 1);
        return rig->result;
}

static int dump_record(void *userdata, const char *key, const char *owner, json_t *body) {
        char *text = json_dumps(body, JSON_ENCODE_ANY | JSON_COMPACT), *dump = userdata;

        assert_non_null(text);
        dump += strlen(dump);
        snprintf(dump, DUMP_SIZE / 2, owner ? "%s(%s)=%s;" : "%s%s=%s;", key, strempty(owner), text);
        free(text);
        return 0;
}

char *rig_dump(StoreRig *rig, StoreTable table) {
        _cleanup_fault_ Fault fault = { 0 };
        char *dump = calloc(1, DUMP_SIZE);
        int r;

        assert_non_null(dump);
        r = store_load(rig->store, table, dump_record, dump, &fault);
        if (r < 0)
                fail_msg("%s", strempty(fault.message));
        return dump;
}

void rig_assert_table(StoreRig *rig, StoreTable table, const char *expected) {
        char *dump = rig_dump(rig, table);

        assert_string_equal(dump, expected);
        free(dump);
}

static int dump_claim(void *userdata, const char *key, bool exclusive, const char *allocation) {
        char *dump = userdata;

        dump += strlen(dump);
        snprintf(dump, DUMP_SIZE / 2, "%s%s:%s;", exclusive ? "!" : "", key, allocation);
        return 0;
}

char *rig_dump_claims(StoreRig *rig) {
        _cleanup_fault_ Fault fault = { 0 };
        char *dump = calloc(1, DUMP_SIZE);

        assert_non_null(dump);
        assert_int_equal(store_load_claims(rig->store, dump_claim, dump, &fault), 0);
        return dump;
}

void rig_assert_claims(StoreRig *rig, const char *expected) {
        char *dump = rig_dump_claims(rig);

        assert_string_equal(dump, expected);
        free(dump);
}

void rig_sql(const char *path, const char *sql) {
        char *error = NULL;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int rig_sql_number(const char *path, const char *sql) {
        sqlite3_stmt *statement;
        sqlite3 *db;
        int number;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        number = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return number;
}

char *rig_list(const StoreRig *rig, const char *prefix) {
        char *list = calloc(1, DUMP_SIZE);
        struct dirent **entries;
        int n;

        assert_non_null(list);
        n = scandir(rig->state_directory, &entries, NULL, alphasort);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
                if (startswith(entries[i]->d_name, prefix)) {
                        strcat(list, list[0] ? " " : "");
                        strcat(list, entries[i]->d_name);
                }
                free(entries[i]);
        }
        free(entries);
        return list;
}
