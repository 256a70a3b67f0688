/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net-read.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <stdio.h>

#include "netlink.h"

/* An interface with more of them is not better understood by a longer list. */
#define ADDRESSES_SHOWN 8u
#define ROUTES_SHOWN 4u

static bool take_address(const struct rtattr *attribute, int family, NetAddress *ret) {
        size_t size = family == AF_INET ? 4 : 16;

        if (!attribute || RTA_PAYLOAD(attribute) < size || (family != AF_INET && family != AF_INET6))
                return false;
        *ret = (NetAddress) { .family = family };
        memcpy(ret->bytes, RTA_DATA(attribute), size);
        return true;
}

static const char *address_text(const NetAddress *address, char buffer[static INET6_ADDRSTRLEN]) {
        return strempty(inet_ntop(address->family, address->bytes, buffer, INET6_ADDRSTRLEN));
}

/* ---- interfaces ---- */

/* Where the kinds of tunnel have the address of their other end. */
static const struct {
        const char *kind;
        unsigned remote, remote6;
} tunnels[] = {
        { "vxlan", IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6 },
        { "geneve", IFLA_GENEVE_REMOTE, IFLA_GENEVE_REMOTE6 },
        { "gre", IFLA_GRE_REMOTE, 0 },
        { "gretap", IFLA_GRE_REMOTE, 0 },
        { "erspan", IFLA_GRE_REMOTE, 0 },
        { "ip6gre", 0, IFLA_GRE_REMOTE },
        { "ip6gretap", 0, IFLA_GRE_REMOTE },
        { "ipip", IFLA_IPTUN_REMOTE, 0 },
        { "sit", IFLA_IPTUN_REMOTE, 0 },
        { "ip6tnl", 0, IFLA_IPTUN_REMOTE },
        { "vti", IFLA_VTI_REMOTE, 0 },
        { "vti6", 0, IFLA_VTI_REMOTE },
};

static int take_tunnel(NetView *view, const NetLink *link, const struct rtattr *data) {
        const struct rtattr *attributes[64];
        char text[NET_TEXT_MAX], buffer[INET6_ADDRSTRLEN];
        static const uint8_t none[16];
        NetAddress remote;

        netlink_nested(data, attributes, ELEMENTSOF(attributes) - 1);
        for (size_t i = 0; i < ELEMENTSOF(tunnels); i++) {
                if (!streq(tunnels[i].kind, link->kind))
                        continue;
                if ((tunnels[i].remote == 0 || !take_address(attributes[tunnels[i].remote], AF_INET, &remote)) &&
                    (tunnels[i].remote6 == 0 || !take_address(attributes[tunnels[i].remote6], AF_INET6, &remote)))
                        return 0;
                if (memcmp(remote.bytes, none, sizeof(none)) == 0)
                        return 0;
                (void) snprintf(text, sizeof(text), "%s (%s to %s)", link->name, link->kind,
                                address_text(&remote, buffer));
                return net_view_add_peer(view, &remote, text);
        }
        return 0;
}

static int take_link(void *userdata, const struct nlmsghdr *message) {
        const struct rtattr *attributes[IFLA_PARENT_DEV_BUS_NAME + 1], *info[IFLA_INFO_MAX + 1];
        const struct ifinfomsg *body = NLMSG_DATA(message);
        NetLink link = { .lower_namespace = -1 };
        NetView *view = userdata;
        uint32_t number;
        int r;

        if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
                return 0;
        netlink_attributes(message, sizeof(*body), attributes, ELEMENTSOF(attributes) - 1);
        link.index = (unsigned) body->ifi_index;
        link.flags = body->ifi_flags;
        netlink_text(attributes[IFLA_IFNAME], link.name, sizeof(link.name));
        if (netlink_u32(attributes[IFLA_MASTER], &number))
                link.master = number;
        if (netlink_u32(attributes[IFLA_LINK], &number) && number != link.index)
                link.lower = number;
        if (netlink_u32(attributes[IFLA_LINK_NETNSID], &number))
                link.lower_namespace = (int32_t) number;
        if (attributes[IFLA_ADDRESS] && RTA_PAYLOAD(attributes[IFLA_ADDRESS]) == sizeof(link.mac)) {
                memcpy(link.mac, RTA_DATA(attributes[IFLA_ADDRESS]), sizeof(link.mac));
                link.has_mac = true;
        }
        netlink_text(attributes[IFLA_PARENT_DEV_NAME], link.parent, sizeof(link.parent));
        netlink_text(attributes[IFLA_PARENT_DEV_BUS_NAME], link.bus, sizeof(link.bus));
        netlink_nested(attributes[IFLA_LINKINFO], info, IFLA_INFO_MAX);
        netlink_text(info[IFLA_INFO_KIND], link.kind, sizeof(link.kind));

        r = net_view_add_link(view, &link);
        if (r >= 0 && info[IFLA_INFO_DATA])
                r = take_tunnel(view, &link, info[IFLA_INFO_DATA]);
        return r;
}

/* ---- addresses ---- */

/* The lower half that a kernel or a daemon makes from the hardware address. */
static bool is_from_mac(const NetAddress *address, const NetLink *link) {
        const uint8_t *half = address->bytes + 8, *mac = link->mac;

        return link->has_mac && half[0] == (mac[0] ^ 2) && half[1] == mac[1] && half[2] == mac[2] && half[3] == 0xff &&
               half[4] == 0xfe && half[5] == mac[3] && half[6] == mac[4] && half[7] == mac[5];
}

/* Every interface that is up has a link-local address of its own making. One that somebody chose is short: fe80::1. Kernels
 * since 5.18 say of the others that they made them; NetworkManager sets its own, from the hardware address or from a hash. */
bool net_address_counts(const NetAddress *address, unsigned char scope, int proto, const NetLink *link) {
        static const uint8_t zeros[4];

        if (link->flags & IFF_LOOPBACK || scope == RT_SCOPE_HOST)
                return false;
        if (address->family != AF_INET6 || address->bytes[0] != 0xfe || (address->bytes[1] & 0xc0) != 0x80)
                return true;
        return proto != IFAPROT_KERNEL_LL && !is_from_mac(address, link) &&
               memcmp(address->bytes + 8, zeros, sizeof(zeros)) == 0;
}

static int take_ifaddr(void *userdata, const struct nlmsghdr *message) {
        const struct rtattr *attributes[IFA_PROTO + 1];
        const struct ifaddrmsg *body = NLMSG_DATA(message);
        char buffer[INET6_ADDRSTRLEN];
        NetView *view = userdata;
        const struct rtattr *proto;
        NetAddress address;
        NetLink *link;
        int r;

        if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
                return 0;
        netlink_attributes(message, sizeof(*body), attributes, ELEMENTSOF(attributes) - 1);
        link = net_view_link(view, body->ifa_index);
        /* IFA_ADDRESS is the other end of a point-to-point link. */
        if (!link || !take_address(attributes[attributes[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS], body->ifa_family, &address))
                return 0;
        r = net_view_add_local(view, link->index, &address);
        proto = attributes[IFA_PROTO];
        if (r < 0 || !net_address_counts(&address, body->ifa_scope,
                                         proto && RTA_PAYLOAD(proto) >= 1 ? *(const uint8_t *) RTA_DATA(proto) : -1, link))
                return r;
        if (link->n_addresses++ >= ADDRESSES_SHOWN)
                return 0;
        return net_view_add_use(view, link->index, "address", "%s/%u", address_text(&address, buffer),
                                (unsigned) body->ifa_prefixlen);
}

/* ---- routes ---- */

/* What the kernel adds by itself for an address or for an interface that is up is no use of its own. */
static bool route_counts(const struct rtmsg *body, uint32_t table, const NetAddress *destination) {
        if (body->rtm_type != RTN_UNICAST || body->rtm_protocol == RTPROT_KERNEL || body->rtm_flags & RTM_F_CLONED ||
            table == RT_TABLE_LOCAL)
                return false;
        return body->rtm_dst_len == 0 || destination->family != AF_INET6 || destination->bytes[0] < 0xfe;
}

static void route_text(const struct rtmsg *body, uint32_t table, const NetAddress *destination, const NetAddress *gateway,
                       char ret[static NET_TEXT_MAX]) {
        char to[INET6_ADDRSTRLEN], via[INET6_ADDRSTRLEN];
        int n;

        if (body->rtm_dst_len == 0)
                n = snprintf(ret, NET_TEXT_MAX, "default route");
        else
                n = snprintf(ret, NET_TEXT_MAX, "route to %s/%u", address_text(destination, to),
                             (unsigned) body->rtm_dst_len);
        if (gateway)
                n += snprintf(ret + n, NET_TEXT_MAX - (size_t) n, " via %s", address_text(gateway, via));
        if (table != RT_TABLE_MAIN)
                (void) snprintf(ret + n, NET_TEXT_MAX - (size_t) n, " in table %u", table);
}

static int add_route(NetView *view, unsigned index, const struct rtmsg *body, uint32_t table,
                     const NetAddress *destination, const NetAddress *gateway) {
        NetLink *link = net_view_link(view, index);
        char text[NET_TEXT_MAX];

        if (!link || link->flags & IFF_LOOPBACK)
                return 0;
        /* A default route is always shown, however many others came before it. */
        if (link->n_routes >= ROUTES_SHOWN && body->rtm_dst_len > 0)
                return 0;
        link->n_routes++;
        route_text(body, table, destination, gateway, text);
        return net_view_add_use(view, index, "route", "%s", text);
}

static int add_hops(NetView *view, const struct rtattr *hops, const struct rtmsg *body, uint32_t table,
                    const NetAddress *destination) {
        const struct rtnexthop *hop = RTA_DATA(hops);
        int left = (int) RTA_PAYLOAD(hops), r = 0;

        for (; r >= 0 && RTNH_OK(hop, left); left -= (int) RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
                r = add_route(view, (unsigned) hop->rtnh_ifindex, body, table, destination, NULL);
        return r;
}

static int take_route(void *userdata, const struct nlmsghdr *message) {
        const struct rtattr *attributes[RTA_MAX + 1];
        const struct rtmsg *body = NLMSG_DATA(message);
        NetAddress destination = {}, gateway = {};
        uint32_t table, index;
        bool has_gateway;

        if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
                return 0;
        netlink_attributes(message, sizeof(*body), attributes, RTA_MAX);
        if (!netlink_u32(attributes[RTA_TABLE], &table))
                table = body->rtm_table;
        destination.family = body->rtm_family;
        if (body->rtm_dst_len > 0 && !take_address(attributes[RTA_DST], body->rtm_family, &destination))
                return 0;
        if (!route_counts(body, table, &destination))
                return 0;
        has_gateway = take_address(attributes[RTA_GATEWAY], body->rtm_family, &gateway);
        if (attributes[RTA_MULTIPATH])
                return add_hops(userdata, attributes[RTA_MULTIPATH], body, table, &destination);
        if (!netlink_u32(attributes[RTA_OIF], &index)) {
                NetView *view = userdata;

                view->hidden_routes |= attributes[RTA_NH_ID] != NULL;
                return 0;
        }
        return add_route(userdata, index, body, table, &destination, has_gateway ? &gateway : NULL);
}

/* ---- all ---- */

/* Whether hardware, or something that stands on an interface of another namespace, is in it: a container mostly has only one
 * end of a veth pair, and there can be a thousand of them. */
static bool is_of_interest(const NetView *view) {
        for (size_t i = 0; i < view->n_links; i++)
                if (view->links[i].bus[0] != '\0' ||
                    (view->links[i].lower_namespace >= 0 && !streq(view->links[i].kind, "veth")))
                        return true;
        return false;
}

static int read_routes(NetView *view, unsigned char family) {
        struct rtmsg body = { .rtm_family = family };
        NetlinkRequest request;
        int r;

        netlink_request(&request, RTM_GETROUTE, 0, &body, sizeof(body));
        r = netlink_dump(view->fd, &request, take_route, view);
        /* A kernel without IPv6. */
        return r == -EOPNOTSUPP || r == -EAFNOSUPPORT ? 0 : r;
}

int net_read(NetView *view) {
        struct ifinfomsg links = { .ifi_family = AF_UNSPEC };
        struct ifaddrmsg addresses = { .ifa_family = AF_UNSPEC };
        uint32_t mask = RTEXT_FILTER_SKIP_STATS;
        NetlinkRequest request;
        int r;

        netlink_request(&request, RTM_GETLINK, 0, &links, sizeof(links));
        netlink_add(&request, IFLA_EXT_MASK, &mask, sizeof(mask));
        r = netlink_dump(view->fd, &request, take_link, view);
        if (r < 0 || (view->name && !is_of_interest(view)))
                return r;
        netlink_request(&request, RTM_GETADDR, 0, &addresses, sizeof(addresses));
        r = netlink_dump(view->fd, &request, take_ifaddr, view);
        if (r >= 0)
                r = read_routes(view, AF_INET);
        if (r >= 0)
                r = read_routes(view, AF_INET6);
        return r;
}
