/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* Makes up a host of @n_pci PCI functions (bridges and VFs included) and @n_usb USB devices. The same
 * numbers and seed always give the same host, and device i is the same for every larger n_pci. */
json_t *generate_host(size_t n_pci, size_t n_usb, uint64_t seed);
