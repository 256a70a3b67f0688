/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The PCI Express link of a function, as the kernel states it. In the worker: it asks the device. */

#include <passthroughd/module.h>

/* In MT/s and lanes; 0 when unknown. */
void pci_read_link(PtContext *ctx, const PtDevice *device, uint32_t *ret_speed, uint32_t *ret_width);
