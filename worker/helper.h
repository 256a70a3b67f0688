/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Programs of vendors that custom steps run, where a driver can't be told otherwise. What is run is what root alone can have put
 * there; it gets no shell, no environment but a PATH, none of our descriptors, and a process group of its own, which ends with
 * the program, with its time, or with the worker. */

#include <passthroughd/module.h>

#include "worker.h"

const PtHelper *helper_find(const PtModule *module, const char *name);

/* Runs it with these words (NULL-terminated, without its name; NULL for none) and waits for its end. The exit status, or as
 * run_helper() of module.h says. `ret_output` (may be NULL, then `size` is 0) gets the end of what it printed, on one line. */
int helper_run(Worker *worker, const PtHelper *helper, const char *const *words, unsigned timeout_msec, char *ret_output,
               size_t size);
