/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A plan while it is made. Each verb fills in what it would choose and do (plan-verbs.c); what happens to the host by it, and
 * how long it takes, is added for all of them (plan-request.c). Nothing is changed: an activation is tried on a copy whose
 * keys are given up before anybody else runs. */

#include "explanation.h"
#include "plan-record.h"

typedef struct Planning {
        Manager *m;
        const struct PlanVerb *verb;
        json_t *requests;        /* activate; borrowed */
        const char *const *overrides;
        json_t *choices, *steps; /* of the answer */
        Explanation findings;
        PlanRecord *record;
        char type[TYPE_NAME_MAX + 1]; /* of the first device; "" for none */
        char **nodes, **below;   /* what the host has of the devices: asked for */
        bool takes;              /* the host's drivers lose the devices */
} Planning;

/* One object at a time: NULL for none. Fills the plan; a fault is an answer that no plan can be made of what was asked. */
typedef struct PlanVerb {
        const char *name;
        ObjectKind kind;    /* of the object that it is about */
        bool requests;      /* or requests instead of one */
        int (*make)(Planning *p, const char *object, Fault *fault);
} PlanVerb;

/* NULL and a fault with the valid ones. */
const PlanVerb *plan_verb_find(const char *name, Fault *fault);

/* Whether what the verb would do to the object now is what the token stands for: PlanChanged, and in which respect. */
int planning_check_token(Manager *m, const char *verb, const char *object, const char *token, Fault *fault);

/* For plan-verbs.c and for others that add verbs. */
void planning_add_step(Planning *p, const char *kind, const char *device, const char *text, bool optional, bool undoable,
                       unsigned timeout_msec);
/* The steps of a module's plan: shown and recorded. */
void planning_add_steps(Planning *p, const Plan *plan);
/* Something in the way: a finding that the token covers. */
void planning_block(Planning *p, const char *code, const char *about, const char *remedy, const char *format, ...)
        PRINTF_LIKE(5, 6);
