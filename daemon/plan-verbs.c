/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What each verb would choose and do. */

#include <stdarg.h>
#include <stdio.h>

#include "given-nodes.h"
#include "json-util.h"
#include "plan-provision.h"
#include "planning.h"
#include "usage.h"

#define SCRATCH_ID "00000000-0000-0000-0000-000000000000"
#define RULES_SAID_MAX 64u

/* ---- steps and blockers ---- */

void planning_add_step(Planning *p, const char *kind, const char *device, const char *text, bool optional, bool undoable,
                       unsigned timeout_msec) {
        (void) json_array_append_new(p->steps, json_pack("{s:s, s:s, s:s, s:b, s:b, s:i}", "kind", kind, "device",
                                                         strempty(device), "text", text, "optional", optional, "undoable",
                                                         undoable, "timeout-msec", (int) timeout_msec));
}

void planning_add_steps(Planning *p, const Plan *plan) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PtStep *step = &plan->steps[i];

                planning_add_step(p, step_kind_to_string(step->kind), step->device, step->sentence,
                                  (step->flags & PT_STEP_OPTIONAL) != 0, (step->flags & PT_STEP_NO_RETURN) == 0,
                                  step_timeout_msec(step));
        }
        plan_record_steps(p->record, plan);
}

void planning_block(Planning *p, const char *code, const char *about, const char *remedy, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
                text = NULL;
        va_end(arguments);
        p->findings.topic = "obstacles";
        explanation_add(&p->findings, PT_SEVERITY_BLOCKER, code, about, remedy, NULL, "%s", strempty(text));
        p->findings.topic = NULL;
        plan_record_blocker(p->record, code, about, strempty(text));
}

static void set_type(Planning *p, const Device *device) {
        if (isempty(p->type))
                (void) snprintf(p->type, sizeof(p->type), "%s", device->module->name);
}

/* ---- activate ---- */

static json_t *companions_of(const Assignment *item, bool park) {
        json_t *array = json_array();

        for (size_t i = 0; item->bundle[i]; i++)
                if (item->bundle[i] != item->device->host)
                        (void) json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "device", item->bundle[i]->id, "fate",
                                                                      park ? "parked" : "given", "driver",
                                                                      strempty(item->bundle[i]->driver)));
        return array;
}

static json_int_t score_of(json_t *choice, const char *device) {
        json_t *candidate;
        size_t index;

        json_array_foreach(json_object_get(choice, "candidates"), index, candidate)
                if (streq(strempty(json_string_value(json_object_get(candidate, "device"))), device))
                        return json_integer_value(json_object_get(candidate, "score"));
        return 0;
}

/* One entry a request: what it asks, what it would get, and everything that it could have got. */
static void add_choice(Planning *p, const Allocation *a, size_t index, const AssignmentList *list) {
        const Request *request = &a->requests[index];
        const Group *group = policy_find_group(p->m->policy, request->group);
        json_t *choice = NULL, *entry, *chosen = json_array();
        size_t i;

        json_array_foreach(list->choices, i, entry)
                if (streq(strempty(json_string_value(json_object_get(entry, "request"))), request->id))
                        choice = json_copy(entry);
        if (!choice)
                choice = json_pack("{s:s, s:s, s:[]}", "request", request->id, "group", request->group, "candidates");
        for (i = 0; i < list->n_items; i++) {
                const Assignment *item = &list->items[i];

                if (item->request != index)
                        continue;
                set_type(p, item->device);
                (void) json_array_append_new(chosen,
                                             json_pack("{s:s, s:s, s:I, s:o}", "device", item->device->id, "name",
                                                       item->device->name, "score", score_of(choice, item->device->id),
                                                       "companions", companions_of(item, request->park_companions)));
        }
        (void) json_object_set_new(choice, "chosen", chosen);
        (void) json_object_set_new(choice, "name", json_string(request->name));
        (void) json_object_set_new(choice, "count", json_integer((json_int_t) request->count));
        (void) json_object_set_new(choice, "optional", json_boolean(request->optional));
        (void) json_object_set_new(choice, "members", json_integer(group ? (json_int_t) group->n_members : 0));
        (void) json_array_append_new(p->choices, choice);
}

/* What is to be said of the devices that would be taken: warnings and notes, and what an override silences. */
static void add_device_findings(Planning *p, const Allocation *a, const AssignmentList *list, const char *holder) {
        for (size_t i = 0; i < list->n_items; i++) {
                const Assignment *item = &list->items[i];
                _cleanup_settings_ SettingValues settings = { 0 };
                _cleanup_findings_ FindingList own = { 0 };
                PlanRequest request;

                if (plan_request_for(p->m, a, &a->requests[item->request], PT_VERB_ACTIVATE, &settings, &request, NULL) < 0)
                        continue;
                (void) device_eligible(p->m, item->device, holder, &request, &own);
                for (size_t k = 0; k < own.n_items; k++)
                        if (own.items[k].severity == PT_SEVERITY_BLOCKER)
                                own.items[k].severity = PT_SEVERITY_WARNING;
                p->findings.topic = "devices";
                p->findings.subject = item->device->id;
                explanation_take(&p->findings, &own);
                p->findings.topic = p->findings.subject = NULL;
        }
}

static void add_unmet(Planning *p, json_t *unmet) {
        json_t *entry;
        size_t index;

        json_array_foreach(unmet, index, entry) {
                const char *code = strempty(json_string_value(json_object_get(entry, "code")));
                const char *request = strempty(json_string_value(json_object_get(entry, "request")));
                const char *text = strempty(json_string_value(json_object_get(entry, "text")));

                if (json_is_true(json_object_get(entry, "optional")))
                        explanation_add(&p->findings, PT_SEVERITY_NOTE, code, request, NULL, NULL,
                                        "request '%s' is optional and gets nothing: %s", request, text);
                else
                        planning_block(p, code, request, "passthroughctl explain group", "%s", text);
        }
}

static int ask_about(Planning *p, const AssignmentList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                if (usage_of_device(p->m, list->items[i].device, &p->nodes, &p->below) < 0)
                        return -ENOMEM;
        return 0;
}

static int try_activation(Planning *p, Allocation *a, const char *holder, Fault *fault) {
        _cleanup_assignments_ AssignmentList list = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        int r = assign_devices(p->m, a, holder, p->overrides, true, &list, fault);

        if (r < 0)
                return r;
        plan_record_choices(p->record, a, &list);
        for (size_t i = 0; i < a->n_requests; i++)
                if (a->requests[i].enabled)
                        add_choice(p, a, i, &list);
        add_unmet(p, list.unmet);
        r = assignment_plan(p->m, a, &list, PT_VERB_ACTIVATE, &plan, fault);
        if (r < 0)
                return r;
        planning_add_steps(p, &plan);
        add_device_findings(p, a, &list, holder);
        p->takes = true;
        return ask_about(p, &list) < 0 ? fault_oom(fault) : 0;
}

/* An existing allocation is planned as it is, on a copy. */
static int scratch_allocation(Planning *p, const char *id, Allocation **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        Allocation *there = id ? manager_find_allocation(p->m, id) : NULL;

        if (there && allocation_next(there->state, EVENT_ACTIVATE) < 0)
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, id,
                                        "the allocation is %s; only a claimed one can be activated",
                                        allocation_state_to_string(there->state));
        body = there ? allocation_to_json(there)
                     : json_pack("{s:s, s:i, s:O}", "consumer", "plan", "owner", 0, "requests", p->requests);
        if (!body)
                return fault_oom(fault);
        return allocation_from_json(there ? there->id : SCRATCH_ID, body, p->m->policy, there != NULL, ret, fault);
}

static int plan_activate(Planning *p, const char *object, Fault *fault) {
        _cleanup_(allocation_freep) Allocation *a = NULL;
        int r = scratch_allocation(p, object, &a, fault);

        if (r < 0)
                return r;
        /* A thick allocation has its keys under its own id and keeps them. */
        r = try_activation(p, a, a->thick ? a->id : SCRATCH_ID, fault);
        if (a->thick)
                restore_reserved(p->m, a);
        key_table_release(p->m->keys, SCRATCH_ID);
        return r;
}

/* ---- deactivate, release ---- */

static int add_prepare(Planning *p, const Allocation *a, const Request *request, size_t number, Device *device, Fault *fault) {
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        PlanRequest wanted;
        int r = plan_request_for(p->m, a, request, PT_VERB_DEACTIVATE, &settings, &wanted, fault);

        if (r >= 0)
                plan_request_identify(&wanted, a, (size_t) (request - a->requests), number);
        if (r >= 0)
                r = inventory_plan(p->m->inventory, device, &wanted, &plan, fault);
        if (r >= 0)
                planning_add_steps(p, &plan);
        return r;
}

/* What was observed before the step says where the undo leads. */
static void add_undo(Planning *p, const PtStep *step, const char *observed) {
        _cleanup_(json_decrefp) json_t *before = json_loads(observed, 0, NULL);
        const char *driver = json_string_value(json_object_get(before, "driver"));
        const char *value = json_string_value(json_object_get(before, "value"));
        _cleanup_free_ char *text = NULL;
        int r;

        if (step->flags & PT_STEP_NO_RETURN)
                return;
        switch ((PtStepKind) step->kind) {
        case PT_STEP_RESET:
        case PT_STEP_WAIT:
        case PT_STEP_LOAD_MODULE:
                return; /* nothing to undo */
        case PT_STEP_SET_DRIVER:
                r = driver ? asprintf(&text, "undo \"%s\": back to the driver %s", step->sentence, driver)
                           : asprintf(&text, "undo \"%s\": no driver, as before", step->sentence);
                break;
        case PT_STEP_WRITE_ATTRIBUTE:
                r = asprintf(&text, "undo \"%s\": %s is \"%s\" again", step->sentence, strempty(step->name), strempty(value));
                break;
        case PT_STEP_INVALID:
        case PT_STEP_NODE_OWNER:
        case PT_STEP_CUSTOM:
        case PT_STEP_SET_VF_COUNT:
        case PT_STEP_CREATE_MDEV:
        case _PT_STEP_MAX:
        default:
                r = asprintf(&text, "undo \"%s\"", step->sentence);
                break;
        }
        if (r < 0) {
                text = NULL;
                return;
        }
        planning_add_step(p, step_kind_to_string(step->kind), step->device, text, false, true, step_timeout_msec(step));
        p->findings.topic = "effects";
        if (driver)
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "driver-returns", step->device, NULL, NULL,
                                "the host's driver %s gets %s back, and with it what it makes of it", driver,
                                strempty(step->device));
        p->findings.topic = NULL;
}

static int plan_give_back(Planning *p, const Allocation *a, Fault *fault) {
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++) {
                        _cleanup_fault_ Fault ignored = { 0 };
                        const char *id = a->requests[i].devices[k].device;
                        Device *device = inventory_find(p->m->inventory, id);

                        if (!device)
                                explanation_add(&p->findings, PT_SEVERITY_WARNING, "device-gone", id, NULL, NULL,
                                                "%s is not there; nothing of it can be given back", id);
                        else {
                                set_type(p, device);
                                if (add_prepare(p, a, &a->requests[i], k, device, &ignored) < 0)
                                        explanation_add(&p->findings, PT_SEVERITY_WARNING, "not-prepared", id, NULL, NULL,
                                                        "it cannot be prepared for being given back: %s",
                                                        strempty(ignored.message));
                        }
                }
        for (size_t i = a->applied.n_steps; i > 0; i--)
                if (a->observed && a->observed[i - 1])
                        add_undo(p, &a->applied.steps[i - 1], a->observed[i - 1]);
        plan_record_steps(p->record, &a->applied);
        /* Who has them open is waited for. */
        return given_nodes(p->m, a, &p->nodes) < 0 ? fault_oom(fault) : 0;
}

static void block_stuck(Planning *p, const Allocation *a) {
        if (a->stuck || a->leftover)
                planning_block(p, "driver-stuck", a->id, "end whoever holds the device open",
                               "a driver still works on a device of this allocation; it is given back when that has ended");
}

static int plan_deactivate(Planning *p, const char *object, Fault *fault) {
        const Allocation *a = manager_find_allocation(p->m, object);

        if (!allocation_state_holds(a->state))
                return fault_set_object(fault, -EALREADY, FAULT_WRONG_STATE, a->id,
                                        "the allocation is %s; there is nothing to deactivate",
                                        allocation_state_to_string(a->state));
        block_stuck(p, a);
        return plan_give_back(p, a, fault);
}

static int plan_release(Planning *p, const char *object, Fault *fault) {
        const Allocation *a = manager_find_allocation(p->m, object);
        _cleanup_free_ char *text = NULL;
        int r = 0;

        block_stuck(p, a);
        if (allocation_state_holds(a->state))
                r = plan_give_back(p, a, fault);
        if (r >= 0 && asprintf(&text, "forget the claim of consumer %s", a->consumer) < 0) {
                text = NULL;
                r = fault_oom(fault);
        }
        if (r >= 0)
                planning_add_step(p, "record", NULL, text, false, false, 0);
        return r;
}

/* ---- devices ---- */

static int plan_device(Planning *p, const char *object, PtVerb verb, Fault *fault) {
        const PlanRequest request = { .verb = verb, .gid = (gid_t) -1 };
        Device *device = inventory_find(p->m->inventory, object);
        _cleanup_findings_ FindingList findings = { 0 };
        _cleanup_fault_ Fault own = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        int r;

        set_type(p, device);
        /* A device that is claimed, or of the host: not somebody else's matter. */
        (void) device_eligible(p->m, device, "", NULL, &findings);
        for (size_t i = 0; i < findings.n_items; i++) {
                const PtFinding *f = &findings.items[i];

                if (f->severity == PT_SEVERITY_BLOCKER && streq(f->code, "claimed"))
                        planning_block(p, f->code, f->culprit, f->remedy, "%s", f->text);
        }
        r = inventory_plan(p->m->inventory, device, &request, &plan, &own);
        if (r < 0 && r != -EOPNOTSUPP) {
                fault_move(fault, &own);
                return r;
        }
        planning_add_steps(p, &plan);
        if (plan.n_steps == 0)
                planning_block(p, "nothing-to-do", device->id, NULL, "the module '%s' has no steps to %s %s",
                               device->module->name, verb_to_string(verb), device->host->sysname);
        r = usage_of_device(p->m, device, &p->nodes, &p->below);
        return r < 0 ? fault_oom(fault) : 0;
}

static int plan_reset(Planning *p, const char *object, Fault *fault) {
        const Device *device = inventory_find(p->m->inventory, object);

        if (device->role != PT_ROLE_OFFER)
                planning_block(p, "forbidden", device->id, NULL, "%s belongs to the host and is never reset", device->name);
        else if (device_host_driver(device))
                planning_block(p, "in-use-by-host", device_host_driver(device), "unbind it first",
                               "the host's driver %s uses %s; a reset would take it from under it",
                               device_host_driver(device), device->host->sysname);
        return device->role == PT_ROLE_OFFER ? plan_device(p, object, PT_VERB_RESET, fault) : 0;
}

/* ---- groups ---- */

static int plan_remove(Planning *p, const char *object, Fault *fault) {
        Group *group = policy_find_group(p->m->policy, object);
        _cleanup_free_ Allocation **users = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n_users = 0, n_rules = 0;
        bool unmade = false;
        int r;

        if (manager_group_allocations(p->m, group, &users, &n_users) < 0)
                return fault_oom(fault);
        for (size_t i = 0; i < n_users && i < RULES_SAID_MAX; i++)
                planning_block(p, "group-in-use", users[i]->id, "release that allocation",
                               "the allocation of consumer %s (%s) asks for the group", users[i]->consumer,
                               allocation_state_to_string(users[i]->state));
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                _cleanup_free_ char *sentence = NULL;

                if (n_rules++ >= RULES_SAID_MAX)
                        continue;
                if (asprintf(&sentence, "remove the rule '%s'", rule->name) < 0)
                        sentence = NULL;
                else
                        planning_add_step(p, "record", NULL, sentence, false, false, 0);
        }
        if (n_rules > RULES_SAID_MAX)
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "more-rules", group->id, NULL, NULL,
                                "%zu rules go with it; %u are listed", n_rules, RULES_SAID_MAX);
        if (asprintf(&text, "remove the group '%s'", group->name) < 0) {
                text = NULL;
                return fault_oom(fault);
        }
        planning_add_step(p, "record", NULL, text, false, false, 0);
        r = plan_unprovision_group(p, group, &unmade, fault);
        if (r >= 0 && !unmade)
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "members-leave", group->id, NULL, NULL,
                                "its %zu members stay as they are; no device is touched", group->n_members);
        return r;
}

static const PlanVerb verbs[] = {
        { "activate", OBJECT_ALLOCATION, true, plan_activate },
        { "deactivate", OBJECT_ALLOCATION, false, plan_deactivate },
        { "release", OBJECT_ALLOCATION, false, plan_release },
        { "reset", OBJECT_DEVICE, false, plan_reset },
        { "remove", OBJECT_GROUP, false, plan_remove },
        { "provision", OBJECT_DEVICE, false, plan_provision },
        { "unprovision", OBJECT_DEVICE, false, plan_unprovision },
};

const PlanVerb *plan_verb_find(const char *name, Fault *fault) {
        char valid[256] = "";
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                if (streq(verbs[i].name, name))
                        return &verbs[i];
                n += (size_t) snprintf(valid + n, sizeof(valid) - n, "%s%s", i > 0 ? ", " : "", verbs[i].name);
        }
        (void) fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'%.32s' can't be planned; valid: %s", name, valid);
        return NULL;
}
