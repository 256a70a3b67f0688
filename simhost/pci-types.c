/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci-types.h"

/* Kinds of devices, with the IDs, names, drivers and resets that such a device shows on a real host. */
typedef struct PciType {
        const char *name;
        int vendor, device, subvendor, subdevice, class, revision;
        const char *driver, *reset, *vendor_name, *device_name;
        const char *link_speed;
        int link_width;
        SriovSpec sriov;
} PciType;

#define INTEL "Intel Corporation"
#define NVIDIA "NVIDIA Corporation"
#define MELLANOX "Mellanox Technologies"
#define GEN1 "2.5 GT/s PCIe"
#define GEN2 "5.0 GT/s PCIe"
#define GEN3 "8.0 GT/s PCIe"
#define GEN4 "16.0 GT/s PCIe"

/* clang-format off */
static const PciType types[] = {
        /* Without a link speed it is a conventional PCI device or part of the chipset. */
        { "host-bridge", 0x8086, 0x09a2, 0x8086, 0x0000, 0x060000, 0x04, NULL, NULL,
          INTEL, "Ice Lake Memory Map/VT-d", NULL, 0, { 0 } },
        { "isa-bridge", 0x8086, 0xa242, 0x8086, 0x7270, 0x060100, 0x09, "lpc_ich", NULL,
          INTEL, "Lewisburg LPC Controller", NULL, 0, { 0 } },
        { "smbus", 0x8086, 0xa1a3, 0x8086, 0x7270, 0x0c0500, 0x09, "i801_smbus", NULL,
          INTEL, "C620 Series Chipset Family SMBus", NULL, 0, { 0 } },
        { "root-port", 0x8086, 0x347a, 0x8086, 0x0000, 0x060400, 0x04, "pcieport", "pm bus",
          INTEL, "PCI Express Root Port", GEN4, 16, { 0 } },
        { "switch-port", 0x10b5, 0x8747, 0x10b5, 0x8747, 0x060400, 0xca, "pcieport", "pm bus",
          "PLX Technology, Inc.", "PEX 8747 48-Lane, 5-Port PCI Express Gen 3 (8.0 GT/s) Switch", GEN3, 16,
          { 0 } },
        { "pci-bridge", 0x1b21, 0x1080, 0x1b21, 0x1080, 0x060401, 0x04, NULL, "pm",
          "ASMedia Technology Inc.", "ASM1083/1085 PCIe to PCI Bridge", GEN1, 1, { 0 } },
        { "xhci", 0x8086, 0xa1af, 0x8086, 0x7270, 0x0c0330, 0x09, "xhci_hcd", NULL,
          INTEL, "C620 Series Chipset Family USB 3.0 xHCI Controller", NULL, 0, { 0 } },
        { "sata", 0x8086, 0xa182, 0x8086, 0x7270, 0x010601, 0x09, "ahci", NULL,
          INTEL, "C620 Series Chipset Family SATA Controller [AHCI mode]", NULL, 0, { 0 } },
        { "bmc-vga", 0x1a03, 0x2000, 0x1a03, 0x2000, 0x030000, 0x41, "ast", NULL,
          "ASPEED Technology, Inc.", "ASPEED Graphics Family", NULL, 0, { 0 } },
        { "gpu", 0x10de, 0x2236, 0x10de, 0x1482, 0x030200, 0xa1, "nvidia", "flr bus",
          NVIDIA, "GA102GL [A10]", GEN4, 16, { 0 } },
        { "gpu-audio", 0x10de, 0x1aef, 0x10de, 0x1482, 0x040300, 0xa1, "snd_hda_intel", "bus",
          NVIDIA, "GA102 High Definition Audio Controller", GEN4, 16, { 0 } },
        { "gpu-usb", 0x10de, 0x1ad8, 0x10de, 0x1482, 0x0c0330, 0xa1, "xhci_hcd", "pm bus",
          NVIDIA, "TU104 USB 3.1 Host Controller", GEN4, 16, { 0 } },
        { "gpu-ucsi", 0x10de, 0x1ad9, 0x10de, 0x1482, 0x0c8000, 0xa1, NULL, "pm bus",
          NVIDIA, "TU104 USB Type-C UCSI Controller", GEN4, 16, { 0 } },
        { "nvme", 0x144d, 0xa80a, 0x144d, 0xa801, 0x010802, 0x00, "nvme", "flr bus",
          "Samsung Electronics Co Ltd", "NVMe SSD Controller PM9A1/PM9A3/980PRO", GEN4, 4, { 0 } },
        { "nic", 0x8086, 0x1533, 0x8086, 0x0001, 0x020000, 0x03, "igb", "flr pm bus",
          INTEL, "I210 Gigabit Network Connection", GEN1, 1, { 0 } },
        { "nic-dual", 0x8086, 0x1521, 0x8086, 0x0001, 0x020000, 0x01, "igb", "flr pm bus",
          INTEL, "I350 Gigabit Network Connection", GEN2, 4, { 0 } },
        { "nic-onboard", 0x8086, 0x15b9, 0x8086, 0x7270, 0x020000, 0x09, "e1000e", NULL,
          INTEL, "Ethernet Connection (3) I219-LM", NULL, 0, { 0 } },
        { "nic-pci", 0x8086, 0x100e, 0x8086, 0x001e, 0x020000, 0x02, "e1000", "bus",
          INTEL, "82540EM Gigabit Ethernet Controller", NULL, 0, { 0 } },
        { "nic-sriov", 0x8086, 0x10c9, 0x8086, 0xa03c, 0x020000, 0x01, "igb", "flr pm bus",
          INTEL, "82576 Gigabit Network Connection", GEN1, 4,
          { 7, 0, 128, 2, 0x10ca, "igbvf", "82576 Virtual Function", true, NULL } },
        { "nic-100g", 0x15b3, 0x101d, 0x15b3, 0x0016, 0x020000, 0x00, "mlx5_core", "flr bus",
          MELLANOX, "MT2892 Family [ConnectX-6 Dx]", GEN4, 16,
          { 127, 0, 1, 1, 0x101e, "mlx5_core", "ConnectX Family mlx5Gen Virtual Function", true, NULL } },
        { "accelerator", 0x8086, 0x4940, 0x8086, 0x0000, 0x0b4000, 0x40, "4xxx", "flr bus",
          INTEL, "4xxx Series QAT", GEN4, 16, { 0 } },
        { "serial", 0x1d0f, 0x8250, 0x1d0f, 0x0000, 0x070003, 0x00, "serial", NULL,
          "Amazon.com, Inc.", "Serial controller", NULL, 0, { 0 } },
        { "fibre-channel", 0x10df, 0xf400, 0x10df, 0xf411, 0x0c0400, 0x01, "lpfc", "flr bus",
          "Emulex Corporation", "LPe36000/LPe37000 Series 32Gb/64Gb Fibre Channel Adapter", GEN4, 8, { 0 } },
};
/* clang-format on */

bool pci_type_apply(const char *name, PciSpec *spec) {
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                const PciType *t = &types[i];

                if (!string_equal(t->name, name))
                        continue;
                spec->vendor = t->vendor;
                spec->device = t->device;
                spec->subvendor = t->subvendor;
                spec->subdevice = t->subdevice;
                spec->class = t->class;
                spec->revision = t->revision;
                spec->vendor_name = t->vendor_name;
                spec->device_name = t->device_name;
                spec->driver = spec->natural = t->driver;
                spec->reset = t->reset;
                spec->link_speed = t->link_speed;
                spec->link_width = t->link_width;
                spec->express = t->link_speed != NULL;
                spec->sriov = t->sriov;
                return true;
        }
        return false;
}

void pci_type_complain(const char *name) {
        char list[1024] = "";

        for (size_t i = 0; i < ELEMENTS(types); i++) {
                size_t n = strlen(list);

                (void) snprintf(list + n, sizeof(list) - n, "%s%s", i > 0 ? ", " : "", types[i].name);
        }
        complain("there is no device type '%s'; there are: %s", name, list);
}
