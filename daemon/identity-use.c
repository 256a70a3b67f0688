/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "identity-use.h"

#include <stdio.h>

#include "identity.h"
#include "json-util.h"
#include "lib/driver.h"
#include "lib/limits.h"
#include "log.h"
#include "observe.h"
#include "pending.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* ---- what is recorded ---- */

static bool names_device(const Allocation *a, const char *id) {
        for (size_t i = 0; i < a->n_requests; i++)
                if (strv_contains((const char *const *) a->requests[i].last, id))
                        return true;
        return allocation_has_device(a, id);
}

static int note_device(Manager *m, Allocation *a, Device *device) {
        json_t *record = NULL;
        int r = identity_record(m, device, NULL, &record, NULL);

        if (r >= 0)
                r = json_object_set_new(a->identities, device->id, record) < 0 ? -ENOMEM : 0;
        return r == -ENOMEM ? r : 0; /* a module that can't say is no reason not to hand out */
}

/* Everything that can be found out has been, with the host's own driver: without one, a network card has no address. */
static bool is_known(const Device *device) {
        return device->slow == SLOW_FRESH && device->slow_driver && device->slow_driver == device->host->driver &&
               !driver_is_vfio(device->slow_driver);
}

/* Those whose record of the device can't be completed any more are forgotten here, so that the list does not grow without end
 * on a device that can't be read. */
static void want_recorded(Manager *m, Device *device, const Allocation *a) {
        const char *id;
        json_t *value;
        void *next;

        if (!device->module->descriptor->observe)
                return;
        json_object_foreach_safe(device->unrecorded, next, id, value)
                if (!manager_find_allocation(m, id) && !pending_reserves(m, id))
                        json_object_del(device->unrecorded, id);
        if (!device->unrecorded)
                device->unrecorded = json_object();
        (void) json_object_set_new(device->unrecorded, a->id, json_true()); /* without memory less is recorded, nothing else */
}

int identity_note_use(Manager *m, Allocation *a) {
        json_t *record;
        const char *id;
        void *next;
        int r = 0;

        if (!a->identities)
                a->identities = json_object();
        if (!a->identities)
                return -ENOMEM;
        json_object_foreach_safe(a->identities, next, id, record)
                if (!names_device(a, id))
                        json_object_del(a->identities, id);
        for (size_t i = 0; i < a->n_requests && r >= 0; i++)
                for (size_t k = 0; k < a->requests[i].n_devices && r >= 0; k++) {
                        Device *device = inventory_find(m->inventory, a->requests[i].devices[k].device);

                        if (!device)
                                continue; /* what was recorded of it stays */
                        r = note_device(m, a, device);
                        if (!is_known(device))
                                want_recorded(m, device, a);
                }
        return r;
}

static void store_allocation(Manager *m, const Allocation *a) {
        _cleanup_(json_decrefp) json_t *body = allocation_to_json(a);
        StoreTxn *txn = body ? store_begin(m->store, STORE_STATE) : NULL;

        if (!txn)
                return; /* less is known at the next start; nothing else */
        store_put(txn, TABLE_ALLOCATIONS, a->id, NULL, body);
        (void) store_commit(txn, NULL, NULL);
}

int identity_accept_use(Manager *m, Allocation *a, char **ret_text) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, n = 0;
        const char *id;
        json_t *record;
        void *next;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        json_object_foreach_safe(a->identities, next, id, record) {
                const Device *device = inventory_find(m->inventory, id);
                _cleanup_free_ char *fields = NULL;

                if (!device || !identity_differs(record, device, NULL, &fields))
                        continue;
                (void) fprintf(f, "%s%s is another device than the one used before (%s)", n++ > 0 ? "; " : "accepted: ",
                               device->host->sysname, strempty(fields));
                json_object_del(a->identities, id);
        }
        if (fclose(f) != 0)
                return -ENOMEM;
        if (n > 0)
                store_allocation(m, a);
        *ret_text = n > 0 ? TAKE_PTR(text) : NULL;
        return 0;
}

/* ---- what is completed ---- */

/* What was known before and is not now (the address of a network card whose driver is just not there) stays recorded. */
static void keep_missing(json_t *record, json_t *before) {
        json_t *fields = json_object_get(record, "fields"), *strengths = json_object_get(record, "strengths"), *value;
        const char *field;

        if (record == before)
                return;
        json_object_foreach(json_object_get(before, "fields"), field, value)
                if (!json_object_get(fields, field)) {
                        (void) json_object_set(fields, field, value);
                        (void) json_object_set(strengths, field, json_object_get(json_object_get(before, "strengths"), field));
                }
}

static void complete_record(Manager *m, Allocation *a, Device *device) {
        _cleanup_(json_decrefp) json_t *before = json_incref(json_object_get(a->identities, device->id));
        json_t *record;

        if (note_device(m, a, device) < 0)
                return;
        record = json_object_get(a->identities, device->id);
        keep_missing(record, before);
        if (!json_equal(record, before))
                store_allocation(m, a);
}

/* Whether the wish is over: granted, or pointless. One that can't be granted yet waits for whatever reading comes. */
static bool try_complete(Manager *m, const char *id, Device *device) {
        Allocation *a = manager_find_allocation(m, id);
        json_t *record = a ? json_object_get(a->identities, device->id) : NULL;

        if (pending_reserves(m, id) || (a && a->job))
                return false; /* it is written by somebody else; identity_resume_use() comes back to it */
        if (!record || identity_differs(record, device, NULL, NULL))
                return true;
        complete_record(m, a, device);
        return is_known(device);
}

void identity_device_read(Manager *m, Device *device) {
        const char *id;
        json_t *value;
        void *next;

        device->readings_failed = 0;
        json_object_foreach_safe(device->unrecorded, next, id, value)
                if (try_complete(m, id, device))
                        json_object_del(device->unrecorded, id);
}

void identity_resume_use(Manager *m, Allocation *a) {
        _cleanup_(json_decrefp) json_t *identities = json_incref(a->identities);
        const char *id;
        json_t *record;

        json_object_foreach(identities, id, record) {
                Device *device = inventory_find(m->inventory, id);

                if (device && json_object_get(device->unrecorded, a->id) && try_complete(m, a->id, device))
                        json_object_del(device->unrecorded, a->id);
        }
}

void identity_complete_use(Manager *m, const Allocation *a) {
        _cleanup_(json_decrefp) json_t *identities = json_incref(a->identities);
        char allocation[UUID_TEXT_SIZE];
        const char *id;
        json_t *record;

        memcpy(allocation, a->id, sizeof(allocation));
        json_object_foreach(identities, id, record) {
                Device *device = inventory_find(m->inventory, id);

                if (!device || !device->module->descriptor->observe)
                        continue;
                want_recorded(m, device, a);
                device->readings_failed = 0;
                if (try_complete(m, allocation, device))
                        json_object_del(device->unrecorded, allocation);
                else
                        observe_device(m, device, NULL, NULL);
        }
}

/* ---- what could not be read ---- */

static bool is_worth_reading(const Device *device) {
        /* What a guest has is not touched; it is read when it comes back. */
        return device->slow == SLOW_FAILED && json_object_size(device->unrecorded) > 0 &&
               device->readings_failed <= IDENTITY_RETRIES_MAX && !driver_is_vfio(device->host->driver);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        for (Device *device = inventory_first(m->inventory); device; device = device->hh.next)
                if (is_worth_reading(device))
                        observe_device(m, device, NULL, NULL);
        return 0;
}

void identity_reading_failed(Manager *m, Device *device) {
        uint64_t delay;
        int r;

        if (m->stopping || json_object_size(device->unrecorded) == 0)
                return;
        if (device->readings_failed < UINT8_MAX)
                device->readings_failed++;
        if (!is_worth_reading(device))
                return;
        delay = (UINT64_C(1) << (device->readings_failed - 1)) * USEC_PER_SEC;
        if (!m->identity_retry)
                r = sd_event_add_time_relative(m->event, &m->identity_retry, CLOCK_MONOTONIC, delay, 0, on_retry, m);
        else if (sd_event_source_get_enabled(m->identity_retry, NULL) > 0)
                return; /* with the others */
        else {
                r = sd_event_source_set_time_relative(m->identity_retry, delay);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->identity_retry, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_plain(LOG_WARNING, "%s is not read again: %s", device->id, strerror(-r));
}

void identity_uses_free(Manager *m) {
        m->identity_retry = sd_event_source_disable_unref(m->identity_retry);
}
