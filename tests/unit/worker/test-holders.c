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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_units),
                TEST(test_scan),
                TEST(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
