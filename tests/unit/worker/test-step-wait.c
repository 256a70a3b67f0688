/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/macro.h"

#define ATTRIBUTE(name) fake_attribute("pci", FAKE_NIC, name)

static json_t *wait_steps(const char *name, const char *value, unsigned timeout_ms) {
        return json_pack("[o]", make_step("wait", FAKE_NIC_ID,
                                          json_pack("{s:s, s:s, s:I}", "name", name, "value", value,
                                                    "timeout_ms", (json_int_t) timeout_ms)));
}

static uint64_t now_msec(void) {
        struct timespec ts;

        assert_return_code(clock_gettime(CLOCK_MONOTONIC, &ts), errno);
        return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* Does it from another process a little later, as a kernel would. */
static pid_t later(Rig *rig, void (*action)(Rig *rig)) {
        pid_t pid = fork();

        assert_return_code(pid, errno);
        if (pid == 0) {
                (void) usleep(50 * 1000);
                action(rig);
                _exit(0);
        }
        return pid;
}

static void become_two(Rig *rig) {
        fake_write_file(&rig->host, ATTRIBUTE("count"), "2");
}

static void appear(Rig *rig) {
        fake_make_directory(&rig->host, ATTRIBUTE("virtfn0"));
}

static void return_to_bus(Rig *rig) {
        fake_link(&rig->host, "sys/bus/pci/devices/" FAKE_NIC, "../../../devices/pci0/" FAKE_NIC);
}

static void run_with(Rig *rig, json_t *steps, void (*action)(Rig *rig)) {
        pid_t pid = later(rig, action);
        uint64_t begin = now_msec();
        Report report = rig_execute(rig, steps);

        assert_int_equal(report.result, 0);
        assert_in_range(now_msec() - begin, 20, 5000);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        report_done(&report);
        json_decref(steps);
}

static void test_value(void **state) {
        Rig *rig = *state;

        fake_write_file(&rig->host, ATTRIBUTE("count"), "0");
        run_with(rig, wait_steps("count", "2", 10000), become_two);
}

static void test_entry(void **state) {
        run_with(*state, wait_steps("virtfn0", "", 10000), appear);
}

static void test_device_returns(void **state) {
        Rig *rig = *state;

        fake_make_directory(&rig->host, ATTRIBUTE("virtfn0"));
        fake_remove_file(&rig->host, "sys/bus/pci/devices/" FAKE_NIC);
        run_with(rig, wait_steps("virtfn0", "", 10000), return_to_bus);
}

static void test_timeouts(void **state) {
        static const struct {
                const char *name, *value, *text;
        } cases[] = {
                { "count", "2", "count of " FAKE_NIC " did not become \"2\" within 120 ms: 0" },
                { "absent", "2", "No such file or directory" },
                { "absent", "", "absent of " FAKE_NIC " did not appear within 120 ms" },
        };
        Rig *rig = *state;

        fake_write_file(&rig->host, ATTRIBUTE("count"), "0");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *steps = wait_steps(cases[i].name, cases[i].value, 120);
                uint64_t begin = now_msec();
                Report report = rig_execute(rig, steps);

                assert_int_equal(report.result, -ETIMEDOUT);
                assert_string_equal(report_code(&report, 0), "TimedOut");
                assert_contains(report_error(&report, 0), cases[i].text);
                assert_in_range(now_msec() - begin, 120, 5000);
                report_done(&report);
                json_decref(steps);
        }
}

/* Nobody is left to wait for: the worker does not sit out the time. */
static void test_hangup_ends_wait(void **state) {
        Rig *rig = *state;
        uint64_t begin = now_msec();
        json_t *steps = wait_steps("absent", "", 60000);

        rig_send(rig, make_job("execute", steps, NULL));
        json_decref(rig_expect(rig, "before"));
        rig_send(rig, json_pack("{s:s, s:i}", "type", "go", "step", 0));
        assert_int_equal(rig_stop(rig), 0);
        assert_in_range(now_msec() - begin, 0, 5000);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_value),
                TEST(test_entry),
                TEST(test_device_returns),
                TEST(test_timeouts),
                TEST(test_hangup_ends_wait),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
