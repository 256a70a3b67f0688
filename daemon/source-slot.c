/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/stat.h>

#include "log.h"
#include "source-internal.h"

/* Physical slots of PCI cards, as the firmware or a hotplug driver numbers them. They rarely change, and
 * a host can have thousands, so they are read once and again only when their folder looks different. */

#define SLOTS "sys/bus/pci/slots"

void source_clear_slots(Source *source) {
        Slot *slot, *next;

        HASH_ITER(hh, source->slots, slot, next) {
                HASH_DEL(source->slots, slot);
                intern_unref(source->interner, slot->name);
                free(slot);
        }
        memset(&source->slots_seen, 0, sizeof(source->slots_seen));
}

static void add_slot(void *userdata, const char *name) {
        char path[SOURCE_NAME_MAX * 2], address[64];
        Source *source = userdata;
        Slot *slot = NULL;
        ssize_t n;

        n = snprintf(path, sizeof(path), SLOTS "/%s/address", name);
        if (n < 0 || (size_t) n >= sizeof(path))
                return;
        n = attribute_read(source->sysfs.root_fd, path, address, sizeof(address));
        if (n <= 0)
                return;
        HASH_FIND_STR(source->slots, address, slot);
        if (slot)
                return;

        slot = calloc(1, offsetof(Slot, address) + (size_t) n + 1);
        if (!slot)
                return;
        slot->name = intern(source->interner, name);
        if (!slot->name) {
                free(slot);
                return;
        }
        memcpy(slot->address, address, (size_t) n + 1);
        HASH_ADD_KEYPTR(hh, source->slots, slot->address, (size_t) n, slot);
}

void source_refresh_slots(Source *source) {
        const struct stat *seen = &source->slots_seen;
        struct stat st;
        int r;

        if (!source_subsystem(source, "pci"))
                return;
        if (fstatat(source->sysfs.root_fd, SLOTS, &st, 0) < 0)
                memset(&st, 0, sizeof(st));
        /* The number of links is that of the folders within; sysfs keeps no reliable times, so it counts
         * most. */
        if (st.st_nlink == seen->st_nlink && st.st_ino == seen->st_ino &&
            st.st_mtim.tv_sec == seen->st_mtim.tv_sec && st.st_mtim.tv_nsec == seen->st_mtim.tv_nsec)
                return;

        source_clear_slots(source);
        r = sysfs_list(&source->sysfs, "/" SLOTS, add_slot, source);
        if (r >= 0)
                source->slots_seen = st;
        else if (r != -ENOENT)
                log_plain(LOG_WARNING, "PCI slots cannot be listed: %s", strerror(-r));
}

const char *source_slot_of(Source *source, const char *address) {
        char place[64];
        Slot *slot;

        if (!source->slots || strlen(address) >= sizeof(place))
                return NULL;

        /* "0000:3b:00", or "0000:3b" for a slot that holds a whole bus. */
        memcpy(place, address, strlen(address) + 1);
        for (const char *mark = ".:"; *mark; mark++) {
                char *end = strrchr(place, *mark);

                if (!end)
                        return NULL;
                *end = '\0';
                HASH_FIND_STR(source->slots, place, slot);
                if (slot)
                        return slot->name;
        }
        return NULL;
}
