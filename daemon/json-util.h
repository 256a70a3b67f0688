/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading a JSON object strictly against a table: unknown keys are refused with the nearest known one, wrong types with what
 * would be right, texts are checked for length and control characters. Every body and option dictionary goes through it. */

#include <jansson.h>

#include "lib/fault.h"

typedef enum JsonKeyType {
        JSON_KEY_STRING,  /* char **, new memory; freed and replaced */
        JSON_KEY_BOOL,    /* bool *; also "true", "yes" … and 0, 1 */
        JSON_KEY_UINT,    /* unsigned *; also as text */
        JSON_KEY_INT,     /* int * */
        JSON_KEY_UINT64,  /* uint64_t * */
        JSON_KEY_OBJECT,  /* json_t **, borrowed */
        JSON_KEY_ARRAY,   /* json_t **, borrowed */
        JSON_KEY_STRV,    /* char ***, new memory; from an array of strings or one text with commas */
        JSON_KEY_ANY,     /* json_t **, borrowed */
} JsonKeyType;

typedef struct JsonKey {
        const char *name;
        JsonKeyType type;
        void *ret;         /* untouched when the key is missing */
        size_t max;        /* strings: bytes; numbers: largest value; lists of strings: how many; 0 = the type's own limit */
        bool required;
} JsonKey;

/* `keys` is ended by name NULL. `what`: "a rule", for messages; `code` FAULT_UNKNOWN_OPTION or so for unknown keys. `object`
 * may be NULL or JSON null: nothing given. */
int json_parse_object(json_t *object, const JsonKey *keys, const char *what, FaultCode unknown, Fault *fault);
char **strv_free(char **strv);
DEFINE_CLEANUP(char **, strv_free)
int strv_copy(const char *const *strv, char ***ret);
bool strv_contains(const char *const *strv, const char *text);
size_t strv_length(const char *const *strv);
json_t *strv_to_json(const char *const *strv);
/* Adds a text to an array. -ENOMEM, also for what is not UTF-8. */
int json_append_text(json_t *array, const char *format, ...) PRINTF_LIKE(2, 3);
