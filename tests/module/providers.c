/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Providers: the layout for the demands that the tree states, the steps that make it, what more could be made. A demand is
 * written as the values of the group's settings and, by the name of a field, the range of numbers that its rules take:
 *
 *   demand nics = vfs=4 vf-index=0-3 */

#include <stdio.h>

#include "harness.h"
#include "lib/parse.h"
#include "lib/schema.h"

#define DEMANDS_MAX 8

static Harness *harness_of(PtContext *ctx) {
        return (Harness *) ctx;
}

static int svc_put_provider(PtContext *ctx, const char *provider) {
        Harness *h = harness_of(ctx);

        if (!id_is_valid(provider))
                harness_fail(h, "names a provider that is no id");
        (void) snprintf(h->current->provider, sizeof(h->current->provider), "%s", provider);
        (void) fprintf(h->out, "%sprovided by %s\n", h->indent, provider);
        return 0;
}

/* The value behind NAME= in the text of the demand; false when it is not there. */
static bool word_of(const Harness *h, const PtDemand *demand, const char *name, char *buffer, size_t size) {
        const char *text = tree_pair(h->tree->demands, demand->group);
        size_t n = strlen(name);

        for (const char *p = text; p && *p; p += strcspn(p, " ") + (p[strcspn(p, " ")] != '\0'))
                if (strncmp(p, name, n) == 0 && p[n] == '=') {
                        (void) snprintf(buffer, size, "%.*s", (int) strcspn(p + n + 1, " "), p + n + 1);
                        return true;
                }
        return false;
}

static int svc_get_demand_setting(PtContext *ctx, const PtDemand *demand, const char *name, PtValue *ret) {
        Harness *h = harness_of(ctx);
        const PtSetting *setting = schema_find_setting(h->module->settings, name);
        _cleanup_fault_ Fault fault = { 0 };
        char text[256];
        int r;

        if (!setting) {
                harness_fail(h, "asks for its setting %s, which it does not have", name);
                return -ENOENT;
        }
        value_done(&h->setting);
        r = schema_parse_setting(setting, word_of(h, demand, name, text, sizeof(text)) ? text : setting->default_text,
                                 &h->setting, &fault);
        if (r < 0)
                harness_fail(h, "%s", fault.message);
        else
                *ret = h->setting;
        return r;
}

static int svc_demand_accepts(PtContext *ctx, const PtDemand *demand, const char *field, const PtValue *value) {
        Harness *h = harness_of(ctx);
        int index = schema_find_field(h->module->fields, field), low, high;
        char text[256];

        if (index < 0 || h->module->fields[index].type != value->type) {
                harness_fail(h, "asks about its field %s, which is another or none", field);
                return -EINVAL;
        }
        if (!word_of(h, demand, field, text, sizeof(text)))
                return 1;
        if (sscanf(text, "%d-%d", &low, &high) != 2) {
                harness_fail(h, "cannot be tested with the range %s", text);
                return -EINVAL;
        }
        return value->i >= low && value->i <= high;
}

static int svc_put_layout(PtContext *ctx, const char *name, const PtValue *value) {
        Harness *h = harness_of(ctx);
        _cleanup_free_ char *text = NULL;

        if (h->n_layout >= HARNESS_LAYOUT_MAX || value->type == PT_STRV || value_format(value, &text) < 0) {
                harness_fail(h, "puts too much, or a list, into a layout");
                return -EINVAL;
        }
        (void) snprintf(h->layout[h->n_layout].name, sizeof(h->layout[0].name), "%s", name);
        if (value_copy(value, &h->layout[h->n_layout].value) < 0)
                return -ENOMEM;
        h->n_layout++;
        (void) fprintf(h->out, "%s%s = %s\n", h->indent, name, text);
        return 0;
}

static int svc_put_slots(PtContext *ctx, uint32_t count) {
        Harness *h = harness_of(ctx);

        if (count > SLOTS_MAX)
                harness_fail(h, "says that there are more slots than there may be");
        (void) fprintf(h->out, "%s  slots %u\n", h->indent, count);
        return 0;
}

static int svc_put_room(PtContext *ctx, const PtDemand *demand, uint32_t total, uint32_t available) {
        Harness *h = harness_of(ctx);

        if (available > total)
                harness_fail(h, "has more room left than there is");
        (void) fprintf(h->out, "%sroom for %s: %u, %u now\n", h->indent, demand->group, total, available);
        return 0;
}

static int svc_put_size(PtContext *ctx, const PtDemand *demand, const char *name, uint32_t size) {
        Harness *h = harness_of(ctx);

        (void) fprintf(h->out, "%sone for %s is \"%s\", %u\n", h->indent, demand->group, name, size);
        return 0;
}

static int svc_put_profile(PtContext *ctx, const char *profile, const char *name, const PtValue *value) {
        Harness *h = harness_of(ctx);
        _cleanup_free_ char *text = NULL;

        if (value_format(value, &text) < 0)
                return -ENOMEM;
        (void) fprintf(h->out, "%s  %s = %s\n", h->indent, name, text);
        return 0;
}

static int svc_put_capacity(PtContext *ctx, const char *profile, uint32_t remaining) {
        Harness *h = harness_of(ctx);

        (void) fprintf(h->out, "%scould make %u more of \"%s\"\n", h->indent, remaining, profile);
        return 0;
}

static int svc_get_layout(PtContext *ctx, const char *name, PtValue *ret) {
        Harness *h = harness_of(ctx);

        for (size_t i = 0; i < h->n_layout; i++)
                if (streq(h->layout[i].name, name)) {
                        *ret = h->layout[i].value;
                        return 0;
                }
        return -ENODATA; /* a value that this layout does not need */
}

void harness_fill_provider_services(Harness *h) {
        h->services.put_provider = svc_put_provider;
        h->services.put_slots = svc_put_slots;
        h->services.get_demand_setting = svc_get_demand_setting;
        h->services.demand_accepts = svc_demand_accepts;
        h->services.put_layout = svc_put_layout;
        h->services.put_capacity = svc_put_capacity;
        h->services.put_room = svc_put_room;
        h->services.put_size = svc_put_size;
        h->services.put_profile = svc_put_profile;
}

static void forget_layout(Harness *h) {
        while (h->n_layout > 0)
                value_done(&h->layout[--h->n_layout].value);
}

/* In the order of the file, which the pairs are in reverse of. */
static void read_demands(const Harness *h, PtDemand *demands, const PtDemand **list) {
        size_t n = 0, i = 0;

        for (const TreePair *pair = h->tree->demands; pair && n < DEMANDS_MAX; pair = pair->next)
                n++;
        list[n] = NULL;
        for (const TreePair *pair = h->tree->demands; i < n; pair = pair->next, i++) {
                demands[n - 1 - i] =
                        (PtDemand){ .struct_size = sizeof(PtDemand), .group = pair->key, .group_name = pair->key };
                list[n - 1 - i] = &demands[n - 1 - i];
        }
}

static void plan_layout(Harness *h, HarnessDevice *d) {
        int (*settings)(PtContext *, const char *, PtValue *) = h->services.get_setting;
        const PtDevice *bundle[] = { &d->device, NULL };
        PtRequest request = {
                .struct_size = sizeof(PtRequest),
                .verb = PT_VERB_PROVISION,
                .device = &d->device,
                .bundle = bundle,
        };
        int r;

        (void) fprintf(h->out, "  provision\n");
        plan_done(&h->plan);
        h->services.get_setting = svc_get_layout;
        harness_enter(h, HARNESS_SERVICE, "provision", d);
        r = h->module->plan(&h->ctx, &request);
        h->services.get_setting = settings;
        if (r < 0)
                (void) fprintf(h->out, "    error %s\n", strerrorname_np(-r));
}

void harness_provide(Harness *h, HarnessDevice *d) {
        const PtDemand *list[DEMANDS_MAX + 1];
        PtDemand demands[DEMANDS_MAX];
        int r;

        (void) fprintf(h->out, "%s\n  layout\n", d->id);
        h->indent = "    ";
        harness_enter(h, HARNESS_SERVICE, "layout", d);
        read_demands(h, demands, list);
        r = h->module->layout(&h->ctx, &d->device, list);
        if (r < 0)
                (void) fprintf(h->out, "    error %s\n", strerrorname_np(-r));
        else if (h->n_layout > 0)
                plan_layout(h, d);
        forget_layout(h);
        (void) fprintf(h->out, "  capacity\n");
        harness_enter(h, HARNESS_SERVICE, "capacity", d);
        r = h->module->capacity(&h->ctx, &d->device);
        if (r < 0)
                (void) fprintf(h->out, "    error %s\n", strerrorname_np(-r));
}
