/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service makes of a provider. The layout that it is to have is in state.db and outlives the boot; what was done for
 * it on this boot, with what was found before, is in runtime.db. Owned by the manager, by the provider's device id: it is there
 * as long as either is recorded or a job is under way. */

#include "demand.h"
#include "operation.h"

typedef struct Provision {
        Manager *m;
        char id[ID_SIZE];  /* device id of the provider */
        json_t *wanted;    /* layout to have at every start; NULL: none */
        char **groups;     /* that it is for; NULL-terminated or NULL */
        char *model;       /* of the provider then: another card at the place is left alone */
        json_t *made;      /* the layout that the steps below made; NULL: none */
        Plan applied;      /* steps of this boot, in order */
        char **observed;   /* before each of them; NULL entry: not begun */
        size_t n_devices;  /* so many there were when that was done: fewer are the work of somebody else */
        size_t base;       /* so many of them were complete before the change under way; the rest is undone after a crash */
        json_t *record;    /* the provider's host device as in a job, for use after it went */
        Job *job;          /* changes it now; NULL for none */
        Fault failure;     /* of the last job; empty when it succeeded */
        bool changing;     /* steps beyond `base` may have been begun */
        bool beside;       /* and those leave alone what is in use */
        bool due;          /* the service makes it by itself, once the provider is ready: provision-due.c */
        bool awaited;      /* and activations of its groups wait for that */
        bool starting;     /* and so does the service's readiness */
        bool again;        /* the job under way is such a one */
        json_t *drift;     /* [{code, text, culprit, remedy}…]: what is no longer so of what was made; NULL: nothing that is known */
        bool unverified;   /* no report since it was made */
        bool confirmed;    /* the drift was found while nothing stood against making it anew */
        bool given_up;     /* too many of them in too short a time */
        unsigned attempts; /* in a row */
        uint64_t last_usec; /* when the last one began, CLOCK_MONOTONIC */
        sd_event_source *timer, *deadline; /* of the next one; of those who wait */
        UT_hash_handle hh; /* in the manager */
} Provision;

Provision *provision_find(Manager *m, const char *id);
int provision_obtain(Manager *m, const char *id, Provision **ret);
/* Frees it unless something is recorded of it or a job works on it. */
void provision_release(Manager *m, Provision *p);
void provisions_free(Manager *m);

/* Drops the steps from `first` on. */
void provision_drop_steps(Provision *p, size_t first);
int provision_append_step(Provision *p, const PtStep *step);
/* A step on something that an earlier step was about takes its place, with what was found before the earlier one: giving back
 * leads to what was there in the beginning. All steps count as complete afterwards. */
int provision_merge_steps(Provision *p, bool custom); /* `custom`: also those of the module's own */
/* How the provider gets to the layout from what was made of it. */
int provision_transition(Manager *m, const Provision *p, Device *provider, json_t *layout, Transition *ret, Fault *fault);
bool provision_has_group(const Provision *p, const char *group);
void provision_changed(Manager *m, const Provision *p); /* Provider.Layout, Groups … differ */

/* Whether every provider that the group's rules select has the layout that its demands come to. */
bool provision_is_met(Manager *m, const Group *group);

/* Whether the provider has fewer devices than were made. */
bool provision_lacks_devices(Manager *m, const Provision *p);
/* It has none at all: its driver was loaded anew, or reset the card. */
bool provision_has_lost_all(Manager *m, const Provision *p);

/* Whether what was made is there, as far as that is known; also true of what was not made, and of what is being made. */
bool provision_is_in_force(Manager *m, const Provision *p);

/* provision-verify.c */
/* A report of the provider has come in that began after what was done to it last. */
void provision_observed(Manager *m, Device *provider);
/* Has such a report made. */
void provision_verify_soon(Manager *m, Provision *p);
void provision_clear_drift(Provision *p);
/* "code", "text" … of the first thing that is not so; "" for none. */
const char *provision_drift_text(const Provision *p, const char *member);

/* Rows of the databases, put into a transaction. */
int provision_store_layout(StoreTxn *txn, const Provision *p); /* state.db */
int provision_store_state(StoreTxn *txn, const Provision *p);  /* runtime.db: without the steps */
int provision_store_steps(StoreTxn *txn, const Provision *p);  /* all steps anew */

/* While a provider has a layout, what its change needs is held shared. */
void provision_hold(Manager *m, Provision *p);
void provision_unhold(Manager *m, const Provision *p);
/* Name of the allocation-like holder of its keys: "provision:ID". */
void provision_holder(const Provision *p, char ret[static 2 * ID_SIZE]);

/* Records are loaded before the inventory is. */
int provision_load(Manager *m, Fault *fault);

/* provision-due.c: what the service makes by itself. */
/* In a word: "none", "made", "making", "due" (it will be, once the provider is ready), "given-up", "lost". */
const char *provision_state(Manager *m, const Provision *p);
/* What was interrupted is undone, and what is wanted is made. */
void provision_start(Manager *m);
/* Something about a provider is different: what is due may be possible now, or what was made is no longer there. */
void provision_provider_changed(Manager *m, Device *device);
/* A device is about to be forgotten: it may be the last one that its provider made. */
void provision_device_removed(Manager *m, const Device *device);
/* What was made of it is not there any more, for this reason: it is made again. */
void provision_lost(Manager *m, Provision *p, const char *why);
/* It is there after all. */
void provision_found(Manager *m, Provision *p);
/* A job for it has ended, with `fault` (FAULT_NONE: well). */
void provision_ended(Manager *m, Provision *p, const Fault *fault);
/* The first attempts of the start are not over: readiness waits. */
bool provision_is_starting(const Manager *m);
/* Tries what is due: a job has ended, which may have stood against it. */
void provision_retry(Manager *m);
/* Whether what the allocation's groups are to have is being made; activations wait for it. */
bool provision_concerns(Manager *m, const Allocation *allocation);

/* op-provision.c */
/* Jobs. `group`: of its providers and of those that it no longer selects. */
int manager_provision_group(Manager *m, const Caller *caller, Group *group, json_t *options, Job **ret, Fault *fault);
int manager_provision_provider(Manager *m, const Caller *caller, Device *provider, json_t *options, Job **ret, Fault *fault);
/* Takes the group's demands off all providers and removes the group; NULL in `ret` when there is nothing to undo. */
int operation_unprovision_group(Manager *m, uid_t uid, Group *group, Job **ret, Fault *fault);
/* At the start: makes the layout that is recorded, or undoes what was interrupted. Counted in m->reconciling where undone. */
int operation_provision_due(Manager *m, Provision *p, Fault *fault);
int operation_provision_recover(Manager *m, Provision *p, Fault *fault);
/* operation.c: frees what op-provision.c keeps. */
void provisioning_free(struct Provisioning *provisioning);
/* A rescan of the host came to its end. */
void provision_scanned(Manager *m);
