/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* As much of netlink as it takes to ask the kernel something: a dump that is handed on message by message, and a question with
 * one answer. Nothing is kept, so that a routing table of a million entries costs time but no memory. */

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "lib/macro.h"

typedef struct NetlinkRequest {
        struct nlmsghdr header;
        char body[256];
} NetlinkRequest;

/* `body` is the fixed header of the family (struct ifinfomsg …). */
void netlink_request(NetlinkRequest *ret, uint16_t type, uint16_t flags, const void *body, size_t size);
void netlink_add(NetlinkRequest *request, uint16_t type, const void *data, size_t size);

/* A NETLINK_ROUTE socket of the network namespace that the thread is in; negative errno. */
int netlink_open(void);
/* -EINTR: the table was changed while it was read, and what was handed on may have gaps. A negative result of `each` ends it. */
int netlink_dump(int fd, NetlinkRequest *request, int (*each)(void *userdata, const struct nlmsghdr *message),
                 void *userdata);
/* The one answer, at most `size` bytes; the kernel's errno where it refuses. */
int netlink_ask(int fd, NetlinkRequest *request, void *answer, size_t size);

/* Attributes behind a fixed header of `header_size` bytes, by type up to `max`; NULL where absent. */
void netlink_attributes(const struct nlmsghdr *message, size_t header_size, const struct rtattr **ret, unsigned max);
void netlink_nested(const struct rtattr *parent, const struct rtattr **ret, unsigned max);
bool netlink_u32(const struct rtattr *attribute, uint32_t *ret);
/* Copies text with its end cut off where it does not fit; "" for NULL. */
void netlink_text(const struct rtattr *attribute, char *buffer, size_t size);
