/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "host-tree.h"
#include "uevent-sender.h"

#define GROUP_UDEV 2
#define UDEV_MAGIC 0xfeedcafeu

/* What udev puts before the properties; monitors filter by the hashes. */
typedef struct UdevHeader {
        char prefix[8];
        uint32_t magic, header_size, properties_offset, properties_length;
        uint32_t subsystem_hash, devtype_hash, tag_bloom_high, tag_bloom_low;
} UdevHeader;

static void write_line(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void uevent_enter_namespace(void) {
        char map[64];
        uid_t uid = getuid();

        if (unshare(CLONE_NEWNET) == 0)
                return;
        /* An ordinary user becomes root of a user namespace: monitors take events from root only. */
        assert_int_equal(unshare(CLONE_NEWUSER | CLONE_NEWNET), 0);
        (void) snprintf(map, sizeof(map), "0 %u 1", (unsigned) uid);
        write_line("/proc/self/uid_map", map);
}

int uevent_socket(void) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

void uevent_shrink_buffers(int size) {
        unsigned shrunk = 0;

        for (int fd = 3; fd < 1024; fd++) {
                struct sockaddr_nl address;
                socklen_t length = sizeof(address);

                if (getsockname(fd, (struct sockaddr *) &address, &length) < 0 ||
                    length != sizeof(address) || address.nl_family != AF_NETLINK ||
                    address.nl_groups != GROUP_UDEV)
                        continue;
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
                shrunk++;
        }
        assert_true(shrunk > 0);
}

/* MurmurHash2, in the public domain. */
static uint32_t murmur(const char *text) {
        const uint32_t m = 0x5bd1e995;
        size_t length = strlen(text), i = 0;
        uint32_t h = (uint32_t) length, k;

        for (; i + 4 <= length; i += 4) {
                memcpy(&k, text + i, 4);
                k *= m;
                k = (k ^ k >> 24) * m;
                h = h * m ^ k;
        }
        if (i < length) {
                for (size_t j = length; j-- > i;)
                        h ^= (uint32_t) (unsigned char) text[j] << 8 * (j - i);
                h *= m;
        }
        h = (h ^ h >> 13) * m;
        return h ^ h >> 15;
}

int uevent_send(int fd, const char *action, const char *subsystem, const char *devtype, const char *devpath,
                const char *extra) {
        struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = GROUP_UDEV };
        static unsigned sequence = 1000000;
        char text[2048];
        size_t n;

        n = (size_t) snprintf(text, sizeof(text),
                              "ACTION=%s%cDEVPATH=%s%cSUBSYSTEM=%s%cSEQNUM=%u%cUSEC_INITIALIZED=1%c", action,
                              0, devpath, 0, subsystem, 0, ++sequence, 0, 0);
        if (devtype)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "DEVTYPE=%s%c", devtype, 0);
        if (extra)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%c", extra, 0);

        UdevHeader header = {
                .prefix = "libudev",
                .magic = htonl(UDEV_MAGIC),
                .header_size = sizeof(header),
                .properties_offset = sizeof(header),
                .properties_length = (uint32_t) n,
                .subsystem_hash = htonl(murmur(subsystem)),
                .devtype_hash = devtype ? htonl(murmur(devtype)) : 0,
        };
        struct iovec parts[] = { { &header, sizeof(header) }, { text, n } };
        struct msghdr message = {
                .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts, .msg_iovlen = 2
        };

        /* ECONNREFUSED: nobody listens. */
        if (sendmsg(fd, &message, 0) < 0 && errno != ECONNREFUSED)
                return -errno;
        return 0;
}
