/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quarantine.h"

#include <stdio.h>
#include <time.h>

#include "history.h"
#include "lib/parse.h"
#include "log.h"
#include "observe.h"
#include "operation.h"
#include "pending.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define RETRY_ACCURACY_USEC USEC_PER_SEC

/* The fields of `body` are those that are stored: {reason, since (microseconds of CLOCK_REALTIME), uid, by-hand, verb, allocation,
 * consumer, note, identities}. */
typedef struct Quarantine {
        char device[ID_SIZE];  /* host device id: the place */
        json_t *body;
        uint64_t retry_usec;   /* CLOCK_MONOTONIC: when it is probed again; 0: never */
        bool probing;
        UT_hash_handle hh;
} Quarantine;

struct QuarantineTable {
        Quarantine *entries; /* uthash by device */
        sd_event_source *timer;
};

static const char *text_of(const Quarantine *q, const char *key) {
        return strempty(json_string_value(json_object_get(q->body, key)));
}

static Quarantine *find(Manager *m, const char *device) {
        Quarantine *q = NULL;

        if (m->quarantines)
                HASH_FIND_STR(m->quarantines->entries, device, q);
        return q;
}

static void quarantine_drop(Manager *m, Quarantine *q) {
        HASH_DEL(m->quarantines->entries, q);
        json_decref(q->body);
        free(q);
}

void quarantine_free(Manager *m) {
        Quarantine *q, *next;

        if (!m->quarantines)
                return;
        HASH_ITER(hh, m->quarantines->entries, q, next)
                quarantine_drop(m, q);
        sd_event_source_disable_unref(m->quarantines->timer);
        free(m->quarantines);
        m->quarantines = NULL;
}

/* ---- probing again ---- */

static void arm_timer(Manager *m);

static void schedule(Manager *m, Quarantine *q) {
        bool by_hand = json_is_true(json_object_get(q->body, "by-hand"));

        q->retry_usec = by_hand || m->config.quarantine_retry_sec == 0
                                ? 0
                                : now_monotonic_usec() + m->config.quarantine_retry_sec * USEC_PER_SEC;
        arm_timer(m);
}

/* Takes over `body`. */
static int quarantine_add(Manager *m, const char *device, json_t *body) {
        Quarantine *q = find(m, device);

        if (!m->quarantines)
                m->quarantines = calloc(1, sizeof(struct QuarantineTable));
        if (!q && m->quarantines && (q = calloc(1, sizeof(Quarantine)))) {
                (void) snprintf(q->device, sizeof(q->device), "%s", device);
                HASH_ADD_STR(m->quarantines->entries, device, q);
        }
        if (!q) {
                json_decref(body);
                return -ENOMEM;
        }
        json_decref(q->body);
        q->body = body;
        schedule(m, q);
        return 0;
}

/* ---- whether it applies ---- */

static json_t *identity_of(json_t *identities, const char *kind) {
        json_t *identity;
        size_t index;

        json_array_foreach(identities, index, identity)
                if (streq_null(json_string_value(json_object_get(identity, "kind")), kind))
                        return identity;
        return NULL;
}

/* Another device is one that differs in an identity that both have. One that was not read completely yet may be the same. */
static bool is_another(Manager *m, Device *device, const Quarantine *q, bool *ret_unsure) {
        _cleanup_(json_decrefp) json_t *now = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        json_t *before;
        size_t index;

        *ret_unsure = false;
        if (inventory_identities(m->inventory, device, &now, &fault) < 0)
                return false;
        json_array_foreach(json_object_get(q->body, "identities"), index, before) {
                json_t *same = identity_of(now, json_string_value(json_object_get(before, "kind")));

                if (!same)
                        *ret_unsure = true;
                else if (!json_equal(json_object_get(before, "condition"), json_object_get(same, "condition")))
                        return true;
        }
        return false;
}

static char *describe(const Quarantine *q) {
        time_t since = (time_t) ((uint64_t) json_integer_value(json_object_get(q->body, "since")) / USEC_PER_SEC);
        const char *allocation = text_of(q, "allocation"), *verb = text_of(q, "verb");
        char when[64] = "", why[ID_SIZE + CONSUMER_MAX + 64];
        char *text = NULL;
        struct tm tm;

        if (gmtime_r(&since, &tm))
                (void) strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
        if (!isempty(allocation))
                (void) snprintf(why, sizeof(why), "when %s gave it back, allocation %s", text_of(q, "consumer"), allocation);
        else if (!isempty(verb))
                (void) snprintf(why, sizeof(why), "after a %s", verb);
        else
                (void) snprintf(why, sizeof(why), "by hand, uid %lld",
                                (long long) json_integer_value(json_object_get(q->body, "uid")));
        return asprintf(&text, "%s (since %s, %s)", text_of(q, "reason"), when, why) < 0 ? NULL : text;
}

static void announce(Manager *m, const Device *device) {
        static const char *const properties[] = { "State", "Blockers", "Allocatable" };

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                manager_changed(m, OBJECT_DEVICE, device->id, properties[i]);
        for (size_t i = 0; device->groups && device->groups[i]; i++)
                manager_changed(m, OBJECT_GROUP, device->groups[i]->id, "Available");
}

static void set_reason(Manager *m, Device *device, char *reason) {
        char *before = device->quarantine;

        device->quarantine = reason;
        if (!streq_null(before, reason))
                announce(m, device);
        free(before);
}

void quarantine_apply(Manager *m, Device *device) {
        Quarantine *q = find(m, device->host->id);
        bool unsure = false;

        if (!q)
                return;
        if (is_another(m, device, q, &unsure)) {
                if (device->quarantine)
                        log_message(LOG_NOTICE, LOG_EVENT_QUARANTINE, log_fields("DEVICE", device->id),
                                    "%s is another device than the one in quarantine at its place, and is in none",
                                    device->id);
                set_reason(m, device, NULL);
                return;
        }
        set_reason(m, device, describe(q));
        /* A serial number tells two cards of one model apart. */
        if (unsure && device->slow == SLOW_UNKNOWN)
                observe_device(m, device, NULL, NULL);
}

static void apply_all(Manager *m, const char *id) {
        HostDevice *host = source_find(inventory_source(m->inventory), id);

        for (Device *device = host ? host->offers : NULL; device; device = device->next_offer)
                if (find(m, id))
                        quarantine_apply(m, device);
                else
                        set_reason(m, device, NULL);
        manager_kick(m);
}

static int load_one(void *userdata, const char *key, const char *owner, json_t *body) {
        return quarantine_add(userdata, key, json_incref(body));
}

int quarantine_load(Manager *m, Fault *fault) {
        return store_load(m->store, TABLE_QUARANTINE, load_one, m, fault);
}

/* ---- in ---- */

static uint64_t now_realtime_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000u;
}

static json_t *identities_of(Manager *m, const char *id) {
        HostDevice *host = source_find(inventory_source(m->inventory), id);
        _cleanup_fault_ Fault fault = { 0 };
        json_t *identities = NULL;

        if (!host || !host->offers || inventory_identities(m->inventory, host->offers, &identities, &fault) < 0)
                return json_array();
        return identities ?: json_array();
}

static json_t *body_of(Manager *m, const QuarantineSpec *spec) {
        const Allocation *a = spec->allocation;

        return json_pack("{s:s, s:I, s:I, s:b, s:s, s:s, s:s, s:s, s:o}", "reason", spec->reason, "since",
                         (json_int_t) now_realtime_usec(), "uid", (json_int_t) spec->uid, "by-hand",
                         !a && !spec->verb, "verb", strempty(spec->verb), "allocation", a ? a->id : "", "consumer",
                         a ? a->consumer : "", "note", strempty(spec->note), "identities",
                         identities_of(m, spec->device));
}

static void put_history(Manager *m, StoreTxn *txn, const char *verb, const char *device, const char *consumer, uid_t uid,
                        const char *message) {
        history_put(m, txn, &(HistoryEntry) {
                .uid = uid,
                .owner = HISTORY_NO_OWNER,
                .operation = verb,
                .object = device,
                .consumer = consumer,
                .message = message,
        });
}

int quarantine_store(Manager *m, StoreTxn *txn, const QuarantineSpec *spec) {
        _cleanup_(json_decrefp) json_t *body = body_of(m, spec);

        if (!body)
                return -ENOMEM;
        store_put(txn, TABLE_QUARANTINE, spec->device, NULL, body);
        put_history(m, txn, "quarantine", spec->device, spec->allocation ? spec->allocation->consumer : "", spec->uid,
                    spec->reason);
        return 0;
}

int quarantine_enter(Manager *m, const QuarantineSpec *spec) {
        json_t *body = body_of(m, spec);
        int r = body ? quarantine_add(m, spec->device, body) : -ENOMEM;

        log_message(LOG_WARNING, LOG_EVENT_QUARANTINE,
                    log_fields("DEVICE", spec->device, "ALLOCATION", spec->allocation ? spec->allocation->id : ""),
                    "%s is in quarantine: %s", spec->device, spec->reason);
        apply_all(m, spec->device);
        return r;
}

static void on_put(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;

        if (result >= 0)
                (void) quarantine_enter(p->m, &(QuarantineSpec) { .device = p->owner, .reason = p->text, .uid = p->uid });
        pending_finish(p, result, fault, p->owner);
}

int manager_quarantine(Manager *m, const Caller *caller, Device *device, const char *reason, OpDone done, void *userdata,
                       Fault *fault) {
        const QuarantineSpec spec = { .device = device->host->id, .reason = reason, .uid = caller->uid };
        StoreTxn *txn;
        Pending *p;

        if (device->role != PT_ROLE_OFFER)
                return fault_set_object(fault, -EPERM, FAULT_DEVICE_BLOCKED, device->id,
                                        "%s belongs to the host and is never given to anybody", device->name);
        if (isempty(reason) || !text_is_clean(reason, NAME_MAX_BYTES))
                return fault_set_object(fault, -EINVAL, FAULT_INVALID_ARGUMENT, device->id,
                                        "the reason must be one line of 1 to %u bytes, for whoever finds the device in "
                                        "quarantine", NAME_MAX_BYTES);
        if (device->quarantine)
                return fault_set_object(fault, -EALREADY, FAULT_WRONG_STATE, device->id, "%s is in quarantine: %s",
                                        device->id, device->quarantine);

        p = pending_new(m, done, userdata);
        if (!p)
                return fault_oom(fault);
        snprintf(p->owner, sizeof(p->owner), "%s", device->host->id);
        p->uid = caller->uid;
        p->text = strdup(reason);
        txn = store_begin(m->store, STORE_STATE);
        if (!p->text || (txn && quarantine_store(m, txn, &spec) < 0))
                txn = store_abandon(txn);
        return pending_commit(p, txn, on_put, fault);
}

/* ---- out ---- */

static void lift(Manager *m, const char *id, const char *why) {
        Quarantine *q = find(m, id);

        if (!q)
                return;
        quarantine_drop(m, q);
        log_message(LOG_NOTICE, LOG_EVENT_QUARANTINE, log_fields("DEVICE", id), "the quarantine of %s was lifted%s%s", id,
                    why ? ": " : "", strempty(why));
        apply_all(m, id);
}

static void on_cleared(void *userdata, int result, const Fault *fault) {
        Pending *p = userdata;

        if (result >= 0)
                lift(p->m, p->owner, NULL);
        pending_finish(p, result, fault, p->owner);
}

static StoreTxn *begin_clear(Manager *m, const char *id, uid_t uid, const char *message) {
        StoreTxn *txn = store_begin(m->store, STORE_STATE);

        if (txn) {
                store_remove(txn, TABLE_QUARANTINE, id);
                put_history(m, txn, "clear-quarantine", id, "", uid, message);
        }
        return txn;
}

int manager_clear_quarantine(Manager *m, const Caller *caller, Device *device, OpDone done, void *userdata, Fault *fault) {
        Pending *p;

        /* Also one that waits for another device to come back. */
        if (!find(m, device->host->id))
                return fault_set_object(fault, -EALREADY, FAULT_WRONG_STATE, device->id, "%s is not in quarantine",
                                        device->id);

        p = pending_new(m, done, userdata);
        if (!p)
                return fault_oom(fault);
        snprintf(p->owner, sizeof(p->owner), "%s", device->host->id);
        return pending_commit(p, begin_clear(m, device->host->id, caller->uid, ""), on_cleared, fault);
}

/* ---- probed again ---- */

/* Lives as long as its probe. */
typedef struct Retry {
        Manager *m;
        char device[ID_SIZE];
        bool seen, sound;
} Retry;

static void on_retry_each(void *userdata, const char *device, const char *reason, json_t *findings) {
        Retry *retry = userdata;

        retry->seen = true;
        retry->sound = !reason;
        if (reason)
                log_message(LOG_NOTICE, LOG_EVENT_QUARANTINE, log_fields("DEVICE", device), "%s stays in quarantine: %s", device,
                            reason);
}

static void on_retry_done(void *userdata, int result) {
        static const char sound[] = "it was probed again and is sound";
        Retry *retry = userdata;
        Manager *m = retry->m;
        Quarantine *q = find(m, retry->device);
        StoreTxn *txn;

        if (q)
                q->probing = false;
        if (q && retry->seen && retry->sound && (txn = begin_clear(m, retry->device, 0, sound)) &&
            store_commit(txn, NULL, NULL) >= 0)
                lift(m, retry->device, sound);
        else if (q)
                schedule(m, q);
        free(retry);
}

static void probe_again(Manager *m, Quarantine *q) {
        HostDevice *host = source_find(inventory_source(m->inventory), q->device);
        Device *device = host ? host->offers : NULL;
        _cleanup_(json_decrefp) json_t *devices = NULL, *notes = NULL;
        Retry *retry;

        /* Not beside a consumer, and not another device. */
        if (!device || !device->quarantine || device->allocation) {
                schedule(m, q);
                return;
        }
        devices = json_pack("[o]", host_device_to_json(host, device->module->file));
        notes = isempty(text_of(q, "note")) ? NULL : json_pack("{s:s}", q->device, text_of(q, "note"));
        retry = calloc(1, sizeof(Retry));
        if (!retry || !devices) {
                free(retry);
                schedule(m, q);
                return;
        }
        retry->m = m;
        memcpy(retry->device, q->device, sizeof(retry->device));
        q->retry_usec = 0;
        q->probing = probe_start(m, devices, notes, "quarantine", on_retry_each, on_retry_done, retry) > 0;
        if (!q->probing) {
                free(retry);
                schedule(m, q);
        }
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        Quarantine *q, *next;

        HASH_ITER(hh, m->quarantines->entries, q, next)
                if (q->retry_usec > 0 && q->retry_usec <= now_monotonic_usec() + RETRY_ACCURACY_USEC)
                        probe_again(m, q);
        arm_timer(m);
        return 0;
}

/* One timer, at the first that is due. */
static void arm_timer(Manager *m) {
        struct QuarantineTable *table = m->quarantines;
        uint64_t first = 0;

        for (const Quarantine *q = table->entries; q; q = q->hh.next)
                if (q->retry_usec > 0 && (first == 0 || q->retry_usec < first))
                        first = q->retry_usec;
        if (!table->timer && first > 0)
                (void) sd_event_add_time(m->event, &table->timer, CLOCK_MONOTONIC, first, RETRY_ACCURACY_USEC, on_timer, m);
        else if (table->timer)
                (void) sd_event_source_set_time(table->timer, first);
        if (table->timer)
                (void) sd_event_source_set_enabled(table->timer, first > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* ---- for people ---- */

void quarantine_explain(Manager *m, const Device *device, FindingList *ret) {
        const Quarantine *q = find(m, device->host->id);
        json_t *finding;
        size_t index;

        if (q && !device->quarantine)
                finding_add(ret, PT_SEVERITY_NOTE, "quarantine-of-another", device->id,
                            "passthroughctl device clear-quarantine, if the old device does not come back",
                            "another device was in quarantine at this place (%s); this one is not", text_of(q, "reason"));
        json_array_foreach(device->health, index, finding) {
                json_int_t severity = json_integer_value(json_object_get(finding, "severity"));

                if (severity != PT_SEVERITY_BLOCKER) /* those are the quarantine's reason */
                        finding_add(ret, (PtSeverity) severity, json_string_value(json_object_get(finding, "code")), device->id,
                                    json_string_value(json_object_get(finding, "remedy")), "when it was given back: %s",
                                    strempty(json_string_value(json_object_get(finding, "text"))));
        }
}
