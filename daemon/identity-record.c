/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records as data: what rules need of them without knowing devices. */

#include "identity.h"
#include "json-util.h"
#include "lib/limits.h"

int identity_check_body(json_t *record, Fault *fault) {
        _cleanup_free_ char *device = NULL, *name = NULL, *kind = NULL, *condition = NULL, *breaks = NULL;
        json_t *fields = NULL, *strengths = NULL, *value;
        const char *field;
        unsigned strength;
        const JsonKey keys[] = {
                { "device", JSON_KEY_STRING, &device, ID_MAX, true },
                { "name", JSON_KEY_STRING, &name, 0, true },
                { "kind", JSON_KEY_STRING, &kind, 0, false },
                { "strength", JSON_KEY_UINT, &strength, 100, false },
                { "condition", JSON_KEY_STRING, &condition, 0, false },
                { "breaks", JSON_KEY_STRING, &breaks, 0, false },
                { "fields", JSON_KEY_OBJECT, &fields, 0, true },
                { "strengths", JSON_KEY_OBJECT, &strengths, 0, true },
                { 0 },
        };
        int r = json_parse_object(record, keys, "the identity of a rule", FAULT_UNKNOWN_OPTION, fault);

        if (r < 0)
                return r;
        if (!id_is_valid(device))
                return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE, "'device' of the identity of a rule must be an id");
        json_object_foreach(fields, field, value)
                if (!json_is_string(value) || !json_is_integer(json_object_get(strengths, field)))
                        return fault_set(fault, -EINVAL, FAULT_INVALID_VALUE,
                                         "'fields' of the identity of a rule must be texts, each with a whole number in "
                                         "'strengths'");
        return 0;
}

const char *identity_place(json_t *record) {
        if (!record || json_integer_value(json_object_get(record, "strength")) >= IDENTITY_OWN_STRENGTH)
                return NULL;
        return json_string_value(json_object_get(record, "device"));
}
