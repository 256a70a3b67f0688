/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "link-watch.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/macro.h"

#define PAUSE_USEC (300 * UINT64_C(1000))
/* What is said of an interface without its statistics of each virtual function, which are not asked for, is a few KiB. */
#define MESSAGE_BYTES 16384u
/* More at once are as good as all. */
#define DEVICES_MAX 64u
#define SYSNAME_SIZE 64u

struct LinkWatch {
        LinkChanged changed;
        void *userdata;
        int fd;
        sd_event_source *source, *timer;
        char devices[DEVICES_MAX][SYSNAME_SIZE];
        size_t n_devices;
        bool all;
};

static void note(LinkWatch *watch, const char *sysname) {
        if (!sysname || strlen(sysname) >= SYSNAME_SIZE || watch->n_devices >= DEVICES_MAX)
                watch->all = true;
        if (watch->all)
                return;
        for (size_t i = 0; i < watch->n_devices; i++)
                if (streq(watch->devices[i], sysname))
                        return;
        (void) strcpy(watch->devices[watch->n_devices++], sysname);
}

/* Since Linux 5.14 each message names the device. Interfaces without one (bridges, bonds) are none of ours. */
static void take_link(LinkWatch *watch, const struct nlmsghdr *header) {
        size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof(struct ifinfomsg));
        const char *name = NULL;
        bool is_pci = false;

        for (const struct rtattr *a = IFLA_RTA((struct ifinfomsg *) NLMSG_DATA(header)); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
                const char *text = RTA_DATA(a);

                if (RTA_PAYLOAD(a) == 0 || text[RTA_PAYLOAD(a) - 1] != '\0')
                        continue;
                if (a->rta_type == IFLA_PARENT_DEV_NAME)
                        name = text;
                else if (a->rta_type == IFLA_PARENT_DEV_BUS_NAME)
                        is_pci = streq(text, "pci");
        }
        if (name && is_pci)
                note(watch, name);
}

void link_watch_take(LinkWatch *watch, const void *data, size_t size) {
        unsigned left = (unsigned) size;

        for (const struct nlmsghdr *h = data; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
                if ((h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK) &&
                    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
                        take_link(watch, h);
        if ((watch->all || watch->n_devices > 0) && sd_event_source_get_enabled(watch->timer, NULL) == 0 &&
            sd_event_source_set_time_relative(watch->timer, PAUSE_USEC) >= 0)
                (void) sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _Alignas(struct nlmsghdr) char buffer[MESSAGE_BYTES];
        LinkWatch *watch = userdata;

        for (;;) {
                ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != ENOBUFS)
                        return 0;
                /* What was lost, or cut off, may have been about anything. */
                if (n < 0 || (size_t) n > sizeof(buffer)) {
                        watch->all = true;
                        n = 0;
                }
                link_watch_take(watch, buffer, (size_t) n);
        }
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        LinkWatch *watch = userdata;
        size_t n = watch->n_devices;
        bool all = watch->all;

        watch->n_devices = 0;
        watch->all = false;
        if (all)
                watch->changed(watch->userdata, NULL);
        for (size_t i = 0; !all && i < n; i++)
                watch->changed(watch->userdata, watch->devices[i]);
        return 0;
}

int link_watch_new(sd_event *event, LinkChanged changed, void *userdata, LinkWatch **ret) {
        LinkWatch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        *watch = (LinkWatch) { .changed = changed, .userdata = userdata, .fd = -EBADF };
        r = sd_event_add_time_relative(event, &watch->timer, CLOCK_MONOTONIC, PAUSE_USEC, 0, on_pause_over, watch);
        if (r >= 0)
                r = sd_event_source_set_enabled(watch->timer, SD_EVENT_OFF);
        if (r < 0) {
                link_watch_free(watch);
                return r;
        }
        *ret = watch;
        return 0;
}

int link_watch_listen(LinkWatch *watch) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };

        watch->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (watch->fd < 0 || bind(watch->fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        return sd_event_add_io(sd_event_source_get_event(watch->timer), &watch->source, watch->fd, EPOLLIN, on_message, watch);
}

LinkWatch *link_watch_free(LinkWatch *watch) {
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->source);
        sd_event_source_disable_unref(watch->timer);
        (void) close_fd(watch->fd);
        free(watch);
        return NULL;
}
