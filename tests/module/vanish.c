/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Devices that vanish between any two reads. Every op is run on every device once undisturbed, and then once for each of its
 * reads: from that read on nothing can be read any more (the device is gone), or that one read alone fails (one attribute
 * is). Then
 *
 * - plan() and guest() say the same as when undisturbed, or fail: half a plan is never one;
 * - follow() says the same, or that this is not the device;
 * - what was no device for guests is none now either, unless check() has a blocker against it;
 * - identities are a part of those of the undisturbed device: none is made up;
 * - every failure has an errno that says that something is not there. */

#include <stdlib.h>

#include "harness.h"
#include "lib/schema.h"

typedef struct Vanish {
        Harness *h;
        HarnessDevice *d;
        PtRequest request;
        const char *conditions[16], *kinds[16];
        PtFormer former;
        unsigned runs;
} Vanish;

typedef int (*Call)(Vanish *v);

static int call_describe(Vanish *v) {
        return v->h->module->describe(&v->h->ctx, &v->d->device);
}

static int call_uses(Vanish *v) {
        return v->h->module->uses(&v->h->ctx, &v->d->device);
}

static int call_identity(Vanish *v) {
        return v->h->module->identity ? v->h->module->identity(&v->h->ctx, &v->d->device) : 0;
}

static int call_check(Vanish *v) {
        return v->h->module->check ? v->h->module->check(&v->h->ctx, &v->d->device, NULL) : 0;
}

static int call_check_request(Vanish *v) {
        return v->h->module->check ? v->h->module->check(&v->h->ctx, &v->d->device, &v->request) : 0;
}

static int call_plan(Vanish *v, PtVerb verb) {
        plan_done(&v->h->plan);
        v->request.verb = verb;
        return v->h->module->plan(&v->h->ctx, &v->request);
}

static int call_activate(Vanish *v) {
        return call_plan(v, PT_VERB_ACTIVATE);
}

static int call_follow_steps(Vanish *v) {
        return call_plan(v, PT_VERB_FOLLOW);
}

static int call_deactivate(Vanish *v) {
        return call_plan(v, PT_VERB_DEACTIVATE);
}

static int call_reset(Vanish *v) {
        return call_plan(v, PT_VERB_RESET);
}

static int call_guest(Vanish *v) {
        v->request.verb = PT_VERB_ACTIVATE;
        return v->h->module->guest(&v->h->ctx, &v->request);
}

static int call_follow(Vanish *v) {
        return v->h->module->follow ? v->h->module->follow(&v->h->ctx, &v->d->device, &v->former) : -ENODEV;
}

static int call_observe(Vanish *v) {
        return v->h->module->observe ? v->h->module->observe(&v->h->ctx, &v->d->device) : 0;
}

typedef enum Promise {
        NOTHING,   /* it does not crash, and breaks no rule of the interface */
        THE_SAME,  /* or a failure */
        A_PART,    /* each line is one of the undisturbed ones */
        NOT_IT,    /* the same, a failure or a blocker */
} Promise;

static const struct {
        const char *name;
        Call call;
        HarnessMode mode;
        Promise promise;
} OPS[] = {
        { "describe", call_describe, HARNESS_SERVICE, NOTHING },
        { "uses", call_uses, HARNESS_SERVICE, THE_SAME },
        { "identity", call_identity, HARNESS_SERVICE, A_PART },
        { "check", call_check, HARNESS_SERVICE, NOTHING },
        { "check of a request", call_check_request, HARNESS_SERVICE, NOTHING },
        { "activate", call_activate, HARNESS_SERVICE, THE_SAME },
        { "steps of follow", call_follow_steps, HARNESS_SERVICE, THE_SAME },
        { "deactivate", call_deactivate, HARNESS_SERVICE, THE_SAME },
        { "reset", call_reset, HARNESS_SERVICE, THE_SAME },
        { "guest", call_guest, HARNESS_SERVICE, THE_SAME },
        { "follow", call_follow, HARNESS_SERVICE, NOT_IT },
        { "observe", call_observe, HARNESS_WORKER, NOTHING },
};

/* What the op says, without the sentences of its steps: those may say less. The caller frees it. */
static int say(Vanish *v, size_t op, char **ret) {
        FILE *before = v->h->out;
        char *text = NULL;
        size_t size = 0;
        int r;

        v->h->out = open_memstream(&text, &size);
        if (!v->h->out)
                abort();
        v->h->reads = 0;
        v->runs++;
        harness_enter(v->h, OPS[op].mode, OPS[op].name, v->d);
        r = OPS[op].call(v);
        (void) fclose(v->h->out);
        v->h->out = before;
        for (char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
                char *colon = memmem(line, strcspn(line, "\n"), ": ", 2);
                size_t rest = colon ? strcspn(colon, "\n") : 0;

                if (colon && v->h->plan.n_steps > 0 && strchr("0123456789", *line))
                        memset(colon, ' ', rest);
        }
        for (char *p = text, *to = text; text; p++) { /* blanks that memset() left before a line's end */
                if (*p == ' ' && p[strspn(p, " ")] == '\n')
                        continue;
                *to++ = *p;
                if (*p == '\0')
                        break;
        }
        *ret = text;
        return r;
}

static bool is_part(const char *text, const char *whole) {
        while (*text) {
                size_t n = strcspn(text, "\n") + 1;

                if (!memmem(whole, strlen(whole), text, n))
                        return false;
                text += n;
        }
        return true;
}

static bool says_that_it_is_gone(int error) {
        return error == -ENOENT || error == -ENODEV || error == -ENXIO || error == -EOPNOTSUPP;
}

static bool is_kept(Promise promise, int r, const char *text, int whole_r, const char *whole) {
        switch (promise) {
        case NOTHING:
                return true;
        case THE_SAME:
                return r < 0 || streq(text, whole);
        case A_PART:
                return is_part(text, whole);
        case NOT_IT:
                return r < 0 || strstr(text, "blocker ") || (r == whole_r && streq(text, whole));
        }
        return false;
}

/* A hub whose class cannot be read looks like a device: then there is a blocker. */
static void check_role(Vanish *v, uint32_t role, unsigned at) {
        char *text;
        size_t check = 0;

        if (role == PT_ROLE_OFFER || v->d->role != PT_ROLE_OFFER)
                return;
        while (OPS[check].call != call_check)
                check++;
        (void) say(v, check, &text);
        if (!strstr(text, "blocker "))
                harness_fail(v->h, "it is offered, and was not, when read %u fails", at);
        free(text);
}

static void disturb(Vanish *v, size_t op, unsigned at, int whole_r, const char *whole) {
        uint32_t role = v->d->role;
        char *text;
        int r;

        v->h->vanish_at = at;
        r = say(v, op, &text);
        if (r < 0 && !says_that_it_is_gone(r))
                harness_fail(v->h, "fails with %s when read %u%s says %s", strerrorname_np(-r), at,
                             v->h->vanish_for_good ? " and all after it" : "", strerrorname_np(-v->h->vanish_error));
        if (!is_kept(OPS[op].promise, r, text, whole_r, whole))
                harness_fail(v->h, "when read %u%s says %s, it says\n%sin place of\n%s", at,
                             v->h->vanish_for_good ? " and all after it" : "", strerrorname_np(-v->h->vanish_error), text,
                             whole);
        if (OPS[op].call == call_describe && r >= 0)
                check_role(v, role, at);
        v->h->vanish_at = 0;
        v->d->role = role;
        free(text);
}

static void vanish_in(Vanish *v, size_t op) {
        static const int errors[] = { -ENOENT, -ENODEV };
        char *whole;
        unsigned n;
        int r;

        v->h->vanish_at = 0;
        r = say(v, op, &whole);
        n = v->h->reads;
        for (unsigned at = 1; at <= n; at++)
                for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                        for (int for_good = 0; for_good < 2; for_good++) {
                                v->h->vanish_error = errors[i];
                                v->h->vanish_for_good = for_good;
                                disturb(v, op, at, r, whole);
                        }
        free(whole);
}

/* What it was before it vanished is what it is now: its identities, from what identity() says. */
static char *remember(Vanish *v) {
        size_t identity = 0, n = 0;
        char *text, *state = NULL;

        while (OPS[identity].call != call_identity)
                identity++;
        (void) say(v, identity, &text);
        for (char *line = strtok_r(text, "\n", &state); line && n + 1 < ELEMENTSOF(v->kinds); line = strtok_r(NULL, "\n", &state)) {
                char *kind = strchr(line + strlen("identity "), ' '), *condition = strstr(line, ": "),
                     *end = strstr(line, " (broken by ");

                if (!kind || !condition || !end)
                        continue;
                *condition = *end = '\0';
                v->kinds[n] = kind + 1;
                v->conditions[n++] = condition + 2;
        }
        v->kinds[n] = v->conditions[n] = NULL;
        v->former = (PtFormer) { .struct_size = sizeof(v->former), .same_place = 1, .conditions = v->conditions, .kinds = v->kinds };
        return text;
}

int harness_vanish(Harness *h) {
        unsigned runs = 0;

        h->indent = "";
        for (size_t i = 0; i < h->n_devices; i++) {
                const PtDevice *bundle[] = { &h->devices[i].device, NULL };
                Vanish v = { .h = h, .d = h->devices + i,
                             .request = { .struct_size = sizeof(PtRequest), .device = bundle[0], .bundle = bundle,
                                          .uid = 1001, .gid = 1001 } };
                char *text;

                if (!h->devices[i].offered)
                        continue;
                /* The role, and what the other ops ask of the service's memory. */
                harness_enter(h, HARNESS_SERVICE, "describe", v.d);
                if (h->module->describe(&h->ctx, &v.d->device) < 0)
                        continue;
                text = remember(&v);
                for (size_t op = 0; op < ELEMENTSOF(OPS); op++)
                        vanish_in(&v, op);
                free(text);
                runs += v.runs;
        }
        (void) fprintf(stderr, "# %u runs\n", runs);
        if (runs == 0)
                harness_fail(h, "there is nothing that could vanish");
        return 0;
}
