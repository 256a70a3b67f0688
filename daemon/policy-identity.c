/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "json-util.h"
#include "policy-internal.h"

/* What is wrong with an identity. */
typedef enum Verdict {
        VERDICT_UNIQUE,
        VERDICT_SHARED,   /* somebody else has it too */
        VERDICT_UNREAD,   /* somebody else may have it */
        VERDICT_UNKNOWN,  /* the device itself was not read yet */
        VERDICT_FOREIGN,  /* the device itself does not have it */
        VERDICT_VOLATILE, /* it would name something else after a restart */
} Verdict;

static const char *volatile_field(const Module *module, const ConditionList *where) {
        const PtField *fields = module->descriptor->fields;
        uint64_t named = conditions_fields(where) | conditions_provider_fields(where);

        for (size_t i = 0; fields[i].name; i++)
                if ((named & (UINT64_C(1) << i)) && (fields[i].flags & PT_FIELD_VOLATILE))
                        return fields[i].name;
        return NULL;
}

/* An identity of a provider is in terms of what it provides. */
static Match match_identity(ConditionList *where, const Device *device) {
        if (!conditions_name_provider(where))
                return conditions_match(where, device, NULL);
        return device->role == PT_ROLE_PROVIDER ? conditions_match_provider(where, device) : MATCH_NO;
}

/* Looks for another device of the type with the same identity. */
static Verdict judge(Policy *policy, Device *device, ConditionList *where, const Device **ret_other) {
        Verdict verdict = VERDICT_UNIQUE;
        Match own = match_identity(where, device);

        *ret_other = device;
        if (volatile_field(device->module, where))
                return VERDICT_VOLATILE;
        if (own == MATCH_NO)
                return VERDICT_FOREIGN;
        if (own == MATCH_UNKNOWN) {
                if (device->slow == SLOW_UNKNOWN)
                        policy_want_slow(policy, device);
                return VERDICT_UNKNOWN;
        }

        for (Device *d = inventory_first(policy->inventory); d; d = d->hh.next) {
                Match match;

                if (d == device || d->module != device->module)
                        continue;
                match = match_identity(where, d);
                if (match == MATCH_NO)
                        continue;
                *ret_other = d;
                if (match == MATCH_YES)
                        return VERDICT_SHARED;
                verdict = VERDICT_UNREAD;
                if (d->slow == SLOW_UNKNOWN)
                        policy_want_slow(policy, d);
        }
        return verdict;
}

static const char *const reasons[] = {
        [VERDICT_SHARED] = "has the same",
        [VERDICT_UNREAD] = "was not read yet and may have the same",
        [VERDICT_UNKNOWN] = "was not read yet",
        [VERDICT_FOREIGN] = "does not have it",
        [VERDICT_VOLATILE] = "may have another one after a restart of the host",
};

/* 1 when the identity is the device's own and lasts; 0 with a reason added. */
static int try_identity(Policy *policy, Device *device, json_t *identity, json_t *passed_over,
                        Fault *fault) {
        _cleanup_(conditions_freep) ConditionList *where = NULL;
        _cleanup_fault_ Fault reason = { 0 };
        const char *kind = json_string_value(json_object_get(identity, "kind"));
        const char *text = json_string_value(json_object_get(identity, "condition"));
        const Device *other = device;
        Verdict verdict;
        int r;

        if (!kind || isempty(text))
                return fault_set_object(fault, -EINVAL, FAULT_INTERNAL, device->id,
                                        "The module %s gives an identity without kind or condition",
                                        device->module->name);
        /* One that cannot be written as a condition does not spoil the others. */
        r = conditions_from_text(text, device->module, &where, &reason);
        if (r < 0) {
                r = r == -ENOMEM ? r : json_append_text(passed_over, "%s: %s", kind, strempty(reason.message));
                return r < 0 ? fault_oom(fault) : 0;
        }
        verdict = judge(policy, device, where, &other);
        if (verdict == VERDICT_UNIQUE)
                return 1;
        r = json_append_text(passed_over, "%s: %s %s", kind, other->id, reasons[verdict]);
        return r < 0 ? fault_oom(fault) : 0;
}

/* The reasons in one sentence. */
static int refuse(const Device *device, json_t *passed_over, Fault *fault) {
        _cleanup_free_ char *text = NULL;
        json_t *reason;
        size_t i, size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return fault_oom(fault);
        json_array_foreach(passed_over, i, reason)
                (void) fprintf(f, "%s%s", i > 0 ? "; " : "", json_string_value(reason));
        if (fclose(f) != 0)
                return fault_oom(fault);
        return fault_set_object(fault, -ENOTUNIQ, FAULT_VOLATILE_IDENTITY, device->id,
                                "The device %s has no identity that lasts and is its own (%s)", device->id,
                                text[0] ? text : "its module names none");
}

int policy_identify(Policy *policy, Device *device, json_t **ret, Fault *fault) {
        json_auto_t *identities = NULL, *passed_over = json_array();
        json_t *identity;
        size_t i;
        int r;

        if (!passed_over)
                return fault_oom(fault);
        r = inventory_identities(policy->inventory, device, &identities, fault);
        if (r < 0)
                return r;
        json_array_foreach(identities, i, identity) {
                json_t *chosen;

                r = try_identity(policy, device, identity, passed_over, fault);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                chosen = json_copy(identity);
                if (!chosen || json_object_set(chosen, "passed-over", passed_over) < 0) {
                        json_decref(chosen);
                        return fault_oom(fault);
                }
                *ret = chosen;
                return 0;
        }
        return refuse(device, passed_over, fault);
}
