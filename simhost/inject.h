/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Disturbances that a test has ordered. Every operation asks here once it has the locks it needs, so that
 * a slow or hanging operation keeps others waiting as it would in Linux. */

/* 0, or the negative errno to fail with. Sleeps and hangs as ordered. */
int inject(Kernel *k, const char *operation, const char *name);

/* The texts of the control files, see README.md. */
int inject_write_fail(Kernel *k, const char *text);
int inject_write_delay(Kernel *k, const char *text);
int inject_write_hang(Kernel *k, const char *text);
int inject_write_release(Kernel *k, const char *text);
int inject_write_limit(Kernel *k, const char *text);
void inject_list(Kernel *k, char *ret, size_t size);

/* How many VFs the driver really enables though the write succeeds; @asked if nothing was ordered. */
int inject_limit(Kernel *k, const char *name, int asked);
