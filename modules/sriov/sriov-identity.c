/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A virtual function is known again as a number on a physical function at a place. Addresses change with the number of buses,
 * interface names with the configuration; MAC addresses of virtual functions are mostly drawn by lot. */

#include <stdio.h>

#include "sriov.h"

static int put(PtContext *ctx, const char *kind, uint32_t strength, const char *condition, const char *breaks) {
        return ctx->services->put_identity(ctx, &(PtIdentity){
                                                        .kind = kind,
                                                        .strength = strength,
                                                        .condition = condition,
                                                        .breaks = breaks,
                                                });
}

static int identify_vf(PtContext *ctx, const PtDevice *device, const char *physfn) {
        char condition[PCI_TEXT_SIZE];
        PtValue index;

        if (ctx->services->get_field(ctx, device, "vf-index", &index) >= 0 && index.i >= 0) {
                (void) snprintf(condition, sizeof(condition), "physical-slot = %s and vf-index = %d", physfn, index.i);
                return put(ctx, "pf+index", 40, condition, "a move of the card to another slot");
        }
        (void) snprintf(condition, sizeof(condition), "slot = %s", device->sysname);
        return put(ctx, "slot", 0, condition, "another number of virtual functions, or anything that renumbers buses");
}

static int identify_pf(PtContext *ctx, const PtDevice *device) {
        char condition[PCI_TEXT_SIZE];
        PciFunction f;
        int r;

        r = pci_function_load(ctx, device, &f);
        if (r < 0)
                return r;
        (void) snprintf(condition, sizeof(condition), "provider.slot = %s and provider.vendor-device = %04x:%04x",
                        device->sysname, (unsigned) f.vendor, (unsigned) f.product);
        if (f.vendor >= 0 && f.product >= 0)
                return put(ctx, "slot+model", 50, condition, "a move of the card to another slot, or another model in its place");
        (void) snprintf(condition, sizeof(condition), "provider.slot = %s", device->sysname);
        return put(ctx, "slot", 0, condition, "a move of the card to another slot");
}

int sriov_identity(PtContext *ctx, const PtDevice *device) {
        char physfn[PCI_ADDRESS_SIZE];

        switch (sriov_kind(ctx, device, physfn)) {
        case SRIOV_VF:
                return identify_vf(ctx, device, physfn);
        case SRIOV_PF: /* what it provides */
                return identify_pf(ctx, device);
        case SRIOV_NEITHER:
        default:
                return -ENODEV;
        }
}
