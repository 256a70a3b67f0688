/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Export and Apply. */

#include "bus-internal.h"
#include "declarative.h"
#include "job-table.h"
#include "json-util.h"

int bus_method_export(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *document = NULL;
        _cleanup_free_ char *text = NULL;
        int r = bus_no_options(m, "the options of Export", error);

        if (r < 0)
                return r;
        document = manager_export(b->manager);
        text = document ? json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
        return text ? sd_bus_reply_method_return(m, "s", text) : bus_error_from_fault(error, -ENOMEM, NULL);
}

typedef struct ApplyCall {
        Bus *bus;
        sd_bus_message *message;
        uint64_t started_usec;
        bool dry_run;
} ApplyCall;

static void apply_call_free(ApplyCall *call) {
        sd_bus_message_unref(call->message);
        free(call);
}

static int reply_changes(sd_bus_message *m, json_t *changes) {
        sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(m, &reply);

        if (r >= 0)
                r = bus_append_dict_list(reply, changes);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static void on_applied(void *userdata, int result, json_t *changes, const char *summary, const Fault *fault) {
        ApplyCall *call = userdata;
        int r = result;

        bus_emit_changes(call->bus);
        if (r < 0 && fault)
                bus_note_refused(call->bus, call->message, fault);
        else if (r >= 0 && !call->dry_run && json_array_size(changes) > 0)
                bus_note_done(call->bus, call->message, NULL, summary, call->started_usec);
        if (r >= 0)
                r = reply_changes(call->message, changes);
        if (r < 0)
                (void) bus_reply_fault(call->message, r, fault);
        apply_call_free(call);
}

int bus_method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        ApplyOptions apply = { 0 };
        const JsonKey keys[] = {
                { "dry-run", JSON_KEY_BOOL, &apply.dry_run, 0, false },
                { "prune", JSON_KEY_BOOL, &apply.prune, 0, false },
                { "keep-invalid", JSON_KEY_BOOL, &apply.keep_invalid, 0, false },
                { 0 },
        };
        const char *text;
        ApplyCall *call;
        int r = sd_bus_message_read(m, "s", &text);

        if (r >= 0)
                r = bus_read_dict(m, &options);
        if (r >= 0)
                r = json_parse_object(options, keys, "the options of Apply", FAULT_UNKNOWN_OPTION, &fault);
        if (r < 0)
                return bus_error_from_fault(error, r, &fault);
        r = auth_check(b, m, RIGHT_MANAGE_GROUPS, NULL, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        call = calloc(1, sizeof(ApplyCall));
        if (!call)
                return bus_error_from_fault(error, -ENOMEM, NULL);
        *call = (ApplyCall) { b, sd_bus_message_ref(m), now_monotonic_usec(), apply.dry_run };
        r = manager_apply(b->manager, text, &apply, on_applied, call, &fault);
        if (r < 0) {
                apply_call_free(call);
                return bus_refuse(b, m, r, &fault, error);
        }
        return 1;
}
