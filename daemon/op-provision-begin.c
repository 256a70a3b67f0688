/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which providers change, and whether they may: nobody claims, uses or has open what would vanish. */

#include <stdio.h>

#include "guard.h"
#include "json-util.h"
#include "lib/driver.h"
#include "planning.h"
#include "provisioning.h"

/* ---- who has a device open ---- */

static void on_held(void *userdata, WorkerRun *run, json_t *holders) {
        Operation *op = userdata;

        json_decref(op->holders);
        op->holders = json_incref(holders);
}

static void on_holders_done(void *userdata, int result, const Fault *fault) {
        Operation *op = userdata;
        json_t *first = json_array_get(op->holders, 0);

        op->run = NULL;
        if (result < 0)
                operation_fail(op, fault);
        else if (first)
                fault_set(&op->fault, -EBUSY, FAULT_DEVICE_BUSY,
                          "%s (pid %lld) has %s open, a device that would vanish; end it first",
                          strempty(json_string_value(json_object_get(first, "comm"))),
                          (long long) json_integer_value(json_object_get(first, "pid")),
                          strempty(json_string_value(json_object_get(first, "node"))));
        if (op->fault.code != FAULT_NONE)
                provisioning_finish(op);
        else
                provisioning_run(op);
}

static const WorkerEvents holders_events = {
        .held = on_held,
        .done = on_holders_done,
};

static Provider *provider_of(Manager *m, const Provision *p) {
        const Device *device = inventory_find(m->inventory, p->id);

        return device ? device->provider : NULL;
}

static bool keeps_driver(const Device *provider) {
        return provider->module->descriptor->flags & PT_TYPE_KEEPS_DRIVER;
}

/* Device nodes of what VFIO drivers have. */
static int collect_nodes(Operation *op) {
        size_t n = 0;

        for (size_t i = 0; i < op->provisioning->n_targets; i++) {
                const Target *target = &op->provisioning->targets[i];
                bool stays = target->transition == TRANSITION_BESIDE || target->transition == TRANSITION_KEEP;
                const Provider *provider = stays ? NULL : provider_of(op->m, target->p);

                for (size_t k = 0; provider && k < provider->n_children; k++) {
                        const HostDevice *host = provider->children[k]->host;
                        char **nodes;

                        if (!(driver_is_vfio(host->driver) || keeps_driver(provider->device)) || host->iommu_group < 0)
                                continue;
                        nodes = reallocarray(op->nodes, n + 2, sizeof(char *));
                        if (!nodes)
                                return -ENOMEM;
                        op->nodes = nodes;
                        nodes[n + 1] = NULL;
                        if (asprintf(&nodes[n], "/dev/vfio/%d", (int) host->iommu_group) < 0) {
                                nodes[n] = NULL;
                                return -ENOMEM;
                        }
                        n++;
                }
        }
        return 0;
}

static int begin(Operation *op, Fault *fault) {
        int r = collect_nodes(op);

        job_set_state(op->m, op->job, JOB_RUNNING);
        if (r < 0)
                return fault_oom(fault);
        if (!op->nodes) {
                provisioning_run(op);
                return 0;
        }
        return worker_pool_run(op->m->workers,
                               &(WorkerSpec){ .mode = WORKER_HOLDERS,
                                              .job = op->job->id,
                                              .nodes = (const char *const *) op->nodes },
                               &holders_events, op, &op->run, fault);
}

/* ---- what stands against it ---- */

static void append(char *text, size_t size, const char *separator, const char *more) {
        size_t n = strlen(text);

        (void) snprintf(text + n, size - n, "%s%s", n > 0 ? separator : "", more);
}

/* It has none that could be taken from anybody: who shares the card, by a claim on a device that is gone or not made yet, stays
 * its holder, and is given the device again that is made at its place. */
static bool has_none(const Device *provider) {
        return !provider->provider || provider->provider->n_children == 0;
}

static int check_keys(Manager *m, const Device *provider, const KeyList *keys, const char *holder, const char **ret) {
        return has_none(provider) ? key_table_check_beside(m->keys, keys, holder, ret, NULL)
                                  : key_table_check(m->keys, keys, holder, ret, NULL);
}

/* All who claim a device of it, by name. */
static int refuse_claims(Manager *m, const Device *provider, const KeyList *keys, const char *holder, Fault *fault) {
        const Provider *p = provider->provider;
        char claims[1024] = "", one[CONSUMER_MAX + ID_SIZE + 64];
        const char *first = NULL;
        const Allocation *a;

        for (size_t i = 0; p && i < p->n_children; i++) {
                a = p->children[i]->allocation;
                if (!a)
                        continue;
                (void) snprintf(one, sizeof(one), "%s by consumer '%s'", p->children[i]->host->sysname, a->consumer);
                append(claims, sizeof(claims), ", ", one);
        }
        if (check_keys(m, provider, keys, holder, &first) >= 0 && claims[0] == '\0')
                return 0;
        if (claims[0] == '\0') {
                a = first ? manager_find_allocation(m, first) : NULL;
                (void) snprintf(claims, sizeof(claims), "%s by %s%s%s", provider->host->sysname,
                                a ? "consumer '" : "", a ? a->consumer : strempty(first), a ? "'" : "");
        }
        return fault_set_object(fault, -EBUSY, FAULT_DEVICE_BUSY, provider->id,
                                "The layout of %s can't change while its devices are in use: %s", provider->host->sysname,
                                claims);
}

/* One that the host needs for something is named rather than one that a driver merely has; of these the first by place. */
static const Device *find_host_use(Manager *m, const Provider *p, size_t *ret_n) {
        const Device *found = NULL;
        Verdict worst = VERDICT_FREE;

        *ret_n = 0;
        for (size_t i = 0; p && i < p->n_children; i++) {
                const Device *child = p->children[i];
                Verdict verdict;

                if (!child->host->driver || driver_is_vfio(child->host->driver))
                        continue;
                (*ret_n)++;
                verdict = guard_verdict(m->guard, child->host);
                if (!found || verdict > worst || (verdict == worst && strcmp(child->host->sysname, found->host->sysname) < 0))
                        found = child;
                worst = MAX_OF(worst, verdict);
        }
        return found;
}

static int refuse_host_use(Manager *m, const Device *provider, Fault *fault) {
        _cleanup_free_ char *chain = NULL;
        char others[64] = "";
        size_t n;
        const Device *used = keeps_driver(provider) ? NULL : find_host_use(m, provider->provider, &n);

        if (!used)
                return 0;
        if (guard_verdict(m->guard, used->host) > VERDICT_FREE)
                chain = guard_reason(m->guard, used->host);
        if (n > 1)
                (void) snprintf(others, sizeof(others), " (and %zu more are bound)", n - 1);
        return fault_set_object(fault, -EBUSY, FAULT_DEVICE_BUSY, used->id,
                                "The layout of %s can't change while the host uses its devices: %s is bound to the host's driver "
                                "%s%s; %s%s%s",
                                provider->host->sysname, used->host->sysname, used->host->driver, others,
                                chain ? "the host needs it: " : "unbind it first", strempty(chain),
                                chain ? "; end that use and unbind it first" : "");
}

static int check_provider(Manager *m, Device *provider, Fault *fault) {
        _cleanup_findings_ FindingList findings = { 0 };
        const PtFinding *blocker;
        int r = inventory_check(m->inventory, provider, NULL, &findings, fault);

        if (r < 0)
                return r;
        blocker = finding_first_blocker(&findings);
        return blocker ? fault_set_object(fault, -EPERM, FAULT_DEVICE_BLOCKED, provider->id, "%s: %s %s",
                                          provider->host->sysname, blocker->text, strempty(blocker->remedy))
                       : 0;
}

int provisioning_check_use(Manager *m, Device *provider, Fault *fault) {
        _cleanup_keys_ KeyList keys = { 0 };
        char holder[2 * ID_SIZE] = "";
        const Provision *p = provision_find(m, provider->id);
        int r = provider_uses(m, provider, &keys, fault);

        /* What is held because of the present layout does not stand against another one. */
        if (p)
                provision_holder(p, holder);
        if (r >= 0)
                r = refuse_claims(m, provider, &keys, holder, fault);
        return r < 0 ? r : refuse_host_use(m, provider, fault);
}

static int take_keys(Operation *op, Provision *p, const Device *provider, Fault *fault) {
        _cleanup_keys_ KeyList keys = { 0 };
        char holder[ID_SIZE];
        int r = provider_uses(op->m, (Device *) provider, &keys, fault);

        if (r < 0)
                return r;
        (void) snprintf(holder, sizeof(holder), "job:%.40s", op->holder);
        provision_unhold(op->m, p);
        r = refuse_claims(op->m, provider, &keys, holder, fault);
        if (r < 0)
                return r;
        return has_none(provider) ? key_table_take_beside(op->m->keys, &keys, holder, fault)
                                  : key_table_take(op->m->keys, &keys, holder, fault);
}

/* It is as its groups demand, and only who they are may be another thing: what is in use need not be touched for that. */
static bool is_as_demanded(const Target *target, const Device *provider) {
        const Provision *p = target->p;

        return target->layout && p->made && p->applied.n_steps > 0 && !p->changing && !p->drift &&
               json_equal(target->layout, p->made) && provider->provider && provider->provider->n_children >= p->n_devices;
}

static int lock_for_change(Operation *op, Target *target, Device *provider, Fault *fault) {
        int r = refuse_host_use(op->m, provider, fault);

        if (r >= 0)
                r = take_keys(op, target->p, provider, fault);
        if (r != -EBUSY || !is_as_demanded(target, provider))
                return r;
        fault_done(fault);
        *fault = (Fault){ 0 };
        target->transition = TRANSITION_KEEP;
        return 0;
}

static int lock_target(Operation *op, Target *target, Fault *fault) {
        Device *provider = inventory_find(op->m->inventory, target->p->id);
        int r;

        if (!provider)
                return target->layout ? fault_set_object(fault, -ENODEV, FAULT_DEVICE_GONE, target->p->id, "%s is gone",
                                                         target->p->id)
                                      : 0;
        r = target->layout ? check_provider(op->m, provider, fault) : 0;
        /* What it concerns is in nobody's hands, and the keys of those who have the rest stay theirs. */
        if (r >= 0 && target->transition == TRANSITION_BESIDE)
                return 0;
        return r < 0 ? r : lock_for_change(op, target, provider, fault);
}

/* ---- beginning ---- */

static int add_target(Operation *op, const char *id, json_t *layout, char **groups, Fault *fault) {
        Provisioning *all = op->provisioning;
        Target *targets = reallocarray(all->targets, all->n_targets + 1, sizeof(Target));
        Device *provider = inventory_find(op->m->inventory, id);
        Transition transition = TRANSITION_REPLACE;
        Provision *p;
        int r;

        if (targets)
                all->targets = targets;
        if (!targets || provision_obtain(op->m, id, &p) < 0) {
                strv_free(groups);
                return fault_oom(fault);
        }
        if (p->job) {
                strv_free(groups);
                return fault_set_object(fault, -EBUSY, FAULT_WRONG_STATE, id, "job %s (%s) is under way for %s", p->job->id,
                                        p->job->operation, id);
        }
        r = provider ? provision_transition(op->m, p, provider, layout, &transition, fault) : 0;
        if (r < 0) {
                strv_free(groups);
                return r;
        }
        targets[all->n_targets++] = (Target){ .p = p, .layout = json_is_null(layout) ? NULL : json_incref(layout),
                                              .groups = groups, .transition = transition };
        p->job = op->job;
        p->due = false;
        return 0;
}

/* What all demands say now. Nothing is to be done where it is so already. */
static int target_provider(Operation *op, Device *provider, const PolicyChange *change, Fault *fault) {
        _cleanup_(json_decrefp) json_t *layout = NULL;
        const Provision *p = provision_find(op->m, provider->id);
        char **groups = NULL;
        int r;

        r = demand_layout(op->m, provider, change, &layout, fault);
        if (r < 0)
                return r;
        if (json_is_null(layout) && (!p || (!p->wanted && p->applied.n_steps == 0)))
                return 0;
        r = demand_groups(op->m, provider, change, &groups);
        if (r < 0)
                return fault_oom(fault);
        return add_target(op, provider->id, layout, groups, fault);
}

static int operation_begin(Manager *m, const char *kind, uid_t uid, const char *object, Operation **ret, Fault *fault) {
        Provisioning *provisioning = calloc(1, sizeof(Provisioning));
        const char *objects[] = { object, NULL };
        Operation *op;
        int r;

        if (!provisioning)
                return fault_oom(fault);
        r = operation_new_for(m, kind, uid, objects, &op, fault);
        if (r < 0) {
                free(provisioning);
                return r;
        }
        (void) snprintf(op->holder, sizeof(op->holder), "%s", op->job->id);
        op->provisioning = provisioning;
        *ret = op;
        return 0;
}

/* Locks what was chosen and goes on; ends the job when that is refused. */
static int operation_go(Operation *op, int r, Job **ret, Fault *fault) {
        Provisioning *all = op->provisioning;

        for (size_t i = 0; i < all->n_targets && r >= 0; i++)
                r = lock_target(op, &all->targets[i], fault);
        if (r >= 0) {
                *ret = op->job;
                r = begin(op, fault);
        }
        if (r < 0) {
                fault_copy(&op->fault, fault);
                provisioning_finish(op);
        }
        return r;
}

static int read_options(json_t *options, char **ret_token, Fault *fault) {
        const JsonKey keys[] = { { ret_token ? "plan" : NULL, JSON_KEY_STRING, ret_token, 64, false }, { 0 } };

        return json_parse_object(options, keys, "the options of Provision", FAULT_UNKNOWN_OPTION, fault);
}

static int target_group(Operation *op, Group *group, const PolicyChange *change, Fault *fault) {
        Manager *m = op->m;
        int r = 0;

        for (Provider *p = inventory_first_provider(m->inventory); p && r >= 0; p = p->hh.next) {
                const Provision *before = p->device ? provision_find(m, p->device->id) : NULL;

                if (!p->device || p->module != group->module)
                        continue;
                if (demand_exists(m, group, p->device, NULL) || (before && provision_has_group(before, group->id)))
                        r = target_provider(op, p->device, change, fault);
        }
        return r;
}

int manager_provision_group(Manager *m, const Caller *caller, Group *group, json_t *options, Job **ret, Fault *fault) {
        char object[ID_SIZE + 16];
        Operation *op;
        int r;

        r = read_options(options, NULL, fault);
        if (r >= 0)
                r = operation_may_touch(m, fault);
        if (r >= 0 && (!group->module || !group->module->descriptor->layout))
                r = fault_set_object(fault, -EOPNOTSUPP, FAULT_WRONG_STATE, group->id,
                                     "devices of type '%s' are not made by providers: there is nothing to provision",
                                     group->type);
        if (r < 0)
                return r;
        (void) snprintf(object, sizeof(object), "groups/%s", group->id);
        r = operation_begin(m, "provision", caller->uid, object, &op, fault);
        if (r < 0)
                return r;
        r = target_group(op, group, NULL, fault);
        if (r >= 0 && op->provisioning->n_targets == 0)
                r = fault_set_object(fault, -ENOENT, FAULT_NO_DEVICE_AVAILABLE, group->id,
                                     "the rules of group '%s' select no provider; a rule does with conditions on "
                                     "provider.FIELD, such as \"provider.slot = 0000:3b:00.0\"",
                                     group->name);
        return operation_go(op, r, ret, fault);
}

int manager_provision_provider(Manager *m, const Caller *caller, Device *provider, json_t *options, Job **ret,
                               Fault *fault) {
        char object[ID_SIZE + 16];
        _cleanup_free_ char *token = NULL;
        Operation *op;
        int r;

        r = read_options(options, &token, fault);
        if (r >= 0)
                r = operation_may_touch(m, fault);
        if (r >= 0 && token)
                r = planning_check_token(m, "provision", provider->id, token, fault);
        if (r < 0)
                return r;
        (void) snprintf(object, sizeof(object), "devices/%s", provider->id);
        r = operation_begin(m, "provision", caller->uid, object, &op, fault);
        if (r < 0)
                return r;
        r = target_provider(op, provider, NULL, fault);
        if (r >= 0 && op->provisioning->n_targets == 0)
                r = fault_set_object(fault, -ENOENT, FAULT_WRONG_STATE, provider->id,
                                     "no group makes a demand on %s, and nothing was made of it", provider->host->sysname);
        return operation_go(op, r, ret, fault);
}

/* What is made for it, or just now being made for it: that job's end would leave devices which nobody demands. */
static bool concerns(Manager *m, const Provision *p, const Group *group) {
        const Device *provider = p->job ? inventory_find(m->inventory, p->id) : NULL;

        return provision_has_group(p, group->id) || (provider && demand_exists(m, group, provider, NULL));
}

int operation_unprovision_group(Manager *m, uid_t uid, Group *group, Job **ret, Fault *fault) {
        const PolicyChange change = { .without_group = group->id };
        char object[ID_SIZE + 16];
        bool any = false;
        Operation *op;
        int r;

        *ret = NULL;
        for (const Provision *p = m->provisions; p; p = p->hh.next)
                any |= concerns(m, p, group);
        if (!any)
                return 0;
        r = operation_may_touch(m, fault);
        if (r < 0)
                return r;
        (void) snprintf(object, sizeof(object), "groups/%s", group->id);
        r = operation_begin(m, "unprovision", uid, object, &op, fault);
        if (r < 0)
                return r;
        (void) snprintf(op->provisioning->remove_group, ID_SIZE, "%s", group->id);
        return operation_go(op, target_group(op, group, &change, fault), ret, fault);
}

int operation_provision_due(Manager *m, Provision *p, Fault *fault) {
        Device *provider = inventory_find(m->inventory, p->id);
        char object[ID_SIZE + 16];
        char **groups = NULL;
        PtValue model;
        Operation *op;
        Job *job;
        int r;

        if (!isempty(p->model) && (device_get_field_by_name(provider, "vendor-device", &model) < 0 ||
                                   !streq(model.s, p->model)))
                return fault_set_object(fault, -ENODEV, FAULT_DEVICE_BLOCKED, p->id,
                                        "identity-changed: the layout was made for a %s, but %s is another model now", p->model,
                                        provider->host->sysname);
        (void) snprintf(object, sizeof(object), "devices/%s", p->id);
        r = operation_begin(m, "provision", 0, object, &op, fault);
        if (r < 0)
                return r;
        if (p->drift && asprintf(&op->remark, "what was made was no longer so (%s) and is made anew",
                                 provision_drift_text(p, "code")) < 0)
                op->remark = NULL;
        else if (provision_has_lost_all(m, p))
                op->remark = strdup("its devices had vanished and are made again");
        r = p->groups ? strv_copy((const char *const *) p->groups, &groups) : 0;
        if (r >= 0)
                r = add_target(op, p->id, p->wanted, groups, fault);
        return operation_go(op, r, &job, fault);
}

int operation_provision_recover(Manager *m, Provision *p, Fault *fault) {
        char object[ID_SIZE + 16];
        Operation *op;
        int r;

        (void) snprintf(object, sizeof(object), "devices/%s", p->id);
        r = operation_begin(m, "unprovision", 0, object, &op, fault);
        if (r < 0)
                return r;
        op->internal = true;
        bool due = p->due;
        r = add_target(op, p->id, NULL, NULL, &op->fault);
        if (r < 0) {
                provisioning_finish(op);
                return 0;
        }
        p->due = due;
        /* Without a wish everything goes; with one, only the change that was interrupted. */
        op->provisioning->recovering = true;
        op->provisioning->targets[0].first = p->wanted ? p->base : 0;
        provision_unhold(m, p);
        provisioning_undo(op);
        return 0;
}
