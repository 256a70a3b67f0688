/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fake-kernel.h"
#include "gpu-model.h"
#include "host.h"
#include "namespace-mounts.h"

/* The exit status if the host's own machinery fails, as for a program that env(1) cannot run. */
#define STATUS_TROUBLE 125

/* Whom to pass SIGTERM on to. */
static volatile sig_atomic_t forward_to;

static void forward(int signal) {
        if (forward_to > 0)
                (void) kill((pid_t) forward_to, signal);
}

static void forward_signals(pid_t to) {
        struct sigaction action = { .sa_handler = forward };

        forward_to = to;
        (void) sigaction(SIGTERM, &action, NULL);
        (void) sigaction(SIGHUP, &action, NULL);
        /* The terminal sends these to the command as well, and that decides what they mean. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGQUIT, SIG_IGN);
}

static void default_signals(void) {
        for (int s = 1; s < NSIG; s++)
                (void) signal(s, SIG_DFL);
}

static int status_of(int wait_status) {
        return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

static int write_file(const char *path, const char *format, ...) _printf_(2, 3);

static int write_file(const char *path, const char *format, ...) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        char text[64];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (fd < 0 || write(fd, text, (size_t) n) != n)
                return -errno;
        return 0;
}

/* What strerror() does not say. The kernel gives ENOSPC for its limits, and refuses user namespaces in a chroot. */
static const char *namespace_hint(int error, uid_t uid) {
        if (error == -ENOSPC)
                return "; a limit in /proc/sys/user is reached or 0";
        if (error != -EPERM)
                return "";
        return uid == 0 ? "; this container lacks CAP_SYS_ADMIN"
                        : "; user namespaces are switched off on this machine, or this is a chroot";
}

/* An ordinary user becomes root of a user namespace, which has only that one user. */
static int enter_namespaces(void) {
        uid_t uid = geteuid();
        gid_t gid = getegid();
        int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID, r;

        if (unshare(flags | (uid != 0 ? CLONE_NEWUSER : 0)) < 0) {
                r = -errno;
                complain("cannot make namespaces: %s%s", strerror(-r), namespace_hint(r, uid));
                return r;
        }
        if (uid == 0)
                return 0;
        r = write_file("/proc/self/setgroups", "deny");
        if (r >= 0)
                r = write_file("/proc/self/uid_map", "0 %u 1", uid);
        if (r >= 0)
                r = write_file("/proc/self/gid_map", "0 %u 1", gid);
        if (r < 0)
                complain("cannot map user %u: %s", uid, strerror(-r));
        return r;
}

/* Starts the fake kernel and waits until everything is in place. */
static int start_kernel(Tree *t, const RunOptions *o, pid_t *ret_pid) {
        _cleanup_close_ int ready = -1;
        int pair[2], r;
        Hand *hand;
        Kernel *k;
        char byte;
        pid_t pid;

        r = hand_start(&hand);
        if (r < 0)
                return r;
        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                Description *d;

                default_signals();
                close(pair[0]);
                r = host_description(t, &d);
                if (r >= 0)
                        r = kernel_new(t, d, hand, o->formats, o->controlled, &k);
                if (r >= 0)
                        r = kernel_run(k, pair[1]);
                _exit(r < 0 ? STATUS_TROUBLE : 0);
        }
        close(pair[1]);
        ready = pair[0];
        if (read(ready, &byte, 1) != 1) {
                complain("the fake kernel did not start");
                return -EIO;
        }
        *ret_pid = pid;
        return 0;
}

static _Noreturn void run_command(char **command, mode_t mask) {
        default_signals();
        umask(mask);
        /* Modules are loaded into the machine's own kernel, whatever namespace asks for it. */
        (void) prctl(PR_CAPBSET_DROP, 16 /* CAP_SYS_MODULE */, 0, 0, 0);
        /* libudev must not insist on a real sysfs below /sys/devices. */
        (void) setenv("SYSTEMD_DEVICE_VERIFY_SYSFS", "0", 0);
        (void) setenv("PASSTHROUGHD_SIMHOST", SIMHOST_CONTROL, 1);
        execvp(command[0], command);
        complain("cannot run %s: %m", command[0]);
        _exit(errno == ENOENT ? 127 : 126);
}

static int install_models(Tree *t) {
        _cleanup_(description_freep) Description *d = NULL;
        int r = host_description(t, &d);

        return r < 0 ? r : gpu_models_install(d);
}

/* Process 1 of the namespace: everything in it ends with this one. */
static int be_init(Tree *t, const RunOptions *o) {
        pid_t kernel = 0, command;
        int r, status;

        r = namespace_prepare();
        if (r >= 0 && !t) {
                r = host_make(SIMHOST_RUN "/host", json_incref(o->recipe));
                if (r >= 0)
                        r = tree_open(SIMHOST_RUN "/host", &t);
        }
        if (r >= 0)
                r = namespace_mount(t);
        if (r >= 0)
                r = install_models(t);
        if (r < 0)
                return STATUS_TROUBLE;
        r = start_kernel(t, o, &kernel);
        if (r < 0 || namespace_mount_kernel() < 0)
                return STATUS_TROUBLE;

        command = fork();
        if (command < 0)
                return STATUS_TROUBLE;
        if (command == 0)
                run_command(o->command, o->mask);
        forward_signals(command);
        for (;;) {
                pid_t pid = waitpid(-1, &status, 0);

                if (pid == command)
                        break;
                if (pid == kernel) {
                        complain("the fake kernel ended with status %d", status_of(status));
                        return STATUS_TROUBLE;
                }
                if (pid < 0 && errno != EINTR)
                        return STATUS_TROUBLE;
        }

        /* Cuts everybody off who still waits for the fake kernel, so that they can be killed. */
        (void) umount2(SIMHOST_FS, MNT_FORCE);
        return status_of(status);
}

int namespace_run(const RunOptions *o) {
        _cleanup_(tree_freep) Tree *t = NULL;
        int alive[2], status, r;
        pid_t init;
        char byte;

        if (pipe2(alive, O_CLOEXEC) < 0)
                return -errno;
        r = enter_namespaces();
        if (r < 0)
                return r;
        /* Only now: a directory opened earlier belongs to the mounts outside, and could not be mounted
         * here. */
        r = o->directory ? tree_open(o->directory, &t) : 0;
        if (r < 0) {
                complain("cannot open %s: %s", o->directory, strerror(-r));
                return r;
        }

        init = fork();
        if (init < 0)
                return -errno;
        if (init == 0) {
                /* It dies with its parent, whatever kills that. The parent may be dead by now: then the
                 * pipe is shut. */
                close(alive[1]);
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || read(alive[0], &byte, 1) != 1)
                        _exit(STATUS_TROUBLE);
                _exit(be_init(t, o));
        }
        close(alive[0]);
        forward_signals(init);
        if (write(alive[1], "", 1) != 1)
                return -EIO;
        while (waitpid(init, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return status_of(status);
}
