/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* USB devices and their interfaces: drivers, authorisation, and what happens at the port. Linux 6.1
 * drivers/usb/core. */

int usb_bind_write(Kernel *k, const char *driver, const char *name);
int usb_unbind_write(Kernel *k, const char *driver, const char *name);
int usb_drivers_probe_write(Kernel *k, const char *bus, const char *name);
int usb_authorized_read(Kernel *k, const char *name, char *ret, size_t size);
int usb_authorized_write(Kernel *k, const char *name, const char *text);
int usb_configuration_read(Kernel *k, const char *name, char *ret, size_t size);
int usb_configuration_write(Kernel *k, const char *name, const char *text);
int usb_remove_write(Kernel *k, const char *name, const char *text);

/* Pulled out, with everything behind it if it is a hub; and put back at the same port, where it gets a
 * new number. */
int usb_unplug(Kernel *k, const char *name);
int usb_plug(Kernel *k, const char *name);
int usb_order_ids(Kernel *k, const char *text);
/* Where the device of that name is now. */
int usb_find(Kernel *k, const char *name, Path *ret);

/* The node /dev/bus/usb/BBB/DDD comes and goes with the device; does nothing for other devices. */
void usb_node_appear(Kernel *k, const char *path);
void usb_node_disappear(Kernel *k, const char *path);

void usb_take_control(Kernel *k);
