/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The properties of a device as udev's database has them, and those that the service adds to them. */

#include <jansson.h>
#include <passthroughd/module.h>

#include "lib/sysfs.h"

/* {key: value}; empty when udev knows nothing of the device. NULL only without memory. */
json_t *udev_properties(const Sysfs *sysfs, const PtDevice *device);
