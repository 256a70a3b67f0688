/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/parse.h"
#include "usb.h"

/* Defined by the USB Implementers Forum. */
static const struct {
        uint8_t code;
        const char *name;
} CLASSES[] = {
        { 0x01, "Audio" },
        { 0x02, "Communications" },
        { 0x03, "Human Interface Device" },
        { 0x05, "Physical Interface Device" },
        { 0x06, "Imaging" },
        { 0x07, "Printer" },
        { 0x08, "Mass Storage" },
        { 0x09, "Hub" },
        { 0x0a, "CDC Data" },
        { 0x0b, "Smart Card" },
        { 0x0d, "Content Security" },
        { 0x0e, "Video" },
        { 0x0f, "Personal Healthcare" },
        { 0x10, "Audio/Video" },
        { 0x11, "Billboard" },
        { 0xdc, "Diagnostic" },
        { 0xe0, "Wireless" },
        { 0xef, "Miscellaneous" },
        { 0xfe, "Application Specific" },
        { 0xff, "Vendor Specific" },
};

const char *usb_class_name(int32_t class_code) {
        for (size_t i = 0; i < ELEMENTSOF(CLASSES); i++)
                if (CLASSES[i].code == class_code)
                        return CLASSES[i].name;
        return NULL;
}

static int put_text(PtContext *ctx, UsbField field, const char *text) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

static int put_number(PtContext *ctx, UsbField field, int32_t value) {
        return value < 0 ? 0 : ctx->services->put_field(ctx, field, &PT_VALUE_UINT32((uint32_t) value));
}

/* Ids are shown without 0x, as lsusb and rules write them. Not known stays not filled. */
static int put_hex(PtContext *ctx, UsbField field, int32_t value, int digits) {
        char text[16];

        if (value < 0)
                return 0;
        (void) snprintf(text, sizeof(text), "%0*x", digits, (unsigned) value);
        return put_text(ctx, field, text);
}

/* The hardware database's name, else the device's own. Blanks of the latter are underscores in udev's record. */
static const char *name_of(PtContext *ctx, const PtDevice *device, const char *database, const char *own,
                           char *buffer, size_t size) {
        const char *text = ctx->services->property(ctx, device, database);
        bool is_own = isempty(text);

        if (is_own)
                text = ctx->services->property(ctx, device, own);
        if (isempty(text))
                return NULL;
        usb_clean_text(text, buffer, size);
        for (char *p = buffer; is_own && *p; p++)
                if (*p == '_')
                        *p = ' ';
        return buffer;
}

static int describe_names(PtContext *ctx, const UsbDevice *d) {
        char vendor_buffer[USB_TEXT_SIZE], model_buffer[USB_TEXT_SIZE], name[2 * USB_TEXT_SIZE];
        char ids[32] = "????:????";
        const char *vendor, *model;
        int r;

        if (d->vendor >= 0 && d->model >= 0)
                (void) snprintf(ids, sizeof(ids), "%04x:%04x", (unsigned) d->vendor, (unsigned) d->model);
        vendor = name_of(ctx, d->device, "ID_VENDOR_FROM_DATABASE", "ID_VENDOR", vendor_buffer,
                         sizeof(vendor_buffer));
        model = name_of(ctx, d->device, "ID_MODEL_FROM_DATABASE", "ID_MODEL", model_buffer, sizeof(model_buffer));
        if (vendor)
                (void) snprintf(name, sizeof(name), "%s %s", vendor, model ? model : ids);
        else
                (void) snprintf(name, sizeof(name), "%s", model ? model : ids);

        r = ctx->services->put_name(ctx, vendor ? vendor : "", name);
        if (r >= 0)
                r = put_text(ctx, USB_FIELD_NAME, name);
        if (r >= 0 && vendor)
                r = put_text(ctx, USB_FIELD_VENDOR, vendor);
        if (r >= 0 && model)
                r = put_text(ctx, USB_FIELD_PRODUCT, model);
        if (r >= 0 && d->vendor >= 0 && d->model >= 0)
                r = put_text(ctx, USB_FIELD_VENDOR_MODEL, ids);
        if (r >= 0)
                r = put_hex(ctx, USB_FIELD_VENDOR_ID, d->vendor, 4);
        return r < 0 ? r : put_hex(ctx, USB_FIELD_MODEL_ID, d->model, 4);
}

static int describe_place(PtContext *ctx, const UsbDevice *d) {
        int r;

        r = put_number(ctx, USB_FIELD_BUS, d->bus);
        if (r >= 0)
                r = put_number(ctx, USB_FIELD_DEVICE, d->address);
        if (r >= 0)
                r = put_text(ctx, USB_FIELD_PATH, d->path);
        if (r >= 0)
                r = put_text(ctx, USB_FIELD_PORT, d->device->place);
        if (r >= 0)
                r = put_text(ctx, USB_FIELD_CONTROLLER, usb_controller_is_pci(d) ? d->controller : "");
        return r;
}

static int describe_text(PtContext *ctx, const UsbDevice *d, UsbField field, const char *attribute) {
        char text[USB_NAME_SIZE], clean[USB_NAME_SIZE];
        const char *p;

        if (!usb_read_text(ctx, d->device, attribute, text, sizeof(text)))
                return 0;
        p = text + strspn(text, " ");
        return put_text(ctx, field, usb_clean_text(p, clean, sizeof(clean)));
}

/* "1.5" is told as 1: what compares is whole numbers. */
static int describe_speed(PtContext *ctx, const UsbDevice *d) {
        char text[USB_NAME_SIZE];
        uint32_t speed = 0;

        if (!usb_read_text(ctx, d->device, "speed", text, sizeof(text)))
                return 0;
        text[strcspn(text, ".")] = '\0';
        if (parse_uint32(text, &speed) < 0)
                speed = 0;
        return ctx->services->put_field(ctx, USB_FIELD_SPEED, &PT_VALUE_UINT32(speed));
}

/* The serial number is shown as it is, believable or not: a rule may name it, an identity takes more (usb-serial.c). */
static int describe_serial(PtContext *ctx, const UsbDevice *d) {
        const char *text = ctx->services->property(ctx, d->device, "ID_SERIAL_SHORT");
        char clean[USB_TEXT_SIZE];

        return put_text(ctx, USB_FIELD_SERIAL, isempty(text) ? "" : usb_clean_text(text, clean, sizeof(clean)));
}

static void add_once(const char **list, size_t *n, const char *text) {
        for (size_t i = 0; i < *n; i++)
                if (streq(list[i], text))
                        return;
        list[(*n)++] = text;
        list[*n] = NULL;
}

static int describe_interfaces(PtContext *ctx, const UsbDevice *d) {
        const char *codes[USB_INTERFACES_MAX + 1] = { 0 }, *classes[USB_INTERFACES_MAX + 1] = { 0 },
                   *drivers[USB_INTERFACES_MAX + 1] = { 0 };
        char texts[USB_INTERFACES_MAX][16];
        UsbInterface interfaces[USB_INTERFACES_MAX];
        size_t n = 0, n_classes = 0, n_drivers = 0;
        const char *type;
        int r;

        r = usb_device_interfaces(ctx, d, interfaces, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const char *name = usb_class_name(interfaces[i].class);

                (void) snprintf(texts[i], sizeof(texts[i]), "%02x%02x%02x", interfaces[i].class,
                                interfaces[i].subclass, interfaces[i].protocol);
                codes[i] = texts[i];
                add_once(classes, &n_classes, name ? name : "Unknown");
                if (!isempty(interfaces[i].driver))
                        add_once(drivers, &n_drivers, interfaces[i].driver);
        }

        r = ctx->services->put_field(ctx, USB_FIELD_INTERFACES, &PT_VALUE_STRV(codes));
        if (r >= 0)
                r = ctx->services->put_field(ctx, USB_FIELD_INTERFACE_CLASSES, &PT_VALUE_STRV(classes));
        if (r >= 0)
                r = ctx->services->put_field(ctx, USB_FIELD_INTERFACE_DRIVERS, &PT_VALUE_STRV(drivers));
        if (r < 0)
                return r;
        /* 00: each interface has its own; ef: several interfaces make one function. */
        type = d->class_code > 0 && d->class_code != 0xef ? usb_class_name(d->class_code)
                                                          : (n > 0 ? classes[0] : NULL);
        return put_text(ctx, USB_FIELD_CLASS_TYPE, type ? type : "Unknown");
}

int usb_describe(PtContext *ctx, const PtDevice *device) {
        static const struct {
                UsbField field;
                const char *attribute;
        } texts[] = {
                { USB_FIELD_USB_VERSION, "version" },
                { USB_FIELD_REMOVABLE, "removable" },
                { USB_FIELD_CONNECT_TYPE, "port/connect_type" },
                { USB_FIELD_REVISION, "bcdDevice" },
        };
        char text[USB_NAME_SIZE];
        uint32_t configurations;
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        r = ctx->services->put_role(ctx, d.role);
        if (r >= 0)
                r = put_text(ctx, USB_FIELD_ROLE, d.root_hub ? "root-hub" : d.role == PT_ROLE_BRIDGE ? "hub" : "device");
        if (r >= 0)
                r = describe_names(ctx, &d);
        if (r >= 0)
                r = describe_place(ctx, &d);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(texts); i++)
                r = describe_text(ctx, &d, texts[i].field, texts[i].attribute);
        if (r >= 0)
                r = describe_speed(ctx, &d);
        if (r >= 0)
                r = describe_serial(ctx, &d);
        if (r >= 0)
                r = put_hex(ctx, USB_FIELD_CLASS, d.class_code, 2);
        if (r >= 0 && usb_read_text(ctx, device, "bNumConfigurations", text, sizeof(text)) &&
            parse_uint32(text, &configurations) >= 0)
                r = put_number(ctx, USB_FIELD_CONFIGURATIONS, (int32_t) MIN_OF(configurations, 255u));
        if (r >= 0 && d.complete)
                r = ctx->services->put_field(ctx, USB_FIELD_AUTHORIZED, &PT_VALUE_BOOL(d.authorized));
        return r < 0 ? r : describe_interfaces(ctx, &d);
}
