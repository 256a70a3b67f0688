/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "class-device.h"

/* The USB bus of one xHCI controller: its root hub and the devices of spec->usb, each
 * {"port": "1" or "1.4", "vendor": N, "product": N, "manufacturer": TEXT, "name": TEXT, "serial": TEXT,
 *  "class": N (of its one interface; 9 makes it a hub), "protocol": N, "driver": TEXT or null, "speed": "480",
 *  "interfaces": [{"class", "protocol", "driver"}…] (in place of the one)}
 * with the descriptors that libusb reads, and their nodes in dev/bus/usb. */
void usb_bus_write(Tree *t, const char *controller, const PciSpec *spec, Counters *counters);
