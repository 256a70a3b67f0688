/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A worker that an earlier run of the service left in the kernel with a device: it ends when the driver answers, and only then
 * the device can be given back. It is found by its lock (lib/protocol.h) and watched by a pidfd. One for an allocation at
 * most; owned by the allocation. */

#include "manager.h"

typedef struct Leftover Leftover;

/* Whether a worker still has one of the allocation's devices. Then it is waited for, and the allocation is given back after. */
bool leftover_watch(Manager *m, Allocation *a);
Leftover *leftover_free(Leftover *leftover);
