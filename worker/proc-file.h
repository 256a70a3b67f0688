/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files below the root that are longer than an attribute: /proc/iomem, /proc/self/net/tcp, mount tables. */

#include <stdio.h>

#include "lib/sysfs.h"

/* `path` begins with "/". NULL with errno set. */
FILE *proc_open(const Sysfs *sysfs, const char *path);
/* Calls `each` for every line, without its end. Returns what `each` returned if that was not 0, a negative errno when the file
 * could not be read. The line may be changed. */
int proc_each_line(const Sysfs *sysfs, const char *path, int (*each)(void *userdata, char *line), void *userdata);

static inline void fclosep(FILE **stream) {
        if (*stream)
                (void) fclose(*stream);
}
#define _cleanup_fclose_ _cleanup_(fclosep)
