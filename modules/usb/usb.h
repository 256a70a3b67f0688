/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the usb module share. The module has no state: every op reads what it needs through the
 * services. */

#include <passthroughd/module.h>

#include "lib/macro.h"

#define USB_TEXT_SIZE 512
#define USB_NAME_SIZE 64
#define USB_INTERFACES_MAX 32 /* what a configuration may have (drivers/usb/core/config.c) */

#define USB_CLASS_HUB 0x09

/* Indices of the table in usb.c. */
typedef enum UsbField {
        USB_FIELD_NAME,
        USB_FIELD_BUS,
        USB_FIELD_DEVICE,
        USB_FIELD_PATH,
        USB_FIELD_PORT,
        USB_FIELD_CONTROLLER,
        USB_FIELD_VENDOR,
        USB_FIELD_PRODUCT,
        USB_FIELD_VENDOR_ID,
        USB_FIELD_MODEL_ID,
        USB_FIELD_VENDOR_MODEL,
        USB_FIELD_REVISION,
        USB_FIELD_SERIAL,
        USB_FIELD_USB_VERSION,
        USB_FIELD_SPEED,
        USB_FIELD_CLASS,
        USB_FIELD_CLASS_TYPE,
        USB_FIELD_INTERFACES,
        USB_FIELD_INTERFACE_CLASSES,
        USB_FIELD_INTERFACE_DRIVERS,
        USB_FIELD_CONFIGURATIONS,
        USB_FIELD_REMOVABLE,
        USB_FIELD_CONNECT_TYPE,
        USB_FIELD_AUTHORIZED,
        USB_FIELD_ROLE,
        USB_FIELD_DESCRIPTOR_HASH,
        USB_FIELD_MAX_POWER,
        USB_FIELD_SELF_POWERED,
        _USB_FIELD_MAX,
} UsbField;

typedef struct UsbInterface {
        char name[USB_NAME_SIZE];   /* "1-2:1.0" */
        char driver[USB_NAME_SIZE]; /* empty for none; "usbfs" while a process has claimed it */
        uint8_t class, subclass, protocol;
} UsbInterface;

/* One device as sysfs states it. Numbers are -1 where the attribute cannot be read. */
typedef struct UsbDevice {
        const PtDevice *device; /* borrowed */
        int32_t vendor, model;
        int32_t class_code; /* of the device; 0: each interface has its own */
        int32_t bus, address;
        char controller[USB_NAME_SIZE]; /* "0000:00:14.0"; another bus's name where the controller is no PCI function */
        char path[USB_NAME_SIZE];       /* "1.2"; "0" for a root hub; after "ss" where only USB 3 has the port */
        bool root_hub;
        bool authorized;
        bool complete; /* all of the above could be read: it is not about to go */
        PtRole role;
} UsbDevice;

/* usb-device.c */
int usb_device_load(PtContext *ctx, const PtDevice *device, UsbDevice *ret);
/* The interfaces of the active configuration, in the order of their names; none when there is none. */
int usb_device_interfaces(PtContext *ctx, const UsbDevice *d, UsbInterface ret[static USB_INTERFACES_MAX],
                          size_t *ret_n);
/* Text of an attribute; NULL when it cannot be read. */
const char *usb_read_text(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size);
/* Whether the controller is a PCI function. */
bool usb_controller_is_pci(const UsbDevice *d);
/* The place of the hub above, without its controller: "1" of "1.2"; -ENOENT for what is at the root hub. */
int usb_path_above(const char *path, char ret[static USB_NAME_SIZE]);
/* "bus/usb/001/005" */
void usb_node_name(const UsbDevice *d, char ret[static USB_NAME_SIZE]);
/* A serial number that distinguishes: what udev read, unless it is one of those that whole series share. */
const char *usb_device_serial(PtContext *ctx, const PtDevice *device, char *buffer, size_t size);
/* A copy with what may not reach the bus replaced by '?': control characters, broken UTF-8. */
const char *usb_clean_text(const char *text, char *buffer, size_t size);
/* The setting of the request, or `fallback` where the service knows none (no request). */
bool usb_setting_bool(PtContext *ctx, const char *name, bool fallback);

/* usb-describe.c: "Mass Storage"; NULL for a number that has no name. */
const char *usb_class_name(int32_t class_code);

/* The ops. */
int usb_describe(PtContext *ctx, const PtDevice *device);
int usb_observe(PtContext *ctx, const PtDevice *device);
int usb_uses(PtContext *ctx, const PtDevice *device);
int usb_identity(PtContext *ctx, const PtDevice *device);
int usb_check(PtContext *ctx, const PtDevice *device, const PtRequest *request);
int usb_plan(PtContext *ctx, const PtRequest *request);
int usb_guest(PtContext *ctx, const PtRequest *request);
int usb_follow(PtContext *ctx, const PtDevice *device, const PtFormer *former);
int usb_health(PtContext *ctx, const PtDevice *device);

/* usb-reset.c: the custom step "usb-reset". */
#define USB_STEP_RESET "usb-reset"
int usb_reset_run(PtContext *ctx, const PtDevice *device, const PtStep *step);
