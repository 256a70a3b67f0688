/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "private-mounts.h"
#include "store-rig.h"

#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define RECORDS 40

typedef struct Bytes {
        unsigned char *data;
        size_t length;
} Bytes;

static Bytes read_bytes(const char *path) {
        Bytes bytes = { 0 };
        struct stat st;
        FILE *file = fopen(path, "re");

        assert_non_null(file);
        assert_int_equal(fstat(fileno(file), &st), 0);
        bytes.length = (size_t) st.st_size;
        bytes.data = malloc(bytes.length + 1);
        assert_non_null(bytes.data);
        assert_int_equal(fread(bytes.data, 1, bytes.length, file), bytes.length);
        fclose(file);
        return bytes;
}

static void write_bytes(const char *path, const void *data, size_t length) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(data, 1, length, file), length);
        assert_int_equal(fclose(file), 0);
}

/* A closed state.db of several pages, whole. */
static Bytes make_state(StoreRig *rig) {
        _cleanup_free_ char *text = repeat('x', 500);
        StoreTxn *txn;
        json_t *body = json_string(text);
        char key[16];

        rig_open(rig);
        txn = store_begin(rig->store, STORE_STATE);
        for (int i = 0; i < RECORDS; i++) {
                snprintf(key, sizeof(key), "group-%d", i);
                store_put(txn, TABLE_GROUPS, key, NULL, body);
                store_claim(txn, key, true, "allocation");
        }
        json_decref(body);
        assert_int_equal(rig_commit(rig, txn), 0);
        rig_close(rig);
        return read_bytes(rig->state_path);
}

static void clear_state(StoreRig *rig) {
        char command[128], *entry, *list = rig_list(rig, "state.db"), *rest = list;

        while ((entry = strsep(&rest, " ")))
                if (entry[0]) {
                        snprintf(command, sizeof(command), "%s/%s", rig->state_directory, entry);
                        assert_int_equal(unlink(command), 0);
                }
        free(list);
}

/* The path of the one damaged file that was kept. */
static void kept_path(const StoreRig *rig, char *buffer, size_t size) {
        char *list = rig_list(rig, "state.db.damaged-");

        assert_string_not_equal(list, "");
        assert_null(strchr(list, ' '));
        assert_true((size_t) snprintf(buffer, size, "%s/%s", rig->state_directory, list) < size);
        free(list);
}

static void assert_begun_anew(StoreRig *rig, const char *reason, const void *bytes, size_t length) {
        char kept[256];
        Bytes found;

        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        if (!strstr(store_health_reason(rig->store), reason))
                fail_msg("\"%s\" does not say \"%s\"", store_health_reason(rig->store), reason);

        /* What was there is kept, byte for byte. */
        kept_path(rig, kept, sizeof(kept));
        assert_non_null(strstr(store_health_reason(rig->store), kept));
        found = read_bytes(kept);
        assert_int_equal(found.length, length);
        assert_memory_equal(found.data, bytes, length);
        free(found.data);

        /* The new one is empty and works. */
        rig_assert_table(rig, TABLE_GROUPS, "");
        rig_assert_claims(rig, "");
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "new", "x"), 0);
}

static void test_truncated(void **state) {
        StoreRig *rig = *state;
        Bytes whole = make_state(rig);
        const size_t lengths[] = {
                0, 1, 99, 100, 512, 4095, 4096, 8192, whole.length / 2, whole.length - 1
        };

        assert_true(whole.length > 10 * 4096);
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                clear_state(rig);
                write_bytes(rig->state_path, whole.data, lengths[i]);
                assert_begun_anew(rig, "state.db", whole.data, lengths[i]);
                rig_close(rig);
        }
        free(whole.data);
}

/* The service stays degraded over restarts until somebody has taken note. */
static void test_acknowledge(void **state) {
        StoreRig *rig = *state;
        Bytes whole = make_state(rig);
        char *list;

        write_bytes(rig->state_path, "nonsense", 8);
        assert_begun_anew(rig, "not a database", "nonsense", 8);
        for (int i = 0; i < 2; i++) {
                rig_reopen(rig);
                assert_int_equal(store_health(rig->store), STORE_DAMAGED);
                assert_non_null(strstr(store_health_reason(rig->store), "not a database"));
        }
        list = rig_list(rig, "state.db.damaged-");
        assert_null(strchr(list, ' ')); /* once is enough */
        free(list);

        assert_int_equal(store_acknowledge(rig->store, rig_done, rig), 0);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        rig_wait(rig, 1);
        assert_int_equal(rig->result, 0);
        assert_int_equal(store_health(rig->store), STORE_OK);
        assert_null(store_health_reason(rig->store));
        rig_reopen(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        rig_assert_table(rig, TABLE_GROUPS, "new=\"x\";");
        free(whole.data);
}

static void test_flipped_bits_that_matter(void **state) {
        StoreRig *rig = *state;
        Bytes whole = make_state(rig);
        static const size_t offsets[] = {
                0,                  /* "SQLite format 3" */
                15,       17,       /* size of pages */
                31,                 /* number of pages */
                68,                 /* whose database it is */
                100,                /* kind of the first page */
                4096,     3 * 4096, /* of others */
                4096 + 3,           /* number of cells */
        };

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                clear_state(rig);
                whole.data[offsets[i]] ^= 0x40;
                write_bytes(rig->state_path, whole.data, whole.length);
                assert_begun_anew(rig, "state.db", whole.data, whole.length);
                rig_close(rig);
                whole.data[offsets[i]] ^= 0x40;
        }
        free(whole.data);
}

static int count(void *userdata, const char *key, const char *owner, json_t *body) {
        ++*(int *) userdata;
        return 0;
}

/* Anywhere: never a crash, never a service that does not start. */
static void test_flipped_bits_anywhere(void **state) {
        StoreRig *rig = *state;
        Bytes whole = make_state(rig);
        unsigned damaged = 0;

        srandom(1);
        for (int i = 0; i < 150; i++) {
                size_t offset = (size_t) random() % whole.length, bit = (size_t) random() % 8;
                _cleanup_fault_ Fault fault = { 0 };
                int records = 0, r;

                clear_state(rig);
                whole.data[offset] ^= (unsigned char) (1 << bit);
                write_bytes(rig->state_path, whole.data, whole.length);
                whole.data[offset] ^= (unsigned char) (1 << bit);

                rig_open(rig);
                r = store_load(rig->store, TABLE_GROUPS, count, &records, &fault);
                if (store_health(rig->store) == STORE_DAMAGED) {
                        assert_int_equal(r, 0);
                        assert_int_equal(records, 0);
                        damaged++;
                } else {
                        assert_int_equal(store_health(rig->store), STORE_OK);
                        assert_true(r == 0 || r == -EUCLEAN);
                        assert_true(records <= RECORDS);
                        (void) rig_put(rig, TABLE_GROUPS, "group-1", "y");
                }
                rig_close(rig);
        }
        assert_true(damaged > 0);
        free(whole.data);
}

static void test_foreign_database(void **state) {
        StoreRig *rig = *state;
        Bytes bytes;

        rig_sql(rig->state_path, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        bytes = read_bytes(rig->state_path);
        assert_begun_anew(rig, "is no database of this service", bytes.data, bytes.length);
        free(bytes.data);
}

/* A database that is gone while something says that there was one: an empty one would give away what is
 * in use. */
static void test_missing_database(void **state) {
        StoreRig *rig = *state;
        char path[128];

        /* Set aside, and then the power went. */
        snprintf(path, sizeof(path), "%s.damaged-20250101T000000Z", rig->state_path);
        write_bytes(path, "x", 1);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        assert_non_null(strstr(store_health_reason(rig->store), "state.db is missing, but there is"));
        rig_close(rig);
        clear_state(rig);

        /* A WAL without its database must never become part of another. */
        snprintf(path, sizeof(path), "%s-wal", rig->state_path);
        write_bytes(path, "some frames", 11);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        rig_close(rig);
        clear_state(rig);

        /* The first start was cut off: nothing is lost. */
        snprintf(path, sizeof(path), "%s.new", rig->state_path);
        write_bytes(path, "half", 4);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
}

static void test_damaged_runtime(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        assert_int_equal(rig_put(rig, TABLE_PROGRESS, "a", "x"), 0);
        rig_close(rig);
        write_bytes(rig->runtime_path, "y", 1);

        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        assert_non_null(strstr(store_health_reason(rig->store), "runtime.db"));
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";");
        rig_assert_table(rig, TABLE_PROGRESS, "");
        rig_reopen(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        assert_int_equal(store_acknowledge(rig->store, rig_done, rig), 0);
        rig_wait(rig, 1);
        assert_int_equal(store_health(rig->store), STORE_OK);
        rig_reopen(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
}

/* Pages that go bad while the service runs. */
static void test_damage_in_operation(void **state) {
        StoreRig *rig = *state;
        _cleanup_free_ char *text = repeat('x', 3500), *garbage = repeat('\xa5', 4096);
        int fd, r = 0;

        rig_open(rig);
        for (int i = 0; i < 10; i++) {
                StoreTxn *txn = store_begin(rig->store, STORE_STATE);
                json_t *body = json_string(text);
                char key[16];

                for (int k = 0; k < 100; k++) {
                        snprintf(key, sizeof(key), "%d-%d", i, k);
                        store_put(txn, TABLE_GROUPS, key, NULL, body);
                }
                json_decref(body);
                assert_int_equal(rig_commit(rig, txn), 0);
        }
        rig_reopen(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);

        fd = open(rig->state_path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (off_t page = 20; page < 1000; page++)
                assert_int_equal(pwrite(fd, garbage, 4096, page * 4096), 4096);
        /* Not closed before the store is: closing gives up the locks that this process has on the file. */
        for (int i = 0; i < 10 && r == 0; i++) {
                char key[16];

                snprintf(key, sizeof(key), "%d-50", i);
                r = rig_put(rig, TABLE_GROUPS, key, "y");
        }
        assert_int_equal(r, -EUCLEAN);
        assert_fault(&rig->fault, FAULT_STATE_DAMAGED, "malformed");
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        assert_non_null(strstr(store_health_reason(rig->store), "malformed"));
        rig_close(rig);
        close(fd);

        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        rig_assert_table(rig, TABLE_GROUPS, "");
}

/* Everything in the directory: names and contents. */
static char *fingerprint(const StoreRig *rig) {
        char *list = rig_list(rig, "state.db"), *all = NULL, *rest = list, *entry;
        size_t length = 0;
        FILE *out = open_memstream(&all, &length);

        while ((entry = strsep(&rest, " "))) {
                char path[256];
                Bytes bytes;
                uint64_t hash = 14695981039346656037u;

                snprintf(path, sizeof(path), "%s/%s", rig->state_directory, entry);
                bytes = read_bytes(path);
                for (size_t i = 0; i < bytes.length; i++)
                        hash = (hash ^ bytes.data[i]) * 1099511628211u;
                fprintf(out, "%s %zu %llx\n", entry, bytes.length, (unsigned long long) hash);
                free(bytes.data);
        }
        fclose(out);
        free(list);
        return all;
}

static void assert_reads_only(StoreRig *rig, const char *reason, const char *groups) {
        char *before = fingerprint(rig), *after;

        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_READ_ONLY);
        if (!strstr(store_health_reason(rig->store), reason))
                fail_msg("\"%s\" does not say \"%s\"", store_health_reason(rig->store), reason);
        rig_assert_table(rig, TABLE_GROUPS, groups);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "b", "x"), -EROFS);
        assert_fault(&rig->fault, FAULT_READ_ONLY_STATE, reason);
        assert_int_equal(rig_history(rig, NULL), 0);
        rig_assert_table(rig, TABLE_GROUPS, groups);
        rig_close(rig);

        after = fingerprint(rig);
        assert_string_equal(before, after);
        free(before);
        free(after);
}

static void test_newer_schema(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        rig_close(rig);
        rig_sql(rig->state_path, "PRAGMA user_version = 99; CREATE TABLE future (a); ALTER TABLE groups ADD "
                                 "COLUMN more TEXT");
        assert_reads_only(rig, "newer version of the service (schema 99, this one knows 4)", "a=\"x\";");
}

/* Writes records and dies: the last of them are in the WAL only. */
static void write_and_die(StoreRig *rig, void *userdata) {
        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "in-wal", "y"), 0);
}

/* A newer service, killed. */
static void upgrade_and_die(StoreRig *rig, void *userdata) {
        sqlite3 *db;

        assert_int_equal(sqlite3_open(rig->state_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA user_version = 99;"
                                      "INSERT INTO groups (key, body) VALUES ('w', 'true')",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
}

static void test_newer_schema_with_wal(void **state) {
        StoreRig *rig = *state;

        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        rig_close(rig);
        rig_in_child(rig, upgrade_and_die, NULL);
        assert_reads_only(rig, "schema 99", "a=\"x\";w=true;");
}

static void bind_read_only(const char *path) {
        assert_int_equal(mount(path, path, NULL, MS_BIND, NULL), 0);
        assert_int_equal(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
}

static void test_read_only_mount(void **state) {
        StoreRig *rig = *state;

        rig_in_child(rig, write_and_die, NULL);
        bind_read_only(rig->state_directory);
        assert_reads_only(rig, "cannot be written: Read-only file system", "a=\"x\";in-wal=\"y\";");
        assert_int_equal(umount(rig->state_directory), 0);

        /* And then it can be written again. */
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";in-wal=\"y\";");
}

static void test_read_only_and_empty(void **state) {
        StoreRig *rig = *state;

        bind_read_only(rig->state_directory);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_READ_ONLY);
        rig_assert_table(rig, TABLE_GROUPS, "");
        rig_assert_claims(rig, "");
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "b", "x"), -EROFS);
        rig_close(rig);
        assert_int_equal(umount(rig->state_directory), 0);
}

static void test_read_only_and_damaged(void **state) {
        StoreRig *rig = *state;

        write_bytes(rig->state_path, "nonsense", 8);
        bind_read_only(rig->state_directory);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_DAMAGED);
        assert_non_null(strstr(store_health_reason(rig->store), "not a database"));
        rig_assert_table(rig, TABLE_GROUPS, "");
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "b", "x"), -EROFS);
        rig_close(rig);
        assert_int_equal(umount(rig->state_directory), 0);
}

static void test_read_only_runtime(void **state) {
        StoreRig *rig = *state;

        rig_in_child(rig, write_and_die, NULL);
        bind_read_only(rig->runtime_directory);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_READ_ONLY);
        assert_non_null(strstr(store_health_reason(rig->store), "/run cannot be written"));
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";in-wal=\"y\";");
        assert_int_equal(rig_put(rig, TABLE_PROGRESS, "b", "x"), -EROFS);
        rig_close(rig);
        assert_int_equal(umount(rig->runtime_directory), 0);
}

static void read_as_nobody(StoreRig *rig, void *userdata) {
        const char *groups = userdata;

        assert_int_equal(setresuid(65534, 65534, 65534), 0);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_READ_ONLY);
        assert_non_null(strstr(store_health_reason(rig->store), "Permission denied"));
        rig_assert_table(rig, TABLE_GROUPS, groups);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "b", "x"), -EROFS);
}

static void set_modes(const StoreRig *rig, mode_t mode) {
        char path[128];

        snprintf(path, sizeof(path), "%s-wal", rig->state_path);
        assert_int_equal(chmod(rig->state_path, mode), 0);
        assert_int_equal(chmod(path, mode), 0);
}

/* Permissions, as a service without CAP_DAC_OVERRIDE meets them. */
static void test_without_permission(void **state) {
        StoreRig *rig = *state;

        rig_in_child(rig, write_and_die, NULL);
        assert_int_equal(unlink(rig->runtime_path), 0);
        assert_int_equal(chmod(rig->directory, 0755), 0);
        assert_int_equal(chmod(rig->state_directory, 0755), 0);
        if (chown(rig->runtime_directory, 65534, 65534) < 0)
                skip(); /* there is nobody else in a user namespace of one */

        set_modes(rig, 0644);
        rig_in_child(rig, read_as_nobody, (void *) "a=\"x\";in-wal=\"y\";");
        set_modes(rig, 0600);
        rig_in_child(rig, read_as_nobody, (void *) "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_truncated, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_acknowledge, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_flipped_bits_that_matter, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_flipped_bits_anywhere, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_foreign_database, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_missing_database, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_damaged_runtime, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_damage_in_operation, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_newer_schema, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_newer_schema_with_wal, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_read_only_mount, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_read_only_and_empty, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_read_only_and_damaged, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_read_only_runtime, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_without_permission, rig_set_up, rig_tear_down),
        };

        private_mounts();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
