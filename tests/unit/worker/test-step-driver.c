/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>

#include "lib/macro.h"

static json_t *bind_step(const char *device, const char *driver) {
        return json_pack("[o]", make_step("set-driver", device, json_pack("{s:s}", "value", driver)));
}

static void assert_state(Rig *rig, const char *sysname, const char *driver, const char *override) {
        assert_string_equal(fake_driver(&rig->host, "pci", sysname), driver);
        assert_string_equal(fake_override(&rig->host, sysname), override);
}

static void assert_write(Rig *rig, unsigned number, const char *write) {
        assert_contains(rig->host.kernel->writes[number - 1], write);
}

static void test_bind_and_undo(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report done, undone;

        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_int_equal(report_result(&done, 0), 0);
        assert_contains(report_text(&done, 0), "bound to vfio-pci, driver_override vfio-pci");
        assert_string_equal(report_observed(&done, 0, "driver"), "e1000e");
        assert_string_equal(report_observed(&done, 0, "override"), "");
        assert_state(rig, FAKE_NIC, "vfio-pci", "vfio-pci");
        assert_int_equal(rig->host.kernel->n_writes, 3);
        assert_write(rig, 1, "driver_override=vfio-pci");
        assert_write(rig, 2, "drivers/e1000e/unbind=" FAKE_NIC);
        assert_write(rig, 3, "drivers_probe=" FAKE_NIC);

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_state(rig, FAKE_NIC, "e1000e", "");

        /* Once more changes nothing. */
        fake_kernel_reset(&rig->host);
        report_done(&undone);
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_nothing_written_when_bound(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report report;

        fake_set_driver(&rig->host, "pci", FAKE_NIC, "vfio-pci");
        fake_write_file(&rig->host, fake_attribute("pci", FAKE_NIC, "driver_override"), "vfio-pci");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&report);
        json_decref(steps);
}

/* Bound by vfio-pci's own id list, without an override: it is set, and the device stays bound all the
 * time. */
static void test_override_added_to_bound_device(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report done, undone;

        fake_set_driver(&rig->host, "pci", FAKE_NIC, "vfio-pci");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 1);
        assert_state(rig, FAKE_NIC, "vfio-pci", "vfio-pci");

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 2);
        assert_state(rig, FAKE_NIC, "vfio-pci", "");

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

/* What was on vfio-pci before us goes back there, although the kernel alone would choose the host's
 * driver. */
static void test_found_on_vfio_returns_there(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "mlx5_vfio_pci");
        Report done, undone;

        fake_set_driver(&rig->host, "pci", FAKE_NIC, "vfio-pci");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_state(rig, FAKE_NIC, "mlx5_vfio_pci", "mlx5_vfio_pci");

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_state(rig, FAKE_NIC, "vfio-pci", "");
        for (unsigned i = 0; i < rig->host.kernel->n_writes; i++)
                assert_null(strstr(rig->host.kernel->writes[i], "drivers/e1000e/bind"));

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_found_without_driver_stays_without(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_BARE_ID, "vfio-pci");
        Report done, undone;

        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_null(report_observed(&done, 0, "driver"));
        assert_state(rig, FAKE_BARE, "vfio-pci", "vfio-pci");

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_state(rig, FAKE_BARE, "", "");

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_unbind_only(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "");
        Report done, undone;

        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_state(rig, FAKE_NIC, "", "");
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_state(rig, FAKE_NIC, "e1000e", "");

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

/* The USB bus knows no driver_override. */
static void test_bus_without_override(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_USB_ID, "usb-storage");
        Report done, undone;

        fake_set_driver(&rig->host, "usb", FAKE_USB, NULL);
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_null(report_observed(&done, 0, "override"));
        assert_string_equal(fake_driver(&rig->host, "usb", FAKE_USB), "usb-storage");
        assert_int_equal(rig->host.kernel->n_writes, 1);
        assert_write(rig, 1, "drivers/usb-storage/bind=" FAKE_USB);

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_string_equal(fake_driver(&rig->host, "usb", FAKE_USB), "");

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_missing_driver_touches_nothing(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "hisi_acc_vfio_pci");
        Report report = rig_execute(rig, steps);

        assert_int_equal(report.result, -ENOENT);
        assert_string_equal(report_code(&report, 0), "DriverMissing");
        assert_contains(report_error(&report, 0),
                        "No driver hisi_acc_vfio_pci is registered on the pci bus");
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&report);
        json_decref(steps);
}

/* The probe's errno comes from the driver's own bind, because drivers_probe keeps it to itself. */
static void test_probe_refused(void **state) {
        static const struct {
                const char *device, *sysname;
                int error;
                const char *attribute, *code, *text;
        } cases[] = {
                { FAKE_BARE_ID, FAKE_BARE, EINVAL, NULL, "NoIommu", "has no IOMMU group" },
                { FAKE_NIC_ID, FAKE_NIC, EBUSY, "virtfn0", "DeviceBusy",
                  "virtual functions of the device are enabled" },
                { FAKE_NIC_ID, FAKE_NIC, EINVAL, NULL, "StepFailed", "denylist" },
                { FAKE_NIC_ID, FAKE_NIC, EIO, NULL, "StepFailed", "Input/output error" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Rig *rig = *state;
                json_t *steps = bind_step(cases[i].device, "vfio-pci");
                char *found = strdup(fake_driver(&rig->host, "pci", cases[i].sysname));
                Report done, undone;

                fake_kernel_reset(&rig->host);
                rig->host.kernel->probe_errno = cases[i].error;
                if (cases[i].attribute)
                        fake_link(&rig->host, fake_attribute("pci", cases[i].sysname, cases[i].attribute),
                                  "..");
                done = rig_execute(rig, steps);
                assert_int_equal(done.result, -cases[i].error);
                assert_string_equal(report_code(&done, 0), cases[i].code);
                assert_contains(report_error(&done, 0), cases[i].text);
                assert_contains(report_error(&done, 0),
                                "the device is without a driver, driver_override vfio-pci");
                if (cases[i].attribute)
                        fake_remove_file(&rig->host,
                                         fake_attribute("pci", cases[i].sysname, cases[i].attribute));

                fake_kernel_reset(&rig->host);
                undone = rig_undo(rig, steps, done.observed);
                assert_int_equal(undone.result, 0);
                assert_state(rig, cases[i].sysname, found, "");

                free(found);
                report_done(&done);
                report_done(&undone);
                json_decref(steps);
        }
}

static void test_another_driver_was_faster(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report report;

        rig->host.kernel->rival = "mlx5_vfio_pci";
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EBUSY);
        assert_contains(report_error(&report, 0), "the device is bound to mlx5_vfio_pci");

        report_done(&report);
        json_decref(steps);
}

static void test_driver_does_not_let_go(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report report;

        rig->host.kernel->unbind_stuck = true;
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EBUSY);
        assert_string_equal(report_code(&report, 0), "DeviceBusy");
        assert_contains(report_error(&report, 0), "The driver e1000e does not let go of " FAKE_NIC);
        assert_state(rig, FAKE_NIC, "e1000e", "vfio-pci");

        report_done(&report);
        json_decref(steps);
}

static void test_override_reads_otherwise(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report report;

        rig->host.kernel->override_deaf = true;
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -EIO);
        assert_contains(report_error(&report, 0), "was set to \"vfio-pci\" but reads \"(null)\"");
        assert_string_equal(fake_driver(&rig->host, "pci", FAKE_NIC), "e1000e");

        report_done(&report);
        json_decref(steps);
}

/* Whichever write of the step fails, undo leads back. */
static void test_each_write_fails(void **state) {
        static const int errors[] = { EBUSY, EPERM, EINVAL, EIO, ENODEV };
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");

        for (unsigned fail_at = 1; fail_at <= 3; fail_at++)
                for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                        Report done, undone;

                        fake_kernel_reset(&rig->host);
                        rig->host.kernel->fail_at = fail_at;
                        rig->host.kernel->fail_errno = errors[i];
                        done = rig_execute(rig, steps);
                        if (fail_at == 3) /* the driver itself is asked next, and takes the device */
                                assert_int_equal(done.result, 0);
                        else {
                                assert_int_equal(done.result, -errors[i]);
                                assert_contains(report_error(&done, 0), FAKE_NIC);
                        }

                        fake_kernel_reset(&rig->host);
                        undone = rig_undo(rig, steps, done.observed);
                        assert_int_equal(undone.result, 0);
                        assert_state(rig, FAKE_NIC, "e1000e", "");
                        report_done(&done);
                        report_done(&undone);
                }

        json_decref(steps);
}

/* Killed before or after any write, of the step or of a first undo: a new worker leads back all the same. */
static void test_killed_at_each_write(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");

        for (unsigned die_at = 1; die_at <= 3; die_at++)
                for (int after = 0; after < 2; after++)
                        for (unsigned undo_dies_at = 0; undo_dies_at <= 3; undo_dies_at++) {
                                Report done, undone;

                                fake_kernel_reset(&rig->host);
                                rig->host.kernel->die_at = die_at;
                                rig->host.kernel->die_after = after == 1;
                                done = rig_execute(rig, steps);
                                assert_true(done.died);
                                assert_int_equal(rig_stop(rig), 99);

                                fake_kernel_reset(&rig->host);
                                rig->host.kernel->die_at = undo_dies_at;
                                rig->host.kernel->die_after = after == 0;
                                rig_start(rig);
                                undone = rig_undo(rig, steps, done.observed);
                                if (undone.died) {
                                        report_done(&undone);
                                        assert_int_equal(rig_stop(rig), 99);
                                        fake_kernel_reset(&rig->host);
                                        rig_start(rig);
                                        undone = rig_undo(rig, steps, done.observed);
                                }
                                assert_int_equal(undone.result, 0);
                                assert_state(rig, FAKE_NIC, "e1000e", "");
                                report_done(&done);
                                report_done(&undone);
                        }

        json_decref(steps);
}

static void test_undo_says_what_is_where(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        Report done, undone;

        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);

        fake_kernel_reset(&rig->host);
        rig->host.kernel->probe_errno = ENOMEM;
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, -ENOMEM);
        assert_contains(report_error(&undone, 0), "was bound to e1000e, driver_override not set before");
        assert_contains(report_error(&undone, 0), "it is without a driver, driver_override not set now");
        assert_contains(report_error(&undone, 0), "Cannot allocate memory");

        fake_kernel_reset(&rig->host);
        report_done(&undone);
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_state(rig, FAKE_NIC, "e1000e", "");

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_undo_when_driver_was_removed(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        json_t *observed = json_pack("[s]", "{\"driver\":\"e1000\",\"override\":\"\"}");
        Report undone;

        undone = rig_undo(rig, steps, observed);
        assert_int_equal(undone.result, -ENOENT);
        assert_string_equal(report_code(&undone, 0), "DriverMissing");
        assert_contains(report_error(&undone, 0), "No driver e1000 is registered");

        report_done(&undone);
        json_decref(observed);
        json_decref(steps);
}

static void test_undo_when_device_is_gone(void **state) {
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");
        json_t *observed = json_pack("[s]", "{\"driver\":\"e1000e\",\"override\":\"\"}");
        Report report;

        fake_remove_file(&rig->host, "sys/bus/pci/devices/" FAKE_NIC);
        report = rig_undo(rig, steps, observed);
        assert_int_equal(report.result, 0);
        assert_contains(report_text(&report, 0), "is gone: nothing to restore");
        report_done(&report);

        report = rig_execute(rig, steps);
        assert_int_equal(report.result, -ENODEV);
        assert_string_equal(report_code(&report, 0), "DeviceGone");

        report_done(&report);
        json_decref(observed);
        json_decref(steps);
}

static void test_damaged_records(void **state) {
        static const char *const records[] = {
                "",
                "nonsense",
                "[]",
                "{}",
                "{\"driver\":17,\"override\":\"\"}",
                "{\"driver\":\"../../../module\",\"override\":\"\"}",
                "{\"driver\":\"..\",\"override\":\"\"}",
                "{\"driver\":\"e1000e\"}",
        };
        Rig *rig = *state;
        json_t *steps = bind_step(FAKE_NIC_ID, "vfio-pci");

        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                json_t *observed = json_pack("[s]", records[i]);
                Report undone = rig_undo(rig, steps, observed);

                assert_int_equal(undone.result, -EBADMSG);
                assert_string_equal(report_code(&undone, 0), "StateDamaged");
                assert_contains(report_error(&undone, 0), "nothing was restored");
                report_done(&undone);
                json_decref(observed);
        }
        assert_int_equal(rig->host.kernel->n_writes, 0);
        json_decref(steps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_bind_and_undo),
                TEST(test_nothing_written_when_bound),
                TEST(test_override_added_to_bound_device),
                TEST(test_found_on_vfio_returns_there),
                TEST(test_found_without_driver_stays_without),
                TEST(test_unbind_only),
                TEST(test_bus_without_override),
                TEST(test_missing_driver_touches_nothing),
                TEST(test_probe_refused),
                TEST(test_another_driver_was_faster),
                TEST(test_driver_does_not_let_go),
                TEST(test_override_reads_otherwise),
                TEST(test_each_write_fails),
                TEST(test_killed_at_each_write),
                TEST(test_undo_says_what_is_where),
                TEST(test_undo_when_driver_was_removed),
                TEST(test_undo_when_device_is_gone),
                TEST(test_damaged_records),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
