/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Method calls that are answered when the store has committed. The message is kept until then. */

#include "bus-internal.h"
#include "job-table.h"
#include "json-util.h"

struct BusCall {
        Bus *bus;
        sd_bus_message *message;
        ObjectKind kind;
        uint64_t started_usec;
};

int bus_call_new(Bus *b, sd_bus_message *m, ObjectKind kind, BusCall **ret) {
        BusCall *call = calloc(1, sizeof(BusCall));

        if (!call)
                return -ENOMEM;
        *call = (BusCall) { .bus = b, .message = sd_bus_message_ref(m), .kind = kind, .started_usec = now_monotonic_usec() };
        *ret = call;
        return 0;
}

int bus_call_refuse(BusCall *call, int result, const Fault *fault, sd_bus_error *error) {
        if (call && fault)
                bus_note_refused(call->bus, call->message, fault);
        bus_call_free(call);
        return bus_error_from_fault(error, result, fault);
}

void bus_call_free(BusCall *call) {
        if (!call)
                return;
        sd_bus_message_unref(call->message);
        free(call);
}

/* True when it was answered with the fault. `id`: of what was made; NULL when the call's own object says it all. */
static bool refused(BusCall *call, int result, const Fault *fault, const char *id) {
        bus_emit_changes(call->bus);
        if (result >= 0) {
                bus_note_done(call->bus, call->message, id, NULL, call->started_usec);
                return false;
        }
        if (fault)
                bus_note_refused(call->bus, call->message, fault);
        (void) bus_reply_fault(call->message, result, fault);
        bus_call_free(call);
        return true;
}

void bus_call_done_path(void *userdata, int result, const Fault *fault, const char *id) {
        BusCall *call = userdata;
        char path[BUS_PATH_SIZE];

        if (refused(call, result, fault, id))
                return;
        bus_path(call->kind, id, path);
        (void) sd_bus_reply_method_return(call->message, "o", path);
        bus_call_free(call);
}

void bus_call_done_paths(void *userdata, int result, const Fault *fault, const char *ids) {
        BusCall *call = userdata;
        sd_bus_message *reply = NULL;
        _cleanup_free_ char *copy = NULL;
        char *save = NULL;
        int r;

        if (refused(call, result, fault, NULL))
                return;
        copy = strdup(strempty(ids));
        r = copy ? sd_bus_message_new_method_return(call->message, &reply) : -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        for (char *id = copy ? strtok_r(copy, " ", &save) : NULL; id && r >= 0; id = strtok_r(NULL, " ", &save)) {
                char path[BUS_PATH_SIZE];
                bus_path(call->kind, id, path);
                r = sd_bus_message_append_basic(reply, 'o', path);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                (void) sd_bus_send(NULL, reply, NULL);
        else
                (void) bus_reply_fault(call->message, r, NULL);
        sd_bus_message_unref(reply);
        bus_call_free(call);
}

void bus_call_done_empty(void *userdata, int result, const Fault *fault, const char *id) {
        BusCall *call = userdata;

        if (refused(call, result, fault, NULL))
                return;
        (void) sd_bus_reply_method_return(call->message, NULL);
        bus_call_free(call);
}

void bus_call_done_no_job(void *userdata, int result, const Fault *fault, const char *id) {
        BusCall *call = userdata;

        if (refused(call, result, fault, id))
                return;
        (void) sd_bus_reply_method_return(call->message, "o", "/");
        bus_call_free(call);
}

void bus_call_done_allocated(void *userdata, int result, const Fault *fault, const char *id) {
        BusCall *call = userdata;
        char path[BUS_PATH_SIZE], job[BUS_PATH_SIZE] = "/";
        const Allocation *allocation;

        if (refused(call, result, fault, id))
                return;
        bus_path(OBJECT_ALLOCATION, id, path);
        allocation = manager_find_allocation(call->bus->manager, id);
        if (allocation && allocation->job)
                bus_path(OBJECT_JOB, allocation->job->id, job);
        (void) sd_bus_reply_method_return(call->message, "oo", path, job);
        bus_call_free(call);
}

void bus_call_done_string(void *userdata, int result, const Fault *fault, const char *text) {
        BusCall *call = userdata;

        if (refused(call, result, fault, NULL))
                return;
        (void) sd_bus_reply_method_return(call->message, "s", strempty(text));
        bus_call_free(call);
}

int bus_reply_job(sd_bus_message *m, const Job *job) {
        char path[BUS_PATH_SIZE];

        bus_path(OBJECT_JOB, job->id, path);
        return sd_bus_reply_method_return(m, "o", path);
}

int bus_no_options(sd_bus_message *m, const char *what, sd_bus_error *error) {
        static const JsonKey keys[] = { { 0 } };
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r = bus_read_dict(m, &options);

        if (r >= 0)
                r = json_parse_object(options, keys, what, FAULT_UNKNOWN_OPTION, &fault);
        return r < 0 ? bus_error_from_fault(error, r, &fault) : 0;
}
