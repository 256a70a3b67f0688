/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runs the steps of a job, or undoes them, one at a time and each only after the service has said that what
 * was observed before it is recorded. */

#include "job.h"
#include "worker.h"

/* Fails only when the service cannot be talked to any more. `ret_result` is what the job came to: 0, the
 * negative errno of the step that ended it (undo: of the first that failed), -ECANCELED when the service
 * said stop, -EPROTO when it said something else. `fault` is filled for what is not the failure of a step,
 * which was reported with the step. */
int executor_run(Worker *worker, const Job *job, int *ret_result, Fault *fault);
