/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One worker a device. A service that was killed leaves its worker in the middle of a step, which may take
 * as long as the kernel likes; the next service wants to undo the job meanwhile. Two that bind and unbind
 * one device at a time would both read back what the other did. The locks lie in the service's runtime
 * directory, where only root can take them, and go with the process, also with one that SIGKILL has not
 * reached yet because it is stuck in the kernel. */

#include "job.h"
#include "worker.h"

typedef struct DeviceLock {
        int *fds;
        size_t n_fds;
} DeviceLock;

/* -EBUSY when another worker holds one of the devices for longer than a moment; -EPIPE when the service
 * hangs up. */
int device_lock_take(DeviceLock *ret, Worker *worker, const DeviceList *devices, Fault *fault);
void device_lock_done(DeviceLock *lock);
#define _cleanup_device_lock_ _cleanup_(device_lock_done)
