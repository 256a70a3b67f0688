/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module "sriov": virtual functions, made on physical ones as groups demand and given to guests through VFIO. The tables;
 * see README.md. */

#include "sriov-settings.h"
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

/* Changes with what is done to the function, by this service, by others, or by the guest. */
#define APPLIED (SLOW_VOLATILE | PT_FIELD_FOLLOWED)

#define VF_TEXT(key, field_name, more_flags, what)                                                                           \
        [SRIOV_FIELD_VF_SETTINGS + SRIOV_KEY_##key] = {                                                                      \
                .name = (field_name),                                                                                        \
                .doc = "Of a virtual function, as its physical one keeps it: " what "; empty where the driver reports none.", \
                .type = PT_STRING,                                                                                           \
                .flags = APPLIED | (more_flags),                                                                             \
        }
#define VF_NUMBER(key, field_name, field_unit, what)                                                                         \
        [SRIOV_FIELD_VF_SETTINGS + SRIOV_KEY_##key] = {                                                                      \
                .name = (field_name),                                                                                        \
                .unit = (field_unit),                                                                                        \
                .doc = "Of a virtual function, as its physical one keeps it: " what "; -1 where the driver reports none.",   \
                .type = PT_INT32,                                                                                            \
                .flags = APPLIED,                                                                                            \
        }

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
        FIELD(LINK, "link", STRING, APPLIED, NULL,
              "State of the network link as the kernel says it: up, down, lowerlayerdown, …; empty for none."),
        FIELD(SPEED, "speed", UINT32, APPLIED, "Mbit/s", "Speed of the network link; 0 when it is down or not known."),
        FIELD(ESWITCH_MODE, "eswitch-mode", STRING, APPLIED, NULL,
              "Of a physical function with an embedded switch: \"legacy\" or \"switchdev\"; empty for others."),
        FIELD(NOT_OFFERED, "not-offered", STRV, VOLATILE, NULL,
              "Of a physical function of a network card: network settings that its driver is known not to offer, and \"802.1ad\"; those of "
              "drivers that are not known are found out when they are set."),
        FIELD(DRIVER_REMARK, "driver-remark", STRING, VOLATILE, NULL,
              "Of a physical function of a network card: what else is known of its driver's ways with network settings."),
        FIELD(PF_MAC, "pf-mac", STRING, SLOW | PT_FIELD_SCRUB, NULL,
              "Of a virtual function: MAC address of the physical one's network interface; empty for none."),
        VF_TEXT(MAC, "vf-mac", PT_FIELD_SCRUB, "MAC address, all zero where the guest's driver chooses one"),
        VF_NUMBER(VLAN, "vf-vlan", NULL, "VLAN, 0 for none"),
        VF_NUMBER(QOS, "vf-qos", NULL, "priority in the tag of the VLAN"),
        VF_TEXT(PROTOCOL, "vf-vlan-protocol", 0, "tag of the VLAN, \"802.1Q\" or \"802.1ad\""),
        VF_NUMBER(MIN_RATE, "vf-min-rate", "Mbit/s", "rate that is guaranteed, 0 for none"),
        VF_NUMBER(MAX_RATE, "vf-max-rate", "Mbit/s", "highest rate, 0 for no limit"),
        VF_TEXT(SPOOF_CHECK, "vf-spoof-check", 0, "\"on\" or \"off\""),
        VF_TEXT(LINK_STATE, "vf-link-state", 0, "\"auto\", which may mean that the driver has no such thing, \"enable\", \"disable\""),
        VF_TEXT(RSS_QUERY, "vf-rss-query", 0, "\"on\" or \"off\""),
        VF_TEXT(TRUST, "vf-trust", 0, "\"on\" or \"off\""),
        [_SRIOV_FIELD_MAX] = { 0 },
};

#define PER_CONSUMER (PT_SETTING_GROUP | PT_SETTING_OVERRIDE)

static const char *const PROTOCOLS[] = { SRIOV_LEAVE_WORD, "802.1Q", "802.1ad", NULL };
static const char *const LINK_STATES[] = { SRIOV_LEAVE_WORD, "auto", "enable", "disable", NULL };
static const char *const SWITCHES[] = { SRIOV_LEAVE_WORD, "on", "off", NULL };

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
        {
                .name = "mac",
                .doc = "MAC address: \"generate\" makes one that stays the consumer's whichever function it gets, \"default\" "
                       "leaves it as it is; or an address, \"52:54:00:12:34:56\".",
                .type = PT_STRING,
                .flags = PER_CONSUMER | PT_SETTING_CONSUMER, /* anybody's who asks, unless the group gives one */
                .default_text = SRIOV_GENERATE_WORD,
        },
        {
                .name = "vlan",
                .doc = "VLAN that the card puts the function into, unseen by the guest; 0 for none, -1 leaves it as it is.",
                .type = PT_INT32,
                .flags = PER_CONSUMER,
                .minimum = SRIOV_LEAVE,
                .maximum = SRIOV_VLAN_MAX,
                .default_text = "0",
        },
        {
                .name = "vlan-protocol",
                .doc = "Tag of the VLAN; \"default\" leaves it as it is.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = PROTOCOLS,
                .default_text = "802.1Q",
        },
        {
                .name = "qos",
                .doc = "Priority in the tag of the VLAN, 0 to 7; -1 leaves it as it is.",
                .type = PT_INT32,
                .flags = PER_CONSUMER,
                .minimum = SRIOV_LEAVE,
                .maximum = 7,
                .default_text = "0",
        },
        {
                .name = "min-rate",
                .unit = "Mbit/s",
                .doc = "Rate that the card guarantees the function for sending; 0 for none, -1 leaves it as it is.",
                .type = PT_INT32,
                .flags = PER_CONSUMER,
                .minimum = SRIOV_LEAVE,
                .maximum = INT32_MAX,
                .default_text = "0",
        },
        {
                .name = "max-rate",
                .unit = "Mbit/s",
                .doc = "Rate that the function may send at; 0 for no limit, -1 leaves it as it is.",
                .type = PT_INT32,
                .flags = PER_CONSUMER,
                .minimum = SRIOV_LEAVE,
                .maximum = INT32_MAX,
                .default_text = "0",
        },
        {
                .name = "link-state",
                .doc = "Link that the guest sees: \"auto\" as that of the port, or always one; \"default\" leaves it as it is.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = LINK_STATES,
                .default_text = SRIOV_LEAVE_WORD,
        },
        {
                .name = "spoof-check",
                .doc = "Let the card drop what the guest sends under another MAC address; \"default\" leaves it as it is.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = SWITCHES,
                .default_text = "on",
        },
        {
                .name = "trust",
                .doc = "Let the guest change its MAC address and receive what is not meant for it; \"default\" leaves it as it is.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = SWITCHES,
                .default_text = "off",
        },
        {
                .name = "rss-query",
                .doc = "Let the guest read how the card spreads received packets, which all functions of a port may share; "
                       "\"default\" leaves it as it is.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = SWITCHES,
                .default_text = SRIOV_LEAVE_WORD,
        },
        { 0 },
};

#define SETTING_STEP(step_name)                                                                                              \
        { .name = (step_name), .observe = sriov_setting_observe, .run = sriov_setting_run, .undo = sriov_setting_undo }

/* One for each attribute of rtnetlink, by the names of sriov-vf.c. */
static const PtCustomStep CUSTOM_STEPS[] = {
        SETTING_STEP("vf-mac"),       SETTING_STEP("vf-vlan"),  SETTING_STEP("vf-rate"),       SETTING_STEP("vf-spoof-check"),
        SETTING_STEP("vf-rss-query"), SETTING_STEP("vf-trust"), SETTING_STEP("vf-link-state"), { 0 },
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
        .custom_steps = CUSTOM_STEPS,
        .describe = sriov_describe,
        .observe = sriov_observe,
        .uses = pci_uses,
        .identity = sriov_identity,
        .check = sriov_check,
        .plan = sriov_plan,
        .guest = sriov_guest,
        .layout = sriov_layout,
        .capacity = sriov_capacity,
        .check_settings = sriov_check_given,
        .health = pci_health,
};

PT_MODULE_DEFINE(MODULE)
