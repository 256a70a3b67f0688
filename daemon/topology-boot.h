/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The host's topology as it is written down once for each boot, in state.db.
 *
 * It is taken when the service is ready for the first time on a boot, and is the boot's from then on: a restart of the service,
 * and what is plugged and pulled later, do not change it. Only what the firmware or a driver brings late is added, for
 * TOPOLOGY_SETTLE_SEC; nobody can tell that from a hotplug in the same time. BOOTS_MAX boots are kept. */

#include "manager.h"

int topology_load(Manager *m, Fault *fault); /* which boots there are */
void topology_take(Manager *m);              /* the service is ready; only the first call on a boot does something */
json_t *topology_now(Manager *m);            /* new reference; NULL for want of memory */
/* topology-use.c: adds to each row the rules and allocations that it concerns, and to its groups those of the rules. */
void topology_add_use(Manager *m, json_t *rows);
void topology_answer(Manager *m);
void topology_free(Manager *m);
