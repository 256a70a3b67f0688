/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Explain of devices, groups and allocations: the answer comes when it is complete. */

#include "bus-internal.h"

static int reply(sd_bus_message *m, json_t *findings) {
        sd_bus_message *answer = NULL;
        int r = sd_bus_message_new_method_return(m, &answer);

        if (r >= 0)
                r = bus_append_dict_list(answer, findings);
        if (r >= 0)
                r = sd_bus_send(NULL, answer, NULL);
        sd_bus_message_unref(answer);
        return r;
}

static void on_explained(void *userdata, int result, json_t *findings, const Fault *fault) {
        sd_bus_message *m = userdata;
        int r = result < 0 ? result : reply(m, findings);

        if (r < 0)
                (void) bus_reply_fault(m, r, result < 0 ? fault : NULL);
        sd_bus_message_unref(m);
}

int bus_explain(Bus *b, sd_bus_message *m, ObjectKind kind, const char *id, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r = bus_read_dict(m, &options);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        /* Who wants no processes wants to know at once what is known. The message is rewound before it comes again. */
        if (!json_is_false(json_object_get(options, "processes"))) {
                r = bus_await_evidence(b, m);
                if (r <= 0)
                        return r < 0 ? bus_error_from_fault(error, r, NULL) : 1;
        }
        r = manager_explain(b->manager, kind, id, options, on_explained, sd_bus_message_ref(m), &fault);
        if (r >= 0)
                return 1;
        sd_bus_message_unref(m);
        return bus_error_from_fault(error, r, &fault);
}
