/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that is to be said about one device. */

#include "explain-internal.h"
#include "quarantine.h"
#include "reset-report.h"

static void say_availability(Manager *m, Device *device, Explanation *e) {
        _cleanup_findings_ FindingList findings = { 0 };

        e->topic = "availability";
        (void) device_eligible(m, device, "", NULL, &findings);
        quarantine_explain(m, device, &findings);
        reset_report_explain(device, &findings);
        explanation_take(e, &findings);
        if (device->role == PT_ROLE_OFFER)
                explain_claims(m, device, "", e);
        if (device->failed)
                explanation_add(e, PT_SEVERITY_BLOCKER, "give-back-failed", device->allocation ? device->allocation->id : NULL,
                                "explain the allocation", NULL, "it was not given back completely");
        if (device->role == PT_ROLE_OFFER && !finding_first_blocker(&findings) && e->list &&
            !explanation_has(e, "claimed", NULL))
                explanation_add(e, PT_SEVERITY_NOTE, "available", NULL, NULL, NULL, "nothing stands in the way of giving it away");
}

void explain_drift(Manager *m, const Provision *p, const Device *provider, Explanation *e) {
        size_t index;
        json_t *item;

        json_array_foreach(p->drift, index, item) {
                const char *remedy = json_string_value(json_object_get(item, "remedy"));

                explanation_add(e, PT_SEVERITY_WARNING, json_string_value(json_object_get(item, "code")), provider->id,
                                isempty(remedy) ? NULL : remedy, NULL,
                                "what was made of %s is no longer in force: %s %s%s", provider->host->sysname,
                                strempty(json_string_value(json_object_get(item, "text"))),
                                p->given_up ? strempty(p->failure.message)
                                : p->job    ? "It is being made anew."
                                            : "It is made anew when nothing of it is in use.",
                                !p->given_up && p->failure.message ? " The last try failed." : "");
        }
}

static void say_made(Manager *m, const Device *device, Explanation *e) {
        const Provision *p = device->role == PT_ROLE_PROVIDER ? provision_find(m, device->id) : NULL;

        e->topic = "layout";
        if (p && p->drift)
                explain_drift(m, p, device, e);
        else if (p && !provision_is_in_force(m, p))
                explanation_add(e, PT_SEVERITY_WARNING, "not-in-force", device->id, "passthroughctl group provision", NULL,
                                "what was made of %s is not there any more%s%s", device->host->sysname,
                                p->failure.message ? ": " : "", strempty(p->failure.message));
}

static void say_companions(Manager *m, Device *device, Explanation *e) {
        _cleanup_free_ HostDevice **bundle = NULL;

        e->topic = "companions";
        if (inventory_bundle(m->inventory, device, &bundle) < 0)
                return;
        for (size_t i = 0; bundle[i]; i++) {
                const HostDevice *host = bundle[i];

                if (host == device->host)
                        continue;
                explanation_add(e, PT_SEVERITY_NOTE, "companion", host->id, NULL, NULL,
                                "%s (%s) is in the same IOMMU group %d and moves along%s%s", host->sysname,
                                host->offers ? host->offers->name : host->id, (int) host->iommu_group,
                                host->driver ? "; bound to " : "", strempty(host->driver));
        }
}

static void say_groups(Manager *m, Device *device, Explanation *e) {
        e->topic = "membership";
        if (device->role == PT_ROLE_OFFER && (!device->groups || !device->groups[0]))
                explanation_add(e, PT_SEVERITY_NOTE, "no-group", device->id,
                                "passthroughctl make-resource, or a rule that matches it", NULL,
                                "no resource group has a rule that matches it");
        for (size_t i = 0; device->groups && device->groups[i]; i++)
                if (!device->groups[i]->enabled)
                        explanation_add(e, PT_SEVERITY_WARNING, "group-disabled", device->groups[i]->id,
                                        "passthroughctl group enable", NULL, "its group '%s' is disabled",
                                        device->groups[i]->name);
        explain_membership(m, device, e);
}

void explain_device(Manager *m, Device *device, const Seen *seen, Explanation *e) {
        say_availability(m, device, e);
        say_made(m, device, e);
        say_companions(m, device, e);
        explain_use(m, device, device->allocation, seen, e);
        say_groups(m, device, e);
}
