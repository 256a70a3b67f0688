/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/macro.h"

/* Changing owners needs root, as the worker has it. */
#define SKIP_UNLESS_ROOT()                                                                                  \
        do {                                                                                                \
                if (geteuid() != 0)                                                                         \
                        skip();                                                                             \
        } while (0)

static json_t *node_steps(const char *device, const char *name) {
        return json_pack("[o]", make_step("node-owner", device,
                                          json_pack("{s:s, s:i, s:i, s:i}", "name", name, "uid", 64055,
                                                    "gid", 108, "mode", 0660)));
}

static const char *node_path(Rig *rig, const char *name) {
        static char path[128];

        (void) snprintf(path, sizeof(path), "%s/dev/%s", rig->host.root, name);
        return path;
}

static void make_node(Rig *rig, const char *name, mode_t mode) {
        char path[128];

        (void) snprintf(path, sizeof(path), "dev/%s", name);
        fake_write_file(&rig->host, path, "");
        assert_return_code(chmod(node_path(rig, name), mode), errno);
}

static void assert_owner(Rig *rig, const char *name, uid_t uid, gid_t gid, mode_t mode) {
        struct stat st;

        assert_return_code(stat(node_path(rig, name), &st), errno);
        assert_int_equal(st.st_uid, uid);
        assert_int_equal(st.st_gid, gid);
        assert_int_equal(st.st_mode & 07777, mode);
}

static void test_group_node(void **state) {
        Rig *rig = *state;
        json_t *steps = node_steps(FAKE_NIC_ID, "vfio/17");
        Report done, undone;

        SKIP_UNLESS_ROOT();
        make_node(rig, "vfio/17", 0600);
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_string_equal(report_observed(&done, 0, "uid"), "0");
        assert_string_equal(report_observed(&done, 0, "mode"), "384");
        assert_owner(rig, "vfio/17", 64055, 108, 0660);

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_owner(rig, "vfio/17", 0, 0, 0600);
        report_done(&undone);

        /* It dies with the binding. */
        fake_remove_file(&rig->host, "dev/vfio/17");
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_contains(report_text(&undone, 0), "/dev/vfio/17 is gone");
        report_done(&undone);
        fake_remove_file(&rig->host, "sys/class/vfio/17/dev");
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_usb_node(void **state) {
        Rig *rig = *state;
        json_t *steps = node_steps(FAKE_USB_ID, "bus/usb/001/005");
        Report done;

        SKIP_UNLESS_ROOT();
        make_node(rig, "bus/usb/001/005", 0664);
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "dev"), "0:0");
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "busnum"), "1");
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "devnum"), "5");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_owner(rig, "bus/usb/001/005", 64055, 108, 0660);
        report_done(&done);

        /* After a new enumeration the old name is another device's. */
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "devnum"), "6");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, -EXDEV);
        assert_string_equal(report_code(&done, 0), "WrongNode");
        assert_contains(report_error(&done, 0), "The node of " FAKE_USB " is /dev/bus/usb/001/006 now");

        report_done(&done);
        json_decref(steps);
}

static void test_cdev_node(void **state) {
        Rig *rig = *state;
        json_t *steps = node_steps(FAKE_NIC_ID, "vfio/devices/vfio3");
        Report done;

        SKIP_UNLESS_ROOT();
        fake_make_directory(&rig->host, "dev/vfio/devices");
        make_node(rig, "vfio/devices/vfio3", 0600);
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, -ENOENT);
        assert_contains(report_error(&done, 0), "has no node /dev/vfio/devices/vfio3 now");
        report_done(&done);

        fake_make_directory(&rig->host, fake_attribute("pci", FAKE_NIC, "vfio-dev/vfio3"));
        fake_write_file(&rig->host, fake_attribute("pci", FAKE_NIC, "vfio-dev/vfio3/dev"), "0:0");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_owner(rig, "vfio/devices/vfio3", 64055, 108, 0660);

        report_done(&done);
        json_decref(steps);
}

static void assert_wrong_node(Rig *rig, const char *device, const char *name, const char *text) {
        json_t *steps = node_steps(device, name);
        Report report = rig_execute(rig, steps);

        assert_int_not_equal(report.result, 0);
        assert_string_equal(report_code(&report, 0), "WrongNode");
        assert_contains(report_error(&report, 0), text);
        report_done(&report);
        json_decref(steps);
}

static void test_wrong_nodes(void **state) {
        Rig *rig = *state;

        make_node(rig, "vfio/17", 0600);
        make_node(rig, "vfio/18", 0600);
        make_node(rig, "vfio/vfio", 0666);
        make_node(rig, "mem", 0600);

        assert_wrong_node(rig, FAKE_NIC_ID, "vfio/18", "is in the IOMMU group 17");
        assert_wrong_node(rig, FAKE_NIC_ID, "vfio/vfio", "is in the IOMMU group 17");
        assert_wrong_node(rig, FAKE_BARE_ID, "vfio/17", "has no IOMMU group");
        assert_wrong_node(rig, FAKE_NIC_ID, "mem", "has no node /dev/mem");
        assert_wrong_node(rig, FAKE_USB_ID, "bus/usb/001/005", "states no bus and address");
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "busnum"), "1");
        fake_write_file(&rig->host, fake_attribute("usb", FAKE_USB, "devnum"), "5");
        assert_wrong_node(rig, FAKE_USB_ID, "bus/usb/1/5",
                          "The node of " FAKE_USB " is /dev/bus/usb/001/005");
        assert_wrong_node(rig, FAKE_USB_ID, "bus/usb/hub",
                          "The node of " FAKE_USB " is /dev/bus/usb/001/005");

        /* The number in sysfs is what counts, not the name. */
        fake_write_file(&rig->host, "sys/class/vfio/17/dev", "511:17");
        assert_wrong_node(rig, FAKE_NIC_ID, "vfio/17",
                          "has the device number 0:0, but " FAKE_NIC " has 511:17");
        fake_write_file(&rig->host, "sys/class/vfio/17/dev", "0:0");

        /* What is in its place must be a node itself. */
        fake_remove_file(&rig->host, "dev/vfio/17");
        fake_link(&rig->host, "dev/vfio/17", "18");
        assert_wrong_node(rig, FAKE_NIC_ID, "vfio/17", "/dev/vfio/17");
        fake_remove_file(&rig->host, "dev/vfio/17");
        fake_make_directory(&rig->host, "dev/vfio/17");
        assert_wrong_node(rig, FAKE_NIC_ID, "vfio/17", "is a directory");

        assert_owner(rig, "vfio/18", geteuid(), getegid(), 0600);
}

static void test_real_device_number(void **state) {
        Rig *rig = *state;
        json_t *steps = node_steps(FAKE_NIC_ID, "vfio/17");
        Report report;

        SKIP_UNLESS_ROOT();
        /* A number that no driver serves; nothing opens it. */
        if (mknod(node_path(rig, "vfio/17"), S_IFCHR | 0600, makedev(511, 17)) < 0)
                skip();
        fake_write_file(&rig->host, "sys/class/vfio/17/dev", "511:17");
        report = rig_execute(rig, steps);
        assert_int_equal(report.result, 0);
        assert_owner(rig, "vfio/17", 64055, 108, 0660);

        report_done(&report);
        json_decref(steps);
}

/* udev applies its rules a moment after the kernel made the node: what it sets is what is found, and is not lost. */
static void test_waits_for_udev(void **state) {
        Rig *rig = *state;
        json_t *steps = node_steps(FAKE_NIC_ID, "vfio/17");
        Report report;
        pid_t udev;

        SKIP_UNLESS_ROOT();
        if (mknod(node_path(rig, "vfio/17"), S_IFCHR | 0600, makedev(511, 17)) < 0)
                skip();
        fake_write_file(&rig->host, "sys/class/vfio/17/dev", "511:17");
        fake_make_directory(&rig->host, "run/udev/data");
        fake_write_file(&rig->host, "run/udev/control", "");

        udev = fork();
        assert_return_code(udev, errno);
        if (udev == 0) {
                (void) usleep(100 * 1000);
                if (chown(node_path(rig, "vfio/17"), 0, 36) < 0 ||
                    chmod(node_path(rig, "vfio/17"), 0640) < 0)
                        _exit(1);
                fake_write_file(&rig->host, "run/udev/data/c511:17", "I:1");
                _exit(0);
        }
        report = rig_execute(rig, steps);
        assert_int_equal(waitpid(udev, NULL, 0), udev);
        assert_int_equal(report.result, 0);
        assert_string_equal(report_observed(&report, 0, "gid"), "36");
        assert_string_equal(report_observed(&report, 0, "mode"), "416");
        assert_owner(rig, "vfio/17", 64055, 108, 0660);

        report_done(&report);
        json_decref(steps);
}

static void test_damaged_records(void **state) {
        static const char *const records[] = {
                "{}",
                "{\"uid\":0,\"gid\":0}",
                "{\"uid\":-1,\"gid\":0,\"mode\":384}",
                "{\"uid\":4294967295,\"gid\":0,\"mode\":384}",
                "{\"uid\":0,\"gid\":0,\"mode\":65536}",
        };
        Rig *rig = *state;
        json_t *steps = node_steps(FAKE_NIC_ID, "vfio/17");

        make_node(rig, "vfio/17", 0640);
        for (size_t i = 0; i < ELEMENTSOF(records); i++) {
                json_t *observed = json_pack("[s]", records[i]);
                Report report = rig_undo(rig, steps, observed);

                assert_int_equal(report.result, -EBADMSG);
                assert_contains(report_error(&report, 0), "nothing was restored");
                report_done(&report);
                json_decref(observed);
        }
        assert_owner(rig, "vfio/17", geteuid(), getegid(), 0640);
        json_decref(steps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_group_node),      TEST(test_usb_node),           TEST(test_cdev_node),
                TEST(test_wrong_nodes),     TEST(test_real_device_number), TEST(test_waits_for_udev),
                TEST(test_damaged_records),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
