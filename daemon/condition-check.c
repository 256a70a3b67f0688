/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "condition-internal.h"
#include "excerpt.h"

/* Conditions that can never hold together. Looked for pair by pair: that finds what people write by
 * mistake, and says which two are at fault. A rule with a contradiction is valid, it only matches nothing.
 */

/* The numbers that fit a condition; all integer types fit into 128 bits. */
typedef struct Range {
        __int128 low, high;
} Range;

static bool is_number(uint32_t type) {
        return type == PT_INT32 || type == PT_UINT32 || type == PT_INT64 || type == PT_UINT64;
}

static Range range_of_type(uint32_t type) {
        switch (type) {
        case PT_INT32:
                return (Range){ INT32_MIN, INT32_MAX };
        case PT_UINT32:
                return (Range){ 0, UINT32_MAX };
        case PT_INT64:
                return (Range){ INT64_MIN, INT64_MAX };
        default: /* PT_UINT64 */
                return (Range){ 0, UINT64_MAX };
        }
}

static __int128 number_of(const Condition *c) {
        switch (c->type) {
        case PT_INT32:
                return c->number.i;
        case PT_UINT32:
                return c->number.u;
        case PT_INT64:
                return c->number.x;
        default: /* PT_UINT64 */
                return c->number.t;
        }
}

static Range range_of(const Condition *c) {
        Range range = range_of_type(c->type);
        __int128 number = number_of(c);

        if (c->op == OPERATOR_EQ || c->op == OPERATOR_GE)
                range.low = number;
        if (c->op == OPERATOR_EQ || c->op == OPERATOR_LE)
                range.high = number;
        if (c->op == OPERATOR_GT)
                range.low = number + 1;
        if (c->op == OPERATOR_LT)
                range.high = number - 1;
        return range;
}

static bool numbers_exclude(const Condition *a, const Condition *b) {
        Range first = range_of(a), second = range_of(b);

        if (MAX_OF(first.low, second.low) > MIN_OF(first.high, second.high))
                return true;
        /* `ne` leaves a hole; it matters only where nothing else is left. */
        if (a->op == OPERATOR_NE && b->op == OPERATOR_EQ)
                return number_of(a) == number_of(b);
        return b->op == OPERATOR_NE && a->op == OPERATOR_EQ && number_of(a) == number_of(b);
}

static bool truths_exclude(const Condition *a, const Condition *b) {
        /* Two `ne` both fit a device that does not have the field. */
        if (a->op == OPERATOR_NE && b->op == OPERATOR_NE)
                return false;
        return (a->op == b->op) != (a->number.b == b->number.b);
}

static bool beginnings_exclude(const Condition *a, const Condition *b) {
        return strncmp(a->value, b->value, MIN_OF(a->length, b->length)) != 0;
}

static bool ends_exclude(const Condition *a, const Condition *b) {
        size_t n = MIN_OF(a->length, b->length);

        return memcmp(a->value + a->length - n, b->value + b->length - n, n) != 0;
}

static bool is_upper_bound(const Condition *c) {
        return c->op == OPERATOR_LT || c->op == OPERATOR_LE;
}

/* Nothing is above the one and below the other. */
static bool bounds_exclude(const Condition *lower, const Condition *upper) {
        int order = strcmp(lower->value, upper->value);

        return order > 0 || (order == 0 && (lower->op == OPERATOR_GT || upper->op == OPERATOR_LT));
}

static bool texts_exclude(Condition *a, Condition *b) {
        /* The only text that fits one of them is tried on the other; what came to a limit is not known to
         * fail. */
        if (a->op == OPERATOR_EQ)
                return condition_match_text(b, a->value) == MATCH_NO;
        if (b->op == OPERATOR_EQ)
                return condition_match_text(a, b->value) == MATCH_NO;
        if (a->op == OPERATOR_BEGINS && b->op == OPERATOR_BEGINS)
                return beginnings_exclude(a, b);
        if (a->op == OPERATOR_ENDS && b->op == OPERATOR_ENDS)
                return ends_exclude(a, b);
        if (operator_is_ordering(a->op) && operator_is_ordering(b->op) &&
            is_upper_bound(a) != is_upper_bound(b))
                return is_upper_bound(a) ? bounds_exclude(b, a) : bounds_exclude(a, b);
        return false;
}

/* Different elements of a list may fit different conditions. */
static bool lists_exclude(const Condition *a, const Condition *b) {
        bool opposite = (a->op == OPERATOR_EQ && b->op == OPERATOR_NE) ||
                        (a->op == OPERATOR_NE && b->op == OPERATOR_EQ);

        return opposite && streq(a->value, b->value);
}

static bool exclude(Condition *a, Condition *b) {
        if (a->index != b->index || a->provider != b->provider)
                return false;
        if (is_number(a->type))
                return numbers_exclude(a, b);
        if (a->type == PT_BOOL)
                return truths_exclude(a, b);
        return a->type == PT_STRV ? lists_exclude(a, b) : texts_exclude(a, b);
}

static bool is_impossible(const Condition *c) {
        Range range;

        if (!is_number(c->type))
                return false;
        range = range_of(c);
        return range.low > range.high;
}

static void describe(const Condition *c, char *buffer, size_t size) {
        char value[EXCERPT_SIZE];

        (void) snprintf(buffer, size, "%s %s %s", c->field,
                        operator_sign(c->op) ?: operator_to_string(c->op), excerpt(c->value, value));
}

char *conditions_contradiction(const ConditionList *list) {
        char first[2 * EXCERPT_SIZE], second[2 * EXCERPT_SIZE], *text = NULL;

        for (size_t i = 0; list->module && i < list->n_items; i++) {
                Condition *a = condition_list_at(list, i);

                describe(a, first, sizeof(first));
                if (is_impossible(a)) {
                        if (asprintf(&text, "\"%s\" can never hold: there is no such number", first) < 0)
                                return NULL;
                        return text;
                }
                for (size_t j = i + 1; j < list->n_items; j++) {
                        Condition *b = condition_list_at(list, j);

                        if (!exclude(a, b))
                                continue;
                        describe(b, second, sizeof(second));
                        if (asprintf(&text, "\"%s\" and \"%s\" can never hold together", first, second) < 0)
                                return NULL;
                        return text;
                }
        }
        return NULL;
}
