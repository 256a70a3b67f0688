/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Virtual functions: Linux 6.1 drivers/pci/iov.c. */

/* A VF whose PF says sriov_drivers_autoprobe=0 is left alone by drivers, unless it has an override. */
bool sriov_may_probe(Kernel *k, const char *path);
/* All VFs of a PF go, as its driver does it when it is unbound. The PF's device lock is held. */
void sriov_disable(Kernel *k, const char *pf);

int sriov_numvfs_read(Kernel *k, const char *bdf, char *ret, size_t size);
int sriov_numvfs_write(Kernel *k, const char *bdf, const char *text);
/* As a tool of the driver's maker sets it, with the PF's device lock held. */
int sriov_set_by_tool(Kernel *k, const char *pf, int n);
/* The order `vfs`: BDF N, as a tool of the driver's maker sets it. */
int sriov_order_write(Kernel *k, const char *text);
int sriov_autoprobe_read(Kernel *k, const char *bdf, char *ret, size_t size);
int sriov_autoprobe_write(Kernel *k, const char *bdf, const char *text);
