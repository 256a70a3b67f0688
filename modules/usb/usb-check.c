/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "usb.h"

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *culprit,
               const char *remedy) {
        return ctx->services->put_finding(
                ctx,
                &(PtFinding){
                        .severity = severity, .code = code, .text = text, .culprit = culprit, .remedy = remedy });
}

static int check_role(PtContext *ctx, const UsbDevice *d) {
        if (d->root_hub)
                return put(ctx, PT_SEVERITY_BLOCKER, "root-hub",
                           "The device is the root hub of a controller: a part of it, not a device of its own.",
                           NULL, "Give the controller to the guest, as a PCI device.");
        return put(ctx, PT_SEVERITY_BLOCKER, "hub",
                   "The device is a hub: a guest that had it would have nothing of what hangs on it.", NULL,
                   "Give the devices behind it to guests, one by one; or the controller, as a PCI device.");
}

static int check_numbers(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        if (d->complete)
                return 0;
        return put(ctx, PT_SEVERITY_BLOCKER, "attributes-missing",
                   "Ids, class, address or authorisation of the device cannot be read: it is about to go.", NULL,
                   "Plug the device in again.");
}

static int check_authorized(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        char remedy[USB_TEXT_SIZE];

        if (d->authorized || !d->complete)
                return 0;
        (void) snprintf(remedy, sizeof(remedy),
                        "If you trust it: echo 1 > /sys/bus/usb/devices/%s/authorized, or allow it in USBGuard.",
                        d->device->sysname);
        return put(ctx, PT_SEVERITY_BLOCKER, "not-authorized",
                   "The host does not authorise this device: it has no configuration that a guest could use.",
                   "/sys/bus/usb authorized", remedy);
}

/* A program that talks to the device through usbfs has its interfaces; the driver is called so then. */
static int check_claimed(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        UsbInterface interfaces[USB_INTERFACES_MAX];
        size_t n = 0;
        int r;

        r = usb_device_interfaces(ctx, d, interfaces, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                if (streq(interfaces[i].driver, "usbfs"))
                        return put(ctx, PT_SEVERITY_BLOCKER, "claimed-by-program",
                                   "A program of the host uses the device directly (through usbfs).",
                                   interfaces[i].name,
                                   "Stop the program; \"fuser -v\" with the device's node says which.");
        return 0;
}

static int check_fixed(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        char text[USB_NAME_SIZE];

        if (!usb_read_text(ctx, d->device, "removable", text, sizeof(text)) || !streq(text, "fixed"))
                return 0;
        return put(ctx, PT_SEVERITY_WARNING, "built-in",
                   "The device is built into this machine, which may need it (Bluetooth, camera, management).",
                   NULL, NULL);
}

typedef struct Siblings {
        char names[USB_TEXT_SIZE];
        size_t n, length;
        const char *self;
} Siblings;

static void add_sibling(void *userdata, const char *entry) {
        Siblings *s = userdata;
        int k;

        if (strchr(entry, ':') || !strchr(entry, '-') || streq(entry, s->self) ||
            strspn(entry, "0123456789-.") != strlen(entry))
                return;
        s->n++;
        k = snprintf(s->names + s->length, sizeof(s->names) - s->length, "%s%s", s->length > 0 ? ", " : "", entry);
        if (k > 0 && (size_t) k < sizeof(s->names) - s->length)
                s->length += (size_t) k;
        else
                s->names[s->length] = '\0';
}

/* The devices beside it hang on the same hub. */
static int check_resets(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        Siblings s = { .self = d->device->sysname };
        char text[2 * USB_TEXT_SIZE], above[USB_NAME_SIZE];

        if (!usb_setting_bool(ctx, "guest-resets-all", false))
                return 0;
        /* Ports of a root hub are independent of each other. */
        if (usb_path_above(d->path, above) >= 0)
                (void) ctx->services->list(ctx, d->device, "..", add_sibling, &s);
        if (s.n == 0)
                return put(ctx, PT_SEVERITY_WARNING, "guest-resets-all",
                           "The guest may reset the device at any time.", NULL, NULL);
        (void) snprintf(text, sizeof(text),
                        "The guest may reset the device at any time, and some hubs disturb what hangs beside it "
                        "then: %s.",
                        s.names);
        return put(ctx, PT_SEVERITY_WARNING, "guest-resets-all", text, s.names,
                   "Leave guest-resets-all off unless the guest's driver needs it, or move the others to another hub.");
}

static int check_serial(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        char serial[USB_TEXT_SIZE];

        if (request || usb_device_serial(ctx, d->device, serial, sizeof(serial)))
                return 0;
        return put(ctx, PT_SEVERITY_NOTE, "no-serial",
                   "The device has no serial number of its own: it is recognised by the port that it is plugged "
                   "into.",
                   NULL, NULL);
}

static int check_migration(PtContext *ctx, const UsbDevice *d, const PtRequest *request) {
        if (!request)
                return 0;
        return put(ctx, PT_SEVERITY_NOTE, "not-migratable",
                   "The guest stays on this host while it has the device: it cannot move to another one.", NULL,
                   NULL);
}

int usb_check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        static int (*const checks[])(PtContext *, const UsbDevice *, const PtRequest *) = {
                check_numbers, check_authorized, check_claimed,  check_fixed,
                check_resets,  check_serial,     check_migration,
        };
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        /* Nothing else matters for what is never offered. */
        if (d.role != PT_ROLE_OFFER)
                return check_role(ctx, &d);
        for (size_t i = 0; i < ELEMENTSOF(checks); i++) {
                r = checks[i](ctx, &d, request);
                if (r < 0)
                        return r;
        }
        return 0;
}
