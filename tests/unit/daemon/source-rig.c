/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source-rig.h"

static void note(SourceRig *rig, const char *what, const HostDevice *host, const char *more) {
        size_t used = strlen(rig->events);

        (void) snprintf(rig->events + used, sizeof(rig->events) - used, "%s%s %s%s", used > 0 ? "; " : "",
                        what, host ? host->id : "", more);
}

static void on_added(void *userdata, HostDevice *host) {
        SourceRig *rig = userdata;

        note(rig, "added", host, "");
        if (rig->on_added)
                rig->on_added(rig, host);
}

static void on_changed(void *userdata, HostDevice *host, const char *action) {
        assert_string_equal(action, "rescan");
        if (host->differs)
                note(userdata, "changed", host, "");
}

static void on_removed(void *userdata, HostDevice *host) {
        SourceRig *rig = userdata;

        /* It can still be found. */
        assert_ptr_equal(source_find(rig->source, host->id), host);
        note(rig, "removed", host, "");
}

static void on_scanned(void *userdata) {
        note(userdata, "scanned", NULL, "");
}

int source_rig_set_up(void **state) {
        SourceRig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        host_tree_make(&rig->tree);
        assert_int_equal(interner_new(&rig->interner), 0);
        assert_int_equal(source_new(NULL, &rig->tree.sysfs, rig->interner,
                                    &(SourceEvents){ rig, on_added, on_changed, on_removed, on_scanned },
                                    &rig->source),
                         0);
        assert_int_equal(source_watch_subsystem(rig->source, "pci"), 0);
        *state = rig;
        return 0;
}

int source_rig_tear_down(void **state) {
        SourceRig *rig = *state;

        assert_null(source_free(rig->source));
        /* Nothing is left behind. */
        assert_int_equal(interner_count(rig->interner), 0);
        assert_null(interner_free(rig->interner));
        host_tree_remove(&rig->tree);
        free(rig);
        return 0;
}
