/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>

#include "lib/driver.h"
#include "pci-link.h"
#include "pci-vpd.h"
#include "pci.h"

/* What no device needs more of: the read-only part of real cards has a few hundred bytes. */
#define VPD_SECTION_MAX 2048
#define VPD_SECTIONS_MAX 8
#define MAC_SIZE 18 /* "52:54:00:00:01:01" */

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

typedef struct Interfaces {
        char first[64];
        unsigned n;
} Interfaces;

static void take_interface(void *userdata, const char *entry) {
        Interfaces *interfaces = userdata;

        if (interfaces->n++ == 0)
                (void) snprintf(interfaces->first, sizeof(interfaces->first), "%s", entry);
}

static bool is_mac(const char *text) {
        for (size_t i = 0; i < 17; i++)
                if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char) text[i]))
                        return false;
        return text[17] == '\0' && !streq(text, "00:00:00:00:00:00");
}

/* Only an address that the card was made with tells it again: not a virtual function's, which its physical function or the
 * kernel chose, nor one that somebody set (addr_assign_type other than 0). A card with several interfaces has no address of its
 * own. "" for none. */
static void observe_mac(PtContext *ctx, const PtDevice *device, char ret[static MAC_SIZE]) {
        char name[128], text[32], physfn[PCI_ADDRESS_SIZE];
        Interfaces interfaces = { 0 };

        ret[0] = '\0';
        if (pci_read_physfn(ctx, device, physfn) >= 0 ||
            ctx->services->list(ctx, device, "net", take_interface, &interfaces) < 0 || interfaces.n != 1)
                return;
        (void) snprintf(name, sizeof(name), "net/%s/addr_assign_type", interfaces.first);
        if (ctx->services->read_attribute(ctx, device, name, text, sizeof(text)) < 0 || !streq(text, "0"))
                return;
        (void) snprintf(name, sizeof(name), "net/%s/address", interfaces.first);
        if (ctx->services->read_attribute(ctx, device, name, text, sizeof(text)) >= 0 && is_mac(text))
                memcpy(ret, text, MAC_SIZE);
}

int pci_observe(PtContext *ctx, const PtDevice *device) {
        char config_serial[PCI_CONFIG_SERIAL_SIZE] = "";
        char mac[MAC_SIZE];
        uint32_t speed, width;
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

        pci_read_link(ctx, device, &speed, &width);

        r = ctx->services->put_field(ctx, PCI_FIELD_SERIAL, &PT_VALUE_STRING(serial));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_PART_NUMBER, &PT_VALUE_STRING(vpd.part_number));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_LINK_SPEED, &PT_VALUE_UINT32(speed));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_LINK_WIDTH, &PT_VALUE_UINT32(width));
        /* A card that a guest has shows none: what was read before stays. */
        if (r >= 0 && !driver_is_vfio(device->driver)) {
                observe_mac(ctx, device, mac);
                r = ctx->services->put_field(ctx, PCI_FIELD_MAC, &PT_VALUE_STRING(mac));
        }
        return r;
}
