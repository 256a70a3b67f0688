/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the network interface says of itself. Reading the speed takes the lock of all network configuration: worker only. */

#include <stdio.h>

#include "lib/parse.h"
#include "sriov.h"

static int put_interface_text(PtContext *ctx, const PtDevice *device, const char *interface, const char *attribute,
                              SriovField field) {
        char path[2 * PCI_ATTRIBUTE_SIZE], text[PCI_ATTRIBUTE_SIZE] = "";

        (void) snprintf(path, sizeof(path), "net/%s/%s", interface, attribute);
        if (isempty(interface) || ctx->services->read_attribute(ctx, device, path, text, sizeof(text)) < 0 ||
            !text_is_clean(text, sizeof(text)))
                text[0] = '\0';
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

/* -1 or EINVAL where there is no link. */
static int put_speed(PtContext *ctx, const PtDevice *device, const char *interface) {
        char path[2 * PCI_ATTRIBUTE_SIZE], text[PCI_ATTRIBUTE_SIZE];
        uint32_t speed = 0;

        (void) snprintf(path, sizeof(path), "net/%s/speed", interface);
        if (isempty(interface) || ctx->services->read_attribute(ctx, device, path, text, sizeof(text)) < 0 ||
            parse_uint32(text, &speed) < 0)
                speed = 0;
        return ctx->services->put_field(ctx, SRIOV_FIELD_SPEED, &PT_VALUE_UINT32(speed));
}

int sriov_observe(PtContext *ctx, const PtDevice *device) {
        char interface[PCI_ATTRIBUTE_SIZE], physfn[PCI_ADDRESS_SIZE];
        bool is_pf;
        int r;

        if (sriov_interface(ctx, device, interface, sizeof(interface)) < 0)
                interface[0] = '\0';
        r = put_interface_text(ctx, device, interface, "address", SRIOV_FIELD_MAC);
        if (r >= 0)
                r = put_interface_text(ctx, device, interface, "operstate", SRIOV_FIELD_LINK);
        if (r >= 0)
                r = put_speed(ctx, device, interface);
        if (r < 0)
                return r;
        /* Only network cards have one, and only their physical functions are asked. */
        is_pf = sriov_kind(ctx, device, physfn) == SRIOV_PF && sriov_is_network(ctx, device);
        return ctx->services->put_field(ctx, SRIOV_FIELD_ESWITCH_MODE,
                                        &PT_VALUE_STRING(is_pf ? sriov_eswitch_mode(device->sysname) : ""));
}
