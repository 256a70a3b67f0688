/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "host-description.h"

#define CONFIG_SPACE_SIZE 4096

/* The function's configuration space, with the capabilities that lspci and the service look for. Returns
 * how many of the bytes exist: 256 for conventional PCI, 4096 for PCI Express. */
size_t config_space_build(const PciSpec *spec, uint8_t ret[static CONFIG_SPACE_SIZE]);

/* Vital product data as the `vpd` file holds it; 0 if the function has none. */
size_t vpd_build(const PciSpec *spec, uint8_t *ret, size_t size);

/* Where a root port tells that something is plugged in and the link is up. Changes both bits in place;
 * false where there is no PCI Express capability. */
bool config_space_set_link(uint8_t *config, size_t size, bool up);
