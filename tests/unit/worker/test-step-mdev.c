/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/macro.h"

#define UUID "bb8aca09-c739-494c-8327-cb86efd5716e"
#define OTHER "bb8aca09-c739-494c-8327-cb86efd5716f"

/* Changing owners needs root, as the worker has it. */
#define SKIP_UNLESS_ROOT()                                                                                  \
        do {                                                                                                \
                if (geteuid() != 0)                                                                         \
                        skip();                                                                             \
        } while (0)

static json_t *mdev_steps(const char *type, const char *uuid) {
        return json_pack("[o]", make_step("create-mdev", FAKE_NIC_ID,
                                          json_pack("{s:s, s:s, s:i, s:i, s:i, s:i}", "name", type, "value", uuid, "uid", 64055,
                                                    "gid", 108, "mode", 0660, "timeout_ms", 1500)));
}

static void make_parent(Rig *rig) {
        fake_kernel_reset(&rig->host);
        fake_make_directory(&rig->host, fake_attribute("pci", FAKE_NIC, "mdev_supported_types/mtty-1"));
        fake_write_file(&rig->host, fake_attribute("pci", FAKE_NIC, "mdev_supported_types/mtty-1/create"), "");
}

static bool exists(Rig *rig, const char *path) {
        char full[512];
        struct stat st;

        (void) snprintf(full, sizeof(full), "%s/%s", rig->host.root, path);
        return lstat(full, &st) >= 0;
}

static void assert_owner(Rig *rig, uid_t uid, gid_t gid, mode_t mode) {
        char path[512];
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/dev/vfio/18", rig->host.root);
        assert_return_code(stat(path, &st), errno);
        assert_int_equal(st.st_uid, uid);
        assert_int_equal(st.st_gid, gid);
        assert_int_equal(st.st_mode & 07777, mode);
}

static void test_made_and_removed(void **state) {
        json_t *steps = mdev_steps("mtty-1", UUID);
        Rig *rig = *state;
        Report done, undone;

        SKIP_UNLESS_ROOT();
        make_parent(rig);
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_contains(report_text(&done, 0), "/dev/vfio/18");
        assert_true(exists(rig, "sys/bus/mdev/devices/" UUID));
        assert_owner(rig, 64055, 108, 0660);

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_false(exists(rig, "sys/bus/mdev/devices/" UUID));
        report_done(&undone);

        /* What is gone needs nothing. */
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        report_done(&undone);
        report_done(&done);
        json_decref(steps);
}

static void test_lets_go_late(void **state) {
        json_t *steps = mdev_steps("mtty-1", UUID);
        Rig *rig = *state;
        Report done, undone;

        SKIP_UNLESS_ROOT();
        make_parent(rig);
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);

        rig->host.kernel->mdev_busy = 2;
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_int_equal(rig->host.kernel->mdev_busy, 0);
        assert_false(exists(rig, "sys/bus/mdev/devices/" UUID));
        report_done(&undone);
        report_done(&done);

        /* Never: said with the kernel's reason, and tried again by the next undo. */
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        rig->host.kernel->mdev_busy = 1000;
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, -EAGAIN);
        assert_string_equal(report_code(&undone, 0), "DeviceBusy");
        assert_contains(report_error(&undone, 0), "does not let go");
        report_done(&undone);
        rig->host.kernel->mdev_busy = 0;
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        report_done(&undone);
        report_done(&done);
        json_decref(steps);
}

static void test_refused(void **state) {
        json_t *steps = mdev_steps("mtty-1", UUID), *gone = mdev_steps("mtty-9", UUID);
        Rig *rig = *state;
        Report done;

        make_parent(rig);
        rig->host.kernel->mdev_full = true;
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, -ENOSPC);
        assert_string_equal(report_code(&done, 0), "NoDeviceAvailable");
        assert_contains(report_error(&done, 0), "mtty-1");
        report_done(&done);

        /* A type that was withdrawn since the plan was made: nothing is begun. */
        make_parent(rig);
        done = rig_execute(rig, gone);
        assert_int_equal(done.result, -ENOENT);
        assert_contains(report_error(&done, 0), "offers no mediated devices of the type mtty-9");
        assert_int_equal(rig->host.kernel->n_writes, 0);
        report_done(&done);
        json_decref(steps);
        json_decref(gone);
}

/* Somebody else's is neither taken nor removed. */
static void test_taken(void **state) {
        json_t *steps = mdev_steps("mtty-1", OTHER);
        Rig *rig = *state;
        Report done, again, undone;

        SKIP_UNLESS_ROOT();
        make_parent(rig);
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        fake_kernel_reset(&rig->host);
        again = rig_execute(rig, steps);
        assert_int_equal(again.result, -EEXIST);
        assert_int_equal(rig->host.kernel->n_writes, 0);
        assert_true(exists(rig, "sys/bus/mdev/devices/" OTHER));
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        report_done(&undone);
        report_done(&again);
        report_done(&done);
        json_decref(steps);
}

/* No driver for it: what was made is found by the undo. */
static void test_without_node(void **state) {
        json_t *steps = mdev_steps("mtty-1", UUID);
        Rig *rig = *state;
        Report done, undone;

        make_parent(rig);
        if (exists(rig, "dev/vfio/18"))
                fake_remove_file(&rig->host, "dev/vfio/18");
        rig->host.kernel->mdev_without_node = true;
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, -ETIMEDOUT);
        assert_contains(report_error(&done, 0), "no VFIO node");
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_false(exists(rig, "sys/bus/mdev/devices/" UUID));
        report_done(&undone);
        report_done(&done);
        json_decref(steps);
}

/* The worker dies at the write, before or after its effect. */
static void test_interrupted(void **state) {
        Rig *rig = *state;

        SKIP_UNLESS_ROOT();
        for (int after = 0; after < 2; after++) {
                json_t *steps = mdev_steps("mtty-1", UUID);
                Report done, undone;

                make_parent(rig);
                rig->host.kernel->die_at = 1;
                rig->host.kernel->die_after = after;
                done = rig_execute(rig, steps);
                assert_true(done.died);
                assert_int_equal(exists(rig, "sys/bus/mdev/devices/" UUID), after);
                (void) rig_stop(rig);
                fake_kernel_reset(&rig->host);
                rig_start(rig);
                undone = rig_undo(rig, steps, done.observed);
                assert_int_equal(undone.result, 0);
                assert_false(exists(rig, "sys/bus/mdev/devices/" UUID));
                report_done(&undone);
                report_done(&done);
                json_decref(steps);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_made_and_removed), TEST(test_lets_go_late), TEST(test_refused),
                TEST(test_taken),            TEST(test_without_node), TEST(test_interrupted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
