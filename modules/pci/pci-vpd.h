/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Parsers of what a device says about itself: vital product data (PCI Local Bus Specification 3.0, appendix
 * I) and the serial number capability of its configuration space (PCI Express Base Specification, 7.9.3).
 * Devices send what they like: every length is checked, every text made printable. */

#include "lib/macro.h"

#define PCI_VPD_TEXT_SIZE 128
#define PCI_VPD_HEADER_MAX 3
#define PCI_VPD_TAG_IDENTIFIER 0x82
#define PCI_VPD_TAG_READ_ONLY 0x90
#define PCI_VPD_TAG_END 0x78
#define PCI_CONFIG_SIZE 4096

typedef struct PciVpd {
        char part_number[PCI_VPD_TEXT_SIZE]; /* "" for none */
        char serial[PCI_VPD_TEXT_SIZE];
} PciVpd;

/* One resource's tag: which it is, how long its header and its data are. -EBADMSG for fewer bytes than the
 * header needs. */
int pci_vpd_tag(const uint8_t *data, size_t size, uint8_t *ret_tag, size_t *ret_header, size_t *ret_length);
/* The keywords PN and SN of a read-only resource's data. -ENODATA when neither is there. Keywords that run
 * over the end are taken for the end. */
int pci_vpd_keywords(const uint8_t *data, size_t size, PciVpd *ret);

#define PCI_CONFIG_SERIAL_SIZE sizeof("00-11-22-33-44-55-66-77")
/* Device Serial Number capability, in the notation of lspci. -ENODATA when there is none or it holds no
 * number. */
int pci_config_serial(const uint8_t *config, size_t size, char ret[static PCI_CONFIG_SERIAL_SIZE]);
