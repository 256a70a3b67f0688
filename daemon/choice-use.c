/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "choice-use.h"

#include <stdio.h>

#include "provider.h"

/* A name that devices share ("iommu:17", "card:0000:3b:00", "below:/devices/pci0000:3a"), or that of one
 * device alone, and how many devices in use have it. */
typedef struct Use {
        unsigned count;
        UT_hash_handle hh;
        char name[];
} Use;

struct UseTable {
        Use *uses;
};

#define NAME_SIZE 512

typedef enum Relation {
        RELATION_SELF,
        RELATION_IOMMU_GROUP,
        RELATION_CARD,
        RELATION_PARENT,
        RELATION_PROVIDER,
        _RELATION_MAX,
} Relation;

/* The length of the text up to the last of the characters, of all of it when there is none. */
static int length_before(const char *text, char last) {
        const char *end = strrchr(text, last);

        return (int) (end ? (size_t) (end - text) : strlen(text));
}

/* Writes the name; false where the device has no such relation. A path too long for the buffer counts as
 * none. */
static bool name_of(const HostDevice *host, Relation relation, char name[static NAME_SIZE]) {
        int n = -1;

        switch (relation) {
        case RELATION_SELF:
                n = snprintf(name, NAME_SIZE, "device:%s", host->id);
                break;
        case RELATION_IOMMU_GROUP:
                if (host->iommu_group >= 0)
                        n = snprintf(name, NAME_SIZE, "iommu:%d", (int) host->iommu_group);
                break;
        case RELATION_CARD:
                if (host->slot)
                        n = snprintf(name, NAME_SIZE, "slot:%s", host->slot);
                else if (streq(host->subsystem, "pci"))
                        n = snprintf(name, NAME_SIZE, "card:%.*s", length_before(host->sysname, '.'),
                                     host->sysname);
                break;
        case RELATION_PARENT:
                if (host->above)
                        n = snprintf(name, NAME_SIZE, "below:%s", host->above);
                break;
        case RELATION_PROVIDER:
                for (const Device *device = host->offers; device && n < 0; device = device->next_offer)
                        if (device->role != PT_ROLE_PROVIDER && device->provider)
                                n = snprintf(name, NAME_SIZE, "provider:%s", device->provider->key);
                break;
        case _RELATION_MAX:
                break;
        }
        return n >= 0 && n < NAME_SIZE;
}

/* The entry of the device's relation, made when there is none yet; NULL where the device has no such
 * relation. */
static int find_use(UseTable *table, const HostDevice *host, Relation relation, Use **ret) {
        char name[NAME_SIZE];
        size_t n;
        Use *use;

        *ret = NULL;
        if (!name_of(host, relation, name))
                return 0;
        n = strlen(name);
        HASH_FIND(hh, table->uses, name, n, use);
        if (!use) {
                use = calloc(1, sizeof(Use) + n + 1);
                if (!use)
                        return -ENOMEM;
                memcpy(use->name, name, n);
                HASH_ADD_KEYPTR(hh, table->uses, use->name, n, use);
        }
        *ret = use;
        return 0;
}

int use_table_add(UseTable *table, const HostDevice *host) {
        for (Relation relation = RELATION_SELF; relation < _RELATION_MAX; relation++) {
                Use *use;

                if (find_use(table, host, relation, &use) < 0)
                        return -ENOMEM;
                /* Two modules may offer it, and both say that it is claimed. */
                if (relation == RELATION_SELF && use && use->count > 0)
                        return 0;
                if (use)
                        use->count++;
        }
        return 0;
}

int use_table_new(Inventory *inventory, UseTable **ret) {
        _cleanup_(use_table_freep) UseTable *table = calloc(1, sizeof(UseTable));

        if (!table)
                return -ENOMEM;
        for (Device *device = inventory_first(inventory); device; device = device->hh.next)
                if (device->allocation && use_table_add(table, device->host) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(table);
        return 0;
}

UseTable *use_table_free(UseTable *table) {
        Use *use, *next;

        if (!table)
                return NULL;
        HASH_ITER(hh, table->uses, use, next) {
                HASH_DEL(table->uses, use);
                free(use);
        }
        free(table);
        return NULL;
}

int use_table_look(UseTable *table, const HostDevice *host, Surroundings *ret) {
        Use *uses[_RELATION_MAX];

        for (Relation relation = RELATION_SELF; relation < _RELATION_MAX; relation++)
                if (find_use(table, host, relation, &uses[relation]) < 0)
                        return -ENOMEM;
        *ret = (Surroundings){
                .self = uses[RELATION_SELF] ? &uses[RELATION_SELF]->count : NULL,
                .iommu_group = uses[RELATION_IOMMU_GROUP] ? &uses[RELATION_IOMMU_GROUP]->count : NULL,
                .card = uses[RELATION_CARD] ? &uses[RELATION_CARD]->count : NULL,
                .parent = uses[RELATION_PARENT] ? &uses[RELATION_PARENT]->count : NULL,
                .provider = uses[RELATION_PROVIDER] ? &uses[RELATION_PROVIDER]->count : NULL,
        };
        return 0;
}

Nearness nearness_of(const Surroundings *s) {
        /* A device is not near itself. */
        unsigned own = s->self ? *s->self : 0;

        return (Nearness){
                .iommu_group = s->iommu_group ? *s->iommu_group - own : 0,
                .card = s->card ? *s->card - own : 0,
                .parent = s->parent ? *s->parent - own : 0,
                .provider = s->provider ? *s->provider - own : 0,
        };
}
