/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A change that is being written: what it will be once the commit is on disk, and whom to tell. */

#include "manager.h"

typedef struct Pending {
        Manager *m;
        OpDone done;
        void *userdata;
        Group *group;              /* owned until it is applied */
        Rule *rule;
        Rule **rules;              /* make resource, apply: owned; NULL where the policy has taken it */
        size_t n_rules;
        Allocation *allocation;
        char owner[ID_SIZE];       /* group of a rule, or the id of what is removed */
        char reserved[ID_SIZE];    /* id that nobody else may take meanwhile */
        char *text;                /* allocate: the token of the plan agreed to */
        json_t *body;              /* update of an allocation: its new requests */
        bool activate;             /* allocate: at once */
        uid_t uid;
        struct Pending *next;      /* all of the manager */
} Pending;

Pending *pending_new(Manager *m, OpDone done, void *userdata);
/* Tells the caller and frees. `fault` may be NULL on success; without one a negative result becomes Internal. */
void pending_finish(Pending *p, int result, const Fault *fault, const char *id);
void pending_free(Pending *p);
/* Whether some change under way will make an object of that id. */
bool pending_reserves(Manager *m, const char *id);
/* Whether an allocation that is being written asks for the group. */
bool pending_names_group(Manager *m, const char *group);
/* One row; the pending is consumed in any case: on failure to submit it is freed and the fault is set. */
int pending_insert(Pending *p, StoreTable table, const char *key, const char *owner, json_t *body, StoreDone stored,
                   Fault *fault);
int pending_put(Pending *p, StoreTable table, const char *key, const char *owner, json_t *body, StoreDone stored,
                Fault *fault);
/* Removes the row and, unless `owned` is _STORE_TABLE_MAX, the rows of that table that belong to it. */
int pending_remove(Pending *p, StoreTable table, const char *key, StoreTable owned, StoreDone stored, Fault *fault);
/* Submits a transaction that the caller built. */
int pending_commit(Pending *p, StoreTxn *txn, StoreDone stored, Fault *fault);
void pendings_free(Manager *m);
/* Nobody will tell any more what became of them. */
void pendings_answer(Manager *m);
