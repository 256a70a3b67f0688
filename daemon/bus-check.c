/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Manager.CheckHost(): what the core found, and whether polkit answers, which only the bus can tell. */

#include "bus-internal.h"
#include "json-util.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_TIMEOUT_USEC UINT64_C(3000000)

/* Two answers are waited for, in any order; the core's comes even when the service stops. */
struct CheckCall {
        Bus *bus;
        sd_bus_message *message;
        sd_bus_slot *ping;
        json_t *checks;
        json_t *polkit;
        bool host_done; /* the core has answered: nobody else holds the call */
        bool dropped;   /* the bus is going */
        struct CheckCall *next;
};

static void call_free(struct CheckCall *call) {
        sd_bus_slot_unref(call->ping);
        sd_bus_message_unref(call->message);
        json_decref(call->checks);
        json_decref(call->polkit);
        free(call);
}

static void unlink_call(struct CheckCall *call) {
        for (struct CheckCall **p = &call->bus->checks; *p; p = &(*p)->next)
                if (*p == call) {
                        *p = call->next;
                        return;
                }
}

static void reply_when_complete(struct CheckCall *call) {
        sd_bus_message *reply = NULL;
        int r;

        if (!call->host_done || call->ping)
                return;
        if (call->polkit)
                json_array_append(call->checks, call->polkit);
        bus_emit_changes(call->bus);
        r = sd_bus_message_new_method_return(call->message, &reply);
        if (r >= 0)
                r = bus_append_dict_list(reply, call->checks);
        if (r >= 0)
                (void) sd_bus_send(NULL, reply, NULL);
        else
                (void) bus_reply_fault(call->message, r, NULL);
        sd_bus_message_unref(reply);
        unlink_call(call);
        call_free(call);
}

static json_t *polkit_row(const sd_bus_error *e) {
        static const char title[] = "Authorisation of users (polkit)";

        if (!e)
                return doctor_row("polkit", title, "pass", "polkit answers", POLKIT_NAME " answered Peer.Ping", NULL);
        if (sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT))
                return doctor_row("polkit", title, "fail", "polkit does not answer: only root is let through", POLKIT_NAME " was silent",
                                  "systemctl restart polkit.service");
        return doctor_row("polkit", title, "warn", "polkit is not there: only root may change anything", strempty(e->message),
                          "Install polkit (Debian: polkitd) if other users shall allocate devices.");
}

static int on_ping(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct CheckCall *call = userdata;

        call->polkit = polkit_row(sd_bus_message_get_error(m));
        call->ping = sd_bus_slot_unref(call->ping);
        reply_when_complete(call);
        return 0;
}

static void on_checked(void *userdata, int result, const Fault *fault, json_t *checks) {
        struct CheckCall *call = userdata;

        call->host_done = true;
        if (call->dropped) {
                call_free(call);
                return;
        }
        if (result < 0) {
                (void) bus_reply_fault(call->message, result, fault);
                unlink_call(call);
                call_free(call);
                return;
        }
        call->checks = json_copy(checks);
        reply_when_complete(call);
}

static bool wants_polkit(json_t *options) {
        json_t *only = json_object_get(options, "only"), *word;
        size_t index;

        json_array_foreach(only, index, word)
                if (streq_null(json_string_value(word), "polkit"))
                        return true;
        return !only;
}

static int ask_polkit(struct CheckCall *call) {
        sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(call->bus->bus, &m, POLKIT_NAME, "/", "org.freedesktop.DBus.Peer", "Ping");

        if (r >= 0)
                r = sd_bus_call_async(call->bus->bus, &call->ping, m, on_ping, call, POLKIT_TIMEOUT_USEC);
        sd_bus_message_unref(m);
        return r;
}

int bus_method_check_host(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        struct CheckCall *call;
        int r = bus_read_dict(m, &options);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        call = calloc(1, sizeof(struct CheckCall));
        if (!call)
                return bus_error_from_fault(error, -ENOMEM, NULL);
        *call = (struct CheckCall) { .bus = b, .message = sd_bus_message_ref(m), .next = b->checks };
        b->checks = call;
        if (wants_polkit(options))
                r = ask_polkit(call);
        if (r >= 0)
                r = manager_check_host(b->manager, options, on_checked, call, &fault);
        if (r < 0) {
                unlink_call(call);
                call_free(call);
                return bus_error_from_fault(error, r, &fault);
        }
        return 1;
}

int bus_get_reboot_reasons(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Bus *b = userdata;
        json_t *reasons = manager_reboot_reasons(b->manager);

        return reasons ? bus_append_strings(reply, reasons) : sd_bus_message_append_strv(reply, NULL);
}

/* The core has answered all of its by then; polkit's may be missing. */
void bus_checks_free(Bus *b) {
        while (b->checks) {
                struct CheckCall *call = b->checks;

                b->checks = call->next;
                if (call->host_done)
                        call_free(call);
                else {
                        call->ping = sd_bus_slot_unref(call->ping);
                        call->dropped = true;
                }
        }
}
