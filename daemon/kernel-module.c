/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernel modules that a plan needs. systemd loads them where it runs (the bus layer sets the loader); elsewhere modprobe is
 * started directly, by its absolute path and without a shell. What counts is /sys/module afterwards: the unit
 * modprobe@.service hides failures. */

#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "lib/limits.h"
#include "log.h"
#include "operation.h"

typedef struct ModuleLoad {
        Manager *m;
        char name[ID_SIZE];
        void (*done)(void *userdata, int result); /* NULL once it took too long */
        void *userdata;
        sd_event_source *timer;
} ModuleLoad;

static bool is_loaded(Manager *m, const char *name) {
        char path[ID_SIZE + 32];

        snprintf(path, sizeof(path), "/sys/module/%s", name);
        for (char *c = path + strlen("/sys/module/"); *c; c++)
                if (*c == '-')
                        *c = '_';
        return sysfs_exists(&m->sysfs, path);
}

static void finish(ModuleLoad *load, int result) {
        if (result >= 0 && !is_loaded(load->m, load->name))
                result = -ENOENT;
        sd_event_source_disable_unref(load->timer);
        if (load->done)
                load->done(load->userdata, result < 0 ? result : 0);
        free(load);
}

/* modprobe can hang in a module's beginning for ever; who waits for it does not. */
static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        ModuleLoad *load = userdata;
        void (*done)(void *, int) = TAKE_PTR(load->done);

        if (done)
                done(load->userdata, -ETIMEDOUT);
        return 0;
}

static void on_loaded(void *userdata, int result) {
        finish(userdata, result);
}

static int on_exit_status(sd_event_source *source, const siginfo_t *si, void *userdata) {
        sd_event_source_disable_unref(source);
        finish(userdata, si->si_code == CLD_EXITED && si->si_status == 0 ? 0 : -ENOENT);
        return 0;
}

static int start_modprobe(ModuleLoad *load) {
        char program[] = "/sbin/modprobe", quiet[] = "--quiet", end[] = "--";
        char *argv[] = { program, quiet, end, load->name, NULL };
        char *envp[] = { NULL };
        pid_t pid;
        int r = posix_spawn(&pid, program, NULL, NULL, argv, envp);

        if (r != 0)
                return -r;
        r = sd_event_add_child(load->m->event, NULL, pid, WEXITED, on_exit_status, load);
        return r < 0 ? r : 0;
}

int kernel_module_load(Manager *m, const char *name, void (*done)(void *userdata, int result), void *userdata) {
        if (is_loaded(m, name))
                return 1;

        ModuleLoad *load = calloc(1, sizeof(ModuleLoad));
        if (!load)
                return -ENOMEM;
        *load = (ModuleLoad) { .m = m, .done = done, .userdata = userdata };
        snprintf(load->name, sizeof(load->name), "%s", name);

        int r = sd_event_add_time_relative(m->event, &load->timer, CLOCK_MONOTONIC,
                                           MODULE_LOAD_TIMEOUT_SEC * UINT64_C(1000000), 0, on_time, load);
        if (r < 0) {
                free(load);
                return r;
        }
        r = m->kernel_modules.load
                        ? m->kernel_modules.load(m->kernel_modules.userdata, name, on_loaded, load)
                        : -EUNATCH;
        if (r == -EUNATCH) /* no systemd here */
                r = start_modprobe(load);
        if (r < 0) {
                sd_event_source_disable_unref(load->timer);
                free(load);
        }
        return r;
}
