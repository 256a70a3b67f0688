/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The worker's life: says hello, then answers one request after the other until the service hangs up. */

#include "worker.h"

/* Returns 0 when the service hung up, or the negative errno of the socket. */
int serve(Worker *worker);
