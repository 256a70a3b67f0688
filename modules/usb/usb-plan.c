/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Activate takes the interfaces from the host's drivers and gives the device's node to the consumer; a device that came
 * back is made ready in the same way. What was there before is restored by undoing the steps. */

#include <stdio.h>

#include "usb.h"

static int put_release(PtContext *ctx, const PtDevice *device, const UsbInterface *interface) {
        char sentence[USB_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "release interface %s%s%s", interface->name,
                        isempty(interface->driver) ? "" : " from ", interface->driver);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_SET_DRIVER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .name = interface->name,
                                                    .value = "",
                                                    .sentence = sentence,
                                            });
}

static int put_node_owner(PtContext *ctx, const PtRequest *request, const UsbDevice *d) {
        char name[USB_NAME_SIZE], sentence[USB_TEXT_SIZE];

        usb_node_name(d, name);
        (void) snprintf(sentence, sizeof(sentence), "give /dev/%s to user %u", name, request->uid);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_NODE_OWNER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = d->device->id,
                                                    .name = name,
                                                    .sentence = sentence,
                                                    .uid = request->uid,
                                                    .gid = request->gid,
                                                    .mode = request->gid == 0 ? 0600 : 0660,
                                            });
}

static int put_reset(PtContext *ctx, const PtDevice *device, uint32_t flags) {
        char sentence[USB_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "reset %s", device->sysname);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_CUSTOM,
                                                    .flags = flags,
                                                    .device = device->id,
                                                    .name = USB_STEP_RESET,
                                                    .sentence = sentence,
                                            });
}

static int plan_activate(PtContext *ctx, const PtRequest *request, const UsbDevice *d) {
        UsbInterface interfaces[USB_INTERFACES_MAX];
        size_t n = 0;
        int r;

        if (!d->authorized)
                return -EOPNOTSUPP;
        r = usb_device_interfaces(ctx, d, interfaces, &n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = put_release(ctx, d->device, interfaces + i);
        return r < 0 ? r : put_node_owner(ctx, request, d);
}

int usb_plan(PtContext *ctx, const PtRequest *request) {
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, request->device, &d);
        if (r < 0)
                return r;
        /* What it is, a hub for one, is not known of a device that is about to go. */
        if (!d.complete)
                return -ENODEV;
        if (d.role != PT_ROLE_OFFER)
                return -EOPNOTSUPP;

        switch ((PtVerb) request->verb) {
        case PT_VERB_ACTIVATE:
        case PT_VERB_FOLLOW:
                return plan_activate(ctx, request, &d);
        case PT_VERB_DEACTIVATE:
                /* What the guest set up in the device goes; the host's drivers begin with it as plugged in. */
                return put_reset(ctx, request->device, PT_STEP_IDEMPOTENT | PT_STEP_OPTIONAL);
        case PT_VERB_RESET:
                return put_reset(ctx, request->device, PT_STEP_IDEMPOTENT);
        case PT_VERB_PROVISION:
        case PT_VERB_UNPROVISION:
                return -EOPNOTSUPP;
        case _PT_VERB_MAX:
                break;
        }
        return -EINVAL;
}

/* By bus and port: QEMU then finds the device again after it was enumerated anew with another address. The port of the
 * bus is not always that of the place: of a connector's two ports the place has the one of USB 2. */
int usb_guest(PtContext *ctx, const PtRequest *request) {
        char node[USB_NAME_SIZE + 8], name[USB_NAME_SIZE], bus[32], port[USB_NAME_SIZE + 16], address[32],
                environment[USB_NAME_SIZE + 32], vendor[32], model[32];
        const char *properties[8] = { 0 }, *libvirt[8] = { 0 };
        bool reset = usb_setting_bool(ctx, "guest-reset", true),
             all = usb_setting_bool(ctx, "guest-resets-all", false);
        const char *dash;
        size_t n = 0;
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, request->device, &d);
        if (r < 0)
                return r;
        dash = strchr(request->device->sysname, '-');
        if (!d.complete)
                return -ENODEV;
        if (d.role != PT_ROLE_OFFER || !dash || strlen(dash) > USB_NAME_SIZE)
                return -EOPNOTSUPP;

        usb_node_name(&d, name);
        (void) snprintf(node, sizeof(node), "/dev/%s", name);
        (void) snprintf(bus, sizeof(bus), "hostbus=%d", (int) d.bus);
        (void) snprintf(port, sizeof(port), "hostport=%s", dash + 1);
        properties[n++] = bus;
        properties[n++] = port;
        properties[n++] = reset ? "guest-reset=on" : "guest-reset=off";
        properties[n++] = all ? "guest-resets-all=on" : "guest-resets-all=off";

        (void) snprintf(vendor, sizeof(vendor), "vendor=0x%04x", (unsigned) d.vendor);
        (void) snprintf(model, sizeof(model), "product=0x%04x", (unsigned) d.model);
        n = 0;
        libvirt[n++] = vendor;
        libvirt[n++] = model;
        libvirt[n++] = !reset ? "guestReset=off" : all ? "guestReset=on" : "guestReset=uninitialized";

        (void) snprintf(address, sizeof(address), "%03d:%03d", (int) d.bus, (int) d.address);
        (void) snprintf(environment, sizeof(environment), "USB_DEVICE=%s", node);
        return ctx->services->put_attachment(
                ctx, &(PtAttachment){
                             .struct_size = sizeof(PtAttachment),
                             .device = request->device->id,
                             .driver = "usb-host",
                             .libvirt_type = "usb",
                             .address = address,
                             .nodes = (const char *const[]){ node, NULL },
                             .properties = properties,
                             .environment = (const char *const[]){ environment, NULL },
                             .libvirt = libvirt,
                     });
}
