/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who uses devices, as the host shows it: processes that have their nodes open, and what the host's drivers made of them. A
 * worker looks, because it may have to wait; nobody else does. Few look at a time, whoever asks: the places for workers are
 * there for those who change something. */

#include "manager.h"

/* `children`: [{device (syspath), subsystem, name, node}…]; `holders`: [{pid, comm, unit, node, certain}…]; both NULL with a
 * `problem`: why it is not known. Not called before usage_ask() returns. */
typedef void (*UsageDone)(void *userdata, json_t *children, json_t *holders, const char *problem);

/* `nodes`, `below`: paths and syspaths, NULL-terminated, copied. Answers within USAGE_TIMEOUT_MSEC. */
int usage_ask(Manager *m, const char *const *nodes, const char *const *below, UsageDone done, void *userdata);
/* At the end of the service: whoever waits is told that it is not known. */
void usages_answer(Manager *m);
/* After the workers. */
void usages_free(Manager *m);

/* What has to be looked at for these devices: nodes that the modules hand out, VFIO groups, and the directories of the bundles
 * unless something works on them just now. Owned arrays, freed with strv_free(). */
int usage_of_device(Manager *m, Device *device, char ***nodes, char ***below);
