/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From what the network is used for to the devices that carry it. evidence_network() reads all of it and calls this; a test
 * gives it networks that the machine has not got. */

#include "evidence.h"
#include "net-namespace.h"
#include "net-need.h"

typedef struct NetFacts {
        NetView host;
        NetNamespaces others;
        NetNeeds needs;
        /* The interface by which the host reaches an address: its index, or a negative errno. */
        int (*route)(void *userdata, const NetAddress *address);
        void *userdata;
} NetFacts;

int evidence_network_judge(Evidence *evidence, NetFacts *facts);
