/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module "vgpu": GPUs, and other parents of mediated devices, that several guests share. The tables; see README.md. */

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

#define PER_CONSUMER (PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE)

static const char *const DISPLAYS[] = { "off", "on", "ramfb", NULL };

static const PtSetting SETTINGS[] = {
        {
                .name = VGPU_SETTING_PROFILE,
                .doc = "Profile of the vGPUs, by name (\"L40S-8Q\", with or without \"NVIDIA \") or the driver's id. A group "
                       "may be made without one, while the driver is not there yet: nothing of it can be had until it is set.",
                .type = PT_STRING,
                .flags = PT_SETTING_GROUP,
                .default_text = "",
        },
        {
                .name = VGPU_SETTING_INSTANCES,
                .doc = "vGPUs that the group is to have of each GPU that its rules select: a setting that the GPU has no room for, "
                       "beside those of other groups, is refused. 0: as many as there is room for.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = VGPU_INSTANCES_MAX,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_DISPLAY,
                .doc = "What the VM manager shows of the vGPU: \"off\"; \"on\": its screen, through the VM manager's own display; "
                       "\"ramfb\": its screen also before the guest's driver runs, for one vGPU of a guest.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = DISPLAYS,
                .default_text = "off",
        },
        {
                .name = VGPU_SETTING_FRAME_RATE_LIMITER,
                .unit = "frames/s",
                .doc = "0 switches the frame-rate limiter off. Drivers know on and off only: any other value means on, at the limit "
                       "of the profile. It works with the scheduler \"best effort\" only.",
                .type = PT_UINT32,
                .flags = PER_CONSUMER,
                .maximum = 1000,
                .default_text = "60",
        },
        {
                .name = VGPU_SETTING_DISABLE_VNC,
                .doc = "No console VNC for the vGPU.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        {
                .name = VGPU_SETTING_UNIFIED_MEMORY,
                .doc = "CUDA unified memory. Such a guest can't be moved to another host.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        {
                .name = VGPU_SETTING_DEBUGGERS,
                .doc = "CUDA debuggers. Such a guest can't be moved to another host.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        {
                .name = VGPU_SETTING_PROFILERS,
                .doc = "CUDA profilers. Such a guest can't be moved to another host.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
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
        .flags = PT_TYPE_SHARED | PT_TYPE_MIGRATABLE,
        .type = "vgpu",
        .title = "vGPU",
        .version = PROJECT_VERSION,
        .documentation = "man:passthroughd-vgpu(7)",
        .guest_driver = "NVIDIA vGPUs need NVIDIA's vGPU guest driver, of the host's release or the branch before it.",
        .use_cases = USE_CASES,
        .default_class = "vgpu",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = SETTINGS,
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
        .use = vgpu_use_op,
};

PT_MODULE_DEFINE(MODULE)
