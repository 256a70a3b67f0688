/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Plan: what an activation would choose and do. A scratch allocation takes the keys for the length of this call only, so
 * that the requests exclude each other as they would; nothing else is touched. */

#include "json-util.h"
#include "operation.h"

#define SCRATCH_ID "00000000-0000-0000-0000-000000000000"

static json_t *steps_to_json(const Plan *plan) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < plan->n_steps; i++) {
                const PtStep *step = &plan->steps[i];
                json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:b, s:b, s:i}", "kind",
                                                       step_kind_to_string(step->kind), "device", strempty(step->device),
                                                       "text", step->sentence, "optional",
                                                       (step->flags & PT_STEP_OPTIONAL) != 0, "undoable",
                                                       (step->flags & PT_STEP_NO_RETURN) == 0, "timeout-msec",
                                                       (int) step_timeout_msec(step)));
        }
        return array;
}

static void add_findings(Manager *m, Allocation *a, const AssignmentList *list, json_t *findings) {
        for (size_t i = 0; i < list->n_items; i++) {
                const Assignment *item = &list->items[i];
                _cleanup_settings_ SettingValues settings = { 0 };
                _cleanup_findings_ FindingList own = { 0 };
                _cleanup_(json_decrefp) json_t *array = NULL;
                PlanRequest request;
                size_t index;
                json_t *finding;

                if (plan_request_for(m, a, &a->requests[item->request], PT_VERB_ACTIVATE, &settings, &request, NULL) < 0)
                        continue;
                (void) device_eligible(m, item->device, a->id, &request, &own);
                array = finding_list_to_json(&own);
                json_array_foreach(array, index, finding) {
                        json_object_set_new(finding, "device", json_string(item->device->id));
                        json_array_append(findings, finding);
                }
        }
}

static int add_chosen(const AssignmentList *list, json_t *choices) {
        for (size_t i = 0; i < list->n_items; i++) {
                json_t *companions = json_array();

                for (size_t k = 0; list->items[i].bundle[k]; k++)
                        if (list->items[i].bundle[k] != list->items[i].device->host)
                                json_array_append_new(companions, json_string(list->items[i].bundle[k]->id));
                json_array_append_new(choices, json_pack("{s:i, s:s, s:o}", "request", (int) list->items[i].request,
                                                         "device", list->items[i].device->id, "companions", companions));
        }
        return 0;
}

static int plan_scratch(Manager *m, Allocation *a, const char *holder, json_t **ret, Fault *fault) {
        _cleanup_assignments_ AssignmentList list = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_(json_decrefp) json_t *findings = json_array(), *chosen = json_array();
        char token[33];
        int r = assign_devices(m, a, holder, NULL, true, &list, fault);

        if (r < 0)
                return r;
        r = assignment_plan(m, a, &list, PT_VERB_ACTIVATE, &plan, fault);
        if (r >= 0) {
                add_findings(m, a, &list, findings);
                add_chosen(&list, chosen);
                plan_token(&list, &plan, token);
                *ret = json_pack("{s:O, s:O, s:o, s:O, s:s}", "chosen", chosen, "choices", list.choices, "steps",
                                 steps_to_json(&plan), "findings", findings, "token", token);
        }
        return r < 0 ? r : *ret ? 0 : fault_oom(fault);
}

/* An existing allocation is planned as it is, on a copy. */
static int scratch_allocation(Manager *m, json_t *objects, json_t *requests, Allocation **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        const char *id = json_string_value(json_array_get(objects, 0));
        Allocation *there = id ? manager_find_allocation(m, id) : NULL;

        if (id && !there)
                return fault_set(fault, -ENOENT, FAULT_UNKNOWN_ALLOCATION, "there is no allocation '%.64s'", id);
        if (there && (allocation_state_holds(there->state)))
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, id, "the allocation is %s already",
                                        allocation_state_to_string(there->state));
        body = there ? allocation_to_json(there)
                     : json_pack("{s:s, s:i, s:O}", "consumer", "plan", "owner", 0, "requests", requests);
        if (!body)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "a plan needs requests or an allocation");
        return allocation_from_json(there ? there->id : SCRATCH_ID, body, m->policy, there != NULL, ret, fault);
}

int manager_plan(Manager *m, const char *verb, json_t *objects, json_t *requests, json_t *options, json_t **ret,
                 Fault *fault) {
        const JsonKey keys[] = { { 0 } };
        _cleanup_(allocation_freep) Allocation *a = NULL;
        int r = json_parse_object(options, keys, "the options of Plan", FAULT_UNKNOWN_OPTION, fault);

        if (r < 0)
                return r;
        if (!streq(verb, "activate"))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%.32s' can't be planned; valid: activate", verb);
        r = scratch_allocation(m, objects, requests, &a, fault);
        if (r < 0)
                return r;
        /* A thick allocation has its keys under its own id and keeps them. */
        r = plan_scratch(m, a, a->thick ? a->id : SCRATCH_ID, ret, fault);
        if (a->thick)
                restore_reserved(m, a);
        key_table_release(m->keys, SCRATCH_ID);
        return r;
}
