/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/macro.h"

#define ATTRIBUTE(name) fake_attribute("pci", FAKE_NIC, name)

static json_t *write_steps(const char *name, const char *value) {
        return json_pack("[o]", make_step("write-attribute", FAKE_NIC_ID,
                                          json_pack("{s:s, s:s}", "name", name, "value", value)));
}

static void assert_reads(Rig *rig, const char *name, const char *expected) {
        char *found = fake_read(&rig->host, ATTRIBUTE(name));

        assert_non_null(found);
        assert_string_equal(found, expected);
        free(found);
}

/* Forms in which the kernel takes a value, shows it, and must be given it back. */
static void test_forms(void **state) {
        static const struct {
                const char *name, *before, *value, *written, *reads, *back;
        } cases[] = {
                { "plain", "0", "1", "/plain=1", "1", "/plain=0" },
                { "vf_token_shown_as_switch", "N", "1", "=1", "Y", "=N" },
                { "limit_shown_in_hex", "0x10", "255", "=255", "0xff", "=0x10" },
                { "name", "(null)", "vfio-pci", "=vfio-pci", "vfio-pci", "=\n" },
                { "empty", "", "flr", "=flr", "flr", "=\n" },
                { "chosen", "[none] fast", "fast", "=fast", "fast", "=none" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Rig *rig = *state;
                json_t *steps = write_steps(cases[i].name, cases[i].value);
                Report done, undone;

                fake_kernel_reset(&rig->host);
                fake_write_file(&rig->host, ATTRIBUTE(cases[i].name), cases[i].before);
                done = rig_execute(rig, steps);
                assert_int_equal(done.result, 0);
                assert_string_equal(report_observed(&done, 0, "value"), cases[i].before);
                assert_contains(rig->host.kernel->writes[0], cases[i].written);
                assert_reads(rig, cases[i].name, cases[i].reads);

                fake_kernel_reset(&rig->host);
                undone = rig_undo(rig, steps, done.observed);
                assert_int_equal(undone.result, 0);
                assert_int_equal(rig->host.kernel->n_writes, 1);
                assert_contains(rig->host.kernel->writes[0], cases[i].back);

                report_done(&done);
                report_done(&undone);
                json_decref(steps);
        }
}

static void test_nothing_written_when_so_already(void **state) {
        static const char *const pairs[][2] = {
                { "1", "1" }, { "Y", "1" }, { "0x10", "16" }, { "a [b] c", "b" }, { "on", "1" },
        };
        Rig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                json_t *steps = write_steps("plain", pairs[i][1]);
                Report done;

                fake_write_file(&rig->host, ATTRIBUTE("plain"), pairs[i][0]);
                done = rig_execute(rig, steps);
                assert_int_equal(done.result, 0);
                assert_int_equal(rig->host.kernel->n_writes, 0);
                report_done(&done);
                json_decref(steps);
        }
}

/* "success" of write() is not enough: bnxt takes sriov_numvfs and makes none. */
static void test_reads_otherwise(void **state) {
        Rig *rig = *state;
        json_t *steps = write_steps("deaf", "7");
        Report report;

        fake_write_file(&rig->host, ATTRIBUTE("deaf"), "0");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EIO);
        assert_contains(report_error(&report, 0), "deaf of " FAKE_NIC " was set to \"7\" but reads \"0\"");

        report_done(&report);
        json_decref(steps);
}

static void test_refusal_is_explained(void **state) {
        static const struct {
                const char *name;
                int error;
                const char *code, *text;
        } cases[] = {
                { "sriov_numvfs", EBUSY, "DeviceBusy", "can only be changed from 0" },
                { "sriov_numvfs", ERANGE, "InvalidValue", "more than sriov_totalvfs" },
                { "sriov_numvfs", ENOENT, "DriverMissing", "no driver that makes virtual functions" },
                { "reset_method", EINVAL, "InvalidValue", "does not support" },
                { "plain", EROFS, "StepFailed", "read-only" },
                { "plain", EPERM, "StepFailed", "lockdown" },
                { "plain", EIO, "StepFailed", "Input/output error" },
        };
        Rig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *steps = write_steps(cases[i].name, "4");
                Report report;

                fake_kernel_reset(&rig->host);
                fake_write_file(&rig->host, ATTRIBUTE(cases[i].name), "0");
                rig->host.kernel->fail_at = 1;
                rig->host.kernel->fail_errno = cases[i].error;
                report = rig_execute(rig, steps);
                assert_int_equal(report.result, -cases[i].error);
                assert_string_equal(report_code(&report, 0), cases[i].code);
                assert_contains(report_error(&report, 0), "Cannot write \"4\" to ");
                assert_contains(report_error(&report, 0), FAKE_NIC);
                assert_contains(report_error(&report, 0), cases[i].text);
                report_done(&report);
                json_decref(steps);
        }
}

/* Bytes that are no text could not be put into the record: refused before anything is written. */
static void test_binary_attribute(void **state) {
        Rig *rig = *state;
        json_t *steps = write_steps("binary", "4");
        Report report;

        fake_write_file(&rig->host, ATTRIBUTE("binary"), "\xff\xfe");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EILSEQ);
        assert_contains(report_error(&report, 0), "could not be restored later");
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&report);
        json_decref(steps);
}

static void test_undo_of_unreadable(void **state) {
        Rig *rig = *state;
        json_t *steps = write_steps("write_only", "1"), *observed = json_pack("[s]", "{\"value\":null}");
        Report report;

        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, 0);
        assert_contains(report_text(&report, 0), "nothing to restore");
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

static void test_link_out_of_device(void **state) {
        Rig *rig = *state;
        json_t *steps = write_steps("way_out", "1");
        Report report;

        fake_link(&rig->host, ATTRIBUTE("way_out"), "../../../../../../etc/hostname");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EXDEV);
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&report);
        json_decref(steps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_forms),
                TEST(test_nothing_written_when_so_already),
                TEST(test_reads_otherwise),
                TEST(test_refusal_is_explained),
                TEST(test_binary_attribute),
                TEST(test_undo_of_unreadable),
                TEST(test_link_out_of_device),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
