/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/condition-builder.h"
#include "usb.h"

/* Always quoted: a serial number may have anything in it. */
static void add_condition(ConditionBuilder *c, const char *field, const char *value) {
        condition_builder_begin(c, field, "=");
        condition_builder_quote(c, value);
}

static void add_model(ConditionBuilder *c, const UsbDevice *d) {
        condition_builder_begin(c, "vendor-model", "=");
        condition_builder_append(c, "%04x:%04x", (unsigned) d->vendor, (unsigned) d->model);
}

static int identify_by_serial(PtContext *ctx, const UsbDevice *d) {
        char serial[USB_TEXT_SIZE];
        ConditionBuilder c = { 0 };

        if (!usb_device_serial(ctx, d->device, serial, sizeof(serial)))
                return 0;
        add_condition(&c, "serial", serial);
        add_model(&c, d);
        return condition_builder_put(&c, ctx, "serial", 90, "another device with the same serial number");
}

static int identify_by_descriptors(PtContext *ctx, const UsbDevice *d) {
        char hash[32];
        ConditionBuilder c = { 0 };
        PtValue value;

        if (ctx->services->get_field(ctx, d->device, "descriptor-hash", &value) < 0 || value.type != PT_STRING ||
            isempty(value.s) || strlen(value.s) >= sizeof(hash))
                return 0;
        memcpy(hash, value.s, strlen(value.s) + 1);
        add_model(&c, d);
        add_condition(&c, "descriptor-hash", hash);
        return condition_builder_put(&c, ctx, "descriptors", 40,
                                     "other firmware, or a second device of the same model");
}

int usb_identity(PtContext *ctx, const PtDevice *device) {
        ConditionBuilder c = { 0 };
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        if (d.vendor >= 0 && d.model >= 0) {
                r = identify_by_serial(ctx, &d);
                if (r < 0)
                        return r;
                add_condition(&c, "port", device->place);
                add_model(&c, &d);
                r = condition_builder_put(&c, ctx, "port+model", 60,
                                          "a move to another port, or another device of the same model there");
                if (r >= 0)
                        r = identify_by_descriptors(ctx, &d);
                if (r < 0)
                        return r;
                c = (ConditionBuilder){ 0 };
                add_model(&c, &d);
                r = condition_builder_put(&c, ctx, "model", 30, "a second device of the same model");
                if (r < 0)
                        return r;
        }
        c = (ConditionBuilder){ 0 };
        add_condition(&c, "port", device->place);
        return condition_builder_put(&c, ctx, "port", 0, "anything else at this port");
}

/* Its port exclusively; the hubs on the way and the controller with whoever else is behind them. A guest that has one of
 * those excludes all that hangs on it, by this alone. */
int usb_uses(PtContext *ctx, const PtDevice *device) {
        char key[2 * USB_NAME_SIZE + sizeof("usb:/")], path[USB_NAME_SIZE], above[USB_NAME_SIZE];
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        (void) snprintf(key, sizeof(key), "usb:%s/%s", d.controller, d.path);
        r = ctx->services->put_key(ctx, key, true);

        memcpy(path, d.path, sizeof(path));
        while (r >= 0 && usb_path_above(path, above) >= 0) {
                (void) snprintf(key, sizeof(key), "usb:%s/%s", d.controller, above);
                r = ctx->services->put_key(ctx, key, false);
                memcpy(path, above, sizeof(path));
        }
        if (r >= 0 && usb_controller_is_pci(&d)) {
                (void) snprintf(key, sizeof(key), "pci:%s", d.controller);
                r = ctx->services->put_key(ctx, key, false);
        }
        return r;
}

/* ---- following ---- */

static const char *former_condition(const PtFormer *former, const char *kind) {
        for (size_t i = 0; former->kinds && former->kinds[i]; i++)
                if (streq(former->kinds[i], kind))
                        return former->conditions[i];
        return NULL;
}

static int other_device(PtContext *ctx, const char *text) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = PT_SEVERITY_BLOCKER,
                                                       .code = "identity-changed",
                                                       .text = text,
                                                       .remedy = "Deactivate and activate again, if this one is meant.",
                                               });
}

/* A device with a serial number of its own is recognised by it, at whatever port it comes back. One without has nothing
 * but its port; there, other ids mean other firmware, where the group allows for that. */
int usb_follow(PtContext *ctx, const PtDevice *device, const PtFormer *former) {
        const char *serial = former_condition(former, "serial"), *model = former_condition(former, "model");
        char text[USB_TEXT_SIZE];
        ConditionBuilder now = { 0 };
        bool same_model, has_serial;
        UsbDevice d;
        int r;

        r = usb_device_load(ctx, device, &d);
        if (r < 0)
                return r;
        if (!d.complete)
                return -ENODEV; /* going again, or not there yet */
        if (d.role != PT_ROLE_OFFER && !former->same_place)
                return -ENODEV;
        if (d.role != PT_ROLE_OFFER)
                return other_device(ctx, "A hub is at its port now.");
        add_model(&now, &d);
        same_model = model && streq(now.text, model);

        has_serial = usb_device_serial(ctx, device, text, sizeof(text));
        if (has_serial) {
                now = (ConditionBuilder){ 0 };
                add_condition(&now, "serial", text);
                add_model(&now, &d);
                if (serial && streq(now.text, serial))
                        return 0;
                if (former->same_place && same_model && serial)
                        return other_device(ctx, "Another device of the same model, with another serial number, "
                                                 "is at its port now.");
        }
        if (!former->same_place)
                return -ENODEV;
        if (same_model && serial && !has_serial)
                return other_device(ctx, "A device of the same model that states no serial number is at its port now.");
        if (!same_model && !usb_setting_bool(ctx, "follow-other-ids", true))
                return other_device(ctx, "A device with other ids is at its port now, and the group does not "
                                         "follow those.");
        return 0;
}
