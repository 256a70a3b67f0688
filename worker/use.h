/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much of providers is used: calls use() of each one's module. Only reads; what it calls may hang with its driver. */

#include "job.h"
#include "worker.h"

/* The request "use": one "used" for each provider. */
int use_run(Worker *worker, json_t *message, int *ret_result, Fault *fault);
