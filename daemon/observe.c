/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe.h"

#include <stdio.h>

#include "identity-use.h"
#include "lib/driver.h"
#include "lib/id.h"
#include "link-watch.h"
#include "log.h"
#include "operation.h"
#include "provider.h"
#include "provision.h"

#define DEVICES_PER_RUN 64u

typedef struct Waiter {
        char device[ID_SIZE];
        void (*done)(void *userdata);
        void *userdata;
        struct Waiter *next;
} Waiter;

/* Devices that wait for a run are marked SLOW_READING and listed by id: a device may go at any time. */
typedef struct Observation {
        Manager *m;
        char (*queue)[ID_SIZE];
        size_t n_queue, n_allocated;
        Waiter *waiters;
        WorkerRun *run;
        Module *module;          /* of the run under way */
        sd_event_source *start;
        LinkWatch *links;        /* once something was read that follows interfaces */
        bool links_failed;
} Observation;

static void start_run(Observation *o);
static void follow_links(Observation *o, const Device *device);

static void wake(Observation *o, const char *device) {
        for (Waiter **p = &o->waiters; *p;) {
                Waiter *waiter = *p;
                if (device && !streq(waiter->device, device)) {
                        p = &waiter->next;
                        continue;
                }
                *p = waiter->next;
                waiter->done(waiter->userdata);
                free(waiter);
                p = &o->waiters; /* the callback may have added or removed others */
        }
}

static Device *find_read(const Observation *o, const char *id) {
        HostDevice *host = source_find(inventory_source(o->m->inventory), id);
        Device *device = host ? host->offers : NULL;

        while (device && device->module != o->module)
                device = device->next_offer;
        return device;
}

static void on_fields(void *userdata, WorkerRun *run, const char *id, json_t *fields, const char *blob, int result,
                      const char *error) {
        Observation *o = userdata;
        Device *device = find_read(o, id);
        char read_id[ID_SIZE];

        if (!device)
                return;
        (void) snprintf(read_id, sizeof(read_id), "%s", device->id);
        device->slow = result < 0 ? SLOW_FAILED : SLOW_FRESH;
        follow_links(o, device);
        if (result < 0) {
                log_message(LOG_NOTICE, LOG_EVENT_NONE, log_fields("DEVICE", device->id),
                            "the slow fields of %s could not be read: %s", device->host->sysname, strempty(error));
                identity_reading_failed(o->m, device);
        } else {
                /* The inventory reports what differs, and rules match again. That the device has no such field differs in
                 * nothing, but is known only now. */
                uint64_t changed = device_put_observed(o->m->inventory, device, fields, blob);

                /* By what was read it may be no device any more, or another one, which is read for itself. */
                device = find_read(o, id);
                if (!device || device->slow != SLOW_FRESH) {
                        if (!device)
                                wake(o, read_id);
                        return;
                }
                if (changed == 0)
                        policy_device_changed(o->m->policy, device, 0);
                identity_device_read(o->m, device);
                if (!device->outdated)
                        provision_observed(o->m, device);
        }
        if (device->outdated) {
                device->outdated = false;
                device->slow = SLOW_UNKNOWN;
                observe_device(o->m, device, NULL, NULL);
        }
        observe_again(o->m, device); /* the driver may have changed while it was read */
        /* Whoever waits is told what holds now. What was just reported may have had it read again: then at the end of that. */
        if (device->slow != SLOW_READING)
                wake(o, device->id);
}

/* What the worker did not answer for (it was killed) has failed: nobody waits for ever. */
static void settle_unanswered(Observation *o) {
        for (Device *device = inventory_first(o->m->inventory); device; device = device->hh.next) {
                bool queued = false;

                if (device->slow != SLOW_READING)
                        continue;
                for (size_t i = 0; i < o->n_queue && !queued; i++)
                        queued = streq(o->queue[i], device->id);
                if (!queued) {
                        device->slow = SLOW_FAILED;
                        identity_reading_failed(o->m, device);
                        wake(o, device->id);
                }
        }
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Observation *o = userdata;

        o->run = NULL;
        if (result < 0) {
                log_plain(LOG_WARNING, "reading slow fields failed: %s", strempty(fault->message));
                settle_unanswered(o);
        }
        start_run(o);
        if (!observe_is_busy(o->m)) {
                manager_settle(o->m);
                manager_kick(o->m);
        }
}

static const WorkerEvents observe_events = { .fields = on_fields, .done = on_done };

/* Takes devices of one module from the queue, in order. */
static size_t take_batch(Observation *o, HostDevice **hosts) {
        size_t n = 0, kept = 0;

        o->module = NULL;
        for (size_t i = 0; i < o->n_queue; i++) {
                Device *device = inventory_find(o->m->inventory, o->queue[i]);

                if (!device)
                        continue;
                if (!o->module)
                        o->module = device->module;
                if (device->module == o->module && n < DEVICES_PER_RUN) {
                        device->slow_driver = device->host->driver;
                        hosts[n++] = device->host;
                } else
                        memmove(o->queue[kept++], o->queue[i], ID_SIZE);
        }
        o->n_queue = kept;
        hosts[n] = NULL;
        return n;
}

static void start_run(Observation *o) {
        HostDevice *hosts[DEVICES_PER_RUN + 1];
        _cleanup_fault_ Fault fault = { 0 };

        while (!o->run && take_batch(o, hosts) > 0) {
                int r = worker_pool_run(o->m->workers,
                                        &(WorkerSpec) {
                                                .mode = WORKER_OBSERVE,
                                                .job = "observe",
                                                .devices = hosts,
                                                .module_directory = loader_directory(o->m->loader),
                                                .module_file = o->module->file,
                                        },
                                        &observe_events, o, &o->run, &fault);
                if (r < 0) {
                        log_plain(LOG_WARNING, "slow fields can't be read: %s", strempty(fault.message));
                        o->n_queue = 0; /* they would fare no better, and nobody waits for ever */
                        settle_unanswered(o);
                        manager_settle(o->m);
                        manager_kick(o->m);
                        return;
                }
        }
}

bool observe_is_busy(const Manager *m) {
        return m->observation && (m->observation->run || m->observation->n_queue > 0);
}

static int on_start(sd_event_source *source, void *userdata) {
        start_run(userdata);
        return 0;
}

static int observation_get(Manager *m, Observation **ret) {
        if (!m->observation) {
                m->observation = calloc(1, sizeof(Observation));
                if (!m->observation)
                        return -ENOMEM;
                m->observation->m = m;
        }
        *ret = m->observation;
        return 0;
}

static int enqueue(Observation *o, Device *device) {
        if (o->n_queue == o->n_allocated) {
                size_t n = o->n_allocated ? o->n_allocated * 2 : 64;
                void *queue = reallocarray(o->queue, n, ID_SIZE);
                if (!queue)
                        return -ENOMEM;
                o->queue = queue;
                o->n_allocated = n;
        }
        id_copy(o->queue[o->n_queue++], device->id);
        device->slow = SLOW_READING;
        /* At the end of this turn, so that a rule over a thousand devices makes few runs. */
        if (o->start)
                return sd_event_source_set_enabled(o->start, SD_EVENT_ONESHOT);
        return sd_event_add_defer(o->m->event, &o->start, on_start, o);
}

void observe_device(Manager *m, Device *device, void (*done)(void *userdata), void *userdata) {
        Observation *o;
        Waiter *waiter;

        if (device->slow == SLOW_FRESH || !device->module->descriptor->observe || observation_get(m, &o) < 0 ||
            (device->slow != SLOW_READING && enqueue(o, device) < 0)) {
                if (done)
                        done(userdata);
                return;
        }
        if (!done)
                return;
        waiter = calloc(1, sizeof(Waiter));
        if (!waiter) {
                done(userdata);
                return;
        }
        *waiter = (Waiter) { .done = done, .userdata = userdata, .next = o->waiters };
        id_copy(waiter->device, device->id);
        o->waiters = waiter;
}

void observe_again(Manager *m, Device *device) {
        const char *driver = device->host->driver;

        if ((device->slow != SLOW_FRESH && device->slow != SLOW_FAILED) || !driver || driver_is_vfio(driver) ||
            driver == device->slow_driver)
                return;
        device->slow = SLOW_UNKNOWN;
        observe_device(m, device, NULL, NULL);
}

static bool has_followed(const Device *device) {
        for (const PtField *f = device->module->descriptor->fields; f && f->name; f++)
                if (f->flags & PT_FIELD_FOLLOWED)
                        return true;
        return false;
}

static void observe_anew(Manager *m, Device *device) {
        if (device->slow == SLOW_READING) {
                device->outdated = true;
                return;
        }
        device->slow = SLOW_UNKNOWN;
        observe_device(m, device, NULL, NULL);
}

void observe_fresh(Manager *m, Device *device) {
        observe_anew(m, device);
}

/* What nobody asked for yet is current when it is asked for. */
static void follow_device(Manager *m, Device *device) {
        if (device->slow != SLOW_UNKNOWN && has_followed(device))
                observe_anew(m, device);
}

static void observe_blob(Manager *m, Device *device) {
        if (device && device->blob)
                observe_anew(m, device);
}

static void follow_made(Manager *m, Device *device) {
        Provider *provider = device->provider;

        observe_blob(m, provider->device);
        for (size_t j = 0; j < provider->n_children; j++)
                observe_blob(m, provider->children[j]);
}

void observe_family(Manager *m, const Allocation *allocation) {
        for (size_t i = 0; i < allocation->n_requests; i++)
                for (size_t k = 0; k < allocation->requests[i].n_devices; k++) {
                        Device *device = inventory_find(m->inventory, allocation->requests[i].devices[k].device);

                        if (device && device->provider)
                                follow_made(m, device);
                        if (device)
                                follow_device(m, device);
                }
}

size_t observe_members(Manager *m, const Group *group) {
        Device *last = NULL;
        size_t n = 0;

        for (size_t i = 0; i < group->n_members; i++) {
                Device *member = group->members[i], *provider = device_get_provider(member);

                if (!member->blob || member->allocation)
                        continue;
                if (provider != last)
                        observe_blob(m, provider);
                last = provider;
                observe_anew(m, member);
                n++;
        }
        return n;
}

/* ---- providers ---- */

/* While what was read before is read again, it is still the best that is known. */
static bool was_never_read(const Device *device) {
        const PtField *fields = device->module->descriptor->fields;
        PtValue value;

        if (device->slow != SLOW_UNKNOWN && device->slow != SLOW_READING)
                return false;
        for (const PtField *f = fields; f && f->name; f++)
                if (f->flags & PT_FIELD_SLOW && device_get_field_by_name(device, f->name, &value) >= 0)
                        return false;
        return true;
}

size_t observe_providers(Manager *m, const Group *group, size_t *waiting, void (*done)(void *userdata), void *userdata) {
        const Device *last = NULL;
        size_t n = 0;

        for (size_t i = 0; group->module && group->module->descriptor->observe && i < group->n_members; i++) {
                Device *provider = device_get_provider(group->members[i]);

                if (!provider || provider == last || !was_never_read(provider))
                        continue;
                last = provider;
                n++;
                if (waiting)
                        (*waiting)++;
                observe_device(m, provider, done, userdata);
        }
        return n;
}

/* Reports of what it made may be of a moment in the middle of that. */
void observe_provider_changed(Manager *m, Device *provider) {
        if (!provider)
                return;
        follow_device(m, provider);
        if (provider->provider)
                follow_made(m, provider);
}

/* ---- interfaces ---- */

static void on_link(void *userdata, const char *sysname) {
        Observation *o = userdata;
        char id[ID_SIZE] = "";

        if (sysname && id_from_place("pci", sysname, id) < 0)
                return;
        for (Device *device = inventory_first(o->m->inventory); device; device = device->hh.next) {
                const Device *provider = device_get_provider(device);

                if (!sysname || streq(device->host->id, id) || (provider && streq(provider->host->id, id)))
                        follow_device(o->m, device);
        }
}

/* Without it the fields are as they were when they were last read. */
static void follow_links(Observation *o, const Device *device) {
        int r;

        if (o->links || o->links_failed || !has_followed(device))
                return;
        r = link_watch_new(o->m->event, on_link, o, &o->links);
        if (r >= 0)
                r = link_watch_listen(o->links);
        o->links_failed = r < 0;
        if (r < 0)
                log_plain(LOG_WARNING, "changes of network interfaces can't be waited for: %s", strerror(-r));
}

void observe_forget(Manager *m, Device *device) {
        if (m->observation)
                wake(m->observation, device->id);
}

void observe_free(Manager *m) {
        Observation *o = m->observation;

        if (!o)
                return;
        wake(o, NULL);
        sd_event_source_disable_unref(o->start);
        (void) link_watch_free(o->links);
        free(o->queue);
        free(o);
        m->observation = NULL;
}
