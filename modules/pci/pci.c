/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module "pci": whole PCI functions and virtual functions, given to one guest through VFIO. The tables;
 * see README.md. */

#include "pci-settings.h"
#include "pci.h"

static const PtFilter FILTERS[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = -1 },
        { 0 },
};

#define CONSTANT (PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE)
#define CHANGES (PT_FIELD_MATCHABLE)
#define VOLATILE (PT_FIELD_MATCHABLE | PT_FIELD_VOLATILE)
#define SLOW (PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE | PT_FIELD_SLOW)
#define SLOW_VOLATILE (PT_FIELD_MATCHABLE | PT_FIELD_SLOW | PT_FIELD_VOLATILE)

#define FIELD(index, field_name, field_type, field_flags, field_unit, field_doc)                            \
        [PCI_FIELD_##index] = { .name = (field_name),                                                       \
                                .unit = (field_unit),                                                       \
                                .doc = (field_doc),                                                         \
                                .type = PT_##field_type,                                                    \
                                .flags = (field_flags) }

static const PtField FIELDS[] = {
        FIELD(NAME, "name", STRING, CONSTANT, NULL, "Vendor and model, from the hardware database."),
        FIELD(SLOT, "slot", STRING, CONSTANT, NULL, "Address: domain, bus, device and function."),
        FIELD(CLASS, "class", STRING, CONSTANT, NULL, "Class in words, e.g. \"Ethernet controller\"."),
        FIELD(CLASS_HEX, "class-hex", STRING, CONSTANT, NULL,
              "Base class, subclass and interface: six hexadecimal digits."),
        FIELD(CLASS_TYPE, "class-type", STRING, CONSTANT, NULL,
              "Base class in words, e.g. \"Display controller\"."),
        FIELD(VENDOR, "vendor", STRING, CONSTANT, NULL, "Vendor in words."),
        FIELD(DEVICE, "device", STRING, CONSTANT, NULL, "Model in words."),
        FIELD(VENDOR_ID, "vendor-id", STRING, CONSTANT, NULL, "Vendor id: four hexadecimal digits."),
        FIELD(DEVICE_ID, "device-id", STRING, CONSTANT, NULL, "Device id: four hexadecimal digits."),
        FIELD(VENDOR_DEVICE, "vendor-device", STRING, CONSTANT, NULL,
              "Vendor and device id, e.g. \"10de:2236\"."),
        FIELD(SUBSYSTEM_VENDOR_ID, "subsystem-vendor-id", STRING, CONSTANT, NULL,
              "Id of the board's vendor: four hexadecimal digits."),
        FIELD(SUBSYSTEM_DEVICE_ID, "subsystem-device-id", STRING, CONSTANT, NULL,
              "Id of the board: four hexadecimal digits."),
        FIELD(REVISION, "revision", STRING, CONSTANT, NULL, "Revision: two hexadecimal digits."),
        FIELD(DRIVER, "driver", STRING, VOLATILE, NULL, "Driver that is bound now; empty for none."),
        FIELD(MODULE, "module", STRING, VOLATILE, NULL,
              "Kernel module of the driver; empty for one that is built in."),
        FIELD(PHYSICAL_SLOT, "physical-slot", STRING, CONSTANT, NULL,
              "Slot as the firmware numbers it; empty where it does not."),
        FIELD(SERIAL, "serial", STRING, SLOW | PT_FIELD_SCRUB, NULL,
              "Serial number, of the VPD or the configuration space; empty for none."),
        FIELD(PART_NUMBER, "part-number", STRING, SLOW, NULL, "Part number of the VPD; empty for none."),
        FIELD(NUMA_NODE, "numa-node", INT32, CONSTANT, NULL,
              "NUMA node, -1 where the firmware states none."),
        FIELD(IOMMU_GROUP, "iommu-group", INT32, VOLATILE, NULL, "IOMMU group, -1 for none."),
        FIELD(TOTAL_VFS, "total-vfs", UINT32, CHANGES, NULL,
              "Virtual functions that it can make; 0 without SR-IOV."),
        FIELD(VFS, "vfs", UINT32, VOLATILE, NULL, "Virtual functions that exist now."),
        FIELD(PHYSICAL_FUNCTION, "physical-function", STRING, CONSTANT, NULL,
              "Address of a virtual function's physical one, else empty."),
        FIELD(BOOT_VGA, "boot-vga", BOOL, VOLATILE, NULL, "Whether the firmware's console is on it."),
        FIELD(RESET_METHODS, "reset-methods", STRV, CHANGES, NULL,
              "How the kernel can reset this function alone, best first."),
        FIELD(ROLE, "role", STRING, CONSTANT, NULL,
              "\"device\"; \"bridge\" and \"platform\" are never offered."),
        FIELD(LINK_SPEED, "link-speed", UINT32, SLOW_VOLATILE, "MT/s",
              "Speed of the PCI Express link now; 0 when unknown."),
        FIELD(LINK_WIDTH, "link-width", UINT32, SLOW_VOLATILE, "lanes",
              "Width of the PCI Express link now; 0 when unknown."),
        FIELD(MAC, "mac", STRING, SLOW | PT_FIELD_SCRUB, NULL,
              "Permanent MAC address of a network card, while a driver of the host shows it; empty for none."),
        [_PCI_FIELD_MAX] = { 0 },
};

/* The kernel's words in reset_method (Documentation/ABI/testing/sysfs-bus-pci), and one for all of them. */

static const PtSetting SETTINGS[] = {
        PCI_FUNCTION_SETTINGS,
        { 0 },
};

static const char *const USE_CASES[] = {
        "A GPU, network card, NVMe disk or accelerator for one guest, at the speed of the hardware",
        "A storage controller with its disks for a storage appliance",
        "A virtual function without network settings of its own",
        NULL,
};

static const PtModule MODULE = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .flags = PT_TYPE_NEEDS_IOMMU,
        .type = "pci",
        .title = "PCI device",
        .version = PROJECT_VERSION,
        .documentation = "man:passthroughd-pci(7)",
        .guest_driver = "The guest uses the driver that it would use on bare hardware.",
        .use_cases = USE_CASES,
        .default_class = "pci",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = SETTINGS,
        .describe = pci_describe,
        .observe = pci_observe,
        .uses = pci_uses,
        .identity = pci_identity,
        .check = pci_check,
        .plan = pci_plan,
        .guest = pci_guest,
        .health = pci_health,
};

PT_MODULE_DEFINE(MODULE)
