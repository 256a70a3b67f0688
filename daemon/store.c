/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store.h"

#include <sys/eventfd.h>
#include <syslog.h>

#include "json-util.h"
#include "lib/limits.h"
#include "log.h"
#include "store-query.h"
#include "store-schema.h"
#include "store-thread.h"

static const char *const store_health_table[_STORE_HEALTH_MAX] = {
        [STORE_OK] = "ok",
        [STORE_READ_ONLY] = "read-only",
        [STORE_DAMAGED] = "damaged",
};
DEFINE_STRING_TABLE(store_health, StoreHealth, store_health_table)

StoreHealth store_health(const Store *store) {
        return store->health;
}

const char *store_health_reason(const Store *store) {
        return store->health == STORE_OK ? NULL : strempty(store->reason);
}

/* The worse of the two, damage being the worst. */
static int take_health(Store *store) {
        for (size_t i = 0; i < _STORE_MAX; i++) {
                const StoreFile *file = store->files[i];
                char *reason;

                if (file->health <= store->health)
                        continue;
                reason = strdup(strempty(file->reason));
                if (!reason)
                        return -ENOMEM;
                free(store->reason);
                store->reason = reason;
                store->health = file->health;
        }

        return 0;
}

/* What a finished transaction says about the files themselves. */
static void follow_health(Store *store, const StoreTxn *txn) {
        char *reason = NULL;

        if (txn->acknowledges && txn->request.result >= 0)
                store->health = STORE_OK;
        else if (txn->request.result == -EUCLEAN && store->health != STORE_DAMAGED) {
                log_message(LOG_ERR, LOG_EVENT_STORE, NULL, "%s", strempty(txn->request.fault.message));
                reason = strdup(strempty(txn->request.fault.message));
                store->health = STORE_DAMAGED;
        } else
                return;

        free(store->reason);
        store->reason = reason;
}

static void finish(Store *store, StoreRequest *request) {
        if (request->kind == REQUEST_TRANSACTION) {
                StoreTxn *txn = (StoreTxn *) request;

                follow_health(store, txn);
                if (txn->done)
                        txn->done(txn->userdata, request->result, &request->fault);
                store_txn_free(txn);
        } else if (request->kind == REQUEST_HISTORY) {
                HistoryRequest *history = (HistoryRequest *) request;

                history->done(history->userdata, request->result, request->result < 0 ? NULL : history->rows,
                              &request->fault);
                history_request_free(history);
        } else if (request->kind == REQUEST_RECORD) {
                RecordRequest *record = (RecordRequest *) request;

                record->done(record->userdata, request->result, record->body, &request->fault);
                record_request_free(record);
        }
}

static int on_finished(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Store *store = userdata;
        StoreRequest *request;
        eventfd_t count;

        (void) eventfd_read(fd, &count);
        request = store_thread_collect(store);
        while (request) {
                StoreRequest *next = request->next;

                finish(store, request);
                request = next;
        }

        return 0;
}

int store_open(sd_event *event, const char *state_directory, const char *runtime_directory, Store **ret,
               Fault *fault) {
        _cleanup_(store_closep) Store *store = NULL;
        int r;

        store = calloc(1, sizeof(*store));
        if (!store)
                return fault_oom(fault);
        pthread_mutex_init(&store->mutex, NULL);
        pthread_cond_init(&store->wake, NULL);
        pthread_cond_init(&store->settled, NULL);

        store->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = store->eventfd < 0
                    ? -errno
                    : sd_event_add_io(event, &store->source, store->eventfd, EPOLLIN, on_finished, store);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "Cannot watch the store: %s",
                                 strerrordesc_np(-r));
        (void) sd_event_source_set_description(store->source, "store");

        r = store_file_open(STORE_STATE, state_directory, runtime_directory, &store->files[STORE_STATE],
                            fault);
        if (r >= 0)
                r = store_file_open(STORE_RUNTIME, runtime_directory, runtime_directory,
                                    &store->files[STORE_RUNTIME], fault);
        if (r >= 0 && take_health(store) < 0)
                r = fault_oom(fault);
        if (r < 0)
                return r;

        r = store_thread_start(store);
        if (r < 0)
                return fault_set(fault, r, FAULT_INTERNAL, "Cannot start the store's thread: %s",
                                 strerrordesc_np(-r));

        *ret = TAKE_PTR(store);
        return 0;
}

static void discard(StoreRequest *request) {
        while (request) {
                StoreRequest *next = request->next;

                if (request->kind == REQUEST_TRANSACTION)
                        store_txn_free((StoreTxn *) request);
                else if (request->kind == REQUEST_HISTORY)
                        history_request_free((HistoryRequest *) request);
                else if (request->kind == REQUEST_RECORD)
                        record_request_free((RecordRequest *) request);
                request = next;
        }
}

Store *store_close(Store *store) {
        if (!store)
                return NULL;

        store_thread_stop(store);
        discard(store_thread_collect(store));
        for (size_t i = 0; i < _STORE_MAX; i++)
                store_file_close(store->files[i]);
        sd_event_source_disable_unref(store->source);
        (void) close_fd(store->eventfd);
        pthread_cond_destroy(&store->settled);
        pthread_cond_destroy(&store->wake);
        pthread_mutex_destroy(&store->mutex);
        free(store->reason);
        free(store);
        return NULL;
}

void store_flush(Store *store) {
        StoreRequest request = { .kind = REQUEST_FLUSH };

        store_thread_run(store, &request);
}

static int run_load(Store *store, LoadRequest *load, Fault *fault) {
        store_thread_run(store, &load->request);
        if (load->request.result < 0)
                fault_move(fault, &load->request.fault);
        return load->request.result;
}

int store_load(Store *store, StoreTable table,
               int (*each)(void *userdata, const char *key, const char *owner, json_t *body), void *userdata,
               Fault *fault) {
        _cleanup_load_ LoadRequest load = { .request.kind = REQUEST_LOAD, .table = table };
        int r;

        if (!store_schema_table(table))
                return fault_set(fault, -EINVAL, FAULT_INTERNAL, "There is no such table");

        r = run_load(store, &load, fault);
        for (size_t i = 0; r == 0 && i < load.n_records; i++) {
                const StoredRecord *record = &load.records[i];
                json_error_t error;
                json_t *body;

                body = json_loads(record->body, JSON_DECODE_ANY, &error);
                if (!body) {
                        log_message(LOG_ERR, LOG_EVENT_STORE,
                                    log_fields("TABLE", store_schema_table(table)->name, "KEY", record->key),
                                    "The stored %s '%s' cannot be read and is left alone: %s",
                                    store_schema_table(table)->noun, record->key, error.text);
                        continue;
                }
                r = each(userdata, record->key, record->owner, body);
                json_decref(body);
        }

        return r;
}

int store_load_claims(Store *store,
                      int (*each)(void *userdata, const char *key, bool exclusive, const char *allocation),
                      void *userdata, Fault *fault) {
        _cleanup_load_ LoadRequest load = { .request.kind = REQUEST_LOAD_CLAIMS };
        int r;

        r = run_load(store, &load, fault);
        for (size_t i = 0; r == 0 && i < load.n_records; i++)
                r = each(userdata, load.records[i].key, load.records[i].exclusive, load.records[i].owner);

        return r;
}

int store_commit(StoreTxn *txn, StoreDone done, void *userdata) {
        int r;

        if (!txn)
                return -ENOMEM;
        if (txn->error < 0) {
                r = txn->error;
                store_txn_free(txn);
                return r;
        }

        txn->done = done;
        txn->userdata = userdata;
        store_thread_submit(txn->request.store, &txn->request);
        return 0;
}

int store_acknowledge(Store *store, StoreDone done, void *userdata) {
        StoreTxn *txn = store_begin(store, STORE_RUNTIME);
        int r;

        /* Either may be the damaged one; the state's comes last and brings the answer. */
        store_acknowledge_op(txn);
        r = store_commit(txn, NULL, NULL);
        if (r < 0)
                return r;

        txn = store_begin(store, STORE_STATE);
        store_acknowledge_op(txn);
        return store_commit(txn, done, userdata);
}

int store_query_history(Store *store, json_t *filter, uint32_t only, StoreRows done, void *userdata, Fault *fault) {
        HistoryRequest *history = calloc(1, sizeof(*history));
        const JsonKey keys[] = {
                { "object", JSON_KEY_STRING, history ? &history->object : NULL },
                { "consumer", JSON_KEY_STRING, history ? &history->consumer : NULL },
                { "uid", JSON_KEY_UINT, history ? &history->uid : NULL },
                { "operation", JSON_KEY_STRING, history ? &history->operation : NULL },
                { "result", JSON_KEY_STRING, history ? &history->result : NULL },
                { "until", JSON_KEY_UINT64, history ? &history->until_usec : NULL, .max = INT64_MAX },
                { "since", JSON_KEY_UINT64, history ? &history->since_usec : NULL, .max = INT64_MAX },
                { "limit", JSON_KEY_UINT, history ? &history->limit : NULL, .max = HISTORY_MAX },
                {},
        };
        int r;

        if (!history)
                return fault_oom(fault);

        history->request.kind = REQUEST_HISTORY;
        history->limit = PAGE_DEFAULT;
        history->until_usec = INT64_MAX;
        history->only = only;
        history->done = done;
        history->userdata = userdata;
        history->has_uid = json_object_get(filter, "uid") != NULL;
        r = json_parse_object(filter, keys, "the filter of the history", FAULT_UNKNOWN_OPTION, fault);
        if (r < 0) {
                history_request_free(history);
                return r;
        }

        store_thread_submit(store, &history->request);
        return 0;
}

int store_query_record(Store *store, StoreTable table, const char *key, StoreRecordDone done, void *userdata, Fault *fault) {
        RecordRequest *record = calloc(1, sizeof(*record));

        if (!record || !(record->key = strdup(key))) {
                record_request_free(record);
                return fault_oom(fault);
        }
        record->request.kind = REQUEST_RECORD;
        record->table = table;
        record->done = done;
        record->userdata = userdata;
        store_thread_submit(store, &record->request);
        return 0;
}
