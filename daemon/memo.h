/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers to an expensive question about texts, remembered by the address of the text. Equal strings of
 * devices are interned and have one address, so each distinct string is asked about once.
 *
 * An interned string dies with its last device, and another may come to lie at its address. A memo
 * therefore keeps a copy and believes the address only while the text still is the same: it needs to hear
 * of no string's end, and may outlive the inventory. All memos share their copies. A memo stays small:
 * where texts hardly repeat (serials, addresses) it turns itself off. Used on the service's loop thread
 * only. */

#include "lib/macro.h"

typedef struct MemoEntry MemoEntry;

typedef struct Memo {
        MemoEntry *entries; /* open addressing, a power of two */
        size_t n_slots, n_used;
        unsigned hits, misses;
        bool off;
} Memo;

#define MEMO_MAX 256u /* texts */

/* What was put for the text, or -ENOENT. */
int memo_get(Memo *memo, const char *text);
/* Remembers `answer` (not negative). Without memory, or turned off, it just does not. */
void memo_put(Memo *memo, const char *text, int answer);
void memo_done(Memo *memo);
