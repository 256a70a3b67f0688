/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who occupies what: the one mechanism of exclusion. A key has either one exclusive holder or any number of shared ones.
 * Holders are allocation ids, or "job:ID" for the length of an operation on a device that nobody claims. */

#include "inventory.h"

typedef struct KeyTable KeyTable;

int key_table_new(KeyTable **ret);
KeyTable *key_table_free(KeyTable *table);
DEFINE_CLEANUP(KeyTable *, key_table_free)

/* 0 when `holder` could take all of them now; -EBUSY with a fault that names key and holders otherwise. What the holder
 * itself has does not count. `ret_holder` (may be NULL): the first one in the way, borrowed. */
int key_table_check(KeyTable *table, const KeyList *keys, const char *holder, const char **ret_holder, Fault *fault);
/* All or none. Taking what one has already is fine; shared becomes exclusive when nobody else is there. */
int key_table_take(KeyTable *table, const KeyList *keys, const char *holder, Fault *fault);
/* The same, but who shares an exclusive one does not stand against it, and keeps it: nobody else gets it, in whatever way, until
 * `holder` gives it up. For what takes nothing from those who have it. */
int key_table_check_beside(KeyTable *table, const KeyList *keys, const char *holder, const char **ret_holder, Fault *fault);
int key_table_take_beside(KeyTable *table, const KeyList *keys, const char *holder, Fault *fault);
void key_table_release(KeyTable *table, const char *holder);
/* First holder of a key, NULL for none. */
const char *key_table_holder(KeyTable *table, const char *key);
size_t key_table_count(const KeyTable *table);
