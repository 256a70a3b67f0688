/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <uthash.h>

#include "resource-keys.h"

typedef struct Holder Holder;

typedef struct Key {
        bool exclusive;
        const Holder *closed_by; /* one of those who share it: nobody else may come; NULL for none */
        Holder **holders; /* one when exclusive, never none */
        size_t n_holders;
        UT_hash_handle hh;
        char name[];
} Key;

/* A holder knows its keys, so that letting go costs what it has and not what there is. */
struct Holder {
        Key **keys;
        size_t n_keys;
        UT_hash_handle hh;
        char id[];
};

struct KeyTable {
        Key *keys;
        Holder *holders;
};

int key_table_new(KeyTable **ret) {
        KeyTable *table;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;

        *ret = table;
        return 0;
}

static void key_free(KeyTable *table, Key *key) {
        HASH_DEL(table->keys, key);
        free(key->holders);
        free(key);
}

static void holder_free(KeyTable *table, Holder *holder) {
        HASH_DEL(table->holders, holder);
        free(holder->keys);
        free(holder);
}

KeyTable *key_table_free(KeyTable *table) {
        Holder *holder, *next_holder;
        Key *key, *next_key;

        if (!table)
                return NULL;

        HASH_ITER(hh, table->keys, key, next_key)
                key_free(table, key);
        HASH_ITER(hh, table->holders, holder, next_holder)
                holder_free(table, holder);
        free(table);
        return NULL;
}

static Key *find_key(KeyTable *table, const char *name) {
        Key *key;

        HASH_FIND_STR(table->keys, name, key);
        return key;
}

static Holder *find_holder(KeyTable *table, const char *id) {
        Holder *holder;

        HASH_FIND_STR(table->holders, id, holder);
        return holder;
}

static bool key_has_holder(const Key *key, const Holder *holder) {
        for (size_t i = 0; i < key->n_holders; i++)
                if (key->holders[i] == holder)
                        return true;
        return false;
}

/* The first holder that keeps `self` (NULL: nobody known yet) from having the key that way. `beside`: those who share it do not. */
static const Holder *holder_in_the_way(const Key *key, const Holder *self, bool exclusive, bool beside) {
        if (key->closed_by && key->closed_by != self && (exclusive || !key_has_holder(key, self)))
                return key->closed_by;
        if ((!exclusive || beside) && !key->exclusive)
                return NULL;
        for (size_t i = 0; i < key->n_holders; i++)
                if (key->holders[i] != self)
                        return key->holders[i];
        return NULL;
}

static int check(KeyTable *table, const KeyList *keys, const char *holder, bool beside, const char **ret_holder,
                 Fault *fault) {
        Holder *self = find_holder(table, holder);

        for (size_t i = 0; i < keys->n_items; i++) {
                const KeySpec *spec = keys->items + i;
                Key *key = find_key(table, spec->key);
                const Holder *other = key ? holder_in_the_way(key, self, spec->exclusive, beside) : NULL;

                if (!other)
                        continue;
                if (ret_holder)
                        *ret_holder = other->id;
                if (key->n_holders > 1)
                        return fault_set(fault, -EBUSY, FAULT_DEVICE_BUSY, "%s is held by %s and %zu more",
                                         spec->key, other->id, key->n_holders - 1);
                return fault_set(fault, -EBUSY, FAULT_DEVICE_BUSY, "%s is held by %s", spec->key, other->id);
        }

        return 0;
}

int key_table_check(KeyTable *table, const KeyList *keys, const char *holder, const char **ret_holder, Fault *fault) {
        return check(table, keys, holder, false, ret_holder, fault);
}

int key_table_check_beside(KeyTable *table, const KeyList *keys, const char *holder, const char **ret_holder, Fault *fault) {
        return check(table, keys, holder, true, ret_holder, fault);
}

static Holder *obtain_holder(KeyTable *table, const char *id) {
        size_t length = strlen(id);
        Holder *holder = find_holder(table, id);

        if (holder)
                return holder;

        holder = calloc(1, offsetof(Holder, id) + length + 1);
        if (!holder)
                return NULL;
        memcpy(holder->id, id, length + 1);
        HASH_ADD_KEYPTR(hh, table->holders, holder->id, length, holder);
        return holder;
}

static Key *obtain_key(KeyTable *table, const char *name) {
        size_t length = strlen(name);
        Key *key = find_key(table, name);

        if (key)
                return key;

        key = calloc(1, offsetof(Key, name) + length + 1);
        if (!key)
                return NULL;
        memcpy(key->name, name, length + 1);
        HASH_ADD_KEYPTR(hh, table->keys, key->name, length, key);
        return key;
}

static void key_drop_holder(KeyTable *table, Key *key, const Holder *holder) {
        for (size_t i = 0; i < key->n_holders; i++)
                if (key->holders[i] == holder) {
                        key->holders[i] = key->holders[--key->n_holders];
                        break;
                }
        if (key->closed_by == holder)
                key->closed_by = NULL;
        if (key->n_holders == 0)
                key_free(table, key);
}

/* The holder has room for one more key. */
static int link_key(KeyTable *table, Holder *holder, const char *name) {
        Holder **holders;
        Key *key;

        key = obtain_key(table, name);
        if (!key)
                return -ENOMEM;
        if (key_has_holder(key, holder))
                return 0;

        holders = reallocarray(key->holders, key->n_holders + 1, sizeof(*holders));
        if (!holders) {
                if (key->n_holders == 0)
                        key_free(table, key);
                return -ENOMEM;
        }
        key->holders = holders;
        key->holders[key->n_holders++] = holder;
        holder->keys[holder->n_keys++] = key;
        return 0;
}

/* Exclusive stays exclusive when its holder asks for less. */
static void close_key(Key *key, const Holder *self) {
        if (key->n_holders == 1)
                key->exclusive = true;
        else
                key->closed_by = self;
}

static int take(KeyTable *table, const KeyList *keys, const char *holder, bool beside, Fault *fault) {
        size_t before;
        Holder *self;
        Key **owned;
        int r;

        r = check(table, keys, holder, beside, NULL, fault);
        if (r < 0)
                return r;
        if (keys->n_items == 0)
                return 0;

        self = obtain_holder(table, holder);
        if (!self)
                return fault_oom(fault);
        before = self->n_keys;
        owned = reallocarray(self->keys, before + keys->n_items, sizeof(*owned));
        r = owned ? 0 : -ENOMEM;
        if (owned)
                self->keys = owned;

        for (size_t i = 0; r >= 0 && i < keys->n_items; i++)
                r = link_key(table, self, keys->items[i].key);
        if (r < 0) {
                while (self->n_keys > before)
                        key_drop_holder(table, self->keys[--self->n_keys], self);
                if (before == 0)
                        holder_free(table, self);
                return fault_oom(fault);
        }

        /* Nobody else is there, as was checked, but those whom it is taken beside. */
        for (size_t i = 0; i < keys->n_items; i++)
                if (keys->items[i].exclusive)
                        close_key(find_key(table, keys->items[i].key), self);
        return 0;
}

int key_table_take(KeyTable *table, const KeyList *keys, const char *holder, Fault *fault) {
        return take(table, keys, holder, false, fault);
}

int key_table_take_beside(KeyTable *table, const KeyList *keys, const char *holder, Fault *fault) {
        return take(table, keys, holder, true, fault);
}

void key_table_release(KeyTable *table, const char *holder) {
        Holder *self = find_holder(table, holder);

        if (!self)
                return;

        while (self->n_keys > 0)
                key_drop_holder(table, self->keys[--self->n_keys], self);
        holder_free(table, self);
}

const char *key_table_holder(KeyTable *table, const char *key) {
        Key *found = find_key(table, key);

        return found ? found->holders[0]->id : NULL;
}

size_t key_table_count(const KeyTable *table) {
        return HASH_COUNT(table->keys);
}

void key_list_done(KeyList *list) {
        for (size_t i = 0; i < list->n_items; i++)
                free(list->items[i].key);
        free(list->items);
        *list = (KeyList){ 0 };
}

int key_list_add(KeyList *list, const char *key, bool exclusive) {
        KeySpec *items;
        char *copy;

        if (isempty(key))
                return -EINVAL;
        for (size_t i = 0; i < list->n_items; i++)
                if (streq(list->items[i].key, key)) {
                        list->items[i].exclusive |= exclusive;
                        return 0;
                }

        items = reallocarray(list->items, list->n_items + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        list->items = items;
        copy = strdup(key);
        if (!copy)
                return -ENOMEM;
        items[list->n_items++] = (KeySpec){ .key = copy, .exclusive = exclusive };
        return 0;
}
