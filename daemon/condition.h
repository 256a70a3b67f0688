/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Conditions over the typed fields of one type: (field, operator, value). Text on the bus and in files:
 * `vendor-id = 10de`, `name ~ ^NVIDIA.*A100`, `numa-node <= 1`, joined by `and`; values with blanks or the
 * word `and` are written in double quotes with \" and \\ inside.
 *
 * Texts take all operators and are compared byte by byte; numbers take the comparisons, truths `eq` and
 * `ne`. A list of texts fits when one of its elements does, and fits `ne` when none is equal. What a device
 * does not have reads as "" where the field is a text or a list, fits `ne` and no comparison by size:
 * `driver = ""` finds devices without a driver.
 *
 * `provider.FIELD` asks for a field of the device that made this one; where there is none it fits nothing. */

#include <jansson.h>

#include "inventory.h"
#include "lib/fault.h"
#include "loader.h"

typedef enum Operator {
        OPERATOR_EQ,
        OPERATOR_NE,
        OPERATOR_LT,
        OPERATOR_LE,
        OPERATOR_GT,
        OPERATOR_GE,
        OPERATOR_BEGINS,
        OPERATOR_ENDS,
        OPERATOR_CONTAINS,
        OPERATOR_ICONTAINS,
        OPERATOR_REGEX,
        _OPERATOR_MAX,
        _OPERATOR_INVALID = -EINVAL,
} Operator;
DECLARE_STRING_TABLE(operator, Operator); /* eq ne lt le gt ge begins ends contains icontains regex */
/* Word or sign (= != < <= > >= ^= $= *= ~). */
Operator operator_parse(const char *text);

typedef enum Match {
        MATCH_NO,
        MATCH_YES,
        MATCH_UNKNOWN, /* cannot be said: a slow field was not read yet, or an expression came to its limits */
} Match;

typedef struct Condition Condition;
typedef struct ConditionList ConditionList;

/* From [[field, operator, value]…]. Unknown fields and operators, values of the wrong type, operators that
 * the field's type does not have and regular expressions that do not compile are refused with the position
 * and the valid choices; fields that are not matchable too. `module` NULL (refused or missing type): kept
 * as text, matches nothing. */
int conditions_from_json(json_t *triples, const Module *module, ConditionList **ret, Fault *fault);
int conditions_from_text(const char *text, const Module *module, ConditionList **ret, Fault *fault);
/* Either of them, as a body has it. */
int conditions_from_body(json_t *where, const Module *module, ConditionList **ret, Fault *fault);
ConditionList *conditions_free(ConditionList *list);
DEFINE_CLEANUP(ConditionList *, conditions_free)
json_t *conditions_to_json(const ConditionList *list); /* [[field, word, value]…] */
int conditions_to_text(const ConditionList *list, char **ret);
size_t conditions_count(const ConditionList *list);
/* All must hold. `ret_failed` (may be NULL): index of the first that does not. */
Match conditions_match(ConditionList *list, const Device *device, size_t *ret_failed);
/* How far the device is from fitting: the number of conditions that fail, their positions in `failed` in order
 * of evaluation. Gives up once that is more than `max` and returns max + 1. `ret_unknown`: of the others one
 * cannot be said. */
size_t conditions_distance(ConditionList *list, const Device *device, size_t max, uint8_t *failed,
                           bool *ret_unknown);
/* A text that a field of the device itself must equal: whatever fits has it. NULL where no condition says so. */
const char *conditions_equal_text(const ConditionList *list, unsigned *ret_field);
/* Whether a condition names a slow field. */
bool conditions_need_slow(const ConditionList *list);
/* Bit per field of the module's table that a condition names; fields of the provider are none of them. */
uint64_t conditions_fields(const ConditionList *list);
/* Whether a condition names a field of the provider ("provider.slot"). */
bool conditions_name_provider(const ConditionList *list);
/* Bit per field of the provider that a condition names. */
uint64_t conditions_provider_fields(const ConditionList *list);
/* Whether all conditions that name fields of the provider hold for this one; MATCH_NO when none does. */
Match conditions_match_provider(ConditionList *list, const Device *provider);
/* Whether all conditions on this field of the device itself hold for the value; the others are left out of account.
 * `ret_other` (may be NULL): there are such others. */
bool conditions_accept(ConditionList *list, unsigned field, const PtValue *value, bool *ret_other);
/* The words of one condition, borrowed. */
void conditions_get(const ConditionList *list, size_t index, const char **ret_field, Operator *ret_operator,
                    const char **ret_value);
/* Set when a match hit the limits of a regular expression: the text of what to say, NULL otherwise. */
const char *conditions_error(const ConditionList *list);
/* Pairs that can never hold together ("numa-node < 1 and numa-node > 3"): text for a warning, NULL for
 * none; new memory. */
char *conditions_contradiction(const ConditionList *list);
