/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An owned list of steps, its check against what the service will execute, and its JSON form (the store, the
 * worker's protocol and Plan answers use the same one). */

#include <jansson.h>
#include <passthroughd/plan.h>

#include "fault.h"
#include "limits.h"

typedef struct Plan {
        PtStep *steps; /* owned, strings too; room for n_steps rounded up to a power of two */
        size_t n_steps;
} Plan;

/* "write-attribute", "set-driver", "reset", "node-owner", "load-module", "wait", "custom" */
DECLARE_STRING_TABLE(step_kind, PtStepKind);
DECLARE_STRING_TABLE(verb, PtVerb); /* activate, deactivate, reset */

void plan_done(Plan *plan);
#define _cleanup_plan_ _cleanup_(plan_done)

/* Appends a deep copy. -E2BIG beyond STEPS_MAX, -EINVAL for a step that step_check() refuses. */
int plan_append(Plan *plan, const PtStep *step);
/* Kind known; members present that the kind needs; names without '/' (but "vfio/17" for nodes), "..",
 * control characters; sentence there; device an id. */
int step_check(const PtStep *step, Fault *fault);
uint32_t step_timeout_msec(const PtStep *step);

/* {"kind": "node-owner", "flags": ["idempotent"], "device": "pci-0000-3b-00-0", "name": "vfio/17",
 *  "sentence": "…", "timeout_ms": 500, "uid": 64055, "gid": 108, "mode": 384}
 * Members that are NULL, 0 or without flags are left out; unknown ones are refused. */
json_t *step_to_json(const PtStep *step);
int step_from_json(json_t *json, PtStep *ret, Fault *fault); /* ret is owned: step_done() */
void step_done(PtStep *step);
json_t *plan_to_json(const Plan *plan);
int plan_from_json(json_t *json, Plan *ret, Fault *fault);
