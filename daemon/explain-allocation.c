/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that is to be said about one allocation: what went wrong, what it waits for, who is in the way, who has its
 * devices open. */

#include <stdio.h>

#include "explain-internal.h"
#include "identity.h"
#include "lib/limits.h"
#include "meter.h"

#define LOOKED_AT_MAX 16u /* members of a group of which is said why they cannot be had */
#define STEPS_SAID_MAX 16u

static void say_state(const Allocation *a, Explanation *e) {
        if (a->stuck || a->leftover)
                explanation_add(e, PT_SEVERITY_BLOCKER, "driver-stuck", a->id,
                                "end whoever holds the device open; it is given back by itself then", NULL,
                                "a driver still works on a device; its bundle stays locked until that has ended");
        if (a->failure.code != FAULT_NONE)
                explanation_add(e, a->state == ALLOCATION_FAILED ? PT_SEVERITY_BLOCKER : PT_SEVERITY_WARNING, "last-failure",
                                a->failure.object, NULL, json_pack("{s:s}", "error", fault_code_to_string(a->failure.code)),
                                "%s: %s", fault_code_to_string(a->failure.code), strempty(a->failure.message));
        if (a->state == ALLOCATION_WAITING)
                explanation_add(e, PT_SEVERITY_NOTE, "waiting", a->id, "free a device, or release this allocation", NULL,
                                "waits until a device is free; then it is activated");
        if (a->state == ALLOCATION_DRAINING)
                explanation_add(e, PT_SEVERITY_NOTE, "draining", a->id, "end the consumer, or deactivate with force", NULL,
                                "waits until nobody has its devices open");
        if (a->state == ALLOCATION_FOLLOWING)
                explanation_add(e, PT_SEVERITY_WARNING, "device-away", a->id, "plug it in again, or deactivate", NULL,
                                "a device vanished while it was in use, and may come back");
        if (a->state == ALLOCATION_LOST)
                explanation_add(e, PT_SEVERITY_WARNING, "device-lost", a->id, "deactivate, then activate again", NULL,
                                "a device vanished while it was in use");
        if (a->restart_required)
                explanation_add(e, PT_SEVERITY_NOTE, "restart-required", a->id, "deactivate and activate again", NULL,
                                "an edit acts at the next activation");
        if (a->job)
                explanation_add(e, PT_SEVERITY_NOTE, "job", a->job->id, NULL, NULL, "job %s (%s) is %s%s%s", a->job->id,
                                a->job->operation, job_state_to_string(a->job->state), isempty(a->job->step) ? "" : ": ",
                                strempty(a->job->step));
}

/* After an undo that failed: what was begun and is not undone. */
static void say_remaining_steps(const Allocation *a, Explanation *e) {
        size_t n = 0;

        if (a->state != ALLOCATION_FAILED)
                return;
        for (size_t i = a->applied.n_steps; i > 0; i--) {
                const PtStep *step = &a->applied.steps[i - 1];

                if (!a->observed || !a->observed[i - 1])
                        continue;
                if (n++ >= STEPS_SAID_MAX)
                        continue;
                e->subject = step->device;
                explanation_add(e, PT_SEVERITY_WARNING, "step-remains", step->device, "deactivate again", NULL,
                                "not undone: %s", step->sentence);
                e->subject = NULL;
        }
        if (n > STEPS_SAID_MAX)
                explanation_add(e, PT_SEVERITY_NOTE, "more-steps", NULL, NULL, NULL, "%zu steps are not undone", n);
}

/* Another one is where the reserved device was. */
static void say_identity(const Allocation *a, const Device *device, Explanation *e) {
        _cleanup_findings_ FindingList findings = { 0 };

        identity_check_use(a, device, &findings);
        for (size_t i = 0; i < findings.n_items; i++)
                explanation_add(e, PT_SEVERITY_BLOCKER, findings.items[i].code, findings.items[i].culprit,
                                findings.items[i].remedy, NULL, "%s", findings.items[i].text);
}

/* What its provider's driver says of whoever has it in use. */
static void say_use(Manager *m, const Device *device, Explanation *e) {
        json_t *findings = meter_findings(m, device), *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                const char *code = json_string_value(json_object_get(finding, "code"));
                const char *text = json_string_value(json_object_get(finding, "text"));
                const char *severity = json_string_value(json_object_get(finding, "severity"));

                if (code && text)
                        explanation_add(e, streq_null(severity, "warning") ? PT_SEVERITY_WARNING : PT_SEVERITY_NOTE, code,
                                        device->id, json_string_value(json_object_get(finding, "remedy")), NULL, "%s: %s",
                                        device->host->sysname, text);
        }
}

static void say_devices(Manager *m, const Allocation *a, const Request *request, const Group *group, Explanation *e) {
        for (size_t i = 0; i < request->n_devices; i++) {
                const char *id = request->devices[i].device;
                const Device *device = inventory_find(m->inventory, id);

                e->subject = id;
                if (!device)
                        explanation_add(e, PT_SEVERITY_WARNING, "device-gone", id, "put it back, or deactivate", NULL,
                                        "%s is not there", id);
                else if (group && !group_has_member(group, device))
                        explanation_add(e, PT_SEVERITY_NOTE, "no-longer-member", id, NULL, NULL,
                                        "%s no longer belongs to group '%s'; that acts at the next activation",
                                        device->host->sysname, group->name);
                else if (device->quarantine)
                        explanation_add(e, PT_SEVERITY_WARNING, "quarantined", id, NULL, NULL, "%s is in quarantine: %s",
                                        device->host->sysname, device->quarantine);
                if (device && !allocation_state_holds(a->state))
                        say_identity(a, device, e);
                if (device && a->state == ALLOCATION_ACTIVE)
                        say_use(m, device, e);
                e->subject = NULL;
        }
}

/* Why each member cannot be had by this allocation now. */
static void say_candidates(Manager *m, const Allocation *a, const Request *request, Group *group, Explanation *e) {
        Device *const *members = group_members_by_place(group);
        _cleanup_settings_ SettingValues settings = { 0 };
        size_t n_good = 0, n_looked;
        PlanRequest plan;

        if (plan_request_for(m, a, request, PT_VERB_ACTIVATE, &settings, &plan, NULL) < 0)
                return;
        n_looked = members ? MIN_OF(group->n_members, LOOKED_AT_MAX) : 0;
        for (size_t i = 0; i < n_looked; i++) {
                _cleanup_findings_ FindingList findings = { 0 };

                (void) device_eligible(m, members[i], a->id, &plan, &findings);
                identity_check_use(a, members[i], &findings);
                if (!finding_first_blocker(&findings)) {
                        n_good++;
                        continue;
                }
                e->subject = members[i]->id;
                for (size_t k = 0; k < findings.n_items; k++) {
                        const PtFinding *f = &findings.items[k];

                        if (f->severity == PT_SEVERITY_BLOCKER)
                                explanation_add(e, PT_SEVERITY_WARNING, f->code, f->culprit, f->remedy, NULL, "%s: %s",
                                                members[i]->host->sysname, f->text);
                }
                e->subject = NULL;
        }
        if (group->n_members == 0)
                explanation_add(e, PT_SEVERITY_BLOCKER, "no-members", group->id, "passthroughctl explain group", NULL,
                                "group '%s' has no members", group->name);
        else if (n_good >= request->count)
                explanation_add(e, PT_SEVERITY_NOTE, "available", group->id, NULL, NULL,
                                "group '%s' has what request '%s' needs", group->name, request->name);
        if (n_looked < group->n_members)
                explanation_add(e, PT_SEVERITY_NOTE, "looked-at-some", group->id, "passthroughctl explain group", NULL,
                                "%zu of the %zu members of group '%s' were looked at", n_looked, group->n_members, group->name);
}

static void say_request(Manager *m, const Allocation *a, const Request *request, Explanation *e) {
        Group *group = policy_find_group(m->policy, request->group);

        if (!request->enabled)
                return;
        if (!group)
                explanation_add(e, PT_SEVERITY_BLOCKER, "group-gone", request->group, "name another group", NULL,
                                "the group '%s' of request '%s' is gone", request->group, request->name);
        else if (!group->enabled)
                explanation_add(e, PT_SEVERITY_BLOCKER, "disabled", group->id, "passthroughctl group enable", NULL,
                                "group '%s' is disabled", group->name);
        if (!isempty(request->status))
                explanation_add(e, request->optional ? PT_SEVERITY_NOTE : PT_SEVERITY_WARNING, "request-unmet", request->id,
                                NULL, json_pack("{s:s}", "request", request->id), "request '%s': %s", request->name,
                                request->status);
        say_devices(m, a, request, group, e);
        if (group && group->module && request->n_devices == 0 && !allocation_state_holds(a->state))
                say_candidates(m, a, request, group, e);
}

void explain_allocation(Manager *m, Allocation *a, const Seen *seen, Explanation *e) {
        e->topic = "state";
        say_state(a, e);
        say_remaining_steps(a, e);
        e->topic = "request";
        for (size_t i = 0; i < a->n_requests; i++)
                say_request(m, a, &a->requests[i], e);
        explain_use(m, NULL, a, seen, e);
}
