/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "host-description.h"

/* Fills in all that a device of this kind has, as found on real hosts. False if there is no such type. */
bool pci_type_apply(const char *type, PciSpec *spec);
void pci_type_complain(const char *type); /* names the valid ones */
