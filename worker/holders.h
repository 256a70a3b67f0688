/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who has device nodes open: a scan of /proc/PID/fd. Links are read, no device is opened, and what vanishes
 * meanwhile is left out. Nothing of it can block, unless the request asks what is below devices
 * (children.h).
 *
 * A process that was handed the descriptor of a VFIO device, without that of its group, is seen where the
 * kernel says in fdinfo which device it is (6.18); on others it is named only to who asks for a guess, as
 * not certain. */

#include "worker.h"

/* Answers a "holders" message. Fails only when the service cannot be told; a request that is refused or a
 * scan that cannot be made is in `ret_result` and `fault`. */
int holders_run(Worker *worker, json_t *message, int *ret_result, Fault *fault);

/* The systemd unit that the text of /proc/PID/cgroup names: "libvirtd.service",
 * "machine-qemu\x2d1\x2dvm.scope"; NULL when there is none. New memory. */
char *unit_from_cgroup(const char *cgroup);
