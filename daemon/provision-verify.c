/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether what was made of a provider is still so. Its module says, from a report that began after it was made: a setting of the
 * card that a driver forgot, a slice that somebody destroyed. What is not so is said, and made anew once nothing is in use. */

#include "json-util.h"
#include "log.h"
#include "observe.h"
#include "provisioning.h"

static bool can_verify(const Provision *p, const Device *provider) {
        return p->made && !p->job && !p->changing && p->applied.n_steps > 0 && provider && provider->role == PT_ROLE_PROVIDER &&
               provider->module->descriptor->verify;
}

bool provision_is_in_force(Manager *m, const Provision *p) {
        return !p || !p->made || p->job || (!p->drift && !p->changing && !provision_has_lost_all(m, p));
}

void provision_clear_drift(Provision *p) {
        json_decref(p->drift);
        p->drift = NULL;
}

/* Blockers only: the others are no reason to do anything. */
static json_t *what_differs(const FindingList *findings) {
        json_t *all = json_array();

        for (size_t i = 0; all && i < findings->n_items; i++) {
                const PtFinding *f = &findings->items[i];

                if (f->severity == PT_SEVERITY_BLOCKER &&
                    json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "code", f->code, "text", f->text, "culprit",
                                                         strempty(f->culprit), "remedy", strempty(f->remedy))) < 0) {
                        json_decref(all);
                        return NULL;
                }
        }
        return all;
}

const char *provision_drift_text(const Provision *p, const char *member) {
        return strempty(json_string_value(json_object_get(json_array_get(p->drift, 0), member)));
}

static void take_result(Manager *m, Provision *p, const FindingList *findings) {
        json_t *drift = finding_first_blocker(findings) ? what_differs(findings) : NULL;
        bool same = (!drift && !p->drift) || (drift && p->drift && json_equal(drift, p->drift)), before = p->drift != NULL;

        provision_clear_drift(p);
        p->drift = drift;
        p->confirmed = drift != NULL;
        if (drift)
                provision_lost(m, p, provision_drift_text(p, "text"));
        else if (before) {
                log_message(LOG_NOTICE, LOG_EVENT_NONE, log_fields("DEVICE", p->id), "what was made of %s is so again", p->id);
                provision_found(m, p);
        }
        if (!same)
                provision_changed(m, p);
}

static void verify(Manager *m, Provision *p, Device *provider) {
        _cleanup_findings_ FindingList findings = { 0 };
        _cleanup_fault_ Fault fault = { 0 };
        int r = provider_verify(m, provider, p->made, &findings, &fault);

        p->unverified = false;
        if (r >= 0)
                take_result(m, p, &findings);
        else if (r != -ENODATA) /* it can't be told now: the driver is away */
                log_message(LOG_WARNING, LOG_EVENT_NONE, log_fields("DEVICE", p->id), "%s", strempty(fault.message));
}

void provision_observed(Manager *m, Device *provider) {
        Provision *p = provider->role == PT_ROLE_PROVIDER ? provision_find(m, provider->id) : NULL;

        if (p && m->provisions_started && can_verify(p, provider))
                verify(m, p, provider);
}

void provision_verify_soon(Manager *m, Provision *p) {
        Device *provider = inventory_find(m->inventory, p->id);

        if (!can_verify(p, provider))
                return;
        p->unverified = true;
        if (provider->module->descriptor->observe)
                observe_fresh(m, provider);
        else
                verify(m, p, provider);
}
