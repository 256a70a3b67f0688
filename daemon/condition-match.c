/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "condition-internal.h"
#include "excerpt.h"
#include "provider.h"

static Match match_from_bool(bool b) {
        return b ? MATCH_YES : MATCH_NO;
}

static bool ends_with(const char *text, const char *end, size_t length) {
        size_t n = strlen(text);

        return n >= length && memcmp(text + n - length, end, length) == 0;
}

/* `order`: below, at or above 0 as the device's value is to the condition's. */
static bool order_fits(Operator op, int order) {
        switch (op) {
        case OPERATOR_EQ:
                return order == 0;
        case OPERATOR_NE:
                return order != 0;
        case OPERATOR_LT:
                return order < 0;
        case OPERATOR_LE:
                return order <= 0;
        case OPERATOR_GT:
                return order > 0;
        case OPERATOR_GE:
                return order >= 0;
        case OPERATOR_BEGINS:
        case OPERATOR_ENDS:
        case OPERATOR_CONTAINS:
        case OPERATOR_ICONTAINS:
        case OPERATOR_REGEX:
        case _OPERATOR_MAX:
        case _OPERATOR_INVALID:
                break;
        }
        return false;
}

/* What is worth remembering. */
static Match search(Condition *c, const char *text) {
        int r = memo_get(&c->memo, text);

        if (r >= 0)
                return (Match) r;
        if (c->pattern)
                r = pattern_match(c->pattern, text);
        else
                r = strcasestr(text, c->value) != NULL;
        r = r < 0 ? MATCH_UNKNOWN : match_from_bool(r > 0);
        memo_put(&c->memo, text, r);
        return (Match) r;
}

Match condition_match_text(Condition *c, const char *text) {
        switch (c->op) {
        case OPERATOR_EQ:
                return match_from_bool(streq(text, c->value));
        case OPERATOR_NE:
                return match_from_bool(!streq(text, c->value));
        case OPERATOR_LT:
        case OPERATOR_LE:
        case OPERATOR_GT:
        case OPERATOR_GE:
                return match_from_bool(order_fits(c->op, strcmp(text, c->value)));
        case OPERATOR_BEGINS:
                return match_from_bool(strncmp(text, c->value, c->length) == 0);
        case OPERATOR_ENDS:
                return match_from_bool(ends_with(text, c->value, c->length));
        case OPERATOR_CONTAINS:
                return match_from_bool(strstr(text, c->value) != NULL);
        case OPERATOR_ICONTAINS:
        case OPERATOR_REGEX:
                return search(c, text);
        case _OPERATOR_MAX:
        case _OPERATOR_INVALID:
                break;
        }
        return MATCH_NO;
}

static Match match_list(Condition *c, char *const *strv) {
        Match match = MATCH_NO;

        if (c->op == OPERATOR_NE) {
                for (size_t i = 0; strv[i]; i++)
                        if (streq(strv[i], c->value))
                                return MATCH_NO;
                return MATCH_YES;
        }
        for (size_t i = 0; strv[i] && match != MATCH_YES; i++) {
                Match one = condition_match_text(c, strv[i]);

                if (one != MATCH_NO)
                        match = one;
        }
        return match;
}

#define ORDER_OF(a, b) (((a) > (b)) - ((a) < (b)))

static int order_of(uint32_t type, const FieldData *a, const FieldData *b) {
        switch (type) {
        case PT_BOOL:
                return ORDER_OF(a->b, b->b);
        case PT_INT32:
                return ORDER_OF(a->i, b->i);
        case PT_UINT32:
                return ORDER_OF(a->u, b->u);
        case PT_INT64:
                return ORDER_OF(a->x, b->x);
        default: /* PT_UINT64 */
                return ORDER_OF(a->t, b->t);
        }
}

/* The device does not have it, and that is known. */
static Match match_absent(Condition *c) {
        if (c->op == OPERATOR_NE && (c->type != PT_STRING && c->type != PT_STRV))
                return MATCH_YES;
        if (operator_is_ordering(c->op) || (c->type != PT_STRING && c->type != PT_STRV))
                return MATCH_NO;
        return condition_match_text(c, "");
}

Match condition_match(Condition *c, const Device *device) {
        const FieldData *data;

        if (c->provider)
                device = device_get_provider(device);
        if (!device)
                return MATCH_NO;
        if (!(device->known & (UINT64_C(1) << c->index)))
                return c->slow && device->slow != SLOW_FRESH ? MATCH_UNKNOWN : match_absent(c);
        data = device_field_data(device, c->index);
        if (c->type == PT_STRING)
                return data->s ? condition_match_text(c, data->s) : match_absent(c);
        if (c->type == PT_STRV)
                return data->strv && data->strv[0] ? match_list(c, data->strv) : match_absent(c);
        return match_from_bool(order_fits(c->op, order_of(c->type, data, &c->number)));
}

/* Says once that an expression came to its limits. */
static void note_limit(ConditionList *list, const Condition *c) {
        char value[EXCERPT_SIZE];

        if (list->error || !c->pattern)
                return;
        if (asprintf(&list->error,
                     "The regular expression \"%s\" on the field %s takes too long and was given up; write "
                     "it without nested repetitions",
                     excerpt(c->value, value), c->field) < 0)
                list->error = NULL;
}

/* Whether an unknown answer is the expression's fault, not that of a field that was not read. */
static bool is_known(const Condition *c, const Device *device) {
        if (c->provider)
                device = device_get_provider(device);
        return !device || !c->slow || device->slow == SLOW_FRESH || (device->known & (UINT64_C(1) << c->index));
}

Match conditions_match(ConditionList *list, const Device *device, size_t *ret_failed) {
        Match match = MATCH_YES;

        if (!list->module || list->module != device->module) {
                if (ret_failed)
                        *ret_failed = 0;
                return MATCH_NO;
        }
        for (size_t i = 0; i < list->n_items; i++) {
                Condition *c = &list->items[i];
                Match one = condition_match(c, device);

                if (one == MATCH_YES)
                        continue;
                if (ret_failed && (match == MATCH_YES || one == MATCH_NO))
                        *ret_failed = c->position;
                if (one == MATCH_NO)
                        return MATCH_NO;
                match = MATCH_UNKNOWN;
                if (is_known(c, device))
                        note_limit(list, c);
        }
        return match;
}

size_t conditions_distance(ConditionList *list, const Device *device, size_t max, uint8_t *failed,
                           bool *ret_unknown) {
        bool unknown = false;
        size_t n = 0;

        if (!list->module || list->module != device->module)
                return max + 1;
        for (size_t i = 0; i < list->n_items; i++) {
                Condition *c = &list->items[i];
                Match match = condition_match(c, device);

                if (match == MATCH_YES)
                        continue;
                if (match == MATCH_UNKNOWN) {
                        unknown = true;
                        if (is_known(c, device))
                                note_limit(list, c);
                        continue;
                }
                if (n == max)
                        return max + 1;
                failed[n++] = c->position;
        }
        *ret_unknown = unknown;
        return n;
}

/* What is asked of a device's provider, asked of the provider itself. */
static Match match_here(Condition *c, const Device *device) {
        Condition copy = *c;
        Match match;

        copy.provider = false;
        match = condition_match(&copy, device);
        c->memo = copy.memo;
        return match;
}

Match conditions_match_provider(ConditionList *list, const Device *provider) {
        Match match = list->provider ? MATCH_YES : MATCH_NO;

        if (list->module != provider->module)
                return MATCH_NO;
        for (size_t i = 0; i < list->n_items && match != MATCH_NO; i++) {
                Match one = list->items[i].provider ? match_here(&list->items[i], provider) : MATCH_YES;

                if (one != MATCH_YES)
                        match = one;
        }
        return match;
}

static bool accepts(Condition *c, const PtValue *value) {
        FieldData data = { .t = 0 };

        switch (value->type) {
        case PT_STRING:
                return condition_match_text(c, value->s) == MATCH_YES;
        case PT_BOOL:
                data.b = value->b;
                break;
        case PT_INT32:
                data.i = value->i;
                break;
        case PT_UINT32:
                data.u = value->u;
                break;
        case PT_INT64:
                data.x = value->x;
                break;
        case PT_UINT64:
                data.t = value->t;
                break;
        default:
                return false;
        }
        return order_fits(c->op, order_of(value->type, &data, &c->number));
}

bool conditions_accept(ConditionList *list, unsigned field, const PtValue *value, bool *ret_other) {
        bool fits = true, other = false;

        for (size_t i = 0; i < list->n_items; i++) {
                Condition *c = &list->items[i];

                if (!c->provider && c->index == field && c->type == value->type)
                        fits = fits && accepts(c, value);
                else
                        other |= !c->provider;
        }
        if (ret_other)
                *ret_other = other;
        return fits;
}
