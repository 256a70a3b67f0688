/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli-spawn.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_TRIES 50
#define STOP_PAUSE_NSEC (100 * 1000 * 1000)

int spawn(Cli *cli, char *const *command, const char *log, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t all, none;
        int r;

        sigfillset(&all);
        sigemptyset(&none);
        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawnattr_init(&attributes);
        (void) posix_spawnattr_setsigdefault(&attributes, &all);
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
        if (log) {
                (void) posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log,
                                                        O_WRONLY | O_CREAT | O_APPEND, 0600);
                (void) posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
        }
        (void) fflush(stdout);
        r = posix_spawnp(ret, command[0], &actions, &attributes, command, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) posix_spawnattr_destroy(&attributes);
        return r != 0 ? cli_fail(cli, STATUS_FAILED, "%s can't be started: %s", command[0], strerror(r)) : 0;
}

static int status_of(int status) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int spawn_wait(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return status_of(status);
}

int run_program(Cli *cli, char *const *command, const char *log) {
        pid_t pid;
        int r = spawn(cli, command, log, &pid);

        return r < 0 ? r : spawn_wait(pid);
}

void spawn_stop(pid_t pid) {
        if (pid <= 0)
                return;
        (void) kill(pid, SIGTERM);
        for (unsigned i = 0; i < STOP_TRIES; i++) {
                if (waitpid(pid, NULL, WNOHANG) != 0)
                        return;
                (void) nanosleep(&(struct timespec){ .tv_nsec = STOP_PAUSE_NSEC }, NULL);
        }
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}
