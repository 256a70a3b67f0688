/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netdev.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

/* Any of these has addresses and needs no hardware; not every kernel has all of them. */
static const char *const kinds[] = { "dummy", "ifb", "bridge" };

typedef struct Request {
        struct nlmsghdr header;
        union {
                struct ifinfomsg link;
                struct ifaddrmsg address;
                struct rtmsg route;
                char space[512];
        };
} Request;

static void request_begin(Request *q, uint16_t type, uint16_t flags, size_t body) {
        memset(q, 0, sizeof(*q));
        q->header.nlmsg_type = type;
        q->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        q->header.nlmsg_len = (uint32_t) NLMSG_LENGTH(body);
}

static struct rtattr *request_add(Request *q, uint16_t type, const void *data, size_t size) {
        struct rtattr *a = (void *) ((char *) q + NLMSG_ALIGN(q->header.nlmsg_len));

        a->rta_type = type;
        a->rta_len = (uint16_t) RTA_LENGTH(size);
        if (size > 0)
                memcpy(RTA_DATA(a), data, size);
        q->header.nlmsg_len = (uint32_t) (NLMSG_ALIGN(q->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
        return a;
}

static int request_send(const Request *q) {
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
                char rest[1024];
        } answer;

        if (fd < 0 || send(fd, q, q->header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
                return -errno;
        return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
}

static int add_link(const char *name, int index, const char *kind) {
        struct rtattr *info;
        Request q;

        request_begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.link));
        q.link.ifi_index = index;
        q.link.ifi_flags = q.link.ifi_change = IFF_UP;
        request_add(&q, IFLA_IFNAME, name, strlen(name) + 1);
        info = request_add(&q, IFLA_LINKINFO, NULL, 0);
        request_add(&q, IFLA_INFO_KIND, kind, strlen(kind) + 1);
        info->rta_len = (uint16_t) ((char *) &q + q.header.nlmsg_len - (char *) info);
        return request_send(&q);
}

/* 192.0.2.10/24 or an IPv6 address; returns its family, or a negative errno. */
static int parse_address(const char *text, uint8_t ret[static 16], size_t *ret_size, uint8_t *ret_prefix) {
        int family = strchr(text, ':') ? AF_INET6 : AF_INET;
        char address[64];
        const char *slash = strchr(text, '/');
        uint64_t prefix = family == AF_INET6 ? 128 : 32;

        copy_text(address, sizeof(address), text);
        if (slash && (size_t) (slash - text) < sizeof(address))
                address[slash - text] = '\0';
        if ((slash && (string_to_u64(slash + 1, 10, &prefix) < 0 || prefix > 128)) ||
            inet_pton(family, address, ret) != 1)
                return -EINVAL;
        *ret_size = family == AF_INET6 ? 16 : 4;
        *ret_prefix = (uint8_t) prefix;
        return family;
}

static int add_address(const char *text, int index) {
        uint8_t address[16], prefix;
        int family;
        size_t size;
        Request q;

        family = parse_address(text, address, &size, &prefix);
        if (family < 0)
                return family;
        request_begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.address));
        q.address.ifa_family = (uint8_t) family;
        q.address.ifa_prefixlen = prefix;
        q.address.ifa_flags = IFA_F_PERMANENT;
        q.address.ifa_index = (uint32_t) index;
        request_add(&q, IFA_LOCAL, address, size);
        request_add(&q, IFA_ADDRESS, address, size);
        return request_send(&q);
}

static int add_default_route(const char *gateway, int index) {
        uint8_t address[16], prefix;
        int family;
        size_t size;
        Request q;

        family = parse_address(gateway, address, &size, &prefix);
        if (family < 0)
                return family;
        request_begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.route));
        q.route.rtm_family = (uint8_t) family;
        q.route.rtm_table = RT_TABLE_MAIN;
        q.route.rtm_protocol = RTPROT_BOOT;
        q.route.rtm_scope = RT_SCOPE_UNIVERSE;
        q.route.rtm_type = RTN_UNICAST;
        request_add(&q, RTA_GATEWAY, address, size);
        request_add(&q, RTA_OIF, &index, sizeof(index));
        return request_send(&q);
}

int netdev_add(json_t *net, int index) {
        const char *name = json_string_value(json_object_get(net, "name"));
        const char *gateway = json_string_value(json_object_get(net, "gateway"));
        json_t *addresses = json_object_get(net, "addresses"), *address;
        int r = -EOPNOTSUPP;
        size_t i;

        if (!name || json_array_size(addresses) == 0)
                return 0;
        for (i = 0; i < ELEMENTS(kinds) && r < 0; i++)
                r = add_link(name, index, kinds[i]);
        json_array_foreach(addresses, i, address) {
                if (r >= 0)
                        r = json_is_string(address) ? add_address(json_string_value(address), index)
                                                    : -EINVAL;
        }
        if (r >= 0 && gateway)
                r = add_default_route(gateway, index);
        if (r < 0)
                complain("cannot give %s its addresses: %s", name, strerror(-r));
        return r;
}

int netdev_remove(int index) {
        Request q;

        request_begin(&q, RTM_DELLINK, 0, sizeof(q.link));
        q.link.ifi_index = index;
        return request_send(&q);
}
