/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* Whether a serial number can be one of a single device. Many makers leave what the chip's sample code has, a row
 * of zeros or one digit repeated, in a whole series. */
bool usb_serial_is_plausible(const char *serial);
