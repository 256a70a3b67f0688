/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tells when somebody closes a device node, or the node goes. All watches share one inotify descriptor that stays open:
 * closing one waits for a grace period of the kernel (20 ms and more on Linux 6.1, where fsnotify marks are freed behind
 * SRCU), and everybody whom the loop serves would wait with it. No node is opened. */

#include <systemd/sd-event.h>

#include "lib/macro.h"

typedef struct NodeWatcher NodeWatcher;
typedef struct NodeWatch NodeWatch;

int node_watcher_new(sd_event *event, NodeWatcher **ret);
/* After its watches. */
NodeWatcher *node_watcher_free(NodeWatcher *watcher);

/* `nodes`: NULL-terminated paths; one that is not there is closed by nobody. Fails for one that cannot be watched: whoever
 * waited for it would wait for ever. `closed` may free the watch. */
int node_watch_new(NodeWatcher *watcher, char *const *nodes, void (*closed)(void *userdata), void *userdata,
                   NodeWatch **ret);
NodeWatch *node_watch_free(NodeWatch *watch);
