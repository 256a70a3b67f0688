/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Changes are noted by property and sent once a turn of the loop, so that a storm of events makes one signal an object. What
 * was noted goes out before an object is removed or a job's end is signalled. */

#include <stdio.h>

#include "bus-internal.h"
#include "log.h"

#define PROPERTIES_MAX 80u

struct PendingChange {
        char key[BUS_PATH_SIZE + 64]; /* path, blank, interface */
        const char *properties[PROPERTIES_MAX + 1]; /* string constants or a module's names, which live as long as we do */
        size_t n_properties;
        UT_hash_handle hh;
};

static int on_emit(sd_event_source *source, void *userdata) {
        bus_emit_changes(userdata);
        return 0;
}

static int arm(Bus *b) {
        int r;

        if (b->emit)
                return sd_event_source_set_enabled(b->emit, SD_EVENT_ONESHOT);
        r = sd_event_add_defer(b->event, &b->emit, on_emit, b);
        if (r >= 0)
                r = sd_event_source_set_priority(b->emit, SD_EVENT_PRIORITY_NORMAL + 10);
        return r;
}

void bus_note_change(Bus *b, const char *path, const char *interface, const char *property) {
        char key[BUS_PATH_SIZE + 64];
        PendingChange *change;

        if (!b->named)
                return; /* nobody has seen the object yet */
        snprintf(key, sizeof(key), "%s %s", path, interface);
        HASH_FIND_STR(b->changes, key, change);
        if (!change) {
                change = calloc(1, sizeof(PendingChange));
                if (!change)
                        return;
                memcpy(change->key, key, sizeof(key));
                HASH_ADD_STR(b->changes, key, change);
        }
        for (size_t i = 0; i < change->n_properties; i++)
                if (streq(change->properties[i], property))
                        return;
        if (change->n_properties < PROPERTIES_MAX)
                change->properties[change->n_properties++] = property;
        (void) arm(b);
}

void bus_emit_changes(Bus *b) {
        PendingChange *change, *next;

        HASH_ITER(hh, b->changes, change, next) {
                char *interface = strchr(change->key, ' ');

                HASH_DEL(b->changes, change);
                *interface++ = '\0';
                int r = sd_bus_emit_properties_changed_strv(b->bus, change->key, interface, (char **) change->properties);
                if (r < 0 && r != -ENOENT) /* the object went meanwhile, its removal was signalled */
                        log_plain(LOG_WARNING, "the changes of %s could not be signalled: %s", change->key, strerror(-r));
                free(change);
        }
}

int bus_emit_added(Bus *b, ObjectKind kind, const char *id) {
        char path[BUS_PATH_SIZE];

        if (!b->named)
                return 0;
        bus_path(kind, id, path);
        return sd_bus_emit_object_added(b->bus, path);
}

int bus_emit_removed(Bus *b, ObjectKind kind, const char *id) {
        char path[BUS_PATH_SIZE];

        if (!b->named)
                return 0;
        bus_emit_changes(b);
        bus_path(kind, id, path);
        return sd_bus_emit_object_removed(b->bus, path);
}

void bus_signals_free(Bus *b) {
        PendingChange *change, *next;

        HASH_ITER(hh, b->changes, change, next) {
                HASH_DEL(b->changes, change);
                free(change);
        }
        sd_event_source_disable_unref(b->emit);
}
