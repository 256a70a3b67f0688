/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fills a view from rtnetlink: interfaces, addresses that mean something, routes of all tables, the other ends of tunnels. */

#include "net-view.h"

/* -EINTR: something changed meanwhile, and there may be gaps. */
int net_read(NetView *view);

/* Whether an address says that the interface is used. `proto`: who set it (IFA_PROTO), -1 where the kernel does not say. */
bool net_address_counts(const NetAddress *address, unsigned char scope, int proto, const NetLink *link);
