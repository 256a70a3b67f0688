/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "plan.h"

static const struct {
        const char *key;
        size_t offset;
} string_members[] = {
        { "device", offsetof(PtStep, device) },
        { "name", offsetof(PtStep, name) },
        { "value", offsetof(PtStep, value) },
        { "sentence", offsetof(PtStep, sentence) },
}, number_members[] = {
        { "timeout_ms", offsetof(PtStep, timeout_ms) },
        { "uid", offsetof(PtStep, uid) },
        { "gid", offsetof(PtStep, gid) },
        { "mode", offsetof(PtStep, mode) },
};

static const struct {
        const char *word;
        uint32_t flag;
} flag_words[] = {
        { "idempotent", PT_STEP_IDEMPOTENT },
        { "no-return", PT_STEP_NO_RETURN },
        { "optional", PT_STEP_OPTIONAL },
        { "demanded", PT_STEP_DEMANDED },
        { "of-uuid", PT_STEP_OF_UUID },
};

static const char **string_member(PtStep *step, size_t i) {
        return (const char **) ((char *) step + string_members[i].offset);
}

static uint32_t *number_member(PtStep *step, size_t i) {
        return (uint32_t *) ((char *) step + number_members[i].offset);
}

static json_t *flags_to_json(uint32_t flags) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < ELEMENTSOF(flag_words); i++)
                if ((flags & flag_words[i].flag) != 0 &&
                    json_array_append_new(array, json_string(flag_words[i].word)) < 0) {
                        json_decref(array);
                        return NULL;
                }

        return array;
}

json_t *step_to_json(const PtStep *step) {
        const char *kind = step_kind_to_string((PtStepKind) step->kind);
        json_t *json = kind ? json_object() : NULL;
        PtStep members = *step;
        int r;

        if (!json)
                return NULL;

        r = json_object_set_new(json, "kind", json_string(kind));
        if (step->flags != 0)
                r |= json_object_set_new(json, "flags", flags_to_json(step->flags));
        for (size_t i = 0; i < ELEMENTSOF(string_members); i++)
                if (*string_member(&members, i))
                        r |= json_object_set_new(json, string_members[i].key,
                                                 json_string(*string_member(&members, i)));
        for (size_t i = 0; i < ELEMENTSOF(number_members); i++)
                if (*number_member(&members, i) != 0)
                        r |= json_object_set_new(json, number_members[i].key,
                                                 json_integer(*number_member(&members, i)));
        if (r < 0) {
                json_decref(json);
                return NULL;
        }

        return json;
}

#define REFUSE(fault, ...) fault_set((fault), -EINVAL, FAULT_INVALID_ARGUMENT, __VA_ARGS__)

static int flags_from_json(json_t *json, uint32_t *ret, Fault *fault) {
        uint32_t flags = 0;
        json_t *element;
        size_t i;

        if (!json_is_array(json))
                return REFUSE(fault, "The member \"flags\" of a step is not an array");

        json_array_foreach(json, i, element) {
                const char *word = json_string_value(element);
                size_t k = 0;

                while (k < ELEMENTSOF(flag_words) && !streq_null(word, flag_words[k].word))
                        k++;
                if (k == ELEMENTSOF(flag_words))
                        return REFUSE(fault, "A step has an unknown flag");
                flags |= flag_words[k].flag;
        }

        *ret = flags;
        return 0;
}

static int string_from_json(const char *key, json_t *json, const char **ret, Fault *fault) {
        const char *text = json_string_value(json);

        if (!text)
                return REFUSE(fault, "The member \"%s\" of a step is not text", key);
        if (strlen(text) != json_string_length(json))
                return REFUSE(fault, "The member \"%s\" of a step contains a NUL character", key);

        *ret = strdup(text);
        return *ret ? 0 : fault_oom(fault);
}

static int number_from_json(const char *key, json_t *json, uint32_t *ret, Fault *fault) {
        json_int_t number = json_integer_value(json);

        if (!json_is_integer(json))
                return REFUSE(fault, "The member \"%s\" of a step is not a whole number", key);
        if (number < 0 || number > UINT32_MAX)
                return REFUSE(fault,
                              "The member \"%s\" of a step is %" JSON_INTEGER_FORMAT
                              ", but must be from 0 to 4294967295",
                              key, number);

        *ret = (uint32_t) number;
        return 0;
}

static int member_from_json(const char *key, json_t *json, PtStep *step, Fault *fault) {
        if (streq(key, "kind")) {
                int kind = (int) step_kind_from_string(json_string_value(json));

                if (kind < 0)
                        return REFUSE(fault, "A step has an unknown kind");
                step->kind = (uint32_t) kind;
                return 0;
        }
        if (streq(key, "flags"))
                return flags_from_json(json, &step->flags, fault);

        for (size_t i = 0; i < ELEMENTSOF(string_members); i++)
                if (streq(key, string_members[i].key))
                        return string_from_json(key, json, string_member(step, i), fault);
        for (size_t i = 0; i < ELEMENTSOF(number_members); i++)
                if (streq(key, number_members[i].key))
                        return number_from_json(key, json, number_member(step, i), fault);

        return REFUSE(fault, "A step has the unknown member \"%.*s\"", (int) NAME_MAX_BYTES, key);
}

int step_from_json(json_t *json, PtStep *ret, Fault *fault) {
        PtStep step = { 0 };
        const char *key;
        json_t *member;
        int r = 0;

        if (!json_is_object(json))
                return REFUSE(fault, "A step is not a JSON object");

        json_object_foreach(json, key, member) {
                r = member_from_json(key, member, &step, fault);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = step_check(&step, fault);
        if (r < 0) {
                step_done(&step);
                return r;
        }

        *ret = step;
        return 0;
}

json_t *plan_to_json(const Plan *plan) {
        json_t *array = json_array();

        for (size_t i = 0; array && i < plan->n_steps; i++)
                if (json_array_append_new(array, step_to_json(&plan->steps[i])) < 0) {
                        json_decref(array);
                        return NULL;
                }

        return array;
}

int plan_from_json(json_t *json, Plan *ret, Fault *fault) {
        _cleanup_plan_ Plan plan = { 0 };
        size_t n, room = 1;
        int r;

        if (!json_is_array(json))
                return REFUSE(fault, "A plan is not a JSON array");
        n = json_array_size(json);
        if (n > STEPS_MAX)
                return fault_set(fault, -E2BIG, FAULT_TOO_LARGE,
                                 "A plan has %zu steps, but at most %u are possible", n, STEPS_MAX);

        while (room < n) /* as plan_append() expects it */
                room *= 2;
        plan.steps = calloc(room, sizeof(PtStep));
        if (!plan.steps)
                return fault_oom(fault);
        for (size_t i = 0; i < n; i++) {
                r = step_from_json(json_array_get(json, i), &plan.steps[i], fault);
                if (r < 0)
                        return r;
                plan.n_steps++;
        }

        *ret = plan;
        plan = (Plan){ 0 };
        return 0;
}
