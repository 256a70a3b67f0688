/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where something stands in the text of a JSON document: the parser tells what is there, not where. */

#include <stddef.h>

typedef struct JsonPlace {
        unsigned line, column; /* from 1; columns in characters */
} JsonPlace;

/* The element `index` of the list `array` of the document's object, or the key `key` of it (NULL: the element itself).
 * `array` NULL: a key of the document itself. `text` is valid JSON. -ENOENT when it is not there. */
int json_locate(const char *text, const char *array, size_t index, const char *key, JsonPlace *ret);
