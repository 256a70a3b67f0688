/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "history.h"

#include <stdio.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "job-table.h"
#include "lib/limits.h"

/* How often one user was refused lately. */
typedef struct Refusals {
        uid_t uid;
        uint64_t since_usec;
        unsigned n;
} Refusals;

typedef struct History {
        StoreTxn *txn;          /* rows that wait; NULL for none */
        sd_event_source *timer;
        Refusals refusals[16];  /* of the users refused last; the oldest gives way */
        char boot[SD_ID128_STRING_MAX], run[SD_ID128_STRING_MAX];
} History;

int history_new(Manager *m) {
        History *h = calloc(1, sizeof(History));
        sd_id128_t id;

        if (!h)
                return -ENOMEM;
        m->history = h;
        if (sd_id128_get_boot(&id) >= 0)
                sd_id128_to_string(id, h->boot);
        /* Of its own also where systemd gives one: a service that execs itself, or runs without systemd, is a run too. */
        if (sd_id128_get_invocation(&id) >= 0 || sd_id128_randomize(&id) >= 0)
                sd_id128_to_string(id, h->run);
        return 0;
}

static uint64_t now_realtime_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

void history_flush(Manager *m) {
        History *h = m->history;

        if (h && h->txn)
                (void) store_commit(TAKE_PTR(h->txn), NULL, NULL);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        history_flush(userdata);
        return 0;
}

/* Without a timer it is written at once. */
static void flush_soon(Manager *m) {
        History *h = m->history;
        int r;

        if (!h->timer)
                r = sd_event_add_time_relative(m->event, &h->timer, CLOCK_MONOTONIC, HISTORY_DELAY_USEC,
                                               HISTORY_DELAY_USEC, on_timer, m);
        else {
                r = sd_event_source_set_time_relative(h->timer, HISTORY_DELAY_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                history_flush(m);
}

void history_put(Manager *m, StoreTxn *txn, const HistoryEntry *e) {
        const History *h = m->history;

        store_history(txn, &(HistoryRow) {
                .time_usec = now_realtime_usec(),
                .uid = e->uid,
                .owner = e->owner,
                .operation = e->operation,
                .object = e->object,
                .consumer = e->consumer,
                .job = e->job,
                .boot = h->boot,
                .run = h->run,
                .result = e->fault && e->fault->code != FAULT_NONE ? fault_code_to_string(e->fault->code) : "done",
                .message = strempty(e->fault && e->fault->code != FAULT_NONE ? e->fault->message : e->message),
                .duration_usec = e->started_usec > 0 ? now_monotonic_usec() - e->started_usec : 0,
                .devices = e->devices,
        });
}

void history_note(Manager *m, const HistoryEntry *e) {
        History *h = m->history;
        bool first;

        if (!h || m->readiness == READINESS_LIMITED)
                return;
        first = !h->txn;
        if (first)
                h->txn = store_begin(m->store, STORE_STATE);
        if (!h->txn)
                return; /* without memory a row is what can be done without */
        history_put(m, h->txn, e);
        if (first)
                flush_soon(m);
}

static Refusals *refusals_of(History *h, uid_t uid) {
        Refusals *oldest = &h->refusals[0];

        for (size_t i = 0; i < ELEMENTSOF(h->refusals); i++) {
                if (h->refusals[i].since_usec > 0 && h->refusals[i].uid == uid)
                        return &h->refusals[i];
                if (h->refusals[i].since_usec < oldest->since_usec)
                        oldest = &h->refusals[i];
        }
        *oldest = (Refusals) { .uid = uid };
        return oldest;
}

void history_note_refused(Manager *m, const HistoryEntry *e) {
        uint64_t now = now_monotonic_usec();
        Refusals *refusals;

        if (!m->history)
                return;
        refusals = refusals_of(m->history, e->uid);
        if (refusals->since_usec == 0 || now - refusals->since_usec > HISTORY_REFUSALS_SEC * UINT64_C(1000000))
                *refusals = (Refusals) { .uid = e->uid, .since_usec = now };
        refusals->n++;
        if (e->uid == 0 || refusals->n <= HISTORY_REFUSALS_MAX)
                history_note(m, e);
}

int history_query(Manager *m, json_t *filter, uid_t only, StoreRows done, void *userdata, Fault *fault) {
        history_flush(m);
        return store_query_history(m->store, filter, only, done, userdata, fault);
}

void history_free(Manager *m) {
        History *h = m->history;

        if (!h)
                return;
        history_flush(m);
        sd_event_source_disable_unref(h->timer);
        free(h);
        m->history = NULL;
}
