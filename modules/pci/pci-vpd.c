/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "pci-vpd.h"

#define CONFIG_EXTENDED 0x100
#define CAPABILITY_SERIAL 0x0003
/* A capability has at least its header and four bytes, so a longer chain is a loop. */
#define CAPABILITIES_MAX ((PCI_CONFIG_SIZE - CONFIG_EXTENDED) / 8)

static uint32_t read_le32(const uint8_t *p) {
        return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

int pci_vpd_tag(const uint8_t *data, size_t size, uint8_t *ret_tag, size_t *ret_header, size_t *ret_length) {
        if (size < 1)
                return -EBADMSG;
        if (data[0] & 0x80) {
                if (size < 3)
                        return -EBADMSG;
                *ret_tag = data[0];
                *ret_header = 3;
                *ret_length = (size_t) data[1] | (size_t) data[2] << 8;
        } else {
                *ret_tag = data[0] & 0x78;
                *ret_header = 1;
                *ret_length = data[0] & 0x07;
        }
        return 0;
}

/* Printable ASCII without blanks around it; anything else inside becomes '?'. Vendors pad with blanks, NULs
 * and 0xff. */
static void copy_text(const uint8_t *data, size_t size, char *ret, size_t ret_size) {
        size_t n = 0;

        while (size > 0 && (data[size - 1] <= ' ' || data[size - 1] >= 0x7f))
                size--;
        while (size > 0 && data[0] <= ' ') {
                data++;
                size--;
        }
        for (size_t i = 0; i < size && n + 1 < ret_size; i++) {
                uint8_t byte = data[i] < ' ' || data[i] >= 0x7f ? '?' : data[i];

                ret[n++] = (char) byte;
        }
        ret[n] = '\0';
}

int pci_vpd_keywords(const uint8_t *data, size_t size, PciVpd *ret) {
        PciVpd vpd = { 0 };
        size_t at = 0;

        while (at + 3 <= size) {
                const uint8_t *keyword = data + at;
                size_t length = keyword[2];

                if (at + 3 + length > size)
                        break;
                if (memcmp(keyword, "PN", 2) == 0)
                        copy_text(keyword + 3, length, vpd.part_number, sizeof(vpd.part_number));
                else if (memcmp(keyword, "SN", 2) == 0)
                        copy_text(keyword + 3, length, vpd.serial, sizeof(vpd.serial));
                at += 3 + length;
        }
        if (isempty(vpd.part_number) && isempty(vpd.serial))
                return -ENODATA;
        *ret = vpd;
        return 0;
}

/* All zeros, all ones, and the filling that a network card's template has where the address is missing. */
static bool serial_is_blank(const uint8_t serial[static 8]) {
        static const uint8_t blanks[][8] = {
                { 0, 0, 0, 0, 0, 0, 0, 0 },
                { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                { 0, 0, 0, 0xff, 0xff, 0, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(blanks); i++)
                if (memcmp(serial, blanks[i], 8) == 0)
                        return true;
        return false;
}

int pci_config_serial(const uint8_t *config, size_t size, char ret[static PCI_CONFIG_SERIAL_SIZE]) {
        size_t at = CONFIG_EXTENDED;

        for (size_t i = 0; i < CAPABILITIES_MAX && at >= CONFIG_EXTENDED && at + 4 <= size; i++) {
                uint32_t header = read_le32(config + at);
                uint8_t serial[8];

                if (header == 0 || header == UINT32_MAX)
                        break;
                if ((header & 0xffff) != CAPABILITY_SERIAL) {
                        at = header >> 20 & 0xffc;
                        continue;
                }
                if (at + 12 > size)
                        break;
                /* Low and high half lie in this order; the number is written with its highest byte first. */
                for (size_t b = 0; b < 8; b++)
                        serial[b] = config[at + 4 + 7 - b];
                if (serial_is_blank(serial))
                        break;
                (void) snprintf(ret, PCI_CONFIG_SERIAL_SIZE, "%02x-%02x-%02x-%02x-%02x-%02x-%02x-%02x",
                                serial[0], serial[1], serial[2], serial[3], serial[4], serial[5], serial[6],
                                serial[7]);
                return 0;
        }
        return -ENODATA;
}
