/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a plan's token stands for: the choices, the steps and the blockers, and nothing else of the host, so that what does not
 * concern the plan does not void it. The last plans are kept in memory, for one reason: to say what changed. A token grants
 * nothing and needs no secrecy: whoever activates is asked for the same rights with it or without. */

#include "operation.h"

typedef struct PlanRecord PlanRecord;

int plan_record_new(PlanRecord **ret);
PlanRecord *plan_record_free(PlanRecord *record);
DEFINE_CLEANUP(PlanRecord *, plan_record_free)

void plan_record_choices(PlanRecord *record, const Allocation *a, const AssignmentList *list);
void plan_record_steps(PlanRecord *record, const Plan *plan);
/* `about`: what stands in the way; both are compared, `text` is what a person is told. */
void plan_record_blocker(PlanRecord *record, const char *code, const char *about, const char *text);
bool plan_record_has_blockers(const PlanRecord *record);
int plan_record_token(const PlanRecord *record, char ret[static 33]);

/* Takes the record over. */
void plans_keep(Manager *m, const char *token, PlanRecord *record);
PlanRecord *plans_find(Manager *m, const char *token);
void plans_free(Manager *m);

/* PlanChanged, and in which respect. `now` is what would be done now, or NULL when that is not possible: then for `why`, and for
 * what stands against the devices that were chosen. */
int plan_changed(Manager *m, const char *token, const PlanRecord *now, const char *holder, const Fault *why, Fault *fault);
