/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* History: what is noted of calls, and who may read it. Jobs note themselves when they end; this is about the rest, and about
 * what was refused. */

#include <ctype.h>
#include <stdio.h>

#include "bus-internal.h"
#include "history.h"
#include "json-util.h"

#define OPERATION_SIZE 64u

/* "CreateGroup" of the manager is create-group, "Update" of a rule update-rule. */
static void operation_of(sd_bus_message *m, char ret[static OPERATION_SIZE]) {
        const char *member = strempty(sd_bus_message_get_member(m)), *interface = strempty(sd_bus_message_get_interface(m));
        const char *dot = strrchr(interface, '.');
        bool plain = streq(member, "Update") || streq(member, "Remove");
        size_t n = 0;

        for (const char *c = member; *c && n + 2 < OPERATION_SIZE; c++) {
                if (isupper((unsigned char) *c) && n > 0)
                        ret[n++] = '-';
                ret[n++] = (char) tolower((unsigned char) *c);
        }
        if (plain && dot && n + 2 < OPERATION_SIZE) {
                ret[n++] = '-';
                for (const char *c = dot + 1; *c && n + 1 < OPERATION_SIZE; c++)
                        ret[n++] = (char) tolower((unsigned char) *c);
        }
        ret[n] = '\0';
}

/* The id of the object that was called; empty for the manager. */
static void object_of(sd_bus_message *m, char ret[static ID_SIZE]) {
        ret[0] = '\0';
        for (ObjectKind kind = OBJECT_DEVICE; kind < _OBJECT_MAX; kind++)
                if (bus_path_parse(sd_bus_message_get_path(m), kind, ret) >= 0)
                        return;
        ret[0] = '\0';
}

static void fill(Bus *b, sd_bus_message *m, uid_t uid, char operation[static OPERATION_SIZE], const char *object,
                 HistoryEntry *ret) {
        const Allocation *allocation = manager_find_allocation(b->manager, object);

        operation_of(m, operation);
        *ret = (HistoryEntry) {
                .uid = uid,
                .owner = allocation ? allocation->owner : HISTORY_NO_OWNER,
                .operation = operation,
                .object = object,
                .consumer = allocation ? allocation->consumer : NULL,
        };
}

/* Whose rows are a part of the change itself. */
static const char *const note_themselves[] = { "ClearQuarantine", "Quarantine", "MakeResource", NULL };

void bus_note_done(Bus *b, sd_bus_message *m, const char *id, const char *message, uint64_t started_usec) {
        char operation[OPERATION_SIZE], object[ID_SIZE];
        HistoryEntry entry;
        Caller caller;

        object_of(m, object);
        if (strv_contains(note_themselves, sd_bus_message_get_member(m)) || auth_caller(b, m, &caller, NULL) < 0)
                return;
        fill(b, m, caller.uid, operation, isempty(id) ? object : id, &entry);
        entry.message = message;
        entry.started_usec = started_usec;
        history_note(b->manager, &entry);
}

void bus_note_refused(Bus *b, sd_bus_message *m, const Fault *fault) {
        char operation[OPERATION_SIZE], object[ID_SIZE];
        HistoryEntry entry;
        Caller caller;

        object_of(m, object);
        if (fault->code == FAULT_NONE || auth_caller(b, m, &caller, NULL) < 0)
                return;
        fill(b, m, caller.uid, operation, object, &entry);
        entry.fault = fault;
        history_note_refused(b->manager, &entry);
}

int bus_refuse(Bus *b, sd_bus_message *m, int result, const Fault *fault, sd_bus_error *error) {
        if (fault)
                bus_note_refused(b, m, fault);
        return bus_error_from_fault(error, result, fault);
}

static void on_history(void *userdata, int result, json_t *rows, const Fault *fault) {
        sd_bus_message *m = userdata, *reply = NULL;
        int r = result;

        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = bus_append_dict_list(reply, rows);
        if (r >= 0)
                (void) sd_bus_send(NULL, reply, NULL);
        else
                (void) bus_reply_fault(m, r, fault);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(m);
}

/* Whose rows: everybody's with the right for it. Without, the caller's own and those of its allocations; nobody is asked for a
 * password unless the caller insists on all. */
static int whose(Bus *b, sd_bus_message *m, bool all, uid_t *ret, sd_bus_error *error) {
        bool any = all;
        Caller caller;
        int r = all ? auth_check(b, m, RIGHT_ALLOCATE_ANY, NULL, error)
                    : auth_ask(b, m, RIGHT_ALLOCATE_ANY, NULL, &any, error);

        if (r <= 0)
                return r;
        r = auth_caller(b, m, &caller, error);
        if (r < 0)
                return r;
        *ret = any ? HISTORY_NO_OWNER : caller.uid;
        return 1;
}

int bus_method_history(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *filter = NULL, *only_all = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        bool all = false;
        const JsonKey keys[] = { { "all", JSON_KEY_BOOL, &all, 0, false }, { 0 } };
        uid_t only;
        int r = bus_read_dict(m, &filter);

        if (r >= 0) {
                only_all = json_pack("{s:O*}", "all", json_object_get(filter, "all"));
                r = json_parse_object(only_all, keys, "the filter of the history", FAULT_UNKNOWN_OPTION, &fault);
        }
        if (r < 0)
                return bus_error_from_fault(error, r, &fault);
        json_object_del(filter, "all");
        r = whose(b, m, all, &only, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = history_query(b->manager, filter, only, on_history, sd_bus_message_ref(m), &fault);
        if (r < 0) {
                sd_bus_message_unref(m);
                return bus_error_from_fault(error, r, &fault);
        }
        return 1;
}
