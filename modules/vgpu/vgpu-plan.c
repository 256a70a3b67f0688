/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Steps: the vGPU is made when its consumer starts, and goes by undoing that. */

#include <stdio.h>

#include "vgpu-device.h"
#include "vgpu-placement.h"
#include "vgpu-provision.h"
#include "vgpu.h"

/* NVIDIA's drivers let go of a vGPU up to ten seconds after its guest, and take a moment to make one. */
#define MAKE_TIMEOUT_MSEC 30000u

static uint32_t node_mode(const PtRequest *request) {
        return request->gid == 0 ? 0600 : 0660;
}

static int put_create(PtContext *ctx, const PtRequest *request, const VgpuType *type) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "make a vGPU %s on %s for user %u", vgpu_type_title(type),
                        request->device->sysname, request->uid);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_CREATE_MDEV,
                                                    .device = request->device->id,
                                                    .name = type->id,
                                                    .value = request->uuid,
                                                    .sentence = sentence,
                                                    .timeout_ms = MAKE_TIMEOUT_MSEC,
                                                    .uid = request->uid,
                                                    .gid = request->gid,
                                                    .mode = node_mode(request),
                                            });
}

static int put_set_type(PtContext *ctx, const PtRequest *request, const VgpuType *type) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "make a vGPU %s on %s", vgpu_type_title(type), request->device->sysname);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_CUSTOM,
                                                    .device = request->device->id,
                                                    .name = VGPU_STEP_SET_TYPE,
                                                    .value = vgpu_type_title(type),
                                                    .sentence = sentence,
                                                    .timeout_ms = MAKE_TIMEOUT_MSEC,
                                            });
}

/* On a GPU of mixed sizes: which places there are for the profile. */
static void append_choice(PtContext *ctx, const VgpuType *type, char params[static VGPU_PARAMS_SIZE]) {
        char ids[VGPU_PARAMS_SIZE / 2];
        size_t n = strlen(params);
        PtValue value;

        if (!PT_HAS_SERVICE(ctx->services, get_made) ||
            ctx->services->get_made(ctx, VGPU_VALUE_PLACEMENTS, &value) < 0 || value.type != PT_STRING)
                return;
        vgpu_placements_for(strempty(value.s), type->name, ids, sizeof(ids));
        if (!isempty(ids))
                (void) snprintf(params + n, VGPU_PARAMS_SIZE - n, "%s" VGPU_PLACEMENT_KEY "{%s}", n > 0 ? "," : "", ids);
}

static int put_params(PtContext *ctx, const PtRequest *request, const VgpuType *type, const char *uuid) {
        char params[VGPU_PARAMS_SIZE], value[VGPU_PARAMS_SIZE + 64], sentence[PCI_TEXT_SIZE];

        vgpu_params(ctx, params);
        append_choice(ctx, type, params);
        if (isempty(params))
                return 0;
        (void) snprintf(value, sizeof(value), "%s %s", uuid ?: "-", params);
        (void) snprintf(sentence, sizeof(sentence), "set its parameters: %s", params);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_CUSTOM,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = request->device->id,
                                                    .name = VGPU_STEP_SET_PARAMS,
                                                    .value = value,
                                                    .sentence = sentence,
                                            });
}

static int put_node_owner(PtContext *ctx, const PtRequest *request) {
        char name[32], sentence[PCI_TEXT_SIZE];

        (void) snprintf(name, sizeof(name), "vfio/%d", request->device->iommu_group);
        (void) snprintf(sentence, sizeof(sentence), "give /dev/%s to user %u", name, request->uid);
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_NODE_OWNER,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = request->device->id,
                                                    .name = name,
                                                    .sentence = sentence,
                                                    .uid = request->uid,
                                                    .gid = request->gid,
                                                    .mode = node_mode(request),
                                            });
}

static int plan_mdev(PtContext *ctx, const PtRequest *request, const VgpuType *type) {
        int r;

        if (isempty(request->uuid))
                return -EOPNOTSUPP;
        r = put_create(ctx, request, type);
        return r >= 0 && startswith(type->id, "nvidia-") ? put_params(ctx, request, type, request->uuid) : r;
}

static int plan_vfio(PtContext *ctx, const PtRequest *request, const VgpuType *type) {
        int r;

        if (request->device->iommu_group < 0)
                return -EOPNOTSUPP;
        r = put_set_type(ctx, request, type);
        if (r >= 0)
                r = put_params(ctx, request, type, NULL);
        return r < 0 ? r : put_node_owner(ctx, request);
}

static int plan_activate(PtContext *ctx, const PtRequest *request) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        char profile[VGPU_TYPE_NAME_SIZE], physfn[PCI_ADDRESS_SIZE];
        VgpuKind kind = vgpu_kind(ctx, request->device, physfn);
        const VgpuDeviceType *type;
        int r;

        if (kind != VGPU_SLOT && kind != VGPU_VF)
                return -EOPNOTSUPP;
        r = vgpu_device_load(ctx, request->device, &found);
        if (r < 0)
                return r == -ENODATA ? -EOPNOTSUPP : r;
        pci_setting_text(ctx, VGPU_SETTING_PROFILE, "", profile, sizeof(profile));
        type = vgpu_device_find(found, profile);
        if (!type)
                return -EOPNOTSUPP; /* check() says so to people */
        return vgpu_back_end(ctx, request->device) == VGPU_BACK_END_VFIO ? plan_vfio(ctx, request, &type->type)
                                                                         : plan_mdev(ctx, request, &type->type);
}

int vgpu_plan(PtContext *ctx, const PtRequest *request) {
        switch ((PtVerb) request->verb) {
        case PT_VERB_ACTIVATE:
                return plan_activate(ctx, request);
        case PT_VERB_DEACTIVATE:
                return 0; /* undoing what activate did is all */
        case PT_VERB_PROVISION:
                return vgpu_plan_provision(ctx, request);
        case PT_VERB_RESET:
        case PT_VERB_UNPROVISION:
        case PT_VERB_FOLLOW:
                return -EOPNOTSUPP;
        case _PT_VERB_MAX:
                break;
        }
        return -EINVAL;
}

/* ---- how it is attached ---- */

static bool shows_display(PtContext *ctx, bool *ret_ramfb) {
        char display[16];

        pci_setting_text(ctx, VGPU_SETTING_DISPLAY, "off", display, sizeof(display));
        *ret_ramfb = streq(display, "ramfb");
        return *ret_ramfb || streq(display, "on");
}

static int guest_mdev(PtContext *ctx, const PtRequest *request) {
        char link[PCI_ATTRIBUTE_SIZE], group[32], node[64], environment[64];
        bool ramfb, display = shows_display(ctx, &ramfb);
        ssize_t n;

        if (isempty(request->uuid))
                return -EOPNOTSUPP;
        (void) snprintf(link, sizeof(link), "%s/iommu_group", request->uuid);
        n = ctx->services->read_link(ctx, request->device, link, group, sizeof(group));
        if (n <= 0)
                return n < 0 ? (int) n : -ENOENT;
        (void) snprintf(node, sizeof(node), "/dev/vfio/%s", group);
        (void) snprintf(environment, sizeof(environment), "MDEV_UUID=%s", request->uuid);
        return ctx->services->put_attachment(
                ctx, &(PtAttachment){
                             .struct_size = sizeof(PtAttachment),
                             .device = request->device->id,
                             .driver = ramfb ? "vfio-pci-nohotplug" : "vfio-pci",
                             .libvirt_type = "mdev",
                             .address = request->uuid,
                             .nodes = (const char *const[]){ "/dev/vfio/vfio", node, NULL },
                             .properties = (const char *const[]){ display ? "display=on" : "display=off",
                                                                  ramfb ? "ramfb=on" : NULL, NULL },
                             .environment = (const char *const[]){ environment, NULL },
                             .libvirt = (const char *const[]){ "model=vfio-pci", display ? "display=on" : "display=off",
                                                               ramfb ? "ramfb=on" : "ramfb=off", NULL },
                     });
}

static int guest_vfio(PtContext *ctx, const PtRequest *request) {
        char node[32], environment[64];
        bool ramfb, display = shows_display(ctx, &ramfb);

        if (request->device->iommu_group < 0)
                return -EOPNOTSUPP;
        (void) snprintf(node, sizeof(node), "/dev/vfio/%d", request->device->iommu_group);
        (void) snprintf(environment, sizeof(environment), "PCI_DEVICE=%s", request->device->sysname);
        return ctx->services->put_attachment(
                ctx, &(PtAttachment){
                             .struct_size = sizeof(PtAttachment),
                             .device = request->device->id,
                             .driver = ramfb ? "vfio-pci-nohotplug" : "vfio-pci",
                             .libvirt_type = "pci",
                             .address = request->device->sysname,
                             .nodes = (const char *const[]){ "/dev/vfio/vfio", node, NULL },
                             .properties = (const char *const[]){ display ? "display=on" : "display=off",
                                                                  ramfb ? "ramfb=on" : NULL, NULL },
                             .environment = (const char *const[]){ environment, NULL },
                     });
}

int vgpu_guest(PtContext *ctx, const PtRequest *request) {
        char physfn[PCI_ADDRESS_SIZE];
        VgpuKind kind = vgpu_kind(ctx, request->device, physfn);

        if (kind != VGPU_SLOT && kind != VGPU_VF)
                return -EOPNOTSUPP;
        return vgpu_back_end(ctx, request->device) == VGPU_BACK_END_VFIO ? guest_vfio(ctx, request) : guest_mdev(ctx, request);
}
