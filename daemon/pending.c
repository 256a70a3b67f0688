/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pending.h"

#include <stdio.h>

Pending *pending_new(Manager *m, OpDone done, void *userdata) {
        Pending *p = calloc(1, sizeof(Pending));

        if (!p)
                return NULL;
        p->m = m;
        p->done = done;
        p->userdata = userdata;
        p->next = m->pending;
        m->pending = p;
        return p;
}

void pending_free(Pending *p) {
        for (Pending **q = &p->m->pending; *q; q = &(*q)->next)
                if (*q == p) {
                        *q = p->next;
                        break;
                }
        group_free(p->group);
        rule_free(p->rule);
        allocation_free(p->allocation);
        for (size_t i = 0; i < p->n_rules; i++)
                rule_free(p->rules[i]);
        json_decref(p->body);
        free(p->rules);
        free(p->text);
        free(p);
}

void pending_finish(Pending *p, int result, const Fault *fault, const char *id) {
        _cleanup_fault_ Fault unknown = { 0 };

        if (result < 0 && (!fault || fault->code == FAULT_NONE)) {
                fault_set(&unknown, result, result == -EEXIST ? FAULT_GROUP_EXISTS : FAULT_INTERNAL,
                          "the change could not be applied: %s", strerror(-result));
                fault = &unknown;
        }
        if (p->done)
                p->done(p->userdata, result, fault, id);
        pending_free(p);
}

static bool has_rule(const Pending *p, const char *id) {
        for (size_t i = 0; i < p->n_rules; i++)
                if (p->rules[i] && streq(p->rules[i]->id, id))
                        return true;
        return false;
}

bool pending_reserves(Manager *m, const char *id) {
        for (Pending *p = m->pending; p; p = p->next)
                if (streq(p->reserved, id) || has_rule(p, id))
                        return true;
        return false;
}

bool pending_names_group(Manager *m, const char *group) {
        for (Pending *p = m->pending; p; p = p->next)
                for (size_t i = 0; p->allocation && i < p->allocation->n_requests; i++)
                        if (streq(p->allocation->requests[i].group, group))
                                return true;
        return false;
}

int pending_commit(Pending *p, StoreTxn *txn, StoreDone stored, Fault *fault) {
        int r = txn ? store_commit(txn, stored, p) : -ENOMEM;

        if (r < 0) {
                pending_free(p);
                return fault_set(fault, r, FAULT_STORE_FAILED, "the state could not be written: %s", strerror(-r));
        }
        return 0;
}

int pending_insert(Pending *p, StoreTable table, const char *key, const char *owner, json_t *body, StoreDone stored,
                   Fault *fault) {
        StoreTxn *txn = store_begin(p->m->store, STORE_STATE);

        snprintf(p->reserved, sizeof(p->reserved), "%s", key);
        if (txn)
                store_insert(txn, table, key, owner, body);
        return pending_commit(p, txn, stored, fault);
}

int pending_put(Pending *p, StoreTable table, const char *key, const char *owner, json_t *body, StoreDone stored,
                Fault *fault) {
        StoreTxn *txn = store_begin(p->m->store, STORE_STATE);

        if (txn)
                store_put(txn, table, key, owner, body);
        return pending_commit(p, txn, stored, fault);
}

int pending_remove(Pending *p, StoreTable table, const char *key, StoreTable owned, StoreDone stored, Fault *fault) {
        StoreTxn *txn = store_begin(p->m->store, STORE_STATE);

        if (txn) {
                if (owned != _STORE_TABLE_MAX)
                        store_remove_owned(txn, owned, key);
                store_remove(txn, table, key);
        }
        return pending_commit(p, txn, stored, fault);
}

void pendings_answer(Manager *m) {
        _cleanup_fault_ Fault fault = { 0 };

        fault_set(&fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping; the change may have been made or not");
        while (m->pending)
                pending_finish(m->pending, -ESHUTDOWN, &fault, NULL);
}

void pendings_free(Manager *m) {
        while (m->pending)
                pending_free(m->pending);
}
