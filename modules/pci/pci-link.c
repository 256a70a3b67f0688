/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/parse.h"
#include "pci-link.h"
#include "pci.h"

#define LINK_SPEED_MAX 1000 /* GT/s; PCI Express 7 has 128 */
#define LINK_WIDTH_MAX 32

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

void pci_read_link(PtContext *ctx, const PtDevice *device, uint32_t *ret_speed, uint32_t *ret_width) {
        char text[PCI_ATTRIBUTE_SIZE];

        *ret_speed = *ret_width = 0;
        if (read_text(ctx, device, "current_link_speed", text, sizeof(text)) >= 0)
                *ret_speed = parse_link_speed(text);
        if (read_text(ctx, device, "current_link_width", text, sizeof(text)) >= 0)
                *ret_width = parse_link_width(text);
}
