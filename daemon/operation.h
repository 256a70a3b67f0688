/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What runs behind a job: a chain of asynchronous steps over the store and a worker. An operation owns its plan and belongs
 * to its job; it is freed when it ends. Between two steps everything that matters is on disk, so that the service can die at
 * any point and a later start can undo or go on. */

#include "job-table.h"

typedef struct Operation Operation;
typedef void (*OperationNext)(Operation *op);

struct Operation {
        Manager *m;
        Job *job;
        Allocation *allocation;   /* NULL for an operation on a device alone */
        Plan plan;                /* of the worker run under way */
        HostDevice **bundle;      /* of a device operation; NULL-terminated, owned */
        char **nodes;             /* device nodes of the allocation; owned */
        char *token;              /* of the plan the caller agreed to; NULL for none */
        char *accepted;           /* which other devices the caller took in place of the recorded ones; NULL for none */
        char **overrides;         /* devices whose overridable blockers the caller accepts */
        bool evidence_asked;      /* what the host needs was asked for before devices are chosen */
        bool looked_again;        /* what drivers offer was read once more, as there was nothing */
        uint64_t evidence;        /* the guard's generation that the choice rests on */
        size_t next_module;       /* kernel modules: index of the next LOAD_MODULE step */
        Fault fault;              /* the first failure */
        bool force, release, internal, undo_failed, unprobed;
        bool recording;           /* a step record or the progress is being written */
        bool giving_back;         /* an activation that nobody confirmed: the devices go back */
        bool closed;              /* a node was closed while its holders were being looked for */
        json_t *holders;          /* who has nodes open, as last seen */
        unsigned confirm_sec;     /* activate: undone after that time unless confirmed; UINT_MAX: not said */
        sd_event_source *confirm; /* the time to confirm, or to try the give-back again */
        uid_t uid;
        char holder[ID_SIZE];     /* device operations: what its resource keys are held for */
        struct Provisioning *provisioning; /* of a change of layouts, op-provision.c; owned */
        WorkerRun *run;
        NodeWatch *watch;         /* of the nodes, until the give-back begins */
        OperationNext after_store;
        OperationNext after_undo;
        OperationNext after_clear;
        OperationNext after_probe;
        OperationNext after_run;
        size_t first_step;        /* of the run: index of its first one in the allocation's steps */
        char device[ID_SIZE];     /* following: the device that came back */
        char former[ID_SIZE];     /* following: what it was called before */
        json_t *notes;            /* device operations: what modules noted before */
        char *remark;             /* for the history of one that succeeds; NULL for none */
        json_t *unsound;          /* {device: reason} of the probe */
};

int operation_new(Manager *m, const char *kind, uid_t uid, Allocation *allocation, const char *device, Operation **ret,
                  Fault *fault);
/* The same for any objects ("groups/ID"), NULL-terminated. */
int operation_new_for(Manager *m, const char *kind, uid_t uid, const char *const *objects, Operation **ret, Fault *fault);
/* Ends job and operation: history, log, signals. Success when op->fault is empty. */
void operation_finish(Operation *op);
/* Refuses while nothing about a device could be recorded. */
int operation_may_touch(Manager *m, Fault *fault);
void operation_free(Operation *op);
/* Ends the job with DriverStuck but keeps the operation for its worker's gone(). */
void operation_finish_stuck(Operation *op);
/* The stuck child has ended: what it left is undone. */
void operation_stuck_gone(Operation *op);
/* Keeps the first failure. */
void operation_fail(Operation *op, const Fault *fault);

/* Moves the allocation on by the table and announces it. An event without a place in the table is a programming error. */
void allocation_advance(Manager *m, Allocation *allocation, AllocationEvent event);

/* Writes the allocation's body and its resource keys (`keys` NULL: leaves them, empty list: gives them up), then calls
 * `next`; a failure of the store is in op->fault by then. */
void operation_store(Operation *op, const KeyList *keys, OperationNext next);
/* Records how far the allocation got. */
int record_progress(Manager *m, const Allocation *allocation, StoreDone done, void *userdata);

/* run-steps.c: carries out `plan`, which is the allocation's steps from `first` on, then calls `next`. A failure is in
 * op->fault. */
void operation_run_steps(Operation *op, const Plan *plan, size_t first, OperationNext next);

/* give-back.c: undoes what is recorded of the allocation, from last to first, then calls op->after_undo. Failures are in
 * op->fault. */
void operation_undo(Operation *op);
/* op-probe.c: has the devices that come back looked at, puts those that are unsound in quarantine, then calls `next`; with
 * op->unprobed when the service ends and nothing was looked at. */
void operation_probe(Operation *op, json_t *devices, json_t *notes, OperationNext next);
/* This one goes into quarantine then, whatever the probe finds. */
void operation_distrust(Operation *op, const char *device, const char *reason);
/* DEVICE members of everything the allocation holds, for a worker. */
json_t *allocation_records(const Allocation *allocation);
/* State, Allocation, Allocatable … of its devices differ. */
void manager_devices_changed(Manager *m, const Allocation *allocation);
/* Gives up devices and keys after everything was undone, stores, and finishes with `next`. */
void operation_clear(Operation *op, OperationNext next);

/* assign.c */
typedef struct Assignment {
        size_t request;      /* index into the allocation's requests */
        Device *device;
        HostDevice **bundle; /* NULL-terminated, owned */
} Assignment;
typedef struct AssignmentList {
        Assignment *items;
        size_t n_items;
        KeyList keys;        /* of all */
        const char *const *overrides; /* device ids whose overridable blockers are accepted; borrowed, may be NULL */
        bool explain;        /* the caller wants to know about every candidate */
        json_t *choices;     /* then: [{request, group, candidates}…] */
        json_t *unmet;       /* then: [{request, code, text, optional}…]: requests that get nothing are no failure */
} AssignmentList;
void assignment_list_done(AssignmentList *list);
#define _cleanup_assignments_ _cleanup_(assignment_list_done)
/* Chooses devices for every enabled request and takes their keys for `holder`. On failure nothing is taken. */
int assign_devices(Manager *m, Allocation *allocation, const char *holder, const char *const *overrides, bool explain,
                   AssignmentList *ret, Fault *fault);
/* Leaves a thick allocation the keys of the devices that it has reserved, and no more: after a try or a plan. */
void restore_reserved(Manager *m, const Allocation *allocation);
/* Why the device can't be had by `holder` now. True when nothing stands against it. */
bool device_eligible(Manager *m, Device *device, const char *holder, const PlanRequest *request, FindingList *findings);
/* What keeps a provider from making devices: what its module says, and who has it as a whole. */
void provider_findings(Manager *m, const Provider *provider, FindingList *findings);
/* What the host needs of the device and of those that move with it, alone. */
void device_need(Manager *m, Device *device, FindingList *findings);
/* The overridable blockers of a device that the caller named become warnings. True when nothing stands against it then. */
bool device_accept_overridden(const Device *device, const char *const *overrides, FindingList *findings);
/* Effective settings and consumer of one request, for the module: as group and consumer want them now. */
int plan_request_for(Manager *m, const Allocation *allocation, const Request *request, PtVerb verb,
                     SettingValues *settings, PlanRequest *ret, Fault *fault);
/* Gives the request the name of one device, see PtRequest.uuid: that of the allocation for the first, derived from it for the
 * others. None where the allocation is only thought of. */
void plan_request_identify(PlanRequest *request, const Allocation *allocation, size_t request_index, size_t number);
/* Steps of the verb for all devices of the list. */
int assignment_plan(Manager *m, Allocation *allocation, const AssignmentList *list, PtVerb verb, Plan *plan, Fault *fault);

/* kernel-module.c: makes sure that it is loaded. 1: it is already; 0: `done` comes later. */
int kernel_module_load(Manager *m, const char *name, void (*done)(void *userdata, int result), void *userdata);

/* op-activate.c, op-deactivate.c, op-reset.c */
int operation_activate(Manager *m, Allocation *allocation, uid_t uid, json_t *options, Job **ret, Fault *fault);
int operation_deactivate(Manager *m, Allocation *allocation, uid_t uid, json_t *options, bool release, Job **ret,
                         Fault *fault);
/* Gives back what an activation took, as a deactivation does, and ends the operation. */
void operation_give_back(Operation *op);
/* Whether the job is an activation that has not begun: it waits for a device or for readiness. */
bool job_waits_for_device(const Job *job);
/* What a crash left: undo without asking who holds the device open, then claimed. Counted in m->reconciling. */
int operation_recover(Manager *m, Allocation *allocation, Fault *fault);
/* reconcile.c: the same, said in the log. */
void allocation_recover(Manager *m, Allocation *allocation, const char *why);
int operation_drain_again(Manager *m, Allocation *allocation, Fault *fault);
/* Activations that wait for a device or for readiness are tried again at the end of this turn of the loop. */
void manager_kick(Manager *m);
/* At the end of the service: what is still under way is forgotten; its records are on disk. */
void operations_free(Manager *m);
/* An internal operation (m->reconciling) has ended. */
void manager_recovered(Manager *m);
/* Whether what the last run left is put right and rules over slow fields can be judged: activations may begin. */
bool manager_is_reconciled(const Manager *m);
/* Ready, when nothing of the start is under way any more. */
void manager_settle(Manager *m);
/* op-reset.c: the driver by which the host uses the device; NULL for none. */
const char *device_host_driver(const Device *device);
/* op-reset.c: the keys that a device operation holds for itself. */
void operation_release_keys(Operation *op);
/* reconcile.c: tells whoever has it; an active allocation is lost then. */
void operation_device_lost(Manager *m, Allocation *allocation, const char *device, const char *why);
/* reconcile.c: a device vanished, or something about it differs; whoever has it is told. */
void operation_host_removed(Manager *m, const HostDevice *host);
void operation_host_changed(Manager *m, const HostDevice *host);
