/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a device occupies, and how it is known again. */

#include <stdio.h>

#include "vgpu.h"

/* The GPU or other parent as a whole: "pci:0000:3b:00.0", "mdev:mtty". */
static int put_whole(PtContext *ctx, const PtDevice *device, bool exclusive) {
        char key[PCI_ATTRIBUTE_SIZE];

        (void) snprintf(key, sizeof(key), "%s:%s", streq(device->subsystem, "pci") ? "pci" : "mdev", device->sysname);
        return ctx->services->put_key(ctx, key, exclusive);
}

int vgpu_uses(PtContext *ctx, const PtDevice *device) {
        char physfn[PCI_ADDRESS_SIZE], key[PCI_ATTRIBUTE_SIZE];
        int r;

        switch (vgpu_kind(ctx, device, physfn)) {
        case VGPU_VF:
                return pci_uses(ctx, device);
        case VGPU_SLOT:
                (void) snprintf(key, sizeof(key), "vgpu:%s", device->place);
                r = ctx->services->put_key(ctx, key, true);
                return r < 0 ? r : put_whole(ctx, device, false);
        case VGPU_GPU:
        case VGPU_PARENT:
                return put_whole(ctx, device, true);
        case VGPU_NEITHER:
        default:
                return -ENODEV;
        }
}

static int put(PtContext *ctx, const char *kind, uint32_t strength, const char *condition, const char *breaks) {
        return ctx->services->put_identity(ctx, &(PtIdentity){
                                                        .kind = kind,
                                                        .strength = strength,
                                                        .condition = condition,
                                                        .breaks = breaks,
                                                });
}

int vgpu_identity(PtContext *ctx, const PtDevice *device) {
        char physfn[PCI_ADDRESS_SIZE], condition[PCI_TEXT_SIZE];

        switch (vgpu_kind(ctx, device, physfn)) {
        case VGPU_SLOT:
                (void) snprintf(condition, sizeof(condition), "slot = %s and number = %u", device->sysname, device->slot);
                return put(ctx, "slot+number", 0, condition, "a move of the card to another slot");
        case VGPU_VF:
                (void) snprintf(condition, sizeof(condition), "slot = %s", device->sysname);
                return put(ctx, "slot", 0, condition, "another number of virtual functions, or anything that renumbers buses");
        case VGPU_GPU:
        case VGPU_PARENT: /* what it provides */
                (void) snprintf(condition, sizeof(condition), "provider.slot = %s", device->sysname);
                return put(ctx, "slot", 0, condition, "a move of the card to another slot");
        case VGPU_NEITHER:
        default:
                return -ENODEV;
        }
}
