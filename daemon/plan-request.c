/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Plan as a caller asks for it: what the verb would do, then what that does to the host, which a worker looks at, and how long
 * it took before. */

#include <stdio.h>

#include "duration.h"
#include "json-util.h"
#include "observe.h"
#include "planning.h"
#include "usage.h"

typedef struct PlanCall {
        Planning p;
        char token[33];
        char object[ID_SIZE]; /* "" for none */
        char **overrides;
        size_t waiting;       /* readings that have not come back, and one for whoever still asks for more */
        PlanDone done;
        void *userdata;
} PlanCall;

static void planning_done(Planning *p) {
        json_decref(p->choices);
        json_decref(p->steps);
        json_decref(p->findings.list);
        plan_record_free(p->record);
        strv_free(p->nodes);
        strv_free(p->below);
        json_decref(p->requests);
}

static void plan_call_free(PlanCall *call) {
        planning_done(&call->p);
        strv_free(call->overrides);
        free(call);
}

/* ---- what it does to the host ---- */

/* What people know by another name than the kernel's. */
static const struct {
        const char *subsystem, *code, *what;
        PtSeverity severity;
} effects[] = {
        { "net", "netdev-disappears", "the network interface", PT_SEVERITY_WARNING },
        { "block", "disk-disappears", "the disk", PT_SEVERITY_WARNING },
        { "drm", "display-disappears", "the display adapter", PT_SEVERITY_WARNING },
        { "sound", "sound-disappears", "the sound card", PT_SEVERITY_NOTE },
        { "usb", "usb-device-disappears", "the USB device", PT_SEVERITY_WARNING },
        { "input", "input-disappears", "the input device", PT_SEVERITY_WARNING },
        { "infiniband", "fabric-disappears", "the InfiniBand device", PT_SEVERITY_WARNING },
        { "mdev", "mdev-disappears", "the mediated device", PT_SEVERITY_WARNING },
        { "tty", "terminal-disappears", "the serial port", PT_SEVERITY_WARNING },
};

static const char *text_of(json_t *object, const char *key) {
        return strempty(json_string_value(json_object_get(object, key)));
}

static void say_child(Planning *p, json_t *child) {
        const char *subsystem = text_of(child, "subsystem"), *name = text_of(child, "name");
        const char *device = strrchr(text_of(child, "device"), '/');
        json_t *more = json_pack("{s:s, s:s}", "subsystem", subsystem, "name", name);

        device = device ? device + 1 : "";
        for (size_t i = 0; i < ELEMENTSOF(effects); i++)
                if (streq(effects[i].subsystem, subsystem)) {
                        explanation_add(&p->findings, effects[i].severity, effects[i].code, name, NULL, more,
                                        "%s %s of %s will disappear from the host", effects[i].what, name, device);
                        return;
                }
        explanation_add(&p->findings, PT_SEVERITY_NOTE, "child-disappears", name, NULL, more,
                        "%s %s of %s will disappear from the host", subsystem, name, device);
}

static void say_holder(Planning *p, json_t *holder) {
        const char *node = text_of(holder, "node"), *unit = text_of(holder, "unit");
        json_t *more = json_pack("{s:I, s:s, s:s, s:s}", "pid", json_integer_value(json_object_get(holder, "pid")), "command",
                                 text_of(holder, "comm"), "unit", unit, "node", node);
        long long pid = (long long) json_integer_value(json_object_get(holder, "pid"));

        if (json_is_false(json_object_get(holder, "certain")))
                json_decref(more); /* nothing that a plan could promise */
        else
                explanation_add(&p->findings, PT_SEVERITY_WARNING, "open", text_of(holder, "comm"),
                                p->takes ? "end it first" : "end it, or use force", more, "%s (pid %lld%s%s) has %s open%s",
                                text_of(holder, "comm"), pid, isempty(unit) ? "" : ", ", unit, node,
                                p->takes ? "" : "; it is waited for");
}

static void say_effects(Planning *p, json_t *children, json_t *holders, const char *problem) {
        json_t *entry;
        size_t index;

        p->findings.topic = "effects";
        if (problem)
                explanation_add(&p->findings, PT_SEVERITY_WARNING, "effects-unknown", NULL, "plan again", NULL,
                                "what the host loses by it, and who has it open, is not known: %s", problem);
        if (p->takes)
                json_array_foreach(children, index, entry)
                        say_child(p, entry);
        json_array_foreach(holders, index, entry)
                say_holder(p, entry);
        if (!plan_record_has_blockers(p->record))
                explanation_add(&p->findings, PT_SEVERITY_NOTE, "reboot-not-needed", NULL, NULL, NULL, "no reboot is needed");
}

static void say_duration(Planning *p) {
        uint64_t usec;
        size_t runs;

        p->findings.topic = "duration";
        if (isempty(p->type) || duration_expected(p->m, p->verb->name, p->type, &usec, &runs) < 0)
                return;
        explanation_add(&p->findings, PT_SEVERITY_NOTE, "expected-duration", NULL, NULL,
                        json_pack("{s:I, s:I}", "usec", (json_int_t) usec, "runs", (json_int_t) runs),
                        "takes about %.*f s: the median of the last %zu of type %s", usec < 10000000 ? 2 : 0,
                        (double) usec / 1e6, runs, p->type);
}

/* ---- the answer ---- */

static void finish(PlanCall *call, json_t *children, json_t *holders, const char *problem) {
        Planning *p = &call->p;
        _cleanup_(json_decrefp) json_t *findings = NULL, *plan = NULL;
        _cleanup_fault_ Fault fault = { 0 };
        int r = 0;

        say_effects(p, children, holders, problem);
        say_duration(p);
        findings = explanation_sorted(&p->findings);
        if (findings)
                plan = json_pack("{s:O, s:O, s:O, s:s}", "choices", p->choices, "steps", p->steps, "findings", findings,
                                 "token", call->token);
        if (!plan)
                r = fault_oom(&fault);
        else
                plans_keep(p->m, call->token, TAKE_PTR(p->record));
        call->done(call->userdata, r, plan, &fault);
        plan_call_free(call);
}

static void on_usage(void *userdata, json_t *children, json_t *holders, const char *problem) {
        finish(userdata, children, holders, problem);
}

static int check_arguments(const PlanVerb *verb, json_t *objects, json_t *requests, Fault *fault) {
        size_t n = json_array_size(objects);

        if (verb->requests && n == 0 && json_array_size(requests) == 0)
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "a plan of %s needs requests or an allocation",
                                 verb->name);
        if (n > 1 || (!verb->requests && n == 0))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT, "a plan of %s is about one object, not %zu",
                                 verb->name, n);
        if (json_array_size(requests) > 0 && (n > 0 || !verb->requests))
                return fault_set(fault, -EINVAL, FAULT_INVALID_ARGUMENT,
                                 verb->requests ? "a plan of %s takes requests or an allocation, not both"
                                                : "a plan of %s takes no requests",
                                 verb->name);
        return 0;
}

static bool is_there(Manager *m, ObjectKind kind, const char *id) {
        if (kind == OBJECT_DEVICE)
                return inventory_find(m->inventory, id);
        if (kind == OBJECT_GROUP)
                return policy_find_group(m->policy, id);
        return manager_find_allocation(m, id);
}

static int find_object(Manager *m, const PlanVerb *verb, json_t *objects, const char **ret, Fault *fault) {
        static const FaultCode codes[_OBJECT_MAX] = {
                [OBJECT_DEVICE] = FAULT_UNKNOWN_DEVICE,
                [OBJECT_GROUP] = FAULT_UNKNOWN_GROUP,
                [OBJECT_ALLOCATION] = FAULT_UNKNOWN_ALLOCATION,
        };
        const char *id = json_string_value(json_array_get(objects, 0));

        if (id && !is_there(m, verb->kind, id))
                return fault_set(fault, -ENOENT, codes[verb->kind], "there is nothing with the id '%.64s' among the %s", id,
                                 object_kind_to_string(verb->kind));
        *ret = id;
        return 0;
}

static int planning_init(Planning *p, Manager *m, const PlanVerb *verb, json_t *requests) {
        *p = (Planning) {
                .m = m,
                .verb = verb,
                .requests = json_incref(requests),
                .choices = json_array(),
                .steps = json_array(),
                .findings = { .list = json_array() },
        };
        return p->choices && p->steps && p->findings.list ? plan_record_new(&p->record) : -ENOMEM;
}

int planning_check_token(Manager *m, const char *verb, const char *object, const char *token, Fault *fault) {
        const PlanVerb *found = plan_verb_find(verb, fault);
        _cleanup_fault_ Fault why = { 0 };
        char now[33] = "";
        Planning p;
        int r = planning_init(&p, m, found, NULL);

        if (r < 0)
                (void) fault_oom(fault);
        else {
                r = found->make(&p, object, &why);
                if (r >= 0)
                        (void) plan_record_token(p.record, now);
                r = streq(now, token) ? 0 : plan_changed(m, token, r < 0 ? NULL : p.record, "", r < 0 ? &why : NULL, fault);
        }
        planning_done(&p);
        return r;
}

static int plan_call_new(Manager *m, const PlanVerb *verb, json_t *requests, PlanDone done, void *userdata, PlanCall **ret,
                         Fault *fault) {
        PlanCall *call = calloc(1, sizeof(PlanCall));

        if (!call)
                return fault_oom(fault);
        call->done = done;
        call->userdata = userdata;
        if (planning_init(&call->p, m, verb, requests) < 0) {
                plan_call_free(call);
                return fault_oom(fault);
        }
        *ret = call;
        return 0;
}

int manager_plan_kind(const char *verb, ObjectKind *ret, Fault *fault) {
        const PlanVerb *found = plan_verb_find(verb, fault);

        if (!found)
                return -EINVAL;
        *ret = found->kind;
        return 0;
}

/* ---- what is slow to read ---- */

/* Why there is no plan; the caller is told either way. */
static int make(PlanCall *call, Fault *fault) {
        Planning *p = &call->p;
        const char *object = call->object[0] != '\0' ? call->object : NULL;
        int r;

        /* It may have gone meanwhile. */
        r = object && !is_there(p->m, p->verb->kind, object)
                    ? fault_set(fault, -ENOENT, FAULT_DEVICE_GONE, "%s is gone", object)
                    : p->verb->make(p, object, fault);
        if (r < 0)
                return r;
        (void) plan_record_token(p->record, call->token);
        if ((!p->nodes || !p->nodes[0]) && (!p->below || !p->below[0])) {
                finish(call, NULL, NULL, NULL);
                return 0;
        }
        r = usage_ask(p->m, (const char *const *) p->nodes, (const char *const *) p->below, on_usage, call);
        if (r < 0)
                finish(call, NULL, NULL, strerror(-r));
        return 0;
}

static void on_read(void *userdata) {
        _cleanup_fault_ Fault fault = { 0 };
        PlanCall *call = userdata;
        int r;

        if (--call->waiting > 0)
                return;
        r = call->p.m->stopping ? fault_set(&fault, -ESHUTDOWN, FAULT_NOT_READY, "the service is stopping")
                                : make(call, &fault);
        if (r < 0) {
                call->done(call->userdata, r, NULL, &fault);
                plan_call_free(call);
        }
}

static void read_for(PlanCall *call, const char *name) {
        Group *group = name ? policy_find_group_by_name(call->p.m->policy, name) : NULL;

        if (group)
                (void) observe_providers(call->p.m, group, &call->waiting, on_read, call);
}

/* Those who make the devices of the groups, as an activation does. */
static bool reads_providers(PlanCall *call) {
        const Allocation *a = call->p.verb->kind == OBJECT_ALLOCATION ? manager_find_allocation(call->p.m, call->object) : NULL;
        json_t *request;
        size_t i;

        if (!call->p.verb->requests)
                return false;
        call->waiting = 1;
        json_array_foreach(call->p.requests, i, request)
                read_for(call, json_string_value(json_object_get(request, "group")));
        for (i = 0; a && i < a->n_requests; i++)
                read_for(call, a->requests[i].group);
        return --call->waiting > 0; /* then on_read() goes on */
}

int manager_plan(Manager *m, const char *verb, json_t *objects, json_t *requests, json_t *options, PlanDone done,
                 void *userdata, Fault *fault) {
        _cleanup_(strv_freep) char **overrides = NULL;
        const JsonKey keys[] = { { "override", JSON_KEY_STRV, &overrides, 0, false }, { 0 } };
        const PlanVerb *found = plan_verb_find(verb, fault);
        const char *object = NULL;
        PlanCall *call = NULL;
        int r = found ? json_parse_object(options, keys, "the options of Plan", FAULT_UNKNOWN_OPTION, fault) : -EINVAL;

        if (r >= 0)
                r = check_arguments(found, objects, requests, fault);
        if (r >= 0)
                r = find_object(m, found, objects, &object, fault);
        if (r >= 0)
                r = plan_call_new(m, found, requests, done, userdata, &call, fault);
        if (r < 0)
                return r;
        call->overrides = TAKE_PTR(overrides);
        call->p.overrides = (const char *const *) call->overrides;
        (void) snprintf(call->object, sizeof(call->object), "%s", strempty(object));
        if (reads_providers(call))
                return 0;
        r = make(call, fault);
        if (r < 0)
                plan_call_free(call);
        return r;
}
