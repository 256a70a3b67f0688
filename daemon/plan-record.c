/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan-record.h"

#include <inttypes.h>
#include <stdio.h>

#include "json-util.h"

#define PLANS_MAX 64u
#define DIFFERENCES_MAX 4u /* that are told */

/* Each part: [{key, text, …}…]; the keys are what the token is made of. */
struct PlanRecord {
        json_t *choices; /* with request and device */
        json_t *steps;
        json_t *blockers;
        char token[33];
        PlanRecord *next; /* of those that are kept, newest first */
};

PlanRecord *plan_record_free(PlanRecord *record) {
        if (!record)
                return NULL;
        json_decref(record->choices);
        json_decref(record->steps);
        json_decref(record->blockers);
        free(record);
        return NULL;
}

int plan_record_new(PlanRecord **ret) {
        _cleanup_(plan_record_freep) PlanRecord *record = calloc(1, sizeof(PlanRecord));

        if (!record)
                return -ENOMEM;
        record->choices = json_array();
        record->steps = json_array();
        record->blockers = json_array();
        if (!record->choices || !record->steps || !record->blockers)
                return -ENOMEM;
        *ret = TAKE_PTR(record);
        return 0;
}

static char *bundle_key(const Assignment *item) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        (void) fprintf(f, "%zu %s", item->request, item->device->id);
        for (size_t i = 0; item->bundle[i]; i++)
                (void) fprintf(f, " %s=%s", item->bundle[i]->id, strempty(item->bundle[i]->driver));
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

void plan_record_choices(PlanRecord *record, const Allocation *a, const AssignmentList *list) {
        for (size_t i = 0; i < list->n_items; i++) {
                const Assignment *item = &list->items[i];
                _cleanup_free_ char *key = bundle_key(item);

                if (key)
                        (void) json_array_append_new(record->choices,
                                                     json_pack("{s:s, s:s, s:s, s:s}", "key", key, "request",
                                                               a->requests[item->request].name, "device", item->device->id,
                                                               "text", item->device->host->sysname));
        }
}

void plan_record_steps(PlanRecord *record, const Plan *plan) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PtStep *step = &plan->steps[i];
                _cleanup_free_ char *key = NULL;

                /* Who will own a node is the consumer's matter, and not yet known when requests are planned; nor is what a mediated
                 * device is called, and what else is made of that name. */
                if (asprintf(&key, "%s %s %s %s", step_kind_to_string(step->kind), strempty(step->device),
                             strempty(step->name), step->kind == PT_STEP_CREATE_MDEV || step->flags & PT_STEP_OF_UUID ? "" : strempty(step->value)) < 0)
                        key = NULL;
                else
                        (void) json_array_append_new(record->steps,
                                                     json_pack("{s:s, s:s}", "key", key, "text", step->sentence));
        }
}

void plan_record_blocker(PlanRecord *record, const char *code, const char *about, const char *text) {
        _cleanup_free_ char *key = NULL;

        if (asprintf(&key, "%s %s", code, strempty(about)) < 0)
                key = NULL;
        else
                (void) json_array_append_new(record->blockers, json_pack("{s:s, s:s}", "key", key, "text", text));
}

bool plan_record_has_blockers(const PlanRecord *record) {
        return json_array_size(record->blockers) > 0;
}

/* ---- the token ---- */

/* FNV-1a and a mix of its own beside it: they guard against a changed world, not against an adversary. */
static void digest(uint64_t hash[2], const char *text) {
        for (const char *c = strempty(text);; c++) {
                hash[0] = (hash[0] ^ (uint8_t) *c) * UINT64_C(0x100000001b3);
                hash[1] = (hash[1] + (uint8_t) *c) * UINT64_C(0x9E3779B97F4A7C15) ^ (hash[1] >> 29);
                if (*c == '\0')
                        return;
        }
}

static const char *key_of(json_t *entry) {
        return strempty(json_string_value(json_object_get(entry, "key")));
}

static const char *text_of(json_t *entry) {
        return strempty(json_string_value(json_object_get(entry, "text")));
}

int plan_record_token(const PlanRecord *record, char ret[static 33]) {
        uint64_t hash[2] = { UINT64_C(0xcbf29ce484222325), UINT64_C(0x243f6a8885a308d3) };
        json_t *const parts[] = { record->choices, record->steps, record->blockers };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                json_t *entry;
                size_t index;

                digest(hash, "part");
                json_array_foreach(parts[i], index, entry)
                        digest(hash, key_of(entry));
        }
        (void) snprintf(ret, 33, "%016" PRIx64 "%016" PRIx64, hash[0], hash[1]);
        return 0;
}

/* ---- those that are kept ---- */

void plans_keep(Manager *m, const char *token, PlanRecord *record) {
        size_t n = 0;

        (void) snprintf(record->token, sizeof(record->token), "%s", token);
        for (PlanRecord **p = &m->plans; *p;) {
                PlanRecord *old = *p;

                if (!streq(old->token, token) && ++n < PLANS_MAX) {
                        p = &old->next;
                        continue;
                }
                *p = old->next;
                plan_record_free(old);
        }
        record->next = m->plans;
        m->plans = record;
}

PlanRecord *plans_find(Manager *m, const char *token) {
        PlanRecord *record = m->plans;

        while (record && !streq(record->token, token))
                record = record->next;
        return record;
}

void plans_free(Manager *m) {
        while (m->plans) {
                PlanRecord *record = m->plans;

                m->plans = record->next;
                plan_record_free(record);
        }
}

/* ---- what changed ---- */

static json_t *find_entry(json_t *part, const char *key) {
        json_t *entry;
        size_t index;

        json_array_foreach(part, index, entry)
                if (streq(key_of(entry), key))
                        return entry;
        return NULL;
}

typedef struct Differences {
        FILE *f;
        size_t n;
} Differences;

static void tell(Differences *d, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(Differences *d, const char *format, ...) {
        va_list arguments;

        if (d->n++ >= DIFFERENCES_MAX)
                return;
        if (d->n > 1)
                (void) fputs("; ", d->f);
        va_start(arguments, format);
        (void) vfprintf(d->f, format, arguments);
        va_end(arguments);
}

static bool same_device(json_t *part, json_t *entry) {
        const char *device = json_string_value(json_object_get(entry, "device"));
        json_t *other;
        size_t index;

        json_array_foreach(part, index, other)
                if (streq(strempty(json_string_value(json_object_get(other, "device"))), strempty(device)))
                        return true;
        return false;
}

/* The n-th of the new choices of that request which the plan did not have. */
static const char *instead(const PlanRecord *then, const PlanRecord *now, const char *request, size_t n) {
        json_t *entry;
        size_t index;

        json_array_foreach(now->choices, index, entry)
                if (streq(strempty(json_string_value(json_object_get(entry, "request"))), request) &&
                    !same_device(then->choices, entry) && n-- == 0)
                        return text_of(entry);
        return NULL;
}

static void compare_choices(const PlanRecord *then, const PlanRecord *now, Differences *d) {
        size_t index, n = 0;
        json_t *entry;

        json_array_foreach(then->choices, index, entry) {
                const char *request = strempty(json_string_value(json_object_get(entry, "request")));

                if (find_entry(now->choices, key_of(entry)))
                        continue;
                if (same_device(now->choices, entry))
                        tell(d, "what moves along with %s, or the driver of it, is different now", text_of(entry));
                else
                        tell(d, "for request '%s' %s was chosen, now %s", request, text_of(entry),
                             instead(then, now, request, n++) ?: "nothing");
        }
        if (json_array_size(now->choices) > json_array_size(then->choices))
                tell(d, "%zu devices would be chosen, not %zu", json_array_size(now->choices),
                     json_array_size(then->choices));
}

static void compare_part(json_t *then, json_t *now, const char *added, const char *removed, Differences *d) {
        json_t *entry;
        size_t index;

        json_array_foreach(now, index, entry)
                if (!find_entry(then, key_of(entry)))
                        tell(d, "%s: %s", added, text_of(entry));
        json_array_foreach(then, index, entry)
                if (!find_entry(now, key_of(entry)))
                        tell(d, "%s: %s", removed, text_of(entry));
}

/* Nothing can be done any more: what stands against the devices that the plan chose. */
static void compare_with_host(Manager *m, const PlanRecord *then, const char *holder, const Fault *why, Differences *d) {
        json_t *entry;
        size_t index;

        json_array_foreach(then->choices, index, entry) {
                _cleanup_findings_ FindingList findings = { 0 };
                const char *id = strempty(json_string_value(json_object_get(entry, "device")));
                Device *device = inventory_find(m->inventory, id);

                if (!device)
                        tell(d, "%s, which was chosen, is gone", text_of(entry));
                else if (!device_eligible(m, device, holder, NULL, &findings))
                        tell(d, "%s, which was chosen, cannot be had now: %s", text_of(entry),
                             finding_first_blocker(&findings)->text);
        }
        if (d->n == 0)
                tell(d, "%s", strempty(why->message));
}

int plan_changed(Manager *m, const char *token, const PlanRecord *now, const char *holder, const Fault *why, Fault *fault) {
        const PlanRecord *then = plans_find(m, token);
        _cleanup_free_ char *text = NULL;
        Differences d = { 0 };
        size_t size;

        if (!then)
                return fault_set(fault, -ESTALE, FAULT_PLAN_CHANGED,
                                 "what would be done is not what the plan %.32s said; in which respect is not known any more: "
                                 "only the last %u plans since the start of the service are remembered. Plan again%s%s",
                                 token, PLANS_MAX, why ? ". Now: " : "", why ? strempty(why->message) : "");
        d.f = open_memstream(&text, &size);
        if (!d.f)
                return fault_oom(fault);
        if (now) {
                compare_choices(then, now, &d);
                compare_part(then->steps, now->steps, "a step that the plan did not have", "a step of the plan that is not needed now", &d);
                compare_part(then->blockers, now->blockers, "in the way now", "no longer in the way", &d);
                if (d.n == 0)
                        tell(&d, "the order of choices or steps is another one");
        } else
                compare_with_host(m, then, holder, why, &d);
        if (d.n > DIFFERENCES_MAX)
                (void) fprintf(d.f, "; and %zu more", d.n - DIFFERENCES_MAX);
        if (fclose(d.f) != 0)
                return fault_oom(fault);
        return fault_set_object(fault, -ESTALE, FAULT_PLAN_CHANGED, json_string_value(json_object_get(
                                                                            json_array_get(then->choices, 0), "device")),
                                "%s. Plan again", text);
}
