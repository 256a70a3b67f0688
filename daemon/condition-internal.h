/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the condition-*.c files share; nobody else looks inside. */

#include "condition.h"
#include "memo.h"
#include "pattern.h"

/* What names of fields are made of, in the text form. */
#define FIELD_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* What matching looks at comes first: with a hundred rules the caches decide. */
struct Condition {
        uint8_t index; /* of the field in the module's table */
        bool slow;
        bool provider;    /* asks for the field of the device's provider */
        uint8_t position; /* as it was written */
        Operator op;
        uint32_t type;    /* PtType of the field; PT_NONE without module */
        FieldData number; /* the value of a field that is a number or a truth */
        char *value;      /* value and field as they were written */
        size_t length;    /* of the value */
        Pattern *pattern; /* regex, and icontains beyond ASCII */
        Memo memo;        /* answers of what is dearer than comparing texts */
        char *field;
};

struct ConditionList {
        const Module *module; /* NULL: kept as text, matches nothing */
        size_t n_items;
        Condition *items; /* cheap ones first */
        uint64_t fields;  /* bit per field of the device itself that is named */
        bool slow;
        bool provider; /* one of them asks for the device's provider */
        char *error;
};

/* Where the parts of a condition stand, for messages. */
typedef struct ConditionWords {
        const char *field, *op, *value;
        size_t number;    /* of the condition, from 1 */
        const char *text; /* the text form it was read from; NULL: a triple */
        size_t field_at;  /* offsets in `text` */
        size_t operator_at;
        size_t value_at; /* of the opening quote where there is one */
} ConditionWords;

int condition_list_new(const Module *module, ConditionList **ret);
/* Checks the words against the module's table and appends them. */
int condition_list_append(ConditionList *list, const ConditionWords *words, Fault *fault);
/* Puts them in order of evaluation; to be called after the last one. */
void condition_list_finish(ConditionList *list);
/* The condition that was written at this position. */
Condition *condition_list_at(const ConditionList *list, size_t position);

/* Number of the character at this offset, from 1. */
size_t character_number(const char *text, size_t offset);

bool operator_is_ordering(Operator op);
const char *operator_sign(Operator op); /* NULL for those that are words only */

/* Whether a text satisfies a condition on a text field. */
Match condition_match_text(Condition *condition, const char *text);
Match condition_match(Condition *condition, const Device *device);
