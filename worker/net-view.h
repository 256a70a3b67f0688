/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The network of one network namespace: its interfaces, what stands below each, and what each is used for by itself. Read from
 * rtnetlink, which can wait for the kernel's rtnl lock without a limit, and for the namespace of the host also from
 * /sys/class/net. What a use means for a device below is evidence-network.c's. */

#include <net/if.h>

#include "lib/sysfs.h"

#define NET_TEXT_MAX 160u

typedef struct NetAddress {
        int family; /* AF_INET, AF_INET6 */
        uint8_t bytes[16];
} NetAddress;

typedef struct NetLink {
        unsigned index;
        unsigned master, lower; /* indices; 0 for none. `lower`: what a VLAN, macvlan or tunnel stands on */
        int32_t lower_namespace; /* the namespace that `lower` is in, as this one numbers it; -1: this one */
        unsigned flags;          /* IFF_UP … */
        char name[IFNAMSIZ];
        char kind[24];           /* "bond", "bridge", "vlan" …; "" for hardware */
        char bus[16], parent[64]; /* "pci", "0000:01:00.0"; "" for virtual ones and kernels before 5.14 */
        uint8_t mac[6];
        bool has_mac;
        unsigned n_addresses, n_routes;
        /* Filled by net_view_lowers(). */
        size_t *lowers, n_lowers; /* positions in the view */
        bool lowers_known;
} NetLink;

/* A reason why the host needs an interface. */
typedef struct NetUse {
        unsigned index;
        const char *code; /* "address", "route", "tunnel" */
        char text[NET_TEXT_MAX];
} NetUse;

typedef struct NetView {
        char *name;   /* of the namespace; NULL: the host's own */
        int host_id;  /* how this namespace numbers the host's; -1: not at all */
        int fd;       /* rtnetlink in it */
        NetLink *links;
        size_t n_links; /* by index, rising */
        NetUse *uses;
        size_t n_uses;
        struct NetLocal {
                unsigned index;
                NetAddress address;
        } *locals; /* every address of an interface, for net_view_local() */
        size_t n_locals;
        struct NetPeer {
                NetAddress address;
                char text[NET_TEXT_MAX];
        } *peers; /* other ends of tunnels */
        size_t n_peers;
        bool hidden_routes; /* there are some that do not say which interface they go by */
} NetView;

/* Takes `fd`. `name` NULL: the host's namespace; of another one only the interfaces are read unless hardware is in it. -EINTR
 * when the tables changed all the time. */
int net_view_read(int fd, const char *name, NetView *ret);
void net_view_done(NetView *view);
#define _cleanup_net_view_ _cleanup_(net_view_done)

/* Adds the interfaces that only /sys/class/net knows. */
int net_view_add_sysfs(NetView *view, const Sysfs *sysfs);
NetLink *net_view_link(const NetView *view, unsigned index);
NetLink *net_view_link_by_name(const NetView *view, const char *name);
/* Fills `lowers`. `sysfs` NULL: only from what rtnetlink said. */
int net_view_lowers(NetView *view, NetLink *link, const Sysfs *sysfs);
/* The interface that has this address; 0 for none. */
unsigned net_view_local(const NetView *view, const NetAddress *address);

/* What the readers and tests fill a view with. */
int net_view_add_link(NetView *view, const NetLink *link);
int net_view_add_use(NetView *view, unsigned index, const char *code, const char *format, ...) PRINTF_LIKE(4, 5);
int net_view_add_local(NetView *view, unsigned index, const NetAddress *address);
int net_view_add_peer(NetView *view, const NetAddress *address, const char *text);

/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0" (the zone is left out); -EINVAL. */
int net_address_parse(const char *text, NetAddress *ret);
/* The interface by which the kernel would send to the address: its index, or a negative errno. */
int net_route_to(int fd, const NetAddress *address);
