/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "demand.h"

#include <stdio.h>

#include "json-util.h"
#include "module-call.h"
#include "rule.h"

/* The rules of a group as they would be after the change. */
typedef struct RuleWalk {
        const PolicyChange *change;
        const Group *group;
        const GroupView *view; /* then these alone */
        size_t at;
        const Rule *next;
        bool added; /* the rule of the change has had its turn */
} RuleWalk;

static RuleWalk walk_rules(const Group *group, const GroupView *view, const PolicyChange *change) {
        return (RuleWalk){ .change = change, .group = group, .view = view, .next = view ? NULL : group->rules };
}

static bool change_adds_to(const PolicyChange *change, const Group *group) {
        return change && change->rule && change->rule->group && streq(change->rule->group->id, group->id);
}

static const Rule *next_rule(RuleWalk *walk) {
        if (walk->view)
                return walk->at < walk->view->n_rules ? walk->view->rules[walk->at++] : NULL;
        while (walk->next) {
                const Rule *rule = walk->next;

                walk->next = rule->next;
                if (walk->change && walk->change->without_rule && streq(walk->change->without_rule, rule->id))
                        continue;
                if (!change_adds_to(walk->change, walk->group) || !streq(walk->change->rule->id, rule->id))
                        return rule;
                walk->added = true;
                return walk->change->rule;
        }
        if (!walk->added && change_adds_to(walk->change, walk->group)) {
                walk->added = true;
                return walk->change->rule;
        }
        return NULL;
}

static bool speaks(Manager *m, const Rule *rule, RuleAction action) {
        return rule->action == action && !rule->invalid && rule_applies(rule, m->config.node);
}

/* A rule that speaks of devices too leaves out some of them, not the provider. */
static bool names_provider_only(const Rule *rule) {
        return conditions_name_provider(rule->where) && conditions_fields(rule->where) == 0;
}

static bool selects(Manager *m, const Group *group, const GroupView *view, const Device *provider, const PolicyChange *change) {
        bool selected = false;
        const Rule *rule;

        if (group->module != provider->module || provider->role != PT_ROLE_PROVIDER ||
            (change && change->without_group && streq(change->without_group, group->id)))
                return false;
        for (RuleWalk walk = walk_rules(group, view, change); (rule = next_rule(&walk));) {
                if (speaks(m, rule, RULE_INCLUDE))
                        selected = selected || conditions_match_provider(rule->where, provider) == MATCH_YES;
                else if (speaks(m, rule, RULE_EXCLUDE) && names_provider_only(rule) &&
                         conditions_match_provider(rule->where, provider) != MATCH_NO)
                        return false;
        }
        return selected;
}

bool demand_exists(Manager *m, const Group *group, const Device *provider, const PolicyChange *change) {
        return selects(m, group, NULL, provider, change);
}

int demand_groups(Manager *m, const Device *provider, const PolicyChange *change, char ***ret) {
        char **ids = calloc(policy_count_groups(m->policy) + 1, sizeof(char *));
        size_t n = 0;

        if (!ids)
                return -ENOMEM;
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next) {
                if (!demand_exists(m, group, provider, change))
                        continue;
                ids[n] = strdup(group->id);
                if (!ids[n++]) {
                        strv_free(ids);
                        return -ENOMEM;
                }
        }
        *ret = ids;
        return 0;
}

/* ---- the demands of a call ---- */

typedef struct DemandSource {
        Manager *m;
        const Group *group;
        const GroupView *view;
        const Device *provider;
        const PolicyChange *change;
} DemandSource;

static bool accepts(const Demand *demand, unsigned field, const PtValue *value) {
        const DemandSource *source = demand->userdata;
        bool taken = false, other;
        const Rule *rule;

        for (RuleWalk walk = walk_rules(source->group, source->view, source->change); (rule = next_rule(&walk));) {
                if (speaks(source->m, rule, RULE_INCLUDE))
                        taken = taken || (conditions_match_provider(rule->where, source->provider) == MATCH_YES &&
                                          conditions_accept(rule->where, field, value, NULL));
                else if (speaks(source->m, rule, RULE_EXCLUDE) && conditions_accept(rule->where, field, value, &other) &&
                         !other &&
                         (!conditions_name_provider(rule->where) ||
                          conditions_match_provider(rule->where, source->provider) == MATCH_YES))
                        return false;
        }
        return taken;
}

/* By requests for this group: others may have devices that are members of it, too. */
static uint32_t count_claimed(const Group *group, const Device *provider) {
        const Provider *p = provider->provider;
        uint32_t n = 0;

        for (size_t i = 0; p && i < p->n_children; i++)
                n += device_is_claimed_for(p->children[i], group);
        return n;
}

bool device_is_claimed_for(const Device *device, const Group *group) {
        const Allocation *a = device->allocation;

        for (size_t i = 0; a && i < a->n_requests; i++)
                for (size_t k = 0; streq(a->requests[i].group, group->id) && k < a->requests[i].n_devices; k++)
                        if (streq(a->requests[i].devices[k].device, device->id))
                                return true;
        return false;
}

/* One more demand where the group makes one: 1 or 0. */
static size_t add_demand(Manager *m, const Group *group, const GroupView *view, Device *provider, const PolicyChange *change,
                         DemandSource *source, Demand *demand) {
        bool replaced = change && change->group && streq(change->group->id, group->id);
        const Group *now = replaced ? change->group : group;

        if (!selects(m, group, view, provider, change))
                return 0;
        *source = (DemandSource){ m, group, view, provider, change };
        *demand = (Demand){
                .view = { .struct_size = sizeof(PtDemand),
                          .claimed = count_claimed(group, provider),
                          .group = group->id,
                          .group_name = now->name },
                .settings = &now->settings,
                .accepts = accepts,
                .userdata = source,
        };
        return 1;
}

static size_t collect(Manager *m, Device *provider, const PolicyChange *change, DemandSource *sources, Demand *demands) {
        const Group *added = change ? change->new_group : NULL;
        size_t n = 0;

        if (change && change->views) {
                for (size_t i = 0; i < change->n_views; i++)
                        n += add_demand(m, change->views[i].group, &change->views[i], provider, NULL, &sources[n], &demands[n]);
                return n;
        }
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                n += add_demand(m, group, NULL, provider, change, &sources[n], &demands[n]);
        if (added && !policy_find_group(m->policy, added->id))
                n += add_demand(m, added, NULL, provider, change, &sources[n], &demands[n]);
        return n;
}

static int conflict(const FindingList *findings, Fault *fault) {
        const PtFinding *blocker = finding_first_blocker(findings);

        if (!blocker)
                return 0;
        return fault_set_object(fault, -EEXIST, FAULT_LAYOUT_CONFLICT, blocker->culprit, "%s%s%s", blocker->text,
                                blocker->remedy ? " " : "", strempty(blocker->remedy));
}

static int op_failed(const Device *provider, ModuleOp op, int error, Fault *fault) {
        return fault_set_object(fault, error, FAULT_INTERNAL, provider->id, "Module %s failed in %s() for %s: %s",
                                provider->module->name, module_op_to_string(op), provider->host->sysname,
                                strerror(-error));
}

static int call_layout(Manager *m, Device *provider, const Demand *demands, size_t n, DemandRoom *rooms, json_t **ret,
                       Fault *fault) {
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, m->inventory, provider->module, hosts, NULL);
        if (r < 0)
                return fault_oom(fault);
        call.demands = demands;
        call.n_demands = n;
        call.rooms = rooms;
        r = module_call_run(&call, MODULE_OP_LAYOUT, NULL);
        if (r < 0)
                return op_failed(provider, MODULE_OP_LAYOUT, r, fault);
        if (!ret)
                return 0;
        r = conflict(&call.findings, fault);
        if (r < 0)
                return r;
        *ret = call.layout ? json_incref(call.layout) : json_null();
        return 0;
}

int demand_layout(Manager *m, Device *provider, const PolicyChange *change, json_t **ret, Fault *fault) {
        size_t max = change && change->views ? change->n_views : policy_count_groups(m->policy), n;
        _cleanup_free_ DemandSource *sources = calloc(max + 2, sizeof(DemandSource));
        _cleanup_free_ Demand *demands = calloc(max + 2, sizeof(Demand));

        if (!sources || !demands)
                return fault_oom(fault);
        n = provider->module->descriptor->layout ? collect(m, provider, change, sources, demands) : 0;
        if (n == 0) {
                *ret = json_null();
                return 0;
        }
        return call_layout(m, provider, demands, n, NULL, ret, fault);
}

static void add_claims(Demand *demand, const RoomClaim *claims, size_t n_claims) {
        for (size_t i = 0; i < n_claims; i++)
                if (streq(claims[i].group, demand->view.group))
                        demand->view.claimed += claims[i].count;
}

int demand_rooms(Manager *m, Device *provider, const RoomClaim *claims, size_t n_claims, Room *ret) {
        size_t max = policy_count_groups(m->policy), n;
        _cleanup_free_ DemandSource *sources = calloc(max + 1, sizeof(DemandSource));
        _cleanup_free_ DemandRoom *rooms = calloc(max + 1, sizeof(DemandRoom));
        _cleanup_free_ Demand *demands = calloc(max + 1, sizeof(Demand));
        int r = 0;

        if (!sources || !rooms || !demands)
                return -ENOMEM;
        n = collect(m, provider, NULL, sources, demands);
        for (size_t i = 0; i < n; i++)
                add_claims(&demands[i], claims, n_claims);
        if (n > 0)
                r = call_layout(m, provider, demands, n, rooms, NULL, NULL);
        for (size_t i = 0; i < n && r >= 0; i++) {
                RoomItem *item = &ret->items[ret->n_items];

                if (!rooms[i].put)
                        continue;
                (void) snprintf(item->group, sizeof(item->group), "%s", demands[i].view.group);
                item->total = rooms[i].total;
                item->available = rooms[i].available;
                memcpy(item->name, rooms[i].name, sizeof(item->name));
                item->size = rooms[i].size;
                ret->n_items++;
        }
        return r;
}

void layout_text(json_t *layout, char *buffer, size_t size) {
        const char *name;
        size_t used = 0;
        json_t *entry;

        buffer[0] = '\0';
        json_object_foreach(layout, name, entry) {
                json_t *value = json_array_get(entry, 1);
                _cleanup_free_ char *text = json_is_string(value) ? strdup(json_string_value(value))
                                                                  : json_dumps(value, JSON_ENCODE_ANY);
                int n = snprintf(buffer + used, size - used, "%s%s %s", used > 0 ? ", " : "", name, strempty(text));

                used = n > 0 ? MIN_OF(used + (size_t) n, size - 1) : used;
        }
}

int demand_check(Manager *m, const Module *module, const PolicyChange *change, Fault *fault) {
        if (!module || !module->descriptor || !module->descriptor->layout)
                return 0;
        for (Provider *p = inventory_first_provider(m->inventory); p; p = p->hh.next) {
                _cleanup_(json_decrefp) json_t *layout = NULL;
                int r;

                if (p->module != module || !p->device)
                        continue;
                r = demand_layout(m, p->device, change, &layout, fault);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What layout() says of capacity, which knows what groups hold and are to have. */
static void add_planned_capacity(Manager *m, Device *provider, json_t *capacity) {
        size_t max = policy_count_groups(m->policy), n;
        _cleanup_free_ DemandSource *sources = calloc(max + 1, sizeof(DemandSource));
        _cleanup_free_ Demand *demands = calloc(max + 1, sizeof(Demand));
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        const char *profile;
        json_t *number;

        if (!sources || !demands || !provider->module->descriptor->layout)
                return;
        n = collect(m, provider, NULL, sources, demands);
        if (n == 0 || module_call_init(&call, m->inventory, provider->module, hosts, NULL) < 0)
                return;
        call.demands = demands;
        call.n_demands = n;
        if (module_call_run(&call, MODULE_OP_LAYOUT, NULL) < 0)
                return;
        json_object_foreach(call.items, profile, number)
                (void) json_object_set(capacity, profile, number);
}

int provider_capacity(Manager *m, Device *provider, json_t **ret, json_t **ret_profiles, Fault *fault) {
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, m->inventory, provider->module, hosts, NULL);
        if (r >= 0 && provider->module->descriptor->capacity)
                r = module_call_run(&call, MODULE_OP_CAPACITY, NULL);
        if (r < 0)
                return op_failed(provider, MODULE_OP_CAPACITY, r, fault);
        *ret = call.items ? json_incref(call.items) : json_object();
        if (!*ret)
                return fault_oom(fault);
        add_planned_capacity(m, provider, *ret);
        if (ret_profiles)
                *ret_profiles = call.profiles ? json_incref(call.profiles) : json_object();
        return 0;
}

int provider_change(Manager *m, Device *provider, json_t *made, json_t *layout, Transition *ret, Fault *fault) {
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        if (!provider->module->descriptor->change) {
                *ret = TRANSITION_REPLACE;
                return 0;
        }
        r = module_call_init(&call, m->inventory, provider->module, hosts, NULL);
        if (r >= 0) {
                call.layout_given = layout;
                call.layout_made = made;
                r = module_call_run(&call, MODULE_OP_CHANGE, NULL);
        }
        if (r < 0)
                return op_failed(provider, MODULE_OP_CHANGE, r, fault);
        *ret = call.answer > 0 ? TRANSITION_BESIDE : TRANSITION_ANEW;
        return 0;
}

int provider_verify(Manager *m, Device *provider, json_t *made, FindingList *ret, Fault *fault) {
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, m->inventory, provider->module, hosts, NULL);
        if (r >= 0) {
                call.layout_made = made;
                r = module_call_run(&call, MODULE_OP_VERIFY, NULL);
        }
        if (r < 0)
                return op_failed(provider, MODULE_OP_VERIFY, r, fault);
        *ret = call.findings;
        call.findings = (FindingList){ 0 };
        return 0;
}

bool provider_merges_custom_steps(const Device *provider) {
        return provider->module->descriptor->change || provider->module->descriptor->verify;
}

int provider_uses(Manager *m, Device *provider, KeyList *ret, Fault *fault) {
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, m->inventory, provider->module, hosts, NULL);
        if (r >= 0)
                r = module_call_run(&call, MODULE_OP_USES, NULL);
        if (r < 0)
                return op_failed(provider, MODULE_OP_USES, r, fault);
        *ret = call.keys;
        call.keys = (KeyList){ 0 };
        return 0;
}

int provider_plan(Manager *m, Device *provider, json_t *layout, Plan *plan, Fault *fault) {
        const PlanRequest request = { .verb = PT_VERB_PROVISION, .gid = (gid_t) -1 };
        HostDevice *hosts[] = { provider->host, NULL };
        _cleanup_call_ ModuleCall call = { 0 };
        int r;

        r = module_call_init(&call, m->inventory, provider->module, hosts, NULL);
        if (r >= 0) {
                call.layout_given = layout;
                r = module_call_run(&call, MODULE_OP_PLAN, &request);
        }
        if (r < 0)
                return op_failed(provider, MODULE_OP_PLAN, r, fault);
        for (size_t i = 0; i < call.plan.n_steps; i++) {
                /* The worker passes over them: a layout that hangs on one would look made. */
                if (call.plan.steps[i].kind == PT_STEP_LOAD_MODULE)
                        return op_failed(provider, MODULE_OP_PLAN, -EOPNOTSUPP, fault);
                r = plan_append(plan, &call.plan.steps[i]);
                if (r == -E2BIG)
                        return fault_set(fault, r, FAULT_TOO_LARGE, "The plan has more than %u steps", STEPS_MAX);
                if (r < 0)
                        return fault_oom(fault);
        }
        return 0;
}
