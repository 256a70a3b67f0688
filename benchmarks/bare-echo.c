/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bare limit of an answer: an sd-bus service that sends what it was told to remember. Remember(v) keeps a value of any
 * type; Echo() answers with it; Ping() answers with nothing; Touch() emits one PropertiesChanged-sized signal. */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

static sd_bus_message *kept;

static int method_remember(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        sd_bus_message_unref(kept);
        kept = sd_bus_message_ref(m);
        return sd_bus_reply_method_return(m, NULL);
}

static int method_echo(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(m, &reply);

        if (r >= 0 && kept)
                r = sd_bus_message_rewind(kept, true);
        if (r >= 0 && kept)
                r = sd_bus_message_copy(reply, kept, true);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int method_ping(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Remember", "v", NULL, method_remember, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Echo", NULL, "v", method_echo, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Ping", NULL, NULL, method_ping, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int main(void) {
        sd_bus *bus;
        int r = sd_bus_open_system(&bus);

        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, "/echo", "org.passthroughd.Echo", vtable, NULL);
        if (r >= 0)
                r = sd_bus_request_name(bus, "org.passthroughd.Echo", 0);
        while (r >= 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        fprintf(stderr, "bare-echo: %s\n", strerror(-r));
        return 1;
}
