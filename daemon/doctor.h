/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether the host is ready for passthrough. What has to be read from the host a worker reads (worker/check.h); what the service
 * knows of itself is added here. The last answer is kept: RebootReasons are from it. */

#include "manager.h"

/* Whoever waits is told that the service stops. */
void doctor_answer(Manager *m);
void doctor_free(Manager *m);
