/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SupportReport. */

#include "bus-internal.h"
#include "json-util.h"
#include "support-report.h"

static void on_report(void *userdata, int result, int fd, const Fault *fault) {
        sd_bus_message *m = userdata;

        if (result < 0 || sd_bus_reply_method_return(m, "h", fd) < 0)
                (void) bus_reply_fault(m, result < 0 ? result : -EIO, fault);
        sd_bus_message_unref(m);
}

int bus_method_support_report(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        bool full = false;
        const JsonKey keys[] = { { "full", JSON_KEY_BOOL, &full, 0, false }, { 0 } };
        int r = bus_read_dict(m, &options);

        if (r >= 0)
                r = json_parse_object(options, keys, "the options of SupportReport", FAULT_UNKNOWN_OPTION, &fault);
        if (r < 0)
                return bus_error_from_fault(error, r, &fault);
        r = auth_check(b, m, RIGHT_MANAGE_DEVICES, NULL, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = support_report(b->manager, full, on_report, sd_bus_message_ref(m), &fault);
        if (r < 0) {
                sd_bus_message_unref(m);
                return bus_refuse(b, m, r, &fault, error);
        }
        bus_note_done(b, m, NULL, full ? "with serial numbers and addresses" : NULL, 0);
        return 1;
}
