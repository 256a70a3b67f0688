/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Changes are noted by property and sent once a turn of the loop, so that a storm of events makes one signal an object. What
 * was noted goes out before an object is removed or a job's end is signalled. */

#include <stdio.h>

#include "bus-internal.h"
#include "log.h"

#define PROPERTIES_MAX 80u

/* Of no more size than it needs: after the first look at the host there is one for nearly every device. */
struct PendingChange {
        const char **properties; /* ends with NULL; string constants or a module's names, which live as long as we do */
        size_t n_properties;
        UT_hash_handle hh;
        char key[]; /* path, blank, interface */
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

static PendingChange *change_free(PendingChange *change) {
        if (!change)
                return NULL;
        free(change->properties);
        free(change);
        return NULL;
}

static PendingChange *get_change(Bus *b, const char *path, const char *interface) {
        char key[BUS_PATH_SIZE + 64];
        PendingChange *change;
        size_t length;

        (void) snprintf(key, sizeof(key), "%s %s", path, interface);
        length = strlen(key);
        HASH_FIND(hh, b->changes, key, length, change);
        if (change)
                return change;
        change = calloc(1, sizeof(*change) + length + 1);
        if (!change)
                return NULL;
        memcpy(change->key, key, length + 1);
        HASH_ADD_KEYPTR(hh, b->changes, change->key, length, change);
        return change;
}

/* The array has room for a power of two, and NULL at its end. */
static bool add_property(PendingChange *change, const char *property) {
        size_t n = change->n_properties;

        if (n >= PROPERTIES_MAX)
                return true;
        if ((n & (n - 1)) == 0) {
                const char **longer = reallocarray(change->properties, MAX_OF(2 * n, (size_t) 2) + 1, sizeof(char *));

                if (!longer)
                        return false;
                change->properties = longer;
        }
        change->properties[n] = property;
        change->properties[n + 1] = NULL;
        change->n_properties++;
        return true;
}

void bus_note_change(Bus *b, const char *path, const char *interface, const char *property) {
        PendingChange *change;

        if (!b->named)
                return; /* nobody has seen the object yet */
        change = get_change(b, path, interface);
        if (!change)
                return;
        for (size_t i = 0; i < change->n_properties; i++)
                if (streq(change->properties[i], property))
                        return;
        if (add_property(change, property))
                (void) arm(b);
}

void bus_emit_changes(Bus *b) {
        PendingChange *change, *next;

        HASH_ITER(hh, b->changes, change, next) {
                char *interface = strchr(change->key, ' ');

                HASH_DEL(b->changes, change);
                *interface++ = '\0';
                int r = change->properties ? sd_bus_emit_properties_changed_strv(b->bus, change->key, interface,
                                                                                 (char **) change->properties)
                                           : 0;
                if (r < 0 && r != -ENOENT) /* the object went meanwhile, its removal was signalled */
                        log_plain(LOG_WARNING, "the changes of %s could not be signalled: %s", change->key, strerror(-r));
                change_free(change);
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
                change_free(change);
        }
        sd_event_source_disable_unref(b->emit);
}
