/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mode of a card's embedded switch, which only the generic netlink family "devlink" tells (Linux 4.8). Cards without such a
 * switch, and kernels without the family, answer with an error: there is no mode then. */

#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sriov.h"

#define ANSWER_TIMEOUT_SEC 2

typedef struct Request {
        struct nlmsghdr header;
        struct genlmsghdr generic;
        char attributes[256];
} Request;

static void begin(Request *request, uint16_t family, uint8_t command) {
        *request = (Request){
                .header = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST },
                .generic = { .cmd = command, .version = 1 },
        };
}

static int add_text(Request *request, uint16_t type, const char *text) {
        size_t length = strlen(text) + 1, at = NLMSG_ALIGN(request->header.nlmsg_len);
        struct nlattr attribute = { .nla_len = (uint16_t) (NLA_HDRLEN + length), .nla_type = type };

        if (at + NLA_ALIGN(attribute.nla_len) > sizeof(*request))
                return -E2BIG;
        memcpy((char *) request + at, &attribute, sizeof(attribute));
        memcpy((char *) request + at + NLA_HDRLEN, text, length);
        request->header.nlmsg_len = (uint32_t) (at + NLA_ALIGN(attribute.nla_len));
        return 0;
}

/* The 16 bits of the attribute in the one message that answers. */
static int ask(int fd, const Request *request, uint16_t type, uint16_t *ret) {
        char buffer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
        const struct nlmsghdr *header = (const struct nlmsghdr *) buffer;
        ssize_t n;

        if (send(fd, request, request->header.nlmsg_len, 0) < 0)
                return -errno;
        n = recv(fd, buffer, sizeof(buffer), 0);
        if (n < 0)
                return -errno;
        if (!NLMSG_OK(header, (size_t) n))
                return -EBADMSG;
        if (header->nlmsg_type == NLMSG_ERROR) {
                struct nlmsgerr error;

                if (header->nlmsg_len < NLMSG_LENGTH(sizeof(error)))
                        return -EBADMSG;
                memcpy(&error, NLMSG_DATA(header), sizeof(error));
                return error.error < 0 ? error.error : -EBADMSG;
        }
        for (size_t at = NLMSG_LENGTH(GENL_HDRLEN); at + NLA_HDRLEN <= header->nlmsg_len;) {
                struct nlattr attribute;

                memcpy(&attribute, buffer + at, sizeof(attribute));
                if (attribute.nla_len < NLA_HDRLEN || at + attribute.nla_len > header->nlmsg_len)
                        return -EBADMSG;
                if ((attribute.nla_type & NLA_TYPE_MASK) == type && attribute.nla_len >= NLA_HDRLEN + sizeof(*ret)) {
                        memcpy(ret, buffer + at + NLA_HDRLEN, sizeof(*ret));
                        return 0;
                }
                at += NLA_ALIGN(attribute.nla_len);
        }
        return -ENODATA;
}

/* A simulated host has no devlink of its own: see sriov-netlink-simulated.c. */
static const char *simulated_mode(const char *folder, const char *address) {
        _cleanup_close_ int fd = -EBADF;
        char name[512], text[32] = "";

        (void) snprintf(name, sizeof(name), "%s/%s/eswitch-mode", folder, address);
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
                return "";
        text[strcspn(text, "\n")] = '\0';
        return streq(text, SRIOV_SWITCHDEV) ? SRIOV_SWITCHDEV : streq(text, "legacy") ? "legacy" : "";
}

const char *sriov_eswitch_mode(const char *address) {
        const struct timeval patience = { .tv_sec = ANSWER_TIMEOUT_SEC };
        _cleanup_close_ int fd = -EBADF;
        uint16_t family, mode;
        const char *folder = secure_getenv("PASSTHROUGHD_SIMULATED_RTNETLINK");
        Request request;

        if (folder)
                return simulated_mode(folder, address);
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
                return "";
        begin(&request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
        if (add_text(&request, CTRL_ATTR_FAMILY_NAME, DEVLINK_GENL_NAME) < 0 ||
            ask(fd, &request, CTRL_ATTR_FAMILY_ID, &family) < 0)
                return "";
        begin(&request, family, DEVLINK_CMD_ESWITCH_GET);
        if (add_text(&request, DEVLINK_ATTR_BUS_NAME, "pci") < 0 ||
            add_text(&request, DEVLINK_ATTR_DEV_NAME, address) < 0 ||
            ask(fd, &request, DEVLINK_ATTR_ESWITCH_MODE, &mode) < 0)
                return "";
        return mode == DEVLINK_ESWITCH_MODE_LEGACY      ? "legacy"
               : mode == DEVLINK_ESWITCH_MODE_SWITCHDEV ? SRIOV_SWITCHDEV
                                                        : "";
}
