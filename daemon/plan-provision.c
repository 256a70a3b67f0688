/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a change of a provider's layout would do. */

#include "plan-provision.h"

#include <stdio.h>

#include "json-util.h"
#include "provision.h"
#include "provisioning.h"
#include "usage.h"

#define DEVICES_SAID_MAX 16u

static int check(Planning *p, Device *provider, bool makes, Transition transition, Fault *fault) {
        _cleanup_findings_ FindingList findings = { 0 };
        _cleanup_fault_ Fault use = { 0 };
        int r;

        (void) snprintf(p->type, sizeof(p->type), "%s", provider->module->name);
        r = makes ? inventory_check(p->m->inventory, provider, NULL, &findings, fault) : 0;
        for (size_t i = 0; i < findings.n_items; i++) {
                const PtFinding *f = &findings.items[i];

                if (f->severity == PT_SEVERITY_BLOCKER)
                        planning_block(p, f->code, f->culprit, f->remedy, "%s", f->text);
                else
                        explanation_add(&p->findings, (PtSeverity) f->severity, f->code, f->culprit, f->remedy, NULL, "%s",
                                        f->text);
        }
        if (r < 0 || transition == TRANSITION_BESIDE)
                return r;
        if (provisioning_check_use(p->m, provider, &use) < 0)
                planning_block(p, "devices-in-use", use.object, "end their use first", "%s", strempty(use.message));
        for (size_t i = 0; r >= 0 && i < provider->provider->n_children; i++)
                if (usage_of_device(p->m, provider->provider->children[i], &p->nodes, &p->below) < 0)
                        r = fault_oom(fault);
        return r;
}

static void add_undo_steps(Planning *p, const Provision *made) {
        for (size_t i = made ? made->applied.n_steps : 0; i > 0; i--) {
                const PtStep *step = &made->applied.steps[i - 1];
                _cleanup_free_ char *text = NULL;

                if (!made->observed[i - 1] || asprintf(&text, "undo \"%s\": as found before", step->sentence) < 0)
                        text = NULL;
                else
                        planning_add_step(p, step_kind_to_string((PtStepKind) step->kind), step->device, text, false, true,
                                          step_timeout_msec(step));
        }
}

/* For whom it is, and what it comes to. */
static void say_layout(Planning *p, Device *provider, const PolicyChange *change, const Provision *made, json_t *layout) {
        _cleanup_(json_decrefp) json_t *values = json_object();
        _cleanup_(strv_freep) char **groups = NULL;
        char now[256], next[256];
        const char *name;
        json_t *entry;

        json_object_foreach(layout, name, entry)
                (void) json_object_set(values, name, json_array_get(entry, 1));
        layout_text(layout, next, sizeof(next));
        layout_text(made ? made->made : NULL, now, sizeof(now));
        if (demand_groups(p->m, provider, change, &groups) < 0)
                return;
        p->findings.topic = "layout";
        p->findings.subject = provider->id;
        explanation_add(&p->findings, PT_SEVERITY_NOTE, "layout", provider->id, NULL,
                        json_pack("{s:o, s:O}", "groups", strv_to_json((const char *const *) groups), "layout", values),
                        "%s gets %s for %s%s, in place of %s", provider->host->sysname, next, groups[0] ? "group " : "nobody",
                        strempty(groups[0]), isempty(now) ? "what was found" : now);
        for (size_t i = 1; groups[0] && groups[i]; i++)
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "layout-shared", groups[i], NULL, NULL,
                                "group %s has a share in it", groups[i]);
        p->findings.topic = p->findings.subject = NULL;
}

/* Another number is made by way of none: all that are there go first, and come back as others. */
static void say_devices_go(Planning *p, const Device *provider) {
        const Provider *family = provider->provider;

        p->findings.topic = "effects";
        for (size_t i = 0; family && i < family->n_children; i++) {
                const Device *child = family->children[i];

                p->findings.subject = child->id;
                explanation_add(&p->findings, PT_SEVERITY_WARNING, "device-vanishes", child->id, NULL, NULL,
                                "%s (%s) vanishes%s", child->host->sysname, child->name,
                                child->groups && child->groups[0] ? " from its groups" : "");
                if (i + 1 == DEVICES_SAID_MAX && family->n_children > i + 1) {
                        explanation_add(&p->findings, PT_SEVERITY_WARNING, "more-vanish", provider->id, NULL, NULL,
                                        "and %zu more", family->n_children - i - 1);
                        break;
                }
        }
        p->findings.topic = p->findings.subject = NULL;
}

static void say_transition(Planning *p, const Device *provider, Transition transition) {
        p->findings.topic = "layout";
        p->findings.subject = provider->id;
        if (transition == TRANSITION_BESIDE)
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "changed-beside", provider->id, NULL, NULL,
                                "it is changed beside the devices of %s that are in use, which stay as they are",
                                provider->host->sysname);
        else if (transition == TRANSITION_ANEW)
                explanation_add(&p->findings, PT_SEVERITY_WARNING, "made-anew", provider->id, NULL, NULL,
                                "everything that was made of %s is undone first, and made anew", provider->host->sysname);
        p->findings.topic = p->findings.subject = NULL;
}

static int add_layout(Planning *p, Device *provider, const PolicyChange *change, Fault *fault) {
        const Provision *made = provision_find(p->m, provider->id);
        _cleanup_(json_decrefp) json_t *layout = NULL;
        Transition transition = TRANSITION_REPLACE;
        _cleanup_fault_ Fault conflict = { 0 };
        _cleanup_plan_ Plan plan = { 0 };
        int r;

        r = demand_layout(p->m, provider, change, &layout, &conflict);
        if (r < 0 && conflict.code == FAULT_LAYOUT_CONFLICT) {
                planning_block(p, "layout-conflict", conflict.object, NULL, "%s", strempty(conflict.message));
                return 0;
        }
        if (r < 0) {
                fault_move(fault, &conflict);
                return r;
        }
        if (json_is_null(layout) && (!made || made->applied.n_steps == 0)) {
                planning_block(p, "nothing-to-do", provider->id, "make a group with a rule on provider.slot",
                               "no group demands anything of %s, and nothing was made of it", provider->host->sysname);
                return 0;
        }
        if (!json_is_null(layout) && made && made->made && json_equal(layout, made->made) &&
            !made->drift && !provision_lacks_devices(p->m, made)) {
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "as-demanded", provider->id, NULL, NULL,
                                "%s is as its groups demand", provider->host->sysname);
                return 0;
        }
        r = provision_transition(p->m, made, provider, layout, &transition, fault);
        if (r >= 0)
                r = check(p, provider, !json_is_null(layout), transition, fault);
        if (r < 0)
                return r;
        if (transition != TRANSITION_BESIDE)
                say_devices_go(p, provider);
        if (json_is_null(layout)) {
                add_undo_steps(p, made);
                return 0;
        }
        say_layout(p, provider, change, made, layout);
        say_transition(p, provider, transition);
        if (transition == TRANSITION_ANEW)
                add_undo_steps(p, made);
        r = provider_plan(p->m, provider, layout, &plan, fault);
        if (r >= 0)
                planning_add_steps(p, &plan);
        return r;
}

/* NULL, and a blocker, for a device that makes none. */
static Device *find_provider(Planning *p, const char *object) {
        Device *device = inventory_find(p->m->inventory, object);

        if (device->role == PT_ROLE_PROVIDER)
                return device;
        planning_block(p, "nothing-to-do", device->id, NULL, "%s makes no devices: there is nothing to provision",
                       device->host->sysname);
        return NULL;
}

int plan_provision(Planning *p, const char *object, Fault *fault) {
        Device *provider = find_provider(p, object);

        return provider ? add_layout(p, provider, NULL, fault) : 0;
}

int plan_unprovision(Planning *p, const char *object, Fault *fault) {
        Device *provider = find_provider(p, object);
        const Provision *made;
        int r;

        if (!provider)
                return 0;
        made = provision_find(p->m, provider->id);
        if (!made || made->applied.n_steps == 0) {
                planning_block(p, "nothing-to-do", provider->id, NULL, "nothing was made of %s", provider->host->sysname);
                return 0;
        }
        r = check(p, provider, false, TRANSITION_REPLACE, fault);
        if (r >= 0) {
                say_devices_go(p, provider);
                add_undo_steps(p, made);
        }
        return r;
}

int plan_unprovision_group(Planning *p, const Group *group, bool *ret_any, Fault *fault) {
        const PolicyChange change = { .without_group = group->id };

        *ret_any = false;
        for (const Provision *made = p->m->provisions; made; made = made->hh.next) {
                Device *provider = provision_has_group(made, group->id) ? inventory_find(p->m->inventory, made->id) : NULL;
                int r;

                if (!provider)
                        continue;
                *ret_any = true;
                r = add_layout(p, provider, &change, fault);
                if (r < 0)
                        return r;
        }
        return 0;
}
