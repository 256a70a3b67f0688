/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernel modules are loaded by systemd, through modprobe@NAME.service: the service itself needs neither the capability nor
 * the module files. Whether it worked is for the caller to see in /sys/module. */

#include <stdio.h>

#include "bus-internal.h"

struct ModuleLoadCall {
        Bus *bus;
        sd_bus_slot *start;
        sd_bus_slot *removed;
        char job[256];
        void (*done)(void *userdata, int result);
        void *userdata;
        struct ModuleLoadCall *next;
};

static void finish(ModuleLoadCall *load, int result) {
        for (ModuleLoadCall **p = &load->bus->loads; *p; p = &(*p)->next)
                if (*p == load) {
                        *p = load->next;
                        break;
                }
        sd_bus_slot_unref(load->start);
        sd_bus_slot_unref(load->removed);
        load->done(load->userdata, result);
        free(load);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ModuleLoadCall *load = userdata;
        const char *job, *unit, *result;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0 || !streq(job, load->job))
                return 0;
        finish(load, 0);
        return 0;
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ModuleLoadCall *load = userdata;
        const char *job;

        load->start = sd_bus_slot_unref(load->start);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &job) < 0)
                finish(load, -ENOENT);
        else
                snprintf(load->job, sizeof(load->job), "%s", job);
        return 0;
}

int bus_load_kernel_module(void *userdata, const char *name, void (*done)(void *userdata, int result),
                           void *done_userdata) {
        Bus *b = userdata;
        char unit[ID_SIZE + 32];
        ModuleLoadCall *load;
        int r;

        if (access("/run/systemd/system", F_OK) < 0)
                return -EUNATCH;
        load = calloc(1, sizeof(ModuleLoadCall));
        if (!load)
                return -ENOMEM;
        *load = (ModuleLoadCall) { .bus = b, .done = done, .userdata = done_userdata };
        snprintf(unit, sizeof(unit), "modprobe@%s.service", name);
        /* The match goes in first: the job may be over before the call's answer is read. */
        r = sd_bus_match_signal_async(b->bus, &load->removed, "org.freedesktop.systemd1", SYSTEMD_PATH,
                                      "org.freedesktop.systemd1.Manager", "JobRemoved", on_job_removed, NULL, load);
        if (r >= 0)
                r = sd_bus_call_method_async(b->bus, &load->start, "org.freedesktop.systemd1", SYSTEMD_PATH,
                                             "org.freedesktop.systemd1.Manager", "StartUnit", on_started, load, "ss", unit,
                                             "fail");
        if (r < 0) {
                sd_bus_slot_unref(load->removed);
                free(load);
                return r;
        }
        load->next = b->loads;
        b->loads = load;
        return 0;
}

void bus_systemd_free(Bus *b) {
        while (b->loads) {
                ModuleLoadCall *load = b->loads;
                b->loads = load->next;
                sd_bus_slot_unref(load->start);
                sd_bus_slot_unref(load->removed);
                free(load);
        }
}
