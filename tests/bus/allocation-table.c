/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints the transition table as docs/allocation-states.md shows it. */

#include <stdio.h>

#include "daemon/allocation-state.h"

int main(void) {
        printf("| state |");
        for (int event = 0; event < _EVENT_MAX; event++)
                printf(" %s |", allocation_event_to_string((AllocationEvent) event));
        printf("\n|---|");
        for (int event = 0; event < _EVENT_MAX; event++)
                printf("---|");
        putchar('\n');
        for (int state = 0; state < _ALLOCATION_STATE_MAX; state++) {
                printf("| %s |", allocation_state_to_string((AllocationState) state));
                for (int event = 0; event < _EVENT_MAX; event++) {
                        AllocationState next = allocation_next((AllocationState) state, (AllocationEvent) event);

                        printf(" %s |", (int) next < 0 ? "" : allocation_state_to_string(next));
                }
                putchar('\n');
        }
        return 0;
}
