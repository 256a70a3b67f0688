/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Devices that go and come back: `remove` and `rescan` of sysfs, and what happens in the slot. */

int remove_write(Kernel *k, const char *bdf, const char *text);
int rescan_write(Kernel *k, const char *bus, const char *text);
int reset_write(Kernel *k, const char *bdf, const char *text);
int reset_method_read(Kernel *k, const char *bdf, char *ret, size_t size);
int reset_method_write(Kernel *k, const char *bdf, const char *text);
int uevent_read(Kernel *k, const char *bdf, char *ret, size_t size);
int uevent_write(Kernel *k, const char *bdf, const char *text);

/* Somebody pulls the card out, with all its functions, and puts it back. Pulling returns at once where
 * the device is held open: what the kernel does about it happens when it is closed. */
int unplug_write(Kernel *k, const char *bdf);
int plug_write(Kernel *k, const char *bdf);

/* N [BDF]: that many change events, of one device or of all in turn */
int storm_write(Kernel *k, const char *text);
