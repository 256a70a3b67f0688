/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module "sriov": virtual functions, made on physical ones as groups demand and given to guests through VFIO. The tables;
 * see README.md. */

#include "sriov.h"

#include "modules/pci/pci-settings.h"

static const PtFilter FILTERS[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = -1 },
        { 0 },
};

#define CONSTANT (PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE)
#define CHANGES (PT_FIELD_MATCHABLE)
#define VOLATILE (PT_FIELD_MATCHABLE | PT_FIELD_VOLATILE)
#define SLOW (PT_FIELD_MATCHABLE | PT_FIELD_SLOW)
#define SLOW_VOLATILE (PT_FIELD_MATCHABLE | PT_FIELD_SLOW | PT_FIELD_VOLATILE)

#define FIELD(index, field_name, field_type, field_flags, field_unit, field_doc)                                             \
        [SRIOV_FIELD_##index] = { .name = (field_name),                                                                      \
                                  .unit = (field_unit),                                                                      \
                                  .doc = (field_doc),                                                                        \
                                  .type = PT_##field_type,                                                                   \
                                  .flags = (field_flags) }

static const PtField FIELDS[] = {
        FIELD(NAME, "name", STRING, CONSTANT, NULL, "Vendor and model, from the hardware database."),
        FIELD(SLOT, "slot", STRING, CONSTANT, NULL, "Address: domain, bus, device and function."),
        FIELD(ROLE, "role", STRING, CONSTANT, NULL,
              "\"pf\": a physical function, which makes virtual ones; \"vf\": a virtual function."),
        FIELD(CLASS, "class", STRING, CONSTANT, NULL, "Class in words, e.g. \"Ethernet controller\"."),
        FIELD(CLASS_HEX, "class-hex", STRING, CONSTANT, NULL,
              "Base class, subclass and interface: six hexadecimal digits."),
        FIELD(VENDOR, "vendor", STRING, CONSTANT, NULL, "Vendor in words."),
        FIELD(DEVICE, "device", STRING, CONSTANT, NULL, "Model in words."),
        FIELD(VENDOR_ID, "vendor-id", STRING, CONSTANT, NULL, "Vendor id: four hexadecimal digits."),
        FIELD(DEVICE_ID, "device-id", STRING, CONSTANT, NULL, "Device id: four hexadecimal digits."),
        FIELD(VENDOR_DEVICE, "vendor-device", STRING, CONSTANT, NULL, "Vendor and device id, e.g. \"8086:10ca\"."),
        FIELD(DRIVER, "driver", STRING, VOLATILE, NULL, "Driver that is bound now; empty for none."),
        FIELD(NUMA_NODE, "numa-node", INT32, CONSTANT, NULL, "NUMA node, -1 where the firmware states none."),
        FIELD(IOMMU_GROUP, "iommu-group", INT32, VOLATILE, NULL, "IOMMU group, -1 for none."),
        FIELD(PHYSICAL_SLOT, "physical-slot", STRING, CONSTANT, NULL,
              "Of a virtual function: address of the physical one; else empty."),
        FIELD(VF_INDEX, "vf-index", INT32, CONSTANT, NULL,
              "Of a virtual function: its number on the physical one, from 0; else -1."),
        FIELD(TOTAL_VFS, "total-vfs", UINT32, CHANGES, NULL, "Of a physical function: how many virtual ones it can make."),
        FIELD(VFS, "vfs", UINT32, VOLATILE, NULL, "Of a physical function: how many virtual ones there are now."),
        FIELD(OFFSET, "offset", UINT32, VOLATILE, NULL,
              "Of a physical function: from its routing id to that of the first virtual one."),
        FIELD(STRIDE, "stride", UINT32, VOLATILE, NULL,
              "Of a physical function: from the routing id of a virtual one to the next."),
        FIELD(VF_DEVICE_ID, "vf-device-id", STRING, CONSTANT, NULL,
              "Of a physical function: device id of its virtual ones."),
        FIELD(INTERFACE, "interface", STRING, VOLATILE, NULL,
              "Name of the network interface; empty for none, and where it is in another network namespace."),
        FIELD(MAC, "mac", STRING, SLOW | PT_FIELD_SCRUB, NULL, "MAC address of the network interface; empty for none."),
        FIELD(LINK, "link", STRING, SLOW_VOLATILE, NULL,
              "State of the network link as the kernel says it: up, down, lowerlayerdown, …; empty for none."),
        FIELD(SPEED, "speed", UINT32, SLOW_VOLATILE, "Mbit/s", "Speed of the network link; 0 when it is down or not known."),
        FIELD(ESWITCH_MODE, "eswitch-mode", STRING, SLOW_VOLATILE, NULL,
              "Of a physical function with an embedded switch: \"legacy\" or \"switchdev\"; empty for others."),
        [_SRIOV_FIELD_MAX] = { 0 },
};

static const PtSetting SETTINGS[] = {
        {
                .name = SRIOV_SETTING_VFS,
                .doc = "Virtual functions that the group wants on each physical function that its rules select.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .minimum = 1,
                .maximum = UINT16_MAX,
                .default_text = "1",
        },
        PCI_FUNCTION_SETTINGS,
        { 0 },
};

static const char *const USE_CASES[] = {
        "One network card shared by many guests, each with a function of its own at the speed of the hardware",
        "NVMe namespaces, accelerators or GPUs that are divided by the card itself",
        NULL,
};

static const PtModule MODULE = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .flags = PT_TYPE_NEEDS_IOMMU,
        .type = "sriov",
        .title = "SR-IOV virtual function",
        .version = PROJECT_VERSION,
        .documentation = "man:passthroughd-sriov(7)",
        .guest_driver = "The guest needs the driver of the virtual function (iavf, igbvf, mlx5_core …), which its kernel "
                        "mostly has.",
        .use_cases = USE_CASES,
        .default_class = "network",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = SETTINGS,
        .describe = sriov_describe,
        .observe = sriov_observe,
        .uses = pci_uses,
        .identity = sriov_identity,
        .check = sriov_check,
        .plan = sriov_plan,
        .guest = sriov_guest,
        .layout = sriov_layout,
        .capacity = sriov_capacity,
        .health = pci_health,
};

PT_MODULE_DEFINE(MODULE)
