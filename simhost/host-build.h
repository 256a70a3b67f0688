/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "class-device.h"
#include "host-description.h"

/* Writes everything that a host of this description shows right after boot. Gives IOMMU groups their
 * numbers. */
int host_build(Tree *t, Description *d);

/* IOMMU groups that the description leaves open get the numbers that are left. Returns the first that is
 * free. */
int host_number_groups(Description *d);

/* Adds one PCI function below the bridge or root bus directory @parent: its directory, what its driver
 * makes of it, its IOMMU group and links. With spec->driver set it comes bound. @ret gets its path. */
void host_add_function(Tree *t, const char *parent, const PciSpec *spec, Counters *counters, Path *ret);

/* Makes the driver known, with its kernel module. */
void host_add_driver(Tree *t, const char *driver);

void host_save_counters(Tree *t, const Counters *counters);
void host_load_counters(Tree *t, Counters *ret);
