/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lib/parse.h"
#include "pci-class.h"
#include "pci.h"

static int put_text(PtContext *ctx, PciField field, const char *text) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

/* Ids are shown without 0x, as lspci and rules write them. Not known stays not filled. */
static int put_hex(PtContext *ctx, PciField field, int32_t value, int digits) {
        char text[16];

        if (value < 0)
                return 0;
        (void) snprintf(text, sizeof(text), "%0*x", digits, (unsigned) value);
        return put_text(ctx, field, text);
}

/* A copy of a property, NULL where there is none. The hardware database is text from many hands: control
 * characters and broken UTF-8 must not reach the bus. */
static const char *property_text(PtContext *ctx, const PtDevice *device, const char *key, char *buffer,
                                 size_t size) {
        const char *text;

        text = ctx->services->property(ctx, device, key);
        if (isempty(text))
                return NULL;
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

static int describe_names(PtContext *ctx, const PciFunction *f) {
        char vendor_buffer[PCI_TEXT_SIZE], device_buffer[PCI_TEXT_SIZE], name[2 * PCI_TEXT_SIZE];
        char vendor_id[16] = "????", both_ids[32] = "????:????";
        const char *vendor, *model;
        int r;

        if (f->vendor >= 0)
                (void) snprintf(vendor_id, sizeof(vendor_id), "%04x", (unsigned) f->vendor);
        if (f->vendor >= 0 && f->product >= 0)
                (void) snprintf(both_ids, sizeof(both_ids), "%04x:%04x", (unsigned) f->vendor,
                                (unsigned) f->product);

        vendor = property_text(ctx, f->device, "ID_VENDOR_FROM_DATABASE", vendor_buffer,
                               sizeof(vendor_buffer));
        model = property_text(ctx, f->device, "ID_MODEL_FROM_DATABASE", device_buffer,
                              sizeof(device_buffer));
        if (vendor)
                (void) snprintf(name, sizeof(name), "%s %s", vendor, model ? model : both_ids);
        else
                (void) snprintf(name, sizeof(name), "%s", model ? model : both_ids);

        r = put_text(ctx, PCI_FIELD_NAME, name);
        if (r >= 0)
                r = put_text(ctx, PCI_FIELD_VENDOR, vendor ? vendor : vendor_id);
        if (r >= 0)
                r = put_text(ctx, PCI_FIELD_DEVICE, model ? model : both_ids);
        if (r >= 0 && f->vendor >= 0 && f->product >= 0)
                r = put_text(ctx, PCI_FIELD_VENDOR_DEVICE, both_ids);
        if (r >= 0)
                r = ctx->services->put_name(ctx, vendor ? vendor : vendor_id, name);
        return r;
}

static int describe_class(PtContext *ctx, const PciFunction *f) {
        char buffer[PCI_TEXT_SIZE];
        const char *name;
        int r;

        if (f->class_code < 0)
                return 0;
        r = put_hex(ctx, PCI_FIELD_CLASS_HEX, f->class_code, 6);
        if (r < 0)
                return r;

        name = property_text(ctx, f->device, "ID_PCI_SUBCLASS_FROM_DATABASE", buffer, sizeof(buffer));
        if (!name)
                name = pci_class_name((uint32_t) f->class_code);
        r = put_text(ctx, PCI_FIELD_CLASS, name ? name : "Unknown class");
        if (r < 0)
                return r;

        name = property_text(ctx, f->device, "ID_PCI_CLASS_FROM_DATABASE", buffer, sizeof(buffer));
        if (!name)
                name = pci_class_base_name((uint32_t) f->class_code);
        return put_text(ctx, PCI_FIELD_CLASS_TYPE, name ? name : "Unknown class");
}

static int describe_driver(PtContext *ctx, const PciFunction *f) {
        char fact[PCI_ATTRIBUTE_SIZE];
        const char *module = NULL;
        int r;

        r = put_text(ctx, PCI_FIELD_DRIVER, strempty(f->device->driver));
        if (r < 0)
                return r;
        if (!isempty(f->device->driver)) {
                (void) snprintf(fact, sizeof(fact), "driver-module:pci:%s", f->device->driver);
                module = ctx->services->host_fact(ctx, fact);
        }
        return put_text(ctx, PCI_FIELD_MODULE, strempty(module));
}

static int describe_sriov(PtContext *ctx, const PciFunction *f) {
        char physfn[PCI_ADDRESS_SIZE] = "";
        uint32_t total, vfs;
        int r;

        r = pci_count_vfs(ctx, f->device, &total, &vfs, NULL, 0);
        if (r < 0)
                return r;
        r = ctx->services->put_field(ctx, PCI_FIELD_TOTAL_VFS, &PT_VALUE_UINT32(total));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_VFS, &PT_VALUE_UINT32(vfs));
        if (r < 0)
                return r;
        r = pci_read_physfn(ctx, f->device, physfn);
        if (r < 0)
                physfn[0] = '\0';
        return put_text(ctx, PCI_FIELD_PHYSICAL_FUNCTION, physfn);
}

static int describe_reset(PtContext *ctx, const PciFunction *f) {
        char text[PCI_ATTRIBUTE_SIZE], *state = NULL;
        const char *methods[16] = { 0 };
        size_t n = 0;

        if (pci_read_reset_methods(ctx, f->device, text, sizeof(text)) < 0)
                return 0;
        for (char *word = strtok_r(text, " ", &state); word && n + 1 < ELEMENTSOF(methods);
             word = strtok_r(NULL, " ", &state))
                if (text_is_clean(word, sizeof(text)))
                        methods[n++] = word;
        return ctx->services->put_field(ctx, PCI_FIELD_RESET_METHODS, &PT_VALUE_STRV(methods));
}

static int describe_place(PtContext *ctx, const PciFunction *f) {
        char text[PCI_ATTRIBUTE_SIZE], buffer[PCI_TEXT_SIZE];
        const char *slot;
        bool boot_vga = false;
        int r;

        r = put_text(ctx, PCI_FIELD_SLOT, f->device->sysname);
        if (r < 0)
                return r;
        slot = property_text(ctx, f->device, "PT_PHYSICAL_SLOT", buffer, sizeof(buffer));
        r = put_text(ctx, PCI_FIELD_PHYSICAL_SLOT, strempty(slot));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_NUMA_NODE,
                                             &PT_VALUE_INT32((int32_t) f->device->numa_node_plus_1 - 1));
        if (r >= 0)
                r = ctx->services->put_field(ctx, PCI_FIELD_IOMMU_GROUP,
                                             &PT_VALUE_INT32(f->device->iommu_group));
        if (r < 0)
                return r;

        /* Only VGA functions have the attribute. */
        if (f->class_code >> 8 == 0x0300 &&
            ctx->services->read_attribute(ctx, f->device, "boot_vga", text, sizeof(text)) >= 0)
                boot_vga = streq(text, "1");
        return ctx->services->put_field(ctx, PCI_FIELD_BOOT_VGA, &PT_VALUE_BOOL(boot_vga));
}

int pci_describe(PtContext *ctx, const PtDevice *device) {
        static int (*const parts[])(PtContext *, const PciFunction *) = {
                describe_names, describe_class, describe_driver,
                describe_sriov, describe_reset, describe_place,
        };
        PciFunction f;
        int r;

        r = pci_function_load(ctx, device, &f);
        if (r < 0)
                return r;
        const struct {
                PciField field;
                int32_t value;
                int digits;
        } ids[] = {
                { PCI_FIELD_VENDOR_ID, f.vendor, 4 },
                { PCI_FIELD_DEVICE_ID, f.product, 4 },
                { PCI_FIELD_SUBSYSTEM_VENDOR_ID, f.subsystem_vendor, 4 },
                { PCI_FIELD_SUBSYSTEM_DEVICE_ID, f.subsystem_product, 4 },
                { PCI_FIELD_REVISION, f.revision, 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                r = put_hex(ctx, ids[i].field, ids[i].value, ids[i].digits);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                r = parts[i](ctx, &f);
                if (r < 0)
                        return r;
        }
        r = put_text(ctx, PCI_FIELD_ROLE, pci_role_name(f.role));
        if (r < 0)
                return r;
        return ctx->services->put_role(ctx, f.role);
}
