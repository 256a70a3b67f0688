/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether devices in use are still there. The kernel sends no event about a device that VFIO holds, however it goes, until
 * its user closes it. Two signs come earlier: its driver link is gone as soon as the kernel begins to remove it, and the
 * port above it sees the link go down or the slot empty. Both are looked at now and then, only while some allocation is
 * active: nothing wakes the service otherwise. A sign counts when it is seen twice in a row: a reset takes a link down for a
 * moment, and somebody who binds another driver leaves the device without one for another. */

#include "manager.h"

/* The states of allocations have changed: begins or ends the looking. */
void presence_update(Manager *m);
void presence_free(Manager *m);
