/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "private-mounts.h"
#include "store-rig.h"

#include <sys/mount.h>

/* Writes records and dies: the last of them are in the WAL only. */
static void write_and_die(StoreRig *rig, void *userdata) {
        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "a", "x"), 0);
        assert_int_equal(rig_put(rig, TABLE_GROUPS, "in-wal", "y"), 0);
}

static void mount_tmpfs(const char *path, const char *options) {
        assert_int_equal(mount("tmpfs", path, "tmpfs", 0, options), 0);
}

static void fill(const char *directory) {
        _cleanup_free_ char *block = repeat('f', 65536);
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/filler", directory);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        for (size_t size = 65536; size > 0; size /= 2)
                while (write(fd, block, size) == (ssize_t) size)
                        ;
        close(fd);
}

static void empty(const char *directory) {
        char path[128];

        snprintf(path, sizeof(path), "%s/filler", directory);
        assert_int_equal(unlink(path), 0);
}

static size_t count_records(StoreRig *rig, StoreTable table) {
        char *dump = rig_dump(rig, table);
        size_t n = 0;

        for (char *p = dump; *p; p++)
                n += *p == ';';
        free(dump);
        return n;
}

/* Others have filled the disk: what does not make the database larger goes on for as long as it takes. */
static void give_back_on_full_disk(StoreRig *rig) {
        for (int i = 0; i < 200; i++) {
                StoreTxn *txn;

                assert_int_equal(rig_put(rig, TABLE_ALLOCATIONS, "a", i % 2 ? "activating" : "deactivating"),
                                 0);
                assert_int_equal(rig_put(rig, TABLE_ALLOCATIONS, "b", i % 2 ? "x" : "y"), 0);
                txn = store_begin(rig->store, STORE_STATE);
                store_remove(txn, TABLE_ALLOCATIONS, "b");
                store_unclaim(txn, "b");
                assert_int_equal(rig_commit(rig, txn), 0);
        }
}

static void keep_result(void *userdata, int result, const Fault *fault) {
        *(int *) userdata = result;
}

static void test_full_disk(void **state) {
        StoreRig *rig = *state;
        int results[2] = { 1, 1 };
        _cleanup_free_ char *text = repeat('x', 4000);
        json_t *body;
        unsigned written = 0;
        StoreTxn *txn;
        char key[16];
        int r;

        mount_tmpfs(rig->state_directory, "size=4m");
        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_ALLOCATIONS, "a", "x"), 0);
        assert_int_equal(rig_put(rig, TABLE_ALLOCATIONS, "b", "x"), 0);
        store_flush(rig->store);
        fill(rig->state_directory);
        give_back_on_full_disk(rig);

        for (;;) {
                snprintf(key, sizeof(key), "%u", written);
                r = rig_put(rig, TABLE_GROUPS, key, text);
                if (r < 0)
                        break;
                written++;
                assert_true(written < 4000);
        }
        assert_int_equal(r, -ENOSPC);
        assert_fault(&rig->fault, FAULT_OUT_OF_SPACE, "no space is left");
        assert_int_equal(store_health(rig->store), STORE_OK);
        assert_int_equal(count_records(rig, TABLE_GROUPS), written);

        /* With room for one of them, one that is too large does not take the other with it. */
        empty(rig->state_directory);
        body = json_string(text);
        for (int i = 0; i < 2; i++) {
                txn = store_begin(rig->store, STORE_STATE);
                for (int k = 0; k < (i == 0 ? 2000 : 1); k++) {
                        snprintf(key, sizeof(key), "%s-%d", i == 0 ? "large" : "fits", k);
                        store_put(txn, TABLE_SETTINGS, key, NULL, body);
                }
                assert_int_equal(store_commit(txn, keep_result, &results[i]), 0);
        }
        json_decref(body);
        while (results[1] == 1)
                assert_true(sd_event_run(rig->event, UINT64_MAX) >= 0);
        assert_int_equal(results[0], -ENOSPC);
        assert_int_equal(results[1], 0);
        assert_int_equal(count_records(rig, TABLE_SETTINGS), 1);

        rig_reopen(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        assert_int_equal(count_records(rig, TABLE_GROUPS), written);
        assert_int_equal(count_records(rig, TABLE_SETTINGS), 1);
        rig_assert_table(rig, TABLE_ALLOCATIONS, "a=\"activating\";");
        rig_close(rig);
        assert_int_equal(umount(rig->state_directory), 0);
}

/* No room for the first database of all: the service starts, and says what is wrong. */
static void test_full_at_first_start(void **state) {
        StoreRig *rig = *state;

        mount_tmpfs(rig->state_directory, "size=16k");
        fill(rig->state_directory);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_READ_ONLY);
        assert_non_null(strstr(store_health_reason(rig->store), "no space is left"));
        rig_assert_table(rig, TABLE_GROUPS, "");
        rig_close(rig);
        empty(rig->state_directory);
        assert_int_equal(umount(rig->state_directory), 0);

        mount_tmpfs(rig->state_directory, "nr_inodes=1");
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_READ_ONLY);
        assert_non_null(strstr(store_health_reason(rig->store), "No space left"));
        rig_close(rig);
        assert_int_equal(umount(rig->state_directory), 0);
}

/* A start on a full disk still reads, and still gives back. */
static void test_full_at_start(void **state) {
        StoreRig *rig = *state;

        mount_tmpfs(rig->state_directory, "size=2m");
        rig_in_child(rig, write_and_die, NULL);
        fill(rig->state_directory);
        rig_open(rig);
        assert_int_equal(store_health(rig->store), STORE_OK);
        rig_assert_table(rig, TABLE_GROUPS, "a=\"x\";in-wal=\"y\";");
        rig_close(rig);
        assert_int_equal(umount(rig->state_directory), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_full_disk, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_full_at_first_start, rig_set_up, rig_tear_down),
                cmocka_unit_test_setup_teardown(test_full_at_start, rig_set_up, rig_tear_down),
        };

        private_mounts();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
