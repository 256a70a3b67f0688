/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "presence.h"

#include <stdio.h>

#include "lib/parse.h"
#include "log.h"
#include "operation.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define SEEN_OFTEN_ENOUGH 2u
/* The kernel said that the driver let go: more will come by itself, that the device is gone or has another driver. A slow
 * removal takes seconds from the one to the other. */
#define SEEN_OFTEN_ENOUGH_AFTER_EVENT 8u

/* A device in use, or a port above some. */
typedef struct Watched {
        char id[ID_SIZE];
        unsigned bad;   /* how often in a row it looked gone */
        bool silent;    /* a port that reports nothing: it is not asked again */
        bool needed;
        UT_hash_handle hh;
} Watched;

struct Presence {
        sd_event_source *timer;
        Watched *devices, *ports;
        unsigned turn;
        WorkerRun *run;
};

static Watched *watched_get(Watched **table, const char *id) {
        Watched *w;

        HASH_FIND_STR(*table, id, w);
        if (!w && (w = calloc(1, sizeof(Watched)))) {
                (void) snprintf(w->id, sizeof(w->id), "%s", id);
                HASH_ADD_STR(*table, id, w);
        }
        if (w)
                w->needed = true;
        return w;
}

static void watched_forget(Watched **table, bool all) {
        Watched *w, *next;

        HASH_ITER(hh, *table, w, next) {
                if (!all && w->needed) {
                        w->needed = false;
                        continue;
                }
                HASH_DEL(*table, w);
                free(w);
        }
}

/* A device that the activation bound to a driver, when it is there. */
static HostDevice *bound_device(Manager *m, const PtStep *step) {
        return step->kind == PT_STEP_SET_DRIVER && !isempty(step->value) && step->device
                       ? source_find(inventory_source(m->inventory), step->device)
                       : NULL;
}

/* The last directory but one of the device's path, "/devices/pci0000:00/0000:00:10.0/0000:01:00.0"; NULL when that is no PCI device. */
static HostDevice *port_above(Manager *m, const HostDevice *host) {
        const char *name = host->above ? strrchr(host->above, '/') : NULL;
        uint8_t bus, slot, function;
        uint32_t domain;

        if (!name++ || !streq(host->subsystem, "pci"))
                return NULL;
        return parse_bdf(name, &domain, &bus, &slot, &function) < 0
                       ? NULL
                       : source_find_by_name(inventory_source(m->inventory), "pci", name);
}

/* ---- ports ---- */

static void lose_below(Manager *m, const char *port) {
        for (Allocation *a = m->allocations; a; a = a->hh.next)
                for (size_t i = 0; a->state == ALLOCATION_ACTIVE && i < a->applied.n_steps; i++) {
                        HostDevice *host = bound_device(m, &a->applied.steps[i]), *above = host ? port_above(m, host) : NULL;

                        if (above && streq(above->id, port))
                                operation_device_lost(m, a, host->id, "unplugged");
                }
}

static void on_port(void *userdata, const char *device, PortReport report) {
        Manager *m = userdata;
        Watched *w;

        HASH_FIND_STR(m->presence->ports, device, w);
        if (!w)
                return;
        w->silent = report == PORT_REPORT_NOTHING;
        w->bad = report == PORT_REPORT_EMPTY ? w->bad + 1 : 0;
        if (w->bad >= SEEN_OFTEN_ENOUGH)
                lose_below(m, device);
}

static void on_ports_done(void *userdata, int result, const Fault *fault) {
        Manager *m = userdata;

        m->presence->run = NULL;
        if (result < 0 && fault->code != FAULT_CANCELLED)
                log_plain(LOG_NOTICE, "the ports above devices in use could not be asked: %s", strempty(fault->message));
}

static const WorkerEvents port_events = { .port = on_port, .done = on_ports_done };

static void ask_ports(Manager *m) {
        struct Presence *p = m->presence;
        _cleanup_(json_decrefp) json_t *devices = json_array();
        _cleanup_fault_ Fault fault = { 0 };

        for (Allocation *a = m->allocations; a; a = a->hh.next)
                for (size_t i = 0; a->state == ALLOCATION_ACTIVE && i < a->applied.n_steps; i++) {
                        HostDevice *host = bound_device(m, &a->applied.steps[i]), *above = host ? port_above(m, host) : NULL;
                        Watched *w = NULL;
                        bool listed;

                        if (above)
                                HASH_FIND_STR(p->ports, above->id, w);
                        listed = w && w->needed;
                        w = above ? watched_get(&p->ports, above->id) : NULL;
                        if (w && !w->silent && !listed)
                                (void) json_array_append_new(devices, host_device_to_json(above, NULL));
                }
        watched_forget(&p->ports, false);
        if (json_array_size(devices) > 0 && !p->run)
                (void) worker_pool_run(m->workers,
                                       &(WorkerSpec) { .mode = WORKER_PORTS, .job = "presence", .devices_json = devices },
                                       &port_events, m, &p->run, &fault);
}

/* ---- drivers ---- */

static void look_at_driver(Manager *m, Allocation *a, HostDevice *host) {
        Watched *w = watched_get(&m->presence->devices, host->id);
        char driver[64];

        if (!w)
                return;
        w->bad = source_read_link(inventory_source(m->inventory), host, "driver", driver, sizeof(driver)) == -ENOENT
                         ? w->bad + 1
                         : 0;
        if (w->bad >= (host->driver ? SEEN_OFTEN_ENOUGH : SEEN_OFTEN_ENOUGH_AFTER_EVENT))
                operation_device_lost(m, a, host->id, "unbound");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        for (Allocation *a = m->allocations; a; a = a->hh.next)
                for (size_t i = 0; a->state == ALLOCATION_ACTIVE && i < a->applied.n_steps; i++) {
                        HostDevice *host = bound_device(m, &a->applied.steps[i]);

                        if (host)
                                look_at_driver(m, a, host);
                }
        watched_forget(&m->presence->devices, false);
        if (++m->presence->turn % PRESENCE_PORT_TURNS == 0)
                ask_ports(m);
        presence_update(m);
        return 0;
}

static bool anything_to_watch(Manager *m) {
        for (Allocation *a = m->allocations; a; a = a->hh.next)
                for (size_t i = 0; a->state == ALLOCATION_ACTIVE && i < a->applied.n_steps; i++)
                        if (bound_device(m, &a->applied.steps[i]))
                                return true;
        return false;
}

static int begin(Manager *m) {
        if (!m->presence)
                m->presence = calloc(1, sizeof(struct Presence));
        if (!m->presence)
                return -ENOMEM;
        if (!m->presence->timer)
                return sd_event_add_time_relative(m->event, &m->presence->timer, CLOCK_MONOTONIC,
                                                  PRESENCE_INTERVAL_SEC * USEC_PER_SEC, 0, on_timer, m);
        if (sd_event_source_get_enabled(m->presence->timer, NULL) > 0)
                return 0;
        (void) sd_event_source_set_time_relative(m->presence->timer, PRESENCE_INTERVAL_SEC * USEC_PER_SEC);
        return sd_event_source_set_enabled(m->presence->timer, SD_EVENT_ONESHOT);
}

void presence_update(Manager *m) {
        int r = 0;

        if (m->stopping)
                return;
        if (anything_to_watch(m))
                r = begin(m);
        else if (m->presence) {
                (void) sd_event_source_set_enabled(m->presence->timer, SD_EVENT_OFF);
                watched_forget(&m->presence->devices, true);
                watched_forget(&m->presence->ports, true);
        }
        if (r < 0)
                log_plain(LOG_WARNING, "whether devices in use are still there is not watched: %s", strerror(-r));
}

void presence_free(Manager *m) {
        if (!m->presence)
                return;
        sd_event_source_disable_unref(m->presence->timer);
        watched_forget(&m->presence->devices, true);
        watched_forget(&m->presence->ports, true);
        free(m->presence);
        m->presence = NULL;
}
