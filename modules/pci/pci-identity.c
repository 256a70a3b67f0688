/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/condition-builder.h"
#include "pci.h"

/* Values with anything but letters, digits and what ids have between them are quoted, as in rules. */
static void add_condition(ConditionBuilder *c, const char *field, const char *operator, const char * value) {
        bool plain = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.-_+/") ==
                     strlen(value);

        condition_builder_begin(c, field, operator);
        if (plain && !isempty(value))
                condition_builder_append(c, "%s", value);
        else
                condition_builder_quote(c, value);
}

static void add_hex(ConditionBuilder *c, const char *field, int32_t value) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%04x", (unsigned) value);
        add_condition(c, field, "=", text);
}

static void add_model(ConditionBuilder *c, const PciFunction *f) {
        char text[32];

        (void) snprintf(text, sizeof(text), "%04x:%04x", (unsigned) f->vendor, (unsigned) f->product);
        add_condition(c, "vendor-device", "=", text);
}

static void add_board(ConditionBuilder *c, const PciFunction *f) {
        add_model(c, f);
        if (f->subsystem_vendor < 0 || f->subsystem_product < 0)
                return;
        add_hex(c, "subsystem-vendor-id", f->subsystem_vendor);
        add_hex(c, "subsystem-device-id", f->subsystem_product);
}

static void add_function_number(ConditionBuilder *c, const PtDevice *device) {
        char text[8];

        (void) snprintf(text, sizeof(text), ".%d", pci_function_number(device));
        add_condition(c, "slot", "ends", text);
}

/* A text field that the worker has read already; NULL while unknown and where the device has none. */
static const char *known_text(PtContext *ctx, const PtDevice *device, const char *field, char *buffer,
                              size_t size) {
        PtValue value;

        if (ctx->services->get_field(ctx, device, field, &value) < 0 || value.type != PT_STRING ||
            isempty(value.s))
                return NULL;
        /* The pointer lives as long as this call of the service only. */
        if ((size_t) snprintf(buffer, size, "%s", value.s) >= size)
                return NULL;
        return buffer;
}

static int identify_by_serial(PtContext *ctx, const PciFunction *f) {
        char serial_buffer[PCI_ATTRIBUTE_SIZE], part_buffer[PCI_ATTRIBUTE_SIZE];
        const char *serial, *part;
        ConditionBuilder c = { 0 };
        int r;

        serial = known_text(ctx, f->device, "serial", serial_buffer, sizeof(serial_buffer));
        if (!serial)
                return 0;
        part = known_text(ctx, f->device, "part-number", part_buffer, sizeof(part_buffer));

        add_condition(&c, "serial", "=", serial);
        if (part)
                add_condition(&c, "part-number", "=", part);
        add_model(&c, f);
        r = condition_builder_put(&c, ctx, part ? "vpd" : "serial", part ? 95 : 90,
                                  "another card in its place");
        if (r < 0)
                return r;

        /* The functions of one card share its serial number. */
        add_function_number(&c, f->device);
        return condition_builder_put(&c, ctx, part ? "vpd+function" : "serial+function", 85,
                                     "another card in its place, or firmware settings that renumber its functions");
}

static int identify_by_mac(PtContext *ctx, const PciFunction *f) {
        char buffer[PCI_ATTRIBUTE_SIZE];
        const char *mac = known_text(ctx, f->device, "mac", buffer, sizeof(buffer));
        ConditionBuilder c = { 0 };

        if (!mac)
                return 0;
        add_condition(&c, "mac", "=", mac);
        add_model(&c, f);
        return condition_builder_put(&c, ctx, "mac", 80,
                                     "another card in its place, or an address written into the card anew");
}

static int identify_by_place(PtContext *ctx, const PciFunction *f) {
        char slot_buffer[PCI_ATTRIBUTE_SIZE], physfn[PCI_ADDRESS_SIZE];
        bool virtual_function = pci_read_physfn(ctx, f->device, physfn) >= 0;
        ConditionBuilder c = { 0 };
        const char *slot;
        int r;

        slot = known_text(ctx, f->device, "physical-slot", slot_buffer, sizeof(slot_buffer));
        if (slot && !virtual_function) {
                add_condition(&c, "physical-slot", "=", slot);
                add_function_number(&c, f->device);
                add_board(&c, f);
                r = condition_builder_put(&c, ctx, "physical-slot", 60,
                                          "a move to another slot, or another card of the same model there");
                if (r < 0)
                        return r;
        }

        c = (ConditionBuilder){ 0 };
        add_condition(&c, "slot", "=", f->device->sysname);
        add_board(&c, f);
        return condition_builder_put(&c, ctx, "subsystem+slot", 50,
                                     virtual_function
                                             ? "a move of the card, or hardware or firmware settings that renumber buses"
                                             : "a move to another slot, or hardware or firmware settings that renumber buses");
}

int pci_identity(PtContext *ctx, const PtDevice *device) {
        ConditionBuilder c = { 0 };
        PciFunction f;
        int r;

        r = pci_function_load(ctx, device, &f);
        if (r < 0)
                return r;

        if (f.vendor >= 0 && f.product >= 0) {
                r = identify_by_serial(ctx, &f);
                if (r >= 0)
                        r = identify_by_mac(ctx, &f);
                if (r >= 0)
                        r = identify_by_place(ctx, &f);
                if (r < 0)
                        return r;
                add_board(&c, &f);
                r = condition_builder_put(&c, ctx, "vendor-device", 30, "a second device of the same model");
                if (r < 0)
                        return r;
                c = (ConditionBuilder){ 0 };
        }
        add_condition(&c, "slot", "=", device->sysname);
        return condition_builder_put(&c, ctx, "slot", 0, "anything else at this address");
}
