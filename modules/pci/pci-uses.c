/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "pci.h"

int pci_uses(PtContext *ctx, const PtDevice *device) {
        char physfn[PCI_ADDRESS_SIZE], key[PCI_ADDRESS_SIZE + sizeof("pci:")];
        int r;

        (void) snprintf(key, sizeof(key), "pci:%s", device->sysname);
        r = ctx->services->put_key(ctx, key, true);
        if (r < 0)
                return r;

        /* A virtual function lives on its physical one: who has that one exclusively excludes it. */
        if (pci_read_physfn(ctx, device, physfn) < 0)
                return 0;
        (void) snprintf(key, sizeof(key), "pci:%s", physfn);
        return ctx->services->put_key(ctx, key, false);
}
