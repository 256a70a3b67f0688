/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the host needs its network for, as far as it is named by an address and not by an interface: file systems and disks of
 * other machines, sessions in which somebody manages this one, the card that it was started from. */

#include "evidence.h"
#include "net-view.h"

typedef struct NetNeed {
        const char *code;        /* "network-storage", "session", "network-boot" */
        char text[NET_TEXT_MAX]; /* what needs it */
        /* One of these says where: */
        NetAddress remote;       /* reached by the interface of the route to it */
        NetAddress local;        /* which an interface has */
        uint8_t mac[6];          /* of the interface itself */
        char interface[IFNAMSIZ];
        unsigned index;          /* the zone of a link-local address */
        bool has_mac;
} NetNeed;

typedef struct NetNeeds {
        NetNeed *items;
        size_t n_items;
        char *unresolved; /* what could not be found out; NULL for nothing */
} NetNeeds;

/* Fails only for want of memory. */
int net_needs_read(Evidence *evidence, NetNeeds *ret);
void net_needs_done(NetNeeds *needs);
#define _cleanup_net_needs_ _cleanup_(net_needs_done)
