/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>

#include "guard-watch.h"
#include "log.h"
#include "source-notice.h"

/* What can make a device needed, or no longer. Functions and USB devices that are bound or unbound are not among them: what
 * their driver makes of them is. */
static const char *const subsystems[] = {
        "block", "net", "nvme", "nvme-subsystem", "scsi_host", "iscsi_connection", "input", "drm", "graphics", "vtconsole",
        "tty", "watchdog", "tpm", "tpmrm", "ipmi", "infiniband", "hidraw", "bdi", NULL,
};

/* A table below /proc: poll() says that it changed. Where it is a plain file, as on a host that is made of files, inotify
 * does. */
typedef struct Table {
        const char *path;
        int fd, inotify_fd;
        sd_event_source *source;
} Table;

enum { TABLE_MOUNTS, TABLE_SWAPS, _TABLES };

struct GuardWatch {
        void (*changed)(void *userdata);
        void *userdata;
        Table tables[_TABLES];
        int rtnetlink_fd;
        sd_event_source *rtnetlink_source;
        SourceNotice notice;
        sd_event_source *notice_source;
};

static bool table_drain(Table *table) {
        char events[4096];

        if (table->inotify_fd < 0)
                return true; /* that poll() said so was all */
        return read(table->inotify_fd, events, sizeof(events)) > 0;
}

static int on_table(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GuardWatch *watch = userdata;

        for (size_t i = 0; i < _TABLES; i++)
                if (watch->tables[i].source == source && table_drain(&watch->tables[i]))
                        watch->changed(watch->userdata);
        return 0;
}

static bool rtnetlink_drain(GuardWatch *watch) {
        bool any = false;
        char byte;

        for (;;) {
                ssize_t n = recv(watch->rtnetlink_fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC);

                if (n < 0 && errno != EINTR && errno != ENOBUFS)
                        return any;
                any |= n >= 0 || errno == ENOBUFS;
        }
}

static int on_rtnetlink(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GuardWatch *watch = userdata;

        if (rtnetlink_drain(watch))
                watch->changed(watch->userdata);
        return 0;
}

static int on_notice(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GuardWatch *watch = userdata;

        if (source_notice_drain(&watch->notice))
                watch->changed(watch->userdata);
        return 0;
}

void guard_watch_check(GuardWatch *watch) {
        bool any = false;

        for (size_t i = 0; i < _TABLES; i++) {
                Table *table = &watch->tables[i];
                bool is_file = table->inotify_fd >= 0;
                struct pollfd fd = { .fd = is_file ? table->inotify_fd : table->fd, .events = is_file ? POLLIN : POLLPRI };

                if (poll(&fd, 1, 0) > 0 && fd.revents & (POLLIN | POLLPRI | POLLERR) && table_drain(table))
                        any = true;
        }
        any |= rtnetlink_drain(watch);
        any |= source_notice_drain(&watch->notice);
        if (any)
                watch->changed(watch->userdata);
}

static int table_open(GuardWatch *watch, Table *table, sd_event *event, const Sysfs *sysfs, const char *path) {
        char link[64];
        int r;

        table->path = path;
        table->fd = openat(sysfs->root_fd, path + 1, O_RDONLY | O_CLOEXEC);
        if (table->fd < 0)
                return -errno;
        r = sd_event_add_io(event, &table->source, table->fd, EPOLLPRI | EPOLLERR, on_table, watch);
        if (r != -EPERM)
                return r;

        table->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (table->inotify_fd < 0)
                return -errno;
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", table->fd);
        if (inotify_add_watch(table->inotify_fd, link, IN_MODIFY | IN_ATTRIB) < 0)
                return -errno;
        return sd_event_add_io(event, &table->source, table->inotify_fd, EPOLLIN, on_table, watch);
}

/* Listens only: a dump waits for the lock that whoever changes a network device holds. */
static int rtnetlink_open(GuardWatch *watch, sd_event *event) {
        struct sockaddr_nl address = {
                .nl_family = AF_NETLINK,
                .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
                             RTMGRP_IPV4_RULE,
        };

        watch->rtnetlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (watch->rtnetlink_fd < 0 ||
            bind(watch->rtnetlink_fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        return sd_event_add_io(event, &watch->rtnetlink_source, watch->rtnetlink_fd, EPOLLIN, on_rtnetlink, watch);
}

int guard_watch_new(sd_event *event, const Sysfs *sysfs, void (*changed)(void *userdata), void *userdata,
                    GuardWatch **ret, Fault *fault) {
        /* The table of process 1 is the host's; that of this process has what its unit made of it. */
        static const char *const paths[_TABLES] = {
                [TABLE_MOUNTS] = "/proc/1/mountinfo",
                [TABLE_SWAPS] = "/proc/swaps",
        };
        _cleanup_(guard_watch_freep) GuardWatch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return fault_oom(fault);
        *watch = (GuardWatch){ .changed = changed, .userdata = userdata, .rtnetlink_fd = -EBADF };
        for (size_t i = 0; i < _TABLES; i++)
                watch->tables[i] = (Table){ .fd = -EBADF, .inotify_fd = -EBADF };

        for (size_t i = 0; i < _TABLES; i++) {
                r = table_open(watch, &watch->tables[i], event, sysfs, paths[i]);
                /* A kernel without swap has no table of it. */
                if (r < 0 && !(r == -ENOENT && i == TABLE_SWAPS))
                        return fault_set(fault, r, FAULT_INTERNAL, "Changes of %s cannot be waited for: %s", paths[i],
                                         strerror(-r));
        }
        r = rtnetlink_open(watch, event);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "Changes of the network cannot be waited for: %s",
                                 strerror(-r));
        r = source_notice_open(&watch->notice, sysfs, subsystems, fault);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &watch->notice_source, source_notice_fd(&watch->notice), EPOLLIN, on_notice, watch);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "Device events cannot be waited for: %s", strerror(-r));

        *ret = TAKE_PTR(watch);
        return 0;
}

GuardWatch *guard_watch_free(GuardWatch *watch) {
        if (!watch)
                return NULL;
        for (size_t i = 0; i < _TABLES; i++) {
                sd_event_source_disable_unref(watch->tables[i].source);
                (void) close_fd(watch->tables[i].fd);
                (void) close_fd(watch->tables[i].inotify_fd);
        }
        sd_event_source_disable_unref(watch->rtnetlink_source);
        (void) close_fd(watch->rtnetlink_fd);
        sd_event_source_disable_unref(watch->notice_source);
        if (watch->notice.monitor)
                source_notice_close(&watch->notice);
        free(watch);
        return NULL;
}
