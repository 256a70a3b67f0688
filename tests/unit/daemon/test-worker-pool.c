/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool-rig.h"

#include <signal.h>

#include "lib/limits.h"

#define ALL_STEPS "before0 after0 before1 after1 before2 after2 "

static void test_execute(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        assert_int_equal(worker_pool_running(rig->pool), 1);
        assert_string_equal(record->log, ""); /* nothing is called back inside the call */
        assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        assert_int_equal(worker_pool_running(rig->pool), 0);

        pool_rig_plan(rig, 0, 100, -1);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "good"), "", 0, FAULT_NONE, NULL);
}

/* The service may take its time: it waits for a commit, not for a device. */
static void test_go_later(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_plan(rig, 2, 50, -1);
        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        record->hold = true;
        assert_int_equal(worker_run_go(record->run), -EINVAL); /* nobody asked yet */
        pool_rig_turn(rig, 1000);
        assert_string_equal(record->log, "before0 ");
        record->hold = false;
        assert_int_equal(worker_run_go(record->run), 0);
        assert_run(record, "before0 after0 before1 after1 ", 0, FAULT_NONE, NULL);
}

static void test_large_messages(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_EXECUTE, "large");
        assert_run(record, ALL_STEPS, 0, FAULT_NONE, NULL);
        assert_int_equal(record->observed_length, WORKER_MESSAGE_MAX - 1001);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "chatty"), ALL_STEPS, 0, FAULT_NONE, NULL);
}

/* Every way to go wrong in the second of three steps: what is reported, what was seen, and that the pool
 * is of use after. */
static void test_misbehaviour(void **state) {
        static const struct {
                const char *job;
                const char *log;
                int result;
                FaultCode code;
                const char *words;
        } cases[] = {
                { "crash-step", "before0 after0 before1 ", -ECONNRESET, FAULT_WORKER_FAILED,
                  "The worker was killed by SIGSEGV in step 2 of 3 (do the thing 1)" },
                { "exit-step", "before0 after0 before1 ", -ECONNRESET, FAULT_WORKER_FAILED,
                  "The worker ended with status 7 in step 2 of 3 (do the thing 1)" },
                { "close", "before0 after0 before1 ", -ECONNRESET, FAULT_WORKER_FAILED,
                  "ended with status 5 in step 2 of 3" },
                { "close-and-hang", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "closed its socket in step 2 of 3" },
                { "hang-step", "before0 after0 before1 ", -ETIMEDOUT, FAULT_TIMED_OUT,
                  "took too long in step 2 of 3 (do the thing 1) and was ended" },
                { "hang-first", "", -ETIMEDOUT, FAULT_TIMED_OUT,
                  "took too long before step 1 of 3 (do the thing 0)" },
                { "garbage", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "said what is no message in step 2 of 3" },
                { "array", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "no message in step 2 of 3" },
                { "oversize", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "no message in step 2 of 3" },
                { "unknown", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "said something unknown in step 2" },
                { "fields", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "fields that nobody asked for" },
                { "twice", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "began the same step again" },
                { "other-step", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "a step that is not its turn" },
                { "positive", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "what became of the step" },
                { "early-done", "before0 after0 before1 ", -EPROTO, FAULT_WORKER_FAILED,
                  "said that all was done in step 2" },
                { "wrong-step", "", -EPROTO, FAULT_WORKER_FAILED,
                  "a step that is not its turn before step 1" },
                { "no-before", "", -EPROTO, FAULT_WORKER_FAILED, "did the step without being told to" },
                { "refuse", "", -EPERM, FAULT_WORKER_FAILED,
                  "a step names a device that is not in the list" },
                { "fail", "before0 after0 before1 failed1 ", -ENODEV, FAULT_STEP_FAILED,
                  "Step 2 of 3 failed (do the thing 1): no such device" },
                { "fail-gone", "before0 after0 before1 failed1 ", -ENODEV, FAULT_DEVICE_GONE,
                  "no such device" },
        };
        PoolRig *rig = *state;
        RunRecord *records[ELEMENTSOF(cases)];

        pool_rig_plan(rig, 3, 300, -1);
        pool_rig_new(rig, FAKE_WORKER, WORKERS_MAX, false);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                records[i] = pool_rig_run(rig, WORKER_EXECUTE, cases[i].job);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                pool_rig_wait(records[i]);
                if (!streq(records[i]->log, cases[i].log) ||
                    !strstr(records[i]->fault.message, cases[i].words))
                        print_error("%s:\n", cases[i].job);
                if (cases[i].code == FAULT_STEP_FAILED)
                        assert_string_equal(records[i]->fault.object, "pci-0000-3b-00-0");
                assert_run(records[i], cases[i].log, cases[i].result, cases[i].code, cases[i].words);
        }

        assert_int_equal(worker_pool_running(rig->pool), 0);
        assert_int_equal(worker_pool_stuck(rig->pool), 0);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "good"), ALL_STEPS, 0, FAULT_NONE, NULL);
        pool_rig_wait_children(rig, 0);
}

/* A worker that goes on without waiting may have done what nobody recorded. */
static void test_impatient(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_EXECUTE, "impatient");
        record->hold = true;
        assert_run(record, "before0 ", -EPROTO, FAULT_WORKER_FAILED,
                   "did not wait for its turn before step 1 of 3");
}

static void test_optional_failure(void **state) {
        PoolRig *rig = *state;

        pool_rig_plan(rig, 3, 500, 1);
        pool_rig_new(rig, FAKE_WORKER, 1, false);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "fail-optional"),
                   "before0 after0 before1 failed1 before2 after2 ", 0, FAULT_NONE, NULL);

        /* The same from a step that matters contradicts itself. */
        pool_rig_plan(rig, 3, 500, -1);
        assert_run(pool_rig_run(rig, WORKER_EXECUTE, "fail-optional"),
                   "before0 after0 before1 failed1 before2 after2 ", -EPROTO, FAULT_STEP_FAILED,
                   "no such device");
}

static void test_undo(void **state) {
        PoolRig *rig = *state;

        pool_rig_new(rig, FAKE_WORKER, 2, false);
        assert_run(pool_rig_run(rig, WORKER_UNDO, "good"), "after2 after1 after0 ", 0, FAULT_NONE, NULL);
        assert_run(pool_rig_run(rig, WORKER_UNDO, "ask"), "after2 after1 after0 ", 0, FAULT_NONE, NULL);
        /* It goes on after a failure and reports the first. */
        assert_run(pool_rig_run(rig, WORKER_UNDO, "fail"), "after2 failed1 after0 ", -EIO, FAULT_STEP_FAILED,
                   "Step 2 of 3 failed (do the thing 1): it does not answer");
        assert_run(pool_rig_run(rig, WORKER_UNDO, "ask-crash"), "after2 ", -ECONNRESET, FAULT_WORKER_FAILED,
                   "was killed by SIGABRT in step 2 of 3");

        /* What was never begun is left out. */
        json_array_set_new(rig->observed, 1, json_null());
        assert_run(pool_rig_run(rig, WORKER_UNDO, "good"), "after2 after0 ", 0, FAULT_NONE, NULL);
        json_array_set_new(rig->observed, 2, json_null());
        json_array_set_new(rig->observed, 0, json_null());
        assert_run(pool_rig_run(rig, WORKER_UNDO, "good"), "", 0, FAULT_NONE, NULL);
}

static void test_undo_hangs(void **state) {
        PoolRig *rig = *state;

        pool_rig_plan(rig, 3, 100, -1);
        pool_rig_new(rig, FAKE_WORKER, 1, false);
        assert_run(pool_rig_run(rig, WORKER_UNDO, "ask-hang"), "after2 ", -ETIMEDOUT, FAULT_TIMED_OUT,
                   "took too long in step 2 of 3");
}

static void test_observe(void **state) {
        PoolRig *rig = *state;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        assert_run(pool_rig_run(rig, WORKER_OBSERVE, "dev"), "dev:/modules:0: ", 0, FAULT_NONE, NULL);
        assert_run(pool_rig_run(rig, WORKER_OBSERVE, "fails"), "fails::-5:cannot be read ", 0, FAULT_NONE,
                   NULL);
        assert_run(pool_rig_run(rig, WORKER_OBSERVE, "crash"), "", -ECONNRESET, FAULT_WORKER_FAILED,
                   "was killed by SIGABRT while it looked at devices");
        assert_run(pool_rig_run(rig, WORKER_OBSERVE, "hang"), "", -ETIMEDOUT, FAULT_TIMED_OUT,
                   "took too long while it looked at devices");
        assert_run(pool_rig_run(rig, WORKER_OBSERVE, "held"), "", -EPROTO, FAULT_WORKER_FAILED,
                   "holders that nobody asked for");
        assert_run(pool_rig_run(rig, WORKER_OBSERVE, "before"), "", -EPROTO, FAULT_WORKER_FAILED,
                   "not its turn");
}

static void test_holders(void **state) {
        PoolRig *rig = *state;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        assert_run(pool_rig_run(rig, WORKER_HOLDERS, "/dev/vfio/17"), "held:/dev/vfio/17 ", 0, FAULT_NONE,
                   NULL);
        assert_run(pool_rig_run(rig, WORKER_HOLDERS, "hang"), "", -ETIMEDOUT, FAULT_TIMED_OUT,
                   "looked for holders");
}

static void ignore(int signal) {
}

/* A worker gets its socket and nothing else that is ours. */
static void test_circumstances(void **state) {
        PoolRig *rig = *state;
        struct sigaction action = { .sa_handler = ignore }, old_action;
        sigset_t mask, old_mask;
        RunRecord *record;
        json_t *expected;
        int leaked;

        leaked = open("/dev/null", O_RDONLY); /* as a careless library would */
        assert_int_equal(setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1), 0);
        assert_int_equal(setenv("TEST_OTHER", "kept", 1), 0);
        sigfillset(&mask);
        sigprocmask(SIG_SETMASK, &mask, &old_mask);
        sigaction(SIGUSR1, &action, &old_action);
        signal(SIGPIPE, SIG_IGN);

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        record = pool_rig_run(rig, WORKER_HOLDERS, "circumstances");
        pool_rig_wait(record);

        sigprocmask(SIG_SETMASK, &old_mask, NULL);
        sigaction(SIGUSR1, &old_action, NULL);
        signal(SIGPIPE, SIG_DFL);
        unsetenv("NOTIFY_SOCKET");
        close(leaked);

        expected = json_pack("[{s:s, s:b, s:b, s:b, s:s}]", "descriptors", "0 1 2 3 ", "leader", true,
                             "signals", true, "notify", false, "other", "kept");
        assert_true(json_equal(record->held, expected));
        json_decref(expected);
}

static void test_bad_beginnings(void **state) {
        static const struct {
                const char *how;
                int result;
                FaultCode code;
                const char *words;
        } cases[] = {
                { "exit", -ECONNRESET, FAULT_WORKER_FAILED,
                  "The worker ended with status 3 before it was ready" },
                { "crash", -ECONNRESET, FAULT_WORKER_FAILED,
                  "The worker was killed by SIGSEGV before it was ready" },
                { "garbage", -EPROTO, FAULT_WORKER_FAILED, "said what is no message before it was ready" },
                { "mute", -EPROTO, FAULT_WORKER_FAILED, "began with something else than its version" },
                { "version", -EPROTO, FAULT_WORKER_FAILED,
                  "is of version 0.0.0, but the service of version " PROJECT_VERSION
                  ": restart the service" },
                { "hang", -ETIMEDOUT, FAULT_TIMED_OUT, "took too long before it was ready" },
        };
        PoolRig *rig = *state;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                pool_rig_begin(cases[i].how);
                assert_run(pool_rig_run(rig, WORKER_HOLDERS, "x"), "", cases[i].result, cases[i].code,
                           cases[i].words);
        }
        pool_rig_begin("once"); /* gone before it hears of its job */
        assert_run(pool_rig_run(rig, WORKER_HOLDERS, "x"), "", -ECONNRESET, FAULT_WORKER_FAILED,
                   "ended with status 0");
}

static void test_no_worker(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_new(rig, "/nonexistent/worker", 1, false);
        record = pool_rig_refused(rig, WORKER_EXECUTE, "good");
        assert_int_equal(record->result, -ENOENT);
        assert_fault(&record->fault, FAULT_WORKER_FAILED,
                     "Cannot start the worker /nonexistent/worker: No such file or directory");
        worker_pool_free(rig->pool);

        pool_rig_new(rig, "/etc/passwd", 1, true);
        record = pool_rig_refused(rig, WORKER_EXECUTE, "good");
        assert_int_equal(record->result, -EACCES);
        assert_fault(&record->fault, FAULT_WORKER_FAILED, "/etc/passwd: Permission denied");
        pool_rig_turn(rig, 100);
        assert_int_equal(pool_rig_children(), 0);
        assert_int_equal(record->done, 0);
}

/* A worker that disappears while others wait for their place: they hear of it too. */
static void test_worker_vanishes(void **state) {
        PoolRig *rig = *state;
        char path[] = "/tmp/test-pool-XXXXXX", program[64];
        RunRecord *first, *second;

        assert_non_null(mkdtemp(path));
        snprintf(program, sizeof(program), "%s/worker", path);
        assert_int_equal(symlink(FAKE_WORKER, program), 0);
        pool_rig_new(rig, program, 1, false);
        first = pool_rig_run(rig, WORKER_EXECUTE, "good");
        second = pool_rig_run(rig, WORKER_EXECUTE, "good");
        assert_int_equal(worker_run_pid(second->run), 0);
        assert_int_equal(unlink(program), 0);
        assert_int_equal(rmdir(path), 0);
        assert_run(first, ALL_STEPS, 0, FAULT_NONE, NULL);
        assert_run(second, "", -ENOENT, FAULT_WORKER_FAILED, "/worker: No such file or directory");
}

static void test_limit(void **state) {
        PoolRig *rig = *state;
        RunRecord *records[12];

        pool_rig_new(rig, FAKE_WORKER, 3, false);
        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                records[i] = pool_rig_run(rig, WORKER_EXECUTE, "slow");
                assert_int_equal(worker_pool_running(rig->pool), MIN_OF(i + 1, 3u));
                assert_true((worker_run_pid(records[i]->run) > 0) == (i < 3));
        }
        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                assert_run(records[i], ALL_STEPS, 0, FAULT_NONE, NULL);
                /* In order of arrival: no later one but its neighbours can be done. */
                for (size_t k = i + 3; k < ELEMENTSOF(records); k++)
                        assert_int_equal(records[k]->done, 0);
        }
}

static void test_stop(void **state) {
        PoolRig *rig = *state;
        RunRecord *record, *waiting, *undo;

        pool_rig_new(rig, FAKE_WORKER, 1, false);

        /* As the answer to a question. */
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        record->stop_before = 1;
        assert_run(record, "before0 after0 before1 ", -ECANCELED, FAULT_CANCELLED,
                   "Cancelled before step 2 of 3");

        /* Before there is one; and one that has no place yet. */
        record = pool_rig_run(rig, WORKER_EXECUTE, "good");
        waiting = pool_rig_run(rig, WORKER_UNDO, "good");
        assert_int_equal(worker_run_stop(waiting->run), 0);
        assert_int_equal(worker_run_stop(record->run), 0);
        assert_int_equal(waiting->done, 0);
        assert_run(waiting, "", -ECANCELED, FAULT_CANCELLED, "before it began");
        assert_run(record, "", -ECANCELED, FAULT_CANCELLED, "Cancelled before step 1 of 3");

        /* While a step is under way it ends first. */
        record = pool_rig_run(rig, WORKER_EXECUTE, "slow");
        while (!strstr(record->log, "before1"))
                assert_true(sd_event_run(rig->event, UINT64_MAX) >= 0);
        assert_int_equal(worker_run_stop(record->run), 0);
        assert_run(record, "before0 after0 before1 after1 ", -ECANCELED, FAULT_CANCELLED,
                   "before step 3 of 3");

        /* Too late: everything was done. */
        pool_rig_plan(rig, 2, 1000, -1);
        record = pool_rig_run(rig, WORKER_EXECUTE, "slow");
        while (!strstr(record->log, "before1"))
                assert_true(sd_event_run(rig->event, UINT64_MAX) >= 0);
        assert_int_equal(worker_run_stop(record->run), 0);
        assert_run(record, "before0 after0 before1 after1 ", 0, FAULT_NONE, NULL);

        /* What gives back is not stopped. */
        undo = pool_rig_run(rig, WORKER_UNDO, "good");
        assert_int_equal(worker_run_stop(undo->run), -EOPNOTSUPP);
        assert_run(undo, "after1 after0 ", 0, FAULT_NONE, NULL);
}

static void test_wrong_use(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_new(rig, FAKE_WORKER, 1, false);
        json_array_append_new(rig->observed, json_null());
        record = pool_rig_refused(rig, WORKER_UNDO, "good");
        assert_fault(&record->fault, FAULT_INTERNAL, "one record a step");
        record = pool_rig_refused(rig, WORKER_EXECUTE, "latin-\xe4");
        assert_fault(&record->fault, FAULT_INTERNAL, "cannot be put together");
        assert_int_equal(worker_pool_running(rig->pool), 0);
        assert_int_equal(pool_rig_children(), 0);
}

/* The program that is installed, as far as it can be used without a device. */
static void test_real_worker(void **state) {
        PoolRig *rig = *state;
        RunRecord *record;

        pool_rig_new(rig, REAL_WORKER, 2, true);
        record = pool_rig_run(rig, WORKER_HOLDERS, "/dev/null");
        pool_rig_wait(record);
        if (record->result < 0)
                fail_msg("%s", record->fault.message);
        assert_true(json_is_array(record->held));

        /* It takes the request, and finds that the device is none. */
        record = pool_rig_run(rig, WORKER_OBSERVE, "pci-ffff-1f-1f-7");
        pool_rig_wait(record);
        assert_int_equal(record->result, 0);
        assert_non_null(startswith(record->log, "pci-ffff-1f-1f-7::-"));

        record = pool_rig_run(rig, WORKER_EXECUTE, "pci-0000-3b-00-0");
        pool_rig_wait(record);
        assert_true(record->result < 0);
        assert_non_null(record->fault.message);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_execute, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_go_later, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_large_messages, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_misbehaviour, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_impatient, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_optional_failure, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_undo, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_undo_hangs, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_observe, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_holders, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_circumstances, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_bad_beginnings, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_no_worker, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_worker_vanishes, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_limit, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_stop, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_wrong_use, pool_rig_set_up, pool_rig_tear_down),
                cmocka_unit_test_setup_teardown(test_real_worker, pool_rig_set_up, pool_rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
