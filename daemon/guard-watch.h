/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Says when what the host uses may have changed: the mount and swap tables, addresses and routes, and devices that come, go or
 * change. It only says so; nothing is read here that could block. */

#include <systemd/sd-event.h>

#include "source.h"

typedef struct GuardWatch GuardWatch;

/* `changed` comes on the loop thread, once a turn at most, or within guard_watch_check(). */
int guard_watch_new(sd_event *event, const Sysfs *sysfs, void (*changed)(void *userdata), void *userdata,
                    GuardWatch **ret, Fault *fault);
GuardWatch *guard_watch_free(GuardWatch *watch);
DEFINE_CLEANUP(GuardWatch *, guard_watch_free)
/* Looks now, without waiting for the loop's turn: what happened before this call is known after it. */
void guard_watch_check(GuardWatch *watch);
