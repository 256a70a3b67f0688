/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The order of devices by place: what "first" means wherever devices are listed or chosen. */

#include "inventory.h"

/* <0, 0, >0. PCI addresses in order of domain, bus, slot and function; other names with the numbers in them
 * by size, so that "1-2" comes before "1-10". */
int place_compare(const Device *a, const Device *b);
void place_sort(Device **devices, size_t n);
