/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <uthash.h>

#include "intern.h"

typedef struct Entry {
        UT_hash_handle hh;
        unsigned references;
        char text[];
} Entry;

struct Interner {
        Entry *entries;
};

int interner_new(Interner **ret) {
        Interner *interner;

        interner = calloc(1, sizeof(*interner));
        if (!interner)
                return -ENOMEM;

        *ret = interner;
        return 0;
}

Interner *interner_free(Interner *interner) {
        Entry *entry, *next;

        if (!interner)
                return NULL;

        HASH_ITER(hh, interner->entries, entry, next) {
                HASH_DEL(interner->entries, entry);
                free(entry);
        }
        free(interner);
        return NULL;
}

const char *intern(Interner *interner, const char *text) {
        unsigned hash;
        size_t length;
        Entry *entry;

        if (!text)
                return NULL;

        length = strlen(text);
        HASH_VALUE(text, length, hash);
        HASH_FIND_BYHASHVALUE(hh, interner->entries, text, length, hash, entry);
        if (entry) {
                entry->references++;
                return entry->text;
        }

        entry = malloc(offsetof(Entry, text) + length + 1);
        if (!entry)
                return NULL;
        entry->references = 1;
        memcpy(entry->text, text, length + 1);
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, interner->entries, entry->text, length, hash, entry);
        return entry->text;
}

const char *interner_find(const Interner *interner, const char *text) {
        Entry *entry;

        HASH_FIND(hh, interner->entries, text, strlen(text), entry);
        return entry ? entry->text : NULL;
}

void intern_unref(Interner *interner, const char *text) {
        Entry *entry;

        if (!text)
                return;

        entry = (Entry *) (text - offsetof(Entry, text));
        assert(entry->references > 0);
        if (--entry->references > 0)
                return;

        HASH_DEL(interner->entries, entry);
        free(entry);
}

size_t interner_count(const Interner *interner) {
        return HASH_COUNT(interner->entries);
}
