/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Notices that something happened to any device of some subsystems, without looking at what: for those who keep what they
 * found out only until then. */

#include <libudev.h>

#include "lib/fault.h"
#include "lib/sysfs.h"

typedef struct SourceNotice {
        struct udev *udev;
        struct udev_monitor *monitor;
} SourceNotice;

/* `subsystems`: NULL-terminated. */
int source_notice_open(SourceNotice *ret, const Sysfs *sysfs, const char *const *subsystems, Fault *fault);
void source_notice_close(SourceNotice *notice);
int source_notice_fd(const SourceNotice *notice);
/* Empties the socket. True when there was anything, or something was lost. */
bool source_notice_drain(SourceNotice *notice);
