/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A rule over provider.FIELD brings in devices that may not be made yet: a preview says of which providers, and whether they can
 * serve all groups then. */

#include <stdarg.h>
#include <stdio.h>

#include "demand.h"
#include "json-util.h"
#include "rule.h"

static int PRINTF_LIKE(5, 6) add(json_t *findings, const char *severity, const char *code, const char *culprit,
                                 const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
                text = NULL;
        va_end(arguments);
        return json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s}", "severity", severity, "code", code, "culprit",
                                                         culprit, "text", strempty(text))) < 0
                       ? -ENOMEM
                       : 0;
}

static int say_provider(Manager *m, Device *provider, const Rule *rule, json_t *findings) {
        _cleanup_(json_decrefp) json_t *layout = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        char text[256];
        int r = demand_layout(m, provider, &(PolicyChange) { .rule = rule }, &layout, &fault);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return add(findings, "warning", "layout-conflict", strempty(fault.object),
                           "the rule would be refused: %s", strempty(fault.message));
        layout_text(layout, text, sizeof(text));
        return add(findings, "note", "selects-provider", provider->id, "it selects %s (%s), which would have %s",
                   provider->host->sysname, provider->name, text);
}

int demand_preview(Manager *m, Group *group, json_t *where, json_t *result, Fault *fault) {
        _cleanup_(json_decrefp) json_t *body = json_pack("{s:s, s:O}", "name", "preview", "where", where);
        json_t *findings = json_object_get(result, "findings");
        _cleanup_(rule_freep) Rule *rule = NULL;
        char id[ID_SIZE];
        bool any = false;
        int r = body ? policy_new_rule_id(m->policy, group, id) : -ENOMEM;

        if (!group->module->descriptor->layout || json_array_size(where) == 0)
                return 0;
        r = r < 0 ? fault_oom(fault) : 0;
        if (r >= 0)
                r = rule_from_json(id, body, group, group->module, false, &rule, fault);
        if (r < 0 || !conditions_name_provider(rule->where))
                return r;
        for (Provider *p = inventory_first_provider(m->inventory); p; p = p->hh.next) {
                if (p->module != group->module || !p->device || conditions_match_provider(rule->where, p->device) != MATCH_YES)
                        continue;
                any = true;
                if (say_provider(m, p->device, rule, findings) < 0)
                        return fault_oom(fault);
        }
        if (!any && add(findings, "warning", "no-provider", group->id, "it selects no provider of this host") < 0)
                return fault_oom(fault);
        return 0;
}
