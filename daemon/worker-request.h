/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a worker is asked, as lib/protocol.h states it. */

#include "worker-pool.h"

/* `steps`: the plan's, for execute and undo. NULL for want of memory, or when a text of the request is
 * not UTF-8. */
json_t *worker_request_new(const WorkerSpec *spec, json_t *steps);
