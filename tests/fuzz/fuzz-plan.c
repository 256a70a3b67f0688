/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>

#include "fuzz.h"
#include "lib/plan.h"
#include "lib/protocol.h" /* _cleanup_json_ */

/* A plan from JSON: refused with a reason, or a plan that passes every check and survives the way there and
 * back. */

static void check_plan(const Plan *plan) {
        _cleanup_json_ json_t *json = plan_to_json(plan), *again = NULL;
        _cleanup_plan_ Plan copy = { 0 }, appended = { 0 };

        assert(json);
        assert(plan_from_json(json, &copy, NULL) == 0);
        again = plan_to_json(&copy);
        assert(json_equal(json, again));

        for (size_t i = 0; i < plan->n_steps; i++) {
                assert(step_check(&plan->steps[i], NULL) == 0);
                assert(step_timeout_msec(&plan->steps[i]) > 0);
                assert(plan_append(&appended, &plan->steps[i]) == 0);
                if (copy.n_steps < STEPS_MAX)
                        assert(plan_append(&copy, &plan->steps[i]) == 0);
        }
        assert(appended.n_steps == plan->n_steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_json_ json_t *json =
                json_loadb((const char *) data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        int r;

        if (!json)
                return 0;

        r = plan_from_json(json, &plan, &fault);
        assert((r < 0) == (fault.code != FAULT_NONE));
        if (r < 0)
                assert(fault.message && plan.n_steps == 0);
        else
                check_plan(&plan);
        return 0;
}
