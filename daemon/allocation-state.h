/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The life of an allocation as a table: which event leads from which state to which. docs/allocation-states.md is made from
 * the same words. */

#include "lib/macro.h"

typedef enum AllocationState {
        ALLOCATION_CLAIMED,      /* a wish; holds devices only when thick */
        ALLOCATION_WAITING,      /* no device was free; activates by itself when one is */
        ALLOCATION_ACTIVATING,   /* devices locked, steps under way */
        ALLOCATION_ACTIVE,       /* the consumer may use its devices */
        ALLOCATION_DRAINING,     /* to be given back as soon as nobody has a device open */
        ALLOCATION_DEACTIVATING, /* steps are being undone */
        ALLOCATION_LOST,         /* a device vanished while active */
        ALLOCATION_FAILED,       /* a give-back did not succeed; devices stay locked, the steps that remain are recorded */
        ALLOCATION_GONE,         /* released */
        ALLOCATION_FOLLOWING,    /* a device vanished and may come back; it is made ready again then */
        _ALLOCATION_STATE_MAX,
        _ALLOCATION_STATE_INVALID = -EINVAL,
} AllocationState;
DECLARE_STRING_TABLE(allocation_state, AllocationState);

typedef enum AllocationEvent {
        EVENT_ACTIVATE,        /* asked for, devices chosen and locked */
        EVENT_NO_DEVICE,       /* asked for with `wait`, none free */
        EVENT_ACTIVATED,       /* every step succeeded */
        EVENT_UNDONE,          /* steps undone, everything as found */
        EVENT_UNDO_FAILED,     /* something could not be restored */
        EVENT_DEACTIVATE,      /* asked for while a device is open */
        EVENT_UNDO,            /* give-back begins */
        EVENT_DEVICE_LOST,     /* a device vanished */
        EVENT_CANCEL,          /* the job was cancelled */
        EVENT_CRASH,           /* the service starts again on the same boot and finds steps recorded */
        EVENT_REBOOT,          /* the service starts on another boot */
        EVENT_RELEASE,
        EVENT_DEVICE_AWAY,     /* a device of a type that is followed vanished */
        EVENT_FOLLOWED,        /* it came back and is ready again */
        _EVENT_MAX,
} AllocationEvent;
DECLARE_STRING_TABLE(allocation_event, AllocationEvent);

/* The state after `event`, or -EINVAL when the event has no place in that state. */
AllocationState allocation_next(AllocationState state, AllocationEvent event);
/* Whether devices are locked in this state even when the allocation is not thick. */
bool allocation_state_holds(AllocationState state);
