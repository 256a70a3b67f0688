/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the bus layer share. */

#include <systemd/sd-bus.h>
#include <uthash.h>

#include "bus-error.h"
#include "bus-json.h"
#include "bus.h"

#define BUS_PATH_SIZE (ID_SIZE + 64)
#define SYSTEMD_PATH "/org/freedesktop/systemd1"

typedef struct AuthQuery AuthQuery;
typedef struct PendingChange PendingChange;
typedef struct Sender Sender;
typedef struct Holder Holder;
typedef struct TypeInterface TypeInterface;
typedef struct ModuleLoadCall ModuleLoadCall;
typedef struct EvidenceCall EvidenceCall;

/* What sd-bus hands to property getters and method handlers: found anew for each path. */
typedef struct BusObject {
        Bus *bus;
        void *object;
} BusObject;

struct Bus {
        sd_bus *bus;
        sd_event *event;
        Manager *manager;
        BusObject found[_OBJECT_MAX];
        TypeInterface *types;        /* one for each loaded module */
        PendingChange *changes;      /* uthash by path and interface */
        sd_event_source *emit;       /* sends the changes at the end of the turn */
        AuthQuery *queries;
        sd_event_source *forget;     /* frees answered queries */
        Sender *senders;             /* uthash by unique name */
        Holder *holders;             /* lifetimes that end with a name, unit or pipe */
        struct UseWatch *use_watches; /* bus-use.c */
        ModuleLoadCall *loads;
        struct CheckCall *checks;    /* CheckHost() under way */
        struct Waiter *waiters;      /* Job.Wait() */
        EvidenceCall *evidence_calls; /* wait until it is known what the host needs */
        bool named;
};

/* bus-path.c */
void bus_path(ObjectKind kind, const char *id, char ret[static BUS_PATH_SIZE]);
/* -ENOENT when the path is none of that kind. Allocations' ids are UUIDs, jobs' numbers. */
int bus_path_parse(const char *path, ObjectKind kind, char ret[static ID_SIZE]);
const char *bus_interface(ObjectKind kind);
const char *bus_prefix(ObjectKind kind);
int bus_append_paths(sd_bus_message *m, ObjectKind kind, const char *const *ids); /* ao */

/* bus-signal.c */
void bus_note_change(Bus *b, const char *path, const char *interface, const char *property);
void bus_emit_changes(Bus *b);
void bus_signals_free(Bus *b);
int bus_emit_added(Bus *b, ObjectKind kind, const char *id);
int bus_emit_removed(Bus *b, ObjectKind kind, const char *id);

/* Registration of the objects; each keeps its vtable in its own file. */
int bus_register_manager(Bus *b);
int bus_register_devices(Bus *b);
int bus_register_groups(Bus *b);
/* bus-provider.c */
int bus_register_providers(Bus *b);
void bus_note_provider(Bus *b, const char *device);
/* bus-use.c: Provider.Watch(), Use, UseHistory() */
int bus_method_watch(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_get_use(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                void *userdata, sd_bus_error *error);
int bus_method_use_history(sd_bus_message *m, void *userdata, sd_bus_error *error);
void bus_note_use(Bus *b, const char *device);
void bus_uses_free(Bus *b);
int bus_register_rules(Bus *b);
int bus_register_allocations(Bus *b);
int bus_register_jobs(Bus *b);
int bus_register_modules(Bus *b);
/* bus-job.c: the job is over; whoever waits for it is answered. */
void bus_jobs_settle(Bus *b, const Job *job);
void bus_jobs_free(Bus *b);
/* Reads an a{sv} that must be empty. */
int bus_no_options(sd_bus_message *m, const char *what, sd_bus_error *error);
/* Whether `path`, for which an enumerator is called, lies below those objects' prefix: an object has no children, but sd-bus
 * asks all the same when somebody introspects it. */
bool bus_asks_below(ObjectKind kind, const char *path);
/* Node enumerators: paths of `n` ids. */
int bus_nodes(ObjectKind kind, const char *const *ids, size_t n, char ***ret);
/* bus-check.c: Manager.CheckHost(), RebootReasons */
int bus_method_check_host(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_get_reboot_reasons(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error);
void bus_checks_free(Bus *b);
/* bus-topology.c: Manager.TopologyBoots(), TopologyDiff() */
int bus_method_topology_boots(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_topology_diff(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* bus-device-type.c */
int bus_register_types(Bus *b);
void bus_types_free(Bus *b);
const char *bus_type_interface(Bus *b, const Module *module);
int bus_note_fields(Bus *b, Device *device, uint64_t fields);
/* Appends one field's value; the type's empty value where it is not known. */
int bus_append_field(sd_bus_message *m, const Device *device, unsigned field);
/* a{sv} of a device for ListDevices: core properties and the type's fields; `only` limits them (NULL: all). */
int bus_append_device(sd_bus_message *m, Bus *b, const Device *device, const char *const *only);

/* bus-call.c: answers that come later */
typedef struct BusCall BusCall;
/* Keeps the message; the reply is given by the OpDone functions. */
int bus_call_new(Bus *b, sd_bus_message *m, ObjectKind kind, BusCall **ret);
void bus_call_free(BusCall *call);
/* Refused at once: notes it, frees the call (may be NULL), sets the error. */
int bus_call_refuse(BusCall *call, int result, const Fault *fault, sd_bus_error *error);
/* OpDone: replies "o" with the path of the object of the call's kind, or the fault. */
void bus_call_done_path(void *userdata, int result, const Fault *fault, const char *id);
void bus_call_done_paths(void *userdata, int result, const Fault *fault, const char *ids); /* ao, ids split at blanks */
void bus_call_done_empty(void *userdata, int result, const Fault *fault, const char *id);
/* "/": it took no job. */
void bus_call_done_no_job(void *userdata, int result, const Fault *fault, const char *id);
void bus_call_done_allocated(void *userdata, int result, const Fault *fault, const char *id); /* oo */
void bus_call_done_string(void *userdata, int result, const Fault *fault, const char *text);
int bus_reply_job(sd_bus_message *m, const Job *job);
/* bus-list.c: Manager.ListDevices. */
int bus_method_list_devices(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* bus-plan.c: Manager.Plan. */
int bus_method_plan(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* bus-explain.c: reads the options and answers, now or later. */
int bus_explain(Bus *b, sd_bus_message *m, ObjectKind kind, const char *id, sd_bus_error *error);

/* bus-evidence.c: 1 when what the host needs is known as of now, or nobody can find it out; 0: the call is dispatched again
 * (return 1 from the handler). Before the message is read, and for methods without a right. */
int bus_await_evidence(Bus *b, sd_bus_message *m);
void bus_evidence_free(Bus *b);

/* (ao, aa{sv}, aa{sv}, aa{sv}) of policy_preview()'s result. */
int bus_reply_preview(sd_bus_message *m, json_t *result, sd_bus_error *error);
/* Checks the rights and allocates; for Manager.Allocate and Group.Allocate. */
int bus_allocate(Bus *b, sd_bus_message *m, const char *consumer, json_t *requests, json_t *options,
                 sd_bus_error *error);

/* auth.c */
typedef enum Right {
        RIGHT_ALLOCATE,
        RIGHT_ALLOCATE_ANY,
        RIGHT_MANAGE_GROUPS,
        RIGHT_MANAGE_DEVICES,
        RIGHT_MANAGE_DRIVERS,
        RIGHT_OVERRIDE,
        _RIGHT_MAX,
} Right;
/* 1: authorised; 0: polkit was asked, the call is dispatched again with its answer (return 1 from the handler); negative:
 * refused, `error` is set. `details`: pairs ended by NULL, may be NULL. */
int auth_check(Bus *b, sd_bus_message *m, Right right, const char *const *details, sd_bus_error *error);
/* The same, but being refused is an answer: ret_granted. Nobody is asked for a password. */
int auth_ask(Bus *b, sd_bus_message *m, Right right, const char *const *details, bool *ret_granted, sd_bus_error *error);
int auth_caller(Bus *b, sd_bus_message *m, Caller *ret, sd_bus_error *error);
/* Owner, or allocate-any. */
int auth_owner(Bus *b, sd_bus_message *m, const Allocation *allocation, sd_bus_error *error);
/* `allocate` on each distinct group of the requests. */
int auth_groups(Bus *b, sd_bus_message *m, json_t *requests, sd_bus_error *error);
int auth_allocation_groups(Bus *b, sd_bus_message *m, const Allocation *a, sd_bus_error *error);
void auth_free(Bus *b);
void auth_sender_vanished(Bus *b, const char *name);

/* bus-history.c */
/* What a call did, in the history; `id` of what it made or NULL for the object that was called. Jobs note themselves. */
void bus_note_done(Bus *b, sd_bus_message *m, const char *id, const char *message, uint64_t started_usec);
void bus_note_refused(Bus *b, sd_bus_message *m, const Fault *fault);
/* The same, and sets the error. */
int bus_refuse(Bus *b, sd_bus_message *m, int result, const Fault *fault, sd_bus_error *error);
/* Methods of the manager that have files of their own. */
int bus_method_history(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_export(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_method_support_report(sd_bus_message *m, void *userdata, sd_bus_error *error); /* bus-report.c */

/* bus-lifetime.c */
int bus_lifetime_start(Bus *b);
void bus_lifetime_added(Bus *b, Allocation *allocation);
void bus_lifetime_removed(Bus *b, const char *allocation);
int bus_lifetime_hold(Bus *b, Allocation *allocation, int *ret_fd);
void bus_lifetime_free(Bus *b);

/* bus-systemd.c: kernel modules through modprobe@NAME.service */
int bus_load_kernel_module(void *userdata, const char *name, void (*done)(void *userdata, int result),
                           void *done_userdata);
void bus_systemd_free(Bus *b);
