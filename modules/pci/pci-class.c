/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pci-class.h"
#include "pci.h"

/* The kernel's include/linux/pci_ids.h and the class list of pci.ids agree on these. */
static const char *const BASE_NAMES[256] = {
        [0x00] = "Unclassified device",
        [0x01] = "Mass storage controller",
        [0x02] = "Network controller",
        [0x03] = "Display controller",
        [0x04] = "Multimedia controller",
        [0x05] = "Memory controller",
        [0x06] = "Bridge",
        [0x07] = "Communication controller",
        [0x08] = "Generic system peripheral",
        [0x09] = "Input device controller",
        [0x0a] = "Docking station",
        [0x0b] = "Processor",
        [0x0c] = "Serial bus controller",
        [0x0d] = "Wireless controller",
        [0x0e] = "Intelligent controller",
        [0x0f] = "Satellite communications controller",
        [0x10] = "Encryption controller",
        [0x11] = "Signal processing controller",
        [0x12] = "Processing accelerators",
        [0x13] = "Non-Essential Instrumentation",
        [0x40] = "Coprocessor",
        [0xff] = "Unassigned class",
};

typedef struct ClassName {
        uint16_t code;
        const char *name;
} ClassName;

static const ClassName CLASS_NAMES[] = {
        { 0x0100, "SCSI storage controller" },
        { 0x0104, "RAID bus controller" },
        { 0x0106, "SATA controller" },
        { 0x0107, "Serial Attached SCSI controller" },
        { 0x0108, "Non-Volatile memory controller" },
        { 0x0200, "Ethernet controller" },
        { 0x0207, "Infiniband controller" },
        { 0x0280, "Network controller" },
        { 0x0300, "VGA compatible controller" },
        { 0x0302, "3D controller" },
        { 0x0380, "Display controller" },
        { 0x0401, "Multimedia audio controller" },
        { 0x0403, "Audio device" },
        { 0x0502, "CXL" },
        { 0x0600, "Host bridge" },
        { 0x0601, "ISA bridge" },
        { 0x0604, "PCI bridge" },
        { 0x0700, "Serial controller" },
        { 0x0780, "Communication controller" },
        { 0x0806, "IOMMU" },
        { 0x0807, "Root Complex Event Collector" },
        { 0x0880, "System peripheral" },
        { 0x0c03, "USB controller" },
        { 0x0c04, "Fibre Channel" },
        { 0x0c05, "SMBus" },
        { 0x0c07, "IPMI Interface" },
};

const char *pci_class_base_name(uint32_t class_code) {
        return BASE_NAMES[(class_code >> 16) & 0xff];
}

const char *pci_class_name(uint32_t class_code) {
        for (size_t i = 0; i < ELEMENTSOF(CLASS_NAMES); i++)
                if (CLASS_NAMES[i].code == class_code >> 8)
                        return CLASS_NAMES[i].name;
        return pci_class_base_name(class_code);
}

/* Functions that are part of the machine itself. A class alone does not always say so: an Intel
 * "Communication controller" on bus 0 is the management engine, the same class elsewhere is a card. */
typedef struct PlatformClass {
        uint32_t class_code, mask;
        int32_t vendor; /* -1: any */
        bool root_bus_only;
} PlatformClass;

static const PlatformClass PLATFORM_CLASSES[] = {
        { 0x060000, 0xff0000, -1, false }, /* ISA, LPC and other bridges that carry no PCI bus */
        { 0x080000, 0xff0000, -1, false }, /* IOMMU, root complex event collector, PIC, DMA, timers */
        { 0x0c0500, 0xffff00, -1, false }, /* SMBus: sensors, memory SPDs, watchdog */
        { 0x0c0700, 0xffff00, -1, false }, /* IPMI: the way to the management controller */
        { 0x108000, 0xffff00, PCI_VENDOR_AMD, false },  /* security processor: fTPM, SEV */
        { 0x058000, 0xffff00, PCI_VENDOR_INTEL, true }, /* power management controller, P2SB, shared SRAM */
        { 0x058000, 0xffff00, PCI_VENDOR_AMD, true },
        { 0x078000, 0xffff00, PCI_VENDOR_INTEL, true }, /* management engine */
        { 0x078000, 0xffff00, PCI_VENDOR_AMD, true },
        { 0x0c8000, 0xffff00, PCI_VENDOR_INTEL, true }, /* SPI flash of the firmware */
        { 0x0c8000, 0xffff00, PCI_VENDOR_AMD, true },
        { 0x118000, 0xffff00, PCI_VENDOR_INTEL, true }, /* thermal subsystem, platform monitoring */
};

PtRole pci_class_role(uint32_t class_code, int32_t vendor, bool bridge_header, bool on_root_bus) {
        /* Host bridges have no driver and no DMA of their own, and AMD's dummy host bridges share the IOMMU
         * group of the root ports beside them: like PCI bridges they are no members of a bundle. */
        if (bridge_header || class_code >> 8 == 0x0604 || class_code >> 8 == 0x0600)
                return PT_ROLE_BRIDGE;

        for (size_t i = 0; i < ELEMENTSOF(PLATFORM_CLASSES); i++) {
                const PlatformClass *p = PLATFORM_CLASSES + i;

                if ((class_code & p->mask) == p->class_code && (p->vendor < 0 || p->vendor == vendor) &&
                    (on_root_bus || !p->root_bus_only))
                        return PT_ROLE_PLATFORM;
        }
        return PT_ROLE_OFFER;
}

const char *pci_role_name(PtRole role) {
        switch (role) {
        case PT_ROLE_OFFER:
                return "device";
        case PT_ROLE_BRIDGE:
                return "bridge";
        case PT_ROLE_PLATFORM:
                return "platform";
        case PT_ROLE_PROVIDER:
                return "provider";
        case _PT_ROLE_MAX:
                break;
        }
        return "unknown";
}
