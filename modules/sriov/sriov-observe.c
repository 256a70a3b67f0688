/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the network interface says of itself. Reading the speed takes the lock of all network configuration: worker only. */

#include <stdio.h>

#include "lib/parse.h"
#include "sriov-netlink.h"
#include "sriov-settings.h"
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

/* What the physical function keeps for a virtual one, whoever set it. */
static int put_settings(PtContext *ctx, const SriovVf *vf) {
        int r = 0;

        for (unsigned k = 0; k < _SRIOV_KEY_MAX && r >= 0; k++) {
                char text[32] = "";

                if (sriov_key_is_number(k)) {
                        int32_t number = sriov_vf_knows(vf, k) ? (int32_t) MIN_OF(vf->value[k], (uint64_t) INT32_MAX) : -1;

                        r = ctx->services->put_field(ctx, SRIOV_FIELD_VF_SETTINGS + k, &PT_VALUE_INT32(number));
                        continue;
                }
                if (sriov_vf_knows(vf, k))
                        sriov_value_to_text(k, vf->value[k], text, sizeof(text));
                r = ctx->services->put_field(ctx, SRIOV_FIELD_VF_SETTINGS + k, &PT_VALUE_STRING(text));
        }
        return r;
}

static int observe_vf(PtContext *ctx, const PtDevice *device) {
        char mac[PCI_ATTRIBUTE_SIZE] = "";
        SriovVf vf = { 0 };
        SriovPath path;
        int r;

        if (sriov_takes_settings(ctx, device) && sriov_path_find(ctx, device, &path) >= 0) {
                if (sriov_path_read(ctx, device, path.interface, "address", mac, sizeof(mac)) < 0 ||
                    !text_is_clean(mac, sizeof(mac)))
                        mac[0] = '\0';
                (void) sriov_netlink()->read(&path, &vf);
        }
        r = ctx->services->put_field(ctx, SRIOV_FIELD_PF_MAC, &PT_VALUE_STRING(mac));
        return r < 0 ? r : put_settings(ctx, &vf);
}

int sriov_observe(PtContext *ctx, const PtDevice *device) {
        char interface[PCI_ATTRIBUTE_SIZE], physfn[PCI_ADDRESS_SIZE];
        SriovKind kind;
        int r;

        if (sriov_interface(ctx, device, interface, sizeof(interface)) < 0)
                interface[0] = '\0';
        r = put_interface_text(ctx, device, interface, "address", SRIOV_FIELD_MAC);
        if (r >= 0)
                r = put_interface_text(ctx, device, interface, "operstate", SRIOV_FIELD_LINK);
        if (r >= 0)
                r = put_speed(ctx, device, interface);
        kind = sriov_kind(ctx, device, physfn);
        if (r >= 0 && kind == SRIOV_VF)
                r = observe_vf(ctx, device);
        if (r < 0)
                return r;
        /* Only network cards have one, and only their physical functions are asked. */
        return ctx->services->put_field(
                ctx, SRIOV_FIELD_ESWITCH_MODE,
                &PT_VALUE_STRING(kind == SRIOV_PF && sriov_is_network(ctx, device) ? sriov_eswitch_mode(device->sysname) : ""));
}
