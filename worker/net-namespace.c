/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-namespace.h"

#include <limits.h>
#include <linux/net_namespace.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/parse.h"
#include "netlink.h"
#include "proc-file.h"

#define NAMESPACES_MAX 8192u

typedef struct Place {
        uint64_t inode;
        char *path; /* that leads to it */
        char *name; /* for people */
} Place;

typedef struct Search {
        const Sysfs *sysfs;
        uint64_t own;
        Place *places;
        size_t n_places;
        bool incomplete;
        int error;
} Search;

/* "net:[4026531840]" */
static bool parse_namespace(const char *text, uint64_t *ret) {
        const char *number = startswith(text, "net:[");
        char digits[24];
        size_t n = number ? strcspn(number, "]") : 0;

        if (n == 0 || n >= sizeof(digits))
                return false;
        memcpy(digits, number, n);
        digits[n] = '\0';
        return parse_uint64(digits, ret) >= 0;
}

static bool read_namespace(const Sysfs *sysfs, const char *path, uint64_t *ret) {
        char target[64];
        ssize_t n = readlinkat(sysfs->root_fd, path + 1, target, sizeof(target) - 1);

        if (n <= 0)
                return false;
        target[n] = '\0';
        return parse_namespace(target, ret);
}

static void add_place(Search *search, uint64_t inode, const char *path, const char *name) {
        Place *places, place = { .inode = inode };

        if (inode == search->own || search->error < 0)
                return;
        for (size_t i = 0; i < search->n_places; i++)
                if (search->places[i].inode == inode)
                        return;
        if (search->n_places >= NAMESPACES_MAX) {
                search->incomplete = true;
                return;
        }

        place.path = strdup(path);
        place.name = strdup(name);
        places = reallocarray(search->places, search->n_places + 1, sizeof(*places));
        if (places)
                search->places = places;
        if (!place.path || !place.name || !places) {
                free(place.path);
                free(place.name);
                search->error = -ENOMEM;
                return;
        }
        search->places[search->n_places++] = place;
}

/* "38 27 0:4 net:[4026532211] /run/netns/blue rw shared:99 - nsfs nsfs rw" */
static int take_mount(void *userdata, char *line) {
        Search *search = userdata;
        char root[64], point[PATH_MAX];
        const char *base;
        uint64_t inode;

        if (strstr(line, " - nsfs ") && sscanf(line, "%*s %*s %*s %63s %4095s", root, point) == 2 &&
            parse_namespace(root, &inode)) {
                base = strrchr(point, '/');
                add_place(search, inode, point, base ? base + 1 : point);
        }
        return search->error;
}

static void take_process(void *userdata, const char *entry) {
        char path[64], name[96], comm[32];
        Search *search = userdata;
        uint64_t inode;
        uint32_t pid;

        if (parse_uint32(entry, &pid) < 0)
                return;
        (void) snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
        if (!read_namespace(search->sysfs, path, &inode)) {
                /* One that has ended is in no namespace; one that may not be looked at may be in any. */
                search->incomplete = search->incomplete || errno == EACCES || errno == EPERM;
                return;
        }
        if (inode == search->own)
                return;
        (void) snprintf(path, sizeof(path), "/proc/%u/comm", pid);
        if (sysfs_read(search->sysfs, path, comm, sizeof(comm)) < 0)
                strcpy(comm, "?");
        (void) snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
        (void) snprintf(name, sizeof(name), "of process %u (%s)", pid, comm);
        add_place(search, inode, path, name);
}

/* How the namespace of this socket numbers the one that `other` stands for. */
static int namespace_number(int fd, int other) {
        struct rtgenmsg body = { .rtgen_family = AF_UNSPEC };
        const struct rtattr *attributes[NETNSA_MAX + 1];
        uint32_t descriptor = (uint32_t) other, number;
        union {
                struct nlmsghdr header;
                char space[512];
        } answer;
        NetlinkRequest request;

        netlink_request(&request, RTM_GETNSID, 0, &body, sizeof(body));
        netlink_add(&request, NETNSA_FD, &descriptor, sizeof(descriptor));
        if (netlink_ask(fd, &request, &answer, sizeof(answer)) < 0)
                return -1;
        netlink_attributes(&answer.header, sizeof(body), attributes, NETNSA_MAX);
        return netlink_u32(attributes[NETNSA_NSID], &number) ? (int) number : -1;
}

/* A socket stays in the namespace in which it was made. */
static int open_inside(int namespace_fd, int own_fd) {
        int fd;

        if (setns(namespace_fd, CLONE_NEWNET) < 0)
                return -errno;
        fd = netlink_open();
        if (setns(own_fd, CLONE_NEWNET) < 0)
                abort(); /* whatever this process says from here on would be about another network */
        return fd;
}

static int read_place(Search *search, const Place *place, int own_fd, NetNamespaces *namespaces) {
        _cleanup_close_ int namespace_fd = openat(search->sysfs->root_fd, place->path + 1, O_RDONLY | O_CLOEXEC);
        NetView view = {}, *views;
        struct stat st;
        int fd, r;

        /* Gone, or another process by now. */
        if (namespace_fd < 0 || fstat(namespace_fd, &st) < 0 || st.st_ino != place->inode) {
                search->incomplete = search->incomplete || (namespace_fd < 0 && errno != ENOENT && errno != ESRCH);
                return 0;
        }
        fd = open_inside(namespace_fd, own_fd);
        r = fd < 0 ? fd : net_view_read(fd, place->name, &view);
        if (r < 0) {
                search->incomplete = true;
                return r == -ENOMEM ? r : 0;
        }
        view.host_id = namespace_number(view.fd, own_fd);
        view.fd = close_fd(view.fd);

        views = reallocarray(namespaces->views, namespaces->n_views + 1, sizeof(*views));
        if (!views) {
                net_view_done(&view);
                return -ENOMEM;
        }
        namespaces->views = views;
        namespaces->views[namespaces->n_views++] = view;
        return 0;
}

int net_namespaces_read(const Sysfs *sysfs, NetNamespaces *ret) {
        _cleanup_close_ int own_fd = openat(sysfs->root_fd, "proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        _cleanup_net_namespaces_ NetNamespaces namespaces = {};
        Search search = { .sysfs = sysfs };
        int r = 0;

        if (own_fd < 0 || !read_namespace(sysfs, "/proc/self/ns/net", &search.own))
                search.incomplete = true;
        else {
                /* First those with a name. */
                (void) proc_each_line(sysfs, "/proc/self/mountinfo", take_mount, &search);
                if (sysfs_list(sysfs, "/proc", take_process, &search) < 0)
                        search.incomplete = true;
                r = search.error;
        }
        for (size_t i = 0; i < search.n_places; i++) {
                if (r >= 0)
                        r = read_place(&search, &search.places[i], own_fd, &namespaces);
                free(search.places[i].path);
                free(search.places[i].name);
        }
        free(search.places);
        if (r < 0)
                return r;

        namespaces.incomplete = search.incomplete;
        *ret = namespaces;
        namespaces = (NetNamespaces) {};
        return 0;
}

void net_namespaces_done(NetNamespaces *namespaces) {
        for (size_t i = 0; i < namespaces->n_views; i++)
                net_view_done(&namespaces->views[i]);
        free(namespaces->views);
        *namespaces = (NetNamespaces) {};
}
