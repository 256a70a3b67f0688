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
#include <sys/stat.h>
#include <unistd.h>

#include "lib/macro.h"
#include "worker/module-load.h"

static void assert_refused(const char *directory, const char *file, int error, const char *text) {
        _cleanup_fault_ Fault fault = {};
        const PtModule *module = NULL;
        ModuleSet set = {};

        assert_int_equal(module_set_get(&set, directory, file, &module, &fault), error);
        assert_int_equal(fault.code, FAULT_MODULE_MISSING);
        assert_contains(fault.message, text);
        assert_null(module);
        module_set_done(&set);
}

static void test_names(void **state) {
        assert_refused(NULL, "test-module.so", -EINVAL, "no absolute path");
        assert_refused("modules", "test-module.so", -EINVAL, "no absolute path");
        assert_refused(TEST_MODULE_DIR, "../worker/test-module.so", -EINVAL,
                       "not the name of a module's file");
        assert_refused(TEST_MODULE_DIR, "/etc/passwd", -EINVAL, "not the name of a module's file");
        assert_refused(TEST_MODULE_DIR, "..", -EINVAL, "not the name of a module's file");
        assert_refused(TEST_MODULE_DIR, "", -EINVAL, "not the name of a module's file");
        assert_refused(TEST_MODULE_DIR, NULL, -EINVAL, "not the name of a module's file");
        assert_refused(TEST_MODULE_DIR, "absent.so", -ENOENT, "Cannot find the module");
        assert_refused("/nonexistent", "test-module.so", -ENOENT, "Cannot open the module directory");
}

static void test_descriptors(void **state) {
        assert_refused(TEST_MODULE_DIR, "broken-major.so", -ENOEXEC, "was built for version 2.");
        assert_refused(TEST_MODULE_DIR, "broken-minor.so", -ENOEXEC, "was built for version 1.4");
        assert_refused(TEST_MODULE_DIR, "broken-size.so", -ENOEXEC, "bytes long");
        assert_refused(TEST_MODULE_DIR, "broken-tables.so", -ENOEXEC, "lacks its fields");
        assert_refused(TEST_MODULE_DIR, "broken-helper.so", -ENOEXEC,
                       "The helper tool has the path \"/usr/lib/../tool\", which is not absolute and plain");
        assert_refused(TEST_MODULE_DIR, "broken-entry.so", -ENOEXEC,
                       "does not export pt_module_descriptor()");
}

/* One built before the structure grew: what it has not is NULL, whatever lies behind it. */
static void test_older_descriptor(void **state) {
        const PtModule *module = NULL;
        ModuleSet set = {};

        assert_int_equal(module_set_get(&set, TEST_MODULE_DIR, "older-minor.so", &module, NULL), 0);
        assert_non_null(module->guest);
        assert_null(module->layout);
        assert_null(module->health);
        module_set_done(&set);
}

static void test_loaded_once(void **state) {
        const PtModule *first = NULL, *second = NULL;
        ModuleSet set = {};

        assert_int_equal(module_set_get(&set, TEST_MODULE_DIR, "test-module.so", &first, NULL), 0);
        assert_string_equal(first->type, "test");
        assert_int_equal(module_set_get(&set, TEST_MODULE_DIR, "test-module.so", &second, NULL), 0);
        assert_ptr_equal(first, second);
        assert_non_null(module_find_custom_step(first, "set-mode"));
        assert_null(module_find_custom_step(first, "set-modes"));
        assert_null(module_find_custom_step(first, NULL));
        module_set_done(&set);
}

/* What anybody but root could have put there is not loaded. */
static void test_ownership(void **state) {
        char directory[] = "/tmp/passthroughd-modules-XXXXXX", path[128];
        FILE *stream;

        if (geteuid() != 0)
                skip();
        assert_non_null(mkdtemp(directory));
        (void) snprintf(path, sizeof(path), "%s/odd.so", directory);
        stream = fopen(path, "we");
        assert_non_null(stream);
        (void) fputs("no shared object", stream);
        (void) fclose(stream);

        assert_return_code(chmod(path, 0644), errno);
        assert_refused(directory, "odd.so", -ENOEXEC, "Cannot load the module");
        assert_return_code(chmod(path, 0664), errno);
        assert_refused(directory, "odd.so", -EPERM, "odd.so can be written by others than root");
        assert_return_code(chmod(path, 0646), errno);
        assert_refused(directory, "odd.so", -EPERM, "odd.so can be written by others than root");
        assert_return_code(chmod(path, 0644), errno);
        assert_return_code(chown(path, 1000, 0), errno);
        assert_refused(directory, "odd.so", -EPERM, "belongs to user 1000");
        assert_return_code(chown(path, 0, 0), errno);
        assert_return_code(chmod(directory, 0777), errno);
        assert_refused(directory, "odd.so", -EPERM, "can be written by others than root");
        assert_return_code(chmod(directory, 0755), errno);
        assert_return_code(unlink(path), errno);
        assert_return_code(symlink(TEST_MODULE_DIR "/test-module.so", path), errno);
        assert_refused(directory, "odd.so", -EINVAL, "is no regular file");

        assert_return_code(unlink(path), errno);
        assert_return_code(rmdir(directory), errno);
}

static json_t *custom_steps(const char *device, const char *name, const char *value) {
        return json_pack("[o]",
                         make_step("custom", device, json_pack("{s:s, s:s}", "name", name, "value", value)));
}

static void test_custom_step(void **state) {
        Rig *rig = *state;
        json_t *steps = custom_steps(FAKE_NIC_ID, "set-mode", "fast");
        const char *path = fake_attribute("pci", FAKE_NIC, "mode");
        Report done, undone;
        char *mode;

        fake_write_file(&rig->host, path, "slow");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        assert_string_equal(report_observed(&done, 0, "text"), "slow");
        mode = fake_read(&rig->host, path);
        assert_string_equal(mode, "fast");
        free(mode);

        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        mode = fake_read(&rig->host, path);
        assert_string_equal(mode, "slow");
        free(mode);

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

static void test_custom_step_fails(void **state) {
        static const struct {
                const char *device, *step;
                int result;
                const char *code, *text;
        } cases[] = {
                { FAKE_NIC_ID, "fail", -EBUSY, "StepFailed",
                  "The firmware refuses mode fast while e1000e is bound" },
                { FAKE_NIC_ID, "wordless", -EIO, "StepFailed",
                  "Cannot do what is asked: Input/output error" },
                { FAKE_NIC_ID, "set-mode", -ENOENT, "StepFailed", "No such file or directory" },
                { FAKE_NIC_ID, "unknown", -ENOENT, "ModuleMissing", "The module test has no step unknown" },
                { FAKE_BARE_ID, "fail", -ENOENT, "ModuleMissing", "No module is named for" },
        };
        Rig *rig = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *steps = custom_steps(cases[i].device, cases[i].step, "fast");
                Report report = rig_execute(rig, steps);

                assert_int_equal(report.result, cases[i].result);
                assert_string_equal(report_code(&report, 0), cases[i].code);
                assert_contains(report_error(&report, 0), cases[i].text);
                report_done(&report);
                json_decref(steps);
        }
}

static void test_custom_step_without_functions(void **state) {
        Rig *rig = *state;
        json_t *steps = custom_steps(FAKE_NIC_ID, "nothing", "");
        Report done, undone;

        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        assert_int_equal(rig->host.kernel->n_writes, 0);

        report_done(&done);
        report_done(&undone);
        json_decref(steps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_older_descriptor),
                cmocka_unit_test(test_loaded_once),
                cmocka_unit_test(test_ownership),
                TEST(test_custom_step),
                TEST(test_custom_step_fails),
                TEST(test_custom_step_without_functions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
