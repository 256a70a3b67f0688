/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The module "usb": whole USB devices, given to one guest through usbfs. The tables; see README.md. */

#include "usb.h"

static const PtFilter FILTERS[] = {
        { .subsystem = "usb", .devtype = "usb_device", .vendor = -1, .class_code = -1 },
        { 0 },
};

#define CONSTANT (PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE)
#define CHANGES (PT_FIELD_MATCHABLE)
#define VOLATILE (PT_FIELD_MATCHABLE | PT_FIELD_VOLATILE)
#define SLOW (PT_FIELD_CONSTANT | PT_FIELD_MATCHABLE | PT_FIELD_SLOW)

#define FIELD(index, field_name, field_type, field_flags, field_unit, field_doc)                            \
        [USB_FIELD_##index] = { .name = (field_name),                                                       \
                                .unit = (field_unit),                                                       \
                                .doc = (field_doc),                                                         \
                                .type = PT_##field_type,                                                    \
                                .flags = (field_flags) }

static const PtField FIELDS[] = {
        FIELD(NAME, "name", STRING, CONSTANT, NULL, "Vendor and model in words, with the database's names first."),
        FIELD(BUS, "bus", UINT32, VOLATILE, NULL, "Number of the bus; it may differ after a restart."),
        FIELD(DEVICE, "device", UINT32, VOLATILE, NULL,
              "Address on the bus; another one each time the device is enumerated."),
        FIELD(PATH, "path", STRING, CONSTANT, NULL, "Ports from the controller to the device, e.g. \"1.2\"."),
        FIELD(PORT, "port", STRING, CONSTANT, NULL,
              "Controller and path, e.g. \"0000:00:14.0/1.2\": one connector of the host."),
        FIELD(CONTROLLER, "controller", STRING, CONSTANT, NULL, "PCI address of the host controller."),
        FIELD(VENDOR, "vendor", STRING, CONSTANT, NULL, "Vendor in words."),
        FIELD(PRODUCT, "product", STRING, CONSTANT, NULL, "Model in words."),
        FIELD(VENDOR_ID, "vendor-id", STRING, CONSTANT, NULL, "Vendor id: four hexadecimal digits."),
        FIELD(MODEL_ID, "model-id", STRING, CONSTANT, NULL, "Model id: four hexadecimal digits."),
        FIELD(VENDOR_MODEL, "vendor-model", STRING, CONSTANT, NULL, "Vendor and model id, e.g. \"0529:0001\"."),
        FIELD(REVISION, "revision", STRING, CONSTANT, NULL, "Release of the device: four decimal digits."),
        FIELD(SERIAL, "serial", STRING, CONSTANT | PT_FIELD_SCRUB, NULL,
              "Serial number as the device states it; empty for none. Not always one of its own."),
        FIELD(USB_VERSION, "usb-version", STRING, CONSTANT, NULL, "Version of USB it speaks, e.g. \"2.00\"."),
        FIELD(SPEED, "speed", UINT32, VOLATILE, "Mbit/s",
              "Speed it was enumerated with; 1 stands for 1.5, and 0 for not known."),
        FIELD(CLASS, "class", STRING, CONSTANT, NULL,
              "Class of the device: two hexadecimal digits; \"00\" where each interface has one."),
        FIELD(CLASS_TYPE, "class-type", STRING, CHANGES, NULL,
              "Class in words, e.g. \"Mass Storage\"; of the first interface where the device has none."),
        FIELD(INTERFACES, "interfaces", STRV, CHANGES, NULL,
              "Class, subclass and protocol of each interface, e.g. \"080650\"."),
        FIELD(INTERFACE_CLASSES, "interface-classes", STRV, CHANGES, NULL,
              "Classes of the interfaces in words, each once."),
        FIELD(INTERFACE_DRIVERS, "interface-drivers", STRV, VOLATILE, NULL,
              "Drivers that the interfaces are bound to now, each once; usbfs is a program."),
        FIELD(CONFIGURATIONS, "configurations", UINT32, CONSTANT, NULL, "How many configurations it has."),
        FIELD(REMOVABLE, "removable", STRING, CONSTANT, NULL,
              "\"removable\", \"fixed\" (soldered in) or \"unknown\", as the firmware says."),
        FIELD(CONNECT_TYPE, "connect-type", STRING, CONSTANT, NULL,
              "What its port is: \"hotplug\", \"hardwired\", \"not used\" or \"unknown\"."),
        FIELD(AUTHORIZED, "authorized", BOOL, VOLATILE, NULL, "Whether the host lets the device be used."),
        FIELD(ROLE, "role", STRING, CONSTANT, NULL, "\"device\"; \"hub\" and \"root-hub\" are never offered."),
        FIELD(DESCRIPTOR_HASH, "descriptor-hash", STRING, SLOW, NULL,
              "Digest of all its descriptors: 16 hexadecimal digits that change with its firmware."),
        FIELD(MAX_POWER, "max-power", UINT32, SLOW, "mA",
              "What it may draw from the bus, of its first configuration."),
        FIELD(SELF_POWERED, "self-powered", BOOL, SLOW, NULL, "Whether it has a supply of its own."),
        [_USB_FIELD_MAX] = { 0 },
};

#define PER_ATTACHMENT (PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE)

static const PtSetting SETTINGS[] = {
        {
                .name = "guest-reset",
                .doc = "Let the guest reset the device.",
                .type = PT_BOOL,
                .flags = PER_ATTACHMENT,
                .default_text = "true",
        },
        {
                .name = "guest-resets-all",
                .doc = "Let the guest reset the device at any time, not only while it sets it up. Some hubs "
                       "disturb what else hangs on them then.",
                .type = PT_BOOL,
                .flags = PER_ATTACHMENT,
                .default_text = "false",
        },
        {
                .name = "follow-time",
                .unit = "s",
                .doc = "How long a device that vanished stays its consumer's, so that it may come back: after "
                       "a reset, with other firmware, or plugged in again. 0: it is lost at once.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = 3600,
                .default_text = "10",
        },
        {
                .name = "follow-other-ids",
                .doc = "Follow what comes back at the same port with other vendor and model ids, as devices "
                       "do that load their firmware.",
                .type = PT_BOOL,
                .flags = PT_SETTING_GROUP,
                .default_text = "true",
        },
        { 0 },
};

static const PtCustomStep CUSTOM_STEPS[] = {
        { .name = USB_STEP_RESET, .run = usb_reset_run },
        { 0 },
};

static const char *const USE_CASES[] = {
        "A licence dongle or security token for the guest whose software asks for it",
        "A disk, scanner, modem or serial adapter for one guest",
        "A device whose firmware is loaded from inside the guest",
        NULL,
};

static const PtModule MODULE = {
        .abi_major = PT_ABI_MAJOR,
        .abi_minor = PT_ABI_MINOR,
        .struct_size = sizeof(PtModule),
        .flags = PT_TYPE_FOLLOWS,
        .type = "usb",
        .title = "USB device",
        .version = PROJECT_VERSION,
        .documentation = "man:passthroughd-usb(7)",
        .guest_driver = "The guest uses the driver that it would use on bare hardware.",
        .use_cases = USE_CASES,
        .default_class = "usb",
        .filters = FILTERS,
        .fields = FIELDS,
        .settings = SETTINGS,
        .custom_steps = CUSTOM_STEPS,
        .describe = usb_describe,
        .observe = usb_observe,
        .uses = usb_uses,
        .identity = usb_identity,
        .check = usb_check,
        .plan = usb_plan,
        .guest = usb_guest,
        .health = usb_health,
        .follow = usb_follow,
};

PT_MODULE_DEFINE(MODULE)
