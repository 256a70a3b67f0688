/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory.h"

#include <malloc.h>

#include "log.h"

/* Larger pieces are mapped each for itself and go when they are freed. */
#define MAPPED_BYTES (128 * 1024)
/* What followed the work (signals to clients, the answer of the store) is over by then; nothing hangs on it. */
#define SETTLE_USEC UINT64_C(200000)

/* glibc raises its threshold to the size of each mapped piece that is freed, up to 32 MiB. One answer with thousands of devices,
 * and the next is part of the heap: what is kept afterwards comes to lie above it, and the hole below stays ours for ever. A
 * threshold that was set is not raised. */
void memory_begin(void) {
        (void) mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
        (void) mallopt(M_TRIM_THRESHOLD, MAPPED_BYTES);
}

/* The heap shrinks by itself only from its end. After the start a quarter of it is holes between devices: what was noted of
 * each for a signal or a record. */
static int on_settled(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) malloc_trim(0);
        return 0;
}

void memory_settle(Manager *m) {
        int r;

        if (m->stopping)
                return;
        if (!m->memory)
                r = sd_event_add_time_relative(m->event, &m->memory, CLOCK_MONOTONIC, SETTLE_USEC, 0, on_settled, m);
        else {
                r = sd_event_source_set_time_relative(m->memory, SETTLE_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(m->memory, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_plain(LOG_DEBUG, "free memory is not given back: %s", strerror(-r));
}
