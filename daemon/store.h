/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What outlives the process. Two SQLite databases, written by one thread of their own:
 *
 *   STORE_STATE    state.db in the state directory: groups, rules, allocations, claims, settings, history.
 *                  Durable: the callback comes after the commit. synchronous=FULL.
 *   STORE_RUNTIME  runtime.db in the runtime directory: how far each allocation got and the step records with
 *                  what was observed before each step. It dies with the boot exactly as the kernel's state
 *                  does.
 *
 * A transaction is built on the loop thread, submitted, and committed in order of submission; several
 * that wait are committed together. Between the two databases the order holds for transactions that name
 * the same key or owner. The callback runs on the loop thread. A transaction fails as a whole; the ones
 * beside it do not. Opening happens before the loop runs and is the only blocking part. */

#include <jansson.h>
#include <systemd/sd-event.h>

#include "lib/fault.h"

typedef enum StoreKind {
        STORE_STATE,
        STORE_RUNTIME,
        _STORE_MAX,
} StoreKind;

typedef enum StoreTable {
        TABLE_GROUPS,      /* state: key id, body */
        TABLE_RULES,       /* state: key id, owner group id, body */
        TABLE_ALLOCATIONS, /* state: key id, body */
        TABLE_SETTINGS,    /* state: key name, body */
        TABLE_QUARANTINE,  /* state: key device id, body {reason, since} */
        TABLE_BOOTS,       /* state: key boot id, body: when, which kernel (topology.h) */
        TABLE_TOPOLOGY,    /* state: key boot id, body: its devices */
        TABLE_LAYOUTS,     /* state: key device id of a provider, body {layout, groups, model} */
        TABLE_PROGRESS,    /* runtime: key allocation id, body {state, …} */
        TABLE_STEPS,       /* runtime: key "ALLOCATION/NNNNNN", owner allocation id, body {step, device, observed, state} */
        TABLE_PROVISIONS,  /* runtime: key device id of a provider, body {state, base, layout, device} */
        TABLE_PROVISION_STEPS, /* runtime: key "PROVIDER/NNNNNN", owner provider, body {step, observed} */
        _STORE_TABLE_MAX,
} StoreTable;

typedef enum StoreHealth {
        STORE_OK,
        STORE_READ_ONLY, /* a newer schema, or a directory that cannot be written: nothing is changed, everything is read */
        STORE_DAMAGED,   /* the file was kept aside and a new one begun: the service touches no device until an
                          * administrator acknowledges it */
        _STORE_HEALTH_MAX,
} StoreHealth;
DECLARE_STRING_TABLE(store_health, StoreHealth); /* ok, read-only, damaged */

typedef struct Store Store;
typedef struct StoreTxn StoreTxn;

/* `state_directory` and `runtime_directory` exist. Neither a damaged file, a newer schema nor a read-only
 * directory is an error: see store_health(). */
int store_open(sd_event *event, const char *state_directory, const char *runtime_directory, Store **ret, Fault *fault);
/* Commits what waits, then closes. No callbacks come after this; not to be called from one. */
Store *store_close(Store *store);
DEFINE_CLEANUP(Store *, store_close)
StoreHealth store_health(const Store *store);
const char *store_health_reason(const Store *store); /* for people; NULL when ok */

/* Synchronous, before the loop runs. `each` gets the rows in order of their keys' creation; a non-zero
 * return stops. */
int store_load(Store *store, StoreTable table,
               int (*each)(void *userdata, const char *key, const char *owner, json_t *body), void *userdata,
               Fault *fault);

/* A transaction of the one or the other database. The functions copy; they fail only for want of memory,
 * which is remembered and reported by store_commit(). */
StoreTxn *store_begin(Store *store, StoreKind kind);
StoreTxn *store_abandon(StoreTxn *txn);
DEFINE_CLEANUP(StoreTxn *, store_abandon)
void store_put(StoreTxn *txn, StoreTable table, const char *key, const char *owner, json_t *body);
/* The same for what is JSON already; takes `body`, new memory (NULL: there was none to be had). */
void store_put_text(StoreTxn *txn, StoreTable table, const char *key, const char *owner, char *body);
/* Like store_put(), but the transaction fails with -EEXIST when the key is there. */
void store_insert(StoreTxn *txn, StoreTable table, const char *key, const char *owner, json_t *body);
void store_remove(StoreTxn *txn, StoreTable table, const char *key);
void store_remove_owned(StoreTxn *txn, StoreTable table, const char *owner);
/* Resource keys of an allocation; UNIQUE on exclusive keys makes a second owner fail with -EBUSY. */
void store_claim(StoreTxn *txn, const char *key, bool exclusive, const char *allocation);
void store_unclaim(StoreTxn *txn, const char *allocation);
int store_load_claims(Store *store,
                      int (*each)(void *userdata, const char *key, bool exclusive, const char *allocation),
                      void *userdata, Fault *fault);

typedef struct HistoryRow {
        uint64_t time_usec; /* CLOCK_REALTIME */
        uint32_t uid;
        uint32_t owner;     /* of the allocation; UINT32_MAX for none */
        const char *operation; /* "allocate", "activate" … */
        const char *object; /* id */
        const char *consumer;
        const char *job;    /* its number; NULL for none */
        const char *boot, *run; /* of the host and of the service */
        const char *result; /* "done" or the error's word */
        const char *message;
        uint64_t duration_usec;
        json_t *devices;    /* [id…] or NULL */
} HistoryRow;
/* Bounded: the oldest rows beyond HISTORY_MAX go. */
void store_history(StoreTxn *txn, const HistoryRow *row);

/* `result` 0 or a negative errno, with the fault beside it: -ENOSPC OutOfSpace, -EROFS ReadOnlyState,
 * -EUCLEAN StateDamaged, -EEXIST (the table's own), -EBUSY DeviceBusy (the object is the allocation that
 * has the key), else StoreFailed. `fault` is never NULL. */
typedef void (*StoreDone)(void *userdata, int result, const Fault *fault);
/* Consumes the transaction, also when it fails at once (no memory; `done` is not called then). `done` may
 * be NULL; it is never called before this returns. */
int store_commit(StoreTxn *txn, StoreDone done, void *userdata);
/* Damage is remembered in the new file until this: an administrator knows that allocations may be
 * missing. */
int store_acknowledge(Store *store, StoreDone done, void *userdata);
/* Asks for the history on the store thread: rows as [{time, uid, operation, object, consumer, job, boot,
 * run, result, message, duration, devices}…], newest first. `filter`: {object?, consumer?, uid?, operation?,
 * result?, since?, until?, limit?}; `since` and `until` (not included) in
 * microseconds as in the rows, `limit` 100 unless given, HISTORY_MAX at most. `only`: rows of this user and of
 * the allocations that belong to it; UINT32_MAX for all. */
typedef void (*StoreRows)(void *userdata, int result, json_t *rows, const Fault *fault);
int store_query_history(Store *store, json_t *filter, uint32_t only, StoreRows done, void *userdata, Fault *fault);
/* Asks for one record on the store thread. `body` NULL and -ENOENT without a fault when there is none. */
typedef void (*StoreRecordDone)(void *userdata, int result, json_t *body, const Fault *fault);
int store_query_record(Store *store, StoreTable table, const char *key, StoreRecordDone done, void *userdata, Fault *fault);
/* Waits until everything submitted so far is committed; for the end of the service only. */
void store_flush(Store *store);
