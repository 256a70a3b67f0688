/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-internal.h"

int bus_method_topology_boots(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *boots = NULL;
        sd_bus_message *reply = NULL;
        int r = bus_no_options(m, "the options of TopologyBoots", error);

        if (r < 0)
                return r;
        boots = manager_topology_boots(b->manager);
        r = boots ? sd_bus_message_new_method_return(m, &reply) : -ENOMEM;
        if (r >= 0)
                r = bus_append_dict_list(reply, boots);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r < 0 ? bus_error_from_fault(error, r, NULL) : 1;
}

static void on_compared(void *userdata, int result, const Fault *fault, json_t *rows) {
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

int bus_method_topology_diff(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        _cleanup_(json_decrefp) json_t *options = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r = bus_read_dict(m, &options);

        if (r < 0)
                return bus_error_from_fault(error, r, NULL);
        r = manager_topology_diff(b->manager, options, on_compared, sd_bus_message_ref(m), &fault);
        if (r < 0) {
                sd_bus_message_unref(m);
                return bus_error_from_fault(error, r, &fault);
        }
        return 1;
}
