/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether providers could still serve all groups once a document is applied: each group as it would be, with the rules that it
 * would have, is a demand. A conflict names the group at fault before anything is written. */

#include <stdio.h>

#include "declarative-document.h"
#include "demand.h"

typedef struct DocumentLayouts {
        GroupView *views;  /* groups of types that have layouts, in order of creation */
        size_t n_views;
        const Rule **rules; /* of all views, one after the other */
        char (*providers)[ID_SIZE]; /* they may go between two calls */
        size_t n_providers, next;
} DocumentLayouts;

void document_layouts_free(DocumentLayouts *layouts) {
        if (!layouts)
                return;
        free(layouts->views);
        free(layouts->rules);
        free(layouts->providers);
        free(layouts);
}

static bool has_layouts(const Group *group) {
        return group->module && group->module->descriptor && group->module->descriptor->layout;
}

static DocumentGroup *named(const Document *d, const char *id) {
        DocumentGroup *entry;

        HASH_FIND_STR(d->by_id, id, entry);
        return entry;
}

static bool rule_stays(const Document *d, const Rule *rule) {
        DocumentRule *entry;

        HASH_FIND_STR(d->rules_by_id, rule->id, entry);
        return !entry && !d->prune && !named(d, rule->group->id);
}

/* Those that a document of other types leaves alone are not its business. */
static bool is_touched(const Document *d, Manager *m, const Module *module) {
        json_t *change;
        size_t i;

        json_array_foreach(d->changes, i, change) {
                const char *id = json_string_value(json_object_get(change, "group")) ?:
                                 json_string_value(json_object_get(change, "id"));
                const DocumentGroup *entry = named(d, id);
                const Group *group = entry && entry->group ? entry->group : policy_find_group(m->policy, id);

                if (group && group->module == module)
                        return true;
        }
        return false;
}

/* ---- the groups ---- */

static void add_view(DocumentLayouts *layouts, const Group *group, DocumentGroup *entry) {
        GroupView *view = &layouts->views[layouts->n_views];

        if (!has_layouts(group))
                return;
        layouts->n_views++;
        *view = (GroupView) { .group = group };
        if (entry)
                entry->view = view;
}

static int add_views(Document *d, Manager *m, DocumentLayouts *layouts) {
        layouts->views = calloc(policy_count_groups(m->policy) + HASH_COUNT(d->by_id) + 1, sizeof(GroupView));
        if (!layouts->views)
                return -ENOMEM;
        for (Group *group = policy_first_group(m->policy); group; group = group->hh.next) {
                DocumentGroup *entry = named(d, group->id);

                if (entry || !d->prune)
                        add_view(layouts, entry && entry->group ? entry->group : group, entry);
        }
        for (DocumentGroup *entry = d->by_id; entry; entry = entry->hh.next)
                if (entry->group && !policy_find_group(m->policy, entry->id))
                        add_view(layouts, entry->group, entry);
        return 0;
}

/* ---- their rules ---- */

static GroupView *view_of(const Document *d, const DocumentRule *rule) {
        const DocumentGroup *owner = named(d, rule->owner);

        return owner ? owner->view : NULL;
}

static size_t count_staying(const Document *d, const Group *group) {
        size_t n = 0;

        for (const Rule *rule = group->rules; rule; rule = rule->next)
                n += rule_stays(d, rule);
        return n;
}

static void fill_rules(const Document *d, Manager *m, DocumentLayouts *layouts) {
        for (size_t i = 0; i < layouts->n_views; i++) {
                GroupView *view = &layouts->views[i];

                view->n_rules = 0;
                for (const Rule *rule = named(d, view->group->id) ? NULL : view->group->rules; rule; rule = rule->next)
                        if (rule_stays(d, rule))
                                view->rules[view->n_rules++] = rule;
        }
        for (const DocumentRule *entry = d->rules_by_id; entry; entry = entry->hh.next) {
                GroupView *view = view_of(d, entry);
                const Rule *rule = entry->rule ?: policy_find_rule(m->policy, entry->id);

                if (view && rule)
                        view->rules[view->n_rules++] = rule;
        }
}

static int add_rules(const Document *d, Manager *m, DocumentLayouts *layouts) {
        size_t total = 0;

        for (const DocumentRule *entry = d->rules_by_id; entry; entry = entry->hh.next) {
                GroupView *view = view_of(d, entry);

                if (view)
                        view->n_rules++;
        }
        for (size_t i = 0; i < layouts->n_views; i++) {
                GroupView *view = &layouts->views[i];

                if (!named(d, view->group->id))
                        view->n_rules += count_staying(d, view->group);
                total += view->n_rules;
        }
        layouts->rules = calloc(total + 1, sizeof(Rule *));
        if (!layouts->rules)
                return -ENOMEM;
        total = 0;
        for (size_t i = 0; i < layouts->n_views; i++) {
                layouts->views[i].rules = layouts->rules + total;
                total += layouts->views[i].n_rules;
        }
        fill_rules(d, m, layouts);
        return 0;
}

/* ---- the providers ---- */

static int add_providers(const Document *d, Manager *m, DocumentLayouts *layouts) {
        const Module *last = NULL;
        bool touched = false;
        size_t n = 0;

        for (Provider *p = inventory_first_provider(m->inventory); p; p = p->hh.next)
                n++;
        layouts->providers = calloc(n + 1, ID_SIZE);
        if (!layouts->providers)
                return -ENOMEM;
        for (Provider *p = inventory_first_provider(m->inventory); p; p = p->hh.next) {
                if (p->module != last)
                        touched = is_touched(d, m, p->module);
                last = p->module;
                if (touched && p->device)
                        (void) snprintf(layouts->providers[layouts->n_providers++], ID_SIZE, "%s", p->device->id);
        }
        return 0;
}

static int begin(Document *d, Manager *m) {
        int r;

        d->layouts = calloc(1, sizeof(DocumentLayouts));
        if (!d->layouts)
                return -ENOMEM;
        r = add_views(d, m, d->layouts);
        if (r >= 0)
                r = add_rules(d, m, d->layouts);
        return r < 0 ? r : add_providers(d, m, d->layouts);
}

int document_check_layouts(Document *d, Manager *m, Fault *fault) {
        _cleanup_(json_decrefp) json_t *layout = NULL;
        const DocumentGroup *culprit;
        DocumentLayouts *layouts;
        Device *provider;
        int r;

        if (!d->layouts && begin(d, m) < 0)
                return fault_oom(fault);
        layouts = d->layouts;
        if (layouts->next >= layouts->n_providers)
                return 0;
        provider = inventory_find(m->inventory, layouts->providers[layouts->next++]);
        if (!provider || provider->role != PT_ROLE_PROVIDER)
                return 1;
        r = demand_layout(m, provider, &(PolicyChange) { .views = layouts->views, .n_views = layouts->n_views }, &layout, fault);
        if (r >= 0)
                return 1;
        culprit = fault->object ? named(d, fault->object) : NULL;
        return culprit ? document_fail_at(d, "groups", culprit->index, NULL, r, fault) : r;
}
