/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Owned copies of values, their text and JSON forms, and their order. Text forms: numbers decimal, booleans
 * "true"/"false", string lists joined by ','. */

#include <jansson.h>
#include <passthroughd/value.h>

#include "fault.h"
#include "macro.h"

/* An owned copy. The strings inside belong to the value. -EINVAL for an unknown type or a missing string,
 * -EILSEQ for one that is not UTF-8. */
int value_copy(const PtValue *value, PtValue *ret);
void value_done(PtValue *value);
#define _cleanup_value_ _cleanup_(value_done)

const char *type_signature(uint32_t type); /* "b", "i", … "as" */
const char *type_title(uint32_t type);     /* "a whole number from 0 to 4294967295" … for messages */

/* Parses text form. The fault names `what` and says what would be right. */
int value_parse(uint32_t type, const char *text, const char *what, PtValue *ret, Fault *fault);
/* Text form in new memory; "" for PT_NONE. Elements of a list that hold ',' or nothing do not survive the
 * way there and back. */
int value_format(const PtValue *value, char **ret);
/* <0, 0, >0 for two values of one type; numbers by size, the rest by bytes. Values of different types are
 * ordered by the type. */
int value_compare(const PtValue *a, const PtValue *b);
bool value_equal(const PtValue *a, const PtValue *b);
/* A new reference: null for PT_NONE, an unsigned number beyond 2^63-1 in text form. */
json_t *value_to_json(const PtValue *value);
/* Takes numbers of any width and in text form where they fit, and lists in text form: clients send what they
 * like. */
int value_from_json(uint32_t type, json_t *json, const char *what, PtValue *ret, Fault *fault);
