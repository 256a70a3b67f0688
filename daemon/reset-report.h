/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The report of a reset (lib/protocol.h), with "time" (microseconds of CLOCK_REALTIME), "result" (done, failed) and "message",
 * in Device.last_reset. */

#include "operation.h"

void reset_report_keep(Operation *op, const char *device, json_t *report, int result, const char *error);
void reset_report_explain(const Device *device, FindingList *ret);
