/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "util.h"

/* A real interface with addresses stands in for a network card that the host uses itself, so that
 * rtnetlink tells the same as sysfs. It is of whatever virtual kind the machine's kernel has. */

/* @net as in the description: "name", "addresses": ["192.0.2.10/24", ...], "gateway". The index is
 * sysfs's. */
int netdev_add(json_t *net, int index);
int netdev_remove(int index);
