/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host needs, found out: a plan after the last evidence has grown old, and one right after it. It is about the removal
 * of a group, which asks a worker for nothing else. */
#include <stdio.h>
#include <time.h>

#include "client.h"

#define PAUSE_NSEC 200000000L /* beyond the second that evidence lasts */

static double plan(const char *group) {
        sd_bus_message *m = new_call(SERVICE, ROOT, MANAGER, "Plan");
        char path[PATH_SIZE];
        int r;

        (void) snprintf(path, sizeof(path), ROOT "/groups/%s", group);
        r = sd_bus_message_append(m, "saoaa{sv}a{sv}", "remove", 1, path, 0, 0);
        if (r < 0)
                fail("Plan", r, NULL);
        return timed(m);
}

void kind_guard(int n, char **words) {
        size_t rounds = rounds_of(n, words, 1, 10);
        double full[ROUNDS_MAX], again[ROUNDS_MAX];

        for (size_t i = 0; i < rounds; i++) {
                (void) nanosleep(&(struct timespec){ .tv_sec = 1, .tv_nsec = PAUSE_NSEC }, NULL);
                full[i] = plan(words[0]);
                again[i] = plan(words[0]);
        }
        print_pair(full, again, rounds);
}
