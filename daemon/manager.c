/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include "guard.h"
#include "doctor.h"
#include "duration.h"
#include "declarative.h"
#include "history.h"
#include "identity.h"
#include "identity-use.h"
#include "follow.h"
#include "json-util.h"
#include "log.h"
#include "memory.h"
#include "observe.h"
#include "operation.h"
#include "pending.h"
#include "plan-record.h"
#include "meter.h"
#include "presence.h"
#include "probe.h"
#include "protect.h"
#include "quarantine.h"
#include "provision.h"
#include "reconcile.h"
#include "room.h"
#include "usage.h"
#include "support-report.h"
#include "topology-boot.h"

static const char *const object_kind_table[_OBJECT_MAX] = {
        [OBJECT_MANAGER] = "manager", [OBJECT_DEVICE] = "devices",         [OBJECT_GROUP] = "groups",
        [OBJECT_RULE] = "rules",      [OBJECT_ALLOCATION] = "allocations", [OBJECT_JOB] = "jobs",
        [OBJECT_MODULE] = "modules",
};
DEFINE_STRING_TABLE(object_kind, ObjectKind, object_kind_table)

static const char *const readiness_table[_READINESS_MAX] = {
        [READINESS_STARTING] = "starting",
        [READINESS_READY] = "ready",
        [READINESS_LIMITED] = "limited",
        [READINESS_DEGRADED] = "degraded",
};
DEFINE_STRING_TABLE(readiness, Readiness, readiness_table)

void manager_changed(Manager *m, ObjectKind kind, const char *id, const char *property) {
        if (m->events.changed)
                m->events.changed(m->events.userdata, kind, id, property);
}

Allocation *manager_find_allocation(Manager *m, const char *id) {
        Allocation *allocation;

        HASH_FIND_STR(m->allocations, id, allocation);
        return allocation;
}

/* ---- events of the parts ---- */

/* An allocation that came before its device (a restart, a replug) is found again by what it recorded. One that has devices
 * without being in a state that holds them was active when the records of its steps got lost: they stay locked too. */
static void find_claim(Manager *m, Device *device) {
        for (Allocation *a = m->allocations; a && !device->allocation; a = a->hh.next)
                if (allocation_has_device(a, device->id) || allocation_has_device(a, device->host->id))
                        device->allocation = a;
}

/* Everything in its IOMMU group may be had now, or no longer. */
static void on_need_changed(void *userdata, HostDevice *host) {
        Manager *m = userdata;
        HostDevice *member = source_iommu_group(inventory_source(m->inventory), host->iommu_group);

        for (member = member ? member : host; member; member = host->iommu_group < 0 ? NULL : member->next_in_iommu_group)
                for (Device *device = member->offers; device; device = device->next_offer) {
                        manager_changed(m, OBJECT_DEVICE, device->id, "State");
                        manager_changed(m, OBJECT_DEVICE, device->id, "Allocatable");
                        manager_changed(m, OBJECT_DEVICE, device->id, "Blockers");
                        for (size_t i = 0; device->groups && device->groups[i]; i++)
                                manager_changed(m, OBJECT_GROUP, device->groups[i]->id, "Available");
                }
        manager_kick(m);
}

/* The rules of [Protect] may name what is slow to read. Until it is known they hold. */
static void look_at_protected(Manager *m, Device *device) {
        if (device->slow == SLOW_UNKNOWN && protect_needs_slow(m->protect, device->module))
                observe_device(m, device, NULL, NULL);
}

/* The children of a provider come one by one, and its own fields say how many. */
static void tell_provider(Manager *m, const Device *device, bool comes_or_goes) {
        const Device *provider = device->role == PT_ROLE_PROVIDER ? device : device_get_provider(device);

        room_changed(m, device->provider);
        if (provider && m->events.provider_changed)
                m->events.provider_changed(m->events.userdata, provider->id);
        if (device->role != PT_ROLE_PROVIDER || !comes_or_goes)
                return;
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next)
                if (group->module == device->module)
                        manager_changed(m, OBJECT_GROUP, group->id, "Providers");
}

static void on_device_added(void *userdata, Device *device) {
        Manager *m = userdata;

        find_claim(m, device);
        quarantine_apply(m, device);
        if (m->events.added)
                m->events.added(m->events.userdata, OBJECT_DEVICE, device->id);
        policy_device_added(m->policy, device);
        look_at_protected(m, device);
        identity_want(m, device);
        tell_provider(m, device, true);
        provision_provider_changed(m, device);
        follow_device_seen(m, device);
        manager_kick(m);
}

static void on_device_changed(void *userdata, Device *device, uint64_t fields) {
        Manager *m = userdata;

        if (m->events.device_fields)
                m->events.device_fields(m->events.userdata, device, fields);
        policy_device_changed(m->policy, device, fields);
        tell_provider(m, device, fields != 0);
        provision_provider_changed(m, device);
        operation_host_changed(m, device->host);
        follow_device_seen(m, device);
        if (fields != 0)
                quarantine_apply(m, device);
        observe_again(m, device);
        if (fields != 0 && protect_has(m->protect, device->module))
                on_need_changed(m, device->host);
        identity_want(m, device);
        manager_kick(m);
}

static void on_device_removed(void *userdata, Device *device) {
        Manager *m = userdata;

        observe_forget(m, device);
        meter_forget(m, device);
        policy_device_removed(m->policy, device);
        provision_device_removed(m, device);
        tell_provider(m, device, true);
        if (m->events.removed)
                m->events.removed(m->events.userdata, OBJECT_DEVICE, device->id);
        operation_host_removed(m, device->host);
}

static void on_scanned(void *userdata) {
        provision_scanned(userdata);
        memory_settle(userdata);
}

static void on_membership(void *userdata, Device *device) {
        Manager *m = userdata;

        manager_changed(m, OBJECT_DEVICE, device->id, "Groups");
        manager_kick(m);
}

static void on_group_changed(void *userdata, Group *group) {
        static const char *const properties[] = { "Devices", "Total", "Available", "Allocated" };
        Manager *m = userdata;

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                manager_changed(m, OBJECT_GROUP, group->id, properties[i]);
}

static void on_want_slow(void *userdata, Device *device) {
        observe_device(userdata, device, NULL, NULL);
}

static json_t *on_made_layout(void *userdata, const Device *provider) {
        const Provision *p = provision_find(userdata, provider->id);

        return p ? p->made : NULL;
}

static bool on_reserved(void *userdata, const char *id) {
        return pending_reserves(userdata, id);
}

/* ---- loading ---- */

static int load_group(void *userdata, const char *key, const char *owner, json_t *body) {
        Manager *m = userdata;
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_(group_freep) Group *group = NULL;

        if (group_from_json(key, body, m->loader, true, &group, &fault) < 0 || policy_add_group(m->policy, group) < 0)
                log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("GROUP", key), "the stored group %s is not used: %s",
                            key, strempty(fault.message));
        else
                TAKE_PTR(group);
        return 0;
}

static int load_rule(void *userdata, const char *key, const char *owner, json_t *body) {
        Manager *m = userdata;
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_(rule_freep) Rule *rule = NULL;
        Group *group = owner ? policy_find_group(m->policy, owner) : NULL;

        if (!group)
                fault_set(&fault, -ENOENT, FAULT_UNKNOWN_GROUP, "its group is gone");
        else if (rule_from_json(key, body, group, group->module, true, &rule, &fault) >= 0 &&
                 policy_add_rule(m->policy, rule) >= 0) {
                TAKE_PTR(rule);
                return 0;
        }
        log_message(LOG_ERR, LOG_EVENT_STORE, log_fields("RULE", key), "the stored rule %s is not used: %s", key,
                    strempty(fault.message));
        return 0;
}

static int load_state(Manager *m, Fault *fault) {
        int r = store_load(m->store, TABLE_GROUPS, load_group, m, fault);

        if (r >= 0)
                r = store_load(m->store, TABLE_RULES, load_rule, m, fault);
        if (r >= 0)
                r = quarantine_load(m, fault);
        if (r >= 0)
                r = reconcile_load(m, fault);
        if (r >= 0)
                r = topology_load(m, fault);
        if (r >= 0)
                r = provision_load(m, fault);
        return r;
}

static int open_parts(Manager *m, Fault *fault) {
        const Config *c = &m->config;
        int r;

        r = sysfs_init(&m->sysfs, "/");
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "the root directory could not be opened: %s", strerror(-r));
        r = breadcrumb_open(c->runtime_directory, &m->breadcrumb);
        if (r < 0)
                return fault_set(fault, r, FAULT_STORE_FAILED, "%s can't be written: %s", c->runtime_directory,
                                 strerror(-r));
        r = loader_new(c->module_directory, m->breadcrumb, &m->loader);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "the modules could not be looked for: %s", strerror(-r));
        r = store_open(m->event, c->state_directory, c->runtime_directory, &m->store, fault);
        if (r < 0)
                return r;
        r = history_new(m);
        if (r >= 0)
                r = key_table_new(&m->keys);
        if (r >= 0)
                r = node_watcher_new(m->event, &m->nodes);
        if (r >= 0)
                r = inventory_new(m->event, &m->sysfs, m->loader, m->breadcrumb,
                                  &(InventoryEvents) { m, on_device_added, on_device_changed, on_device_removed,
                                                      on_scanned, on_want_slow, on_made_layout },
                                  &m->inventory);
        if (r >= 0)
                r = policy_new(m->inventory, m->loader, c->node,
                               &(PolicyEvents) { m, on_membership, on_group_changed, on_want_slow, on_reserved },
                               &m->policy);
        if (r >= 0)
                r = worker_pool_new(m->event, c->worker, c->workers, c->spare_worker, c->step_timeout_percent, &m->workers);
        if (r >= 0)
                r = protect_new(m->loader, &m->config, &m->protect);
        if (r >= 0)
                return guard_new(m, &(GuardEvents) { m, on_need_changed }, &m->guard, fault);
        return fault_set(fault, r, FAULT_INTERNAL, "the parts of the service could not be set up: %s", strerror(-r));
}

int manager_new(sd_event *event, const Config *config, const ManagerEvents *events, Manager **ret, Fault *fault) {
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof(Manager));
        int r;

        if (!m)
                return fault_oom(fault);
        m->event = sd_event_ref(event);
        m->config = *config;
        m->sysfs.root_fd = -EBADF;
        if (events)
                m->events = *events;
        r = open_parts(m, fault);
        if (r >= 0)
                r = load_state(m, fault);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static void log_modules(Manager *m) {
        for (Module *module = loader_first(m->loader); module; module = module->next)
                if (module->state == MODULE_LOADED)
                        log_message(LOG_INFO, LOG_EVENT_MODULE_LOADED, log_fields("MODULE", module->name),
                                    "module %s %s loaded", module->name, module->descriptor->version);
                else
                        log_message(LOG_WARNING, LOG_EVENT_MODULE_REFUSED, log_fields("MODULE", module->name),
                                    "module %s refused: %s", module->file, module->reason);
}

static void set_readiness(Manager *m, Readiness readiness) {
        if (m->readiness == readiness)
                return;
        m->readiness = readiness;
        manager_changed(m, OBJECT_MANAGER, "", "Readiness");
        manager_kick(m);
        memory_settle(m);
}

bool manager_is_reconciled(const Manager *m) {
        return m->reconciling == 0 &&
               (m->readiness != READINESS_STARTING || (!observe_is_busy(m) && m->evidence_known));
}

/* Rules may name what is slow to read: until that is known their groups look empty to whoever activates. */
void manager_settle(Manager *m) {
        if (!manager_is_reconciled(m) || (m->readiness == READINESS_STARTING && provision_is_starting(m)))
                return;
        set_readiness(m, store_health(m->store) == STORE_DAMAGED     ? READINESS_DEGRADED
                         : store_health(m->store) == STORE_READ_ONLY ? READINESS_LIMITED
                                                                     : READINESS_READY);
        topology_take(m);
}

/* With or without an answer: without one, more counts as critical. */
static void on_first_evidence(void *userdata, int result) {
        Manager *m = userdata;

        m->evidence_known = true;
        manager_settle(m);
}

void manager_recovered(Manager *m) {
        if (m->reconciling > 0)
                m->reconciling--;
        manager_settle(m);
}

int manager_start(Manager *m, Fault *fault) {
        int r;

        log_modules(m);
        r = inventory_start(m->inventory, fault);
        if (r < 0)
                return r;
        if (store_health(m->store) != STORE_OK)
                log_message(LOG_ERR, LOG_EVENT_STORE, NULL, "state: %s", strempty(store_health_reason(m->store)));
        if (store_health(m->store) == STORE_OK) {
                reconcile_start(m);
                provision_start(m);
        }
        presence_update(m);
        guard_refresh(m->guard, on_first_evidence, m);
        manager_settle(m);
        durations_load(m);
        return 0;
}

void manager_stop(Manager *m, void (*idle)(void *userdata), void *userdata) {
        m->stopping = true;
        for (Job *job = m->jobs, *next; job; job = next) {
                next = job->hh.next;
                /* What drains goes on draining after a restart. */
                if (job_waits_for_device(job))
                        manager_cancel_job(m, job, NULL);
        }
        worker_pool_drain(m->workers, idle, userdata);
}

void manager_answer_waiting(Manager *m) {
        m->stopping = true;
        guard_stop(m->guard);
        observe_free(m);
        doctor_answer(m);
        usages_answer(m);
        meter_answer(m);
        applies_answer(m);
        support_reports_answer(m);
        topology_answer(m);
        pendings_answer(m);
}

Manager *manager_free(Manager *m) {
        Allocation *a, *next;

        if (!m)
                return NULL;
        m->events = (ManagerEvents) { 0 };
        m->workers = worker_pool_free(m->workers);
        presence_free(m);
        identity_uses_free(m);
        probes_free(m);
        quarantine_free(m);
        usages_free(m);
        meter_free(m);
        plans_free(m);
        operations_free(m);
        history_free(m);
        m->store = store_close(m->store);
        durations_free(m);
        pendings_free(m);
        applies_free(m);
        support_reports_free(m);
        observe_free(m);
        doctor_free(m);
        topology_free(m);
        jobs_free(m);
        m->guard = guard_free(m->guard);
        m->protect = protect_free(m->protect);
        provisions_free(m);
        m->policy = policy_free(m->policy);
        HASH_ITER(hh, m->allocations, a, next) {
                HASH_DEL(m->allocations, a);
                allocation_free(a);
        }
        inventory_free(m->inventory);
        key_table_free(m->keys);
        loader_free(m->loader);
        breadcrumb_close(m->breadcrumb);
        if (m->sysfs.root_fd >= 0)
                sysfs_done(&m->sysfs);
        node_watcher_free(m->nodes);
        sd_event_source_disable_unref(m->kick);
        sd_event_source_disable_unref(m->memory);
        config_done(&m->config);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

int manager_rescan(Manager *m) {
        return source_rescan(inventory_source(m->inventory));
}

static void on_acknowledged(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;

        if (result >= 0) {
                log_message(LOG_NOTICE, LOG_EVENT_STORE, NULL, "the damage of the state was acknowledged");
                reconcile_start(p->m); /* nothing was touched until now */
                presence_update(p->m);
                provision_start(p->m);
                manager_settle(p->m);
                manager_changed(p->m, OBJECT_MANAGER, "", "Problems");
        }
        pending_finish(p, result, fault, "");
}

int manager_acknowledge(Manager *m, const Caller *caller, OpDone done, void *userdata, Fault *fault) {
        if (store_health(m->store) != STORE_DAMAGED)
                return fault_set(fault, -EALREADY, FAULT_WRONG_STATE, "the state is not damaged");

        Pending *p = pending_new(m, done, userdata);
        int r = p ? store_acknowledge(m->store, on_acknowledged, p) : -ENOMEM;
        if (r < 0) {
                if (p)
                        pending_free(p);
                return fault_set(fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
        }
        return 0;
}
