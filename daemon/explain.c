/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be said about devices, groups and allocations without changing anything: states, counts and findings. */

#include <stdio.h>

#include "guard.h"
#include "json-util.h"
#include "operation.h"
#include "quarantine.h"

/* ---- devices ---- */

/* The gravest of the device and those that would have to move with it. */
static Verdict bundle_verdict(Manager *m, const Device *device) {
        Verdict verdict = guard_verdict(m->guard, device->host), worst = VERDICT_FREE;
        _cleanup_free_ HostDevice **bundle = NULL;

        if (verdict >= VERDICT_CRITICAL || inventory_bundle(m->inventory, device, &bundle) < 0)
                return verdict;
        for (size_t i = 1; bundle[i]; i++) {
                Verdict other = guard_verdict(m->guard, bundle[i]);
                worst = MAX_OF(worst, other);
        }
        return worst >= VERDICT_CRITICAL ? VERDICT_CRITICAL : verdict;
}

static const char *unclaimed_state(Manager *m, const Device *device) {
        static const char *const words[_VERDICT_MAX] = {
                [VERDICT_FREE] = "free",
                [VERDICT_IN_USE] = "in-use-by-host",
                [VERDICT_CRITICAL] = "critical",
                [VERDICT_FORBIDDEN] = "forbidden",
        };

        return words[bundle_verdict(m, device)];
}

const char *manager_device_state(Manager *m, const Device *device) {
        if (device->role != PT_ROLE_OFFER)
                return "forbidden";
        if (device->quarantine)
                return "quarantined";
        if (!device->allocation)
                return unclaimed_state(m, device);
        switch (device->allocation->state) {
        case ALLOCATION_FAILED:
                return "failed";
        case ALLOCATION_ACTIVE:
        case ALLOCATION_DRAINING:
        case ALLOCATION_LOST:
                return "active";
        case ALLOCATION_CLAIMED:
        case ALLOCATION_WAITING:
        case ALLOCATION_ACTIVATING:
        case ALLOCATION_DEACTIVATING:
        case ALLOCATION_GONE:
        case _ALLOCATION_STATE_MAX:
        case _ALLOCATION_STATE_INVALID:
                break;
        }
        return "claimed";
}

static size_t need_codes(Manager *m, const Device *device, const char **ret, size_t max) {
        _cleanup_free_ HostDevice **bundle = NULL;
        Verdict worst = VERDICT_FREE;
        size_t n = guard_codes(m->guard, device->host, ret, max);

        if (inventory_bundle(m->inventory, device, &bundle) < 0)
                return n;
        for (size_t i = 1; bundle[i]; i++) {
                Verdict other = guard_verdict(m->guard, bundle[i]);
                worst = MAX_OF(worst, other);
        }
        if (worst >= VERDICT_CRITICAL && n < max)
                ret[n++] = worst == VERDICT_FORBIDDEN ? "companion-forbidden" : "companion-critical";
        return n;
}

size_t manager_device_blockers(Manager *m, const Device *device, const char **ret, size_t max) {
        size_t n = 0;

        if (device->role == PT_ROLE_BRIDGE && n < max)
                ret[n++] = "bridge";
        if (device->role == PT_ROLE_PLATFORM && n < max)
                ret[n++] = "platform-device";
        if (device->quarantine && n < max)
                ret[n++] = "quarantined";
        if (device->allocation && n < max)
                ret[n++] = "claimed";
        if ((device->module->descriptor->flags & PT_TYPE_NEEDS_IOMMU) && device->host->iommu_group < 0 && n < max)
                ret[n++] = "no-iommu-group";
        /* Who has it had it in spite of that. */
        if (device->role == PT_ROLE_OFFER && !device->allocation)
                n += need_codes(m, device, ret + n, max - n);
        return n;
}

bool manager_device_allocatable(Manager *m, const Device *device) {
        const char *codes[8];

        return device->groups && device->groups[0] && manager_device_blockers(m, device, codes, ELEMENTSOF(codes)) == 0;
}

/* ---- groups ---- */

/* A bundle counts once, at the member of the group with the lowest id. */
static bool counts(Manager *m, const Group *group, const Device *device) {
        const HostDevice *host = source_iommu_group(inventory_source(m->inventory), device->host->iommu_group);

        if (device->role != PT_ROLE_OFFER)
                return false;
        for (; host; host = host->next_in_iommu_group)
                for (const Device *other = host->offers; other; other = other->next_offer)
                        if (other != device && other->role == PT_ROLE_OFFER && group_has_member(group, other) &&
                            strcmp(other->id, device->id) < 0)
                                return false;
        return true;
}

void manager_group_counts(Manager *m, const Group *group, unsigned *ret_total, unsigned *ret_available,
                          unsigned *ret_allocated) {
        unsigned total = 0, available = 0, allocated = 0;
        const char *codes[8];

        for (size_t i = 0; i < group->n_members; i++) {
                const Device *device = group->members[i];
                if (!counts(m, group, device))
                        continue;
                total++;
                if (device->allocation)
                        allocated++;
                else if (group->enabled && manager_device_blockers(m, device, codes, ELEMENTSOF(codes)) == 0)
                        available++;
        }
        *ret_total = total;
        *ret_available = available;
        *ret_allocated = allocated;
}

/* ---- findings ---- */

int manager_explain_device(Manager *m, Device *device, FindingList *ret, Fault *fault) {
        (void) device_eligible(m, device, "", NULL, ret);
        quarantine_explain(m, device, ret);
        if (!device->groups || !device->groups[0])
                finding_add(ret, PT_SEVERITY_NOTE, "no-group", device->id,
                            "passthroughctl make-resource, or a rule that matches it",
                            "no resource group has a rule that matches it");
        for (size_t i = 0; device->groups && device->groups[i]; i++)
                if (!device->groups[i]->enabled)
                        finding_add(ret, PT_SEVERITY_WARNING, "group-disabled", device->groups[i]->id,
                                    "passthroughctl group enable", "its group '%s' is disabled",
                                    device->groups[i]->name);
        return 0;
}

static void explain_member(Manager *m, const Group *group, Device *device, FindingList *ret) {
        _cleanup_findings_ FindingList own = { 0 };
        const PtFinding *blocker;

        if (device_eligible(m, device, "", NULL, &own))
                return;
        blocker = finding_first_blocker(&own);
        finding_add(ret, PT_SEVERITY_NOTE, blocker->code, device->id, blocker->remedy, "%s: %s",
                    device->host->sysname, blocker->text);
}

int manager_explain_group(Manager *m, Group *group, FindingList *ret, Fault *fault) {
        unsigned total, available, allocated;

        manager_group_counts(m, group, &total, &available, &allocated);
        if (!group->module)
                finding_add(ret, PT_SEVERITY_BLOCKER, "module-missing", group->type, "install the module of that type",
                            "the module of type '%s' is not loaded", group->type);
        if (!group->enabled)
                finding_add(ret, PT_SEVERITY_BLOCKER, "disabled", group->id, "passthroughctl group enable",
                            "the group is disabled");
        if (!group->rules)
                finding_add(ret, PT_SEVERITY_BLOCKER, "no-rules", group->id, "add a rule", "the group has no rules");
        else if (total == 0)
                finding_add(ret, PT_SEVERITY_BLOCKER, "no-members", group->id, "passthroughctl preview shows near misses",
                            "its rules match no device of this host");
        else if (available == 0)
                finding_add(ret, PT_SEVERITY_BLOCKER, "none-available", group->id, NULL,
                            "none of its %u devices is available; %u in use", total, allocated);
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                if (rule->invalid)
                        finding_add(ret, PT_SEVERITY_WARNING, "invalid-rule", rule->id, "update or remove the rule",
                                    "rule '%s' matches nothing: %s", rule->name, rule->invalid);
                else if (rule->where && conditions_error(rule->where))
                        finding_add(ret, PT_SEVERITY_WARNING, "regex-limit", rule->id, "simplify the expression",
                                    "rule '%s': %s", rule->name, conditions_error(rule->where));
        }
        for (size_t i = 0; i < group->n_members && ret->n_items < FINDINGS_MAX; i++)
                explain_member(m, group, group->members[i], ret);
        for (size_t i = 1; i < group->n_members; i++)
                if (group->members[i]->name != group->members[0]->name) { /* interned: equal names are one string */
                        finding_add(ret, PT_SEVERITY_NOTE, "mixed-models", group->id, NULL,
                                    "the group holds unlike models: %s and %s", group->members[0]->name,
                                    group->members[i]->name);
                        break;
                }
        return 0;
}

static void explain_request(Manager *m, const Allocation *a, const Request *request, FindingList *ret) {
        const Group *group = policy_find_group(m->policy, request->group);

        if (!group)
                finding_add(ret, PT_SEVERITY_BLOCKER, "group-gone", request->group, NULL, "the group '%s' is gone",
                            request->group);
        else if (!group->enabled)
                finding_add(ret, PT_SEVERITY_BLOCKER, "disabled", group->id, "passthroughctl group enable",
                            "group '%s' is disabled", group->name);
        if (!isempty(request->status))
                finding_add(ret, request->optional ? PT_SEVERITY_NOTE : PT_SEVERITY_WARNING, "request-unmet", request->id,
                            NULL, "request '%s': %s", request->name, request->status);
        for (size_t i = 0; i < request->n_devices; i++) {
                const Device *device = inventory_find(m->inventory, request->devices[i].device);

                if (!device)
                        finding_add(ret, PT_SEVERITY_WARNING, "device-gone", request->devices[i].device, NULL,
                                    "%s is not there", request->devices[i].device);
                else if (group && !group_has_member(group, device))
                        finding_add(ret, PT_SEVERITY_NOTE, "no-longer-member", device->id, NULL,
                                    "%s no longer belongs to group '%s'; that acts at the next activation",
                                    device->host->sysname, group->name);
        }
}

int manager_explain_allocation(Manager *m, Allocation *a, FindingList *ret, Fault *fault) {
        if (a->stuck || a->leftover)
                finding_add(ret, PT_SEVERITY_BLOCKER, "driver-stuck", a->id,
                            "end whoever holds the device open; it is given back by itself then",
                            "a driver still works on a device; its bundle stays locked until that has ended");
        if (a->failure.code != FAULT_NONE)
                finding_add(ret, a->state == ALLOCATION_FAILED ? PT_SEVERITY_BLOCKER : PT_SEVERITY_WARNING, "last-failure",
                            a->failure.object, NULL, "%s: %s", fault_code_to_string(a->failure.code),
                            strempty(a->failure.message));
        if (a->state == ALLOCATION_DRAINING)
                finding_add(ret, PT_SEVERITY_NOTE, "draining", a->id, "end the consumer, or deactivate with force",
                            "waits until nobody has its devices open");
        if (a->state == ALLOCATION_LOST)
                finding_add(ret, PT_SEVERITY_WARNING, "device-lost", a->id, "deactivate, then activate again",
                            "a device vanished while it was in use");
        if (a->restart_required)
                finding_add(ret, PT_SEVERITY_NOTE, "restart-required", a->id, "deactivate and activate again",
                            "an edit acts at the next activation");
        for (size_t i = 0; i < a->n_requests; i++)
                explain_request(m, a, &a->requests[i], ret);
        return 0;
}
