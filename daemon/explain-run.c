/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Explain as a caller asks for it: what is slow is read first (the device's own fields, who has it open), then everything is
 * said in one go. What cannot be found out in time is said to be unknown; an answer comes always. */

#include "explain-internal.h"
#include "given-nodes.h"
#include "json-util.h"
#include "meter.h"
#include "observe.h"
#include "provider.h"
#include "usage.h"

typedef struct Explain {
        Manager *m;
        ObjectKind kind;
        char id[ID_SIZE];
        bool processes; /* ask who has it open */
        bool all_rules; /* Explanation */
        size_t asked;   /* providers whose use is being measured */
        ExplainDone done;
        void *userdata;
} Explain;

static int gone(const Explain *x, Fault *fault) {
        return fault_set_object(fault, -ENODEV, x->kind == OBJECT_DEVICE ? FAULT_DEVICE_GONE
                                                : x->kind == OBJECT_GROUP ? FAULT_UNKNOWN_GROUP
                                                                          : FAULT_UNKNOWN_ALLOCATION,
                                x->id, "%s is gone", x->id);
}

static int explain(const Explain *x, const Seen *seen, Explanation *e, Fault *fault) {
        Device *device = x->kind == OBJECT_DEVICE ? inventory_find(x->m->inventory, x->id) : NULL;
        Group *group = x->kind == OBJECT_GROUP ? policy_find_group(x->m->policy, x->id) : NULL;
        Allocation *allocation = x->kind == OBJECT_ALLOCATION ? manager_find_allocation(x->m, x->id) : NULL;

        if (device)
                explain_device(x->m, device, seen, e);
        else if (group)
                explain_group(x->m, group, e);
        else if (allocation)
                explain_allocation(x->m, allocation, seen, e);
        else
                return gone(x, fault);
        return 0;
}

static void finish(Explain *x, const Seen *seen) {
        Explanation e = { .list = json_array(), .all_rules = x->all_rules };
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r = e.list ? explain(x, seen, &e, &fault) : fault_oom(&fault);

        if (r >= 0) {
                list = explanation_sorted(&e);
                r = list ? 0 : fault_oom(&fault);
        }
        json_decref(e.list);
        x->done(x->userdata, r, list, &fault);
        free(x);
}

static void on_usage(void *userdata, json_t *children, json_t *holders, const char *problem) {
        finish(userdata, &(const Seen) { .children = children, .holders = holders, .problem = problem });
}

static void ask_usage(Explain *x) {
        _cleanup_(strv_freep) char **nodes = NULL, **below = NULL;
        Device *device = x->kind == OBJECT_DEVICE ? inventory_find(x->m->inventory, x->id) : NULL;
        Allocation *a = x->kind == OBJECT_ALLOCATION ? manager_find_allocation(x->m, x->id) : NULL;
        int r = 0;

        if (device)
                r = usage_of_device(x->m, device, &nodes, &below);
        else if (a)
                r = given_nodes(x->m, a, &nodes);
        if (r >= 0 && x->processes && ((nodes && nodes[0]) || (below && below[0])))
                r = usage_ask(x->m, (const char *const *) nodes, (const char *const *) below, on_usage, x);
        else {
                finish(x, &(const Seen) { 0 });
                return;
        }
        if (r < 0)
                finish(x, &(const Seen) { .problem = strerror(-r) });
}

static void on_observed(void *userdata) {
        ask_usage(userdata);
}

static void on_measured(void *userdata) {
        Explain *x = userdata;

        if (--x->asked == 0)
                ask_usage(x);
}

/* What is wrong with those who use its devices, their providers' drivers know. */
static void ask_meter(Explain *x, const Allocation *a) {
        x->asked = 1;
        for (size_t i = 0; i < a->n_requests; i++)
                for (size_t k = 0; k < a->requests[i].n_devices; k++) {
                        Device *device = inventory_find(x->m->inventory, a->requests[i].devices[k].device);
                        Device *provider = device ? device_get_provider(device) : NULL;

                        if (!provider || !meter_can(provider))
                                continue;
                        x->asked++;
                        meter_ask(x->m, provider, on_measured, x);
                }
        on_measured(x);
}

int manager_explain(Manager *m, ObjectKind kind, const char *id, json_t *options, ExplainDone done, void *userdata,
                    Fault *fault) {
        bool processes = true, all_rules = false;
        const JsonKey keys[] = {
                { "processes", JSON_KEY_BOOL, &processes, 0, false },
                { kind == OBJECT_ALLOCATION ? NULL : "all-rules", JSON_KEY_BOOL, &all_rules, 0, false },
                { 0 },
        };
        int r = json_parse_object(options, keys, "the options of Explain", FAULT_UNKNOWN_OPTION, fault);
        Device *device = kind == OBJECT_DEVICE ? inventory_find(m->inventory, id) : NULL;
        Allocation *allocation = kind == OBJECT_ALLOCATION ? manager_find_allocation(m, id) : NULL;
        Explain *x;

        if (r < 0)
                return r;
        x = calloc(1, sizeof(Explain));
        if (!x)
                return fault_oom(fault);
        *x = (Explain) { .m = m, .kind = kind, .processes = processes, .all_rules = all_rules, .done = done, .userdata = userdata };
        (void) snprintf(x->id, sizeof(x->id), "%s", id);
        if (device)
                observe_device(m, device, on_observed, x);
        else if (allocation && processes && allocation->state == ALLOCATION_ACTIVE)
                ask_meter(x, allocation);
        else
                ask_usage(x);
        return 0;
}
