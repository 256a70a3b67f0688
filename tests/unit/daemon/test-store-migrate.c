/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Databases that earlier versions of the service left: everything in them is there afterwards, and what the file is like then
 * cannot be told from a new one. */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/store-schema.h"
#include "tests/unit/daemon/store-rig.h"

#define A "allocations/5a5d3c6e-8b0f-4f0e-9b55-0f3f8a0f0001"

/* Version 1 as it was written, word for word and not from the table of migrations: who edits that instead of adding to it
 * fails here. */
static const char first_state[] =
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE groups (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE TABLE rules (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE INDEX rules_by_owner ON rules (owner);"
        "CREATE TABLE allocations (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE TABLE settings (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE TABLE quarantine (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE TABLE claims (key TEXT NOT NULL, allocation TEXT NOT NULL,"
        " exclusive INTEGER NOT NULL CHECK (exclusive IN (0, 1)), PRIMARY KEY (key, allocation)) STRICT, WITHOUT ROWID;"
        "CREATE INDEX claims_by_allocation ON claims (allocation);"
        "CREATE UNIQUE INDEX claims_exclusive ON claims (key) WHERE exclusive;"
        "CREATE TABLE history (id INTEGER PRIMARY KEY, time_usec INTEGER NOT NULL, uid INTEGER NOT NULL,"
        " verb TEXT NOT NULL, object TEXT NOT NULL, consumer TEXT NOT NULL, result TEXT NOT NULL,"
        " message TEXT NOT NULL, duration_usec INTEGER NOT NULL, devices TEXT) STRICT;";
static const char first_runtime[] =
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE progress (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE TABLE steps (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, owner TEXT, body TEXT NOT NULL) STRICT;"
        "CREATE INDEX steps_by_owner ON steps (owner);";

/* What each version could be told, in its own columns. */
static const struct {
        StoreKind kind;
        int version;
        const char *sql;
} contents[] = {
        { STORE_STATE, 1,
          "INSERT INTO groups VALUES (1, 'nics', NULL, '{\"name\":\"nics\"}'), (2, 'gpus', NULL, '{\"name\":\"gpus\"}');"
          "INSERT INTO rules VALUES (1, 'nics-r1', 'nics', '{\"action\":\"include\"}');"
          "INSERT INTO allocations VALUES (1, 'a1', NULL, '{\"consumer\":\"vm1\"}');"
          "INSERT INTO settings VALUES (1, 'maintenance', NULL, 'true');"
          "INSERT INTO quarantine VALUES (1, 'pci-0000-3b-00-0', NULL, '{\"why\":\"silent\"}');"
          "INSERT INTO claims VALUES ('pci:0000:3b:00.0', 'a1', 1), ('iommu:17', 'a1', 0);"
          "INSERT INTO history VALUES (1, 1001, 1000, 'activate', '" A "', 'vm1', 'done', '', 1500, '[\"pci-0000-3b-00-0\"]');" },
        { STORE_STATE, 2,
          "INSERT INTO history VALUES (2, 1002, 0, 'release', '" A "', 'vm1', 'done', '', 10, NULL, '7', 'b1', 'r1', 1000);" },
        { STORE_STATE, 3,
          "INSERT INTO boots VALUES (1, 'b1', NULL, '{\"first\":1}');"
          "INSERT INTO topology VALUES (1, 'b1', NULL, '[\"0000:3b:00.0\"]');" },
        { STORE_RUNTIME, 1,
          "INSERT INTO progress VALUES (1, 'a1', NULL, '{\"state\":\"active\"}');"
          "INSERT INTO steps VALUES (1, 'a1/0', 'a1', '{\"kind\":\"driver\"}');" },
};

static const char *path_of(const StoreRig *rig, StoreKind kind) {
        return kind == STORE_STATE ? rig->state_path : rig->runtime_path;
}

/* The file of a service that knew no more than `version`. */
static void leave_behind(StoreRig *rig, StoreKind kind, int version) {
        const char *path = path_of(rig, kind);
        char pragma[128];

        rig_sql(path, "PRAGMA journal_mode=WAL");
        for (int v = 1; v <= version; v++) {
                rig_sql(path, v > 1                ? store_schema_migration(kind, v)->sql
                              : kind == STORE_STATE ? first_state
                                                    : first_runtime);
                for (size_t i = 0; i < ELEMENTSOF(contents); i++)
                        if (contents[i].kind == kind && contents[i].version == v)
                                rig_sql(path, contents[i].sql);
        }
        snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d; PRAGMA user_version=%d", STORE_APPLICATION_ID, version);
        rig_sql(path, pragma);
        assert_int_equal(chmod(path, 0600), 0);
}

/* All that the file consists of, as SQLite describes it. New memory. */
static char *shape_of(const char *path) {
        sqlite3_stmt *statement;
        char *shape;
        sqlite3 *db;

        /* ALTER TABLE appends to the text of CREATE TABLE, so columns are compared and not the text. */
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db,
                                            "SELECT group_concat(line, char(10)) FROM (SELECT s.type || ' ' || s.name || ' ' ||"
                                            " ifnull((SELECT group_concat(c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' ||"
                                            "  ifnull(c.dflt_value, '-'), ', ') FROM pragma_table_info(s.name) AS c),"
                                            "  ifnull(s.sql, '')) AS line FROM sqlite_master AS s ORDER BY s.type, s.name)",
                                            -1, &statement, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        shape = strdup((const char *) sqlite3_column_text(statement, 0));
        assert_non_null(shape);
        sqlite3_finalize(statement);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return shape;
}

static const char *text_of(json_t *row, const char *key) {
        return json_string_value(json_object_get(row, key));
}

static void assert_state_is_kept(StoreRig *rig, int version) {
        json_t *row;

        rig_assert_table(rig, TABLE_GROUPS, "nics={\"name\":\"nics\"};gpus={\"name\":\"gpus\"};");
        rig_assert_table(rig, TABLE_RULES, "nics-r1(nics)={\"action\":\"include\"};");
        rig_assert_table(rig, TABLE_ALLOCATIONS, "a1={\"consumer\":\"vm1\"};");
        rig_assert_table(rig, TABLE_SETTINGS, "maintenance=true;");
        rig_assert_table(rig, TABLE_QUARANTINE, "pci-0000-3b-00-0={\"why\":\"silent\"};");
        rig_assert_claims(rig, "iommu:17:a1;!pci:0000:3b:00.0:a1;");
        rig_assert_table(rig, TABLE_BOOTS, version >= 3 ? "b1={\"first\":1};" : "");
        rig_assert_table(rig, TABLE_TOPOLOGY, version >= 3 ? "b1=[\"0000:3b:00.0\"];" : "");

        assert_int_equal(rig_history(rig, NULL), 0);
        assert_int_equal(json_array_size(rig->rows), version >= 2 ? 2 : 1);
        row = json_array_get(rig->rows, json_array_size(rig->rows) - 1);
        assert_string_equal(text_of(row, "operation"), "activate");
        assert_string_equal(text_of(row, "consumer"), "vm1");
        assert_string_equal(json_string_value(json_array_get(json_object_get(row, "devices"), 0)), "pci-0000-3b-00-0");
        /* What was not recorded in those days is empty, and not made up. */
        assert_string_equal(strempty(text_of(row, "job")), "");
        assert_string_equal(strempty(text_of(row, "boot")), "");
        if (version >= 2) {
                row = json_array_get(rig->rows, 0);
                assert_string_equal(text_of(row, "operation"), "release");
                assert_string_equal(text_of(row, "job"), "7");
                assert_string_equal(text_of(row, "boot"), "b1");
        }
}

static void assert_runtime_is_kept(StoreRig *rig) {
        rig_assert_table(rig, TABLE_PROGRESS, "a1={\"state\":\"active\"};");
        rig_assert_table(rig, TABLE_STEPS, "a1/0(a1)={\"kind\":\"driver\"};");
}

static void assert_migrated(StoreRig *rig, StoreKind kind, const char *wanted) {
        char *shape = shape_of(path_of(rig, kind));

        assert_int_equal(rig_sql_number(path_of(rig, kind), "PRAGMA user_version"), store_schema_version(kind));
        assert_string_equal(shape, wanted);
        free(shape);
}

/* The shape of a file that was made by this version. */
static char *new_shape(StoreKind kind) {
        void *state = NULL;
        StoreRig *rig;
        char *shape;

        assert_int_equal(rig_set_up(&state), 0);
        rig = state;
        rig_open(rig);
        rig_close(rig);
        shape = shape_of(path_of(rig, kind));
        assert_int_equal(rig_tear_down(&state), 0);
        return shape;
}

static void test_every_version(StoreKind kind) {
        char *wanted = new_shape(kind);

        for (int version = 1; version <= store_schema_version(kind); version++) {
                void *state = NULL;
                StoreRig *rig;

                assert_int_equal(rig_set_up(&state), 0);
                rig = state;
                leave_behind(rig, kind, version);
                for (int start = 0; start < 2; start++) { /* the second finds nothing to do */
                        rig_open(rig);
                        assert_int_equal(store_health(rig->store), STORE_OK);
                        if (kind == STORE_STATE)
                                assert_state_is_kept(rig, version);
                        else
                                assert_runtime_is_kept(rig);
                        rig_close(rig);
                        assert_migrated(rig, kind, wanted);
                }
                /* And it is one to work with: each table takes a record, those that are new here too. */
                rig_open(rig);
                for (int i = 0; i < _STORE_TABLE_MAX; i++)
                        if (store_schema_table((StoreTable) i)->kind == kind)
                                assert_int_equal(rig_put(rig, (StoreTable) i, "another", "text"), 0);
                assert_int_equal(rig_tear_down(&state), 0);
        }
        free(wanted);
}

static void test_state(void **state) {
        test_every_version(STORE_STATE);
}

static void test_runtime(void **state) {
        test_every_version(STORE_RUNTIME);
}

/* A migration that cannot be carried out changes nothing at all: what was there can be read, and is still of its version. */
static void test_all_or_nothing(void **state) {
        StoreRig *rig = *state;

        leave_behind(rig, STORE_STATE, 1);
        /* In the way of version 3; version 2 would have been done by then. */
        rig_sql(rig->state_path, "CREATE TABLE topology (x INTEGER) STRICT");
        rig_open(rig);
        assert_int_not_equal(store_health(rig->store), STORE_OK);
        assert_non_null(store_health_reason(rig->store));
        assert_true(rig_put(rig, TABLE_GROUPS, "another", "text") < 0);
        rig_close(rig);

        assert_int_equal(rig_sql_number(rig->state_path, "PRAGMA user_version"), 1);
        assert_int_equal(rig_sql_number(rig->state_path, "SELECT count(*) FROM groups"), 2);
        assert_int_equal(rig_sql_number(rig->state_path,
                                        "SELECT count(*) FROM pragma_table_info('history') WHERE name = 'job'"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_state),
                cmocka_unit_test(test_runtime),
                cmocka_unit_test_setup_teardown(test_all_or_nothing, rig_set_up, rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
