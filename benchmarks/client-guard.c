/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host needs, found out: an explanation after the last one has grown old, and one right after it. */
#include <stdio.h>
#include <time.h>

#include "client.h"

#define PAUSE_NSEC 200000000L /* beyond the second that evidence lasts */

static double explain(const char *path) {
        sd_bus_message *m = new_call(SERVICE, path, SERVICE ".Device", "Explain");
        int r = sd_bus_message_append(m, "a{sv}", 0);

        if (r < 0)
                fail("Explain", r, NULL);
        return timed(m);
}

void kind_guard(int n, char **words) {
        size_t rounds = rounds_of(n, words, 1, 10);
        double full[ROUNDS_MAX], again[ROUNDS_MAX];
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), ROOT "/devices/%s", words[0]);
        for (size_t i = 0; i < rounds; i++) {
                (void) nanosleep(&(struct timespec){ .tv_sec = 1, .tv_nsec = PAUSE_NSEC }, NULL);
                full[i] = explain(path);
                again[i] = explain(path);
        }
        print_pair(full, again, rounds);
}
