/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "daemon/breadcrumb.h"
#include "host-tree.h"

/* The crash under test ends a child: a sanitizer's report of it is wanted by nobody. */
static void (*volatile no_function)(void);
static volatile unsigned endless = 1;

static unsigned recurse(unsigned depth) {
        volatile char frame[1024];

        frame[depth % sizeof(frame)] = (char) depth;
        return endless ? recurse(depth + 1) + (unsigned) frame[0] : 0;
}

static void crash_segv(void) {
        no_function();
}
static void crash_stack(void) {
        (void) recurse(0);
}
static void crash_abort(void) {
        abort();
}
static void crash_exit(void) {
        exit(0);
}
static void crash_sent(void) {
        (void) raise(SIGSEGV);
        for (;;)
                (void) pause();
}
static void *crash_in_thread(void *unused) {
        no_function();
        return NULL;
}
/* The thread that commits to the store, for one. */
static void crash_elsewhere(void) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, crash_in_thread, NULL) == 0)
                (void) pthread_join(thread, NULL);
}
static void killed(void) {
        (void) raise(SIGKILL);
}

/* A service that starts in `directory`, has its module do `crash` in a call, and ends. */
static void run(const char *directory, const char *module, void (*crash)(void)) {
        static const int caught[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                const struct rlimit no_core = { 0 };
                Breadcrumb *breadcrumb;

                /* Cmocka catches these to go on with the next test. */
                for (size_t i = 0; i < ELEMENTSOF(caught); i++)
                        (void) signal(caught[i], SIG_DFL);
                (void) setrlimit(RLIMIT_CORE, &no_core);
                (void) prctl(PR_SET_DUMPABLE, 0);
                if (!freopen("/dev/null", "w", stderr) || breadcrumb_open(directory, &breadcrumb) < 0)
                        _exit(99);
                breadcrumb_enter(breadcrumb, "innocent", "plan", "pci-1");
                breadcrumb_leave(breadcrumb);
                breadcrumb_enter(breadcrumb, module, "describe", "pci-0000-3b-00-0");
                if (crash)
                        crash();
                breadcrumb_leave(breadcrumb);
                breadcrumb_close(breadcrumb);
                _exit(98);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 99);
        if (!crash)
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 98);
        else
                assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 98);
}

static size_t count(const char *const *list) {
        size_t n = 0;

        while (list[n])
                n++;
        return n;
}

static void assert_refused(const HostTree *tree, const char *module, const char *words) {
        _cleanup_(breadcrumb_closep) Breadcrumb *breadcrumb = NULL;

        assert_int_equal(breadcrumb_open(tree->root, &breadcrumb), 0);
        assert_int_equal(count(breadcrumb_refused(breadcrumb)), module ? 1 : 0);
        assert_int_equal(count(breadcrumb_reasons(breadcrumb)), module ? 1 : 0);
        if (!module)
                return;
        assert_string_equal(breadcrumb_refused(breadcrumb)[0], module);
        if (!strstr(breadcrumb_reasons(breadcrumb)[0], words))
                fail_msg("\"%s\" does not say \"%s\"", breadcrumb_reasons(breadcrumb)[0], words);
}

static int set_up(void **state) {
        HostTree *tree = malloc(sizeof(*tree));

        assert_non_null(tree);
        host_tree_make(tree);
        *state = tree;
        return 0;
}

static int tear_down(void **state) {
        host_tree_remove(*state);
        free(*state);
        return 0;
}

static void test_no_crash(void **state) {
        HostTree *tree = *state;

        for (int i = 0; i < 3; i++)
                run(tree->root, "pci", NULL);
        assert_refused(tree, NULL, NULL);
}

static void test_crashes(void **state) {
        static const struct {
                void (*crash)(void);
                const char *words;
        } crashes[] = {
                { crash_segv, "Segmentation fault" }, { crash_stack, "Segmentation fault" },
                { crash_abort, "Aborted" },           { crash_exit, "it ended the process" },
                { crash_sent, "Segmentation fault" },
        };
        HostTree *tree = *state;

        for (size_t i = 0; i < ELEMENTSOF(crashes); i++) {
                run(tree->root, "pci", crashes[i].crash);
                assert_refused(tree, NULL, NULL);
                run(tree->root, "pci", crashes[i].crash);
                assert_refused(tree, "pci", "crashed twice, last in describe of pci-0000-3b-00-0");
                assert_refused(tree, "pci", crashes[i].words);
                run(tree->root, "pci", crashes[i].crash);
                assert_refused(tree, "pci", "crashed 3 times");
                tree_remove(tree, "breadcrumb");
                assert_refused(tree, NULL, NULL);
        }
}

/* Being killed in the middle of a call says nothing about the module, nor does the crash of another
 * thread. */
static void test_killed(void **state) {
        HostTree *tree = *state;

        for (int i = 0; i < 4; i++) {
                run(tree->root, "pci", killed);
                run(tree->root, "pci", crash_elsewhere);
        }
        assert_refused(tree, NULL, NULL);
}

static void test_each_module_for_itself(void **state) {
        _cleanup_(breadcrumb_closep) Breadcrumb *breadcrumb = NULL;
        HostTree *tree = *state;

        run(tree->root, "pci", crash_segv);
        run(tree->root, "usb", crash_segv);
        assert_refused(tree, NULL, NULL);
        run(tree->root, "usb", crash_segv);
        assert_refused(tree, "usb", "twice");
        run(tree->root, "pci", crash_segv);
        assert_int_equal(breadcrumb_open(tree->root, &breadcrumb), 0);
        assert_int_equal(count(breadcrumb_refused(breadcrumb)), 2);
}

/* More modules than have a place: the first with one crash gives way, one with two does not. */
static void test_many_modules(void **state) {
        HostTree *tree = *state;

        run(tree->root, "bad", crash_exit);
        run(tree->root, "bad", crash_exit);
        for (int i = 0; i < 40; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "module%d", i);
                run(tree->root, name, crash_exit);
        }
        assert_refused(tree, "bad", "twice");
}

static void test_damaged_files(void **state) {
        HostTree *tree = *state;
        char text[8192];

        tree_file(tree, "breadcrumb", "short");
        assert_refused(tree, NULL, NULL);
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        tree_file(tree, "breadcrumb", "%s", text);
        assert_refused(tree, NULL, NULL);
        run(tree->root, "pci", crash_abort);
        run(tree->root, "pci", crash_abort);
        assert_refused(tree, "pci", "twice");
}

static void test_not_through_links(void **state) {
        Breadcrumb *breadcrumb = NULL;
        HostTree *tree = *state;

        tree_file(tree, "victim", "precious");
        tree_link(tree, "breadcrumb", "victim");
        assert_int_equal(breadcrumb_open(tree->root, &breadcrumb), -ELOOP);
        assert_int_equal(breadcrumb_open("/nonexistent/folder", &breadcrumb), -ENOENT);
        assert_null(breadcrumb);
}

static void test_without_breadcrumb(void **state) {
        breadcrumb_enter(NULL, "pci", "describe", "x");
        breadcrumb_leave(NULL);
        assert_null(breadcrumb_close(NULL));
}

static void test_long_names(void **state) {
        HostTree *tree = *state;
        char name[300];

        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        run(tree->root, name, crash_abort);
        run(tree->root, name, crash_abort);
        name[31] = '\0';
        assert_refused(tree, name, "twice");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_no_crash, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_crashes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_each_module_for_itself, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many_modules, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_damaged_files, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_not_through_links, set_up, tear_down),
                cmocka_unit_test(test_without_breadcrumb),
                cmocka_unit_test_setup_teardown(test_long_names, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
