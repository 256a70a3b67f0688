/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevent.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "kobject.h"

#define MESSAGE_SIZE 8192
#define GROUP_UDEV 2
#define UDEV_MAGIC 0xfeedcafe

struct Uevents {
        Tree *tree;
        UeventFormat formats;
        int fd;
        unsigned lose;
        uint64_t sequence, sent;
};

/* What systemd-udevd puts before the properties; libudev checks it and filters by the hashes. */
typedef struct UdevHeader {
        char prefix[8];
        uint32_t magic;
        uint32_t header_size;
        uint32_t properties_offset, properties_length;
        uint32_t subsystem_hash, devtype_hash;
        uint32_t tag_bloom[2];
} UdevHeader;

typedef struct Message {
        char text[MESSAGE_SIZE];
        size_t size;
        char subsystem[64], devtype[64];
} Message;

int uevents_open(Tree *t, UeventFormat formats, Uevents **ret) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        _cleanup_close_ int fd = -1;
        Uevents *u;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        u = allocate(sizeof(*u));
        /* Far from the numbers of the machine's own kernel, and growing from run to run. */
        *u = (Uevents){
                .tree = t, .formats = formats, .fd = take_fd(&fd), .sequence = (uint64_t) time(NULL) * 1000
        };
        *ret = u;
        return 0;
}

/* MurmurHash2 by Austin Appleby, in the public domain: the hash of libudev's socket filters. */
static uint32_t hash_string(const char *s) {
        const uint32_t m = 0x5bd1e995;
        const unsigned char *p = (const unsigned char *) s;
        uint32_t length = (uint32_t) strlen(s), h = length;

        for (; length >= 4; length -= 4, p += 4) {
                uint32_t k;

                memcpy(&k, p, sizeof(k));
                k *= m;
                k ^= k >> 24;
                h = h * m ^ k * m;
        }
        if (length > 0) {
                for (uint32_t i = length; i > 0; i--)
                        h ^= (uint32_t) p[i - 1] << 8 * (i - 1);
                h *= m;
        }
        h ^= h >> 13;
        h *= m;
        return h ^ h >> 15;
}

static void message_add(Message *m, const char *format, ...) _printf_(2, 3);

static void message_add(Message *m, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(m->text + m->size, sizeof(m->text) - m->size, format, ap);
        va_end(ap);
        if (n >= 0 && m->size + (size_t) n + 1 <= sizeof(m->text))
                m->size += (size_t) n + 1;
}

static void add_uevent_file(Message *m, Tree *t, const char *path, bool kernel) {
        char text[4096], *save = NULL;

        if (tree_read(t, path, "uevent", text, sizeof(text)) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (string_starts(line, "DEVTYPE="))
                        copy_text(m->devtype, sizeof(m->devtype), line + strlen("DEVTYPE="));
                if (string_starts(line, "DEVNAME=") && !kernel)
                        message_add(m, "DEVNAME=/dev/%s", line + strlen("DEVNAME="));
                else
                        message_add(m, "%s", line);
        }
}

static void add_database(Message *m, Tree *t, const char *path) {
        char name[128], text[4096], *save = NULL;

        message_add(m, "USEC_INITIALIZED=1000000");
        if (kobject_udev_name(t, path, name, sizeof(name)) < 0 ||
            tree_read(t, "run/udev/data", name, text, sizeof(text)) < 0)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (string_starts(line, "E:"))
                        message_add(m, "%s", line + 2);
}

static void build(Uevents *u, Message *m, const char *action, const char *path, const char *extra,
                  bool kernel) {
        const char *devpath = path + strlen("sys");

        m->size = 0;
        m->devtype[0] = '\0';
        if (kobject_subsystem(u->tree, path, m->subsystem, sizeof(m->subsystem)) < 0)
                m->subsystem[0] = '\0';
        if (kernel)
                message_add(m, "%s@%s", action, devpath);
        message_add(m, "ACTION=%s", action);
        message_add(m, "DEVPATH=%s", devpath);
        message_add(m, "SUBSYSTEM=%s", m->subsystem);
        add_uevent_file(m, u->tree, path, kernel);
        if (extra)
                message_add(m, "%s", extra);
        if (kernel)
                return; /* the kernel adds SEQNUM itself */
        message_add(m, "SEQNUM=%llu", (unsigned long long) u->sequence);
        add_database(m, u->tree, path);
}

static void send_parts(Uevents *u, void *head, size_t head_size, Message *m, uint32_t groups) {
        struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = groups };
        struct iovec parts[] = { { head, head_size }, { m->text, m->size } };
        struct msghdr message = {
                .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts, .msg_iovlen = 2
        };

        /* ECONNREFUSED only says that nobody listens. */
        if (sendmsg(u->fd, &message, 0) < 0 && errno != ECONNREFUSED)
                complain("cannot send a uevent: %m");
}

void uevents_send(Uevents *u, const char *action, const char *path, const char *extra) {
        Message m;

        u->sequence++;
        if (u->lose > 0) {
                u->lose--;
                return;
        }
        u->sent++;
        if (u->formats & UEVENT_KERNEL) {
                struct nlmsghdr head = { .nlmsg_type = NLMSG_MIN_TYPE, .nlmsg_flags = NLM_F_REQUEST };

                build(u, &m, action, path, extra, true);
                head.nlmsg_len = (uint32_t) NLMSG_LENGTH(m.size);
                send_parts(u, &head, sizeof(head), &m, 0);
        }
        if (u->formats & UEVENT_UDEV) {
                UdevHeader head = {
                        .prefix = "libudev",
                        .magic = htonl(UDEV_MAGIC),
                        .header_size = sizeof(head),
                        .properties_offset = sizeof(head),
                };

                build(u, &m, action, path, extra, false);
                head.properties_length = (uint32_t) m.size;
                head.subsystem_hash = htonl(hash_string(m.subsystem));
                head.devtype_hash = m.devtype[0] ? htonl(hash_string(m.devtype)) : 0;
                send_parts(u, &head, sizeof(head), &m, GROUP_UDEV);
        }
}

void uevents_lose(Uevents *u, unsigned n) {
        u->lose = n;
}

uint64_t uevents_sent(const Uevents *u) {
        return u->sent;
}
