/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* PCI class codes: their names where the hardware database has none, and which of them a guest may never be
 * given. */

#include <passthroughd/module.h>

/* Name of the base class ("Display controller") and of the subclass ("VGA compatible controller"); NULL when
 * there is none in the tables. `class_code` has 24 bits. */
const char *pci_class_base_name(uint32_t class_code);
const char *pci_class_name(uint32_t class_code);

/* What a function is to a guest. `vendor` may be -1; `on_root_bus`: on bus 0 of its domain, where chipsets
 * have their own functions. */
PtRole pci_class_role(uint32_t class_code, int32_t vendor, bool bridge_header, bool on_root_bus);
/* "device", "bridge", "platform" */
const char *pci_role_name(PtRole role);
