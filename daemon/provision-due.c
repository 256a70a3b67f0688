/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service makes by itself: at its start, the layouts that are stored and not made on this boot; later, those whose
 * devices vanished all at once, because the provider's driver was loaded anew or reset the card, and those of which the module
 * finds that something is no longer so (provision-verify.c).
 *
 *   due → the provider is ready, and has been quiet for a moment → job → made
 *                                                                    └→ failed → after a pause → job → … → given up
 *
 * Activations of its groups wait meanwhile, for a limited time, and the readiness of a start waits for the first attempts.
 * Attempts count whether they go well or not: a driver that drops its devices each time would have us go on for ever. */

#include <stdio.h>

#include "log.h"
#include "provisioning.h"

static bool is_made(Manager *m, const Provision *p) {
        return p->wanted && p->made && !p->changing && p->applied.n_steps > 0 && json_equal(p->wanted, p->made) && !p->drift &&
               !provision_has_lost_all(m, p);
}

const char *provision_state(Manager *m, const Provision *p) {
        if (!p || (!p->wanted && !p->made && !p->job))
                return "none";
        return p->job      ? "making"
               : p->due    ? "due"
               : p->given_up ? "given-up"
               : !p->made || p->drift || provision_has_lost_all(m, p) ? "lost"
                           : "made";
}

static void stop_waiting(Provision *p) {
        p->awaited = p->starting = false;
        p->deadline = sd_event_source_disable_unref(p->deadline);
}

/* ---- the end of waiting ---- */

/* Whoever waited long enough is told what is missing. It is still made when it can be. */
static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Provision *p = userdata;
        Manager *m = p->m;

        stop_waiting(p);
        if (p->failure.code == FAULT_NONE && !p->job) {
                fault_set_object(&p->failure, -ETIMEDOUT, FAULT_TIMED_OUT, p->id,
                                 "%s was not ready within %u s; its devices are made when it is", p->id, PROVISION_WAIT_SEC);
                log_message(LOG_WARNING, LOG_EVENT_JOB_FAILED, log_fields("DEVICE", p->id), "%s", p->failure.message);
        }
        provision_changed(m, p);
        manager_settle(m);
        manager_kick(m);
        return 0;
}

static void wait_for(Manager *m, Provision *p) {
        p->awaited = sd_event_add_time_relative(m->event, &p->deadline, CLOCK_MONOTONIC, PROVISION_WAIT_SEC * UINT64_C(1000000),
                                                100000, on_deadline, p) >= 0;
}

static void give_up(Manager *m, Provision *p, const Fault *fault) {
        _cleanup_free_ char *why = strdup(fault->message ?: "what was made vanished again each time");

        FaultCode code = fault->code == FAULT_NONE ? FAULT_DEVICE_GONE : fault->code;

        p->due = false;
        p->given_up = true;
        stop_waiting(p);
        fault_done(&p->failure);
        p->failure = (Fault) { 0 };
        fault_set_object(&p->failure, -ECANCELED, code, p->id,
                         "the service gave up after %u attempts to make the layout of %s again: %s", p->attempts, p->id,
                         strempty(why));
        log_message(LOG_ERR, LOG_EVENT_JOB_FAILED, log_fields("DEVICE", p->id), "%s", strempty(p->failure.message));
        provision_changed(m, p);
        manager_settle(m);
        manager_kick(m);
}

/* ---- attempts ---- */

static bool is_ready(Manager *m, const Provision *p) {
        Device *provider = inventory_find(m->inventory, p->id);
        _cleanup_findings_ FindingList findings = { 0 };
        _cleanup_fault_ Fault fault = { 0 };

        return provider && provider->role == PT_ROLE_PROVIDER &&
               inventory_check(m->inventory, provider, NULL, &findings, &fault) >= 0 && !finding_first_blocker(&findings) &&
               provisioning_check_use(m, provider, &fault) >= 0;
}

static void begin(Manager *m, Provision *p) {
        _cleanup_fault_ Fault fault = { 0 };

        p->due = p->confirmed = false;
        p->again = true;
        p->attempts++;
        p->last_usec = now_monotonic_usec();
        if (operation_provision_due(m, p, &fault) >= 0 || !p->again)
                return; /* its end is told, or was */
        log_message(LOG_ERR, LOG_EVENT_JOB_FAILED, log_fields("DEVICE", p->id), "the layout of %s is not made: %s", p->id,
                    strempty(fault.message));
        fault_done(&p->failure);
        p->failure = (Fault) { 0 };
        fault_copy(&p->failure, &fault);
        provision_ended(m, p, &fault);
        provision_changed(m, p);
}

static bool may_try(const Manager *m, const Provision *p) {
        return p->due && !p->job && !p->timer && !m->stopping && m->readiness != READINESS_DEGRADED &&
               m->readiness != READINESS_LIMITED;
}

static void try(Manager *m, Provision *p) {
        if (!may_try(m, p))
                return;
        if (is_made(m, p)) { /* the driver brought them back itself, or nothing was missing */
                p->due = false;
                stop_waiting(p);
                provision_changed(m, p);
                manager_settle(m);
                manager_kick(m);
        } else if (p->attempts >= PROVISION_ATTEMPTS_MAX)
                give_up(m, p, &p->failure);
        else if (!is_ready(m, p))
                p->confirmed = false;
        else if (p->drift && !p->confirmed) /* it may have been put right meanwhile */
                provision_verify_soon(m, p);
        else
                begin(m, p);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Provision *p = userdata;

        p->timer = sd_event_source_disable_unref(p->timer);
        try(p->m, p);
        return 0;
}

/* Later than now: what is still going on is not met half-way. */
static void try_after(Manager *m, Provision *p, uint64_t msec) {
        if (!p->timer && sd_event_add_time_relative(m->event, &p->timer, CLOCK_MONOTONIC, msec * 1000, 50000, on_time, p) < 0)
                try(m, p);
}

void provision_ended(Manager *m, Provision *p, const Fault *fault) {
        bool again = p->again;

        p->again = p->starting = false;
        if (fault->code == FAULT_NONE) {
                p->due = p->given_up = false;
                if (!again) /* somebody looked at it */
                        p->attempts = 0;
                stop_waiting(p);
        } else if (again && p->wanted && p->attempts < PROVISION_ATTEMPTS_MAX) {
                p->due = true;
                try_after(m, p, PROVISION_SETTLE_MSEC << (p->attempts - 1));
        } else if (again && p->wanted)
                give_up(m, p, fault);
        /* What was to be made anew is undone, or in parts, and the new one is not there: back to the one before. */
        else if (!p->given_up && p->wanted &&
                 (provision_has_lost_all(m, p) || !p->made || (p->changing && p->base == 0))) {
                p->due = true;
                try_after(m, p, PROVISION_SETTLE_MSEC);
        }
}

void provision_retry(Manager *m) {
        for (Provision *p = m->provisions, *next; p; p = next) {
                next = p->hh.next;
                try(m, p);
        }
}

/* ---- devices that vanished ---- */

/* Attempts of long ago count no longer. */
static void note_loss(Manager *m, Provision *p, const char *why) {
        if (p->last_usec + PROVISION_STEADY_SEC * UINT64_C(1000000) < now_monotonic_usec()) {
                p->attempts = 0;
                p->given_up = false;
        }
        if (p->due || p->given_up)
                return;
        log_message(LOG_NOTICE, LOG_EVENT_NONE, log_fields("DEVICE", p->id),
                    "what was made of %s is not there any more, and is made again: %s", p->id, why);
        p->due = true;
        if (!p->deadline)
                wait_for(m, p);
        provision_changed(m, p);
}

#define DEVICES_GONE "its devices are gone"

void provision_lost(Manager *m, Provision *p, const char *why) {
        if (!p->wanted)
                return;
        note_loss(m, p, why);
        if (p->due)
                try_after(m, p, PROVISION_SETTLE_MSEC);
}

void provision_found(Manager *m, Provision *p) {
        if (p->given_up) {
                p->given_up = false;
                fault_done(&p->failure);
                p->failure = (Fault) { 0 };
        }
        try(m, p);
}

void provision_provider_changed(Manager *m, Device *device) {
        Provision *p = device->role == PT_ROLE_PROVIDER ? provision_find(m, device->id) : NULL;

        if (!p || p->job || !p->wanted)
                return;
        if (!p->due && m->provisions_started && provision_has_lost_all(m, p))
                note_loss(m, p, DEVICES_GONE);
        if (p->unverified && device->slow == SLOW_UNKNOWN)
                provision_verify_soon(m, p);
        if (p->due && p->starting)
                try(m, p);
        else if (p->due)
                try_after(m, p, PROVISION_SETTLE_MSEC);
}

void provision_device_removed(Manager *m, const Device *device) {
        const Device *provider = device_get_provider(device);
        Provision *p = provider ? provision_find(m, provider->id) : NULL;

        if (!p || p->job || !p->wanted || !p->made || p->n_devices == 0 || provider->provider->n_children > 1)
                return;
        provision_lost(m, p, DEVICES_GONE);
}

/* ---- the start ---- */

void provision_start(Manager *m) {
        m->provisions_started = true;
        for (Provision *p = m->provisions, *next; p; p = next) {
                _cleanup_fault_ Fault fault = { 0 };

                next = p->hh.next;
                provision_hold(m, p);
                /* What undoing leaves is seen afterwards. */
                p->due = p->starting = p->wanted && (p->changing || !is_made(m, p));
                if (p->due)
                        wait_for(m, p);
                p->unverified = p->made != NULL;
                provision_verify_soon(m, p);
                if (!p->changing && (p->wanted || p->applied.n_steps == 0))
                        continue;
                m->reconciling++;
                if (operation_provision_recover(m, p, &fault) < 0) {
                        m->reconciling--;
                        log_message(LOG_ERR, LOG_EVENT_UNDO_FAILED, log_fields("DEVICE", p->id), "%s",
                                    strempty(fault.message));
                }
        }
        provision_retry(m);
}

bool provision_is_starting(const Manager *m) {
        for (const Provision *p = m->provisions; p; p = p->hh.next)
                if (p->starting)
                        return true;
        return false;
}

bool provision_concerns(Manager *m, const Allocation *allocation) {
        for (Provision *p = m->provisions; p; p = p->hh.next)
                for (size_t i = 0; ((p->due && p->awaited) || p->job) && i < allocation->n_requests; i++)
                        if (provision_has_group(p, allocation->requests[i].group))
                                return true;
        return false;
}
