/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sriov.h"

#include <stdio.h>

#include "lib/id.h"
#include "lib/parse.h"
#include "modules/pci/pci-class.h"
#include "sriov-drivers.h"

SriovKind sriov_kind(PtContext *ctx, const PtDevice *device, char ret_physfn[static PCI_ADDRESS_SIZE]) {
        char text[PCI_ATTRIBUTE_SIZE], physfn[PCI_ADDRESS_SIZE];
        uint32_t total;

        if (pci_read_physfn(ctx, device, physfn) >= 0) {
                memcpy(ret_physfn, physfn, sizeof(physfn));
                return SRIOV_VF;
        }
        if (ctx->services->read_attribute(ctx, device, "sriov_totalvfs", text, sizeof(text)) < 0 ||
            parse_uint32(text, &total) < 0 || total == 0)
                return SRIOV_NEITHER;
        return SRIOV_PF;
}

bool sriov_is_network(PtContext *ctx, const PtDevice *device) {
        int32_t class_code;

        return pci_read_number(ctx, device, "class", 0xffffff, &class_code) >= 0 &&
               (uint32_t) class_code >> 16 == SRIOV_CLASS_NETWORK;
}

typedef struct FirstName {
        char *buffer;
        size_t size;
} FirstName;

/* The order of a directory means nothing: the name that sorts first is the same each time. */
static void take_first(void *userdata, const char *entry) {
        FirstName *first = userdata;

        if (strlen(entry) < first->size && (isempty(first->buffer) || strcmp(entry, first->buffer) < 0))
                (void) snprintf(first->buffer, first->size, "%s", entry);
}

int sriov_interface(PtContext *ctx, const PtDevice *device, char *ret, size_t size) {
        FirstName first = { ret, size };
        int r;

        ret[0] = '\0';
        r = ctx->services->list(ctx, device, "net", take_first, &first);
        if (r < 0)
                return r;
        return isempty(ret) ? -ENOENT : 0;
}

/* ---- fields ---- */

static int put_text(PtContext *ctx, SriovField field, const char *text) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

static int put_number(PtContext *ctx, SriovField field, uint32_t number) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_UINT32(number));
}

static int put_hex(PtContext *ctx, SriovField field, int32_t value, int digits) {
        char text[16];

        if (value < 0)
                return 0;
        (void) snprintf(text, sizeof(text), "%0*x", digits, (unsigned) value);
        return put_text(ctx, field, text);
}

/* A copy. Texts of the hardware database are from many hands: what is not clean is not shown. */
static const char *database_text(PtContext *ctx, const PtDevice *device, const char *key, const char *otherwise,
                                 char buffer[static PCI_TEXT_SIZE]) {
        const char *text = ctx->services->property(ctx, device, key);

        if (isempty(text) || !text_is_clean(text, PCI_TEXT_SIZE - 1))
                return otherwise;
        (void) snprintf(buffer, PCI_TEXT_SIZE, "%s", text);
        return buffer;
}

static int describe_model(PtContext *ctx, const PciFunction *f) {
        char vendor_id[16] = "????", both_ids[32] = "????:????", name[2 * PCI_TEXT_SIZE];
        char vendor_text[PCI_TEXT_SIZE], model_text[PCI_TEXT_SIZE], class_text[PCI_TEXT_SIZE];
        const char *vendor, *model, *class_name;
        int r;

        if (f->vendor >= 0)
                (void) snprintf(vendor_id, sizeof(vendor_id), "%04x", (unsigned) f->vendor);
        if (f->vendor >= 0 && f->product >= 0)
                (void) snprintf(both_ids, sizeof(both_ids), "%04x:%04x", (unsigned) f->vendor, (unsigned) f->product);
        vendor = database_text(ctx, f->device, "ID_VENDOR_FROM_DATABASE", NULL, vendor_text);
        model = database_text(ctx, f->device, "ID_MODEL_FROM_DATABASE", both_ids, model_text);
        (void) snprintf(name, sizeof(name), "%s%s%s", strempty(vendor), vendor ? " " : "", model);
        class_name = f->class_code < 0 ? NULL : pci_class_name((uint32_t) f->class_code);
        class_name = database_text(ctx, f->device, "ID_PCI_SUBCLASS_FROM_DATABASE", class_name ?: "Unknown class",
                                   class_text);

        const struct {
                SriovField field;
                const char *text;
        } texts[] = {
                { SRIOV_FIELD_NAME, name },   { SRIOV_FIELD_VENDOR, vendor ?: vendor_id },
                { SRIOV_FIELD_DEVICE, model }, { SRIOV_FIELD_VENDOR_DEVICE, both_ids },
                { SRIOV_FIELD_CLASS, class_name },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                r = put_text(ctx, texts[i].field, texts[i].text);
                if (r < 0)
                        return r;
        }
        r = ctx->services->put_name(ctx, vendor ?: vendor_id, name);
        if (r >= 0)
                r = put_hex(ctx, SRIOV_FIELD_VENDOR_ID, f->vendor, 4);
        if (r >= 0)
                r = put_hex(ctx, SRIOV_FIELD_DEVICE_ID, f->product, 4);
        if (r >= 0)
                r = put_hex(ctx, SRIOV_FIELD_CLASS_HEX, f->class_code, 6);
        return r;
}

static int describe_place(PtContext *ctx, const PtDevice *device) {
        char interface[PCI_ATTRIBUTE_SIZE];
        int r;

        r = put_text(ctx, SRIOV_FIELD_SLOT, device->sysname);
        if (r >= 0)
                r = put_text(ctx, SRIOV_FIELD_DRIVER, strempty(device->driver));
        if (r >= 0)
                r = ctx->services->put_field(ctx, SRIOV_FIELD_NUMA_NODE,
                                             &PT_VALUE_INT32((int32_t) device->numa_node_plus_1 - 1));
        if (r >= 0)
                r = ctx->services->put_field(ctx, SRIOV_FIELD_IOMMU_GROUP, &PT_VALUE_INT32(device->iommu_group));
        if (r < 0)
                return r;
        /* Nothing that VFIO has, or nobody, has an interface. */
        if (isempty(device->driver) || sriov_interface(ctx, device, interface, sizeof(interface)) < 0)
                interface[0] = '\0';
        return put_text(ctx, SRIOV_FIELD_INTERFACE, interface);
}

static bool read_decimal(PtContext *ctx, const PtDevice *device, const char *name, uint32_t *ret) {
        char text[PCI_ATTRIBUTE_SIZE];

        return ctx->services->read_attribute(ctx, device, name, text, sizeof(text)) >= 0 && parse_uint32(text, ret) >= 0;
}

static bool routing_id(const char *address, uint32_t *ret) {
        uint8_t bus, slot, number;
        uint32_t domain;

        if (parse_bdf(address, &domain, &bus, &slot, &number) < 0)
                return false;
        *ret = (uint32_t) bus << 8 | (uint32_t) slot << 3 | number;
        return true;
}

/* A function does not say its number: its place on the bus tells it (routing id = that of the PF + offset + number × stride,
 * SR-IOV specification 2.1.2), and the attributes are right for the number of functions that there are now. -1 when not. */
static int32_t vf_index(PtContext *ctx, const PtDevice *device, const char *physfn) {
        uint32_t own, first, offset, stride = 0;

        if (!routing_id(device->sysname, &own) || !routing_id(physfn, &first) ||
            !read_decimal(ctx, device, "physfn/sriov_offset", &offset) || own < first + offset)
                return -1;
        own -= first + offset;
        if (own == 0)
                return 0;
        if (!read_decimal(ctx, device, "physfn/sriov_stride", &stride) || stride == 0 || own % stride != 0)
                return -1;
        return (int32_t) (own / stride);
}

static int describe_vf(PtContext *ctx, const PtDevice *device, const char *physfn) {
        char provider[ID_SIZE];
        int r;

        r = id_from_place("pci", physfn, provider);
        if (r >= 0)
                r = ctx->services->put_provider(ctx, provider);
        if (r >= 0)
                r = put_text(ctx, SRIOV_FIELD_ROLE, "vf");
        if (r >= 0)
                r = put_text(ctx, SRIOV_FIELD_PHYSICAL_SLOT, physfn);
        if (r >= 0)
                r = ctx->services->put_field(ctx, SRIOV_FIELD_VF_INDEX, &PT_VALUE_INT32(vf_index(ctx, device, physfn)));
        return r;
}

static int describe_driver(PtContext *ctx, const PtDevice *device) {
        const SriovDriver *driver = sriov_is_network(ctx, device) ? sriov_driver_find(device->driver) : NULL;
        const char *names[_SRIOV_KEY_MAX + 1];
        int r;

        sriov_driver_not_offered(driver, names);
        r = ctx->services->put_field(ctx, SRIOV_FIELD_NOT_OFFERED, &PT_VALUE_STRV(names));
        return r < 0 ? r : put_text(ctx, SRIOV_FIELD_DRIVER_REMARK, driver ? strempty(driver->remark) : "");
}

static int describe_pf(PtContext *ctx, const PtDevice *device) {
        static const struct {
                SriovField field;
                const char *attribute;
        } numbers[] = {
                { SRIOV_FIELD_OFFSET, "sriov_offset" },
                { SRIOV_FIELD_STRIDE, "sriov_stride" },
        };
        char id[PCI_ATTRIBUTE_SIZE];
        uint32_t total, vfs, value;
        int r;

        r = pci_count_vfs(ctx, device, &total, &vfs, NULL, 0);
        if (r >= 0)
                r = put_text(ctx, SRIOV_FIELD_ROLE, "pf");
        if (r >= 0)
                r = put_text(ctx, SRIOV_FIELD_PHYSICAL_SLOT, "");
        if (r >= 0)
                r = ctx->services->put_field(ctx, SRIOV_FIELD_VF_INDEX, &PT_VALUE_INT32(-1));
        if (r >= 0)
                r = put_number(ctx, SRIOV_FIELD_TOTAL_VFS, total);
        if (r >= 0)
                r = put_number(ctx, SRIOV_FIELD_VFS, vfs);
        for (size_t i = 0; i < ELEMENTSOF(numbers) && r >= 0; i++)
                if (read_decimal(ctx, device, numbers[i].attribute, &value))
                        r = put_number(ctx, numbers[i].field, value);
        if (r >= 0 && ctx->services->read_attribute(ctx, device, "sriov_vf_device", id, sizeof(id)) >= 0)
                r = put_text(ctx, SRIOV_FIELD_VF_DEVICE_ID, id);
        return r < 0 ? r : describe_driver(ctx, device);
}

int sriov_describe(PtContext *ctx, const PtDevice *device) {
        char physfn[PCI_ADDRESS_SIZE];
        SriovKind kind = sriov_kind(ctx, device, physfn);
        PciFunction f;
        int r;

        if (kind == SRIOV_NEITHER)
                return -ENODEV;
        r = pci_function_load(ctx, device, &f);
        if (r >= 0)
                r = describe_model(ctx, &f);
        if (r >= 0)
                r = describe_place(ctx, device);
        if (r >= 0)
                r = kind == SRIOV_VF ? describe_vf(ctx, device, physfn) : describe_pf(ctx, device);
        if (r < 0)
                return r;
        return ctx->services->put_role(ctx, kind == SRIOV_VF ? PT_ROLE_OFFER : PT_ROLE_PROVIDER);
}
