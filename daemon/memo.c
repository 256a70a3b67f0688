/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memo.h"

#include "intern.h"

#define SLOTS_FIRST 16u

struct MemoEntry {
        const char *text; /* only its address is used until the copy proves it alive; NULL: free slot */
        const char *copy; /* interned */
        int answer;
};

/* The copies of all memos: rules ask about the same few names. */
static struct {
        Interner *interner;
        size_t users;
} copies;

static const char *copy_new(const char *text) {
        const char *copy;

        if (!copies.interner && interner_new(&copies.interner) < 0)
                return NULL;
        copy = intern(copies.interner, text);
        if (copy)
                copies.users++;
        return copy;
}

static void copy_free(const char *copy) {
        if (!copy)
                return;
        intern_unref(copies.interner, copy);
        if (--copies.users == 0)
                copies.interner = interner_free(copies.interner);
}

static size_t slot_of(const Memo *memo, const char *text) {
        /* Fibonacci hashing: allocator addresses differ in their middle bits. */
        uint64_t hash = (uint64_t) (uintptr_t) text * UINT64_C(0x9e3779b97f4a7c15);

        return (size_t) (hash >> 32) & (memo->n_slots - 1);
}

/* The entry of the address, or the free slot where it would go. There always is a free slot. */
static MemoEntry *find(const Memo *memo, const char *text) {
        size_t i = slot_of(memo, text);

        while (memo->entries[i].text && memo->entries[i].text != text)
                i = (i + 1) & (memo->n_slots - 1);
        return &memo->entries[i];
}

void memo_done(Memo *memo) {
        for (size_t i = 0; i < memo->n_slots; i++)
                copy_free(memo->entries[i].copy);
        free(memo->entries);
        *memo = (Memo){ 0 };
}

int memo_get(Memo *memo, const char *text) {
        MemoEntry *entry;

        if (memo->n_slots == 0)
                return -ENOENT;
        entry = find(memo, text);
        if (!entry->text || !streq(entry->copy, text)) {
                memo->misses++;
                return -ENOENT;
        }
        memo->hits++;
        return entry->answer;
}

/* Doubles the table. What does not fit because memory is short is forgotten. */
static int grow(Memo *memo) {
        Memo larger = { .n_slots = memo->n_slots ? 2 * memo->n_slots : SLOTS_FIRST };

        larger.entries = calloc(larger.n_slots, sizeof(MemoEntry));
        if (!larger.entries)
                return -ENOMEM;
        for (size_t i = 0; i < memo->n_slots; i++)
                if (memo->entries[i].text)
                        *find(&larger, memo->entries[i].text) = memo->entries[i];

        free(memo->entries);
        memo->entries = larger.entries;
        memo->n_slots = larger.n_slots;
        return 0;
}

/* Full: begins anew, or gives up where the texts did not repeat. */
static void retire(Memo *memo) {
        bool off = memo->hits < memo->misses;

        memo_done(memo);
        memo->off = off;
}

void memo_put(Memo *memo, const char *text, int answer) {
        MemoEntry *entry;
        const char *copy;

        if (memo->off)
                return;
        if (memo->n_used >= MEMO_MAX) {
                retire(memo);
                if (memo->off)
                        return;
        }
        if (2 * memo->n_used >= memo->n_slots && grow(memo) < 0)
                return;
        copy = copy_new(text);
        if (!copy)
                return;

        entry = find(memo, text);
        if (!entry->text)
                memo->n_used++;
        copy_free(entry->copy);
        *entry = (MemoEntry){ .text = text, .copy = copy, .answer = answer };
}
