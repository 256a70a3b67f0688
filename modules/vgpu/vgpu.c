/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module "vgpu": GPUs, and other parents of mediated devices, that several guests share. The tables; see README.md. */

#include "vgpu-provision.h"
#include "vgpu.h"

static const PtFilter FILTERS[] = {
        { .subsystem = "pci", .vendor = -1, .class_code = -1 },
        { .subsystem = "mdev_bus", .vendor = -1, .class_code = -1 },
        { 0 },
};

#define CONSTANT (PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE)
#define VOLATILE (PT_FIELD_MATCHABLE | PT_FIELD_VOLATILE)

#define FIELD(index, field_name, field_type, field_flags, field_doc)                                                         \
        [VGPU_FIELD_##index] = { .name = (field_name),                                                                       \
                                 .doc = (field_doc),                                                                         \
                                 .type = PT_##field_type,                                                                    \
                                 .flags = (field_flags) }

static const PtField FIELDS[] = {
        FIELD(NAME, "name", STRING, CONSTANT, "Vendor and model, from the hardware database."),
        FIELD(SLOT, "slot", STRING, CONSTANT,
              "Address of the GPU or virtual function; the kernel's name of a parent that is no PCI function (\"mtty\")."),
        FIELD(ROLE, "role", STRING, CONSTANT,
              "\"gpu\": makes vGPUs; \"slot\": a vGPU that it could make; \"vf\": a virtual function that can carry one."),
        FIELD(BACK_END, "back-end", STRING, VOLATILE,
              "How vGPUs are made there: \"mdev\", \"vfio\" (a type file on the virtual function) or \"none\"."),
        FIELD(NUMBER, "number", UINT32, CONSTANT, "Of a slot: its number on the GPU, from 1; else 0."),
        FIELD(VIRTUAL_FUNCTION, "virtual-function", STRING, CONSTANT, "Address of the virtual function; empty for none."),
        FIELD(PHYSICAL_FUNCTION, "physical-function", STRING, CONSTANT, "Address of the GPU; empty where it is no PCI function."),
        FIELD(VENDOR, "vendor", STRING, CONSTANT, "Vendor in words."),
        FIELD(DEVICE, "device", STRING, CONSTANT, "Model in words."),
        FIELD(VENDOR_ID, "vendor-id", STRING, CONSTANT, "Vendor id: four hexadecimal digits; empty where there is none."),
        FIELD(DEVICE_ID, "device-id", STRING, CONSTANT, "Device id: four hexadecimal digits; empty where there is none."),
        FIELD(VENDOR_DEVICE, "vendor-device", STRING, CONSTANT, "Vendor and device id, e.g. \"10de:26b9\"."),
        FIELD(DRIVER, "driver", STRING, VOLATILE, "Driver that is bound now; empty for none."),
        FIELD(NUMA_NODE, "numa-node", INT32, CONSTANT, "NUMA node, -1 where the firmware states none."),
        FIELD(IOMMU_GROUP, "iommu-group", INT32, VOLATILE,
              "IOMMU group, -1 for none. A mediated device gets one of its own when it is made."),
        FIELD(PROFILES, "profiles", STRV, VOLATILE, "Profiles that the driver knows there, by name."),
        FIELD(TYPE_IDS, "type-ids", STRV, VOLATILE,
              "The driver's ids of the same profiles, in their order. They differ between drivers."),
        FIELD(PROFILE, "profile", STRING, VOLATILE, "Of a virtual function: profile of the vGPU that it carries; empty for none."),
        FIELD(TYPE_ID, "type-id", STRING, VOLATILE, "The driver's id of that profile."),
        [_VGPU_FIELD_MAX] = { 0 },
};

static const PtHelper HELPERS[] = {
        { "sriov-manage", "/usr/lib/nvidia/sriov-manage" },
        { 0 },
};

static const char *const USE_CASES[] = {
        "Desktops that share one GPU, each with a part of its memory",
        "Inference and other compute for many guests on one GPU",
        "Any device whose driver makes mediated devices, such as Intel GVT-g",
        NULL,
};

static const PtModule MODULE = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .flags = PT_TYPE_SHARED | PT_TYPE_MIGRATABLE | PT_TYPE_KEEPS_DRIVER,
        .type = "vgpu",
        .title = "vGPU",
        .version = PROJECT_VERSION,
        .documentation = "man:passthroughd-vgpu(7)",
        .guest_driver = "NVIDIA vGPUs need NVIDIA's vGPU guest driver, of the host's release or the branch before it.",
        .use_cases = USE_CASES,
        .default_class = "vgpu",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = VGPU_SETTINGS,
        .custom_steps = VGPU_CUSTOM_STEPS,
        .describe = vgpu_describe,
        .observe = vgpu_observe,
        .uses = vgpu_uses,
        .identity = vgpu_identity,
        .check = vgpu_check,
        .plan = vgpu_plan,
        .guest = vgpu_guest,
        .layout = vgpu_layout_op,
        .capacity = vgpu_capacity_op,
        .check_settings = vgpu_check_settings,
        .helpers = HELPERS,
        .change = vgpu_change,
        .verify = vgpu_verify,
        .use = vgpu_use_op,
};

PT_MODULE_DEFINE(MODULE)
