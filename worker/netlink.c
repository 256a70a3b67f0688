/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netlink.h"

#include <sys/socket.h>

/* The kernel fills what it is given room for, up to 32 KiB. */
#define DUMP_BYTES ((size_t) 32 * 1024)

void netlink_request(NetlinkRequest *ret, uint16_t type, uint16_t flags, const void *body, size_t size) {
        *ret = (NetlinkRequest) {
                .header = {
                        .nlmsg_len = (uint32_t) NLMSG_LENGTH(size),
                        .nlmsg_type = type,
                        .nlmsg_flags = (uint16_t) (NLM_F_REQUEST | flags),
                        .nlmsg_seq = 1,
                },
        };
        memcpy(ret->body, body, size);
}

void netlink_add(NetlinkRequest *request, uint16_t type, const void *data, size_t size) {
        struct rtattr *attribute = (struct rtattr *) (void *) ((char *) request + NLMSG_ALIGN(request->header.nlmsg_len));

        if (NLMSG_ALIGN(request->header.nlmsg_len) + RTA_SPACE(size) > sizeof(*request))
                return;
        attribute->rta_type = type;
        attribute->rta_len = (uint16_t) RTA_LENGTH(size);
        memcpy(RTA_DATA(attribute), data, size);
        request->header.nlmsg_len = (uint32_t) (NLMSG_ALIGN(request->header.nlmsg_len) + RTA_SPACE(size));
}

int netlink_open(void) {
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        return fd < 0 ? -errno : fd;
}

static int netlink_send(int fd, NetlinkRequest *request) {
        static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

        request->header.nlmsg_seq++;
        return sendto(fd, request, request->header.nlmsg_len, 0, (const struct sockaddr *) &kernel, sizeof(kernel)) < 0
                       ? -errno
                       : 0;
}

static ssize_t netlink_receive(int fd, void *buffer, size_t size) {
        struct sockaddr_nl from = {};
        socklen_t length = sizeof(from);
        ssize_t n;

        do {
                n = recvfrom(fd, buffer, size, 0, (struct sockaddr *) &from, &length);
        } while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0)); /* only the kernel is asked */

        return n < 0 ? -errno : n;
}

/* A dump that ends early says why with its last message. */
static int end_of(const struct nlmsghdr *message) {
        int error = 0;

        if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
                memcpy(&error, NLMSG_DATA(message), sizeof(error));
        return error < 0 ? error : 0;
}

static int error_of(const struct nlmsghdr *message) {
        const struct nlmsgerr *error = NLMSG_DATA(message);

        return message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? -EBADMSG : error->error;
}

int netlink_dump(int fd, NetlinkRequest *request, int (*each)(void *userdata, const struct nlmsghdr *message),
                 void *userdata) {
        _cleanup_free_ char *buffer = malloc(DUMP_BYTES);
        bool interrupted = false;
        int result = 0, r;

        if (!buffer)
                return -ENOMEM;
        request->header.nlmsg_flags |= NLM_F_DUMP;
        r = netlink_send(fd, request);
        if (r < 0)
                return r;

        for (;;) {
                const struct nlmsghdr *message = (const struct nlmsghdr *) (void *) buffer;
                ssize_t received = netlink_receive(fd, buffer, DUMP_BYTES);
                unsigned left = (unsigned) received;

                if (received < 0)
                        return (int) received;
                for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
                        if (message->nlmsg_seq != request->header.nlmsg_seq)
                                continue;
                        interrupted = interrupted || message->nlmsg_flags & NLM_F_DUMP_INTR;
                        if (message->nlmsg_type == NLMSG_ERROR)
                                return error_of(message);
                        if (message->nlmsg_type == NLMSG_DONE) {
                                if (result >= 0)
                                        result = end_of(message);
                                return result < 0 ? result : interrupted ? -EINTR : 0;
                        }
                        /* What is left is read all the same: the socket serves for more than one question. */
                        if (result >= 0)
                                result = each(userdata, message);
                }
        }
}

int netlink_ask(int fd, NetlinkRequest *request, void *answer, size_t size) {
        const struct nlmsghdr *message = answer;
        ssize_t n;
        int r;

        r = netlink_send(fd, request);
        if (r < 0)
                return r;
        do {
                n = netlink_receive(fd, answer, size);
                if (n < 0)
                        return (int) n;
                if (!NLMSG_OK(message, (unsigned) n))
                        return -EBADMSG;
        } while (message->nlmsg_seq != request->header.nlmsg_seq);
        if (message->nlmsg_type == NLMSG_ERROR) {
                r = error_of(message);
                return r == 0 ? -ENODATA : r;
        }

        return 0;
}

static void sort_attributes(const struct rtattr *attribute, unsigned left, const struct rtattr **ret, unsigned max) {
        memset(ret, 0, (max + 1) * sizeof(*ret));
        for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
                unsigned type = attribute->rta_type & NLA_TYPE_MASK;

                if (type <= max)
                        ret[type] = attribute;
        }
}

void netlink_attributes(const struct nlmsghdr *message, size_t header_size, const struct rtattr **ret, unsigned max) {
        size_t fixed = NLMSG_SPACE(header_size);

        sort_attributes((const struct rtattr *) (const void *) ((const char *) message + fixed),
                        message->nlmsg_len > fixed ? (unsigned) (message->nlmsg_len - fixed) : 0, ret, max);
}

void netlink_nested(const struct rtattr *parent, const struct rtattr **ret, unsigned max) {
        sort_attributes(parent ? RTA_DATA(parent) : NULL, parent ? (unsigned) RTA_PAYLOAD(parent) : 0, ret, max);
}

bool netlink_u32(const struct rtattr *attribute, uint32_t *ret) {
        if (!attribute || RTA_PAYLOAD(attribute) < sizeof(*ret))
                return false;
        memcpy(ret, RTA_DATA(attribute), sizeof(*ret));
        return true;
}

void netlink_text(const struct rtattr *attribute, char *buffer, size_t size) {
        size_t n = attribute ? strnlen(RTA_DATA(attribute), RTA_PAYLOAD(attribute)) : 0;

        n = MIN_OF(n, size - 1);
        if (n > 0)
                memcpy(buffer, RTA_DATA(attribute), n);
        buffer[n] = '\0';
}
