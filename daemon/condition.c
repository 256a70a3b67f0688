/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "condition.h"

#include <assert.h>

#include "condition-internal.h"

static const char *const operator_words[_OPERATOR_MAX] = {
        [OPERATOR_EQ] = "eq",
        [OPERATOR_NE] = "ne",
        [OPERATOR_LT] = "lt",
        [OPERATOR_LE] = "le",
        [OPERATOR_GT] = "gt",
        [OPERATOR_GE] = "ge",
        [OPERATOR_BEGINS] = "begins",
        [OPERATOR_ENDS] = "ends",
        [OPERATOR_CONTAINS] = "contains",
        [OPERATOR_ICONTAINS] = "icontains",
        [OPERATOR_REGEX] = "regex",
};

DEFINE_STRING_TABLE(operator, Operator, operator_words)

static const char *const operator_signs[_OPERATOR_MAX] = {
        [OPERATOR_EQ] = "=",        [OPERATOR_NE] = "!=",   [OPERATOR_LT] = "<",      [OPERATOR_LE] = "<=",
        [OPERATOR_GT] = ">",        [OPERATOR_GE] = ">=",   [OPERATOR_BEGINS] = "^=", [OPERATOR_ENDS] = "$=",
        [OPERATOR_CONTAINS] = "*=", [OPERATOR_REGEX] = "~",
};

const char *operator_sign(Operator op) {
        return operator_signs[op];
}

Operator operator_parse(const char *text) {
        Operator op = operator_from_string(text);

        if (op >= 0)
                return op;
        for (size_t i = 0; text && i < ELEMENTSOF(operator_signs); i++)
                if (operator_signs[i] && streq(operator_signs[i], text))
                        return (Operator) i;
        return _OPERATOR_INVALID;
}

bool operator_is_ordering(Operator op) {
        return op >= OPERATOR_LT && op <= OPERATOR_GE;
}

int condition_list_new(const Module *module, ConditionList **ret) {
        ConditionList *list = calloc(1, sizeof(ConditionList));

        if (!list)
                return -ENOMEM;
        list->module = module;
        *ret = list;
        return 0;
}

ConditionList *conditions_free(ConditionList *list) {
        if (!list)
                return NULL;
        for (size_t i = 0; i < list->n_items; i++) {
                Condition *c = &list->items[i];

                free(c->field);
                free(c->value);
                pattern_free(c->pattern);
                memo_done(&c->memo);
        }
        free(list->items);
        free(list->error);
        free(list);
        return NULL;
}

/* What matching one device costs, roughly; only the order counts. */
static unsigned cost_of(const Condition *c) {
        static const uint8_t costs[_OPERATOR_MAX] = {
                [OPERATOR_CONTAINS] = 1,
                [OPERATOR_ICONTAINS] = 2,
                [OPERATOR_REGEX] = 3,
        };
        unsigned cost = c->type == PT_STRV ? 2 : c->type == PT_STRING ? 1 : 0;

        return cost + 2 * costs[c->op];
}

static int compare_costs(const void *a, const void *b) {
        const Condition *first = a, *second = b;
        unsigned m = cost_of(first), n = cost_of(second);

        return m != n ? (m < n ? -1 : 1) : (int) first->position - (int) second->position;
}

void condition_list_finish(ConditionList *list) {
        if (list->n_items > 1)
                qsort(list->items, list->n_items, sizeof(Condition), compare_costs);
}

Condition *condition_list_at(const ConditionList *list, size_t position) {
        size_t i = 0;

        assert(position < list->n_items);
        while (list->items[i].position != position)
                i++;
        return &list->items[i];
}

size_t conditions_count(const ConditionList *list) {
        return list->n_items;
}

bool conditions_need_slow(const ConditionList *list) {
        return list->slow;
}

uint64_t conditions_fields(const ConditionList *list) {
        return list->fields;
}

const char *conditions_equal_text(const ConditionList *list, unsigned *ret_field) {
        for (size_t i = 0; i < list->n_items; i++) {
                const Condition *c = &list->items[i];

                if (c->op != OPERATOR_EQ || c->type != PT_STRING || c->provider)
                        continue;
                *ret_field = c->index;
                return c->value;
        }
        return NULL;
}

bool conditions_name_provider(const ConditionList *list) {
        return list->provider;
}

uint64_t conditions_provider_fields(const ConditionList *list) {
        uint64_t fields = 0;

        for (size_t i = 0; list->provider && i < list->n_items; i++)
                if (list->items[i].provider)
                        fields |= UINT64_C(1) << list->items[i].index;
        return fields;
}

const char *conditions_error(const ConditionList *list) {
        return list->error;
}

void conditions_get(const ConditionList *list, size_t index, const char **ret_field, Operator *ret_operator,
                    const char **ret_value) {
        const Condition *c = condition_list_at(list, index);

        *ret_field = c->field;
        *ret_operator = c->op;
        *ret_value = c->value;
}

json_t *conditions_to_json(const ConditionList *list) {
        json_t *triples = json_array();

        for (size_t i = 0; triples && i < list->n_items; i++) {
                const Condition *c = condition_list_at(list, i);

                if (json_array_append_new(triples, json_pack("[sss]", c->field, operator_to_string(c->op),
                                                             c->value)) < 0) {
                        json_decref(triples);
                        return NULL;
                }
        }
        return triples;
}
