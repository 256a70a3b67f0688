/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "allocation-state.h"

static const char *const allocation_state_table[_ALLOCATION_STATE_MAX] = {
        [ALLOCATION_CLAIMED] = "claimed",       [ALLOCATION_WAITING] = "waiting",
        [ALLOCATION_ACTIVATING] = "activating", [ALLOCATION_ACTIVE] = "active",
        [ALLOCATION_DRAINING] = "draining",     [ALLOCATION_DEACTIVATING] = "deactivating",
        [ALLOCATION_LOST] = "lost",             [ALLOCATION_FAILED] = "failed",
        [ALLOCATION_GONE] = "gone",             [ALLOCATION_FOLLOWING] = "following",
};
DEFINE_STRING_TABLE(allocation_state, AllocationState, allocation_state_table)

static const char *const allocation_event_table[_EVENT_MAX] = {
        [EVENT_ACTIVATE] = "activate",
        [EVENT_NO_DEVICE] = "no-device",
        [EVENT_ACTIVATED] = "activated",
        [EVENT_UNDONE] = "undone",
        [EVENT_UNDO_FAILED] = "undo-failed",
        [EVENT_DEACTIVATE] = "deactivate",
        [EVENT_UNDO] = "undo",
        [EVENT_DEVICE_LOST] = "device-lost",
        [EVENT_CANCEL] = "cancel",
        [EVENT_CRASH] = "crash",
        [EVENT_REBOOT] = "reboot",
        [EVENT_RELEASE] = "release",
        [EVENT_DEVICE_AWAY] = "device-away",
        [EVENT_FOLLOWED] = "followed",
};
DEFINE_STRING_TABLE(allocation_event, AllocationEvent, allocation_event_table)

/* Stored one higher, so that an entry that is not written is "no such transition". */
#define TO(state) ((AllocationState) ((state) + 1))

static const AllocationState transitions[_ALLOCATION_STATE_MAX][_EVENT_MAX] = {
        [ALLOCATION_CLAIMED] = {
                [EVENT_ACTIVATE] = TO(ALLOCATION_ACTIVATING),
                [EVENT_NO_DEVICE] = TO(ALLOCATION_WAITING),
                [EVENT_CRASH] = TO(ALLOCATION_CLAIMED),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
                [EVENT_RELEASE] = TO(ALLOCATION_GONE),
        },
        [ALLOCATION_WAITING] = {
                [EVENT_ACTIVATE] = TO(ALLOCATION_ACTIVATING),
                [EVENT_NO_DEVICE] = TO(ALLOCATION_WAITING),
                [EVENT_CANCEL] = TO(ALLOCATION_CLAIMED),
                [EVENT_CRASH] = TO(ALLOCATION_CLAIMED),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
                [EVENT_RELEASE] = TO(ALLOCATION_GONE),
        },
        [ALLOCATION_ACTIVATING] = {
                [EVENT_ACTIVATED] = TO(ALLOCATION_ACTIVE),
                [EVENT_UNDO] = TO(ALLOCATION_DEACTIVATING), /* a step failed, or the job was cancelled */
                [EVENT_UNDONE] = TO(ALLOCATION_CLAIMED),    /* failed before the first step */
                [EVENT_CRASH] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
        [ALLOCATION_ACTIVE] = {
                [EVENT_DEACTIVATE] = TO(ALLOCATION_DRAINING),
                [EVENT_UNDO] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_DEVICE_LOST] = TO(ALLOCATION_LOST),
                [EVENT_DEVICE_AWAY] = TO(ALLOCATION_FOLLOWING),
                [EVENT_CRASH] = TO(ALLOCATION_ACTIVE),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
        [ALLOCATION_DRAINING] = {
                [EVENT_UNDO] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_CANCEL] = TO(ALLOCATION_ACTIVE),
                [EVENT_DEVICE_LOST] = TO(ALLOCATION_LOST),
                [EVENT_CRASH] = TO(ALLOCATION_DRAINING),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
        [ALLOCATION_DEACTIVATING] = {
                [EVENT_UNDONE] = TO(ALLOCATION_CLAIMED),
                [EVENT_UNDO_FAILED] = TO(ALLOCATION_FAILED),
                [EVENT_CRASH] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
        [ALLOCATION_LOST] = {
                [EVENT_UNDO] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_DEVICE_LOST] = TO(ALLOCATION_LOST),
                [EVENT_CRASH] = TO(ALLOCATION_LOST),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
        [ALLOCATION_FAILED] = {
                [EVENT_UNDO] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_DEVICE_LOST] = TO(ALLOCATION_FAILED),
                [EVENT_CRASH] = TO(ALLOCATION_DEACTIVATING), /* a restart tries again, once */
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
        [ALLOCATION_FOLLOWING] = {
                [EVENT_FOLLOWED] = TO(ALLOCATION_ACTIVE),
                [EVENT_DEVICE_AWAY] = TO(ALLOCATION_FOLLOWING),
                [EVENT_DEVICE_LOST] = TO(ALLOCATION_LOST), /* it did not come back in time */
                [EVENT_UNDO] = TO(ALLOCATION_DEACTIVATING),
                [EVENT_CRASH] = TO(ALLOCATION_FOLLOWING),
                [EVENT_REBOOT] = TO(ALLOCATION_CLAIMED),
        },
};

AllocationState allocation_next(AllocationState state, AllocationEvent event) {
        if ((int) state < 0 || state >= _ALLOCATION_STATE_MAX || (int) event < 0 || event >= _EVENT_MAX)
                return _ALLOCATION_STATE_INVALID;

        AllocationState next = transitions[state][event];
        return next == 0 ? _ALLOCATION_STATE_INVALID : (AllocationState) (next - 1);
}

bool allocation_state_holds(AllocationState state) {
        return state == ALLOCATION_ACTIVATING || state == ALLOCATION_ACTIVE || state == ALLOCATION_DRAINING ||
               state == ALLOCATION_DEACTIVATING || state == ALLOCATION_LOST || state == ALLOCATION_FAILED ||
               state == ALLOCATION_FOLLOWING;
}
