/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-rig.h"

#include "lib/limits.h"
#include "private-mounts.h"
#include "stuck-mount.h"

#define ALL_STEPS "before0 after0 before1 after1 before2 after2 "

typedef struct Fixture {
        PoolRig *rig;
        char directory[32];
        char path[48];
        StuckMount *mount;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->directory, "/tmp/test-stuck-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof(f->path), "%s/x", f->directory);
        f->mount = stuck_mount_new(f->directory);
        assert_int_equal(pool_rig_set_up((void **) &f->rig), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        if (f->mount)
                stuck_mount_release(f->mount);
        assert_int_equal(pool_rig_tear_down((void **) &f->rig), 0);
        stuck_mount_free(f->mount);
        assert_int_equal(rmdir(f->directory), 0);
        free(f);
        return 0;
}

/* Three steps, the second of which looks into the directory. */
static void plan_stuck(Fixture *f, unsigned timeout_msec) {
        pool_rig_plan(f->rig, 3, timeout_msec, -1);
        free((char *) f->rig->plan.steps[1].value);
        f->rig->plan.steps[1].value = strdup(f->path);
        assert_non_null(f->rig->plan.steps[1].value);
}

static char process_state(pid_t pid) {
        char path[64], text[512] = "", *p;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
        file = fopen(path, "re");
        if (!file)
                return '-';
        p = fgets(text, sizeof(text), file);
        fclose(file);
        p = p ? strrchr(p, ')') : NULL;
        return p ? p[2] : '-';
}

static void test_stuck_in_the_kernel(void **state) {
        Fixture *f = *state;
        PoolRig *rig = f->rig;
        RunRecord *stuck, *other;
        double begin;
        pid_t pid;

        if (!f->mount)
                skip();

        plan_stuck(f, 200);
        pool_rig_new(rig, FAKE_WORKER, 1, false);
        begin = pool_rig_now();
        stuck = pool_rig_run(rig, WORKER_EXECUTE, "stuck");
        other = pool_rig_run(rig, WORKER_EXECUTE, "good"); /* waits for its place */
        pid = worker_run_pid(stuck->run);

        pool_rig_wait(stuck);
        assert_true(pool_rig_now() - begin > 0.2 + STEP_KILL_GRACE_MSEC / 1e3);
        assert_true(pool_rig_now() - begin < 4 + STEP_KILL_GRACE_MSEC / 1e3);
        assert_int_equal(process_state(pid), 'D');
        assert_string_equal(stuck->fault.object, "pci-0000-3b-00-0");
        assert_run(stuck, "before0 after0 before1 ", -ETIMEDOUT, FAULT_DRIVER_STUCK,
                   "in step 2 of 3 (do the thing 1)");
        assert_int_equal(stuck->gone, 0);

        /* It takes nobody's place. */
        assert_run(other, ALL_STEPS, 0, FAULT_NONE, NULL);
        assert_int_equal(worker_pool_stuck(rig->pool), 1);
        assert_int_equal(worker_pool_running(rig->pool), 0);
        assert_int_equal(process_state(pid), 'D');

        /* The driver answers at last. */
        stuck_mount_release(f->mount);
        pool_rig_wait_gone(stuck);
        assert_int_equal(stuck->gone, 1);
        assert_int_equal(stuck->done, 1);
        assert_int_equal(worker_pool_stuck(rig->pool), 0);
        assert_int_equal(process_state(pid), '-');
}

/* It lets go between SIGKILL and the end of patience: a limit that was passed, nothing more. */
static void test_slow_to_die(void **state) {
        Fixture *f = *state;
        PoolRig *rig = f->rig;
        RunRecord *record;

        if (!f->mount)
                skip();

        plan_stuck(f, 200);
        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_EXECUTE, "stuck");
        pool_rig_turn(rig, 1500);
        assert_int_equal(record->done, 0);
        stuck_mount_release(f->mount);
        assert_run(record, "before0 after0 before1 ", -ETIMEDOUT, FAULT_TIMED_OUT,
                   "took too long in step 2 of 3");
        assert_int_equal(record->gone, 0);
        assert_int_equal(worker_pool_stuck(rig->pool), 0);
}

/* The end of the service does not wait for the kernel. */
static void test_end_while_stuck(void **state) {
        Fixture *f = *state;
        PoolRig *rig = f->rig;
        RunRecord *record;
        double begin;

        if (!f->mount)
                skip();

        plan_stuck(f, 100);
        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_EXECUTE, "stuck");
        assert_run(record, "before0 after0 before1 ", -ETIMEDOUT, FAULT_DRIVER_STUCK, "does not let go");

        begin = pool_rig_now();
        rig->pool = worker_pool_free(rig->pool);
        assert_true(pool_rig_now() - begin < 1);
        assert_int_equal(record->gone, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_stuck_in_the_kernel, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_slow_to_die, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_end_while_stuck, set_up, tear_down),
        };

        private_mounts();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
