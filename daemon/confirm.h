/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Commit-confirm: an activation that may have taken the administrator's own network away is undone unless somebody who still
 * gets through says in time that it is all right.
 *
 * The allocation is active meanwhile, its job is "confirming". The deadline is written with the progress (CLOCK_BOOTTIME, as
 * the record dies with the boot): a service that starts anew goes on waiting, or undoes at once what was due. */

#include "operation.h"

/* Seconds that an activation without the option waits for: the configuration's when a device of the host's network goes,
 * else none. */
unsigned confirm_default_sec(const Manager *m, const AssignmentList *list);
/* The deadline that begins now: CLOCK_BOOTTIME; 0 for none. */
uint64_t confirm_deadline(unsigned sec);
/* The steps are done and recorded with the deadline: waits for Job.Confirm(), Job.Cancel() or the time. */
void confirm_wait(Operation *op);
/* After a restart of the service, for an active allocation whose record has a deadline. */
void confirm_resume(Manager *m, Allocation *allocation);
/* Ends the wait without undoing, because the devices are about to be given back anyway. */
void confirm_drop(Operation *op);
/* What gives back could not be begun (no worker): tried again in a while, as nobody else will. */
void confirm_undo_again(Operation *op);
