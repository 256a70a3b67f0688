/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hand.h"

#include <pthread.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef enum HandVerb {
        HAND_MOUNT,
        HAND_UNMOUNT,
        HAND_MAKE_NODE,
        HAND_REMOVE_NODE,
} HandVerb;

typedef struct HandRequest {
        HandVerb verb;
        unsigned mode;
        Path a, b;
} HandRequest;

struct Hand {
        pthread_mutex_t lock;
        int fd;
};

static int hand_do(const HandRequest *q) {
        switch (q->verb) {
        case HAND_MOUNT:
                return mount(q->a.s, q->b.s, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
        case HAND_UNMOUNT:
                return umount2(q->a.s, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
        case HAND_MAKE_NODE:
                return mknod(q->a.s, S_IFREG | q->mode, 0) < 0 ? -errno : 0;
        case HAND_REMOVE_NODE:
                return unlink(q->a.s) < 0 ? -errno : 0;
        default:
                return -EINVAL;
        }
}

static _Noreturn void hand_serve(int fd) {
        HandRequest q;

        while (recv(fd, &q, sizeof(q), 0) == sizeof(q)) {
                int r = hand_do(&q);

                if (send(fd, &r, sizeof(r), MSG_NOSIGNAL) < 0)
                        break;
        }
        _exit(0);
}

int hand_start(Hand **ret) {
        int pair[2];
        pid_t pid;
        Hand *h;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                close(pair[0]);
                hand_serve(pair[1]);
        }
        close(pair[1]);

        h = allocate(sizeof(*h));
        h->fd = pair[0];
        (void) pthread_mutex_init(&h->lock, NULL);
        *ret = h;
        return 0;
}

static int hand_ask(Hand *h, const HandRequest *q) {
        int r = -EIO;

        (void) pthread_mutex_lock(&h->lock);
        if (send(h->fd, q, sizeof(*q), MSG_NOSIGNAL) < 0 || recv(h->fd, &r, sizeof(r), 0) != sizeof(r))
                r = -EIO;
        (void) pthread_mutex_unlock(&h->lock);
        return r;
}

int hand_mount(Hand *h, const char *what, const char *where) {
        HandRequest q = { .verb = HAND_MOUNT };

        path_make(&q.a, "%s", what);
        path_make(&q.b, "%s", where);
        return hand_ask(h, &q);
}

int hand_unmount(Hand *h, const char *where) {
        HandRequest q = { .verb = HAND_UNMOUNT };

        path_make(&q.a, "%s", where);
        return hand_ask(h, &q);
}

int hand_make_node(Hand *h, const char *path, unsigned mode) {
        HandRequest q = { .verb = HAND_MAKE_NODE, .mode = mode };

        path_make(&q.a, "%s", path);
        return hand_ask(h, &q);
}

int hand_remove_node(Hand *h, const char *path) {
        HandRequest q = { .verb = HAND_REMOVE_NODE };

        path_make(&q.a, "%s", path);
        return hand_ask(h, &q);
}
