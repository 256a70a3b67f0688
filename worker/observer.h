/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls observe() of each device's module and sends one "fields" message a device. */

#include "job.h"
#include "worker.h"

/* Fails only when the service cannot be told; what happens to a device is said in its message. */
int observer_run(Worker *worker, const DeviceList *devices);
