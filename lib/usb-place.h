/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where a USB device is, in a form that outlives a reboot: its controller and the ports on the way,
 * "0000:00:14.0/1.2". Bus numbers follow the order in which controllers are found and are no part of it.
 *
 * A connector for USB 3 has a port on each of the controller's two root hubs, and a device shows up on the
 * one or the other. The kernel links such ports as peers; the place is that of the USB 2 port for both.
 * What has no such peer, and the USB 3 half of a hub (whose other half is at the USB 2 port), is told
 * apart by "ss" before its ports: "0000:00:14.0/ss1". */

#include <stdbool.h>
#include <stddef.h>

#define USB_PLACE_SIZE 96

/* `syspath`: "…/0000:00:14.0/usb2/2-1/2-1.2". `super_speed`: it is below the USB 3 root hub. `hub`: it is
 * a hub itself. `peer`: name of the port that is the peer of the device's port ("usb1-port1",
 * "1-1-port2"), NULL for none. -EINVAL for what is no USB device. */
int usb_place_make(const char *syspath, bool super_speed, bool hub, const char *peer,
                   char ret[static USB_PLACE_SIZE]);
/* Where the link to the peer of its port is, relative to the device's directory:
 * "../2-1:1.0/2-1-port2/peer". -ENOENT for a root hub, which is at no port. */
int usb_place_peer_link(const char *syspath, char *ret, size_t size);
