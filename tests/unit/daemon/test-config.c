/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/lib/test.h"

#include <ftw.h>
#include <sys/stat.h>
#include <syslog.h>

#include "daemon/config.h"
#include "lib/limits.h"

typedef struct Fixture {
        char directory[32];
        Config config;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        strcpy(f->directory, "/tmp/test-config-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        assert_int_equal(unsetenv("STATE_DIRECTORY"), 0);
        assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
        *state = f;
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int tear_down(void **state) {
        Fixture *f = *state;

        config_done(&f->config);
        assert_int_equal(nftw(f->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
        free(f);
        return 0;
}

static void write_file(const Fixture *f, const char *name, const char *text) {
        char path[256];
        FILE *file;

        snprintf(path, sizeof(path), "%s/passthroughd.conf.d", f->directory);
        assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
        snprintf(path, sizeof(path), "%s/%s", f->directory, name);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static size_t count_problems(const Config *config) {
        size_t n = 0;

        while (config->problems && config->problems[n])
                n++;
        return n;
}

static void load(Fixture *f, size_t problems) {
        config_done(&f->config);
        assert_int_equal(config_load(f->directory, &f->config), 0);
        for (size_t i = problems; i < count_problems(&f->config); i++)
                print_error("unexpected: %s\n", f->config.problems[i]);
        assert_int_equal(count_problems(&f->config), problems);
}

static void assert_problem(const Fixture *f, size_t index, const char *begin, const char *words) {
        char path[256];

        assert_true(index < count_problems(&f->config));
        snprintf(path, sizeof(path), "%s/%s", f->directory, begin);
        if (!startswith(f->config.problems[index], path) || !strstr(f->config.problems[index], words))
                fail_msg("\"%s\" does not begin with \"%s\" or does not say \"%s\"",
                         f->config.problems[index], path, words);
}

static void assert_defaults(const Config *config) {
        char host[256] = "";

        gethostname(host, sizeof(host) - 1);
        assert_string_equal(config->node, host);
        assert_string_equal(config->module_directory, MODULE_DIRECTORY);
        assert_string_equal(config->worker, WORKER_PATH);
        assert_string_equal(config->state_directory, "/var/lib/passthroughd");
        assert_string_equal(config->runtime_directory, "/run/passthroughd");
        assert_int_equal(config->log_level, LOG_INFO);
        assert_int_equal(config->workers, 4);
        assert_int_equal(config->step_timeout_percent, 100);
        assert_int_equal(config->network_confirm_sec, 0);
        assert_true(config->spare_worker);
}

static void test_nothing_there(void **state) {
        Fixture *f = *state;

        load(f, 0);
        assert_defaults(&f->config);

        config_done(&f->config);
        assert_int_equal(config_load("/nonexistent/directory", &f->config), 0);
        assert_defaults(&f->config);
}

static void test_all_keys(void **state) {
        Fixture *f = *state;

        write_file(f, "passthroughd.conf",
                   "# a comment\n"
                   "[Service]\n"
                   "Node=host-7\n"
                   "  ModuleDirectory = /opt/modules   ; and why\n"
                   "Worker=/opt/worker\r\n"
                   "Workers=16\n"
                   "StepTimeoutFactor=120\n"
                   "NetworkConfirmSec=90\n"
                   "SpareWorker=no\n"
                   "\n"
                   "[Log]\n"
                   "Level=debug");
        load(f, 0);
        assert_string_equal(f->config.node, "host-7");
        assert_string_equal(f->config.module_directory, "/opt/modules");
        assert_string_equal(f->config.worker, "/opt/worker");
        assert_int_equal(f->config.workers, 16);
        assert_int_equal(f->config.step_timeout_percent, 12000);
        assert_int_equal(f->config.network_confirm_sec, 90);
        assert_false(f->config.spare_worker);
        assert_int_equal(f->config.log_level, LOG_DEBUG);
}

static void test_fractions(void **state) {
        static const struct {
                const char *text;
                unsigned percent;
        } fractions[] = { { "0.01", 1 }, { "0.1", 10 }, { "1.5", 150 }, { "2", 200 }, { "120.00", 12000 } };
        Fixture *f = *state;
        char text[64];

        for (size_t i = 0; i < ELEMENTSOF(fractions); i++) {
                snprintf(text, sizeof(text), "[Service]\nStepTimeoutFactor=%s\n", fractions[i].text);
                write_file(f, "passthroughd.conf", text);
                load(f, 0);
                assert_int_equal(f->config.step_timeout_percent, fractions[i].percent);
        }
}

static void test_log_levels(void **state) {
        static const struct {
                const char *word;
                int level;
        } levels[] = { { "debug", LOG_DEBUG },
                       { "info", LOG_INFO },
                       { "notice", LOG_NOTICE },
                       { "warning", LOG_WARNING },
                       { "err", LOG_ERR } };
        Fixture *f = *state;
        char text[64];

        for (size_t i = 0; i < ELEMENTSOF(levels); i++) {
                snprintf(text, sizeof(text), "[Log]\nLevel=%s\n", levels[i].word);
                write_file(f, "passthroughd.conf", text);
                load(f, 0);
                assert_int_equal(f->config.log_level, levels[i].level);
        }
}

/* Later files win, by name; others are not read. An empty value asks for the default again. */
static void test_drop_ins(void **state) {
        Fixture *f = *state;

        write_file(f, "passthroughd.conf", "[Service]\nWorkers=2\nNode=a\n[Log]\nLevel=err\n");
        write_file(f, "passthroughd.conf.d/20-b.conf", "[Service]\nWorkers=4\n");
        write_file(f, "passthroughd.conf.d/10-a.conf", "[Service]\nWorkers=3\nNode=b\n[Log]\nLevel=\n");
        write_file(f, "passthroughd.conf.d/.hidden.conf", "[Service]\nWorkers=5\n");
        write_file(f, "passthroughd.conf.d/30-c.conf.bak", "[Service]\nWorkers=6\n");
        write_file(f, "passthroughd.conf.d/.conf", "[Service]\nWorkers=7\n");
        load(f, 0);
        assert_int_equal(f->config.workers, 4);
        assert_string_equal(f->config.node, "b");
        assert_int_equal(f->config.log_level, LOG_INFO);
}

static void test_bad_values(void **state) {
        static const struct {
                const char *line;
                const char *words;
        } bad[] = {
                { "[Service]\nWorkers=0\n", "'0' is no value for Workers= (valid: a number from 1 to 16)" },
                { "[Service]\nWorkers=17\n", "from 1 to 16" },
                { "[Service]\nWorkers=-1\n", "from 1 to 16" },
                { "[Service]\nWorkers=4 workers\n", "from 1 to 16" },
                { "[Service]\nWorkers=99999999999999999999\n", "from 1 to 16" },
                { "[Service]\nNetworkConfirmSec=86401\n", "up to 86400" },
                { "[Service]\nNetworkConfirmSec=-1\n", "up to 86400" },
                { "[Service]\nNetworkConfirmSec=1m\n", "up to 86400" },
                { "[Service]\nStepTimeoutFactor=121\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=120.01\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=0.00\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=0.001\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=1.\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=.5\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=1.-5\n", "from 0.01 to 120" },
                { "[Service]\nStepTimeoutFactor=4294967297\n", "from 0.01 to 120" },
                { "[Service]\nSpareWorker=perhaps\n", "valid: yes or no" },
                { "[Health]\nQuarantineRetrySec=never\n", "valid: 0 for never" },
                { "[Health]\nQuarantineRetrySec=2592001\n", "valid: 0 for never" },
                { "[Service]\nWorker=bin/worker\n", "valid: an absolute path without \"..\"" },
                { "[Service]\nWorker=/opt/../bin/worker\n", "absolute path" },
                { "[Service]\nModuleDirectory=/opt/..\n", "absolute path" },
                { "[Service]\nNode=two words\n", "valid: a name without blanks" },
                { "[Log]\nLevel=loud\n",
                  "'loud' is no value for Level= (valid: debug, info, notice, warning or err)" },
                { "[Log]\nLevel=INFO\n", "valid: debug" },
                { "[Service]\nworkers=3\n",
                  "unknown key 'workers' in [Service] (valid: Node, ModuleDirectory, "
                  "Worker, Workers, StepTimeoutFactor, SpareWorker, NetworkConfirmSec)" },
                { "[Log]\nWorkers=3\n", "unknown key 'Workers' in [Log] (valid: Level)" },
                { "[Sevice]\nWorkers=3\n", "unknown section [Sevice] (valid: Service, Health, Log, Protect)" },
                { "\nWorkers=3\n", "'Workers' stands before any section (valid: Service, Health, Log, Protect)" },
                { "[Service]\nWorkers\n", "neither [Section], Key=value nor a comment" },
                { "\n[Service\n", "neither [Section]" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                write_file(f, "passthroughd.conf", bad[i].line);
                load(f, 1);
                assert_problem(f, 0, "passthroughd.conf:2: ", bad[i].words);
                assert_defaults(&f->config);
        }
}

/* One bad line does not cost the others. */
static void test_the_rest_counts(void **state) {
        Fixture *f = *state;

        write_file(f, "passthroughd.conf", "[Service]\nWorkers=many\nNode=n\nnonsense\nSpareWorker=no\n");
        write_file(f, "passthroughd.conf.d/a.conf", "[Service]\nNode=m\nWorker=worker\n");
        load(f, 3);
        assert_problem(f, 0, "passthroughd.conf:2: ", "Workers=");
        assert_problem(f, 1, "passthroughd.conf:4: ", "neither");
        assert_problem(f, 2, "passthroughd.conf.d/a.conf:3: ", "Worker=");
        assert_string_equal(f->config.node, "m");
        assert_false(f->config.spare_worker);
        assert_int_equal(f->config.workers, 4);
}

/* A line is never read as two, nor as more of the one before it. */
static void test_lines(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = repeat('p', 150), *blanks = repeat(' ', 5000), *text = NULL;

        assert_true(asprintf(&text, "[Service]\nWorker=/%s\nNode=a%s\nWorkers=8\n   SpareWorker=no\n", path,
                             blanks) >= 0);
        write_file(f, "passthroughd.conf", text);
        load(f, 1);
        assert_problem(f, 0, "passthroughd.conf:3: ", "the line is longer than");
        assert_int_equal(strlen(f->config.worker), 151);
        assert_int_equal(f->config.workers, 8);
        assert_false(f->config.spare_worker);
}

/* The bus takes UTF-8 only. */
static void test_problems_are_clean(void **state) {
        Fixture *f = *state;

        write_file(f, "passthroughd.conf", "[Log]\nLevel=\xff\x1b[2J\n");
        load(f, 1);
        assert_problem(f, 0, "passthroughd.conf:2: ", "'??[2J' is no value");
}

static void test_garbage(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = malloc(20000 * 4 + 1), *p = text;

        for (size_t i = 0; i < 20000; i++)
                p = stpcpy(p, "a=b\n");
        write_file(f, "passthroughd.conf", text);
        p = NULL;
        load(f, 64); /* and no more */
        assert_defaults(&f->config);
}

static void test_unreadable(void **state) {
        Fixture *f = *state;
        char path[256];

        snprintf(path, sizeof(path), "%s/passthroughd.conf", f->directory);
        assert_int_equal(mkdir(path, 0755), 0);
        write_file(f, "passthroughd.conf.d/a.conf", "[Service]\nWorkers=5\n");
        load(f, 1);
        assert_problem(f, 0, "passthroughd.conf: ", "cannot be read: Is a directory");
        assert_int_equal(f->config.workers, 5);
}

static void test_environment(void **state) {
        Fixture *f = *state;

        assert_int_equal(setenv("STATE_DIRECTORY", "/srv/state:/srv/other", 1), 0);
        assert_int_equal(setenv("RUNTIME_DIRECTORY", "/srv/run", 1), 0);
        load(f, 0);
        assert_string_equal(f->config.state_directory, "/srv/state");
        assert_string_equal(f->config.runtime_directory, "/srv/run");

        assert_int_equal(setenv("STATE_DIRECTORY", "", 1), 0);
        assert_int_equal(setenv("RUNTIME_DIRECTORY", "run", 1), 0);
        load(f, 1);
        assert_string_equal(f->config.problems[0],
                            "RUNTIME_DIRECTORY: 'run' is no absolute path without \"..\"");
        assert_string_equal(f->config.state_directory, "/var/lib/passthroughd");
        assert_string_equal(f->config.runtime_directory, "/run/passthroughd");
}

/* Lines add up, with their place; an empty one takes back what its own name said. */
static void test_protect(void **state) {
        Fixture *f = *state;
        char place[256];

        write_file(f, "passthroughd.conf", "[Protect]\nCritical=pci: slot = 0000:01:00.0\nForbidden=pci: driver = x\n");
        write_file(f, "passthroughd.conf.d/a.conf", "[Protect]\n\nCritical=usb: serial = 1\n");
        load(f, 0);
        assert_int_equal(f->config.n_protect, 3);
        assert_string_equal(f->config.protect[0].text, "pci: slot = 0000:01:00.0");
        assert_false(f->config.protect[0].forbidden);
        assert_true(f->config.protect[1].forbidden);
        snprintf(place, sizeof(place), "%s/passthroughd.conf.d/a.conf:3", f->directory);
        assert_string_equal(f->config.protect[2].place, place);

        write_file(f, "passthroughd.conf.d/b.conf", "[Protect]\nCritical=\nCritical=pci: vfs = 1\n");
        load(f, 0);
        assert_int_equal(f->config.n_protect, 2);
        assert_true(f->config.protect[0].forbidden);
        assert_string_equal(f->config.protect[1].text, "pci: vfs = 1");

        write_file(f, "passthroughd.conf.d/c.conf", "[Protect]\nNever=pci: vfs = 1\n");
        load(f, 1);
        assert_problem(f, 0, "passthroughd.conf.d/c.conf:2: ", "(valid: Critical, Forbidden)");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_nothing_there, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_protect, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_all_keys, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_log_levels, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_fractions, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_drop_ins, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_values, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_rest_counts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_problems_are_clean, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
