/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two halves of a change of layouts share: op-provision-begin.c finds out what is to change and whether it may,
 * op-provision.c does it. Owned by the operation. */

#include "provision.h"

typedef struct Target {
        Provision *p;
        json_t *layout; /* NULL: none any more */
        char **groups;
        size_t first;   /* of the undo run: the first step that is undone */
        Transition transition;
} Target;

typedef struct Provisioning {
        Target *targets;
        size_t n_targets;
        char remove_group[ID_SIZE]; /* "" for none: removed at the end */
        bool recovering;            /* of what an earlier run left: nothing is planned */
        bool scanning;
        size_t begun; /* steps of the worker's run: those of all targets, in order */
} Provisioning;

/* op-provision.c: targets are locked and nobody has a device open. */
void provisioning_run(Operation *op);
/* Undoes the steps of all targets from their first one on; the job ends with that. */
void provisioning_undo(Operation *op);
/* op-provision-begin.c: whether the layout could change now, as far as that is known without asking who has a device open. */
int provisioning_check_use(Manager *m, Device *provider, Fault *fault);
/* Lets go of everything and ends the job, with op->fault. */
void provisioning_finish(Operation *op);
