/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-rig.h"

#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "daemon/store-file.h"
#include "daemon/store-schema.h"
#include "lib/limits.h"

#define A "11111111-1111-4111-8111-111111111111"
#define B "22222222-2222-4222-8222-222222222222"

static void put_number(StoreTxn *txn, StoreTable table, const char *key, const char *owner, int number) {
        json_t *body = json_integer(number);

        store_put(txn, table, key, owner, body);
        json_decref(body);
}

static void test_records(void **state) {
        StoreRig *rig = *state;
        json_t *body = json_pack("{s:s, s:[i,i]}", "name", "Gerät", "list", 1, 2);
        StoreTxn *txn;

        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        assert_null(store_health_reason(rig->store));
        rig_assert_table(rig, TABLE_GROUPS, "");

        txn = store_begin(rig->store, STORE_STATE);
        store_put(txn, TABLE_GROUPS, "z", NULL, body);
        store_put(txn, TABLE_GROUPS, "a", NULL, json_true());
        store_put(txn, TABLE_RULES, "r1", "z", json_null());
        store_put(txn, TABLE_RULES, "r2", "a", json_null());
        store_put(txn, TABLE_RULES, "r3", "z", json_null());
        json_decref(body); /* copied */
        assert_int_equal(rig_commit(rig, txn), 0);
        rig_assert_table(rig, TABLE_GROUPS, "z={\"name\":\"Gerät\",\"list\":[1,2]};a=true;");

        /* Another body keeps the place that the key has. */
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "z", "new"), 0);
        rig_assert_table(rig, TABLE_GROUPS, "z=\"new\";a=true;");

        txn = store_begin(rig->store, STORE_STATE);
        store_remove_owned(txn, TABLE_RULES, "z");
        store_remove(txn, TABLE_GROUPS, "z");
        store_remove(txn, TABLE_GROUPS, "not there");
        assert_int_equal(rig_commit(rig, txn), 0);

        rig_reopen(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        rig_assert_table(rig, TABLE_GROUPS, "a=true;");
        rig_assert_table(rig, TABLE_RULES, "r2(a)=null;");
}

static void test_every_table(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        for (int i = 0; i < _STORE_TABLE_MAX; i++)
                assert_int_equal(
                        rig_put(rig, (StoreTable) i, "key", store_schema_table((StoreTable) i)->name), 0);

        rig_reopen(rig);
        for (int i = 0; i < _STORE_TABLE_MAX; i++) {
                char expected[64];

                snprintf(expected, sizeof(expected), "key=\"%s\";",
                         store_schema_table((StoreTable) i)->name);
                rig_assert_table(rig, (StoreTable) i, expected);
        }
}

static void test_insert_of_what_is_there(void **state) {
        static const struct {
                StoreTable table;
                FaultCode code;
                const char *words;
        } tables[] = {
                { TABLE_GROUPS, FAULT_GROUP_EXISTS, "The group 'k' exists already" },
                { TABLE_RULES, FAULT_RULE_EXISTS, "The rule 'k' exists already" },
                { TABLE_ALLOCATIONS, FAULT_ALLOCATION_EXISTS, "The allocation 'k' exists already" },
        };
        StoreRig *rig = *state;

        rig_open(rig);
        for (size_t i = 0; i < ELEMENTSOF(tables); i++)
                for (int time = 0; time < 2; time++) {
                        StoreTxn *txn = store_begin(rig->store, STORE_STATE);

                        put_number(txn, TABLE_SETTINGS, "beside", NULL, time);
                        store_insert(txn, tables[i].table, "k", NULL, json_true());
                        assert_int_equal(rig_commit(rig, txn), time == 0 ? 0 : -EEXIST);
                        if (time == 1) {
                                assert_string_equal(rig->fault.object, "k");
                                assert_fault(&rig->fault, tables[i].code, tables[i].words);
                        }
                        /* The rest of the failed transaction is not there either. */
                        rig_assert_table(rig, TABLE_SETTINGS, "beside=0;");
                }
}

static int try_claim(StoreRig *rig, const char *key, bool exclusive, const char *allocation) {
        StoreTxn *txn = store_begin(rig->store, STORE_STATE);

        store_put(txn, TABLE_ALLOCATIONS, allocation, NULL, json_true());
        store_claim(txn, key, exclusive, allocation);
        return rig_commit(rig, txn);
}

static void test_claims(void **state) {
        StoreRig *rig = *state;
        StoreTxn *txn;

        rig_open(rig);
        assert_int_equal(try_claim(rig, "pci:0000:3b:00.0", true, A), 0);
        assert_int_equal(try_claim(rig, "usb:1", false, A), 0);

        assert_int_equal(try_claim(rig, "pci:0000:3b:00.0", true, B), -EBUSY);
        assert_string_equal(rig->fault.object, A);
        assert_fault(&rig->fault, FAULT_DEVICE_BUSY, "'pci:0000:3b:00.0' is taken by allocation " A);
        assert_int_equal(try_claim(rig, "pci:0000:3b:00.0", false, B), -EBUSY);
        assert_fault(&rig->fault, FAULT_DEVICE_BUSY, A);
        assert_int_equal(try_claim(rig, "usb:1", true, B), -EBUSY);
        assert_fault(&rig->fault, FAULT_DEVICE_BUSY, A);
        rig_assert_table(rig, TABLE_ALLOCATIONS, A "=true;");

        /* Shared with shared, and again by the same, are no conflict. */
        assert_int_equal(try_claim(rig, "usb:1", false, B), 0);
        assert_int_equal(try_claim(rig, "pci:0000:3b:00.0", false, A), 0);
        rig_assert_claims(rig, "!pci:0000:3b:00.0:" A ";usb:1:" A ";usb:1:" B ";");

        txn = store_begin(rig->store, STORE_STATE);
        store_unclaim(txn, A);
        store_claim(txn, "pci:0000:3b:00.0", true, B);
        assert_int_equal(rig_commit(rig, txn), 0);
        rig_reopen(rig);
        rig_assert_claims(rig, "!pci:0000:3b:00.0:" B ";usb:1:" B ";");
}

/* What keeps two owners out when the service itself is wrong. */
static void test_database_refuses_two_owners(void **state) {
        StoreRig *rig = *state;
        char *error = NULL;
        sqlite3 *db;

        rig_open(rig);
        assert_int_equal(try_claim(rig, "pci:1", true, A), 0);
        rig_close(rig);

        assert_int_equal(sqlite3_open(rig->state_path, &db), SQLITE_OK);
        assert_int_equal(
                sqlite3_exec(db, "INSERT INTO claims VALUES ('pci:1', '" B "', 1)", NULL, NULL, &error),
                SQLITE_CONSTRAINT);
        sqlite3_free(error);
        assert_int_equal(
                sqlite3_exec(db, "INSERT INTO claims VALUES ('pci:1', '" B "', 2)", NULL, NULL, &error),
                SQLITE_CONSTRAINT);
        sqlite3_free(error);
        sqlite3_close(db);
}

/* Many that wait together: those that fail do so alone, and in order. */
static void test_failures_stay_alone(void **state) {
        StoreRig *rig = *state;
        char expected[4096] = "";
        unsigned results = 0;

        rig_open(rig);
        for (int i = 0; i < 100; i++) {
                StoreTxn *txn = store_begin(rig->store, STORE_STATE);
                char key[16];

                snprintf(key, sizeof(key), "k%d", i);
                store_put(txn, TABLE_SETTINGS, key, NULL, json_true());
                if (i % 3 == 0)
                        store_insert(txn, TABLE_GROUPS, "same", NULL, json_true());
                assert_int_equal(store_commit(txn, rig_done, rig), 0);
                results++;
                if (i % 3 != 0 || i == 0)
                        strcat(strcat(expected, key), "=true;");
        }
        rig_wait(rig, results);
        assert_int_equal(rig->result, -EEXIST); /* of the last */
        rig_assert_table(rig, TABLE_SETTINGS, expected);
        rig_assert_table(rig, TABLE_GROUPS, "same=true;");
}

typedef struct Order {
        StoreRig *rig;
        int expected;
} Order;

typedef struct Turn {
        Order *order;
        int number;
} Turn;

static void check_turn(void *userdata, int result, const Fault *fault) {
        Turn *turn = userdata;

        assert_int_equal(result, 0);
        assert_int_equal(turn->number, turn->order->expected++);
        turn->order->rig->completed++;
        free(turn);
}

static void test_order(void **state) {
        StoreRig *rig = *state;
        Order order = { .rig = rig };

        rig_open(rig);
        for (int i = 0; i < 1000; i++) {
                StoreTxn *txn = store_begin(rig->store, STORE_STATE);
                Turn *turn = malloc(sizeof(*turn));

                *turn = (Turn){ &order, i };
                put_number(txn, TABLE_SETTINGS, "counter", NULL, i);
                assert_int_equal(store_commit(txn, check_turn, turn), 0);
        }
        rig_wait(rig, 1000);
        rig_assert_table(rig, TABLE_SETTINGS, "counter=999;");
}

/* A runtime transaction is not committed before one of the state that names the same thing and was there
 * first. */
static void test_order_between_databases(void **state) {
        StoreRig *rig = *state;
        Order order = { .rig = rig };

        rig_open(rig);
        for (int i = 0; i < 200; i++) {
                StoreKind kind = i % 2 == 0 ? STORE_STATE : STORE_RUNTIME;
                StoreTxn *txn = store_begin(rig->store, kind);
                Turn *turn = malloc(sizeof(*turn));

                *turn = (Turn){ &order, i };
                put_number(txn, kind == STORE_STATE ? TABLE_ALLOCATIONS : TABLE_STEPS,
                           kind == STORE_STATE ? A : A "/1", kind == STORE_STATE ? NULL : A, i);
                assert_int_equal(store_commit(txn, check_turn, turn), 0);
        }
        rig_wait(rig, 200);
        rig_assert_table(rig, TABLE_STEPS, A "/1(" A ")=199;");
}

/* What waits when the store is closed is on the disk; nobody is called back. */
static void test_close_commits(void **state) {
        StoreRig *rig = *state;
        char *dump;
        size_t n = 0;

        rig_open(rig);
        for (int i = 0; i < 500; i++) {
                StoreTxn *txn = store_begin(rig->store, STORE_STATE);
                char key[16];

                snprintf(key, sizeof(key), "%d", i);
                store_put(txn, TABLE_SETTINGS, key, NULL, json_true());
                assert_int_equal(store_commit(txn, rig_done, rig), 0);
        }
        rig_close(rig);
        assert_int_equal(rig->completed, 0);

        rig_open(rig);
        dump = rig_dump(rig, TABLE_SETTINGS);
        for (char *p = dump; *p; p++)
                n += *p == ';';
        assert_int_equal(n, 500);
        free(dump);
}

static void test_flush(void **state) {
        StoreRig *rig = *state;
        StoreTxn *txn;

        rig_open(rig);
        store_flush(rig->store);
        txn = store_begin(rig->store, STORE_STATE);
        store_put(txn, TABLE_SETTINGS, "k", NULL, json_true());
        assert_int_equal(store_commit(txn, rig_done, rig), 0);
        store_flush(rig->store);
        assert_int_equal(rig->completed, 0);
        /* It is there before the loop has heard of it. */
        rig_wait(rig, 1);
        assert_int_equal(rig->result, 0);
}

static void test_wrong_use(void **state) {
        StoreRig *rig = *state;
        StoreTxn *txn;

        rig_open(rig);
        txn = store_begin(rig->store, STORE_STATE);
        store_put(txn, TABLE_STEPS, "k", NULL, json_true());
        assert_int_equal(store_commit(txn, rig_done, rig), -EINVAL);
        txn = store_begin(rig->store, STORE_RUNTIME);
        store_claim(txn, "k", true, A);
        assert_int_equal(store_commit(txn, rig_done, rig), -EINVAL);
        txn = store_begin(rig->store, STORE_STATE);
        store_put(txn, TABLE_GROUPS, "k", NULL, NULL);
        assert_int_equal(store_commit(txn, rig_done, rig), -EINVAL);
        txn = store_begin(rig->store, STORE_STATE);
        store_put(txn, TABLE_GROUPS, "k", NULL, json_true());
        assert_null(store_abandon(txn));

        /* Want of memory at the beginning shows at the end. */
        store_put(NULL, TABLE_GROUPS, "k", NULL, json_true());
        store_claim(NULL, "k", true, A);
        store_history(NULL, &(HistoryRow){ 0 });
        assert_int_equal(store_commit(NULL, rig_done, rig), -ENOMEM);

        store_flush(rig->store);
        assert_int_equal(sd_event_run(rig->event, 0), 0);
        assert_int_equal(rig->completed, 0);
        rig_assert_table(rig, TABLE_GROUPS, "");
}

static int stop_at_second(void *userdata, const char *key, const char *owner, json_t *body) {
        return ++*(int *) userdata == 2 ? -ECANCELED : 0;
}

static void test_load_stops(void **state) {
        StoreRig *rig = *state;
        _cleanup_fault_ Fault fault = { 0 };
        int calls = 0;

        rig_open(rig);
        for (int i = 0; i < 3; i++)
                assert_int_equal(rig_put(rig, TABLE_GROUPS, (char[]){ (char) ('a' + i), '\0' }, "x"), 0);
        assert_int_equal(store_load(rig->store, TABLE_GROUPS, stop_at_second, &calls, &fault), -ECANCELED);
        assert_int_equal(calls, 2);
        assert_int_equal(store_load(rig->store, _STORE_TABLE_MAX, stop_at_second, &calls, &fault), -EINVAL);
}

/* One record that cannot be read costs neither the others nor itself. */
static void test_unreadable_bodies(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        rig_close(rig);
        rig_sql(rig->state_path,
                "INSERT INTO groups (key, body) VALUES ('bad', '{\"name\": '), ('empty', ''),"
                " ('latin', CAST(X'22E422' AS TEXT)), ('z', '1')");
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";z=1;");

        /* It is still there: its key is taken, and a new body heals it. */
        StoreTxn *txn = store_begin(rig->store, STORE_STATE);
        store_insert(txn, TABLE_GROUPS, "bad", NULL, json_true());
        assert_int_equal(rig_commit(rig, txn), -EEXIST);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "bad", "y"), 0);
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";bad=\"y\";z=1;");
}

static void add_history(StoreRig *rig, uint64_t time, uint32_t uid, const char *object,
                        const char *consumer) {
        StoreTxn *txn = store_begin(rig->store, STORE_STATE);
        json_t *devices = json_pack("[s]", "pci-0000-3b-00-0");

        store_history(txn, &(HistoryRow){
                                   .time_usec = time,
                                   .uid = uid,
                                   .owner = 1001,
                                   .operation = uid == 0 ? "release" : "activate",
                                   .job = "7",
                                   .boot = "b1",
                                   .run = "r1",
                                   .object = object,
                                   .consumer = consumer,
                                   .result = "done",
                                   .message = NULL,
                                   .duration_usec = 1500,
                                   .devices = time % 2 ? devices : NULL,
                           });
        json_decref(devices);
        assert_int_equal(rig_commit(rig, txn), 0);
}

static void assert_times(StoreRig *rig, json_t *filter, const char *expected) {
        char times[256] = "";
        json_t *row;
        size_t i;

        assert_int_equal(rig_history(rig, filter), 0);
        json_array_foreach(rig->rows, i, row)
                snprintf(times + strlen(times), 32, "%lld ",
                         (long long) json_integer_value(json_object_get(row, "time")));
        assert_string_equal(times, expected);
}

static void test_history(void **state) {
        StoreRig *rig = *state;
        json_t *expected;

        rig_open(rig);
        assert_times(rig, NULL, "");
        add_history(rig, 1001, 0, A, "vm1");
        add_history(rig, 1002, 1000, B, "vm2");
        add_history(rig, 1003, 1000, A, "vm2");

        assert_times(rig, NULL, "1003 1002 1001 ");
        expected = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:[s], s:s, s:s, s:s}", "time", 1003, "uid", 1000,
                             "operation", "activate", "object", A, "consumer", "vm2", "result", "done", "message",
                             "", "duration", 1500, "devices", "pci-0000-3b-00-0", "job", "7", "boot", "b1", "run",
                             "r1");
        assert_true(json_equal(json_array_get(rig->rows, 0), expected));
        json_decref(expected);
        assert_int_equal(json_array_size(json_object_get(json_array_get(rig->rows, 1), "devices")), 0);

        assert_times(rig, json_pack("{s:s}", "object", A), "1003 1001 ");
        assert_times(rig, json_pack("{s:s}", "consumer", "vm2"), "1003 1002 ");
        assert_times(rig, json_pack("{s:i}", "uid", 0), "1001 ");
        assert_times(rig, json_pack("{s:i}", "since", 1002), "1003 1002 ");
        assert_times(rig, json_pack("{s:i}", "until", 1002), "1001 ");
        assert_times(rig, json_pack("{s:i, s:i}", "since", 1002, "until", 1003), "1002 ");
        assert_times(rig, json_pack("{s:s}", "operation", "release"), "1001 ");
        assert_times(rig, json_pack("{s:s}", "result", "NotAuthorized"), "");
        assert_times(rig, json_pack("{s:s}", "result", "done"), "1003 1002 1001 ");
        assert_times(rig, json_pack("{s:i}", "limit", 1), "1003 ");
        assert_times(rig, json_pack("{s:s, s:s}", "object", A, "consumer", "vm2"), "1003 ");

        assert_int_equal(rig_history(rig, json_pack("{s:i}", "sinse", 1)), -EINVAL);
        assert_fault(&rig->fault, FAULT_UNKNOWN_OPTION, "sinse");
        assert_true(rig_history(rig, json_pack("{s:i}", "limit", HISTORY_MAX + 1)) < 0);
        assert_fault(&rig->fault, FAULT_INVALID_VALUE, "limit");
        assert_true(rig_history(rig, json_pack("{s:[]}", "object")) < 0);
        assert_fault(&rig->fault, FAULT_INVALID_VALUE, "object");
}

/* Texts from outside: what is not UTF-8 would make the whole history unreadable. */
static void test_history_of_hostile_texts(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        add_history(rig, 1, 0, A, "vm\xff'; DROP TABLE history; --");
        assert_int_equal(rig_history(rig, NULL), 0);
        assert_string_equal(json_string_value(json_object_get(json_array_get(rig->rows, 0), "consumer")),
                            "vm?'; DROP TABLE history; --");
}

static void test_history_is_bounded(void **state) {
        StoreRig *rig = *state;
        StoreTxn *txn;
        json_t *oldest;

        rig_open(rig);
        for (unsigned i = 0; i < 10; i++) {
                txn = store_begin(rig->store, STORE_STATE);
                for (unsigned k = 0; k < (HISTORY_MAX + 500) / 10; k++)
                        store_history(txn, &(HistoryRow){ .time_usec = i * (HISTORY_MAX + 500) / 10 + k,
                                                          .operation = "v" });
                assert_int_equal(rig_commit(rig, txn), 0);
        }
        assert_int_equal(rig_history(rig, json_pack("{s:i}", "limit", HISTORY_MAX)), 0);
        assert_int_equal(json_array_size(rig->rows), HISTORY_MAX);
        oldest = json_array_get(rig->rows, HISTORY_MAX - 1);
        assert_int_equal(json_integer_value(json_object_get(oldest, "time")), 500);
        rig_close(rig);
        assert_int_equal(rig_sql_number(rig->state_path, "SELECT count(*) FROM history"), HISTORY_MAX);
}

static off_t put_step(StoreRig *rig, int number) {
        StoreTxn *txn = store_begin(rig->store, STORE_RUNTIME);
        struct stat st;
        char wal[128];

        put_number(txn, TABLE_STEPS, A "/000001", A, number);
        assert_int_equal(rig_commit(rig, txn), 0);
        snprintf(wal, sizeof(wal), "%s-wal", rig->runtime_path);
        assert_int_equal(stat(wal, &st), 0);
        return st.st_size;
}

/* What is the same already is not written: no page of the database changes. */
static void test_same_body_writes_nothing(void **state) {
        StoreRig *rig = *state;
        off_t size;

        rig_open(rig);
        size = put_step(rig, 1);
        assert_int_equal(put_step(rig, 1), size);
        assert_true(put_step(rig, 2) > size);
}

/* A WAL that is written again and again from its beginning does not grow without bound. */
static void test_wal_is_bounded(void **state) {
        StoreRig *rig = *state;
        _cleanup_free_ char *text = repeat('x', 3000);
        char paths[2][128];
        struct stat st;

        rig_open(rig);
        for (int i = 0; i < 200; i++) {
                StoreTxn *txn = store_begin(rig->store, i % 2 ? STORE_STATE : STORE_RUNTIME);
                json_t *body;
                char key[16];

                text[0] = (char) ('a' + i % 26);
                body = json_string(text);
                for (int k = 0; k < 30; k++) {
                        snprintf(key, sizeof(key), "%d", k);
                        store_put(txn, i % 2 ? TABLE_SETTINGS : TABLE_PROGRESS, key, NULL, body);
                }
                json_decref(body);
                assert_int_equal(rig_commit(rig, txn), 0);
        }
        snprintf(paths[0], sizeof(paths[0]), "%s-wal", rig->state_path);
        snprintf(paths[1], sizeof(paths[1]), "%s-wal", rig->runtime_path);
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(stat(paths[i], &st), 0);
                assert_true(st.st_size < 6 * 1024 * 1024);
        }
}

static void ignore_rows(void *userdata, int result, json_t *rows, const Fault *fault) {
        assert_int_equal(json_array_size(rows), HISTORY_MAX);
}

/* Neither does one that is never left in peace. */
static void test_wal_is_bounded_under_load(void **state) {
        StoreRig *rig = *state;
        _cleanup_free_ char *text = repeat('x', 3000);
        json_t *body = json_string(text), *filter = json_pack("{s:i}", "limit", HISTORY_MAX);
        char key[16], path[128];
        struct stat st;
        StoreTxn *txn;

        rig_open(rig);
        txn = store_begin(rig->store, STORE_STATE);
        for (unsigned i = 0; i < HISTORY_MAX; i++)
                store_history(txn, &(HistoryRow){ .operation = "v" });
        assert_int_equal(rig_commit(rig, txn), 0);

        /* While the thread answers this, everything else gathers. */
        assert_int_equal(store_query_history(rig->store, filter, UINT32_MAX, ignore_rows, NULL, NULL), 0);
        json_decref(filter);
        for (int i = 0; i < 4000; i++) {
                txn = store_begin(rig->store, STORE_RUNTIME);
                snprintf(key, sizeof(key), "%d", i);
                store_put(txn, TABLE_PROGRESS, key, NULL, body);
                assert_int_equal(store_commit(txn, rig_done, rig), 0);
        }
        json_decref(body);
        rig_wait(rig, 4001);
        snprintf(path, sizeof(path), "%s-wal", rig->runtime_path);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 6 * 1024 * 1024);
}

static void open_second(StoreRig *rig, void *userdata) {
        Fault fault = { 0 };
        Store *second;

        assert_int_equal(
                store_open(rig->event, rig->state_directory, rig->runtime_directory, &second, &fault),
                -EBUSY);
        assert_fault(&fault, FAULT_STORE_FAILED, "state.db is in use by another process");
}

static void test_second_service_is_kept_out(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        rig_in_child(rig, open_second, NULL);

        /* And it did no harm. */
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        rig_reopen(rig);
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";");
}

static void test_files_are_private(void **state) {
        StoreRig *rig = *state;
        const char *directories[] = { rig->state_directory, rig->runtime_directory };

        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        assert_int_equal(rig_put(rig, TABLE_PROGRESS, "a", "x"), 0);
        for (size_t i = 0; i < 2; i++) {
                DIR *dir = opendir(directories[i]);
                struct dirent *entry;
                struct stat st;
                size_t n = 0;

                assert_non_null(dir);
                while ((entry = readdir(dir)))
                        if (entry->d_name[0] != '.') {
                                assert_int_equal(fstatat(dirfd(dir), entry->d_name, &st, 0), 0);
                                assert_int_equal(st.st_mode & 0777, 0600);
                                n++;
                        }
                assert_int_equal(n, 2); /* the database and its WAL, nothing else */
                closedir(dir);
        }
}

static void test_schema(void **state) {
        for (int kind = 0; kind < _STORE_MAX; kind++) {
                assert_true(store_schema_version((StoreKind) kind) >= 1);
                assert_null(store_schema_migration((StoreKind) kind, 0));
                assert_null(store_schema_migration((StoreKind) kind,
                                                   store_schema_version((StoreKind) kind) + 1));
        }
        assert_null(store_schema_table(_STORE_TABLE_MAX));
        for (int i = 0; i < _STORE_HEALTH_MAX; i++)
                assert_int_equal((int) store_health_from_string(store_health_to_string((StoreHealth) i)), i);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_records, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_every_table, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_insert_of_what_is_there, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_claims, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_database_refuses_two_owners, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_failures_stay_alone, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_order, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_order_between_databases, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_close_commits, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_flush, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_wrong_use, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_load_stops, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_unreadable_bodies, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_history, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_history_of_hostile_texts, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_history_is_bounded, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_same_body_writes_nothing, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_wal_is_bounded, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_wal_is_bounded_under_load, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_second_service_is_kept_out, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_files_are_private, rig_set_up, rig_tear_down),
                cmocka_unit_test(test_schema),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
