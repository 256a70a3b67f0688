/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From requests to devices: who is eligible, who is chosen, what it occupies, which steps it takes. */

#include <ctype.h>
#include <stdio.h>

#include "choice.h"
#include "demand.h"
#include "guard.h"
#include "identity.h"
#include "json-util.h"
#include "lib/limits.h"
#include "operation.h"
#include "out-of-band.h"

void assignment_list_done(AssignmentList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                free(list->items[i].bundle);
        free(list->items);
        key_list_done(&list->keys);
        json_decref(list->choices);
        json_decref(list->unmet);
}

/* The holder of a key for people: an allocation by its consumer. */
static void add_claimed(Manager *m, const char *holder, FindingList *findings) {
        Allocation *allocation = manager_find_allocation(m, holder);
        const char *provider = startswith(holder, "provision:");

        if (provider) {
                finding_add(findings, PT_SEVERITY_BLOCKER, "has-devices", provider,
                            "remove the groups that have it make devices, or use those instead",
                            "devices are made of it as %s, for groups that demand them", provider);
                return;
        }
        finding_add(findings, PT_SEVERITY_BLOCKER, "claimed", holder,
                    "release or deactivate that allocation, or choose another device", "in use by %s%s%s",
                    allocation ? "allocation of consumer " : "", allocation ? allocation->consumer : holder,
                    allocation ? "" : "");
}

static void check_role(const Device *device, FindingList *findings) {
        if (device->role == PT_ROLE_PROVIDER) {
                finding_add(findings, PT_SEVERITY_BLOCKER, "provider", device->id,
                            "make a group with a rule on provider.slot, or take it as a plain PCI device",
                            "%s makes devices; those are given out, not itself", device->name);
                return;
        }
        if (device->role != PT_ROLE_OFFER && !finding_has(findings, "bridge") &&
            !finding_has(findings, "platform-device"))
                finding_add(findings, PT_SEVERITY_BLOCKER, "forbidden", device->id, NULL,
                            "%s belongs to the host and is never handed out", device->name);
}

static void check_keys(Manager *m, Device *device, const char *holder, FindingList *findings) {
        _cleanup_keys_ KeyList keys = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        const char *other = NULL;

        if (inventory_uses(m->inventory, device, &keys, &fault) < 0)
                finding_add(findings, PT_SEVERITY_BLOCKER, "module-error", device->module->name, NULL, "%s",
                            strempty(fault.message));
        else if (key_table_check(m->keys, &keys, holder, &other, NULL) < 0)
                add_claimed(m, strempty(other), findings);
}

/* What its own module has against it. Of the rest only what stops the companion stops the bundle. */
static void check_offer(Manager *m, const Device *device, Device *offer, const PlanRequest *request,
                        FindingList *findings) {
        _cleanup_findings_ FindingList own = { 0 };
        _cleanup_fault_ Fault fault = { 0 };

        /* The settings of a request are those of one type. */
        if (inventory_check(m->inventory, offer, offer->module == device->module ? request : NULL, &own, &fault) < 0)
                finding_add(findings, PT_SEVERITY_BLOCKER, "module-error", offer->module->name, NULL, "%s: %s",
                            offer->host->sysname, strempty(fault.message));
        for (size_t i = 0; i < own.n_items; i++)
                if (own.items[i].severity == PT_SEVERITY_BLOCKER)
                        finding_add(findings, PT_SEVERITY_BLOCKER, own.items[i].code, offer->id, own.items[i].remedy,
                                    "%s: %s", offer->host->sysname, own.items[i].text);
}

/* A companion that the host's chipset needs, that was put in quarantine, or that its own module has something against, holds
 * the whole bundle back. */
static void check_companion(Manager *m, const Device *device, Device *offer, const PlanRequest *request,
                            FindingList *findings) {
        bool said = guard_verdict(m->guard, offer->host) == VERDICT_FORBIDDEN; /* by check_companion_need() */

        if (offer->role == PT_ROLE_PLATFORM && !said)
                finding_add(findings, PT_SEVERITY_BLOCKER, "companion-forbidden", offer->id,
                            "move the card to a slot with an IOMMU group of its own",
                            "%s (%s) is in the same IOMMU group %d and belongs to the host", offer->name,
                            offer->host->sysname, (int) offer->host->iommu_group);
        else if (offer->role != PT_ROLE_PLATFORM)
                check_offer(m, device, offer, request, findings);
        if (offer->quarantine)
                finding_add(findings, PT_SEVERITY_BLOCKER, "companion-quarantined", offer->id,
                            "clear the quarantine once the device is sound", "%s is in quarantine: %s",
                            offer->host->sysname, offer->quarantine);
}

/* Whoever offers it, or nobody: the IOMMU group moves as one, and the host would lose it too. */
static void check_companion_need(Manager *m, const Device *device, const HostDevice *companion, FindingList *findings) {
        Verdict verdict = guard_verdict(m->guard, companion);
        _cleanup_free_ char *reason = NULL;

        if (verdict < VERDICT_CRITICAL)
                return;
        reason = guard_reason(m->guard, companion);
        (void) finding_add(findings, PT_SEVERITY_BLOCKER,
                           verdict == VERDICT_FORBIDDEN ? "companion-forbidden" : "companion-critical", companion->id,
                           "move the card to a slot with an IOMMU group of its own",
                           "the host needs %s, which is in the same IOMMU group %d: %s", companion->sysname,
                           (int) device->host->iommu_group, strempty(reason));
        if (verdict == VERDICT_CRITICAL)
                finding_set_overridable(findings);
}

void device_need(Manager *m, Device *device, FindingList *findings) {
        _cleanup_free_ HostDevice **bundle = NULL;

        (void) guard_explain(m->guard, device->host, findings);
        if (inventory_bundle(m->inventory, device, &bundle) < 0)
                return;
        for (size_t i = 1; bundle[i]; i++)
                check_companion_need(m, device, bundle[i], findings);
        if (device->role == PT_ROLE_OFFER)
                check_out_of_band(m, bundle, findings);
}

static void check_companions(Manager *m, Device *device, const PlanRequest *request, FindingList *findings) {
        _cleanup_free_ HostDevice **bundle = NULL;

        if (inventory_bundle(m->inventory, device, &bundle) < 0)
                return;
        for (size_t i = 0; bundle[i]; i++)
                for (Device *offer = bundle[i]->offers; offer && bundle[i] != device->host; offer = offer->next_offer)
                        check_companion(m, device, offer, request, findings);
}

bool device_eligible(Manager *m, Device *device, const char *holder, const PlanRequest *request, FindingList *findings) {
        _cleanup_fault_ Fault fault = { 0 };

        if (device->quarantine)
                finding_add(findings, PT_SEVERITY_BLOCKER, "quarantined", device->id,
                            "passthroughctl device clear-quarantine once it is sound", "in quarantine: %s",
                            device->quarantine);
        if (inventory_check(m->inventory, device, request, findings, &fault) < 0)
                finding_add(findings, PT_SEVERITY_BLOCKER, "module-error", device->module->name, NULL, "%s",
                            strempty(fault.message));
        identity_check_device(m, device, findings);
        check_role(device, findings);
        device_need(m, device, findings);
        check_companions(m, device, request, findings);
        if (device->role == PT_ROLE_OFFER)
                check_keys(m, device, holder, findings);
        return finding_first_blocker(findings) == NULL;
}

void provider_findings(Manager *m, const Provider *provider, FindingList *findings) {
        _cleanup_fault_ Fault fault = { 0 };
        char self[ID_SIZE + 16];

        if (inventory_check(m->inventory, provider->device, NULL, findings, &fault) < 0)
                finding_add(findings, PT_SEVERITY_BLOCKER, "module-error", provider->device->module->name, NULL, "%s",
                            strempty(fault.message));
        /* Those who have what it made are in nobody's way; where there is nothing somebody may have it as a whole. */
        (void) snprintf(self, sizeof(self), "provision:%s", provider->device->id);
        if (provider->n_children == 0)
                check_keys(m, provider->device, self, findings);
}

int plan_request_for(Manager *m, const Allocation *allocation, const Request *request, PtVerb verb,
                     SettingValues *settings, PlanRequest *ret, Fault *fault) {
        const Group *group = policy_find_group(m->policy, request->group);

        if (!group)
                return fault_set_object(fault, -ENOENT, FAULT_UNKNOWN_GROUP, request->group,
                                        "the group '%s' of request '%s' is gone", request->group, request->name);
        int r = settings_merge(&group->settings, (const char *const *) group->user_defined, &request->settings, settings,
                               fault);
        if (r < 0)
                return r;
        *ret = (PlanRequest) {
                .verb = verb,
                .uid = allocation->node_uid,
                .gid = allocation->node_gid,
                .park_companions = request->park_companions,
                .settings = settings,
        };
        return 0;
}

/* A number that differs between any two devices of one allocation (times an odd one: none is lost modulo 2^48) is laid over the
 * last twelve digits of its UUID; version and variant in the middle stay. */
void plan_request_identify(PlanRequest *request, const Allocation *allocation, size_t request_index, size_t number) {
        uint64_t place = request_index * REQUEST_COUNT_MAX + number, end;
        char digits[13];

        memcpy(request->uuid, allocation->id, sizeof(request->uuid));
        if (place == 0)
                return;
        memcpy(digits, request->uuid + UUID_TEXT_SIZE - sizeof(digits), sizeof(digits));
        end = (strtoull(digits, NULL, 16) ^ place * UINT64_C(0x9e3779b97f4b)) & UINT64_C(0xffffffffffff);
        (void) snprintf(digits, sizeof(digits), "%012" PRIx64, end);
        memcpy(request->uuid + UUID_TEXT_SIZE - sizeof(digits), digits, sizeof(digits));
}

/* What an administrator may decide otherwise beside the findings that say so themselves; everything else is a fact that no
 * right changes. */
static const char *const overridable[] = { "quarantined", "companion-quarantined", "no-reset", "no-such-reset", NULL };

bool device_accept_overridden(const Device *device, const char *const *overrides, FindingList *findings) {
        if (strv_contains(overrides, device->id))
                for (size_t i = 0; i < findings->n_items; i++)
                        if (findings->overridable[i] || strv_contains(overridable, findings->items[i].code))
                                findings->items[i].severity = PT_SEVERITY_WARNING;
        return finding_first_blocker(findings) == NULL;
}

typedef struct Chooser {
        Manager *m;
        const char *holder;
        const PlanRequest *request;
        const Allocation *allocation;
        const Group *group;
        const AssignmentList *list;
        const char *const *overrides;
        bool explain; /* somebody reads why a device is not */
        size_t n_asked;
} Chooser;

/* Its keys are the allocation's by then, and would not stand against another request of it. */
static bool is_assigned(const AssignmentList *list, const Device *device) {
        for (size_t i = 0; i < list->n_items; i++)
                for (HostDevice **host = list->items[i].bundle; *host; host++)
                        if (*host == device->host)
                                return true;
        return false;
}

static bool chooser_eligible(void *userdata, Device *device, FindingList *why_not) {
        Chooser *chooser = userdata;
        _cleanup_findings_ FindingList taken = { 0 };

        if (is_assigned(chooser->list, device)) {
                (void) finding_add(why_not, PT_SEVERITY_BLOCKER, "chosen-already", device->id, NULL,
                                   "another request of the same allocation gets it");
                return false;
        }
        /* In a group most of which is taken, nearly all candidates end here, before anything is read from the host. Nobody reads
         * about thousands of them. */
        if ((!chooser->explain || ++chooser->n_asked > CANDIDATES_MAX) && device->role == PT_ROLE_OFFER) {
                check_keys(chooser->m, device, chooser->holder, &taken);
                if (finding_first_blocker(&taken))
                        return false;
        }
        (void) device_eligible(chooser->m, device, chooser->holder, chooser->request, why_not);
        identity_check_use(chooser->allocation, device, why_not);
        return device_accept_overridden(device, chooser->overrides, why_not);
}

/* What earlier requests of the same allocation got of this provider. */
static int claims_of(const Chooser *chooser, const Provider *provider, RoomClaim **ret, size_t *ret_n) {
        const AssignmentList *list = chooser->list;
        RoomClaim *claims = calloc(list->n_items + 1, sizeof(RoomClaim));
        size_t n = 0;

        if (!claims)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_items; i++) {
                const Assignment *item = &list->items[i];

                /* One that it has had, as a thick allocation does, counts as claimed anyway. */
                if (item->device->provider == provider && !item->device->allocation)
                        claims[n++] = (RoomClaim){ chooser->allocation->requests[item->request].group, 1 };
        }
        *ret = claims;
        *ret_n = n;
        return 0;
}

static bool chooser_fits(void *userdata, Device *const *chosen, size_t n_chosen, Device *device, FindingList *why_not) {
        const Chooser *chooser = userdata;
        _cleanup_free_ RoomClaim *claims = NULL;
        uint32_t available = 0, taken = 0;
        size_t n = 0;

        /* Nearly all have a provider that says nothing of room, or none. */
        if (!room_find(chooser->m, device->provider, chooser->group) ||
            claims_of(chooser, device->provider, &claims, &n) < 0 ||
            room_available(chooser->m, device->provider, chooser->group, claims, n, &available) == 0)
                return true;
        for (size_t i = 0; i < n_chosen; i++)
                taken += chosen[i]->provider == device->provider;
        if (taken < available)
                return true;
        if (why_not)
                room_blocker(chooser->m, device->provider, chooser->group, why_not);
        return false;
}

static uint32_t chooser_cost(void *userdata, Device *const *chosen, size_t n_chosen, Device *device,
                             char ret_text[static CHOICE_TEXT_SIZE]) {
        const Chooser *chooser = userdata;
        _cleanup_free_ RoomClaim *claims = NULL;
        RoomClaim *with;
        size_t n = 0;
        uint32_t taken = 0;

        ret_text[0] = '\0';
        if (claims_of(chooser, device->provider, &claims, &n) < 0)
                return 0;
        for (size_t i = 0; i < n_chosen; i++)
                taken += chosen[i]->provider == device->provider;
        with = reallocarray(claims, n + 1, sizeof(RoomClaim));
        if (!with)
                return 0;
        claims = with;
        claims[n] = (RoomClaim){ chooser->group->id, taken };
        return room_cost(chooser->m, device->provider, chooser->group, claims, n + (taken > 0), ret_text);
}

static int add_assignment(Manager *m, size_t request, Device *device, const char *holder, AssignmentList *list,
                          Fault *fault) {
        _cleanup_keys_ KeyList keys = { 0 };
        _cleanup_free_ HostDevice **bundle = NULL;
        int r = inventory_uses(m->inventory, device, &keys, fault);

        if (r < 0)
                return r;
        r = inventory_bundle(m->inventory, device, &bundle);
        if (r < 0)
                return fault_oom(fault);
        r = key_table_take(m->keys, &keys, holder, fault);
        if (r < 0)
                return r;
        for (size_t i = 0; i < keys.n_items; i++)
                if (key_list_add(&list->keys, keys.items[i].key, keys.items[i].exclusive) < 0)
                        return fault_oom(fault);

        Assignment *items = reallocarray(list->items, list->n_items + 1, sizeof(Assignment));
        if (!items)
                return fault_oom(fault);
        list->items = items;
        list->items[list->n_items++] = (Assignment) { request, device, TAKE_PTR(bundle) };
        return 0;
}

/* A group without members may have providers that could make some, but for this. */
static void add_providers_reasons(Manager *m, const Group *group, char *reasons, size_t size) {
        size_t n = 0;

        for (Provider *p = inventory_first_provider(m->inventory); p && n < size - 1; p = p->hh.next) {
                _cleanup_findings_ FindingList findings = { 0 };
                const PtFinding *blocker;
                int w;

                if (!p->device || !demand_exists(m, group, p->device, NULL))
                        continue;
                provider_findings(m, p, &findings);
                blocker = finding_first_blocker(&findings);
                w = blocker ? snprintf(reasons + n, size - n, "; %s: %s", p->device->id, blocker->text) : 0;
                n += w > 0 ? (size_t) w : 0;
        }
}

/* Why nothing was found, in one text: the reasons of the candidates, counted. */
static int none_available(Manager *m, const Request *request, const Group *group, size_t found, json_t *candidates, Fault *fault) {
        char reasons[512] = "";
        size_t n = 0, index;
        json_t *candidate;

        json_array_foreach(candidates, index, candidate) {
                json_t *first = json_array_get(json_object_get(candidate, "blockers"), 0);
                const char *text = json_string_value(json_object_get(first, "text"));
                if (!text || n >= sizeof(reasons) - 1 || json_is_true(json_object_get(candidate, "chosen")))
                        continue;
                int w = snprintf(reasons + n, sizeof(reasons) - n, "; %s: %s",
                                 strempty(json_string_value(json_object_get(candidate, "device"))), text);
                n += w > 0 ? (size_t) w : 0;
        }
        if (json_array_size(candidates) == 0)
                add_providers_reasons(m, group, reasons, sizeof(reasons));
        return fault_set_object(fault, -EBUSY, FAULT_NO_DEVICE_AVAILABLE, group->id,
                                "group '%s' has %zu of the %u devices that request '%s' needs%s%s", group->name, found,
                                request->count, request->name,
                                json_array_size(candidates) == 0 ? ": it has no members" : "", reasons);
}

static int choose_request(Manager *m, Allocation *a, size_t index, const char *holder, AssignmentList *list,
                          Fault *fault) {
        Request *request = &a->requests[index];
        _cleanup_settings_ SettingValues settings = { 0 };
        _cleanup_free_ Device **chosen = NULL;
        _cleanup_(json_decrefp) json_t *candidates = NULL;
        PlanRequest plan;
        size_t n = 0;
        int r = plan_request_for(m, a, request, PT_VERB_ACTIVATE, &settings, &plan, fault);

        if (r < 0)
                return r;
        const Group *group = policy_find_group(m->policy, request->group);
        if (!group->enabled)
                return fault_set_object(fault, -EPERM, FAULT_GROUP_DISABLED, group->id, "group '%s' is disabled",
                                        group->name);
        if (!group->module)
                return fault_set_object(fault, -ENOENT, FAULT_MODULE_MISSING, group->id,
                                        "the module of type '%s' is not loaded", group->type);

        Chooser chooser = { m, holder, &plan, a, group, list, list->overrides, list->explain, 0 };
        const ChoiceRequest wanted = {
                .group = group,
                .count = request->count,
                .numa_node = request->numa_node,
                .last = (const char *const *) request->last,
                .eligible = chooser_eligible,
                .fits = chooser_fits,
                .cost = chooser_cost,
                .userdata = &chooser,
        };
        /* Every candidate is looked at only where somebody reads about it: in a plan, or to say why none was found. */
        r = choice_make(m->inventory, &wanted, &chosen, &n, list->explain ? &candidates : NULL, fault);
        if (r >= 0 && n < request->count && !candidates) {
                free(chosen);
                chosen = NULL;
                chooser.explain = true;
                r = choice_make(m->inventory, &wanted, &chosen, &n, &candidates, fault);
        }
        if (r < 0)
                return r;
        if (list->explain)
                json_array_append_new(list->choices, json_pack("{s:s, s:s, s:O}", "request", request->id, "group",
                                                               group->id, "candidates", candidates));
        if (n < request->count)
                return none_available(m, request, group, n, candidates, fault);
        for (size_t i = 0; i < n; i++) {
                r = add_assignment(m, index, chosen[i], holder, list, fault);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A thick allocation keeps its devices over power cycles: they are looked up, not chosen. */
static int reuse_request(Manager *m, Allocation *a, size_t index, const char *holder, AssignmentList *list, Fault *fault) {
        Request *request = &a->requests[index];
        _cleanup_settings_ SettingValues settings = { 0 };
        PlanRequest plan;
        int r = plan_request_for(m, a, request, PT_VERB_ACTIVATE, &settings, &plan, fault);

        if (r < 0)
                return r;
        for (size_t i = 0; i < request->n_devices; i++) {
                _cleanup_findings_ FindingList findings = { 0 };
                Device *device = inventory_find(m->inventory, request->devices[i].device);

                if (!device)
                        return fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, request->devices[i].device,
                                                "the reserved device %s is not there", request->devices[i].device);
                (void) device_eligible(m, device, holder, &plan, &findings);
                identity_check_use(a, device, &findings);
                if (!device_accept_overridden(device, list->overrides, &findings))
                        return fault_set_object(fault, -EBUSY, FAULT_DEVICE_BLOCKED, device->id, "%s: %s",
                                                device->host->sysname, finding_first_blocker(&findings)->text);
                r = add_assignment(m, index, device, holder, list, fault);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* In kebab-case, as findings have their codes: "no-device-available". */
static void finding_code(FaultCode code, char ret[static 64]) {
        const char *word = strempty(fault_code_to_string(code));
        size_t n = 0;

        for (; *word && n < 61; word++) {
                if (isupper((unsigned char) *word) && n > 0)
                        ret[n++] = '-';
                ret[n++] = (char) tolower((unsigned char) *word);
        }
        ret[n] = '\0';
}

/* For who wants to know everything a request that gets nothing is an answer, not the end. */
static int note_unmet(const Request *request, AssignmentList *list, const Fault *reason) {
        char code[64];

        finding_code(reason->code, code);
        return json_array_append_new(list->unmet, json_pack("{s:s, s:s, s:s, s:b}", "request", request->name, "code", code,
                                                            "text", strempty(reason->message), "optional",
                                                            request->optional)) < 0
                       ? -ENOMEM
                       : 0;
}

static int assign_request(Manager *m, Allocation *a, size_t index, const char *holder, AssignmentList *list,
                          Fault *fault) {
        Request *request = &a->requests[index];
        _cleanup_fault_ Fault reason = { 0 };
        int r;

        if (!request->enabled)
                return 0;
        if (request->n_devices > 0) {
                r = reuse_request(m, a, index, holder, list, list->explain ? &reason : fault);
                return r < 0 && r != -ENOMEM && list->explain ? note_unmet(request, list, &reason) : r;
        }
        r = choose_request(m, a, index, holder, list, &reason);
        if (r < 0 && r != -ENOMEM && list->explain)
                return note_unmet(request, list, &reason);
        free(request->status);
        request->status = strdup(r < 0 ? strempty(reason.message) : "");
        if (!request->status)
                return fault_oom(fault);
        if (r < 0 && !request->optional) {
                fault_move(fault, &reason);
                return r;
        }
        return 0;
}

void restore_reserved(Manager *m, const Allocation *allocation) {
        _cleanup_keys_ KeyList all = { 0 };

        for (size_t i = 0; i < allocation->n_requests; i++)
                for (size_t k = 0; k < allocation->requests[i].n_devices; k++) {
                        _cleanup_keys_ KeyList keys = { 0 };
                        Device *device = inventory_find(m->inventory, allocation->requests[i].devices[k].device);

                        /* What it occupies can't be said: it keeps all it has. */
                        if (!device || inventory_uses(m->inventory, device, &keys, NULL) < 0)
                                return;
                        for (size_t j = 0; j < keys.n_items; j++)
                                if (key_list_add(&all, keys.items[j].key, keys.items[j].exclusive) < 0)
                                        return;
                }
        key_table_release(m->keys, allocation->id);
        (void) key_table_take(m->keys, &all, allocation->id, NULL);
}

int assign_devices(Manager *m, Allocation *allocation, const char *holder, const char *const *overrides, bool explain,
                   AssignmentList *ret, Fault *fault) {
        AssignmentList list = { .choices = json_array(), .unmet = json_array(), .overrides = overrides, .explain = explain };
        int r = list.choices && list.unmet ? 0 : fault_oom(fault);

        for (size_t i = 0; i < allocation->n_requests && r >= 0; i++)
                r = assign_request(m, allocation, i, holder, &list, fault);
        if (r < 0) {
                if (allocation->thick && streq(holder, allocation->id))
                        restore_reserved(m, allocation);
                else
                        key_table_release(m->keys, holder);
                assignment_list_done(&list);
                return r;
        }
        *ret = list;
        return 0;
}

int assignment_plan(Manager *m, Allocation *allocation, const AssignmentList *list, PtVerb verb, Plan *plan, Fault *fault) {
        size_t number = 0; /* of the device within its request: they stand together */

        for (size_t i = 0; i < list->n_items; i++) {
                const Assignment *item = &list->items[i];
                _cleanup_settings_ SettingValues settings = { 0 };
                PlanRequest request;
                int r = plan_request_for(m, allocation, &allocation->requests[item->request], verb, &settings, &request,
                                         fault);

                number = i > 0 && list->items[i - 1].request == item->request ? number + 1 : 0;
                if (r >= 0)
                        plan_request_identify(&request, allocation, item->request, number);
                if (r >= 0)
                        r = inventory_plan(m->inventory, item->device, &request, plan, fault);
                if (r < 0)
                        return r;
        }
        return 0;
}
