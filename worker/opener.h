/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Device nodes that programs have open, as evidence: graphics cards, RDMA, adapters. */

#include "evidence-internal.h"

typedef struct OpenerKind {
        const char *node;  /* what its path begins with: "/dev/dri/card"; digits follow */
        const char *place; /* where sysfs has it, %s for the name of the node: "/sys/class/drm/%s" */
        EvidenceVerdict verdict;
        const char *code;
} OpenerKind;

/* The chain names the program: "Xorg (process 4711)", "card0". What cannot be looked at is unresolved, of kind `suspect`. Fails
 * only for want of memory. */
int openers_judge(Evidence *evidence, const OpenerKind *kinds, size_t n_kinds, EvidenceKind suspect);
/* Calls `each` once for every node with the process that was seen first, and the node's directory in sysfs. */
int openers_find(Evidence *evidence, const OpenerKind *kinds, size_t n_kinds, EvidenceKind suspect,
                 int (*each)(void *userdata, const OpenerKind *kind, const char *name, const char *place,
                             const char *program),
                 void *userdata);
