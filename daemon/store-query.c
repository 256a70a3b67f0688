/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-query.h"

#include <stdio.h>

#include "store-schema.h"
#include "store-thread.h"

void load_request_done(LoadRequest *load) {
        for (size_t i = 0; i < load->n_records; i++) {
                free(load->records[i].key);
                free(load->records[i].owner);
                free(load->records[i].body);
        }
        free(load->records);
        fault_done(&load->request.fault);
        *load = (LoadRequest){ 0 };
}

void history_request_free(HistoryRequest *history) {
        if (!history)
                return;
        free(history->object);
        free(history->consumer);
        free(history->operation);
        free(history->result);
        json_decref(history->rows);
        fault_done(&history->request.fault);
        free(history);
}

void record_request_free(RecordRequest *record) {
        if (!record)
                return;
        free(record->key);
        json_decref(record->body);
        fault_done(&record->request.fault);
        free(record);
}

static const char *column(sqlite3_stmt *statement, int index) {
        return (const char *) sqlite3_column_text(statement, index);
}

static int copy_column(sqlite3_stmt *statement, int index, char **ret) {
        const char *text = column(statement, index);

        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* Columns: key, owner, body, exclusive. */
static int take_record(LoadRequest *load, sqlite3_stmt *statement) {
        StoredRecord *record;

        /* The array is full whenever its length is a power of two. */
        if ((load->n_records & (load->n_records - 1)) == 0) {
                size_t n = load->n_records > 0 ? load->n_records * 2 : 1;
                StoredRecord *records = reallocarray(load->records, n, sizeof(StoredRecord));

                if (!records)
                        return -ENOMEM;
                load->records = records;
        }

        record = &load->records[load->n_records++];
        *record = (StoredRecord){ .exclusive = sqlite3_column_int(statement, 3) != 0 };
        if (copy_column(statement, 0, &record->key) < 0 || copy_column(statement, 1, &record->owner) < 0 ||
            copy_column(statement, 2, &record->body) < 0)
                return -ENOMEM;
        return 0;
}

static int load(StoreFile *file, LoadRequest *load_request, Fault *fault) {
        sqlite3_stmt *statement = NULL;
        char sql[128];
        int r, q = 0;

        if (load_request->request.kind == REQUEST_LOAD_CLAIMS)
                snprintf(sql, sizeof(sql),
                         "SELECT key, allocation, NULL, exclusive FROM claims ORDER BY key, allocation");
        else
                snprintf(sql, sizeof(sql), "SELECT key, owner, body, 0 FROM %s ORDER BY seq",
                         store_schema_table(load_request->table)->name);

        r = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL);
        while (r == SQLITE_OK && q >= 0 && (r = sqlite3_step(statement)) == SQLITE_ROW) {
                q = take_record(load_request, statement);
                r = SQLITE_OK;
        }
        if (q < 0)
                q = fault_oom(fault);
        else if (r != SQLITE_DONE)
                q = store_file_fault(file, r, "read what is stored", fault);
        sqlite3_finalize(statement);

        return q;
}

/* Devices that cannot be read are left out: the rest of the row is worth having. */
static json_t *row_to_json(sqlite3_stmt *statement) {
        const char *devices = column(statement, 8);
        json_t *list = devices ? json_loads(devices, 0, NULL) : NULL;

        return json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:s, s:s, s:s}", "time",
                         (json_int_t) sqlite3_column_int64(statement, 0), "uid",
                         (json_int_t) sqlite3_column_int64(statement, 1), "operation",
                         strempty(column(statement, 2)), "object", strempty(column(statement, 3)),
                         "consumer", strempty(column(statement, 4)), "result",
                         strempty(column(statement, 5)), "message", strempty(column(statement, 6)),
                         "duration", (json_int_t) sqlite3_column_int64(statement, 7), "devices",
                         list ?: json_array(), "job", strempty(column(statement, 9)), "boot",
                         strempty(column(statement, 10)), "run", strempty(column(statement, 11)));
}

static int bind_optional(sqlite3_stmt *statement, int index, const char *text) {
        return text ? sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC)
                    : sqlite3_bind_null(statement, index);
}

static int bind_filter(sqlite3_stmt *statement, const HistoryRequest *history) {
        int r;

        r = bind_optional(statement, 1, history->object);
        if (r == SQLITE_OK)
                r = bind_optional(statement, 2, history->consumer);
        if (r == SQLITE_OK && history->has_uid)
                r = sqlite3_bind_int64(statement, 3, history->uid);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 4, (sqlite3_int64) history->since_usec);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 5, history->limit);
        if (r == SQLITE_OK)
                r = bind_optional(statement, 6, history->operation);
        if (r == SQLITE_OK)
                r = bind_optional(statement, 7, history->result);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(statement, 8, (sqlite3_int64) history->until_usec);
        if (r == SQLITE_OK && history->only != UINT32_MAX)
                r = sqlite3_bind_int64(statement, 9, history->only);
        return r;
}

/* The bound on rows keeps this within milliseconds; no index has to be written with every row. */
static int read_history(StoreFile *file, HistoryRequest *history, Fault *fault) {
        static const char sql[] = "SELECT time_usec, uid, verb, object, consumer, result, message, "
                                  "duration_usec, devices, job, boot, run FROM history"
                                  " WHERE (?1 IS NULL OR object = ?1) AND (?2 IS NULL OR consumer = ?2) AND "
                                  "(?3 IS NULL OR uid = ?3)"
                                  " AND (?6 IS NULL OR verb = ?6) AND (?7 IS NULL OR result = ?7)"
                                  " AND (?9 IS NULL OR uid = ?9 OR owner = ?9)"
                                  " AND time_usec >= ?4 AND time_usec < ?8 ORDER BY id DESC LIMIT ?5";
        sqlite3_stmt *statement = NULL;
        int r, q = 0;

        history->rows = json_array();
        if (!history->rows)
                return fault_oom(fault);

        r = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL);
        if (r == SQLITE_OK)
                r = bind_filter(statement, history);
        while (r == SQLITE_OK && q >= 0 && (r = sqlite3_step(statement)) == SQLITE_ROW) {
                q = json_array_append_new(history->rows, row_to_json(statement));
                r = SQLITE_OK;
        }
        if (q < 0)
                q = fault_oom(fault);
        else if (r != SQLITE_DONE)
                q = store_file_fault(file, r, "read the history", fault);
        sqlite3_finalize(statement);

        return q;
}

static int read_record(StoreFile *file, RecordRequest *record, Fault *fault) {
        sqlite3_stmt *statement = NULL;
        json_error_t error;
        char sql[128];
        int r, q = -ENOENT;

        snprintf(sql, sizeof(sql), "SELECT body FROM %s WHERE key = ?1", store_schema_table(record->table)->name);
        r = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL);
        if (r == SQLITE_OK)
                r = sqlite3_bind_text(statement, 1, record->key, -1, SQLITE_STATIC);
        if (r == SQLITE_OK)
                r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                record->body = json_loads(strempty(column(statement, 0)), 0, &error);
                q = record->body ? 0
                                 : fault_set(fault, -EUCLEAN, FAULT_STORE_FAILED, "the stored %s '%s' cannot be read: %s",
                                             store_schema_table(record->table)->noun, record->key, error.text);
        } else if (r != SQLITE_DONE)
                q = store_file_fault(file, r, "read what is stored", fault);
        sqlite3_finalize(statement);

        return q;
}

void store_query_run(StoreFile *const *files, StoreRequest *request) {
        switch (request->kind) {
        case REQUEST_LOAD: {
                LoadRequest *load_request = (LoadRequest *) request;

                request->result = load(files[store_schema_table(load_request->table)->kind], load_request,
                                       &request->fault);
                break;
        }
        case REQUEST_LOAD_CLAIMS:
                request->result = load(files[STORE_STATE], (LoadRequest *) request, &request->fault);
                break;
        case REQUEST_HISTORY:
                request->result =
                        read_history(files[STORE_STATE], (HistoryRequest *) request, &request->fault);
                break;
        case REQUEST_RECORD: {
                RecordRequest *record = (RecordRequest *) request;

                request->result =
                        read_record(files[store_schema_table(record->table)->kind], record, &request->fault);
                break;
        }
        case REQUEST_FLUSH:
        case REQUEST_TRANSACTION:
                break;
        }
}
