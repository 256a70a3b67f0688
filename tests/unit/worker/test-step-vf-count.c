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
#include <sys/wait.h>

#include "lib/macro.h"

#define ATTRIBUTE(name) fake_attribute("pci", FAKE_NIC, name)

static json_t *count_steps(const char *value) {
        return json_pack("[o]", make_step("set-vf-count", FAKE_NIC_ID,
                                          json_pack("{s:s, s:i}", "value", value, "timeout_ms", 3000)));
}

static bool has_link(Rig *rig, const char *name) {
        char path[512];

        (void) snprintf(path, sizeof(path), "%s/%s", rig->host.root, ATTRIBUTE(name));
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A physical function with so many virtual ones. */
static void make_pf(Rig *rig, unsigned count, const char *autoprobe) {
        char text[32];

        fake_kernel_reset(&rig->host);
        for (unsigned i = 0; i < 7; i++) {
                (void) snprintf(text, sizeof(text), "virtfn%u", i);
                if (has_link(rig, text))
                        fake_remove_file(&rig->host, ATTRIBUTE(text));
        }
        fake_write_file(&rig->host, ATTRIBUTE("sriov_totalvfs"), "7");
        (void) snprintf(text, sizeof(text), "%u", count);
        fake_write_file(&rig->host, ATTRIBUTE("sriov_numvfs"), text);
        fake_write_file(&rig->host, ATTRIBUTE("sriov_drivers_autoprobe"), autoprobe);
        for (unsigned i = 0; i < count; i++) {
                (void) snprintf(text, sizeof(text), "virtfn%u", i);
                fake_link(&rig->host, ATTRIBUTE(text), "../vf");
        }
}

static void assert_reads(Rig *rig, const char *name, const char *expected) {
        char *found = fake_read(&rig->host, ATTRIBUTE(name));

        assert_non_null(found);
        assert_string_equal(found, expected);
        free(found);
}

static void assert_write(Rig *rig, unsigned number, const char *expected) {
        assert_true(number < rig->host.kernel->n_writes);
        assert_contains(rig->host.kernel->writes[number], expected);
}

static void undo_to(Rig *rig, json_t *steps, const Report *report, const char *count, const char *autoprobe) {
        Report undone;

        fake_kernel_reset(&rig->host);
        undone = rig_undo(rig, steps, report->observed);
        assert_int_equal(undone.result, 0);
        assert_reads(rig, "sriov_numvfs", count);
        assert_reads(rig, "sriov_drivers_autoprobe", autoprobe);
        report_done(&undone);
}

static void test_from_none(void **state) {
        json_t *steps = count_steps("7");
        Rig *rig = *state;
        Report report;

        make_pf(rig, 0, "1");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_reads(rig, "sriov_numvfs", "7");
        /* Nobody may grab them: before they are there. */
        assert_int_equal(rig->host.kernel->n_writes, 2);
        assert_write(rig, 0, "sriov_drivers_autoprobe=0");
        assert_write(rig, 1, "sriov_numvfs=7");
        undo_to(rig, steps, &report, "0", "1");

        report_done(&report);
        json_decref(steps);
}

/* Another number goes through 0, and so does the way back; the switch is set back before they come, so that they get the drivers
 * that they had. */
static void test_from_some(void **state) {
        json_t *steps = count_steps("5");
        Rig *rig = *state;
        Report report;

        make_pf(rig, 2, "1");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_reads(rig, "sriov_numvfs", "5");
        assert_write(rig, 1, "sriov_numvfs=0");
        assert_write(rig, 2, "sriov_numvfs=5");
        undo_to(rig, steps, &report, "2", "1");
        assert_write(rig, 0, "sriov_drivers_autoprobe=1");
        assert_write(rig, 1, "sriov_numvfs=0");
        assert_write(rig, 2, "sriov_numvfs=2");

        report_done(&report);
        json_decref(steps);
}

static void test_none(void **state) {
        json_t *steps = count_steps("0");
        Rig *rig = *state;
        Report report;

        make_pf(rig, 3, "1");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 1);
        assert_write(rig, 0, "sriov_numvfs=0");
        report_done(&report);
        json_decref(steps);
}

/* What is so already is not written: it would do no harm to the number, but reset nothing either. */
static void test_again(void **state) {
        json_t *steps = count_steps("4");
        Rig *rig = *state;
        Report report;

        make_pf(rig, 4, "0");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 0);
        undo_to(rig, steps, &report, "4", "0");
        assert_int_equal(rig->host.kernel->n_writes, 0);
        report_done(&report);
        json_decref(steps);
}

static void test_links_come_later(void **state) {
        json_t *steps = count_steps("6");
        Rig *rig = *state;
        Report report;

        make_pf(rig, 0, "0");
        rig->host.kernel->vfs_shy = true;
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_true(has_link(rig, "virtfn5"));
        report_done(&report);
        json_decref(steps);
}

/* The driver takes the write and makes fewer (bnxt makes none while its interface is down). */
static void test_silently_fewer(void **state) {
        json_t *steps = count_steps("7");
        Rig *rig = *state;
        Report report;

        make_pf(rig, 0, "1");
        rig->host.kernel->vf_limit = 3;
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EIO);
        assert_contains(report_error(&report, 0), "for 7 virtual functions but made 3");
        undo_to(rig, steps, &report, "0", "1");
        report_done(&report);
        json_decref(steps);
}

/* The kernel's answers, and what helps. */
static void test_refusals(void **state) {
        static const struct {
                int error;
                const char *code, *text;
        } cases[] = {
                { ENOENT, "DriverMissing", "no driver that makes virtual functions" },
                { ENOMEM, "StepFailed", "Above-4G" },
                { EPERM, "StepFailed", "more than it makes" },
                { EIO, "StepFailed", "does not answer" },
                { EBUSY, "DeviceBusy", "only be changed from 0" },
                { EAGAIN, "DeviceBusy", "resets" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *steps = count_steps("7");
                Rig *rig = *state;
                Report report;

                make_pf(rig, 0, "1");
                rig->host.kernel->fail_at = 2;
                rig->host.kernel->fail_errno = cases[i].error;
                report = rig_execute(rig, steps);
                assert_int_equal(report.result, -cases[i].error);
                assert_string_equal(report_code(&report, 0), cases[i].code);
                assert_contains(report_error(&report, 0), cases[i].text);
                assert_contains(report_error(&report, 0), FAKE_NIC);
                undo_to(rig, steps, &report, "0", "1");
                report_done(&report);
                json_decref(steps);
        }
}

static void test_nonsense(void **state) {
        static const struct {
                const char *value, *text;
        } cases[] = {
                { "8", "8 virtual functions are wanted of 0000:01:00.0, which makes 7 at most" },
                { "many", "no number" },
                { "-1", "no number" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *steps = count_steps(cases[i].value);
                Rig *rig = *state;
                Report report;

                make_pf(rig, 0, "1");
                report = rig_execute(rig, steps);
                assert_true(report.result < 0);
                assert_contains(report_error(&report, 0), cases[i].text);
                assert_int_equal(rig->host.kernel->n_writes, 0);
                report_done(&report);
                json_decref(steps);
        }
}

static void test_no_sriov(void **state) {
        json_t *steps = count_steps("1");
        Report report = rig_execute(*state, steps);

        assert_int_equal(report.result, -EOPNOTSUPP);
        assert_contains(report_error(&report, 0), "has no SR-IOV");
        report_done(&report);
        json_decref(steps);
}

/* The worker dies at each of its writes, before or after it had its effect; the record leads back all the same. */
static void test_death(void **state) {
        for (unsigned write = 1; write <= 3; write++)
                for (int after = 0; after < 2; after++) {
                        json_t *steps = count_steps("5");
                        Rig *rig = *state;
                        Report report;

                        make_pf(rig, 2, "1");
                        rig->host.kernel->die_at = write;
                        rig->host.kernel->die_after = after;
                        report = rig_execute(rig, steps);
                        assert_true(report.died);
                        (void) rig_stop(rig);
                        fake_kernel_reset(&rig->host);
                        rig_start(rig);
                        undo_to(rig, steps, &report, "2", "1");
                        report_done(&report);
                        json_decref(steps);
                }
}

static void test_gone(void **state) {
        json_t *steps = count_steps("5");
        Rig *rig = *state;
        Report report, undone;

        make_pf(rig, 2, "1");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        fake_remove_file(&rig->host, "sys/bus/pci/devices/" FAKE_NIC);
        undone = rig_undo(rig, steps, report.observed);
        assert_int_equal(undone.result, 0);
        assert_contains(report_text(&undone, 0), "gone");
        report_done(&undone);
        report_done(&report);
        json_decref(steps);
}

/* A record that says nothing of use changes nothing. */
static void test_damaged_record(void **state) {
        static const char *const records[] = {
                "{}", "{\"count\": \"2\", \"autoprobe\": \"1\"}", "{\"count\": -1, \"autoprobe\": \"1\"}",
                "{\"count\": 2, \"autoprobe\": \"yes\"}", "{\"count\": 70000, \"autoprobe\": null}",
        };

        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                json_t *steps = count_steps("5"), *observed = json_pack("[s]", records[i]);
                Rig *rig = *state;
                Report report;

                make_pf(rig, 3, "1");
                report = rig_undo(rig, steps, observed);
                assert_int_equal(report.result, -EBADMSG);
                assert_int_equal(rig->host.kernel->n_writes, 0);
                report_done(&report);
                json_decref(observed);
                json_decref(steps);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_from_none),      TEST(test_from_some), TEST(test_none),     TEST(test_again),
                TEST(test_links_come_later), TEST(test_silently_fewer), TEST(test_refusals), TEST(test_nonsense),
                TEST(test_no_sriov),       TEST(test_death),     TEST(test_gone),     TEST(test_damaged_record),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
