/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver.h"

#include <string.h>

bool driver_is_vfio(const char *driver) {
        return driver && strstr(driver, "vfio") != NULL;
}
