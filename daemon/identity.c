/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "identity.h"

#include <stdio.h>

#include "json-util.h"
#include "lib/driver.h"
#include "lib/value-util.h"
#include "observe.h"
#include "provider.h"

/* Below it a field says what model a device is, or nothing but its place; from it on to the own ones it is evidence for a
 * place ("the card in slot 3"), which matters only where nothing of the device's own is known. */
#define PLACE_EVIDENCE_STRENGTH 40

/* ---- the record ---- */

/* The text of a field that is known and not empty, else NULL. */
static char *field_text(const Device *device, unsigned field) {
        char *text = NULL;
        PtValue value;

        if (device_get_field(device, field, &value) < 0 || value_format(&value, &text) < 0)
                return NULL;
        if (isempty(text)) {
                free(text);
                return NULL;
        }
        return text;
}

static int note_field(const Device *device, unsigned field, json_int_t strength, json_t *fields, json_t *strengths) {
        const char *name = device->module->descriptor->fields[field].name;
        json_t *weaker = json_object_get(strengths, name);
        _cleanup_free_ char *text = NULL;

        if (weaker && json_integer_value(weaker) <= strength)
                return 0;
        text = field_text(device, field);
        if (!text)
                return 0;
        return json_object_set_new(fields, name, json_string(text)) < 0 ||
                               json_object_set_new(strengths, name, json_integer(strength)) < 0
                       ? -ENOMEM
                       : 0;
}

/* The fields that one identity names. One that can't be read as a condition names none. */
static int note_identity(const Device *device, json_t *identity, json_t *fields, json_t *strengths) {
        _cleanup_(conditions_freep) ConditionList *where = NULL;
        const char *text = json_string_value(json_object_get(identity, "condition"));
        json_int_t strength = json_integer_value(json_object_get(identity, "strength"));
        const PtField *table = device->module->descriptor->fields;
        uint64_t named;
        int r = 0;

        if (isempty(text) || conditions_from_text(text, device->module, &where, NULL) < 0)
                return 0;
        /* A provider is recognised by what rules ask of providers. */
        named = device->role == PT_ROLE_PROVIDER ? conditions_provider_fields(where) : conditions_fields(where);
        for (unsigned i = 0; table[i].name && r >= 0; i++)
                if ((named & (UINT64_C(1) << i)) && !(table[i].flags & PT_FIELD_VOLATILE))
                        r = note_field(device, i, strength, fields, strengths);
        return r;
}

int identity_record(Manager *m, Device *device, json_t *chosen, json_t **ret, Fault *fault) {
        static const char *const keys[] = { "kind", "strength", "condition", "breaks" };
        _cleanup_(json_decrefp) json_t *identities = NULL, *fields = json_object(), *strengths = json_object();
        json_t *record, *identity;
        size_t index;
        int r = fields && strengths ? inventory_identities(m->inventory, device, &identities, fault) : -ENOMEM;

        json_array_foreach(identities, index, identity)
                if (r >= 0)
                        r = note_identity(device, identity, fields, strengths);
        if (r < 0)
                return r == -ENOMEM ? fault_oom(fault) : r;
        record = json_pack("{s:s, s:s, s:O, s:O}", "device", device->id, "name", device->name, "fields", fields,
                           "strengths", strengths);
        for (size_t i = 0; record && i < ELEMENTSOF(keys); i++)
                if (json_object_get(chosen, keys[i]))
                        (void) json_object_set(record, keys[i], json_object_get(chosen, keys[i]));
        if (!record)
                return fault_oom(fault);
        *ret = record;
        return 0;
}

int identity_rule_body(Manager *m, Device *device, json_t **ret, Fault *fault) {
        _cleanup_(json_decrefp) json_t *identity = NULL, *record = NULL;
        char strength[64];
        int r = policy_identify(m->policy, device, &identity, fault);

        if (r >= 0)
                r = identity_record(m, device, identity, &record, fault);
        if (r < 0)
                return r;
        snprintf(strength, sizeof(strength), "%s (%d)", strempty(json_string_value(json_object_get(identity, "kind"))),
                 (int) json_integer_value(json_object_get(identity, "strength")));
        *ret = json_pack("{s:s, s:s, s:s, s:O, s:O}", "name", device->name, "origin", "auto", "strength", strength, "where",
                         json_object_get(identity, "condition"), "identity", record);
        return *ret ? 0 : fault_oom(fault);
}

/* ---- the comparison ---- */

static json_int_t strength_of(json_t *record, const char *field) {
        return json_integer_value(json_object_get(json_object_get(record, "strengths"), field));
}

/* 0: the same, 1: another value, -1: not known now. `ret_now` borrows from nobody. */
static int compare_field(const Device *device, const char *field, const char *was, char **ret_now) {
        const PtField *table = device->module->descriptor->fields;

        for (unsigned i = 0; table[i].name; i++) {
                char *now;

                if (!streq(table[i].name, field))
                        continue;
                now = field_text(device, i);
                if (!now)
                        return -1;
                if (streq(now, was)) {
                        free(now);
                        return 0;
                }
                *ret_now = now;
                return 1;
        }
        return -1;
}

/* A serial number that is known and the same: then a slot that has another name now was renamed. */
static bool has_same_own(json_t *record, const Device *device) {
        bool same = false;
        const char *field;
        json_t *was;

        json_object_foreach(json_object_get(record, "fields"), field, was) {
                _cleanup_free_ char *now = NULL;
                int r;

                if (strength_of(record, field) < IDENTITY_OWN_STRENGTH)
                        continue;
                r = compare_field(device, field, json_string_value(was), &now);
                if (r > 0)
                        return false;
                same |= r == 0;
        }
        return same;
}

/* Writes what differs to the streams; how many fields. */
static size_t write_differences(json_t *record, const Device *device, FILE *values, FILE *names) {
        bool own = has_same_own(record, device);
        const char *field;
        size_t n = 0;
        json_t *was;

        json_object_foreach(json_object_get(record, "fields"), field, was) {
                json_int_t strength = strength_of(record, field);
                _cleanup_free_ char *now = NULL;

                if (own && strength >= PLACE_EVIDENCE_STRENGTH && strength < IDENTITY_OWN_STRENGTH)
                        continue;
                if (compare_field(device, field, json_string_value(was), &now) <= 0)
                        continue;
                (void) fprintf(values, "%s%s was %s and is %s", n > 0 ? ", " : "", field, json_string_value(was), now);
                (void) fprintf(names, "%s%s", n > 0 ? ", " : "", field);
                n++;
        }
        return n;
}

bool identity_differs(json_t *record, const Device *device, char **ret_text, char **ret_fields) {
        _cleanup_free_ char *values = NULL, *names = NULL;
        size_t values_size = 0, names_size = 0, n;
        FILE *v, *f;

        if (!streq(strempty(json_string_value(json_object_get(record, "device"))), device->id))
                return false;
        v = open_memstream(&values, &values_size);
        f = open_memstream(&names, &names_size);
        n = v && f ? write_differences(record, device, v, f) : 0;
        if (v)
                (void) fclose(v);
        if (f)
                (void) fclose(f);
        if (n == 0)
                return false;
        if (ret_text && asprintf(ret_text, "%s is recorded at %s, but %s is there now (%s)",
                                 strempty(json_string_value(json_object_get(record, "name"))), device->host->sysname,
                                 streq(strempty(json_string_value(json_object_get(record, "name"))), device->name)
                                         ? "another one"
                                         : device->name,
                                 values) < 0)
                *ret_text = NULL;
        if (ret_fields)
                *ret_fields = TAKE_PTR(names);
        return true;
}

/* Something of the device's own was recorded, and its reading is under way. */
static bool is_being_read(json_t *record, const Device *device) {
        const char *field;
        json_t *was;

        if (device->slow != SLOW_READING)
                return false;
        json_object_foreach(json_object_get(record, "fields"), field, was) {
                _cleanup_free_ char *now = NULL;

                if (strength_of(record, field) >= IDENTITY_OWN_STRENGTH &&
                    compare_field(device, field, json_string_value(was), &now) < 0)
                        return true;
        }
        return false;
}

static void check_record(json_t *record, const Device *device, const char *culprit, const char *remedy,
                         FindingList *findings) {
        _cleanup_free_ char *text = NULL;

        if (identity_differs(record, device, &text, NULL))
                (void) finding_add(findings, PT_SEVERITY_BLOCKER, "identity-changed", culprit, remedy, "%s", strempty(text));
        else if (is_being_read(record, device))
                (void) finding_add(findings, PT_SEVERITY_BLOCKER, "identity-unread", culprit, "try again in a moment",
                                   "whether %s is still the recorded device is being read", device->host->sysname);
}

static void check_rule(const Rule *rule, const Device *device, FindingList *findings) {
        char remedy[ID_SIZE + 128];

        snprintf(remedy, sizeof(remedy),
                 "put the recorded device back, or take the new one: passthroughctl rule accept %s", rule->id);
        check_record(rule->identity, device, rule->id, remedy, findings);
}

static void check_rules_at(Manager *m, const Device *place, const Device *member, FindingList *findings) {
        for (const Rule *rule = policy_rules_at(m->policy, place->id); rule; rule = rule->next_at_place)
                if (rule_applies(rule, m->config.node) && group_has_member(rule->group, member) &&
                    !finding_has(findings, "identity-changed"))
                        check_rule(rule, place, findings);
}

void identity_check_device(Manager *m, Device *device, FindingList *findings) {
        const Device *provider = device_get_provider(device);

        check_rules_at(m, device, device, findings);
        /* What another card makes at that place is not what was meant either. */
        if (provider)
                check_rules_at(m, provider, device, findings);
}

/* A rule that recognises its device by a number of its own is content wherever that device is. */
static bool has_found(Manager *m, const Rule *rule) {
        _cleanup_free_ Device **devices = NULL;
        size_t n = 0;

        return !identity_place(rule->identity) && (policy_rule_devices(m->policy, rule, &devices, &n) < 0 || n > 0);
}

void identity_check_group(Manager *m, const Group *group, FindingList *findings) {
        for (const Rule *rule = group->rules; rule; rule = rule->next) {
                const char *place = json_string_value(json_object_get(rule->identity, "device"));
                const Device *device = place && rule_applies(rule, m->config.node) ? inventory_find(m->inventory, place) : NULL;

                if (device && identity_differs(rule->identity, device, NULL, NULL) && !has_found(m, rule))
                        check_rule(rule, device, findings);
        }
}

void identity_check_use(const Allocation *allocation, const Device *device, FindingList *findings) {
        json_t *record = json_object_get(allocation->identities, device->id);

        if (record && !finding_has(findings, "identity-changed"))
                check_record(record, device, device->id,
                             "put the recorded device back, or take the new one: passthroughctl activate --accept-identity",
                             findings);
}

/* ---- reading ---- */

/* By what the allocation itself recorded, or a rule that goes by the place. */
static bool awaits_reading(Manager *m, const Allocation *a, const Device *device) {
        if (device->slow != SLOW_READING)
                return false;
        if (is_being_read(json_object_get(a->identities, device->id), device))
                return true;
        for (const Rule *rule = policy_rules_at(m->policy, device->id); rule; rule = rule->next_at_place)
                if (rule_applies(rule, m->config.node) && is_being_read(rule->identity, device))
                        return true;
        return false;
}

bool identity_is_being_read(Manager *m, const Allocation *a) {
        for (size_t i = 0; i < a->n_requests && observe_is_busy(m); i++) {
                Group *group = policy_find_group(m->policy, a->requests[i].group);

                for (size_t k = 0; group && k < group->n_members; k++) {
                        const Device *provider = device_get_provider(group->members[k]);

                        if (awaits_reading(m, a, group->members[k]) || (provider && awaits_reading(m, a, provider)))
                                return true;
                }
        }
        return false;
}

static bool is_recorded(Manager *m, const Device *device) {
        if (policy_rules_at(m->policy, device->id))
                return true;
        for (const Allocation *a = m->allocations; a; a = a->hh.next)
                if (json_object_get(a->identities, device->id))
                        return true;
        return false;
}

void identity_want(Manager *m, Device *device) {
        const Allocation *user = device->allocation;

        /* What a guest has, or is on its way to or from one, is not touched; it is read when it comes back. */
        if (device->slow != SLOW_UNKNOWN || !device->module->descriptor->observe ||
            driver_is_vfio(device->host->driver) || !is_recorded(m, device) ||
            (user && (user->state == ALLOCATION_ACTIVATING || user->state == ALLOCATION_DEACTIVATING)))
                return;
        observe_device(m, device, NULL, NULL);
}
