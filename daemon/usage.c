/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usage.h"

#include <stdio.h>

#include "json-util.h"
#include "lib/limits.h"

typedef struct Usage {
        Manager *m;
        char **nodes, **below;
        json_t *children, *holders;
        UsageDone done; /* NULL: answered */
        void *userdata;
        bool running;
        WorkerRun *run;
        sd_event_source *deadline;
        struct Usage *next;
} Usage;

static void start_next(Manager *m);

static void usage_free(Usage *u) {
        sd_event_source_disable_unref(u->deadline);
        strv_free(u->nodes);
        strv_free(u->below);
        json_decref(u->children);
        json_decref(u->holders);
        free(u);
}

static void unlink_and_free(Usage *u) {
        for (Usage **p = &u->m->usages; *p; p = &(*p)->next)
                if (*p == u) {
                        *p = u->next;
                        break;
                }
        usage_free(u);
}

static void answer(Usage *u, const char *problem) {
        UsageDone done = u->done;

        u->done = NULL;
        if (done)
                done(u->userdata, problem ? NULL : u->children, problem ? NULL : u->holders, problem);
}

static void on_children(void *userdata, WorkerRun *run, json_t *children) {
        Usage *u = userdata;

        json_decref(u->children);
        u->children = json_incref(children);
}

static void on_held(void *userdata, WorkerRun *run, json_t *holders) {
        Usage *u = userdata;

        json_decref(u->holders);
        u->holders = json_incref(holders);
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Usage *u = userdata;
        Manager *m = u->m;

        answer(u, result < 0 ? isempty(fault->message) ? strerror(-result) : fault->message : NULL);
        unlink_and_free(u);
        start_next(m);
}

static const WorkerEvents events = {
        .children = on_children,
        .held = on_held,
        .done = on_done,
};

static int start(Usage *u, Fault *fault) {
        int r = worker_pool_run(u->m->workers,
                                &(WorkerSpec) {
                                        .mode = WORKER_HOLDERS,
                                        .job = "explain",
                                        .nodes = (const char *const *) u->nodes,
                                        .below = (const char *const *) u->below,
                                        .guess = true,
                                        .timeout_msec = USAGE_TIMEOUT_MSEC,
                                },
                                &events, u, &u->run, fault);

        u->running = r >= 0;
        return r;
}

static void start_next(Manager *m) {
        size_t running = 0;

        for (const Usage *u = m->usages; u; u = u->next)
                running += u->running;
        for (Usage *u = m->usages, *next; u && running < USAGES_MAX; u = next) {
                _cleanup_fault_ Fault fault = { 0 };

                next = u->next;
                if (u->running)
                        continue;
                if (start(u, &fault) >= 0) {
                        running++;
                        continue;
                }
                answer(u, strempty(fault.message));
                unlink_and_free(u);
                next = m->usages; /* whoever was told may have asked again */
        }
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Usage *u = userdata;
        Manager *m = u->m;

        answer(u, "there was no answer in time");
        if (!u->running) {
                unlink_and_free(u);
                start_next(m);
        }
        return 0;
}

int usage_ask(Manager *m, const char *const *nodes, const char *const *below, UsageDone done, void *userdata) {
        Usage *u, **end = &m->usages;
        size_t running = 0;
        int r;

        if (m->stopping)
                return -ESHUTDOWN;
        u = calloc(1, sizeof(Usage));
        if (!u)
                return -ENOMEM;
        *u = (Usage) { .m = m, .done = done, .userdata = userdata };
        r = strv_copy(nodes, &u->nodes);
        if (r >= 0)
                r = strv_copy(below, &u->below);
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &u->deadline, CLOCK_MONOTONIC,
                                               USAGE_TIMEOUT_MSEC * UINT64_C(1000), 0, on_deadline, u);
        for (; *end; end = &(*end)->next)
                running += (*end)->running;
        if (r >= 0 && running < USAGES_MAX)
                r = start(u, NULL);
        if (r < 0) {
                usage_free(u);
                return r;
        }
        *end = u;
        return 0;
}

void usages_answer(Manager *m) {
        for (Usage *u = m->usages; u; u = u->next)
                answer(u, "the service is ending");
}

void usages_free(Manager *m) {
        while (m->usages) {
                Usage *u = m->usages;

                m->usages = u->next;
                usage_free(u);
        }
}

/* ---- what to look at ---- */

static int append(char ***strv, const char *format, ...) PRINTF_LIKE(2, 3);
static int append(char ***strv, const char *format, ...) {
        size_t n = strv_length((const char *const *) *strv);
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        char **longer;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                return -ENOMEM;
        }
        if (*strv && strv_contains((const char *const *) *strv, text))
                return 0;
        longer = reallocarray(*strv, n + 2, sizeof(char *));
        if (!longer)
                return -ENOMEM;
        longer[n] = TAKE_PTR(text);
        longer[n + 1] = NULL;
        *strv = longer;
        return 0;
}

/* Reading below a device that is being bound or unbound waits for as long as that takes. */
static bool is_quiet(const Device *device) {
        const Allocation *a = device->allocation;

        return !a || (!a->stuck && !a->leftover && a->state != ALLOCATION_ACTIVATING &&
                      a->state != ALLOCATION_DEACTIVATING && a->state != ALLOCATION_FAILED);
}

/* The module knows which nodes its consumers open. */
static int append_planned_nodes(Manager *m, Device *device, char ***nodes) {
        const PlanRequest request = { .verb = PT_VERB_ACTIVATE, .gid = (gid_t) -1 };
        _cleanup_fault_ Fault fault = { 0 };
        _cleanup_plan_ Plan plan = { 0 };

        if (device->role != PT_ROLE_OFFER || inventory_plan(m->inventory, device, &request, &plan, &fault) < 0)
                return 0;
        for (size_t i = 0; i < plan.n_steps; i++)
                if (plan.steps[i].kind == PT_STEP_NODE_OWNER && append(nodes, "/dev/%s", plan.steps[i].name) < 0)
                        return -ENOMEM;
        return 0;
}

int usage_of_device(Manager *m, Device *device, char ***nodes, char ***below) {
        _cleanup_free_ HostDevice **bundle = NULL;
        int r = inventory_bundle(m->inventory, device, &bundle);

        if (r >= 0)
                r = append_planned_nodes(m, device, nodes);
        if (r >= 0 && device->host->iommu_group >= 0)
                r = append(nodes, "/dev/vfio/%d", (int) device->host->iommu_group);
        for (size_t i = 0; r >= 0 && bundle[i] && is_quiet(device); i++)
                /* What hangs below a slot's provider is that of the others. */
                if (bundle[i]->above && !bundle[i]->whole)
                        r = append(below, "%s/%s", bundle[i]->above, bundle[i]->sysname);
        return r < 0 ? -ENOMEM : 0;
}
