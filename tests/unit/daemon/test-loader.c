/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/host-device.h"
#include "daemon/loader.h"
#include "host-tree.h"

/* A folder of modules made from those that were built for the tests. */
static void install(HostTree *tree, const char *module, const char *as) {
        char from[PATH_MAX], to[PATH_MAX], buffer[65536];
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        ssize_t n;

        (void) snprintf(from, sizeof(from), "%s/%s.so", TEST_MODULE_DIR, module);
        (void) snprintf(to, sizeof(to), "%s/modules/%s", tree->root, as);
        in = open(from, O_RDONLY | O_CLOEXEC);
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        assert_true(in >= 0 && out >= 0);
        while ((n = read(in, buffer, sizeof(buffer))) > 0)
                assert_int_equal(write(out, buffer, (size_t) n), n);
        assert_int_equal(n, 0);
        assert_int_equal(fchmod(out, 0755), 0);
}

static void change_mode(HostTree *tree, const char *path, mode_t mode) {
        char full[PATH_MAX];

        (void) snprintf(full, sizeof(full), "%s/%s", tree->root, path);
        assert_int_equal(chmod(full, mode), 0);
}

static Loader *load(const HostTree *tree, Breadcrumb *breadcrumb) {
        char path[PATH_MAX];
        Loader *loader = NULL;

        (void) snprintf(path, sizeof(path), "%s/modules", tree->root);
        assert_int_equal(loader_new(path, breadcrumb, &loader), 0);
        assert_string_equal(loader_directory(loader), path);
        return loader;
}

static void assert_state(Loader *loader, const char *name, const char *file, const char *reason) {
        Module *module = loader_find(loader, name);

        assert_non_null(module);
        assert_string_equal(module->file, file);
        if (!reason) {
                if (module->state != MODULE_LOADED)
                        fail_msg("%s was refused: %s", name, module->reason);
                assert_non_null(module->descriptor);
                return;
        }
        assert_int_equal(module->state, MODULE_REFUSED);
        assert_null(module->descriptor);
        if (!strstr(module->reason, reason))
                fail_msg("\"%s\" does not say \"%s\"", module->reason, reason);
}

static int set_up(void **state) {
        HostTree *tree = malloc(sizeof(*tree));

        assert_non_null(tree);
        host_tree_make(tree);
        tree_folder(tree, "modules");
        *state = tree;
        return 0;
}

static int tear_down(void **state) {
        host_tree_remove(*state);
        free(*state);
        return 0;
}

static void test_good_modules(void **state) {
        _cleanup_(loader_freep) Loader *loader = NULL;
        Module *module;

        install(*state, "device-module", "zebra.so");
        install(*state, "module-second", "ant.so");
        loader = load(*state, NULL);
        assert_state(loader, "test", "zebra.so", NULL);
        assert_state(loader, "second", "ant.so", NULL);
        assert_null(loader_find(loader, "zebra"));

        /* By name. */
        module = loader_first(loader);
        assert_string_equal(module->name, "second");
        assert_string_equal(module->next->name, "test");
        assert_null(module->next->next);
        assert_int_equal(module->next->n_fields, 12);
}

static void test_nothing_there(void **state) {
        _cleanup_(loader_freep) Loader *empty = NULL, *missing = NULL;
        Loader *loader = NULL;

        empty = load(*state, NULL);
        assert_null(loader_first(empty));
        tree_remove(*state, "modules");
        missing = load(*state, NULL);
        assert_null(loader_first(missing));
        assert_int_equal(loader_new("relative/path", NULL, &loader), -EINVAL);
        assert_int_equal(loader_new("/etc/passwd", NULL, &loader), -ENOTDIR);
}

static void test_descriptors_refused(void **state) {
        static const struct {
                const char *module, *reason;
        } cases[] = {
                { "module-major", "built for version 2 of the module interface, the service has 1" },
                { "module-minor", "needs version 1.4 of the module interface, the service has 1.3" },
                { "module-size", "descriptor has 8 bytes" },
                { "module-tables", "not in kebab-case" },
                { "module-no-entry", "no function pt_module_descriptor" },
                { "module-no-filter", "no filter" },
                { "module-no-plan", "no plan()" },
                { "module-no-observe", "field serial is slow, but there is no observe()" },
                { "module-no-title", "has no title" },
                { "module-type", "type name \"Bad-Type\"" },
                { "module-step", "custom step \"no-run\"" },
                { "module-helper-name", "The helper \"Tool\" has a name that is not in kebab-case" },
                { "module-helper-path", "The helper third has the path \"tool\", which is not absolute and plain" },
                { "module-helper-detour", "has the path \"/usr/../tool\"" },
                { "module-helper-twice", "The helper tool is there twice" },
        };
        _cleanup_(loader_freep) Loader *loader = NULL;
        HostTree *tree = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char file[64];

                (void) snprintf(file, sizeof(file), "%s.so", cases[i].module);
                install(tree, cases[i].module, file);
        }
        install(tree, "device-module", "good.so");
        loader = load(tree, NULL);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char file[64];

                (void) snprintf(file, sizeof(file), "%s.so", cases[i].module);
                assert_state(loader, cases[i].module, file, cases[i].reason);
        }
        /* None of them is in the way of the good one. */
        assert_state(loader, "test", "good.so", NULL);
}

static void test_files_refused(void **state) {
        _cleanup_(loader_freep) Loader *loader = NULL;
        HostTree *tree = *state;

        install(tree, "device-module", "writable.so");
        change_mode(tree, "modules/writable.so", 0775);
        install(tree, "device-module", "everybody.so");
        change_mode(tree, "modules/everybody.so", 0757);
        tree_link(tree, "modules/link.so", "writable.so");
        tree_folder(tree, "modules/folder.so");
        tree_file(tree, "modules/text.so", "not a shared object");
        /* Not modules by their names. */
        tree_file(tree, "modules/README", "x");
        tree_file(tree, "modules/.so", "x");
        tree_file(tree, "modules/.hidden.so", "x");

        loader = load(tree, NULL);
        assert_state(loader, "writable", "writable.so",
                     "may be written by others than its owner (mode 0775)");
        assert_state(loader, "everybody", "everybody.so", "may be written by others");
        assert_state(loader, "link", "link.so", "not a regular file");
        assert_state(loader, "folder", "folder.so", "not a regular file");
        assert_state(loader, "text", "text.so", "cannot be loaded");
        assert_null(loader_find(loader, "README"));
        assert_null(loader_find(loader, ""));
        assert_null(loader_find(loader, ".hidden"));
}

static void test_foreign_owner(void **state) {
        _cleanup_(loader_freep) Loader *loader = NULL;
        HostTree *tree = *state;
        char full[PATH_MAX];

        if (geteuid() != 0)
                skip(); /* nobody else can be made the owner */
        install(tree, "device-module", "foreign.so");
        (void) snprintf(full, sizeof(full), "%s/modules/foreign.so", tree->root);
        assert_int_equal(chown(full, 12345, 12345), 0);
        loader = load(tree, NULL);
        assert_state(loader, "foreign", "foreign.so", "belongs to user 12345");
}

static void test_open_directory(void **state) {
        _cleanup_(loader_freep) Loader *loader = NULL;
        HostTree *tree = *state;

        install(tree, "device-module", "good.so");
        change_mode(tree, "modules", 0777);
        loader = load(tree, NULL);
        assert_state(loader, "good", "good.so", "The module directory may be written by others");
}

static void test_two_of_a_type(void **state) {
        _cleanup_(loader_freep) Loader *loader = NULL;
        Module *module;

        install(*state, "device-module", "a.so");
        install(*state, "device-module", "b.so");
        loader = load(*state, NULL);
        assert_state(loader, "test", "a.so", NULL);
        module = loader_first(loader);
        assert_string_equal(module->file, "b.so");
        assert_string_equal(module->reason, "a.so has the type test already");
}

/* A service that starts and ends as the signal does, while it loads the modules or in a call of one. */
static void crash(const HostTree *tree, const char *called) {
        char path[PATH_MAX];
        pid_t pid;
        int status;

        (void) snprintf(path, sizeof(path), "%s/modules", tree->root);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                const struct rlimit no_core = { 0 };
                Breadcrumb *breadcrumb;
                Loader *loader;

                (void) signal(SIGABRT, SIG_DFL); /* cmocka catches it */
                (void) setrlimit(RLIMIT_CORE, &no_core);
                if (breadcrumb_open(tree->root, &breadcrumb) < 0)
                        _exit(99);
                if (called) {
                        breadcrumb_enter(breadcrumb, called, "describe", "test-1");
                        abort();
                }
                (void) loader_new(path, breadcrumb, &loader);
                _exit(98);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_crashed_before(void **state) {
        HostTree *tree = *state;
        _cleanup_(breadcrumb_closep) Breadcrumb *breadcrumb = NULL;
        _cleanup_(loader_freep) Loader *loader = NULL;

        install(tree, "device-module", "other-name.so");
        install(tree, "module-second", "module-second.so");
        for (int i = 0; i < 2; i++)
                crash(tree, "test");
        for (int i = 0; i < 3; i++)
                crash(tree, "module-second");
        assert_int_equal(breadcrumb_open(tree->root, &breadcrumb), 0);
        loader = load(tree, breadcrumb);
        /* By its type, or by its file before it is even loaded. */
        assert_state(loader, "test", "other-name.so", "crashed twice, last in describe");
        assert_state(loader, "module-second", "module-second.so", "crashed 3 times");
}

/* In a constructor, before anything is known of it but its file. */
static void test_crashes_at_load(void **state) {
        HostTree *tree = *state;
        _cleanup_(breadcrumb_closep) Breadcrumb *breadcrumb = NULL;
        _cleanup_(loader_freep) Loader *loader = NULL;

        install(tree, "module-second", "a-good-one.so");
        install(tree, "module-crash", "bad.so");
        for (int i = 0; i < 2; i++)
                crash(tree, NULL);
        assert_int_equal(breadcrumb_open(tree->root, &breadcrumb), 0);
        loader = load(tree, breadcrumb);
        assert_state(loader, "second", "a-good-one.so", NULL);
        assert_state(loader, "bad", "bad.so", "crashed twice, last in load (Aborted)");
}

static void test_wants(void **state) {
        static PtFilter filters[3];
        const PtModule descriptor = { .filters = filters };
        Module module = { .state = MODULE_LOADED, .descriptor = &descriptor };
        const HostDevice gpu = {
                .subsystem = "pci", .driver = "nvidia", .vendor = 0x10de, .class_code = 0x030200
        };
        const HostDevice stick = { .subsystem = "usb", .devtype = "usb_device" };
        static const struct {
                PtFilter filter;
                bool gpu, stick;
        } cases[] = {
                { { "pci", NULL, NULL, -1, -1, 0 }, true, false },
                { { "usb", NULL, NULL, -1, -1, 0 }, false, true },
                { { "usb", "usb_device", NULL, -1, -1, 0 }, false, true },
                { { "usb", "usb_interface", NULL, -1, -1, 0 }, false, false },
                { { "pci", "usb_device", NULL, -1, -1, 0 }, false, false },
                { { "pci", NULL, "nvidia", -1, -1, 0 }, true, false },
                { { "pci", NULL, "vfio-pci", -1, -1, 0 }, false, false },
                { { "usb", NULL, "usb", -1, -1, 0 }, false, false },
                { { "pci", NULL, NULL, 0x10de, -1, 0 }, true, false },
                { { "pci", NULL, NULL, 0x8086, -1, 0 }, false, false },
                { { "pci", NULL, NULL, -1, 0x030000, 0xff0000 }, true, false },
                { { "pci", NULL, NULL, -1, 0x030000, 0xffff00 }, false, false },
                { { "pci", NULL, NULL, 0x10de, 0x030200, 0xffffff }, true, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                filters[0] = cases[i].filter;
                filters[1] = (PtFilter){ 0 };
                assert_int_equal(module_wants(&module, &gpu), cases[i].gpu);
                assert_int_equal(module_wants(&module, &stick), cases[i].stick);
        }
        /* Any of several will do; a refused module wants nothing. */
        filters[1] = cases[1].filter;
        assert_true(module_wants(&module, &stick));
        module.state = MODULE_REFUSED;
        assert_false(module_wants(&module, &stick));
}

static void test_states(void **state) {
        for (ModuleState s = 0; s < _MODULE_STATE_MAX; s++)
                assert_int_equal(module_state_from_string(module_state_to_string(s)), s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_good_modules, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nothing_there, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_descriptors_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_files_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_foreign_owner, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_open_directory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_two_of_a_type, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_crashed_before, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_crashes_at_load, set_up, tear_down),
                cmocka_unit_test(test_wants),
                cmocka_unit_test(test_states),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
