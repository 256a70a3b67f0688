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

#include "lib/macro.h"
#include "worker/holders.h"

static void test_units(void **state) {
        static const struct {
                const char *cgroup, *unit;
        } cases[] = {
                { "0::/system.slice/libvirtd.service", "libvirtd.service" },
                { "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
                  "machine-qemu\\x2d1\\x2dvm.scope" },
                { "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                  "user@1000.service" },
                { "12:cpu:/a\n1:name=systemd:/system.slice/_cpu.service\n0::/", "cpu.service" },
                { "0::/init.scope", "init.scope" },
                { "0::/", NULL },
                { "0::/docker/abc", NULL },
                { "0::/system.slice", NULL },
                { "", NULL },
                { "nonsense", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *unit = unit_from_cgroup(cases[i].cgroup);

                if (cases[i].unit)
                        assert_string_equal(unit, cases[i].unit);
                else
                        assert_null(unit);
                free(unit);
        }
}

static void make_process(Rig *rig, const char *pid, const char *comm, const char *cgroup) {
        char path[64];

        (void) snprintf(path, sizeof(path), "proc/%s/fd", pid);
        fake_make_directory(&rig->host, path);
        (void) snprintf(path, sizeof(path), "proc/%s/comm", pid);
        fake_write_file(&rig->host, path, comm);
        (void) snprintf(path, sizeof(path), "proc/%s/cgroup", pid);
        fake_write_file(&rig->host, path, cgroup);
}

static void test_scan(void **state) {
        Rig *rig = *state;
        json_t *held, *done, *holders;

        make_process(rig, "4711", "qemu-system-x86", "0::/machine.slice/vm.scope");
        fake_link(&rig->host, "proc/4711/fd/0", "/dev/null");
        fake_link(&rig->host, "proc/4711/fd/20", "/dev/vfio/17");
        fake_link(&rig->host, "proc/4711/fd/21", "/dev/vfio/17");
        fake_link(&rig->host, "proc/4711/fd/22", "anon_inode:[vfio-device]");
        fake_link(&rig->host, "proc/4711/fd/23", "/dev/vfio/170");
        /* Seen through a container's own tree: another path, the same device. */
        make_process(rig, "12", "odd\xff", "0::/");
        fake_link(&rig->host, "proc/12/fd/3", "/dev/null");
        make_process(rig, "13", "harmless", "0::/");
        /* Vanished in the middle, and what is no process. */
        fake_make_directory(&rig->host, "proc/99");
        fake_make_directory(&rig->host, "proc/self/fd");
        fake_link(&rig->host, "proc/self/fd/3", "/dev/vfio/17");

        rig_send(rig, json_pack("{s:s, s:[s, s]}", "type", "holders", "nodes", "/dev/vfio/17", "/dev/null"));
        held = rig_expect(rig, "held");
        done = rig_expect(rig, "done");
        assert_int_equal(json_integer_value(json_object_get(done, "result")), 0);
        holders = json_object_get(held, "holders");
        assert_int_equal(json_array_size(holders), 3);

        for (size_t i = 0; i < 3; i++) {
                json_t *holder = json_array_get(holders, i);
                const char *node = json_string_value(json_object_get(holder, "node"));

                if (json_integer_value(json_object_get(holder, "pid")) == 4711) {
                        assert_string_equal(json_string_value(json_object_get(holder, "comm")),
                                            "qemu-system-x86");
                        assert_string_equal(json_string_value(json_object_get(holder, "unit")), "vm.scope");
                        assert_true(streq(node, "/dev/vfio/17") || streq(node, "/dev/null"));
                } else {
                        assert_int_equal(json_integer_value(json_object_get(holder, "pid")), 12);
                        assert_string_equal(json_string_value(json_object_get(holder, "comm")), "odd?");
                        assert_true(json_is_null(json_object_get(holder, "unit")));
                        assert_string_equal(node, "/dev/null");
                }
        }
        json_decref(held);
        json_decref(done);
}

static void test_refused(void **state) {
        static const char *const nodes[] = { "/etc/passwd", "vfio/17", "/dev/", "/dev/../etc/passwd",
                                             "/dev/a\nb" };
        Rig *rig = *state;

        for (size_t i = 0; i <= ELEMENTSOF(nodes); i++) {
                json_t *done;

                if (i < ELEMENTSOF(nodes))
                        rig_send(rig, json_pack("{s:s, s:[s]}", "type", "holders", "nodes", nodes[i]));
                else
                        rig_send(rig, json_pack("{s:s, s:i}", "type", "holders", "nodes", 1));
                done = rig_expect(rig, "done");
                assert_true(json_integer_value(json_object_get(done, "result")) < 0);
                assert_true(json_is_string(json_object_get(done, "error")));
                json_decref(done);
        }
}

/* The node of a disk and what it is called, a network interface, a partition; nothing of where links lead. */
static void make_disk(Rig *rig) {
        static const char *const directories[] = { "nvme/nvme0/nvme0n1/nvme0n1p1", "net/eth0/queues", "power" };
        static const struct {
                const char *path, *target;
        } links[] = {
                { "subsystem", "../../../bus/pci" },
                { "driver", "../../../bus/pci/drivers/nvme" },
                { "nvme/nvme0/subsystem", "../../../../../class/nvme" },
                { "nvme/nvme0/device", "../../../0000:01:00.0" },
                { "nvme/nvme0/nvme0n1/subsystem", "../../../../../../class/block" },
                { "nvme/nvme0/nvme0n1/nvme0n1p1/subsystem", "../../../../../../../class/block" },
                { "net/eth0/subsystem", "../../../../../class/net" },
        };
        static const struct {
                const char *path, *text;
        } files[] = {
                { "uevent", "DRIVER=nvme\n" },
                { "nvme/nvme0/uevent", "MAJOR=238\nDEVNAME=nvme0\n" },
                { "nvme/nvme0/nvme0n1/uevent", "MAJOR=259\nDEVNAME=nvme0n1\nDEVTYPE=disk\n" },
                { "nvme/nvme0/nvme0n1/nvme0n1p1/uevent", "DEVNAME=../../etc/passwd\nDEVNAME=nvme0n1p1\n" },
                { "net/eth0/uevent", "INTERFACE=eth0\n" },
        };
        char path[256];

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/0000:01:00.0/%s", directories[i]);
                fake_make_directory(&rig->host, path);
        }
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/0000:01:00.0/%s", links[i].path);
                fake_link(&rig->host, path, links[i].target);
        }
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                (void) snprintf(path, sizeof(path), "sys/devices/pci0000:00/0000:01:00.0/%s", files[i].path);
                fake_write_file(&rig->host, path, files[i].text);
        }
}

static bool names(json_t *children, const char *subsystem, const char *name, const char *node) {
        json_t *child;
        size_t i;

        json_array_foreach(children, i, child)
                if (streq(json_string_value(json_object_get(child, "subsystem")), subsystem) &&
                    streq(json_string_value(json_object_get(child, "name")), name) &&
                    streq(strempty(json_string_value(json_object_get(child, "node"))), node))
                        return true;
        return false;
}

static void test_below(void **state) {
        Rig *rig = *state;
        json_t *held, *done, *holders, *children;

        make_disk(rig);
        make_process(rig, "300", "mount", "0::/");
        fake_link(&rig->host, "proc/300/fd/3", "/dev/nvme0n1p1");
        rig_send(rig, json_pack("{s:s, s:[], s:[s]}", "type", "holders", "nodes", "below",
                                "/devices/pci0000:00/0000:01:00.0"));
        held = rig_expect(rig, "held");
        done = rig_expect(rig, "done");
        assert_int_equal(json_integer_value(json_object_get(done, "result")), 0);
        children = json_object_get(held, "children");
        assert_int_equal(json_array_size(children), 4);
        assert_true(names(children, "nvme", "nvme0", "/dev/nvme0"));
        assert_true(names(children, "block", "nvme0n1", "/dev/nvme0n1"));
        assert_true(names(children, "block", "nvme0n1p1", "/dev/nvme0n1p1"));
        assert_true(names(children, "net", "eth0", ""));
        holders = json_object_get(held, "holders");
        assert_int_equal(json_array_size(holders), 1);
        assert_string_equal(json_string_value(json_object_get(json_array_get(holders, 0), "node")), "/dev/nvme0n1p1");
        json_decref(held);
        json_decref(done);
}

/* A process that was handed the file of a device alone. */
static void test_device_files(void **state) {
        Rig *rig = *state;

        make_process(rig, "40", "ours", "0::/");
        fake_link(&rig->host, "proc/40/fd/9", "anon_inode:[vfio-device]");
        fake_make_directory(&rig->host, "proc/40/fdinfo");
        fake_write_file(&rig->host, "proc/40/fdinfo/9",
                        "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:01:00.0\n");
        make_process(rig, "41", "others", "0::/");
        fake_link(&rig->host, "proc/41/fd/9", "anon_inode:[vfio-device]");
        fake_make_directory(&rig->host, "proc/41/fdinfo");
        fake_write_file(&rig->host, "proc/41/fdinfo/9",
                        "vfio-device-syspath: /sys/devices/pci0000:00/0000:02:00.0\n");
        /* The kernel does not say; and one of whom it is known whose device it has. */
        make_process(rig, "42", "unknown", "0::/");
        fake_link(&rig->host, "proc/42/fd/9", "anon_inode:[vfio-device]");
        make_process(rig, "43", "group", "0::/");
        fake_link(&rig->host, "proc/43/fd/8", "/dev/vfio/99");
        fake_link(&rig->host, "proc/43/fd/9", "anon_inode:[vfio-device]");
        fake_make_directory(&rig->host, "sys/devices/pci0000:00/0000:01:00.0");

        for (int guess = 0; guess < 2; guess++) {
                json_t *held, *done, *holder;
                size_t i, certain = 0;

                rig_send(rig, json_pack("{s:s, s:[s], s:[s], s:b}", "type", "holders", "nodes", "/dev/vfio/17", "below",
                                        "/devices/pci0000:00/0000:01:00.0", "guess", guess));
                held = rig_expect(rig, "held");
                done = rig_expect(rig, "done");
                assert_int_equal(json_array_size(json_object_get(held, "holders")), guess ? 2 : 1);
                json_array_foreach(json_object_get(held, "holders"), i, holder) {
                        bool sure = json_is_true(json_object_get(holder, "certain"));

                        assert_int_equal(json_integer_value(json_object_get(holder, "pid")), sure ? 40 : 42);
                        certain += sure;
                }
                assert_int_equal(certain, 1);
                json_decref(held);
                json_decref(done);
        }
}

static void test_below_refused(void **state) {
        static const char *const below[] = { "/etc", "devices/pci0000:00", "/devices/../etc", "/devices/a\nb" };
        Rig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(below); i++) {
                json_t *done;

                rig_send(rig, json_pack("{s:s, s:[], s:[s]}", "type", "holders", "nodes", "below", below[i]));
                done = rig_expect(rig, "done");
                assert_true(json_integer_value(json_object_get(done, "result")) < 0);
                assert_true(json_is_string(json_object_get(done, "error")));
                json_decref(done);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_units),
                TEST(test_scan),
                TEST(test_refused),
                TEST(test_below),
                TEST(test_device_files),
                TEST(test_below_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
