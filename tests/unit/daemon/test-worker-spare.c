/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-rig.h"

#include <signal.h>

#include "lib/limits.h"

#define ALL_STEPS "before0 after0 before1 after1 before2 after2 "

static void on_idle(void *userdata) {
        PoolRig *rig = userdata;

        rig->idle++;
}

static void test_drain(void **state) {
        PoolRig *rig = *state;
        RunRecord *running, *waiting, *late;

        pool_rig_new(rig, FAKE_WORKER, 1, true);
        running = pool_rig_run(rig, WORKER_EXECUTE, "slow");
        waiting = pool_rig_run(rig, WORKER_EXECUTE, "good");
        worker_pool_drain(rig->pool, on_idle, rig);
        late = pool_rig_refused(rig, WORKER_EXECUTE, "good");
        assert_int_equal(late->result, -ESHUTDOWN);
        assert_fault(&late->fault, FAULT_CANCELLED, "about to end");
        assert_run(waiting, "", -ECANCELED, FAULT_CANCELLED, "before it began");
        assert_int_equal(rig->idle, 0);
        assert_run(running, ALL_STEPS, 0, FAULT_NONE, NULL);
        pool_rig_turn(rig, 200);
        assert_int_equal(rig->idle, 1);
        pool_rig_wait_children(rig, 0); /* the spare is gone too, and no new one came */

        worker_pool_free(rig->pool);
        rig->idle = 0;
        pool_rig_new(rig, FAKE_WORKER, 1, true);
        pool_rig_turn(rig, 100);
        worker_pool_drain(rig->pool, on_idle, rig);
        assert_int_equal(rig->idle, 0);
        pool_rig_turn(rig, 100);
        assert_int_equal(rig->idle, 1);
}

/* What is left over after "done" is nobody's concern, but it does not stay for ever. */
static void test_after_done(void **state) {
        PoolRig *rig = *state;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "talk-after-done"), ALL_STEPS, 0, FAULT_NONE, NULL);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "linger"), ALL_STEPS, 0, FAULT_NONE, NULL);
        pool_rig_wait_children(rig, 1);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "good"), ALL_STEPS, 0, FAULT_NONE, NULL);
        pool_rig_wait_children(rig, 0);
}

static pid_t only_child(void) {
        char path[64], text[64] = "";
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int) getpid());
        file = fopen(path, "re");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        fclose(file);
        return (pid_t) strtol(text, NULL, 10);
}

static bool has_only_a_new_spare(pid_t old) {
        return pool_rig_children() == 1 && only_child() != old;
}

/* A spare, another one than `old`, and nothing else, for a while: what ran before may still be on its way out. */
static void wait_for_spare(PoolRig *rig, pid_t old) {
        double end = pool_rig_now() + 5;

        do {
                pool_rig_turn(rig, has_only_a_new_spare(old) ? 100 : 20);
        } while (!has_only_a_new_spare(old) && pool_rig_now() < end);
        assert_int_equal(pool_rig_children(), 1);
        assert_true(only_child() != old);
}

static void test_spare(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;
        pid_t spare;

        pool_rig_new(rig, FAKE_WORKER, 2, true);
        assert_int_equal(pool_rig_children(), 0); /* not before the loop is idle */
        wait_for_spare(rig, 0);
        assert_int_equal(worker_pool_running(rig->pool), 0);
        spare = only_child();

        /* It is used, and used again, as long as all goes well. */
        for (size_t i = 0; i < 3; i++) {
                record = pool_rig_run(rig, WORKER_EXECUTE, "good");
                assert_int_equal(worker_run_pid(record->run), spare);
                assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
                pool_rig_turn(rig, 20);
                assert_int_equal(pool_rig_children(), 1);
        }
        record = pool_rig_run(rig, WORKER_EXECUTE, "fail");
        assert_int_equal(worker_run_pid(record->run), spare);
        pool_rig_wait(record);
        assert_true(record->result < 0);
        wait_for_spare(rig, spare);

        /* Not for ever. */
        spare = only_child();
        for (size_t i = 0; i < WORKER_RUNS_MAX; i++) {
                record = pool_rig_run(rig, WORKER_EXECUTE, "good");
                assert_int_equal(worker_run_pid(record->run), spare);
                assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        }
        wait_for_spare(rig, spare);

        /* One that died is not used. */
        spare = only_child();
        assert_int_equal(kill(spare, SIGKILL), 0);
        usleep(50000);
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        assert_true(worker_run_pid(record->run) != spare);
        assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        wait_for_spare(rig, spare);
}

/* Who looks at the host remembers what it saw: it stays, and operations have another one. */
static void test_who_looks(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;
        pid_t looks, works;

        pool_rig_new(rig, FAKE_WORKER, 2, true);
        wait_for_spare(rig, 0);
        looks = only_child();
        record = pool_rig_run(rig, WORKER_GUARD, "good");
        assert_int_equal(worker_run_pid(record->run), looks);
        pool_rig_wait(record);
        assert_int_equal(record->result, 0);
        pool_rig_wait_children(rig, 2);

        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        works = worker_run_pid(record->run);
        assert_true(works != looks);
        assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        for (size_t i = 0; i < WORKER_RUNS_MAX; i++) {
                record = pool_rig_run(rig, WORKER_GUARD, "good");
                assert_int_equal(worker_run_pid(record->run), looks);
                pool_rig_wait(record);
                assert_int_equal(record->result, 0);
        }
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        assert_int_equal(worker_run_pid(record->run), works);
        assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        assert_int_equal(pool_rig_children(), 2);
}

/* A spare that cannot live is tried a few times, more and more seldom: it must not keep the machine busy. */
static void test_spare_that_dies(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_begin("once");
        pool_rig_new(rig, FAKE_WORKER, 2, true);
        pool_rig_turn(rig, 500);
        pool_rig_wait_children(rig, 0);

        /* Not at once, and not for ever: the first time it comes again after a second. */
        pool_rig_begin("");
        pool_rig_turn(rig, 100);
        assert_int_equal(pool_rig_children(), 0);
        wait_for_spare(rig, 0);

        assert_int_equal(kill(only_child(), SIGKILL), 0);
        pool_rig_wait_children(rig, 0);
        /* A worker that works shows that it is worth another try. */
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        wait_for_spare(rig, 0);
}

static void test_spare_that_talks(void **state) {
        PoolRig *rig = *state;

        pool_rig_begin("talk");
        pool_rig_new(rig, FAKE_WORKER, 2, true);
        pool_rig_wait_children(rig, 1);
        pool_rig_wait_children(rig, 0);
        pool_rig_begin("");
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "good"), ALL_STEPS, 0, FAULT_NONE, NULL);
}

static void test_free_while_running(void **state) {
        PoolRig *rig = *state;
        RunRecord *records[4];

        pool_rig_new(rig, FAKE_WORKER, 2, true);
        pool_rig_turn(rig, 100);
        for (size_t i = 0; i < ELEMENTSOF(records); i++)
                records[i] = pool_rig_run(rig, WORKER_EXECUTE, "hang-step");
        assert_int_equal(worker_run_stop(records[3]->run), 0);
        while (!strstr(records[0]->log, "before1"))
                assert_true(sd_event_run(rig->event, UINT64_MAX) >= 0);
        rig->pool = worker_pool_free(rig->pool);
        pool_rig_turn(rig, 100);
        assert_int_equal(records[0]->done + records[1]->done + records[2]->done, 0);
        assert_int_equal(pool_rig_children(), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_drain, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_after_done, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_spare, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_who_looks, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_spare_that_dies, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_spare_that_talks, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_free_while_running, pool_rig_set_up,
                                                pool_rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
