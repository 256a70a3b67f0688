/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Between the worker and the helper stands a keeper, a child that runs nothing else. It sees the worker go, however that ends,
 * and takes the helper's whole group with it; and it keeps the locks of the devices until the helper is really gone, so that one
 * that hangs in the kernel is not taken for one that has ended. */

#include "helper.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>

#include "device-lock.h"
#include "lib/limits.h"
#include "lib/parse.h"
#include "lib/protocol.h"

/* What the keeper says at the end. */
typedef struct Verdict {
        int error;  /* 0, or why the helper never ran: a negative errno */
        int status; /* as waitpid() gives it */
} Verdict;

typedef struct Run {
        Worker *worker;
        char *path;        /* below the root, "/usr/lib/…"; without links */
        char **arguments;  /* the first is the path */
        int output, life;  /* ends of the worker */
        int keeper_output, keeper_life;
        pid_t keeper;
        char tail[2 * TEXT_MAX_BYTES];
        size_t n_tail;
        Verdict verdict;
        bool told; /* the keeper has said it */
} Run;

const PtHelper *helper_find(const PtModule *module, const char *name) {
        for (const PtHelper *helper = module->helpers; helper && helper->name; helper++)
                if (streq_null(helper->name, name))
                        return helper;
        return NULL;
}

/* ---- whether it may run ---- */

static int check_root_only(int root_fd, const char *path, bool is_program) {
        struct stat st;

        if (fstatat(root_fd, isempty(path) ? "." : path, &st, 0) < 0)
                return -errno;
        if (st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
                return -EPERM;
        if (!is_program)
                return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
        return S_ISREG(st.st_mode) && st.st_mode & S_IXUSR ? 0 : -EACCES;
}

/* The file and every folder on the way. What root alone can change is still the same when it is run. */
static int check_path(int root_fd, const char *path) {
        char prefix[PATH_MAX];
        int r = check_root_only(root_fd, "", false);

        for (const char *slash = strchr(path + 1, '/'); slash && r >= 0; slash = strchr(slash + 1, '/')) {
                size_t length = (size_t) (slash - path - 1);

                if (length >= sizeof(prefix))
                        return -ENAMETOOLONG;
                memcpy(prefix, path + 1, length);
                prefix[length] = '\0';
                r = check_root_only(root_fd, prefix, false);
        }
        return r < 0 ? r : check_root_only(root_fd, path + 1, true);
}

/* Links on the way are followed here once; those who could have made them are root, as for the rest. */
static int resolve(Worker *worker, const char *path, char **ret) {
        _cleanup_free_ char *resolved = NULL;
        int r;

        if (isempty(path) || path[0] != '/')
                return -EINVAL;
        r = sysfs_resolve(&worker->sysfs, path, &resolved);
        if (r >= 0)
                r = check_path(worker->sysfs.root_fd, path);
        if (r >= 0)
                r = check_path(worker->sysfs.root_fd, resolved);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(resolved);
        return 0;
}

/* ---- the helper and its keeper: after a fork, so nothing here may allocate or lock ---- */

static _Noreturn void become_helper(const Run *run, bool below_root, int error_fd) {
        static char path_variable[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        char *environment[] = { path_variable, NULL };
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
        int null_fd, error;

        (void) setpgid(0, 0);
        /* The keeper looks after it; who kills the keeper kills it. */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) signal(signals[i], SIG_DFL);
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd < 0 || fchdir(run->worker->sysfs.root_fd) < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
            dup2(run->keeper_output, STDOUT_FILENO) < 0 || dup2(run->keeper_output, STDERR_FILENO) < 0 ||
            close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
                goto fail;
        (void) umask(0022);
        (void) execve(run->path + below_root, run->arguments, environment);
fail:
        error = -errno;
        (void) !write(error_fd, &error, sizeof(error));
        _exit(127);
}

/* Closes what the keeper has from the worker, above all the socket to the service, whose end tells that the worker is gone, and
 * what a library has open of the device. The locks stay. */
static void close_others(const Run *run, const int errors[static 2]) {
        const int kept[] = { run->keeper_output, run->keeper_life, run->worker->sysfs.root_fd, errors[0], errors[1] };
        char name[32], target[PATH_MAX];

        for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
                bool keep = false;
                ssize_t n;

                for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                        keep |= fd == kept[i];
                if (keep)
                        continue;
                (void) snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
                n = readlink(name, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = '\0';
                if (!strstr(target, "/" DEVICE_LOCK_DIRECTORY "/"))
                        (void) close(fd);
        }
        (void) close_range(1024, ~0u, 0);
}

/* Until it has ended, or the worker is gone or wants it gone. It is not collected yet: its number stays that of its group. */
static void watch_helper(int pid_fd, int life_fd, pid_t helper) {
        struct pollfd fds[] = { { .fd = pid_fd, .events = POLLIN }, { .fd = life_fd, .events = POLLIN | POLLRDHUP } };

        while (poll(fds, ELEMENTSOF(fds), -1) >= 0 || errno == EINTR) {
                if (fds[0].revents)
                        break;
                if (fds[1].revents) {
                        (void) kill(-helper, SIGKILL);
                        fds[1].fd = -1;
                }
        }
        /* What it left in its group goes with it. */
        (void) kill(-helper, SIGKILL);
}

static _Noreturn void keep(const Run *run, bool below_root) {
        Verdict verdict = { 0 };
        int errors[2], pid_fd = -1;
        pid_t helper;

        if (pipe2(errors, O_CLOEXEC) < 0)
                _exit(1);
        close_others(run, errors);
        helper = fork();
        if (helper == 0)
                become_helper(run, below_root, errors[1]);
        if (helper < 0)
                verdict.error = -errno;
        else {
                (void) setpgid(helper, helper);
                (void) close(errors[1]);
                (void) close(run->keeper_output);
                if (read(errors[0], &verdict.error, sizeof(verdict.error)) != sizeof(verdict.error))
                        verdict.error = 0;
                pid_fd = pidfd_open(helper, 0);
                watch_helper(pid_fd, run->keeper_life, helper);
                while (waitpid(helper, &verdict.status, 0) < 0 && errno == EINTR)
                        ;
        }
        (void) send(run->keeper_life, &verdict, sizeof(verdict), MSG_NOSIGNAL);
        _exit(0);
}

/* ---- the worker's side ---- */

static void run_done(Run *run) {
        (void) close_fd(run->output);
        (void) close_fd(run->life);
        (void) close_fd(run->keeper_output);
        (void) close_fd(run->keeper_life);
        free(run->path);
        free(run->arguments);
}

static int start(Run *run) {
        struct stat root, other;
        int output[2], life[2];

        if (pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        run->output = output[0];
        run->keeper_output = output[1];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, life) < 0)
                return -errno;
        run->life = life[0];
        run->keeper_life = life[1];
        /* A program waits when its reader is slow, and does not fail. */
        if (fcntl(output[1], F_SETFL, 0) < 0 || fstat(run->worker->sysfs.root_fd, &root) < 0 || stat("/", &other) < 0)
                return -errno;

        run->keeper = fork();
        if (run->keeper == 0)
                keep(run, root.st_dev != other.st_dev || root.st_ino != other.st_ino);
        if (run->keeper < 0)
                return -errno;
        (void) close_fd(run->keeper_output);
        (void) close_fd(run->keeper_life);
        run->keeper_output = run->keeper_life = -EBADF;
        return 0;
}

/* Keeps the end of it, however much it is. */
static void read_output(Run *run) {
        char buffer[TEXT_MAX_BYTES];
        ssize_t n;

        while ((n = read(run->output, buffer, sizeof(buffer))) > 0) {
                size_t length = (size_t) n, over;

                over = run->n_tail + length > sizeof(run->tail) ? run->n_tail + length - sizeof(run->tail) : 0;
                memmove(run->tail, run->tail + over, run->n_tail - over);
                memcpy(run->tail + run->n_tail - over, buffer, length);
                run->n_tail += length - over;
                if (length < sizeof(buffer))
                        break; /* one that never stops printing must not keep us from looking at the time */
        }
        if (n == 0) {
                (void) close_fd(run->output);
                run->output = -EBADF;
        }
}

static uint64_t now_msec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

/* 0, or -ETIMEDOUT when it had to be killed. It has ended either way: what a helper still does is not over before. */
static int wait_for_end(Run *run, unsigned timeout_msec) {
        uint64_t deadline = now_msec() + timeout_msec;
        bool late = false;

        while (!run->told) {
                struct pollfd fds[] = { { .fd = run->life, .events = POLLIN }, { .fd = run->output, .events = POLLIN } };
                uint64_t now = now_msec();

                if (!late && now >= deadline) {
                        late = true;
                        (void) shutdown(run->life, SHUT_WR);
                }
                if (poll(fds, ELEMENTSOF(fds), late ? -1 : (int) MIN_OF(deadline - now, (uint64_t) INT_MAX)) < 0 &&
                    errno != EINTR)
                        return -errno;
                if (fds[1].revents)
                        read_output(run);
                if (fds[0].revents) {
                        run->told = recv(run->life, &run->verdict, sizeof(run->verdict), 0) == sizeof(run->verdict);
                        break;
                }
        }
        if (run->output >= 0)
                read_output(run);
        return late ? -ETIMEDOUT : run->told ? 0 : -ECHILD;
}

/* The end of what it printed, on one line, for people. */
static void clean_output(const Run *run, char *ret, size_t size) {
        size_t n = 0, end = run->n_tail, first;

        while (end > 0 && (unsigned char) run->tail[end - 1] <= ' ')
                end--;
        first = end >= size ? end - size + 1 : 0;
        /* Not from the middle of a character. */
        while (first > 0 && first < end && ((unsigned char) run->tail[first] & 0xc0) == 0x80)
                first++;
        for (size_t i = first; i < end; i++) {
                unsigned char c = (unsigned char) run->tail[i];

                if (c > ' ' && c != 0x7f)
                        ret[n++] = (char) c;
                else if (n > 0 && ret[n - 1] != ' ')
                        ret[n++] = ' ';
        }
        while (n > 0 && ret[n - 1] == ' ')
                n--;
        ret[n] = '\0';
        if (!text_is_clean(ret, size))
                for (char *p = ret; *p; p++)
                        *p = (unsigned char) *p >= 0x80 ? '?' : *p;
}

static int set_arguments(Run *run, const char *const *words) {
        size_t n = 0;

        while (words && words[n])
                n++;
        if (n > HELPER_WORDS_MAX)
                return -E2BIG;
        run->arguments = calloc(n + 2, sizeof(char *));
        if (!run->arguments)
                return -ENOMEM;
        run->arguments[0] = run->path;
        for (size_t i = 0; i < n; i++) {
                if (strlen(words[i]) > TEXT_MAX_BYTES)
                        return -E2BIG;
                run->arguments[i + 1] = (char *) words[i];
        }
        return 0;
}

static void say_command(const Run *run) {
        char text[TEXT_MAX_BYTES];
        size_t n = (size_t) snprintf(text, sizeof(text), "runs");

        for (char **word = run->arguments; *word && n < sizeof(text); word++)
                n += (size_t) snprintf(text + n, sizeof(text) - n, " %s", *word);
        worker_log(run->worker, LOG_INFO, text);
}

static int conclude(const Run *run, int r) {
        if (r < 0)
                return r;
        if (run->verdict.error < 0)
                return run->verdict.error;
        return WIFEXITED(run->verdict.status) ? WEXITSTATUS(run->verdict.status) : -EINTR;
}

int helper_run(Worker *worker, const PtHelper *helper, const char *const *words, unsigned timeout_msec, char *ret_output,
               size_t size) {
        _cleanup_(run_done) Run run = {
                .worker = worker, .output = -EBADF, .life = -EBADF, .keeper_output = -EBADF, .keeper_life = -EBADF,
        };
        int r = resolve(worker, helper->path, &run.path);

        if (r >= 0)
                r = set_arguments(&run, words);
        if (r >= 0) {
                say_command(&run);
                r = start(&run);
        }
        if (r < 0)
                return r;
        r = wait_for_end(&run, timeout_msec > 0 ? timeout_msec : HELPER_TIMEOUT_MSEC);
        /* Hung up, a keeper that has not told takes its helper along. */
        (void) close_fd(run.life);
        run.life = -EBADF;
        while (waitpid(run.keeper, NULL, 0) < 0 && errno == EINTR)
                ;
        if (size > 0)
                clean_output(&run, ret_output, size);
        return conclude(&run, r);
}
