/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The measuring client. What it prints are microseconds unless said otherwise; "OURS BARE" are medians of alternating
 * rounds. Kinds that end with their standard input say "ready" when they have begun. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"

static const struct {
        const char *name, *words;
        int least; /* number of words */
        void (*run)(int n, char **words);
} kinds[] = {
        { "list", "FIELD...: all devices in pages of 100, every value parsed: OURS BARE", 1, kind_list },
        { "find", "FIELD OPERATOR VALUE [ROUNDS]: what a condition fits: OURS BARE", 3, kind_find },
        { "details", "ELEMENT [ROUNDS]: the fields of one device: OURS BARE", 1, kind_details },
        { "ping", "ours|echo ROUNDS: a small call; 0: until the input ends: P50 P99 MAX COUNT", 2, kind_ping },
        { "load", "ours|echo FIELD...: pages without end, until the input ends", 2, kind_load },
        { "events", "SLOT DRIVER [ROUNDS]: from unbind or bind to the signal: OURS BARE", 2, kind_events },
        { "storm", "PID PID [ROUNDS]: 4,096 events: CPU OURS BARE, WALL OURS BARE", 2, kind_storm },
        { "subscribe", "COUNT: clients that listen, until the input ends", 1, kind_subscribe },
        { "cycle", "GROUP SLOT DRIVER DIRECTORY [ROUNDS]: allocate, activate, release: OURS BARE", 4, kind_cycle },
        { "crowd", "GROUP CLIENTS [ROUNDS]: one by one, all at once, DOUBLED devices", 2, kind_crowd },
        { "ask", "GROUP COUNT: calls that wait for permission, until the input ends", 2, kind_ask },
        { "guard", "GROUP [ROUNDS]: what the host needs, found out: FULL AGAIN", 1, kind_guard },
        { "usb", "FILE [SECONDS] [RATE]: events that change drivers: OURS and BARE P50 P99 MAX CAME, SENT OVERTAKEN RATE", 1, kind_usb },
        { "start", "PROGRAM CONFIGURATION: from exec to the first answer", 2, kind_start },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv) {
        for (size_t i = 0; argc > 1 && i < N_KINDS; i++) {
                int r;

                if (strcmp(kinds[i].name, argv[1]) != 0 || argc - 2 < kinds[i].least)
                        continue;
                r = sd_bus_open_system(&client_bus);
                if (r < 0)
                        fail("the bus", r, NULL);
                kinds[i].run(argc - 2, argv + 2);
                sd_bus_flush_close_unref(client_bus);
                return 0;
        }
        for (size_t i = 0; i < N_KINDS; i++)
                (void) fprintf(stderr, "bench-client %s %s\n", kinds[i].name, kinds[i].words);
        return 2;
}
