/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Facts of the host that modules may ask for, read when asked: "iommu", "kernel", "driver:BUS:NAME",
 * "module:NAME". */

#include <jansson.h>

#include "lib/sysfs.h"

/* A JSON string, or JSON null for what is not so or not known. */
json_t *host_fact(const Sysfs *sysfs, const char *name);
