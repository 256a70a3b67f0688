/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guard.h"

#include <stdio.h>

#include "guard-index.h"
#include "guard-watch.h"
#include "job-table.h"
#include "lib/limits.h"
#include "log.h"
#include "manager.h"
#include "protect.h"

#define USEC_PER_MSEC UINT64_C(1000)
#define EXPLAINED_MAX 32u /* chains of one device in one answer */

static const char *const verdict_table[] = {
        [VERDICT_FREE] = "free",
        [VERDICT_IN_USE] = "in-use",
        [VERDICT_CRITICAL] = "critical",
        [VERDICT_FORBIDDEN] = "forbidden",
};
DEFINE_STRING_TABLE(verdict, Verdict, verdict_table)

typedef struct Waiter {
        uint64_t generation; /* when it asked */
        void (*done)(void *userdata, int result);
        void *userdata;
        struct Waiter *next;
} Waiter;

struct Guard {
        Manager *m;
        GuardEvents events;
        GuardWatch *watch;
        GuardIndex *index;      /* NULL before the first answer */
        uint64_t generation;    /* grows with every sign of change */
        uint64_t known;         /* generation that the index is of */
        uint64_t collected_usec;
        uint64_t took_usec;     /* the last collection */
        bool missing;           /* the last one failed */
        char why_missing[512];  /* no memory is needed to fail closed */
        Waiter *waiters;        /* in order */

        WorkerRun *run;
        GuardIndex *collecting; /* what it said so far */
        int collect_result;
        uint64_t run_generation, run_usec;
        bool stopped;
        uint64_t stuck_usec;    /* when a worker was left to the kernel; 0: none is */
        unsigned looked_again;  /* times since the last sign of change, while something is open */
        sd_event_source *later; /* looks again some time after a change, for those who watch properties */
};

static Source *source_of(Guard *guard) {
        return inventory_source(guard->m->inventory);
}

/* ---- what changed ---- */

/* Where everything is bound to a host driver and nothing is known, much is critical that will not be later. */
static Verdict verdict_with(Guard *guard, const GuardIndex *index, bool missing, const HostDevice *host) {
        const GuardNode *node = guard_index_find(index, host);
        Verdict verdict = node ? node->verdict : VERDICT_FREE;

        return missing && verdict < VERDICT_CRITICAL && guard_suspect(source_of(guard), host) ? VERDICT_CRITICAL : verdict;
}

static void tell(Guard *guard, HostDevice *host) {
        if (host && guard->events.changed)
                guard->events.changed(guard->events.userdata, host);
}

static uint64_t digest_in(const GuardIndex *index, const HostDevice *host) {
        const GuardNode *node = guard_index_find(index, host);

        return node ? node->digest : 0;
}

/* Both what has come and what has gone, each device once. */
static void tell_differences(Guard *guard, const GuardIndex *before) {
        const GuardNode *node;

        for (node = guard_index_first(guard->index); node; node = node->hh.next) {
                HostDevice *host = guard_node_host(node, source_of(guard));

                if (host && digest_in(before, host) != node->digest)
                        tell(guard, host);
        }
        for (node = guard_index_first(before); node; node = node->hh.next) {
                HostDevice *host = guard_node_host(node, source_of(guard));

                if (host && !guard_index_find(guard->index, host))
                        tell(guard, host);
        }
}

static void tell_suspects(Guard *guard) {
        for (HostDevice *host = source_first(source_of(guard)); host; host = host->hh.next)
                if (guard_suspect(source_of(guard), host))
                        tell(guard, host);
}

static void set_missing(Guard *guard, const char *why) {
        bool was = guard->missing || !guard->index;

        guard->missing = true;
        (void) snprintf(guard->why_missing, sizeof(guard->why_missing), "%s", why);
        if (!was)
                tell_suspects(guard);
}

/* ---- one collection ---- */

static void start_run(Guard *guard);

/* Those who asked before the collection began have their answer; when it failed, all have. */
static void wake(Guard *guard, uint64_t generation, int result) {
        for (Waiter **p = &guard->waiters; *p;) {
                Waiter *waiter = *p;

                if (waiter->generation > generation) {
                        p = &waiter->next;
                        continue;
                }
                *p = waiter->next;
                waiter->done(waiter->userdata, result);
                free(waiter);
                p = &guard->waiters; /* the callback may have added or removed others */
        }
}

static void failed(Guard *guard, int error, const char *why) {
        log_message(LOG_WARNING, LOG_EVENT_NONE, NULL,
                    "what the host needs its devices for could not be found out, so more of them count as critical: %s", why);
        set_missing(guard, why);
        wake(guard, UINT64_MAX, error);
}

static void look_at(Guard *guard, uint64_t delay);

/* udev, or whoever was there for a moment, closes what it had open without a sign. A few times, more and more seldom: a
 * process that keeps its disk must not keep the service busy. */
static void look_again(Guard *guard) {
        if (!guard_index_has_open(guard->index) || guard->looked_again >= GUARD_LOOKS_AGAIN_MAX)
                return;
        look_at(guard, guard->took_usec + ((GUARD_MAX_AGE_MSEC * USEC_PER_MSEC) << guard->looked_again++));
}

static void succeeded(Guard *guard, GuardIndex *fresh) {
        _cleanup_(guard_index_freep) GuardIndex *before = TAKE_PTR(guard->index);

        guard->index = fresh;
        guard->known = guard->run_generation;
        guard->collected_usec = guard->run_usec;
        guard->took_usec = now_monotonic_usec() - guard->run_usec;
        tell_differences(guard, before);
        if (guard->missing || !before) {
                guard->missing = false;
                tell_suspects(guard);
        }
        look_again(guard);
        wake(guard, guard->known, 0);
}

static void on_evidence(void *userdata, WorkerRun *run, json_t *items, json_t *unresolved) {
        Guard *guard = userdata;

        if (guard->collect_result >= 0)
                guard->collect_result = guard_index_add(guard->collecting, items, unresolved);
}

static void on_done(void *userdata, int result, const Fault *fault) {
        Guard *guard = userdata;
        _cleanup_(guard_index_freep) GuardIndex *fresh = TAKE_PTR(guard->collecting);
        int r = result;

        guard->run = NULL;
        if (r < 0 && fault->code == FAULT_DRIVER_STUCK)
                guard->stuck_usec = now_monotonic_usec();
        if (r >= 0)
                r = guard->collect_result;
        if (r >= 0)
                r = guard_index_close(fresh, source_of(guard));
        if (r >= 0)
                succeeded(guard, TAKE_PTR(fresh));
        else
                failed(guard, r, result < 0      ? strempty(fault->message)
                                 : r == -EBADMSG ? "the worker's evidence is not as it should be"
                                                 : strerror(-r));
        if (guard->waiters)
                start_run(guard);
}

static void on_gone(void *userdata) {
        Guard *guard = userdata;

        guard->stuck_usec = 0;
}

static const WorkerEvents guard_events = { .evidence = on_evidence, .done = on_done, .gone = on_gone };

/* Each try beside a kernel that does not answer leaves another process behind. */
static bool is_stuck(const Guard *guard) {
        return guard->stuck_usec > 0 && now_monotonic_usec() - guard->stuck_usec < GUARD_STUCK_PAUSE_MSEC * USEC_PER_MSEC;
}

static void start_run(Guard *guard) {
        _cleanup_fault_ Fault fault = { 0 };
        int r;

        if (guard->run)
                return;
        if (is_stuck(guard)) {
                failed(guard, -ETIMEDOUT, "the kernel has not let go of the worker that looked last");
                return;
        }
        guard->collect_result = 0;
        guard->run_generation = guard->generation;
        guard->run_usec = now_monotonic_usec();
        r = guard_index_new(&guard->collecting);
        if (r < 0)
                (void) fault_oom(&fault);
        else
                r = worker_pool_run(guard->m->workers,
                                    &(WorkerSpec) {
                                            .mode = WORKER_GUARD,
                                            .job = "guard",
                                            .timeout_msec = GUARD_TIMEOUT_MSEC,
                                            .urgent = true,
                                    },
                                    &guard_events, guard, &guard->run, &fault);
        if (r < 0) {
                guard->collecting = guard_index_free(guard->collecting);
                failed(guard, r, strempty(fault.message));
        }
}

/* ---- signs of change ---- */

static int on_later(sd_event_source *source, uint64_t usec, void *userdata) {
        Guard *guard = userdata;

        if (guard_stale(guard))
                start_run(guard);
        return 0;
}

/* A host where something changes all the time is not looked at all the time: no more than a thirtieth of it. */
static void look_later(Guard *guard) {
        look_at(guard, MAX_OF(GUARD_LATER_MSEC * USEC_PER_MSEC, guard->took_usec * 30));
}

/* Unless it is to be looked at before that anyway. */
static void look_at(Guard *guard, uint64_t delay) {
        uint64_t due = now_monotonic_usec() + delay, before;
        int enabled = SD_EVENT_OFF;

        if (!guard->later) {
                (void) sd_event_add_time(guard->m->event, &guard->later, CLOCK_MONOTONIC, due, 0, on_later, guard);
                return;
        }
        (void) sd_event_source_get_enabled(guard->later, &enabled);
        if (enabled != SD_EVENT_OFF && sd_event_source_get_time(guard->later, &before) >= 0 && before <= due)
                return;
        if (sd_event_source_set_time(guard->later, due) >= 0)
                (void) sd_event_source_set_enabled(guard->later, SD_EVENT_ONESHOT);
}

static void on_changed(void *userdata) {
        Guard *guard = userdata;

        guard->generation++;
        guard->looked_again = 0;
        /* Who never asked is not told. */
        if (guard->index || guard->missing)
                look_later(guard);
}

int guard_new(Manager *m, const GuardEvents *events, Guard **ret, Fault *fault) {
        _cleanup_(guard_freep) Guard *guard = calloc(1, sizeof(*guard));
        int r;

        if (!guard)
                return fault_oom(fault);
        guard->m = m;
        guard->generation = 1;
        if (events)
                guard->events = *events;
        r = guard_watch_new(m->event, &m->sysfs, on_changed, guard, &guard->watch, fault);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(guard);
        return 0;
}

Guard *guard_free(Guard *guard) {
        if (!guard)
                return NULL;
        for (Waiter *waiter = guard->waiters, *next; waiter; waiter = next) {
                next = waiter->next;
                free(waiter);
        }
        guard_watch_free(guard->watch);
        guard_index_free(guard->index);
        guard_index_free(guard->collecting);
        sd_event_source_disable_unref(guard->later);
        free(guard);
        return NULL;
}

/* ---- asking ---- */

uint64_t guard_generation(Guard *guard) {
        guard_watch_check(guard->watch);
        return guard->generation;
}

uint64_t guard_known(const Guard *guard) {
        return guard->known;
}

/* Some uses leave no sign: a file that is opened, a mount in another namespace. So no answer is old. Its age counts from when it
 * was complete: where looking takes longer than an answer lasts, each would be old when it comes, and no two requests shared one. */
bool guard_stale(Guard *guard) {
        return !guard->index || guard->missing || guard_generation(guard) != guard->known ||
               now_monotonic_usec() - guard->collected_usec >= guard->took_usec + GUARD_MAX_AGE_MSEC * USEC_PER_MSEC;
}

void guard_refresh(Guard *guard, void (*done)(void *userdata, int result), void *userdata) {
        Waiter *waiter, **place = &guard->waiters;

        if (guard->stopped || !guard_stale(guard)) {
                done(userdata, guard->stopped ? -ESHUTDOWN : 0);
                return;
        }
        waiter = calloc(1, sizeof(*waiter));
        if (!waiter) {
                done(userdata, -ENOMEM);
                return;
        }
        *waiter = (Waiter){ .generation = guard->generation, .done = done, .userdata = userdata };
        while (*place)
                place = &(*place)->next;
        *place = waiter;
        start_run(guard);
}

void guard_stop(Guard *guard) {
        guard->stopped = true;
        wake(guard, UINT64_MAX, -ESHUTDOWN);
}

void guard_cancel(Guard *guard, const void *userdata) {
        for (Waiter **p = &guard->waiters; *p;) {
                Waiter *waiter = *p;

                if (waiter->userdata != userdata) {
                        p = &waiter->next;
                        continue;
                }
                *p = waiter->next;
                free(waiter);
        }
}

/* By the evidence alone. */
static Verdict evidence_verdict(Guard *guard, const HostDevice *host) {
        return verdict_with(guard, guard->index, guard->missing || !guard->index, host);
}

Verdict guard_verdict(Guard *guard, const HostDevice *host) {
        Verdict verdict = evidence_verdict(guard, host), said = protect_verdict(guard->m->protect, host);

        return MAX_OF(verdict, said);
}

static const char *why_missing(const Guard *guard) {
        return guard->missing ? guard->why_missing : "nobody has looked yet";
}

/* Evidence that nobody could collect: what the device is makes it suspect. */
static bool is_only_suspect(Guard *guard, const HostDevice *host) {
        const GuardNode *node = guard_index_find(guard->index, host);

        return evidence_verdict(guard, host) == VERDICT_CRITICAL && (!node || node->verdict < VERDICT_CRITICAL);
}

static void explain_item(const GuardItem *item, const HostDevice *host, FindingList *findings) {
        static const struct {
                PtSeverity severity;
                const char *words, *remedy;
        } forms[_VERDICT_MAX] = {
                [VERDICT_IN_USE] = { PT_SEVERITY_WARNING, "the host has something on it", NULL },
                [VERDICT_CRITICAL] = { PT_SEVERITY_BLOCKER, "the host needs it",
                                       "let the host do without it first, or override it by name" },
                [VERDICT_FORBIDDEN] = { PT_SEVERITY_BLOCKER, "the host can't run without it", NULL },
        };
        _cleanup_free_ char *chain = guard_item_chain(item, host);
        const char *words = streq(item->code, "evidence-missing") ? "the host may need it" : forms[item->verdict].words;

        if (chain && finding_add(findings, forms[item->verdict].severity, item->code, isempty(item->top) ? NULL : item->top,
                                 forms[item->verdict].remedy, "%s: %s", words, chain) >= 0 &&
            item->verdict == VERDICT_CRITICAL)
                finding_set_overridable(findings);
}

Verdict guard_explain(Guard *guard, const HostDevice *host, FindingList *findings) {
        const GuardNode *node = guard_index_find(guard->index, host);
        size_t n = 0;

        /* No override covers it: it could be what no override covers. */
        if (is_only_suspect(guard, host))
                (void) finding_add(findings, PT_SEVERITY_BLOCKER, "evidence-missing", NULL,
                                   "see the log of passthroughd; the next request looks again",
                                   "whether the host needs %s could not be found out: %s", host->sysname, why_missing(guard));
        (void) protect_explain(guard->m->protect, host, findings);
        for (Verdict verdict = VERDICT_FORBIDDEN; node && verdict > VERDICT_FREE; verdict--)
                for (size_t i = 0; i < node->n_items && n < EXPLAINED_MAX; i++)
                        if (node->items[i]->verdict == verdict) {
                                explain_item(node->items[i], host, findings);
                                n++;
                        }
        return guard_verdict(guard, host);
}

size_t guard_codes(Guard *guard, const HostDevice *host, const char **ret, size_t max) {
        const GuardNode *node = guard_index_find(guard->index, host);
        size_t n = 0;

        const char *protected = protect_code(guard->m->protect, host);

        if (protected && n < max)
                ret[n++] = protected;
        if (is_only_suspect(guard, host) && n < max)
                ret[n++] = "evidence-missing";
        for (size_t i = 0; node && i < node->n_items && n < max; i++) {
                const char *code = node->items[i]->code;
                bool known = node->items[i]->verdict < VERDICT_CRITICAL;

                for (size_t k = 0; k < n && !known; k++)
                        known = streq(ret[k], code);
                if (!known)
                        ret[n++] = code;
        }
        return n;
}

char *guard_reason(Guard *guard, const HostDevice *host) {
        const GuardNode *node = guard_index_find(guard->index, host);
        Verdict said = protect_verdict(guard->m->protect, host);

        if (said > VERDICT_FREE && said >= evidence_verdict(guard, host))
                return protect_reason(guard->m->protect, host);
        if (is_only_suspect(guard, host))
                return strdup(why_missing(guard));
        for (size_t i = 0; node && i < node->n_items; i++)
                if (node->items[i]->verdict == node->verdict)
                        return guard_item_chain(node->items[i], host);
        return NULL;
}

bool guard_has_out_of_band(const Guard *guard) {
        return !guard->index || guard->missing || guard_index_has_out_of_band(guard->index);
}

bool guard_has_network(const Guard *guard, const HostDevice *host) {
        const GuardNode *node = guard_index_find(guard->index, host);

        return node && guard_node_has_network(node);
}

int guard_unresolved(Guard *guard, FindingList *findings) {
        json_t *item, *list = guard_index_unresolved(guard->index);
        size_t i;
        int r = 0;

        if (guard->missing)
                r = finding_add(findings, PT_SEVERITY_WARNING, "evidence-missing", NULL, NULL,
                                "what the host needs its devices for could not be found out: %s", guard->why_missing);
        json_array_foreach(list, i, item) {
                const char *kind = strempty(json_string_value(json_object_get(item, "kind")));

                if (r < 0)
                        break;
                r = finding_add(findings, PT_SEVERITY_WARNING, "unresolved", kind, NULL,
                                "every %s device with a driver of the host counts as critical: %s", kind,
                                strempty(json_string_value(json_object_get(item, "text"))));
        }
        return r;
}
