/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Descriptors as a device sends them: bytes of a stranger. Nothing here trusts a length in them, and none of it
 * needs memory of its own. Numbers are little endian (USB 2.0, 9.5 and 9.6). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USB_DESCRIPTORS_MAX 65536u
#define USB_DEVICE_DESCRIPTOR_SIZE 18u
#define USB_STRING_DESCRIPTOR_MAX 255u
/* A string of 126 units, at most four bytes for two of them and three for each other one. */
#define USB_STRING_TEXT_SIZE (126u * 3u + 1u)

typedef struct UsbDescriptors {
        uint16_t vendor, model, usb_version, release;
        uint8_t class, serial_index, configurations;
        uint16_t max_power; /* mA, of the first configuration */
        bool self_powered;
        uint8_t interfaces; /* of the first configuration */
        uint64_t hash;      /* of all bytes */
} UsbDescriptors;

/* The file `descriptors` of sysfs: the device's, then each configuration's with what belongs to it. -EBADMSG when
 * there is no device descriptor; what is wrong after it ends the reading there. */
int usb_descriptors_parse(const uint8_t *data, size_t size, UsbDescriptors *ret);
/* A string descriptor as UTF-8. Halves of surrogate pairs and control characters become '?'. -EBADMSG for what is no
 * string descriptor. */
int usb_string_parse(const uint8_t *data, size_t size, char ret[static USB_STRING_TEXT_SIZE]);
