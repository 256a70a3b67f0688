/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "node-watch.h"

#include <assert.h>
#include <stdalign.h>
#include <sys/inotify.h>
#include <utlist.h>

#define EVENTS_SIZE 4096
#define NOT_WATCHED (-1)

struct NodeWatcher {
        int fd;
        sd_event_source *readable;
        NodeWatch *watches;
};

struct NodeWatch {
        NodeWatcher *watcher;
        NodeWatch *prev, *next;
        void (*closed)(void *userdata);
        void *userdata;
        bool due; /* `closed` is to be called */
        size_t n;
        int descriptors[]; /* or NOT_WATCHED */
};

/* ---- what happens ---- */

static void take_event(NodeWatcher *watcher, const struct inotify_event *event) {
        NodeWatch *watch;

        DL_FOREACH(watcher->watches, watch)
                for (size_t i = 0; i < watch->n; i++) {
                        if (event->mask & IN_Q_OVERFLOW)
                                watch->due = true;
                        if (watch->descriptors[i] != event->wd)
                                continue;
                        if (event->mask & IN_IGNORED) /* the kernel has dropped it with the node */
                                watch->descriptors[i] = NOT_WATCHED;
                        else
                                watch->due = true;
                }
}

/* A callback may free any watch, so that the list is begun anew after each. */
static void call_due(NodeWatcher *watcher) {
        for (;;) {
                NodeWatch *watch;

                DL_FOREACH(watcher->watches, watch)
                        if (watch->due)
                                break;
                if (!watch)
                        return;
                watch->due = false;
                watch->closed(watch->userdata);
        }
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        alignas(struct inotify_event) char buffer[EVENTS_SIZE];
        NodeWatcher *watcher = userdata;
        ssize_t n;

        while ((n = read(fd, buffer, sizeof(buffer))) > 0)
                for (const char *p = buffer; p < buffer + n;) {
                        const struct inotify_event *event = (const struct inotify_event *) (const void *) p;

                        take_event(watcher, event);
                        p += sizeof(*event) + event->len;
                }
        call_due(watcher);
        return 0;
}

int node_watcher_new(sd_event *event, NodeWatcher **ret) {
        _cleanup_free_ NodeWatcher *watcher = calloc(1, sizeof(*watcher));
        int r;

        if (!watcher)
                return -ENOMEM;
        watcher->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (watcher->fd < 0)
                return -errno;
        r = sd_event_add_io(event, &watcher->readable, watcher->fd, EPOLLIN, on_readable, watcher);
        if (r < 0) {
                close_fd(watcher->fd);
                return r;
        }
        *ret = TAKE_PTR(watcher);
        return 0;
}

NodeWatcher *node_watcher_free(NodeWatcher *watcher) {
        if (!watcher)
                return NULL;
        assert(!watcher->watches);
        sd_event_source_disable_unref(watcher->readable);
        close_fd(watcher->fd);
        free(watcher);
        return NULL;
}

/* ---- one watch ---- */

int node_watch_new(NodeWatcher *watcher, char *const *nodes, void (*closed)(void *userdata), void *userdata,
                   NodeWatch **ret) {
        NodeWatch *watch;
        size_t n = 0;
        int r = 0;

        while (nodes[n])
                n++;
        watch = calloc(1, offsetof(NodeWatch, descriptors) + n * sizeof(int));
        if (!watch)
                return -ENOMEM;
        watch->watcher = watcher;
        watch->closed = closed;
        watch->userdata = userdata;
        watch->n = n;
        for (size_t i = 0; i < n; i++) {
                int descriptor = inotify_add_watch(watcher->fd, nodes[i], IN_CLOSE | IN_DELETE_SELF);

                watch->descriptors[i] = descriptor < 0 ? NOT_WATCHED : descriptor;
                if (descriptor < 0 && errno != ENOENT && r == 0)
                        r = -errno;
        }
        DL_APPEND(watcher->watches, watch);
        if (r < 0) {
                node_watch_free(watch);
                return r;
        }
        *ret = watch;
        return 0;
}

/* Watching one node twice gives the same descriptor. */
static bool is_shared(const NodeWatcher *watcher, int descriptor) {
        NodeWatch *watch;

        DL_FOREACH(watcher->watches, watch)
                for (size_t i = 0; i < watch->n; i++)
                        if (watch->descriptors[i] == descriptor)
                                return true;
        return false;
}

NodeWatch *node_watch_free(NodeWatch *watch) {
        if (!watch)
                return NULL;
        DL_DELETE(watch->watcher->watches, watch);
        for (size_t i = 0; i < watch->n; i++)
                if (watch->descriptors[i] != NOT_WATCHED && !is_shared(watch->watcher, watch->descriptors[i]))
                        (void) inotify_rm_watch(watch->watcher->fd, watch->descriptors[i]);
        free(watch);
        return NULL;
}
