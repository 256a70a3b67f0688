/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"

/* What the driver usbhid makes of an interface: a HID device with an input device below it. Of keyboards and mice (the
 * protocols of the boot interface); anything else has none. Nothing is registered yet. */
void input_device_write(Tree *t, const char *interface, int vendor, int product, int protocol, const char *manufacturer,
                        const char *name, const char *serial);
