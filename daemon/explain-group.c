/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that is to be said about one group. A group may have ten thousand members: what is known of each without asking
 * anybody is counted for all of them, the full answer is worked out for the first ones. */

#include <stdio.h>

#include "explain-internal.h"
#include "identity.h"
#include "lib/limits.h"
#include "provision.h"

#define LOOKED_AT_MAX 64u /* members that are asked about in full */
#define NAMED_MAX 5u      /* devices that are named for one reason */
#define REASONS_MAX 32u

/* Members that share a reason. */
typedef struct Reason {
        char code[64];
        size_t n;
        Device *named[NAMED_MAX];
        char *text, *remedy; /* of the first */
        char *culprit;
} Reason;

typedef struct Reasons {
        Reason items[REASONS_MAX];
        size_t n;
} Reasons;

static void reasons_done(Reasons *reasons) {
        for (size_t i = 0; i < reasons->n; i++) {
                free(reasons->items[i].text);
                free(reasons->items[i].remedy);
                free(reasons->items[i].culprit);
        }
}

static Reason *reason_for(Reasons *reasons, const char *code) {
        for (size_t i = 0; i < reasons->n; i++)
                if (streq(reasons->items[i].code, code))
                        return &reasons->items[i];
        if (reasons->n >= REASONS_MAX)
                return NULL;
        (void) snprintf(reasons->items[reasons->n].code, sizeof(reasons->items[0].code), "%s", code);
        return &reasons->items[reasons->n++];
}

static void count(Reasons *reasons, Device *device, const char *code, const PtFinding *finding) {
        Reason *reason = reason_for(reasons, code);

        if (!reason)
                return;
        if (reason->n < NAMED_MAX)
                reason->named[reason->n] = device;
        reason->n++;
        if (reason->text || !finding)
                return;
        reason->text = strdup(finding->text);
        reason->remedy = finding->remedy ? strdup(finding->remedy) : NULL;
        reason->culprit = finding->culprit ? strdup(finding->culprit) : NULL;
}

/* A member's blockers, each once. Those of claimed ones are its holders': there may be as many as members. */
static void look_closely(Manager *m, Group *group, Device *device, Reasons *reasons) {
        const PlanRequest plan = { .verb = PT_VERB_ACTIVATE, .settings = &group->settings };
        _cleanup_findings_ FindingList findings = { 0 };

        (void) device_eligible(m, device, "", &plan, &findings);
        for (size_t i = 0; i < findings.n_items; i++) {
                bool again = false;

                for (size_t k = 0; k < i && !again; k++)
                        again = streq(findings.items[k].code, findings.items[i].code);
                if (!again && findings.items[i].severity == PT_SEVERITY_BLOCKER)
                        count(reasons, device, findings.items[i].code, &findings.items[i]);
        }
}

static void say_reason(const Reason *reason, Explanation *e) {
        json_t *devices = json_array();
        char names[512] = "";
        size_t used = 0;

        for (size_t i = 0; i < reason->n && i < NAMED_MAX; i++) {
                int w = snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "",
                                 reason->named[i]->host->sysname);

                used = w > 0 ? MIN_OF(used + (size_t) w, sizeof(names) - 1) : used;
                (void) json_array_append_new(devices, json_string(reason->named[i]->id));
        }
        if (reason->n == 1)
                explanation_add(e, PT_SEVERITY_NOTE, reason->code, reason->named[0]->id, reason->remedy,
                                json_pack("{s:i, s:o}", "count", 1, "devices", devices), "%s: %s", names,
                                strempty(reason->text));
        else
                explanation_add(e, PT_SEVERITY_NOTE, reason->code, NULL, reason->remedy,
                                json_pack("{s:I, s:o}", "count", (json_int_t) reason->n, "devices", devices),
                                "%zu members, %s%s; the first: %s", reason->n, names, reason->n > NAMED_MAX ? " …" : "",
                                strempty(reason->text));
}

static void count_known(Manager *m, Device *device, Reasons *reasons) {
        const char *codes[8];
        size_t n = manager_device_blockers(m, device, codes, ELEMENTSOF(codes));

        for (size_t k = 0; k < n; k++)
                count(reasons, device, codes[k], NULL);
}

/* Cheap for all, complete for the first. What looks free is looked at first: there the surprises are. */
static void say_members(Manager *m, Group *group, Explanation *e) {
        Device *const *members = group_members_by_place(group);
        Device *blocked[LOOKED_AT_MAX];
        Reasons reasons = { 0 };
        size_t n_looked = 0, n_blocked = 0, n_free = 0;

        e->topic = "members";
        for (size_t i = 0; members && i < group->n_members; i++) {
                const char *codes[1];

                if (manager_device_blockers(m, members[i], codes, ELEMENTSOF(codes)) == 0) {
                        n_free++;
                        if (n_looked < LOOKED_AT_MAX) {
                                look_closely(m, group, members[i], &reasons);
                                n_looked++;
                        }
                } else if (n_blocked < LOOKED_AT_MAX)
                        blocked[n_blocked++] = members[i];
                else
                        count_known(m, members[i], &reasons);
        }
        for (size_t i = 0; i < n_blocked; i++)
                if (n_looked < LOOKED_AT_MAX) {
                        look_closely(m, group, blocked[i], &reasons);
                        n_looked++;
                } else
                        count_known(m, blocked[i], &reasons);
        for (size_t i = 0; i < reasons.n; i++)
                say_reason(&reasons.items[i], e);
        if (n_looked < group->n_members)
                explanation_add(e, PT_SEVERITY_NOTE, "looked-at-some", NULL, "explain the device in question",
                                json_pack("{s:I, s:I}", "looked-at", (json_int_t) n_looked, "members",
                                          (json_int_t) group->n_members),
                                "%zu of %zu members were looked at closely, those that seem free first (%zu do)", n_looked,
                                group->n_members, n_free);
        reasons_done(&reasons);
}

/* Places of its rules where another device is than the recorded one. */
static void say_identities(Manager *m, const Group *group, Explanation *e) {
        _cleanup_findings_ FindingList findings = { 0 };

        identity_check_group(m, group, &findings);
        for (size_t i = 0; i < findings.n_items; i++)
                explanation_add(e, (PtSeverity) findings.items[i].severity, findings.items[i].code, findings.items[i].culprit,
                                findings.items[i].remedy, NULL, "%s", findings.items[i].text);
}

static void say_rules(const Group *group, Explanation *e) {
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                _cleanup_free_ char *contradiction = NULL;

                if (rule->invalid)
                        explanation_add(e, PT_SEVERITY_WARNING, "invalid-rule", rule->id, "update or remove the rule", NULL,
                                        "rule '%s' matches nothing: %s", rule->name, rule->invalid);
                else if (conditions_error(rule->where))
                        explanation_add(e, PT_SEVERITY_WARNING, "regex-limit", rule->id, "simplify the expression", NULL,
                                        "rule '%s': %s", rule->name, conditions_error(rule->where));
                else if ((contradiction = conditions_contradiction(rule->where)))
                        explanation_add(e, PT_SEVERITY_WARNING, "contradiction", rule->id, "update or remove the rule", NULL,
                                        "rule '%s' matches nothing: %s", rule->name, contradiction);
                if (json_array_size(e->list) > FINDINGS_MAX)
                        return;
        }
}

/* What keeps its providers from having what it demands. */
static void say_providers(Manager *m, const Group *group, Explanation *e) {
        size_t said = 0;

        for (Provider *p = inventory_first_provider(m->inventory); p && said < NAMED_MAX; p = p->hh.next) {
                _cleanup_(json_decrefp) json_t *layout = NULL;
                _cleanup_fault_ Fault conflict = { 0 };
                const Provision *made = p->device ? provision_find(m, p->device->id) : NULL;

                if (!p->device || !demand_exists(m, group, p->device, NULL))
                        continue;
                if (demand_layout(m, p->device, NULL, &layout, &conflict) < 0)
                        explanation_add(e, PT_SEVERITY_BLOCKER, "layout-conflict", p->device->id, "change one of the groups",
                                        NULL, "%s", strempty(conflict.message));
                else if ((json_is_null(layout) && (!made || !made->made)) ||
                         (made && made->made && !made->changing && json_equal(layout, made->made) &&
                          !made->drift && !provision_lacks_devices(m, made)))
                        continue;
                else if (made && made->drift)
                        explain_drift(m, made, p->device, e);
                else if (made && made->given_up)
                        explanation_add(e, PT_SEVERITY_WARNING, "provision-given-up", p->device->id,
                                        "find out why its driver drops or refuses them, then: passthroughctl group provision", NULL,
                                        "%s does not have the devices that the group demands: %s", p->device->host->sysname,
                                        strempty(made->failure.message));
                else if (made && (made->due || made->again))
                        explanation_add(e, PT_SEVERITY_WARNING, "provision-due", p->device->id, NULL, NULL,
                                        "%s does not have the devices that the group demands; they are made %s%s%s",
                                        p->device->host->sysname, made->again ? "now" : "when it is ready",
                                        made->failure.message ? "; the last try failed: " : "",
                                        strempty(made->failure.message));
                else
                        explanation_add(e, PT_SEVERITY_WARNING, "not-provisioned", p->device->id,
                                        "passthroughctl group provision", NULL,
                                        "%s does not have the devices that the group demands%s%s", p->device->host->sysname,
                                        made && made->failure.message ? "; the last try failed: " : "",
                                        made ? strempty(made->failure.message) : "");
                said++;
        }
}

/* What is said of them themselves. */
static void say_state_of_providers(Manager *m, const Group *group, Explanation *e) {
        size_t said = 0;

        for (Provider *p = inventory_first_provider(m->inventory); p && said < NAMED_MAX; p = p->hh.next) {
                _cleanup_findings_ FindingList findings = { 0 };

                if (!p->device || !demand_exists(m, group, p->device, NULL))
                        continue;
                provider_findings(m, p, &findings);
                for (size_t i = 0; i < findings.n_items; i++)
                        explanation_add(e, (PtSeverity) findings.items[i].severity, findings.items[i].code,
                                        findings.items[i].culprit ? findings.items[i].culprit : p->device->id,
                                        findings.items[i].remedy, json_pack("{s:s}", "provider", p->device->id), "%s: %s",
                                        p->device->host->sysname, findings.items[i].text);
                said += findings.n_items > 0;
        }
}

/* Where fewer of its free devices can be had than there are. */
static void say_room(Manager *m, const Group *group, Explanation *e) {
        size_t said = 0;

        for (Provider *p = inventory_first_provider(m->inventory); p && said < NAMED_MAX; p = p->hh.next) {
                const RoomItem *room = room_find(m, p, group);
                unsigned members = 0, free_ones = 0;

                for (size_t i = 0; room && i < p->n_children; i++)
                        if (group_has_member(group, p->children[i])) {
                                members++;
                                free_ones += !p->children[i]->allocation;
                        }
                if (!room || (room->available >= free_ones && room->total >= members))
                        continue;
                explanation_add(e, room->available == 0 ? PT_SEVERITY_WARNING : PT_SEVERITY_NOTE,
                                room->available == 0 ? "no-room" : "room", p->device->id,
                                "give back devices that were made by it, or change what the groups demand of it",
                                json_pack("{s:I, s:I, s:I}", "total", (json_int_t) room->total, "available",
                                          (json_int_t) room->available, "free", (json_int_t) free_ones),
                                "%s (%s) has room for %u of this group's devices at most, and for %u more now; %u of its devices "
                                "are free",
                                p->device->host->sysname, p->device->name, (unsigned) room->total,
                                (unsigned) room->available, free_ones);
                said++;
        }
}

static void say_state(Manager *m, Group *group, Explanation *e) {
        unsigned total, available, allocated;

        e->topic = "state";
        manager_group_counts(m, group, &total, &available, &allocated);
        if (!group->module)
                explanation_add(e, PT_SEVERITY_BLOCKER, "module-missing", group->type, "install the module of that type", NULL,
                                "the module of type '%s' is not loaded", group->type);
        if (!group->enabled)
                explanation_add(e, PT_SEVERITY_BLOCKER, "disabled", group->id, "passthroughctl group enable", NULL,
                                "the group is disabled");
        if (!group->rules)
                explanation_add(e, PT_SEVERITY_BLOCKER, "no-rules", group->id, "add a rule", NULL, "the group has no rules");
        else if (total == 0)
                explanation_add(e, PT_SEVERITY_BLOCKER, "no-members", group->id, "see the near misses below", NULL,
                                "its rules match no device of this host");
        else if (available == 0)
                explanation_add(e, PT_SEVERITY_BLOCKER, "none-available", group->id, NULL, NULL,
                                "none of its %u devices is available; %u in use", total, allocated);
        else
                explanation_add(e, PT_SEVERITY_NOTE, "available", group->id, NULL,
                                json_pack("{s:I, s:I, s:I}", "total", (json_int_t) total, "available",
                                          (json_int_t) available, "allocated", (json_int_t) allocated),
                                "%u of its %u devices can be had; %u in use", available, total, allocated);
        say_providers(m, group, e);
        say_state_of_providers(m, group, e);
        say_room(m, group, e);
        say_identities(m, group, e);
        say_rules(group, e);
        for (size_t i = 1; i < group->n_members; i++)
                if (group->members[i]->name != group->members[0]->name) { /* interned: equal names are one string */
                        explanation_add(e, PT_SEVERITY_NOTE, "mixed-models", group->id, NULL, NULL,
                                        "the group holds unlike models: %s and %s", group->members[0]->name,
                                        group->members[i]->name);
                        break;
                }
}

/* Who has its devices, by consumer. */
static void say_consumers(Manager *m, Group *group, Explanation *e) {
        _cleanup_free_ Allocation **list = NULL;
        size_t n = 0;

        e->topic = "use";
        if (manager_group_allocations(m, group, &list, &n) < 0)
                return;
        for (size_t i = 0; i < n && i < LOOKED_AT_MAX; i++) {
                size_t devices = 0;

                for (size_t k = 0; k < list[i]->n_requests; k++)
                        if (streq(list[i]->requests[k].group, group->id))
                                devices += list[i]->requests[k].n_devices;
                explanation_add(e, PT_SEVERITY_NOTE, "consumer", list[i]->id, NULL,
                                json_pack("{s:s, s:s, s:I}", "consumer", list[i]->consumer, "allocation-state",
                                          allocation_state_to_string(list[i]->state), "count", (json_int_t) devices),
                                "consumer %s (%s) has %zu of its devices", list[i]->consumer,
                                allocation_state_to_string(list[i]->state), devices);
        }
        if (n > LOOKED_AT_MAX)
                explanation_add(e, PT_SEVERITY_NOTE, "more-consumers", NULL, NULL, NULL, "and %zu more consumers",
                                n - LOOKED_AT_MAX);
}

void explain_group(Manager *m, Group *group, Explanation *e) {
        say_state(m, group, e);
        say_members(m, group, e);
        say_consumers(m, group, e);
        e->topic = "near";
        explain_near(m, group, e);
}
