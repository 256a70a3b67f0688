/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A look at devices that come back from a consumer or a reset, by their modules' health() in a worker. One that can't be
 * looked at is as bad as one that does not answer. */

#include "worker-pool.h"

typedef struct Manager Manager;
typedef struct Probe Probe;

/* What came of one device: NULL reason when it is sound. `findings`: what its module said, as in lib/protocol.h; borrowed. */
typedef void (*ProbeEach)(void *userdata, const char *device, const char *reason, json_t *findings);
/* -ESHUTDOWN when the service ends and nothing was looked at; else 0. */
typedef void (*ProbeDone)(void *userdata, int result);

/* `devices`: DEVICE records (lib/protocol.h); `notes`: {device: text} or NULL. Returns 0 when no module of them looks after
 * health: nothing will come; 1 when `each` follows for every device that is there, then `done`. Never calls back before it
 * returns. */
int probe_start(Manager *m, json_t *devices, json_t *notes, const char *job, ProbeEach each, ProbeDone done, void *userdata);
/* At the end of the service. */
void probes_free(Manager *m);
