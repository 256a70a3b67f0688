/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The program as it is installed: its start, its refusals, and what it makes of packets that are none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/macro.h"
#include "lib/protocol.h"

static const char *program;

/* Starts the program with `fd` as descriptor 3 (-1: closed) and its output in `output` (-1: as ours). */
static pid_t start(int fd, int output, const char *argument) {
        pid_t pid = fork();

        assert_return_code(pid, errno);
        if (pid == 0) {
                if (output >= 0) {
                        (void) dup2(output, STDOUT_FILENO);
                        (void) dup2(output, STDERR_FILENO);
                }
                if (fd == WORKER_FD)
                        (void) fcntl(fd, F_SETFD, 0);
                else if (fd >= 0)
                        (void) dup2(fd, WORKER_FD);
                else
                        (void) close(WORKER_FD);
                (void) execl(program, program, argument, (char *) NULL);
                _exit(127);
        }
        return pid;
}

static int finish(pid_t pid) {
        int status = 0;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void make_pair(int type, int ret[static 2]) {
        const struct timeval timeout = { .tv_sec = 30 };

        assert_return_code(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret), errno);
        assert_return_code(setsockopt(ret[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), errno);
}

static json_t *receive(int fd, const char *type) {
        json_t *message = NULL;

        assert_int_equal(message_receive(fd, &message), 1);
        assert_string_equal(message_type(message), type);
        return message;
}

/* Runs it for its output, which the caller frees. */
static int run_for_output(int fd, const char *argument, char output[static 256]) {
        int fds[2], status;
        ssize_t n;

        assert_return_code(pipe(fds), errno);
        status = finish(start(fd, fds[1], argument));
        (void) close(fds[1]);
        n = read(fds[0], output, 255);
        assert_true(n >= 0);
        output[n] = '\0';
        (void) close(fds[0]);
        return status;
}

static void test_version(void **state) {
        char output[256];

        assert_int_equal(run_for_output(-1, "--version", output), 0);
        assert_string_equal(output, "passthroughd-worker " PROJECT_VERSION "\n");
}

static void test_refuses_to_run_alone(void **state) {
        char output[256];
        int fds[2];

        assert_int_equal(run_for_output(-1, NULL, output), 1);
        assert_non_null(strstr(output, "started by passthroughd"));
        assert_int_equal(run_for_output(-1, "--help", output), 1);

        make_pair(SOCK_STREAM, fds);
        assert_int_equal(run_for_output(fds[1], NULL, output), 1);
        (void) close(fds[0]);
        (void) close(fds[1]);
        assert_int_equal(run_for_output(STDIN_FILENO, NULL, output), 1);

        make_pair(SOCK_SEQPACKET, fds);
        assert_int_equal(run_for_output(fds[1], "--job", output), 1);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

static void test_hello_and_hangup(void **state) {
        json_t *hello;
        int fds[2];
        pid_t pid;

        make_pair(SOCK_SEQPACKET, fds);
        pid = start(fds[1], -1, NULL);
        (void) close(fds[1]);
        hello = receive(fds[0], "hello");
        assert_int_equal(json_integer_value(json_object_get(hello, "pid")), pid);
        assert_string_equal(json_string_value(json_object_get(hello, "version")), PROJECT_VERSION);
        json_decref(hello);

        /* The signals of a service that is stopped do not end a step. */
        assert_return_code(kill(pid, SIGTERM), errno);
        assert_return_code(kill(pid, SIGHUP), errno);
        assert_return_code(kill(pid, SIGINT), errno);
        assert_int_equal(send(fds[0], "{\"type\":\"x\"}", 12, MSG_NOSIGNAL), 12);
        json_decref(receive(fds[0], "done"));

        (void) close(fds[0]);
        assert_int_equal(finish(pid), 0);
}

static void test_packets_that_are_none(void **state) {
        static const char *const packets[] = {
                "x",
                "[]",
                "{}",
                "{\"type\":1}",
                "{\"type\":\"job\"}",
                "{\"type\":\"job\",\"mode\":\"execute\"}",
                "{\"type\":\"job\",\"mode\":\"execute\",\"devices\":[],\"steps\":[{}]}",
                "{\"type\":\"job\",\"mode\":\"undo\",\"devices\":[],\"steps\":[],\"observed\":null}",
                "{\"type\":\"observe\"}",
                "{\"type\":\"observe\",\"devices\":{}}",
                "{\"type\":\"observe\",\"devices\":[[]]}",
                "{\"type\":\"holders\"}",
                "{\"type\":\"holders\",\"nodes\":[null]}",
                "{\"type\":\"go\",\"step\":0}",
                "{\"type\":\"stop\"}",
                "{\"type\":\"\\u0000\"}",
                "{\"type\":\"job\",\"type\":\"job\"}",
                "\xff\xfe",
        };
        int fds[2];
        pid_t pid;

        make_pair(SOCK_SEQPACKET, fds);
        pid = start(fds[1], -1, NULL);
        (void) close(fds[1]);
        json_decref(receive(fds[0], "hello"));

        for (size_t i = 0; i < ELEMENTSOF(packets); i++) {
                json_t *done;

                assert_int_equal(send(fds[0], packets[i], strlen(packets[i]), MSG_NOSIGNAL),
                                 strlen(packets[i]));
                done = receive(fds[0], "done");
                if (json_integer_value(json_object_get(done, "result")) >= 0)
                        fail_msg("%s was not refused", packets[i]);
                assert_true(json_is_string(json_object_get(done, "error")));
                json_decref(done);
        }

        (void) close(fds[0]);
        assert_int_equal(finish(pid), 0);
}

/* The machine that the test runs on: this process holds the null device. */
static void test_holders_of_this_host(void **state) {
        json_t *held, *holder;
        bool found = false;
        int fds[2], null;
        size_t i;
        pid_t pid;

        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_return_code(null, errno);
        make_pair(SOCK_SEQPACKET, fds);
        pid = start(fds[1], -1, NULL);
        (void) close(fds[1]);
        json_decref(receive(fds[0], "hello"));
        assert_int_equal(send(fds[0], "{\"type\":\"holders\",\"nodes\":[\"/dev/null\"]}", 40, MSG_NOSIGNAL),
                         40);
        held = receive(fds[0], "held");
        json_array_foreach(json_object_get(held, "holders"), i, holder) found =
                found || json_integer_value(json_object_get(holder, "pid")) == getpid();
        assert_true(found);
        json_decref(held);
        json_decref(receive(fds[0], "done"));

        (void) close(null);
        (void) close(fds[0]);
        assert_int_equal(finish(pid), 0);
}

int main(int argc, char *argv[]) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_version),
                cmocka_unit_test(test_refuses_to_run_alone),
                cmocka_unit_test(test_hello_and_hangup),
                cmocka_unit_test(test_packets_that_are_none),
                cmocka_unit_test(test_holders_of_this_host),
        };

        if (argc != 2) {
                (void) fprintf(stderr, "usage: %s WORKER\n", argv[0]);
                return 2;
        }
        program = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
