/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A storm of USB events, each of which changes something: interfaces lose their drivers and get them back, so many a second.
 * How long each event takes to the service's signal, and to that of the bare monitor, which hears the same one. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "measure.h"

#define DEVICES_MAX 1024u
#define EVENTS_MAX 65536u
#define AFTER_USEC 2e6 /* what has not come by then is lost */

typedef struct Adapter {
        char interface[64], driver[64], object[PATH_SIZE];
        bool bound;
        double ours, bare; /* when the event was sent whose signal is waited for; 0: none is */
} Adapter;

static Adapter adapters[DEVICES_MAX];
static size_t n_adapters, n_ours, n_bare, n_overtaken;
static double ours[EVENTS_MAX], bare[EVENTS_MAX];

/* Lines "INTERFACE DRIVER OBJECT". */
static void load(const char *path) {
        FILE *f = fopen(path, "re");

        if (!f)
                fail(path, -errno, NULL);
        while (n_adapters < DEVICES_MAX && fscanf(f, "%63s %63s %511s", adapters[n_adapters].interface, adapters[n_adapters].driver,
                                                  adapters[n_adapters].object) == 3)
                adapters[n_adapters++].bound = true;
        (void) fclose(f);
        if (n_adapters == 0)
                fail(path, -ENODATA, NULL);
}

static void arrived(double *sent, double *latencies, size_t *n) {
        if (*sent == 0 || *n >= EVENTS_MAX)
                return;
        latencies[(*n)++] = now_usec() - *sent;
        *sent = 0;
}

static int on_ours(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path = sd_bus_message_get_path(m);

        for (size_t i = 0; i < n_adapters; i++)
                if (strcmp(adapters[i].object, path) == 0)
                        arrived(&adapters[i].ours, ours, &n_ours);
        return 0;
}

static int on_bare(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *interface;

        if (sd_bus_message_skip(m, "sa{sv}") < 0 || sd_bus_message_enter_container(m, 'a', "s") < 0 ||
            sd_bus_message_read(m, "s", &interface) <= 0)
                return 0;
        for (size_t i = 0; i < n_adapters; i++)
                if (strcmp(adapters[i].interface, interface) == 0)
                        arrived(&adapters[i].bare, bare, &n_bare);
        return 0;
}

static void send_event(Adapter *adapter) {
        char path[PATH_SIZE];

        if (adapter->ours != 0 || adapter->bare != 0)
                n_overtaken++; /* the one before never led to a signal, or does so after this one */
        adapter->ours = adapter->bare = now_usec();
        (void) snprintf(path, sizeof(path), "/sys/bus/usb/drivers/%s/%s", adapter->driver, adapter->bound ? "unbind" : "bind");
        write_text(path, adapter->interface);
        adapter->bound = !adapter->bound;
}

static void listen_until(double end) {
        for (;;) {
                double now = now_usec();
                int r = sd_bus_process(client_bus, NULL);

                if (r == 0 && now >= end)
                        return;
                if (r == 0)
                        r = sd_bus_wait(client_bus, (uint64_t) (end - now) + 1);
                if (r < 0)
                        fail("the bus", r, NULL);
        }
}

void kind_usb(int n, char **words) {
        double seconds = (double) rounds_of(n, words, 1, 5), rate = (double) rounds_of(n, words, 2, 1000), began;
        size_t events = (size_t) (seconds * rate), i;

        load(words[0]);
        if (events > EVENTS_MAX)
                fail("too many events", -E2BIG, NULL);
        if (sd_bus_add_match(client_bus, NULL,
                             "type='signal',sender='" SERVICE "',interface='org.freedesktop.DBus.Properties',arg0='" SERVICE
                             ".Device.Usb'", on_ours, NULL) < 0 ||
            sd_bus_add_match(client_bus, NULL, "type='signal',path='/monitor'", on_bare, NULL) < 0)
                fail("match", -EINVAL, NULL);
        began = now_usec();
        for (i = 0; i < events; i++) {
                listen_until(began + (double) i * 1e6 / rate);
                send_event(&adapters[i % n_adapters]);
        }
        rate = (double) events / ((now_usec() - began) / 1e6);
        listen_until(now_usec() + AFTER_USEC);
        for (i = 0; i < n_adapters; i++)
                if (!adapters[i].bound)
                        send_event(&adapters[i]);
        if (n_ours == 0 || n_bare == 0)
                fail("no signal", -ETIMEDOUT, NULL);
        /* Ours and bare: median, 99 of 100, longest; how many came. Then how many were sent, and how many a second. */
        printf("%.0f %.0f %.0f %zu %.0f %.0f %.0f %zu %zu %zu %.0f\n", percentile(ours, n_ours, 0.5),
               percentile(ours, n_ours, 0.99), percentile(ours, n_ours, 1), n_ours, percentile(bare, n_bare, 0.5),
               percentile(bare, n_bare, 0.99), percentile(bare, n_bare, 1), n_bare, events, n_overtaken, rate);
}
