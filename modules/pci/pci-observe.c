/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/parse.h"
#include "pci-vpd.h"
#include "pci.h"

/* What no device needs more of: the read-only part of real cards has a few hundred bytes. */
#define VPD_SECTION_MAX 2048
#define VPD_SECTIONS_MAX 8
#define LINK_SPEED_MAX 1000 /* GT/s; PCI Express 7 has 128 */
#define LINK_WIDTH_MAX 32

/* Reading VPD takes a device up to 125 ms for each four bytes: go from section to section and read only the
 * one wanted. */
static int observe_vpd(PtContext *ctx, const PtDevice *device, PciVpd *ret) {
        uint8_t header[PCI_VPD_HEADER_MAX], data[VPD_SECTION_MAX];
        uint64_t at = 0;
        ssize_t n;
        int r;

        for (size_t i = 0; i < VPD_SECTIONS_MAX; i++) {
                size_t header_size, length;
                uint8_t tag;

                n = ctx->services->read_slow(ctx, device, "vpd", header, sizeof(header), at);
                if (n < 0)
                        return (int) n;
                r = pci_vpd_tag(header, (size_t) n, &tag, &header_size, &length);
                if (r < 0)
                        return r;
                if (tag == PCI_VPD_TAG_END)
                        break;
                if (tag == PCI_VPD_TAG_READ_ONLY) {
                        n = ctx->services->read_slow(ctx, device, "vpd", data, MIN_OF(length, sizeof(data)),
                                                     at + header_size);
                        return n < 0 ? (int) n : pci_vpd_keywords(data, (size_t) n, ret);
                }
                at += header_size + length;
        }
        return -ENODATA;
}

static int observe_config_serial(PtContext *ctx, const PtDevice *device,
                                 char ret[static PCI_CONFIG_SERIAL_SIZE]) {
        uint8_t config[PCI_CONFIG_SIZE];
        ssize_t n;

        n = ctx->services->read_slow(ctx, device, "config", config, sizeof(config), 0);
        return n < 0 ? (int) n : pci_config_serial(config, (size_t) n, ret);
}

static ssize_t read_text(PtContext *ctx, const PtDevice *device, const char *name, char *buffer,
                         size_t size) {
        ssize_t n;

        n = ctx->services->read_slow(ctx, device, name, buffer, size - 1, 0);
        if (n < 0)
                return n;
        buffer[n] = '\0';
        return n;
}

/* "16.0 GT/s PCIe", "2.5 GT/s PCIe", "Unknown" */
static uint32_t parse_link_speed(const char *text) {
        char whole[16];
        const char *rest = strchr(text, '.');
        uint32_t value;

        if (!rest || (size_t) (rest - text) >= sizeof(whole))
                return 0;
        memcpy(whole, text, (size_t) (rest - text));
        whole[rest - text] = '\0';
        if (parse_uint32(whole, &value) < 0 || value > LINK_SPEED_MAX || rest[1] < '0' || rest[1] > '9' ||
            !startswith(rest + 2, " GT/s"))
                return 0;
        return value * 1000 + (uint32_t) (rest[1] - '0') * 100;
}

static uint32_t parse_link_width(char *text) {
        uint32_t width;

        text[strcspn(text, "\n")] = '\0';
        /* 63 is what the kernel reads from a link that is gone (all ones). */
        return parse_uint32(text, &width) < 0 || width > LINK_WIDTH_MAX ? 0 : width;
}

int pci_observe(PtContext *ctx, const PtDevice *device) {
        char config_serial[PCI_CONFIG_SERIAL_SIZE] = "", text[PCI_ATTRIBUTE_SIZE];
        uint32_t speed = 0, width = 0;
        PciVpd vpd = { 0 };
        const char *serial;
        int r;

        /* Without VPD or serial number, or with ones that cannot be read now (-EIO of a card whose VPD is
         * broken), the device has none: that is an answer, and not asked for again. */
        if (observe_vpd(ctx, device, &vpd) < 0)
                vpd = (PciVpd){ 0 };
        serial = vpd.serial;
        if (isempty(serial) && observe_config_serial(ctx, device, config_serial) >= 0)
                serial = config_serial;

        if (read_text(ctx, device, "current_link_speed", text, sizeof(text)) >= 0)
                speed = parse_link_speed(text);
        if (read_text(ctx, device, "current_link_width", text, sizeof(text)) >= 0)
                width = parse_link_width(text);

        r = ctx->services->put_field(ctx, PCI_FIELD_SERIAL, &PT_VALUE_STRING(serial));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_PART_NUMBER, &PT_VALUE_STRING(vpd.part_number));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_LINK_SPEED, &PT_VALUE_UINT32(speed));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_LINK_WIDTH, &PT_VALUE_UINT32(width));
        return r;
}
