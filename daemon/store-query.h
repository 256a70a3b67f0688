/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Requests that read: records and claims at the start, the history at any time. */

#include "store-txn.h"

typedef struct StoredRecord {
        char *key;
        char *owner; /* NULL for none; of a claim: the allocation */
        char *body;  /* not parsed: what cannot be is for the caller to report */
        bool exclusive;
} StoredRecord;

/* REQUEST_LOAD, REQUEST_LOAD_CLAIMS */
typedef struct LoadRequest {
        StoreRequest request;
        StoreTable table;
        StoredRecord *records;
        size_t n_records;
} LoadRequest;
void load_request_done(LoadRequest *load);
#define _cleanup_load_ _cleanup_(load_request_done)

/* REQUEST_HISTORY */
typedef struct HistoryRequest {
        StoreRequest request;
        char *object, *consumer, *operation, *result; /* NULL: any */
        bool has_uid;
        unsigned uid;
        uint64_t since_usec, until_usec;
        uint32_t only; /* UINT32_MAX: everybody's */
        unsigned limit;
        json_t *rows;
        StoreRows done;
        void *userdata;
} HistoryRequest;
void history_request_free(HistoryRequest *history);

/* REQUEST_RECORD */
typedef struct RecordRequest {
        StoreRequest request;
        StoreTable table;
        char *key;
        json_t *body;
        StoreRecordDone done;
        void *userdata;
} RecordRequest;
void record_request_free(RecordRequest *record);
