/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The source over a tree, without a loop: scans are done at once. What it reports is written down as
 * words. */

#include "daemon/source.h"
#include "host-tree.h"

typedef struct SourceRig {
        HostTree tree;
        Interner *interner;
        Source *source;
        char events[4096]; /* "added ID; removed ID; scanned " */
        void (*on_added)(struct SourceRig *rig, HostDevice *host);
} SourceRig;

/* For cmocka; "pci" is watched. */
int source_rig_set_up(void **state);
int source_rig_tear_down(void **state);

static inline void assert_events(SourceRig *rig, const char *expected) {
        assert_string_equal(rig->events, expected);
        rig->events[0] = '\0';
}
