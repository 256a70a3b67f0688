/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a device is. Nothing is asked of a driver here: directories tell which of the two frameworks it follows. */

#include "vgpu.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/id.h"
#include "lib/parse.h"
#include "modules/pci/pci-class.h"
#include "vgpu-board.h"
#include "vgpu-device.h"

static const char *const back_ends[] = {
        [VGPU_BACK_END_NONE] = "none",
        [VGPU_BACK_END_MDEV] = "mdev",
        [VGPU_BACK_END_VFIO] = "vfio",
};
DEFINE_STRING_TABLE(vgpu_back_end, VgpuBackEnd, back_ends)

static void note_entry(void *userdata, const char *entry) {
        *(bool *) userdata = true;
}

static void note_type_file(void *userdata, const char *entry) {
        if (streq(entry, "current_vgpu_type"))
                *(bool *) userdata = true;
}

static bool has_types(PtContext *ctx, const PtDevice *device) {
        bool found = false;

        return ctx->services->list(ctx, device, VGPU_TYPES_DIRECTORY, note_entry, &found) >= 0 && found;
}

static bool is_pci(const PtDevice *device) {
        return streq(device->subsystem, "pci");
}

VgpuBackEnd vgpu_back_end(PtContext *ctx, const PtDevice *device) {
        bool found = false;

        if (is_pci(device) && ctx->services->list(ctx, device, "nvidia", note_type_file, &found) >= 0 && found)
                return VGPU_BACK_END_VFIO;
        return has_types(ctx, device) ? VGPU_BACK_END_MDEV : VGPU_BACK_END_NONE;
}

bool vgpu_is_nvidia(PtContext *ctx, const PtDevice *device) {
        int32_t vendor;

        return is_pci(device) && pci_read_number(ctx, device, "vendor", UINT16_MAX, &vendor) >= 0 && vendor == VGPU_VENDOR_NVIDIA;
}

static bool is_nvidia_gpu(PtContext *ctx, const PtDevice *device, int32_t class_code) {
        return (uint32_t) class_code >> 16 == VGPU_CLASS_DISPLAY && vgpu_is_nvidia(ctx, device);
}

/* One that is sold for it, or that can make virtual functions. */
static bool is_capable(PtContext *ctx, const PtDevice *device) {
        char text[PCI_ATTRIBUTE_SIZE];
        int32_t product, subsystem;
        uint32_t total;

        if (ctx->services->read_attribute(ctx, device, "sriov_totalvfs", text, sizeof(text)) >= 0 &&
            parse_uint32(text, &total) >= 0 && total > 0)
                return true;
        if (pci_read_number(ctx, device, "device", UINT16_MAX, &product) < 0)
                return false;
        if (pci_read_number(ctx, device, "subsystem_device", UINT16_MAX, &subsystem) < 0)
                subsystem = 0;
        return vgpu_board_by_id((uint16_t) product, (uint16_t) subsystem) != NULL;
}

VgpuKind vgpu_kind(PtContext *ctx, const PtDevice *device, char ret_physfn[static PCI_ADDRESS_SIZE]) {
        char physfn[PCI_ADDRESS_SIZE];
        int32_t class_code;
        bool nvidia;

        if (device->slot > 0)
                return VGPU_SLOT;
        if (!is_pci(device))
                return VGPU_PARENT;
        if (pci_read_number(ctx, device, "class", 0xffffff, &class_code) < 0 ||
            (uint32_t) class_code >> 16 == VGPU_CLASS_BRIDGE)
                return VGPU_NEITHER;
        nvidia = is_nvidia_gpu(ctx, device, class_code);
        if (pci_read_physfn(ctx, device, physfn) >= 0) {
                if (!nvidia && !has_types(ctx, device))
                        return VGPU_NEITHER;
                memcpy(ret_physfn, physfn, sizeof(physfn));
                return VGPU_VF;
        }
        if (has_types(ctx, device))
                return VGPU_PARENT;
        /* Whatever its driver is now: a group may be made before NVIDIA's is loaded, and check() says what is missing. */
        return nvidia && is_capable(ctx, device) ? VGPU_GPU : VGPU_NEITHER;
}

/* ---- fields ---- */

static int put_text(PtContext *ctx, VgpuField field, const char *text) {
        return ctx->services->put_field(ctx, field, &PT_VALUE_STRING(text));
}

static const char *database_text(PtContext *ctx, const PtDevice *device, const char *key, const char *otherwise) {
        const char *text = is_pci(device) ? ctx->services->property(ctx, device, key) : NULL;

        return text && text_is_clean(text, PCI_TEXT_SIZE) && text[0] ? text : otherwise;
}

static void read_ids(PtContext *ctx, const PtDevice *device, char vendor[static 8], char product[static 8]) {
        const struct {
                const char *attribute;
                char *text;
        } ids[] = { { "vendor", vendor }, { "device", product } };

        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                int32_t value;

                ids[i].text[0] = '\0';
                if (is_pci(device) && pci_read_number(ctx, device, ids[i].attribute, UINT16_MAX, &value) >= 0)
                        (void) snprintf(ids[i].text, 8, "%04x", (unsigned) value & UINT16_MAX);
        }
}

static int describe_model(PtContext *ctx, const PtDevice *device) {
        char vendor_id[8], device_id[8], both[20] = "", name[2 * PCI_TEXT_SIZE];
        char vendor[PCI_TEXT_SIZE];
        const char *model;
        int r;

        read_ids(ctx, device, vendor_id, device_id);
        if (vendor_id[0] && device_id[0])
                (void) snprintf(both, sizeof(both), "%s:%s", vendor_id, device_id);
        /* A property lives until the next one is asked for. */
        (void) snprintf(vendor, sizeof(vendor), "%s", database_text(ctx, device, "ID_VENDOR_FROM_DATABASE", vendor_id));
        model = database_text(ctx, device, "ID_MODEL_FROM_DATABASE", both[0] ? both : device->sysname);
        (void) snprintf(name, sizeof(name), "%s%s%s", vendor, vendor[0] ? " " : "", model);

        const struct {
                VgpuField field;
                const char *text;
        } texts[] = {
                { VGPU_FIELD_NAME, name },           { VGPU_FIELD_VENDOR, vendor },
                { VGPU_FIELD_DEVICE, model },        { VGPU_FIELD_VENDOR_ID, vendor_id },
                { VGPU_FIELD_DEVICE_ID, device_id }, { VGPU_FIELD_VENDOR_DEVICE, both },
                { VGPU_FIELD_SLOT, device->sysname },
                { VGPU_FIELD_DRIVER, strempty(device->driver) },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                r = put_text(ctx, texts[i].field, texts[i].text);
                if (r < 0)
                        return r;
        }
        return ctx->services->put_name(ctx, vendor, name);
}

static const char *role_word(VgpuKind kind) {
        switch (kind) {
        case VGPU_SLOT:
                return "slot";
        case VGPU_VF:
                return "vf";
        case VGPU_GPU:
        case VGPU_PARENT:
        case VGPU_NEITHER:
        default:
                return "gpu";
        }
}

static int describe_place(PtContext *ctx, const PtDevice *device, VgpuKind kind, const char *physfn) {
        const char *physical = kind == VGPU_VF ? physfn : is_pci(device) ? device->sysname : "";
        int r;

        r = put_text(ctx, VGPU_FIELD_ROLE, role_word(kind));
        if (r >= 0)
                r = put_text(ctx, VGPU_FIELD_BACK_END, vgpu_back_end_to_string(vgpu_back_end(ctx, device)));
        if (r >= 0)
                r = put_text(ctx, VGPU_FIELD_PHYSICAL_FUNCTION, physical);
        if (r >= 0)
                r = put_text(ctx, VGPU_FIELD_VIRTUAL_FUNCTION, kind == VGPU_VF ? device->sysname : "");
        if (r >= 0)
                r = ctx->services->put_field(ctx, VGPU_FIELD_NUMBER, &PT_VALUE_UINT32(device->slot));
        if (r >= 0)
                r = ctx->services->put_field(ctx, VGPU_FIELD_NUMA_NODE,
                                             &PT_VALUE_INT32((int32_t) device->numa_node_plus_1 - 1));
        return r < 0 ? r
                     : ctx->services->put_field(ctx, VGPU_FIELD_IOMMU_GROUP, &PT_VALUE_INT32(device->iommu_group));
}

static int put_list(PtContext *ctx, VgpuField field, const char *const *list) {
        return ctx->services->put_field(ctx, field, &(PtValue){ .type = PT_STRV, .strv = list });
}

static const VgpuType *type_by_number(const VgpuDevice *found, uint32_t wanted) {
        uint32_t id;

        for (size_t i = 0; i < found->n_types && wanted > 0; i++)
                if (parse_uint32(found->types[i].type.id, &id) >= 0 && id == wanted)
                        return &found->types[i].type;
        return NULL;
}

static int describe_types(PtContext *ctx, const VgpuDevice *found) {
        const char *titles[VGPU_TYPES_MAX + 1], *ids[VGPU_TYPES_MAX + 1];
        const VgpuType *current = type_by_number(found, found->current);
        size_t n = 0;
        int r;

        for (; n < found->n_types; n++) {
                titles[n] = vgpu_type_title(&found->types[n].type);
                ids[n] = found->types[n].type.id;
        }
        titles[n] = ids[n] = NULL;
        r = put_list(ctx, VGPU_FIELD_PROFILES, titles);
        if (r >= 0)
                r = put_list(ctx, VGPU_FIELD_TYPE_IDS, ids);
        if (r >= 0)
                r = put_text(ctx, VGPU_FIELD_PROFILE, current ? vgpu_type_title(current) : "");
        return r < 0 ? r : put_text(ctx, VGPU_FIELD_TYPE_ID, current ? current->id : "");
}

static int describe_family(PtContext *ctx, const PtDevice *device, VgpuKind kind, const char *physfn, const VgpuDevice *found) {
        char provider[ID_SIZE];
        int r;

        switch (kind) {
        case VGPU_PARENT:
                r = ctx->services->put_role(ctx, PT_ROLE_PROVIDER);
                return r < 0 ? r : ctx->services->put_slots(ctx, found ? vgpu_device_slots(found) : 0);
        case VGPU_GPU:
                return ctx->services->put_role(ctx, PT_ROLE_PROVIDER);
        case VGPU_SLOT:
                r = id_from_place(is_pci(device) ? "pci" : "mdevbus", device->sysname, provider);
                break;
        case VGPU_VF:
                r = id_from_place("pci", physfn, provider);
                break;
        case VGPU_NEITHER:
        default:
                return -ENODEV;
        }
        return r < 0 ? r : ctx->services->put_provider(ctx, provider);
}

int vgpu_describe(PtContext *ctx, const PtDevice *device) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        char physfn[PCI_ADDRESS_SIZE] = "";
        VgpuKind kind = vgpu_kind(ctx, device, physfn);
        int r;

        if (kind == VGPU_NEITHER)
                return -ENODEV;
        r = vgpu_device_load(ctx, device, &found);
        if (r < 0 && r != -ENODATA)
                return r;
        r = describe_model(ctx, device);
        if (r >= 0)
                r = describe_place(ctx, device, kind, physfn);
        if (r >= 0 && found)
                r = describe_types(ctx, found);
        return r < 0 ? r : describe_family(ctx, device, kind, physfn, found);
}
