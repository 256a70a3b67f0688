/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "lib/parse.h"
#include "usb-serial.h"
#include "usb.h"

const char *usb_read_text(PtContext *ctx, const PtDevice *device, const char *name, char *buffer, size_t size) {
        return ctx->services->read_attribute(ctx, device, name, buffer, size) >= 0 ? buffer : NULL;
}

static int32_t read_number(PtContext *ctx, const PtDevice *device, const char *name, bool hexadecimal,
                           uint32_t max) {
        char text[USB_NAME_SIZE];
        uint32_t value;

        if (!usb_read_text(ctx, device, name, text, sizeof(text)) ||
            (hexadecimal ? parse_hex32(text, &value) : parse_uint32(text, &value)) < 0 || value > max)
                return -1;
        return (int32_t) value;
}

/* "0000:00:14.0/1.2" */
static int split_place(const PtDevice *device, UsbDevice *d) {
        const char *slash = device->place ? strchr(device->place, '/') : NULL;
        size_t n = slash ? (size_t) (slash - device->place) : 0;

        if (n == 0 || n >= sizeof(d->controller) || strlen(slash + 1) >= sizeof(d->path) || isempty(slash + 1))
                return -ENODEV;
        memcpy(d->controller, device->place, n);
        d->controller[n] = '\0';
        memcpy(d->path, slash + 1, strlen(slash + 1) + 1);
        return 0;
}

int usb_device_load(PtContext *ctx, const PtDevice *device, UsbDevice *ret) {
        UsbDevice d = { .device = device };
        int32_t authorized;
        int r;

        r = split_place(device, &d);
        if (r < 0)
                return r;
        d.vendor = read_number(ctx, device, "idVendor", true, 0xffff);
        d.model = read_number(ctx, device, "idProduct", true, 0xffff);
        d.class_code = read_number(ctx, device, "bDeviceClass", true, 0xff);
        d.bus = read_number(ctx, device, "busnum", false, 65535);
        d.address = read_number(ctx, device, "devnum", false, 127);
        authorized = read_number(ctx, device, "authorized", false, 1);
        d.authorized = authorized == 1;
        d.complete = d.vendor >= 0 && d.model >= 0 && d.class_code >= 0 && d.bus >= 0 && d.address >= 0 && authorized >= 0;
        d.root_hub = startswith(device->sysname, "usb");
        d.role = d.root_hub || d.class_code == USB_CLASS_HUB ? PT_ROLE_BRIDGE : PT_ROLE_OFFER;
        *ret = d;
        return 0;
}

typedef struct InterfaceList {
        UsbInterface *items;
        size_t n;
        const char *device;
} InterfaceList;

/* "1-2:1.0" belongs to "1-2", "1-0:1.0" to the root hub "usb1". */
static void add_interface(void *userdata, const char *entry) {
        InterfaceList *list = userdata;
        size_t n = strlen(list->device);

        if (strncmp(entry, list->device, n) != 0 || entry[n] != ':' || list->n >= USB_INTERFACES_MAX ||
            strlen(entry) >= sizeof(list->items->name))
                return;
        list->items[list->n] = (UsbInterface){ 0 };
        memcpy(list->items[list->n++].name, entry, strlen(entry) + 1);
}

static int compare_interfaces(const void *a, const void *b) {
        return strverscmp(((const UsbInterface *) a)->name, ((const UsbInterface *) b)->name);
}

static uint8_t read_interface_number(PtContext *ctx, const UsbDevice *d, const char *interface, const char *what) {
        char name[2 * USB_NAME_SIZE];
        int32_t value;

        (void) snprintf(name, sizeof(name), "%s/%s", interface, what);
        value = read_number(ctx, d->device, name, true, 0xff);
        return (uint8_t) (value < 0 ? 0 : value);
}

int usb_device_interfaces(PtContext *ctx, const UsbDevice *d, UsbInterface ret[static USB_INTERFACES_MAX],
                          size_t *ret_n) {
        InterfaceList list = { .items = ret, .device = d->device->sysname };
        int r;

        r = ctx->services->list(ctx, d->device, ".", add_interface, &list);
        if (r < 0)
                return r;
        if (list.n > 0)
                qsort(ret, list.n, sizeof(*ret), compare_interfaces);
        for (size_t i = 0; i < list.n; i++) {
                char name[2 * USB_NAME_SIZE];

                ret[i].class = read_interface_number(ctx, d, ret[i].name, "bInterfaceClass");
                ret[i].subclass = read_interface_number(ctx, d, ret[i].name, "bInterfaceSubClass");
                ret[i].protocol = read_interface_number(ctx, d, ret[i].name, "bInterfaceProtocol");
                (void) snprintf(name, sizeof(name), "%s/driver", ret[i].name);
                if (ctx->services->read_link(ctx, d->device, name, ret[i].driver, sizeof(ret[i].driver)) < 0)
                        ret[i].driver[0] = '\0';
        }
        *ret_n = list.n;
        return 0;
}

bool usb_controller_is_pci(const UsbDevice *d) {
        uint32_t domain;
        uint8_t bus, slot, function;

        return parse_bdf(d->controller, &domain, &bus, &slot, &function) >= 0;
}

int usb_path_above(const char *path, char ret[static USB_NAME_SIZE]) {
        const char *dot = strrchr(path, '.');

        if (!dot)
                return -ENOENT;
        memcpy(ret, path, (size_t) (dot - path));
        ret[dot - path] = '\0';
        return 0;
}

void usb_node_name(const UsbDevice *d, char ret[static USB_NAME_SIZE]) {
        (void) snprintf(ret, USB_NAME_SIZE, "bus/usb/%03d/%03d", (int) d->bus, (int) d->address);
}

const char *usb_clean_text(const char *text, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%s", text);
        for (char *p = buffer; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = '?';
        /* Broken UTF-8, also what the cut above broke, and C1 control characters. */
        if (!text_is_clean(buffer, size - 1))
                for (char *p = buffer; *p; p++)
                        if ((unsigned char) *p >= 0x80)
                                *p = '?';
        return buffer;
}

const char *usb_device_serial(PtContext *ctx, const PtDevice *device, char *buffer, size_t size) {
        const char *text = ctx->services->property(ctx, device, "ID_SERIAL_SHORT");

        if (isempty(text) || !usb_serial_is_plausible(text))
                return NULL;
        return (size_t) snprintf(buffer, size, "%s", text) < size ? buffer : NULL;
}

bool usb_setting_bool(PtContext *ctx, const char *name, bool fallback) {
        PtValue value;

        return ctx->services->get_setting(ctx, name, &value) >= 0 && value.type == PT_BOOL ? value.b : fallback;
}
