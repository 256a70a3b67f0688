/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the explain-*.c files share. Each part of the answer has a topic:
 *   availability  why it can or cannot be had          use         who has it, and what the host made of it
 *   companions    what moves with it                   membership  which rules bring it into which groups, or fail why
 *   state         what is the matter with the object   members     of a group: those that cannot be had
 *   near          of a group: what just misses it      request     of an allocation: what each request waits for
 *   layout        of a provider: what was made of it */

#include "explanation.h"
#include "operation.h"
#include "provision.h"

/* What the worker saw of who uses the devices. */
typedef struct Seen {
        json_t *children, *holders; /* borrowed; NULL: not known */
        const char *problem;        /* then: why; NULL: nobody asked */
} Seen;

/* What is no longer so of what was made of the provider. */
void explain_drift(Manager *m, const Provision *p, const Device *provider, Explanation *e);

void explain_device(Manager *m, Device *device, const Seen *seen, Explanation *e);
void explain_group(Manager *m, Group *group, Explanation *e);
void explain_allocation(Manager *m, Allocation *a, const Seen *seen, Explanation *e);

/* explain-member.c */
void explain_membership(Manager *m, Device *device, Explanation *e);
void explain_near(Manager *m, Group *group, Explanation *e);

/* explain-use.c */
/* Processes, children and other users; `device` NULL: of the devices of an allocation. */
void explain_use(Manager *m, const Device *device, const Allocation *holder, const Seen *seen, Explanation *e);
/* Everybody who has a resource key of the device in the way. */
void explain_claims(Manager *m, Device *device, const char *holder, Explanation *e);
