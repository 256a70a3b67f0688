/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"
#include "host-description.h"

/* Writes the directory @path of one PCI function with all its attributes, and its entry in the udev
 * database. The links that make it known (bus, IOMMU group, driver) and what its driver makes of it come
 * later: kobject.h, bind.h. */
void pci_device_write(Tree *t, const char *path, const PciSpec *spec);

/* The uevent file as it reads with this driver, or with none (NULL). */
void pci_device_write_uevent(Tree *t, const char *path, const char *driver);

/* What the @index-th virtual function of a PF looks like. Its address may lie on the bus behind the PF's.
 * The caller owns ret->net. */
void pci_vf_spec(const PciSpec *pf, int index, PciSpec *ret);
