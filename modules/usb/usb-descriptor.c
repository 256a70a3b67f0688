/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usb-descriptor.h"

#include <errno.h>

#define TYPE_DEVICE 1
#define TYPE_CONFIGURATION 2
#define TYPE_STRING 3
#define HEADER_SIZE 2u
#define CONFIGURATION_SIZE 9u
#define ATTRIBUTE_SELF_POWERED 0x40
#define SUPER_SPEED_VERSION 0x0300
/* Units of bMaxPower: 2 mA, for USB 3 8 mA. */
#define POWER_UNIT 2
#define POWER_UNIT_SUPER_SPEED 8

static uint16_t number(const uint8_t *bytes) {
        return (uint16_t) (bytes[0] | bytes[1] << 8);
}

/* FNV-1a: a digest that tells firmware apart, not one that withstands a forger. */
static uint64_t hash(const uint8_t *data, size_t size) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < size; i++)
                h = (h ^ data[i]) * UINT64_C(0x100000001b3);
        return h;
}

/* The next descriptor of a type at or after `at`; `size` when there is none. One with an impossible length ends the
 * search, as nothing after it can be found. */
static size_t find(const uint8_t *data, size_t size, size_t at, uint8_t type, size_t least) {
        while (at + HEADER_SIZE <= size) {
                size_t length = data[at];

                if (length < HEADER_SIZE || length > size - at)
                        return size;
                if (data[at + 1] == type && length >= least)
                        return at;
                at += length;
        }
        return size;
}

int usb_descriptors_parse(const uint8_t *data, size_t size, UsbDescriptors *ret) {
        UsbDescriptors d = { 0 };
        size_t at;

        if (size > USB_DESCRIPTORS_MAX)
                return -EBADMSG;
        if (size < USB_DEVICE_DESCRIPTOR_SIZE || data[0] < USB_DEVICE_DESCRIPTOR_SIZE || data[0] > size ||
            data[1] != TYPE_DEVICE)
                return -EBADMSG;

        d.usb_version = number(data + 2);
        d.class = data[4];
        d.vendor = number(data + 8);
        d.model = number(data + 10);
        d.release = number(data + 12);
        d.serial_index = data[16];
        d.configurations = data[17];
        d.hash = hash(data, size);

        at = find(data, size, data[0], TYPE_CONFIGURATION, CONFIGURATION_SIZE);
        if (at < size) {
                d.interfaces = data[at + 4];
                d.self_powered = data[at + 7] & ATTRIBUTE_SELF_POWERED;
                d.max_power = (uint16_t) (data[at + 8] * (d.usb_version >= SUPER_SPEED_VERSION ? POWER_UNIT_SUPER_SPEED
                                                                                              : POWER_UNIT));
        }
        *ret = d;
        return 0;
}

static size_t put_character(char *at, uint32_t c) {
        if (c < 0x80) {
                at[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                at[0] = (char) (0xc0 | c >> 6);
                at[1] = (char) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                at[0] = (char) (0xe0 | c >> 12);
                at[1] = (char) (0x80 | (c >> 6 & 0x3f));
                at[2] = (char) (0x80 | (c & 0x3f));
                return 3;
        }
        at[0] = (char) (0xf0 | c >> 18);
        at[1] = (char) (0x80 | (c >> 12 & 0x3f));
        at[2] = (char) (0x80 | (c >> 6 & 0x3f));
        at[3] = (char) (0x80 | (c & 0x3f));
        return 4;
}

static bool is_high_surrogate(uint16_t unit) {
        return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low_surrogate(uint16_t unit) {
        return unit >= 0xdc00 && unit < 0xe000;
}

/* C0, DEL, C1, and what is no character at all. */
static bool is_unwanted(uint16_t unit) {
        return unit < 0x20 || (unit >= 0x7f && unit < 0xa0) || unit >= 0xfffe || (unit >= 0xfdd0 && unit <= 0xfdef);
}

int usb_string_parse(const uint8_t *data, size_t size, char ret[static USB_STRING_TEXT_SIZE]) {
        size_t length, n = 0;

        if (size < HEADER_SIZE || data[1] != TYPE_STRING || data[0] < HEADER_SIZE || data[0] > size)
                return -EBADMSG;
        /* An odd length leaves half a unit over. */
        length = data[0] & ~1u;

        for (size_t i = HEADER_SIZE; i < length; i += 2) {
                uint16_t unit = number(data + i);
                uint32_t c = unit;

                if (unit == 0) /* devices pad with zeros */
                        break;
                if (is_high_surrogate(unit) && i + 4 <= length && is_low_surrogate(number(data + i + 2))) {
                        c = 0x10000 + ((uint32_t) (unit - 0xd800) << 10) + (number(data + i + 2) - 0xdc00u);
                        i += 2;
                } else if (is_high_surrogate(unit) || is_low_surrogate(unit) || is_unwanted(unit))
                        c = '?';
                n += put_character(ret + n, c);
        }
        ret[n] = '\0';
        return 0;
}
