/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parents of mediated devices. One that is a PCI function is seen as such; what else there is (a virtual device, a device of
 * another bus) is seen as an entry of /sys/class/mdev_bus, whose subsystem could be any. So nobody tells of these: the class
 * is looked at again after a driver of mediated devices has come or gone, which is told just before its parents come and
 * after they went. A mediated device that is made or removed is a change of its parent. */

#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "log.h"
#include "source-internal.h"

#define LOOK_FIRST_USEC 100000u
#define LOOK_LAST_USEC 1500000u

bool source_is_parent_class(const Subsystem *subsystem) {
        return streq(subsystem->name, MDEV_PARENT_CLASS);
}

bool source_is_pci_parent(const Subsystem *subsystem, const char *sysname) {
        uint8_t bus, slot, function;
        uint32_t domain;

        return source_is_parent_class(subsystem) && parse_bdf(sysname, &domain, &bus, &slot, &function) >= 0;
}

/* The class comes and goes with its kernel module, and a directory that was opened before does not come back. */
void source_reopen_parents(Source *source) {
        Subsystem *subsystem = source_subsystem(source, MDEV_PARENT_CLASS);

        if (subsystem)
                subsystem->directory_fd = close_fd(subsystem->directory_fd);
}

static void look_at(void *userdata, const char *name) {
        Source *source = userdata;

        (void) source_visit(source, source_subsystem(source, MDEV_PARENT_CLASS), name, "rescan");
}

static void look_at_parents(Source *source) {
        HostDevice *host, *next;

        source_reopen_parents(source);
        (void) sysfs_list(&source->sysfs, "/sys/class/" MDEV_PARENT_CLASS, look_at, source);
        HASH_ITER(hh, source->hosts, host, next)
                if (streq(host->subsystem, MDEV_PARENT_CLASS))
                        look_at(source, host->sysname);
}

static int on_look(sd_event_source *timer, uint64_t usec, void *userdata) {
        Source *source = userdata;

        look_at_parents(source);
        if (source->parents_seen)
                return 0;
        source->parents_seen = true;
        if (sd_event_source_set_time_relative(timer, LOOK_LAST_USEC) >= 0)
                (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
        return 0;
}

static void look_later(Source *source) {
        int r;

        source->parents_seen = false;
        if (source->parents_timer) {
                r = sd_event_source_set_time_relative(source->parents_timer, LOOK_FIRST_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(source->parents_timer, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time_relative(source->event, &source->parents_timer, CLOCK_MONOTONIC, LOOK_FIRST_USEC, 0, on_look,
                                               source);
        if (r < 0)
                log_plain(LOG_ERR, "Parents of mediated devices are not looked at: %s", strerror(-r));
}

bool source_take_mdev_message(Source *source, const char *subsystem, const char *path, char ret_parent[static SOURCE_NAME_MAX],
                              Subsystem **ret_subsystem) {
        const char *end, *begin;

        if (streq(subsystem, "drivers")) {
                if (startswith(path, "/bus/mdev/"))
                        look_later(source);
                return false;
        }
        if (!streq(subsystem, "mdev") || !(end = strrchr(path, '/')) || end == path)
                return false;
        for (begin = end; begin > path && begin[-1] != '/'; begin--)
                ;
        if (end - begin >= SOURCE_NAME_MAX)
                return false;
        (void) snprintf(ret_parent, SOURCE_NAME_MAX, "%.*s", (int) (end - begin), begin);
        *ret_subsystem = source_subsystem(source, MDEV_PARENT_CLASS);
        if (*ret_subsystem && source_is_pci_parent(*ret_subsystem, ret_parent))
                *ret_subsystem = source_subsystem(source, "pci");
        return *ret_subsystem != NULL;
}

void source_forget_parents(Source *source) {
        sd_event_source_disable_unref(source->parents_timer);
        source->parents_timer = NULL;
}
