/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"

#define IOMMU_UNIT "sys/devices/virtual/iommu"

/* Puts the device into the group, which is made if it is not there. The link from the group is
 * kobject_register()'s. */
void iommu_group_join(Tree *t, int number, const char *device);
/* Takes it out; an empty group goes, and its number can be given out again. */
void iommu_group_leave(Tree *t, const char *device);
/* Like the kernel, the lowest number that is free. */
int iommu_group_free_number(Tree *t, int at_least);
/* -ENOENT: no IOMMU translates the device. */
int iommu_group_of(Tree *t, const char *device);
