/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The composition root of the core: owns every part, wires their events, and offers the operations that callers ask for.
 * Nothing here knows D-Bus; the bus layer calls the operations and listens to ManagerEvents.
 *
 * Operations that change something are prepared at once, written to the store, and reported through OpDone when the commit
 * is on disk; only then are objects announced. They return a negative errno with a fault when they are refused at once
 * (`done` is not called then). Long work becomes a job: `done` brings its id as soon as it exists. */

#include <systemd/sd-event.h>

#include "allocation.h"
#include "config.h"
#include "job.h"
#include "node-watch.h"
#include "store.h"
#include "worker-pool.h"

typedef enum ObjectKind {
        OBJECT_MANAGER,
        OBJECT_DEVICE,
        OBJECT_GROUP,
        OBJECT_RULE,
        OBJECT_ALLOCATION,
        OBJECT_JOB,
        OBJECT_MODULE,
        _OBJECT_MAX,
} ObjectKind;
DECLARE_STRING_TABLE(object_kind, ObjectKind); /* manager, devices, groups, rules, allocations, jobs, modules */

/* All calls come on the loop thread. `removed` comes while the object can still be found. `property`: the D-Bus property's
 * name, a string constant. */
typedef struct ManagerEvents {
        void *userdata;
        void (*added)(void *userdata, ObjectKind kind, const char *id);
        void (*changed)(void *userdata, ObjectKind kind, const char *id, const char *property);
        void (*device_fields)(void *userdata, Device *device, uint64_t fields);
        void (*removed)(void *userdata, ObjectKind kind, const char *id);
        void (*job_removed)(void *userdata, Job *job); /* it is done: signal JobRemoved; the object stays a while */
        void (*provider_changed)(void *userdata, const char *device); /* its layout, groups, children or capacity */
        void (*use_changed)(void *userdata, const char *device); /* a provider was measured, or is not any more */
        void (*device_lost)(void *userdata, Allocation *allocation, const char *device, const char *why);
        /* It was enumerated anew and is ready again; its numbers and nodes may be others. */
        void (*device_followed)(void *userdata, Allocation *allocation, const char *former, Device *device);
} ManagerEvents;

typedef enum Readiness {
        READINESS_STARTING, /* reconcile is under way; activations queue */
        READINESS_READY,
        READINESS_LIMITED,  /* read-only state */
        READINESS_DEGRADED, /* damaged state: no device is touched */
        _READINESS_MAX,
} Readiness;
DECLARE_STRING_TABLE(readiness, Readiness);

/* Loads kernel modules for LOAD_MODULE steps: through systemd where it runs. Set by the bus layer; without it modprobe is
 * started directly. `done` gets 0 or a negative errno, later. */
typedef struct KernelModuleLoader {
        void *userdata;
        int (*load)(void *userdata, const char *name, void (*done)(void *userdata, int result), void *done_userdata);
} KernelModuleLoader;

typedef struct Manager {
        sd_event *event;
        Config config;
        Sysfs sysfs;
        Breadcrumb *breadcrumb;
        Loader *loader;
        Inventory *inventory;
        Policy *policy;
        KeyTable *keys;
        Store *store;
        WorkerPool *workers;
        ManagerEvents events;
        KernelModuleLoader kernel_modules;
        Readiness readiness;
        bool stopping;
        bool evidence_known;     /* the guard has looked at the host, or tried to */
        Allocation *allocations; /* uthash by id */
        size_t following;        /* how many of them wait for a device to come back */
        Job *jobs;               /* uthash by id */
        uint64_t next_job;
        size_t reconciling;      /* give-backs of the start that still run */
        struct Guard *guard;     /* what the host needs */
        struct Protect *protect; /* what the configuration says that it needs */
        NodeWatcher *nodes;      /* device nodes that somebody has open */
        sd_event_source *kick;   /* tries waiting activations again, once a turn of the loop */
        struct Pending *pending; /* changes being written */
        struct Topology *topology;       /* of this boot and those before, topology-boot.c */
        struct Doctor *doctor;           /* what the last check of the host found, doctor.c */
        struct Apply *applying;  /* documents under way, in order; declarative.c */
        struct Report *reports;  /* support reports being written */
        struct History *history; /* history.c */
        struct Observation *observation; /* slow fields being read, observe.c */
        sd_event_source *identity_retry; /* of readings that records of allocations wait for, identity-use.c */
        struct QuarantineTable *quarantines; /* quarantine.c; NULL while there is none */
        struct Presence *presence; /* watch over devices in use, presence.c */
        struct Probe *probes;    /* looks at devices under way, probe.c */
        struct Meter *meter;     /* how much of providers is used, meter.c */
        struct Usage *usages;    /* looks for who uses devices, usage.c */
        struct Duration *durations; /* uthash by name: how long operations took, duration.c */
        struct PlanRecord *plans;   /* the last ones, plan-record.c */
        struct Provision *provisions;    /* uthash by device id of the provider, provision.c */
        sd_event_source *memory; /* gives back what is free, memory.c */
        bool provisions_started;         /* what this boot has is compared with what is stored */
} Manager;

/* Opens everything and loads the stored records; blocks; no device is touched. */
int manager_new(sd_event *event, const Config *config, const ManagerEvents *events, Manager **ret, Fault *fault);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free)
/* Scans the host and reconciles what the last run left. To be called before the bus name is taken. */
int manager_start(Manager *manager, Fault *fault);
/* Ordered end: no new jobs, running steps end, `idle` is called. */
void manager_stop(Manager *manager, void (*idle)(void *userdata), void *userdata);
/* After the loop has ended, before the listeners go: whoever still waits for an answer gets one. */
void manager_answer_waiting(Manager *manager);

typedef struct Caller {
        uid_t uid;
        gid_t gid;
        const char *sender; /* bus name; NULL inside */
        bool any;           /* holds allocate-any */
} Caller;

/* `id`: of the object made or of the job; NULL on failure. */
typedef void (*OpDone)(void *userdata, int result, const Fault *fault, const char *id);

/* group-ops.c. Bodies as group_from_json() and rule_from_json() take them, options checked. */
int manager_create_group(Manager *m, const Caller *caller, const char *name, const char *type, json_t *settings,
                         json_t *options, OpDone done, void *userdata, Fault *fault);
int manager_update_group(Manager *m, const Caller *caller, Group *group, json_t *changes, OpDone done, void *userdata,
                         Fault *fault);
/* Takes its demands off the providers first: then it is a job in `ret_job`, and `done` is not called; NULL otherwise. */
int manager_remove_group(Manager *m, const Caller *caller, Group *group, json_t *options, OpDone done, void *userdata,
                         Job **ret_job, Fault *fault);
/* The last part of it. */
int manager_remove_group_now(Manager *m, const Caller *caller, Group *group, OpDone done, void *userdata, Fault *fault);
int manager_add_rule(Manager *m, const Caller *caller, Group *group, const char *name, json_t *where, json_t *options,
                     OpDone done, void *userdata, Fault *fault);
/* Options: accept-identity. */
int manager_update_rule(Manager *m, const Caller *caller, Rule *rule, json_t *changes, json_t *options, OpDone done,
                        void *userdata, Fault *fault);
int manager_remove_rule(Manager *m, const Caller *caller, Rule *rule, OpDone done, void *userdata, Fault *fault);
/* One rule a device with its strongest identity; makes the group when `group` names none and options say create. All or
 * nothing. `ret_rules` in done's id: ids joined by blanks. */
int manager_make_resource(Manager *m, const Caller *caller, Device *const *devices, const char *group, json_t *options,
                          OpDone done, void *userdata, Fault *fault);

/* allocation-ops.c */
/* Options: uuid, owner-uid, node-uid, node-gid, lifetime, holder, thick, wait, activate, plan (token). `done`: the
 * allocation's id; the job's id of an immediate activation is in allocation->job. */
int manager_allocate(Manager *m, const Caller *caller, const char *consumer, json_t *requests, json_t *options,
                     OpDone done, void *userdata, Fault *fault);
int manager_update_allocation(Manager *m, const Caller *caller, Allocation *allocation, json_t *requests,
                              OpDone done, void *userdata, Fault *fault);
/* Each starts a job. Options: activate {plan, override: [device…]}, deactivate {force}, release {force}. */
int manager_activate(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret, Fault *fault);
int manager_deactivate(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret,
                       Fault *fault);
int manager_release(Manager *m, const Caller *caller, Allocation *allocation, json_t *options, Job **ret, Fault *fault);
int manager_reset_device(Manager *m, const Caller *caller, Device *device, Job **ret, Fault *fault);
/* `reason`: one line for people. */
int manager_quarantine(Manager *m, const Caller *caller, Device *device, const char *reason, OpDone done, void *userdata,
                       Fault *fault);
int manager_clear_quarantine(Manager *m, const Caller *caller, Device *device, OpDone done, void *userdata, Fault *fault);
/* The holder of a bus name, unit or pipe went: the wish ends, not the guest's use. */
void manager_holder_vanished(Manager *m, Allocation *allocation);
int manager_cancel_job(Manager *m, Job *job, Fault *fault);
/* confirm.c: keeps what an activation changed; `done` once that is on disk. */
int manager_confirm_job(Manager *m, Job *job, OpDone done, void *userdata, Fault *fault);
int manager_rescan(Manager *m);
/* An administrator has seen that the state was damaged and begun anew: devices may be touched again. */
int manager_acknowledge(Manager *m, const Caller *caller, OpDone done, void *userdata, Fault *fault);

/* doctor.c. Checks the host in a worker; who asks while that is under way gets the same answer. Options: {cached: take what
 * the last one found, if there was one; only: [id…]}. `done`: [{id, title, status, text, evidence, remedy, reboot,
 * pending}…]; NULL with a fault. */
typedef void (*CheckDone)(void *userdata, int result, const Fault *fault, json_t *checks);
int manager_check_host(Manager *m, json_t *options, CheckDone done, void *userdata, Fault *fault);
/* [text…]: what waits for a restart of the host, as the last check found it; borrowed, NULL for nothing. */
json_t *manager_reboot_reasons(const Manager *m);
/* A check that only its caller can make, in the form of the others. */
json_t *doctor_row(const char *id, const char *title, const char *status, const char *text, const char *evidence,
                   const char *remedy);

/* topology-boot.c. The boots that are recorded, oldest first: [{boot, kernel, time, devices, current}…]; new reference. */
json_t *manager_topology_boots(Manager *m);
/* How the host differs from what an earlier boot found: rows of topology.h with "rules" and "allocations" that they concern.
 * Options: {since: boot (default: the one before), kernel (the last with another kernel), a boot's id or its beginning, or a
 * number as -1; until: now (default) or a boot as before}. */
typedef void (*TopologyDone)(void *userdata, int result, const Fault *fault, json_t *rows);
int manager_topology_diff(Manager *m, json_t *options, TopologyDone done, void *userdata, Fault *fault);

/* explain-run.c, plan-request.c: nothing is changed. */
/* {choices: [{request, group, name, count, optional, members, chosen: [{device, score, companions: [{device, fate, driver}…]}…],
 * candidates: […]}…], steps: [{kind, device, text, …}…], findings: as of an Explain, token}; NULL on failure. */
typedef void (*PlanDone)(void *userdata, int result, json_t *plan, const Fault *fault);
/* `objects`: ids of the kind that the verb is about; options {override: [device…]}. `done` may come before this returns. */
int manager_plan(Manager *m, const char *verb, json_t *objects, json_t *requests, json_t *options, PlanDone done,
                 void *userdata, Fault *fault);
int manager_plan_kind(const char *verb, ObjectKind *ret, Fault *fault);
/* `findings`: as explanation.h has them, blockers first; NULL on failure. */
typedef void (*ExplainDone)(void *userdata, int result, json_t *findings, const Fault *fault);
/* A device, a group or an allocation; options: {processes: whether to look who has it open, true by default}. What is slow is
 * read first, in bounded time; `done` may come before this returns. */
int manager_explain(Manager *m, ObjectKind kind, const char *id, json_t *options, ExplainDone done, void *userdata,
                    Fault *fault);
/* `format`: qemu, libvirt, json, env. */
int manager_guest_config(Manager *m, Allocation *allocation, const char *format, char **ret, Fault *fault);

Allocation *manager_find_allocation(Manager *m, const char *id);
Job *manager_find_job(Manager *m, const char *id);
/* State of a device as a word: free claimed active in-use-by-host critical forbidden unprovisioned quarantined failed gone. */
const char *manager_device_state(Manager *m, const Device *device);
bool manager_device_allocatable(Manager *m, const Device *device);
/* Codes of the blockers that are known without asking anybody: how many were put; valid until the next turn of the loop. */
size_t manager_device_blockers(Manager *m, const Device *device, const char **ret, size_t max);
/* Bundles of a group: all, free now, taken. */
void manager_group_counts(Manager *m, const Group *group, unsigned *ret_total, unsigned *ret_available,
                          unsigned *ret_allocated);
/* Allocations that name the group. Ids borrowed; new array. */
int manager_group_allocations(Manager *m, const Group *group, Allocation ***ret, size_t *ret_n);

/* For the parts of the core. */
/* Says that whatever an edit can change may have changed. */
void manager_group_edited(Manager *m, const char *id);
void manager_rule_edited(Manager *m, const char *id);
/* Active allocations that name the group learn that an edit acts at their next activation. */
void manager_restart_required(Manager *m, const char *group);
void manager_changed(Manager *m, ObjectKind kind, const char *id, const char *property);
