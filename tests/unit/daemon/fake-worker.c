/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A worker that behaves as it is told: before it says hello by FAKE_WORKER in its environment, after that
 * by the name of the job, the first device or the first node. It knows the protocol and nothing else. */

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/limits.h"
#include "lib/protocol.h"

static void say(json_t *message) {
        if (!message || message_send(WORKER_FD, message) < 0)
                _exit(90);
        json_decref(message);
}

static void hang(void) {
        for (;;)
                pause();
}

/* As if the process had no handlers of a sanitizer. */
static void crash(void) {
        (void) signal(SIGSEGV, SIG_DFL);
        (void) raise(SIGSEGV);
}

static void nap(unsigned msec) {
        struct timespec time = { .tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000L };

        nanosleep(&time, NULL);
}

static void say_done(int result, const char *error) {
        say(json_pack("{s:s, s:i, s:s?}", "type", "done", "result", result, "error", error));
}

static void say_before(size_t step, const char *observed) {
        say(json_pack("{s:s, s:I, s:s}", "type", "before", "step", (json_int_t) step, "observed", observed));
}

static void say_after(size_t step, int result, const char *error, const char *code) {
        say(json_pack("{s:s, s:I, s:i, s:s?, s:s?, s:n}", "type", "after", "step", (json_int_t) step,
                      "result", result, "error", error, "code", code, "text"));
}

static void say_bytes(const void *bytes, size_t length) {
        int size = 4 * 1024 * 1024;

        (void) setsockopt(WORKER_FD, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
        if (send(WORKER_FD, bytes, length, MSG_NOSIGNAL) != (ssize_t) length)
                _exit(91);
}

static void say_oversize(void) {
        size_t length = 2 * WORKER_MESSAGE_MAX;
        char *text = malloc(length);

        memset(text, ' ', length);
        memcpy(text, "{\"type\":\"log\"}", 14);
        say_bytes(text, length);
        free(text);
}

/* Whether the service says to go on. It hangs up when it has had enough. */
static bool wait_for_go(size_t step) {
        json_t *answer;
        int64_t number;
        bool go;

        if (message_receive(WORKER_FD, &answer) <= 0)
                _exit(0);
        go = strcmp(message_type(answer), "go") == 0;
        if (go && (message_get_int(answer, "step", &number) < 0 || number != (int64_t) step))
                _exit(92);
        json_decref(answer);
        return go;
}

/* What happens in step `step` after go, by the name of the job. */
static void misbehave(const char *job, size_t step, json_t *plan) {
        struct stat st;

        if (step != 1)
                return;
        if (strcmp(job, "hang-step") == 0)
                hang();
        if (strcmp(job, "crash-step") == 0)
                crash();
        if (strcmp(job, "exit-step") == 0)
                _exit(7);
        if (strcmp(job, "garbage") == 0)
                say_bytes("garbage", 7);
        if (strcmp(job, "array") == 0)
                say_bytes("[\"type\"]", 8);
        if (strcmp(job, "oversize") == 0)
                say_oversize();
        if (strcmp(job, "unknown") == 0)
                say(json_pack("{s:s}", "type", "greetings"));
        if (strcmp(job, "fields") == 0)
                say(json_pack("{s:s, s:s, s:{}, s:i}", "type", "fields", "device", "a", "fields", "result",
                              0));
        if (strcmp(job, "twice") == 0)
                say_before(step, "{}");
        if (strcmp(job, "early-done") == 0)
                say_done(0, NULL);
        if (strcmp(job, "other-step") == 0)
                say_after(0, 0, NULL, NULL);
        if (strcmp(job, "positive") == 0)
                say_after(step, 5, NULL, NULL);
        if (strcmp(job, "close") == 0) {
                close(WORKER_FD);
                nap(100);
                _exit(5);
        }
        if (strcmp(job, "close-and-hang") == 0) {
                close(WORKER_FD);
                hang();
        }
        if (strcmp(job, "slow") == 0)
                nap(200);
        if (strcmp(job, "stuck") == 0)
                (void) stat(json_string_value(json_object_get(json_array_get(plan, step), "value")), &st);
}

static void execute(const char *job, json_t *plan) {
        size_t n = json_array_size(plan);
        char *large = NULL;

        if (strcmp(job, "hang-first") == 0)
                hang();
        if (strcmp(job, "refuse") == 0) {
                say_done(-EPERM, "a step names a device that is not in the list");
                return;
        }
        for (size_t i = 0; i < n; i++) {
                char observed[64];

                if (strcmp(job, "no-before") != 0) {
                        snprintf(observed, sizeof(observed), "{\"n\":%zu}", i);
                        if (strcmp(job, "large") == 0) {
                                large = malloc(WORKER_MESSAGE_MAX - 1000);
                                memset(large, 'x', WORKER_MESSAGE_MAX - 1001);
                                large[WORKER_MESSAGE_MAX - 1001] = '\0';
                        }
                        say_before(strcmp(job, "wrong-step") == 0 ? i + 1 : i, large ? large : observed);
                        free(large);
                        large = NULL;
                        if (strcmp(job, "impatient") != 0 && !wait_for_go(i)) {
                                say_done(-ECANCELED, NULL);
                                return;
                        }
                }
                misbehave(job, i, plan);
                if (i == 1 && strncmp(job, "fail", 4) == 0) {
                        say_after(i, -ENODEV, "no such device",
                                  strcmp(job, "fail-gone") == 0 ? "DeviceGone" : NULL);
                        if (strcmp(job, "fail-optional") != 0) {
                                say_done(-ENODEV, NULL);
                                return;
                        }
                        continue;
                }
                say_after(i, 0, NULL, NULL);
        }
        if (strcmp(job, "chatty") == 0)
                for (int i = 0; i < 500; i++)
                        say(json_pack("{s:s, s:i, s:s}", "type", "log", "level", 99, "text", "talk"));
        say_done(0, NULL);
        if (strcmp(job, "talk-after-done") == 0)
                say_bytes("garbage", 7);
        if (strcmp(job, "linger") == 0)
                hang();
}

/* With "ask" in the name each step is asked for first, as a worker may. */
static void undo(const char *job, json_t *plan, json_t *observed) {
        int first = 0;

        for (size_t i = json_array_size(plan); i-- > 0;) {
                const char *text = json_string_value(json_array_get(observed, i));
                bool fails = strstr(job, "fail") && i == 1;

                if (!text)
                        continue;
                if (strstr(job, "ask")) {
                        say_before(i, text);
                        if (!wait_for_go(i))
                                _exit(93);
                }
                if (strstr(job, "crash") && i == 1)
                        abort();
                if (strstr(job, "hang") && i == 1)
                        hang();
                say_after(i, fails ? -EIO : 0, fails ? "it does not answer" : NULL, NULL);
                if (fails && first == 0)
                        first = -EIO;
        }
        say_done(first, NULL);
}

static void take_job(json_t *message) {
        const char *job = json_string_value(json_object_get(message, "job"));
        const char *mode = json_string_value(json_object_get(message, "mode"));

        if (strcmp(mode, "undo") == 0)
                undo(job, json_object_get(message, "steps"), json_object_get(message, "observed"));
        else
                execute(job, json_object_get(message, "steps"));
}

static void take_observe(json_t *message) {
        json_t *device;
        size_t i;

        json_array_foreach(json_object_get(message, "devices"), i, device) {
                const char *id = json_string_value(json_object_get(device, "id"));

                if (strcmp(id, "hang") == 0)
                        hang();
                if (strcmp(id, "crash") == 0)
                        abort();
                if (strcmp(id, "held") == 0)
                        say(json_pack("{s:s, s:[]}", "type", "held", "holders"));
                if (strcmp(id, "before") == 0)
                        say_before(0, "{}");
                if (strcmp(id, "fails") == 0)
                        say(json_pack("{s:s, s:s, s:n, s:i, s:s}", "type", "fields", "device", id, "fields",
                                      "result", -EIO, "error", "cannot be read"));
                else
                        say(json_pack("{s:s, s:s, s:{s:O}, s:i, s:n}", "type", "fields", "device", id,
                                      "fields", "driver", json_object_get(message, "module_dir"), "result",
                                      0, "error"));
        }
        say_done(0, NULL);
}

/* What the process was given: descriptors, session, signals, environment. */
static void say_circumstances(void) {
        struct sigaction action;
        char descriptors[64] = "";
        static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGCHLD, SIGUSR1, SIGALRM };
        bool plain = true;
        sigset_t mask;

        for (int fd = 0; fd < 256; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        snprintf(descriptors + strlen(descriptors), 8, "%d ", fd);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if (sigismember(&mask, signals[i]) ||
                    (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_DFL))
                        plain = false;
        say(json_pack("{s:s, s:[{s:s, s:b, s:b, s:b, s:s?}]}", "type", "held", "holders", "descriptors",
                      descriptors, "leader", getsid(0) == getpid(), "signals", plain, "notify",
                      getenv("NOTIFY_SOCKET") != NULL, "other", getenv("TEST_OTHER")));
        say_done(0, NULL);
}

static void take_holders(json_t *message) {
        const char *node = json_string_value(json_array_get(json_object_get(message, "nodes"), 0));

        if (strcmp(node, "circumstances") == 0) {
                say_circumstances();
                return;
        }
        if (strcmp(node, "hang") == 0)
                hang();
        say(json_pack("{s:s, s:[{s:i, s:s}]}", "type", "held", "holders", "pid", 1, "node", node));
        say_done(0, NULL);
}

static void begin(const char *how) {
        if (strcmp(how, "hang") == 0)
                hang();
        if (strcmp(how, "exit") == 0)
                _exit(3);
        if (strcmp(how, "crash") == 0)
                crash();
        if (strcmp(how, "garbage") == 0)
                say_bytes("garbage", 7);
        if (strcmp(how, "mute") == 0)
                say(json_pack("{s:s, s:i, s:s}", "type", "log", "level", 6, "text", "no hello"));
        say(json_pack("{s:s, s:i, s:s}", "type", "hello", "pid", (int) getpid(), "version",
                      strcmp(how, "version") == 0 ? "0.0.0" : PROJECT_VERSION));
        if (strcmp(how, "once") == 0)
                _exit(0);
        if (strcmp(how, "talk") == 0)
                say_done(0, NULL);
}

int main(void) {
        const char *how = getenv("FAKE_WORKER");
        json_t *message;

        begin(how ? how : "");
        while (message_receive(WORKER_FD, &message) > 0) {
                if (strcmp(message_type(message), "job") == 0)
                        take_job(message);
                else if (strcmp(message_type(message), "observe") == 0)
                        take_observe(message);
                else if (strcmp(message_type(message), "guard") == 0)
                        say_done(0, NULL);
                else
                        take_holders(message);
                json_decref(message);
        }
        return 0;
}
