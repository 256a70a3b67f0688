/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Takes out of texts what nobody outside should read: the values that it was told, wherever they stand and in whatever
 * case, and whatever looks like a MAC address. The time it takes grows with the text, not with the number of values. */

#include <jansson.h>

#include "lib/macro.h"

typedef struct Scrubber Scrubber;

int scrubber_new(Scrubber **ret);
Scrubber *scrubber_free(Scrubber *scrubber);
DEFINE_CLEANUP(Scrubber *, scrubber_free)
/* Values that say nothing (shorter than four bytes, or one character over and over) are not taken: what is like them is
 * everywhere. */
int scrubber_add(Scrubber *scrubber, const char *value);
/* New memory. */
int scrubber_text(const Scrubber *scrubber, const char *text, char **ret);
/* All texts within the value, which is changed; keys of objects stay. */
int scrubber_json(const Scrubber *scrubber, json_t *value);
