/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One copy of each distinct string, reference-counted. With ten thousand devices most strings (vendors, drivers, classes)
 * repeat, and equal strings having equal pointers lets rules match each distinct string once. One Interner belongs to the
 * Inventory; interned strings live until their last unref. */

#include "lib/macro.h"

typedef struct Interner Interner;

int interner_new(Interner **ret);
Interner *interner_free(Interner *interner);
DEFINE_CLEANUP(Interner *, interner_free)

/* Returns the one copy with a reference taken, NULL for NULL and when out of memory. */
const char *intern(Interner *interner, const char *text);
/* The text where it is interned, NULL where it is not; no reference. */
const char *interner_find(const Interner *interner, const char *text);
void intern_unref(Interner *interner, const char *text);
size_t interner_count(const Interner *interner);
