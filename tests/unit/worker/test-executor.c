/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/macro.h"

#define ATTRIBUTE(name) fake_attribute("pci", FAKE_NIC, name)

static json_t *write_step(const char *name, const char *value) {
        return make_step("write-attribute", FAKE_NIC_ID,
                         json_pack("{s:s, s:s}", "name", name, "value", value));
}

static void make_attributes(Rig *rig) {
        fake_write_file(&rig->host, ATTRIBUTE("a"), "1");
        fake_write_file(&rig->host, ATTRIBUTE("b"), "1");
        fake_write_file(&rig->host, ATTRIBUTE("c"), "1");
}

static void assert_attributes(Rig *rig, const char *expected) {
        char *a = fake_read(&rig->host, ATTRIBUTE("a")), *b = fake_read(&rig->host, ATTRIBUTE("b")),
             *c = fake_read(&rig->host, ATTRIBUTE("c"));
        char text[64];

        (void) snprintf(text, sizeof(text), "%s%s%s", a, b, c);
        assert_string_equal(text, expected);
        free(a);
        free(b);
        free(c);
}

static json_t *three_steps(const char *middle) {
        return json_pack("[o, o, o]", write_step("a", "2"), write_step(middle, "2"), write_step("c", "2"));
}

static void test_order(void **state) {
        Rig *rig = *state;
        json_t *steps = three_steps("b");
        Report report;

        make_attributes(rig);
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_null(report.error);
        assert_attributes(rig, "222");
        assert_contains(rig->host.kernel->writes[0], "/a=2");
        assert_contains(rig->host.kernel->writes[1], "/b=2");
        assert_contains(rig->host.kernel->writes[2], "/c=2");

        fake_kernel_reset(&rig->host);
        json_t *observed = json_incref(report.observed);
        report_done(&report);
        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, 0);
        assert_attributes(rig, "111");
        assert_contains(rig->host.kernel->writes[0], "/c=1");
        assert_contains(rig->host.kernel->writes[2], "/a=1");

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

static void test_failure_ends_job(void **state) {
        Rig *rig = *state;
        json_t *steps = three_steps("absent");
        Report report;

        make_attributes(rig);
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -ENOENT);
        assert_int_equal(report_result(&report, 0), 0);
        assert_int_equal(report_result(&report, 1), -ENOENT);
        assert_contains(report_error(&report, 1), "Cannot read absent of " FAKE_NIC);
        /* A step whose observation fails was not begun: nothing to record, nothing to undo. */
        assert_true(json_is_null(json_array_get(report.observed, 1)));
        assert_true(json_is_null(json_array_get(report.after, 2)));
        assert_attributes(rig, "211");

        report_done(&report);
        json_decref(steps);
}

static void test_optional_step_may_fail(void **state) {
        Rig *rig = *state;
        json_t *steps = three_steps("absent");
        Report report;

        (void) json_object_set_new(json_array_get(steps, 1), "flags", json_pack("[s]", "optional"));
        make_attributes(rig);
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_int_equal(report_result(&report, 1), -ENOENT);
        assert_attributes(rig, "212");

        report_done(&report);
        json_decref(steps);
}

/* Undo goes on after a failure, and its result is the first failure. */
static void test_undo_goes_on(void **state) {
        Rig *rig = *state;
        json_t *steps = three_steps("b"), *observed;
        Report report;

        make_attributes(rig);
        report = rig_execute(rig, steps);
        observed = json_incref(report.observed);
        report_done(&report);

        fake_kernel_reset(&rig->host);
        rig->host.kernel->fail_at = 2;
        rig->host.kernel->fail_errno = EBUSY;
        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, -EBUSY);
        assert_int_equal(report_result(&report, 0), 0);
        assert_int_equal(report_result(&report, 1), -EBUSY);
        assert_string_equal(report_code(&report, 1), "DeviceBusy");
        assert_int_equal(report_result(&report, 2), 0);
        assert_attributes(rig, "121");

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

static void test_undo_skips_what_was_not_begun(void **state) {
        Rig *rig = *state;
        json_t *steps = three_steps("b"), *observed = json_pack("[s, n, n]", "{\"value\":\"1\"}");
        Report report;

        make_attributes(rig);
        fake_write_file(&rig->host, ATTRIBUTE("a"), "2");
        fake_write_file(&rig->host, ATTRIBUTE("b"), "9");
        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, 0);
        assert_attributes(rig, "191");
        assert_true(json_is_null(json_array_get(report.after, 1)));

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

static void test_no_return_is_not_undone(void **state) {
        Rig *rig = *state;
        json_t *steps = json_pack("[o]", write_step("a", "2"));
        json_t *observed = json_pack("[s]", "{\"value\":\"1\"}");
        Report report;

        make_attributes(rig);
        fake_write_file(&rig->host, ATTRIBUTE("a"), "2");
        (void) json_object_set_new(json_array_get(steps, 0), "flags", json_pack("[s]", "no-return"));
        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, 0);
        assert_contains(report_text(&report, 0), "no return");
        assert_attributes(rig, "211");

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

/* Answers the first "before" with `answer` and returns the "done" that follows. */
static json_t *answer_first(Rig *rig, json_t *steps, json_t *answer) {
        json_t *before, *done;

        rig_send(rig, make_job("execute", steps, NULL));
        before = rig_expect(rig, "before");
        assert_int_equal(json_integer_value(json_object_get(before, "step")), 0);
        rig_send(rig, answer);
        done = rig_expect(rig, "done");
        json_decref(before);
        return done;
}

static void test_stop(void **state) {
        Rig *rig = *state;
        json_t *done;
        Report report;
        json_t *steps;

        make_attributes(rig);
        done = answer_first(rig, three_steps("b"), json_pack("{s:s}", "type", "stop"));
        assert_int_equal(json_integer_value(json_object_get(done, "result")), -ECANCELED);
        assert_attributes(rig, "111");
        json_decref(done);

        /* The worker is ready for the next request. */
        steps = three_steps("b");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        report_done(&report);
        json_decref(steps);
}

static void test_wrong_answers(void **state) {
        Rig *rig = *state;
        json_t *const answers[] = {
                json_pack("{s:s, s:i}", "type", "go", "step", 1),
                json_pack("{s:s}", "type", "go"),
                json_pack("{s:s, s:s}", "type", "go", "step", "0"),
                json_pack("{s:s, s:i}", "type", "job", "step", 0),
        };

        make_attributes(rig);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                json_t *done = answer_first(rig, three_steps("b"), answers[i]);

                assert_int_equal(json_integer_value(json_object_get(done, "result")), -EPROTO);
                json_decref(done);
        }
        assert_attributes(rig, "111");
}

/* The service dies after the record and before the word to go on: the step is not begun. */
static void test_hangup_before_go(void **state) {
        Rig *rig = *state;
        json_t *before;

        make_attributes(rig);
        rig_send(rig, make_job("execute", three_steps("b"), NULL));
        before = rig_expect(rig, "before");
        json_decref(before);
        assert_int_equal(rig_stop(rig), 0);
        assert_attributes(rig, "111");
}

/* The service dies right after it said go: this step ends, and none is begun after it. */
static void test_hangup_after_go(void **state) {
        Rig *rig = *state;
        json_t *before;

        make_attributes(rig);
        rig_send(rig, make_job("execute", three_steps("b"), NULL));
        before = rig_expect(rig, "before");
        json_decref(before);
        rig_send(rig, json_pack("{s:s, s:i}", "type", "go", "step", 0));
        assert_int_equal(rig_stop(rig), 0);
        assert_attributes(rig, "211");
}

static void assert_refused(Rig *rig, json_t *job, int result, const char *text) {
        json_t *done;

        rig_send(rig, job);
        done = rig_expect(rig, "done");
        assert_int_equal(json_integer_value(json_object_get(done, "result")), result);
        assert_contains(json_string_value(json_object_get(done, "error")), text);
        json_decref(done);
}

static json_t *with(json_t *job, const char *key, json_t *value) {
        assert_int_equal(json_object_set_new(job, key, value), 0);
        return job;
}

static json_t *device(const char *id, const char *subsystem, const char *sysname) {
        return json_pack("[{s:s, s:s, s:s}]", "id", id, "subsystem", subsystem, "sysname", sysname);
}

/* Refused as a whole: nothing of them is done. */
static void test_refused_jobs(void **state) {
        Rig *rig = *state;
        json_t *far;

        make_attributes(rig);
        far = three_steps("b");
        (void) json_object_set_new(json_array_get(far, 2), "device", json_string("pci-0000-99-00-0"));
        assert_refused(rig, make_job("execute", far, NULL), -EPERM, "not a device of this job");

        assert_refused(rig, make_job("mend", three_steps("b"), NULL), -EINVAL, "\"mend\" is no mode");
        assert_refused(rig, with(make_job("execute", three_steps("b"), NULL), "mode", json_integer(1)),
                       -EBADMSG, "mode");
        assert_refused(rig, make_job("execute", three_steps("../b"), NULL), -EINVAL, "name of a step");
        assert_refused(rig, make_job("execute", three_steps(".."), NULL), -EINVAL, "name of a step");
        assert_refused(rig, make_job("execute", json_string("all"), NULL), -EINVAL, "plan");
        assert_refused(rig, make_job("execute", json_pack("[n]"), NULL), -EINVAL, "step");
        assert_refused(rig, make_job("undo", three_steps("b"), NULL), -EBADMSG, "observed");
        assert_refused(rig, make_job("undo", three_steps("b"), json_array()), -EBADMSG,
                       "as long as the steps (3)");
        assert_refused(rig, make_job("undo", three_steps("b"), json_pack("[i, n, n]", 1)), -EBADMSG,
                       "text or null");

        assert_refused(rig, with(make_job("execute", three_steps("b"), NULL), "devices", json_object()),
                       -EBADMSG, "devices");
        assert_refused(rig, with(make_job("execute", three_steps("b"), NULL), "devices", json_pack("[n]")),
                       -EBADMSG, "cannot be read");
        assert_refused(
                rig,
                with(make_job("execute", three_steps("b"), NULL), "devices", device("../x", "pci", "0")),
                -EINVAL, "not the id of a device");
        assert_refused(rig,
                       with(make_job("execute", three_steps("b"), NULL), "devices",
                            device("x", "pci", "../../module")),
                       -EINVAL, "kernel's name");
        assert_refused(rig,
                       with(make_job("execute", three_steps("b"), NULL), "devices", device("x", "..", "a")),
                       -EINVAL, "kernel's name");
        assert_refused(rig,
                       with(make_job("execute", three_steps("b"), NULL), "devices",
                            json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}]", "id", "x", "subsystem", "pci",
                                      "sysname", "y", "id", "x", "subsystem", "pci", "sysname", "z")),
                       -EEXIST, "twice");
        assert_refused(rig, with(make_job("execute", three_steps("b"), NULL), "module_dir", json_integer(1)),
                       -EBADMSG, "module_dir");
        assert_refused(rig, json_pack("{s:s}", "type", "dance"), -ENOTSUP, "no request \"dance\"");
        rig_send_text(rig, "{\"type\":");
        json_t *done = rig_expect(rig, "done");
        assert_int_equal(json_integer_value(json_object_get(done, "result")), -EBADMSG);
        json_decref(done);

        assert_int_equal(rig->host.kernel->n_writes, 0);
        assert_attributes(rig, "111");
}

/* A kernel module is the service's business; the step keeps its number. */
static void test_load_module_is_passed_over(void **state) {
        Rig *rig = *state;
        json_t *steps = json_pack("[{s:s, s:s, s:s}, o]", "kind", "load-module", "name", "vfio-pci",
                                  "sentence", "load vfio-pci", write_step("a", "2"));
        Report report;

        make_attributes(rig);
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_int_equal(report_result(&report, 0), 0);
        assert_attributes(rig, "211");

        report_done(&report);
        json_decref(steps);
}

/* A worker of an earlier service still has the device: the job waits, says so in the end, and can be had
 * again later. */
static void test_one_worker_a_device(void **state) {
        Rig *rig = *state;
        char path[128];
        Report report;
        json_t *steps = three_steps("b");
        int fd;

        make_attributes(rig);
        fake_make_directory(&rig->host, "run/passthroughd/devices");
        fake_write_file(&rig->host, "run/passthroughd/devices/" FAKE_NIC_ID, "");
        (void) snprintf(path, sizeof(path), "%s/run/passthroughd/devices/" FAKE_NIC_ID, rig->host.root);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_return_code(fd, errno);
        assert_return_code(flock(fd, LOCK_EX), errno);

        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EBUSY);
        assert_contains(report.error, "An earlier operation on " FAKE_NIC " has not ended");
        assert_attributes(rig, "111");
        report_done(&report);

        (void) close(fd);
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_attributes(rig, "222");

        report_done(&report);
        json_decref(steps);
}

static void test_reset(void **state) {
        Rig *rig = *state;
        json_t *steps = json_pack("[o]", make_step("reset", FAKE_NIC_ID, NULL));
        Report report;

        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EOPNOTSUPP);
        assert_contains(report_error(&report, 0), "offers no reset");
        report_done(&report);

        fake_write_file(&rig->host, ATTRIBUTE("reset"), "");
        fake_write_file(&rig->host, ATTRIBUTE("reset_method"), "flr bus");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_contains(report_text(&report, 0), "flr bus");
        assert_contains(rig->host.kernel->writes[0], "/reset=1");

        json_t *observed = json_incref(report.observed);
        report_done(&report);
        fake_kernel_reset(&rig->host);
        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 0);
        report_done(&report);

        fake_kernel_reset(&rig->host);
        rig->host.kernel->fail_at = 1;
        rig->host.kernel->fail_errno = ENOTTY;
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -ENOTTY);
        assert_contains(report_error(&report, 0), "no method of reset works");

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_order),
                TEST(test_failure_ends_job),
                TEST(test_optional_step_may_fail),
                TEST(test_undo_goes_on),
                TEST(test_undo_skips_what_was_not_begun),
                TEST(test_no_return_is_not_undone),
                TEST(test_stop),
                TEST(test_wrong_answers),
                TEST(test_hangup_before_go),
                TEST(test_hangup_after_go),
                TEST(test_refused_jobs),
                TEST(test_load_module_is_passed_over),
                TEST(test_one_worker_a_device),
                TEST(test_reset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
