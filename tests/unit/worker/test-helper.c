/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/macro.h"
#include "lib/protocol.h"
#include "worker/helper.h"

#define TOOL "usr/lib/vendor/tool"
#define LOCK_FILE DEVICE_LOCK_DIRECTORY "/one"

/* Longer than anything here takes, on the slowest machine. */
#define LONG_MSEC 60000u

static const PtHelper tool = { "tool", "/" TOOL };

static void full_path(const Rig *rig, const char *path, char ret[static 256]) {
        (void) snprintf(ret, 256, "%s/%s", rig->host.root, path);
}

static void change_mode(const Rig *rig, const char *path, mode_t mode) {
        char full[256];

        full_path(rig, path, full);
        assert_return_code(chmod(full, mode), errno);
}

static void write_tool(Rig *rig, const char *script) {
        char text[1024];

        (void) snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
        fake_make_directory(&rig->host, "usr/lib/vendor");
        fake_write_file(&rig->host, TOOL, text);
        change_mode(rig, TOOL, 0755);
        change_mode(rig, "", 0755);
        change_mode(rig, "usr", 0755);
        change_mode(rig, "usr/lib", 0755);
        change_mode(rig, "usr/lib/vendor", 0755);
}

static int run(Rig *rig, const char *const *words, unsigned timeout_msec, char *output, size_t size) {
        _cleanup_worker_ Worker worker = { .sysfs.root_fd = -EBADF };
        int fds[2], r;

        assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), errno);
        assert_int_equal(worker_init(&worker, fds[1], rig->host.root), 0);
        r = helper_run(&worker, &tool, words, timeout_msec, output, size);
        (void) close(fds[0]);
        (void) close(fds[1]);
        return r;
}

static void assert_runs(Rig *rig, const char *script, int result, const char *expected) {
        char output[256] = "?";

        write_tool(rig, script);
        assert_int_equal(run(rig, NULL, LONG_MSEC, output, sizeof(output)), result);
        assert_string_equal(output, expected);
}

static void test_result(void **state) {
        const char *words[] = { "-e", "0000:01:00.0", "two words; $(id)", "", NULL };
        char output[256], few[8];

        assert_runs(*state, "exit 0", 0, "");
        assert_runs(*state, "echo done; exit 0", 0, "done");
        assert_runs(*state, "echo '  one '; echo 'two\tthree' >&2; exit 3", 3, "one two three");
        assert_runs(*state, "printf 'a\\001b\\033[31mc'; exit 0", 0, "a b [31mc");
        assert_runs(*state, "printf 'caf\\303\\251'; exit 0", 0, "café");
        assert_runs(*state, "printf 'caf\\351'; exit 0", 0, "caf?");
        assert_runs(*state, "kill -9 $$", -EINTR, "");
        assert_runs(*state, "kill -15 $$", -EINTR, "");

        write_tool(*state, "echo \"$# $1|$2|$3|$4|\"");
        assert_int_equal(run(*state, words, LONG_MSEC, output, sizeof(output)), 0);
        assert_string_equal(output, "4 -e|0000:01:00.0|two words; $(id)||");
        assert_int_equal(run(*state, words, LONG_MSEC, NULL, 0), 0);
        assert_int_equal(run(*state, words, LONG_MSEC, few, sizeof(few)), 0);
        assert_string_equal(few, "$(id)||");
        fake_write_file(&((Rig *) *state)->host, TOOL, "no program");
        assert_int_equal(run(*state, NULL, LONG_MSEC, NULL, 0), -ENOEXEC);
}

/* Nothing of ours: no environment, no descriptors, no terminal; a group of its own. */
static void test_surroundings(void **state) {
        int extra = open("/dev/null", O_RDONLY); /* without close-on-exec */
        char output[256];

        assert_true(extra >= 0);
        assert_return_code(setenv("LD_PRELOAD_OF_A_TEST", "x", 1), errno);
        assert_runs(*state, "/usr/bin/env | /usr/bin/grep -vE '^(PWD|_|SHLVL|OLDPWD)=' ; exit 0", 0,
                    "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
        /* But its own file, which a shell reads. */
        write_tool(*state, "for fd in 3 4 5 6 7 8 9 10 11 12 13 14 15; do "
                           "test -e /proc/$$/fd/$fd && readlink /proc/$$/fd/$fd; done; exit 0");
        assert_int_equal(run(*state, NULL, LONG_MSEC, output, sizeof(output)), 0);
        if (strstr(output, "pipe") || strstr(output, "socket") || strstr(output, "null"))
                fail_msg("it was given %s", output);
        assert_runs(*state, "readlink /proc/$$/fd/0; test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$", 0, "/dev/null");
        (void) close(extra);
}

/* However much it prints, the end is kept. */
static void test_much_output(void **state) {
        char output[64];

        write_tool(*state, "i=0; while [ $i -lt 3000 ]; do echo 'a line that fills the pipe, number '$i; i=$((i+1)); done; echo last");
        assert_int_equal(run(*state, NULL, LONG_MSEC, output, sizeof(output)), 0);
        assert_in_range(strlen(output), 60, 63);
        assert_contains(output, "number 2999 last");
}

static void test_who_may_have_written_it(void **state) {
        static const struct {
                const char *path;
                mode_t mode, before;
                int result;
        } cases[] = {
                { TOOL, 0775, 0755, -EPERM },          { TOOL, 0757, 0755, -EPERM },
                { "usr/lib/vendor", 0777, 0755, -EPERM }, { "usr/lib", 0775, 0755, -EPERM },
                { "", 0777, 0700, -EPERM },            { TOOL, 0644, 0755, -EACCES },
        };
        Rig *rig = *state;
        char full[256], link[256];

        if (geteuid() != 0)
                skip();
        assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), -ENOENT);
        write_tool(rig, "exit 7");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                change_mode(rig, cases[i].path, cases[i].mode);
                assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), cases[i].result);
                change_mode(rig, cases[i].path, cases[i].before);
                assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), 7);
        }
        full_path(rig, TOOL, full);
        assert_return_code(chown(full, 1000, 0), errno);
        assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), -EPERM);
        assert_return_code(chown(full, 0, 0), errno);
        full_path(rig, "usr/lib", full);
        assert_return_code(chown(full, 1000, 0), errno);
        assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), -EPERM);
        assert_return_code(chown(full, 0, 0), errno);

        /* Behind a link the same holds. */
        full_path(rig, TOOL, full);
        full_path(rig, "elsewhere", link);
        fake_make_directory(&rig->host, "elsewhere");
        full_path(rig, "elsewhere/tool", link);
        assert_return_code(rename(full, link), errno);
        assert_return_code(symlink("../../../elsewhere/tool", full), errno);
        change_mode(rig, "elsewhere", 0755);
        assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), 7);
        change_mode(rig, "elsewhere", 0777);
        assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), -EPERM);
        assert_return_code(unlink(full), errno);
        assert_return_code(symlink("/bin/../../../../etc/none", full), errno);
        assert_true(run(rig, NULL, LONG_MSEC, NULL, 0) < 0);
        assert_return_code(unlink(full), errno);
        fake_make_directory(&rig->host, TOOL);
        assert_int_equal(run(rig, NULL, LONG_MSEC, NULL, 0), -EACCES);
}

static bool wait_until_gone(pid_t pid) {
        for (int i = 0; i < 6000; i++) {
                char path[64], text[256] = "";
                FILE *stream;

                (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
                stream = fopen(path, "re");
                if (!stream)
                        return true;
                (void) !fgets(text, sizeof(text), stream);
                (void) fclose(stream);
                if (strstr(text, ") Z ")) /* nobody may collect it here */
                        return true;
                (void) usleep(10000);
        }
        return false;
}

static pid_t read_pid(const Rig *rig, const char *path) {
        for (int i = 0; i < 6000; i++) {
                char *text = fake_read(&rig->host, path);
                pid_t pid = text ? atoi(text) : 0;

                free(text);
                if (pid > 0)
                        return pid;
                (void) usleep(10000);
        }
        return 0;
}

/* With its children, which a shell has for each of its commands. */
#define SLEEPING "/bin/sleep 1000 & echo $! > sleeper; echo $$ > shell; echo waiting; wait"

static void test_time(void **state) {
        char output[64];

        write_tool(*state, SLEEPING);
        assert_int_equal(run(*state, NULL, 500, output, sizeof(output)), -ETIMEDOUT);
        assert_true(wait_until_gone(read_pid(*state, "sleeper")));
        assert_true(wait_until_gone(read_pid(*state, "shell")));
        assert_string_equal(output, "waiting");
}

/* What it leaves behind ends with it, and does not keep us waiting for the end of its output. */
static void test_left_behind(void **state) {
        assert_runs(*state, "/bin/sleep 1000 & echo $! > sleeper; exit 0", 0, "");
        assert_true(wait_until_gone(read_pid(*state, "sleeper")));
}

static bool lock_is_held(const Rig *rig) {
        char full[256];
        bool held;
        int fd;

        full_path(rig, LOCK_FILE, full);
        fd = open(full, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        held = flock(fd, LOCK_EX | LOCK_NB) < 0;
        (void) close(fd);
        return held;
}

/* The worker is killed: so is the helper, and the lock of the device is free only then. */
static void test_worker_killed(void **state) {
        Rig *rig = *state;
        char full[256];
        pid_t worker, sleeper, shell;

        write_tool(rig, SLEEPING);
        fake_make_directory(&rig->host, DEVICE_LOCK_DIRECTORY);
        fake_write_file(&rig->host, LOCK_FILE, "");
        full_path(rig, LOCK_FILE, full);
        worker = fork();
        assert_return_code(worker, errno);
        if (worker == 0) {
                int fd = open(full, O_RDWR | O_CLOEXEC);

                (void) flock(fd, LOCK_EX);
                _exit(run(rig, NULL, 600000, NULL, 0) != 0);
        }
        sleeper = read_pid(rig, "sleeper");
        shell = read_pid(rig, "shell");
        assert_true(sleeper > 0 && shell > 0);
        assert_true(lock_is_held(rig));
        assert_return_code(kill(worker, SIGKILL), errno);
        assert_int_equal(waitpid(worker, NULL, 0), worker);
        assert_true(wait_until_gone(sleeper));
        assert_true(wait_until_gone(shell));
        for (int i = 0; i < 6000 && lock_is_held(rig); i++)
                (void) usleep(10000);
        assert_false(lock_is_held(rig));
}

/* Through a module's step, there and back. */
static void test_step(void **state) {
        Rig *rig = *state;
        json_t *steps = json_pack("[o]", make_step("custom", FAKE_NIC_ID,
                                                   json_pack("{s:s, s:s}", "name", "run-tool", "value", "16")));
        Report done, undone;
        char *said;

        if (geteuid() != 0)
                skip();
        write_tool(rig, "echo \"$*\" >> said");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, 0);
        undone = rig_undo(rig, steps, done.observed);
        assert_int_equal(undone.result, 0);
        said = fake_read(&rig->host, "said");
        assert_string_equal(said, "-e " FAKE_NIC " 16\n-d " FAKE_NIC " 16");
        free(said);
        report_done(&done);
        report_done(&undone);

        write_tool(rig, "echo 'Cannot obtain unbindLock'; exit 1");
        done = rig_execute(rig, steps);
        assert_int_equal(done.result, -EREMOTEIO);
        assert_string_equal(report_error(&done, 0), "Cannot obtain unbindLock");
        report_done(&done);
        json_decref(steps);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_result),
                TEST(test_surroundings),
                TEST(test_much_output),
                TEST(test_who_may_have_written_it),
                TEST(test_time),
                TEST(test_left_behind),
                TEST(test_worker_killed),
                TEST(test_step),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
