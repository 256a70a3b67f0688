/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Looks after devices' health: what is worth comparing is noted before a device is made ready or reset, and when it is given
 * back its module's health() says whether the next owner may have it. Nothing is changed. */

#include "job.h"
#include "worker.h"

/* Sends one "noted" for each device whose module noted something. A device that cannot be looked at has no note: that is no
 * reason to do nothing with it. Fails only when the service cannot be talked to any more. */
int probe_note(Worker *worker, const DeviceList *devices);
/* The request "probe": one "health" for each device. */
int probe_run(Worker *worker, json_t *message, int *ret_result, Fault *fault);
