/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meter.h"

#include <stdio.h>
#include <time.h>

#include "job-table.h"
#include "json-util.h"
#include "lib/limits.h"
#include "loader.h"
#include "log.h"
#include "meter-history.h"
#include "operation.h"
#include "provider.h"

#define USEC_PER_MSEC UINT64_C(1000)
/* Providers that are due so soon after another are measured with it. */
#define TOGETHER_USEC 50000u
#define ACCURACY_USEC 20000u
#define DEVICE_MEMBER "device" /* in what use() puts; ours, the id, is "id" */
#define FINDINGS_MEMBER "findings"

/* The history of one device of a provider, in the hands of one allocation. */
typedef struct Series {
        char device[ID_SIZE];
        char allocation[UUID_TEXT_SIZE];
        MeterHistory *history;
        struct Series *next;
} Series;

typedef struct Metered {
        char device[ID_SIZE];
        MeterWatch *watches;
        struct Asker *askers;
        uint64_t due_usec;  /* CLOCK_MONOTONIC; of what is watched */
        uint64_t taken_usec; /* the last sample, or failure; 0: none */
        uint64_t skipped;
        bool running; /* in the run under way */
        bool answered; /* of that run */
        bool failed;
        json_t *sample; /* {} or what is known now */
        MeterHistory *history;
        Series *series;
        size_t n_series;
        UT_hash_handle hh;
} Metered;

typedef struct Asker {
        void (*done)(void *userdata);
        void *userdata;
        struct Asker *next;
} Asker;

struct MeterWatch {
        Manager *m;
        Metered *metered;
        uid_t uid;
        unsigned interval_msec;
        void (*gone)(void *userdata);
        void *userdata;
        MeterWatch *next;
};

typedef struct Meter {
        Metered *providers; /* by device id; kept for their history while nobody watches */
        sd_event_source *timer;
        WorkerRun *run;
        bool stuck; /* the kernel holds the worker that measured */
} Meter;

static void schedule(Manager *m);

static int64_t now_msec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static Metered *find(Manager *m, const char *device) {
        Metered *metered = NULL;

        if (m->meter)
                HASH_FIND_STR(m->meter->providers, device, metered);
        return metered;
}

static int obtain(Manager *m, const Device *provider, Metered **ret) {
        Metered *metered = find(m, provider->id);

        if (!m->meter && !(m->meter = calloc(1, sizeof(Meter))))
                return -ENOMEM;
        if (!metered) {
                metered = calloc(1, sizeof(Metered));
                if (metered)
                        metered->history = meter_history_new(METER_SAMPLES_MAX, METER_MINUTES_MAX);
                if (!metered || !metered->history) {
                        free(metered);
                        return -ENOMEM;
                }
                (void) snprintf(metered->device, sizeof(metered->device), "%s", provider->id);
                HASH_ADD_STR(m->meter->providers, device, metered);
        }
        *ret = metered;
        return 0;
}

static Series *series_free(Series *series) {
        Series *next = series->next;

        meter_history_free(series->history);
        free(series);
        return next;
}

static void metered_free(Meter *meter, Metered *metered) {
        HASH_DEL(meter->providers, metered);
        json_decref(metered->sample);
        meter_history_free(metered->history);
        while (metered->series)
                metered->series = series_free(metered->series);
        free(metered);
}

/* 0: nobody watches. */
static unsigned interval_of(const Metered *metered) {
        unsigned shortest = 0;

        for (const MeterWatch *watch = metered->watches; watch; watch = watch->next)
                if (shortest == 0 || watch->interval_msec < shortest)
                        shortest = watch->interval_msec;
        return shortest;
}

static unsigned count_watches(const Metered *metered) {
        unsigned n = 0;

        for (const MeterWatch *watch = metered->watches; watch; watch = watch->next)
                n++;
        return n;
}

static void tell(Manager *m, const Metered *metered) {
        if (m->events.use_changed)
                m->events.use_changed(m->events.userdata, metered->device);
}

static void wake(Metered *metered) {
        Asker *askers = TAKE_PTR(metered->askers);

        while (askers) {
                Asker *asker = askers;

                askers = asker->next;
                asker->done(asker->userdata);
                free(asker);
        }
}

/* ---- what a sample says, and whom it is about ---- */

/* The number of the device in a request of its allocation, as its name was made of. */
static bool has_uuid(const Device *device, const char *uuid) {
        const Allocation *a = device->allocation;

        for (size_t i = 0; a && i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++) {
                        PlanRequest request = { 0 };

                        if (!streq(a->requests[i].devices[k].device, device->id))
                                continue;
                        plan_request_identify(&request, a, i, k);
                        return strcasecmp(request.uuid, uuid) == 0;
                }
        return false;
}

static Device *child_called(const Device *provider, const char *name) {
        const Provider *p = provider->provider;

        for (size_t i = 0; p && name && i < p->n_children; i++)
                if (streq(p->children[i]->host->sysname, name) || has_uuid(p->children[i], name))
                        return p->children[i];
        return NULL;
}

static MeterHistory *series_of(Metered *metered, const Device *device) {
        const char *holder = device->allocation ? device->allocation->id : "";
        Series **p, *series;

        for (p = &metered->series; *p && !streq((*p)->device, device->id); p = &(*p)->next)
                ;
        /* Another consumer's use is none of this one's. */
        if (*p && !streq((*p)->allocation, holder)) {
                *p = series_free(*p);
                metered->n_series--;
        }
        for (series = metered->series; series && !streq(series->device, device->id); series = series->next)
                ;
        if (series || metered->n_series == METER_DEVICES_MAX)
                return series ? series->history : NULL;
        series = calloc(1, sizeof(Series));
        if (series)
                series->history = meter_history_new(METER_DEVICE_SAMPLES_MAX, METER_DEVICE_MINUTES_MAX);
        if (!series || !series->history) {
                free(series);
                return NULL;
        }
        (void) snprintf(series->device, sizeof(series->device), "%s", device->id);
        (void) snprintf(series->allocation, sizeof(series->allocation), "%s", holder);
        series->next = metered->series;
        metered->series = series;
        metered->n_series++;
        return series->history;
}

static void take_device(Metered *metered, const Device *provider, json_t *entry, int64_t time) {
        const char *name = json_string_value(json_object_get(entry, DEVICE_MEMBER));
        Device *device = child_called(provider, name);
        MeterHistory *history;

        if (!device)
                return;
        (void) json_object_set_new(entry, "id", json_string(device->id));
        if (device->allocation) {
                (void) json_object_set_new(entry, "allocation", json_string(device->allocation->id));
                (void) json_object_set_new(entry, "consumer", json_string(device->allocation->consumer));
        }
        history = series_of(metered, device);
        if (history)
                (void) meter_history_add(history, time, entry);
}

/* Devices of the provider, and how many of them somebody has. */
static void count_devices(const Device *provider, json_t *sample) {
        const Provider *p = provider->provider;
        size_t total = p ? p->n_children : 0, used = 0;

        for (size_t i = 0; i < total; i++)
                used += p->children[i]->allocation && allocation_state_holds(p->children[i]->allocation->state);
        (void) json_object_set_new(sample, "total", json_integer((json_int_t) total));
        (void) json_object_set_new(sample, "used", json_integer((json_int_t) used));
        (void) json_object_set_new(sample, "idle", json_integer((json_int_t) (total - used)));
}

/* What was measured before is not so any more: it is gone. */
static void take_problem(Metered *metered, const Device *provider, const char *problem) {
        json_decref(metered->sample);
        metered->failed = true;
        metered->sample = json_pack("{s:s, s:I}", "problem", problem, "time", (json_int_t) now_msec());
        if (provider && metered->sample)
                count_devices(provider, metered->sample);
}

static void on_used(void *userdata, const char *host, json_t *use, int result, const char *error) {
        Manager *m = userdata;
        Device *provider = NULL;
        Metered *metered, *next;
        json_t *entry;
        int64_t time = now_msec();
        size_t i;

        HASH_ITER(hh, m->meter->providers, metered, next) {
                provider = metered->running ? inventory_find(m->inventory, metered->device) : NULL;
                if (provider && streq(provider->host->id, host))
                        break;
                provider = NULL;
        }
        if (!provider)
                return;
        metered->answered = true;
        if (result < 0) {
                take_problem(metered, provider, isempty(error) ? strerror(-result) : error);
                return;
        }
        json_decref(metered->sample);
        metered->sample = json_deep_copy(use);
        metered->failed = false;
        (void) json_object_set_new(metered->sample, "time", json_integer(time));
        count_devices(provider, metered->sample);
        json_array_foreach(json_object_get(metered->sample, "devices"), i, entry)
                take_device(metered, provider, entry, time);
        (void) meter_history_add(metered->history, time, metered->sample);
}

/* ---- runs ---- */

/* The next turn of one that was just measured; those that passed meanwhile are lost. */
static void set_due(Metered *metered, uint64_t now) {
        uint64_t interval = interval_of(metered) * USEC_PER_MSEC;

        if (interval == 0)
                return;
        if (metered->failed && interval < METER_RETRY_MSEC * USEC_PER_MSEC) {
                metered->due_usec = now + METER_RETRY_MSEC * USEC_PER_MSEC;
                return;
        }
        metered->due_usec += interval;
        if (metered->due_usec <= now) {
                uint64_t missed = (now - metered->due_usec) / interval + 1;

                metered->skipped += missed;
                metered->due_usec += missed * interval;
        }
}

static void settle(Manager *m, int result, const Fault *fault) {
        uint64_t now = now_monotonic_usec();
        Metered *metered, *next;

        HASH_ITER(hh, m->meter->providers, metered, next) {
                if (!metered->running)
                        continue;
                metered->running = false;
                if (result < 0 && !metered->answered)
                        take_problem(metered, inventory_find(m->inventory, metered->device),
                                     fault->code == FAULT_TIMED_OUT  ? "the driver did not answer in time"
                                     : isempty(fault->message) ? strerror(-result)
                                                               : fault->message);
                metered->taken_usec = now;
                set_due(metered, now);
                tell(m, metered);
                wake(metered);
        }
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Manager *m = userdata;

        m->meter->run = NULL;
        m->meter->stuck = fault->code == FAULT_DRIVER_STUCK;
        /* Nobody is measured before that has ended. */
        for (Metered *metered = m->meter->stuck ? m->meter->providers : NULL; metered; metered = metered->hh.next)
                if (!metered->running) {
                        metered->running = metered->watches || metered->askers;
                        metered->answered = false;
                }
        if (result < 0 && fault->code != FAULT_CANCELLED)
                log_plain(LOG_NOTICE, "the use of providers could not be measured: %s", strempty(fault->message));
        settle(m, result, fault);
        schedule(m);
}

static void on_gone(void *userdata) {
        Manager *m = userdata;

        m->meter->stuck = false;
        schedule(m);
}

static const WorkerEvents events = { .used = on_used, .done = on_done, .gone = on_gone };

/* What one worker is asked: providers of one module, with what they made. */
typedef struct Batch {
        const Module *module;
        HostDevice **hosts;
        const char **providers;
        size_t n_hosts, n_providers;
} Batch;

static void batch_done(Batch *batch) {
        free(batch->hosts);
        free(batch->providers);
}

static void add_host(Batch *batch, HostDevice *host) {
        for (size_t i = 0; i < batch->n_hosts; i++)
                if (batch->hosts[i] == host)
                        return;
        batch->hosts[batch->n_hosts++] = host;
}

static int batch_add(Batch *batch, Device *provider) {
        const Provider *p = provider->provider;
        size_t n = batch->n_hosts + 2 + (p ? p->n_children : 0);
        HostDevice **hosts = reallocarray(batch->hosts, n, sizeof(HostDevice *));
        const char **providers;

        if (!hosts)
                return -ENOMEM;
        batch->hosts = hosts;
        providers = reallocarray(batch->providers, batch->n_providers + 2, sizeof(char *));
        if (!providers)
                return -ENOMEM;
        batch->providers = providers;
        batch->providers[batch->n_providers++] = provider->host->id;
        batch->providers[batch->n_providers] = NULL;
        add_host(batch, provider->host);
        /* Of one that is not made there is nothing to be read. */
        for (size_t i = 0; p && i < p->n_children; i++)
                if (!p->children[i]->host->whole)
                        add_host(batch, p->children[i]->host);
        batch->hosts[batch->n_hosts] = NULL;
        batch->module = provider->module;
        return 0;
}

static bool is_due(const Metered *metered, uint64_t now) {
        return metered->askers || (metered->watches && metered->due_usec <= now + TOGETHER_USEC);
}

static int collect(Manager *m, Batch *batch) {
        uint64_t now = now_monotonic_usec();
        Metered *metered, *next;

        HASH_ITER(hh, m->meter->providers, metered, next) {
                Device *provider = inventory_find(m->inventory, metered->device);

                if (!is_due(metered, now) || !provider || !meter_can(provider) ||
                    (batch->module && batch->module != provider->module))
                        continue;
                if (batch_add(batch, provider) < 0)
                        return -ENOMEM;
                metered->running = true;
                metered->answered = false;
        }
        return 0;
}

static void start_run(Manager *m) {
        _cleanup_(batch_done) Batch batch = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        if (m->meter->run || m->meter->stuck || m->stopping)
                return;
        r = collect(m, &batch);
        if (r >= 0 && batch.n_providers == 0)
                return;
        if (r >= 0)
                r = worker_pool_run(m->workers,
                                    &(WorkerSpec) {
                                            .mode = WORKER_USE,
                                            .job = "use",
                                            .devices = batch.hosts,
                                            .providers = batch.providers,
                                            .module_directory = loader_directory(m->loader),
                                            .module_file = batch.module->file,
                                            .timeout_msec = METER_TIMEOUT_MSEC,
                                            .urgent = true, /* it is one at most, and takes nobody's place */
                                    },
                                    &events, m, &m->meter->run, &fault);
        if (r < 0)
                settle(m, r, &fault);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        start_run(m);
        if (!m->meter->run)
                schedule(m);
        return 0;
}

/* Whoever asks is answered in this turn of the loop; a watch is served when it is due; nobody wakes up for nobody. */
static void schedule(Manager *m) {
        uint64_t due = UINT64_MAX, now = now_monotonic_usec();
        Metered *metered, *next;
        int r;

        HASH_ITER(hh, m->meter->providers, metered, next) {
                if (metered->askers)
                        due = 0;
                else if (metered->watches)
                        due = MIN_OF(due, metered->due_usec);
        }
        if (due == UINT64_MAX || m->meter->run || m->meter->stuck || m->stopping) {
                if (m->meter->timer)
                        (void) sd_event_source_set_enabled(m->meter->timer, SD_EVENT_OFF);
                return;
        }
        due = due > now ? due - now : 0;
        if (!m->meter->timer)
                r = sd_event_add_time_relative(m->event, &m->meter->timer, CLOCK_MONOTONIC, due, ACCURACY_USEC, on_timer, m);
        else {
                r = sd_event_source_set_time_relative(m->meter->timer, due);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->meter->timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_plain(LOG_WARNING, "the use of providers can't be measured: %s", strerror(-r));
}

/* ---- watchers ---- */

static void count_all(const Manager *m, uid_t uid, size_t *ret_all, size_t *ret_own) {
        size_t all = 0, own = 0;

        for (const Metered *metered = m->meter ? m->meter->providers : NULL; metered; metered = metered->hh.next)
                for (const MeterWatch *watch = metered->watches; watch; watch = watch->next) {
                        all++;
                        own += watch->uid == uid;
                }
        *ret_all = all;
        *ret_own = own;
}

static int may_watch(Manager *m, const Device *provider, uid_t uid, unsigned interval_msec, Fault *fault) {
        size_t all, own;

        if (!meter_can(provider))
                return fault_set_object(fault, -EOPNOTSUPP, FAULT_WRONG_STATE, provider->id,
                                        "the use of providers of type %s is not measured", provider->module->name);
        if (interval_msec < METER_INTERVAL_MIN_MSEC || interval_msec > METER_INTERVAL_MAX_MSEC)
                return fault_set(fault, -ERANGE, FAULT_INVALID_VALUE, "the interval is %u ms; valid: %u to %u", interval_msec,
                                 METER_INTERVAL_MIN_MSEC, METER_INTERVAL_MAX_MSEC);
        count_all(m, uid, &all, &own);
        if (all >= METER_WATCHES_MAX || (uid != 0 && own >= METER_WATCHES_PER_UID_MAX))
                return fault_set(fault, -EMFILE, FAULT_LIMIT_REACHED,
                                 "there are %zu watches, %zu of them yours; no more than %u, and %u of one user, can be", all, own,
                                 METER_WATCHES_MAX, METER_WATCHES_PER_UID_MAX);
        return 0;
}

int meter_watch(Manager *m, Device *provider, uid_t uid, unsigned interval_msec, void (*gone)(void *userdata), void *userdata,
                MeterWatch **ret, Fault *fault) {
        MeterWatch *watch;
        Metered *metered;
        int r = may_watch(m, provider, uid, interval_msec, fault);

        if (r < 0)
                return r;
        watch = calloc(1, sizeof(MeterWatch));
        if (!watch || obtain(m, provider, &metered) < 0) {
                free(watch);
                return fault_oom(fault);
        }
        *watch = (MeterWatch){ m, metered, uid, interval_msec, gone, userdata, metered->watches };
        if (!metered->watches) {
                metered->due_usec = now_monotonic_usec();
                metered->skipped = 0;
        } else
                metered->due_usec = MIN_OF(metered->due_usec, now_monotonic_usec() + interval_msec * USEC_PER_MSEC);
        metered->watches = watch;
        tell(m, metered);
        schedule(m);
        *ret = watch;
        return 0;
}

void meter_unwatch(MeterWatch *watch) {
        Metered *metered = watch->metered;
        Manager *m = watch->m;

        for (MeterWatch **p = &metered->watches; *p; p = &(*p)->next)
                if (*p == watch) {
                        *p = watch->next;
                        break;
                }
        free(watch);
        tell(m, metered);
        schedule(m);
}

json_t *meter_use(Manager *m, Device *provider) {
        Metered *metered = find(m, provider->id);
        json_t *use, *entry;
        size_t i;

        if (!metered || !metered->watches)
                return json_object();
        use = metered->sample ? json_deep_copy(metered->sample) : json_object();
        if (!use)
                return NULL;
        (void) json_object_set_new(use, "interval", json_integer(interval_of(metered)));
        (void) json_object_set_new(use, "watchers", json_integer(count_watches(metered)));
        (void) json_object_set_new(use, "skipped", json_integer((json_int_t) metered->skipped));
        /* In place of the whole findings, which Explain has: their codes. */
        json_array_foreach(json_object_get(use, "devices"), i, entry) {
                json_t *findings = json_object_get(entry, FINDINGS_MEMBER), *finding, *codes = json_array();
                size_t k;

                json_array_foreach(findings, k, finding)
                        (void) json_array_append(codes, json_object_get(finding, "code"));
                (void) json_object_set_new(entry, FINDINGS_MEMBER, codes);
        }
        return use;
}

int meter_history(Manager *m, Device *provider, const char *of, bool minutes, int64_t since_msec, json_t **ret, Fault *fault) {
        Metered *metered = find(m, provider->id);
        const MeterHistory *history = metered && isempty(of) ? metered->history : NULL;

        if (!isempty(of)) {
                Device *device = inventory_find(m->inventory, of);

                if (!device || device_get_provider(device) != provider)
                        return fault_set_object(fault, -ENODEV, FAULT_UNKNOWN_DEVICE, of, "%s makes no device '%.64s'",
                                                provider->id, of);
                for (const Series *series = metered ? metered->series : NULL; series; series = series->next)
                        if (streq(series->device, of))
                                history = series->history;
        }
        *ret = !history ? json_array() : minutes ? meter_history_minutes(history, since_msec) : meter_history_samples(history, since_msec);
        return *ret ? 0 : fault_oom(fault);
}

/* ---- those who want to know once ---- */

void meter_ask(Manager *m, Device *provider, void (*done)(void *userdata), void *userdata) {
        Metered *metered;
        Asker *asker;

        if (m->stopping || !meter_can(provider) || obtain(m, provider, &metered) < 0 || m->meter->stuck ||
            (metered->taken_usec > 0 && now_monotonic_usec() - metered->taken_usec < METER_FRESH_MSEC * USEC_PER_MSEC) ||
            !(asker = calloc(1, sizeof(Asker)))) {
                done(userdata);
                return;
        }
        *asker = (Asker){ done, userdata, metered->askers };
        metered->askers = asker;
        schedule(m);
}

json_t *meter_findings(Manager *m, const Device *device) {
        const Device *provider = device_get_provider(device);
        Metered *metered = provider ? find(m, provider->id) : NULL;
        json_t *entry;
        size_t i;

        if (!metered || now_monotonic_usec() - metered->taken_usec >= 2 * METER_FRESH_MSEC * USEC_PER_MSEC)
                return NULL;
        json_array_foreach(json_object_get(metered->sample, "devices"), i, entry)
                if (streq_null(json_string_value(json_object_get(entry, "id")), device->id) && device->allocation &&
                    streq_null(json_string_value(json_object_get(entry, "allocation")), device->allocation->id))
                        return json_object_get(entry, FINDINGS_MEMBER);
        return NULL;
}

/* ---- ends ---- */

static void end_watches(Metered *metered) {
        while (metered->watches) {
                MeterWatch *watch = metered->watches;

                metered->watches = watch->next;
                watch->gone(watch->userdata);
                free(watch);
        }
}

void meter_forget(Manager *m, const Device *device) {
        Metered *metered = find(m, device->id);

        if (!metered)
                return;
        wake(metered);
        end_watches(metered);
        metered_free(m->meter, metered);
        schedule(m);
}

void meter_answer(Manager *m) {
        for (Metered *metered = m->meter ? m->meter->providers : NULL; metered; metered = metered->hh.next) {
                wake(metered);
                end_watches(metered);
        }
}

void meter_free(Manager *m) {
        Metered *metered, *next;

        if (!m->meter)
                return;
        HASH_ITER(hh, m->meter->providers, metered, next) {
                wake(metered);
                end_watches(metered);
                metered_free(m->meter, metered);
        }
        sd_event_source_disable_unref(m->meter->timer);
        free(m->meter);
        m->meter = NULL;
}
