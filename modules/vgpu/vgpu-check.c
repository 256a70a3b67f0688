/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What speaks against giving a vGPU away, and what has to be known of it. */

#include <stdio.h>

#include "vgpu-device.h"
#include "vgpu-name.h"
#include "vgpu.h"

#define TITLES_SIZE 384

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *culprit,
               const char *remedy) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = severity,
                                                       .code = code,
                                                       .text = text,
                                                       .culprit = culprit,
                                                       .remedy = remedy,
                                               });
}

/* ---- no vGPUs at all ---- */

static int put_not_offered(PtContext *ctx, const PtDevice *device, VgpuKind kind) {
        char text[PCI_TEXT_SIZE];

        if (isempty(device->driver) || !streq(device->driver, "nvidia")) {
                (void) snprintf(text, sizeof(text), "The virtual function %s%s%.64s; only NVIDIA's vGPU host driver makes vGPUs.",
                                isempty(device->driver) ? "has no driver" : "is bound to", isempty(device->driver) ? "" : " ",
                                strempty(device->driver));
                return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered", text, device->driver,
                           "Install and load NVIDIA's vGPU host driver (Virtual GPU Manager), and bind the function to it.");
        }
        if (kind == VGPU_GPU)
                return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered",
                           "The GPU has no virtual functions that offer vGPUs: they are switched off, or the driver is the one for "
                           "compute and not the vGPU host driver.",
                           device->driver, "Run /usr/lib/nvidia/sriov-manage -e for the GPU; see dmesg if that fails.");
        return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered", "The driver offers no vGPU types on this function.",
                   device->driver, "Install NVIDIA's vGPU host driver; with MIG switched on, make GPU instances first.");
}

/* The virtual functions tell whether the driver offers any. */
static void note_virtual(void *userdata, const char *entry) {
        if (startswith(entry, "virtfn"))
                *(bool *) userdata = true;
}

static int check_provider(PtContext *ctx, const PtDevice *device, VgpuKind kind) {
        bool has_functions = false;

        if (kind != VGPU_GPU)
                return 0;
        (void) ctx->services->list(ctx, device, ".", note_virtual, &has_functions);
        return has_functions && streq_null(device->driver, "nvidia") ? 0 : put_not_offered(ctx, device, kind);
}

/* ---- the profile ---- */

static int put_incomplete(PtContext *ctx, const VgpuDevice *found) {
        char titles[TITLES_SIZE], remedy[TITLES_SIZE + 64];

        vgpu_device_titles(found, titles, sizeof(titles));
        (void) snprintf(remedy, sizeof(remedy), "Set the group's \"profile\" to one of: %s", titles);
        return put(ctx, PT_SEVERITY_BLOCKER, "incomplete", "The group has no profile: which vGPU to make is not said.", NULL,
                   remedy);
}

static int put_no_such_profile(PtContext *ctx, const PtDevice *device, const VgpuDevice *found, const char *profile) {
        char titles[TITLES_SIZE], remedy[TITLES_SIZE + 64], text[PCI_TEXT_SIZE];

        vgpu_device_titles(found, titles, sizeof(titles));
        (void) snprintf(text, sizeof(text), "%s offers no \"%.96s\"%s.", device->sysname, profile,
                        found->n_types > 0 ? "" : " now, nor anything else");
        (void) snprintf(remedy, sizeof(remedy), "It offers: %s", found->n_types > 0 ? titles : "nothing");
        return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered", text, NULL, remedy);
}

static int put_exists(PtContext *ctx, const PtDevice *device, const VgpuDevice *found) {
        char text[PCI_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%s carries a vGPU already (type %u).", device->sysname, found->current);
        return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-exists", text, NULL,
                   "If nobody uses it: echo 0 > nvidia/current_vgpu_type in the directory of the virtual function.");
}

/* What is read of a driver a moment ago may be over: it counts only while what was made is the same as then. */
static int check_room(PtContext *ctx, const PtDevice *device, const VgpuDevice *found, const VgpuDeviceType *type) {
        size_t n = vgpu_count_instances(ctx, device, type->type.id);
        char text[PCI_TEXT_SIZE];
        bool full = type->type.max_instances > 0 && n >= type->type.max_instances;

        if (!full && (found->outdated || type->available > 0))
                return 0;
        (void) snprintf(text, sizeof(text), "%s has no room for another %s: %zu of it exist%s.", device->sysname,
                        vgpu_type_title(&type->type), n,
                        full ? ", as many as there can be" : "; vGPUs of another type may take the place");
        return put(ctx, PT_SEVERITY_BLOCKER, "no-room", text, NULL, "Release one of them, or use another GPU.");
}

static int put_series_note(PtContext *ctx, const VgpuType *type) {
        char text[PCI_TEXT_SIZE];
        VgpuName name;

        if (vgpu_name_parse(type->name, &name) < 0 || !vgpu_series_use(name.series))
                return 0;
        (void) snprintf(text, sizeof(text), "Series %c: %s. The guest needs a licence: %s.", name.series,
                        vgpu_series_use(name.series), vgpu_series_licence(name.series));
        return put(ctx, PT_SEVERITY_NOTE, "licence", text, NULL, NULL);
}

static bool is_nvidia_type(const PtDevice *device, const VgpuType *type) {
        return startswith(type->id, "nvidia-") || (streq_null(device->driver, "nvidia") && type->name[0]);
}

static int check_params(PtContext *ctx, const PtDevice *device, const VgpuType *type) {
        char params[VGPU_PARAMS_SIZE];

        if (is_nvidia_type(device, type))
                return vgpu_params_findings(ctx);
        vgpu_params(ctx, params);
        if (isempty(params))
                return 0;
        return put(ctx, PT_SEVERITY_WARNING, "setting-without-effect",
                   "Frame-rate limiter, VNC, unified memory, debuggers and profilers are settings of NVIDIA's drivers; the driver "
                   "of this device has none of them.",
                   device->driver, NULL);
}

static int check_profile(PtContext *ctx, const PtDevice *device, VgpuKind kind) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        char profile[VGPU_TYPE_NAME_SIZE];
        const VgpuDeviceType *type;
        int r;

        r = vgpu_device_load(ctx, device, &found);
        if (r == -ENODATA)
                return put(ctx, PT_SEVERITY_BLOCKER, "not-read-yet", "What its driver offers is still being read.", NULL,
                           "Try again in a moment.");
        if (r < 0)
                return r;
        pci_setting_text(ctx, VGPU_SETTING_PROFILE, "", profile, sizeof(profile));
        if (isempty(profile))
                return put_incomplete(ctx, found);
        if (found->current > 0)
                return put_exists(ctx, device, found);
        type = vgpu_device_find(found, profile);
        if (!type)
                return put_no_such_profile(ctx, device, found, profile);
        if (vgpu_back_end(ctx, device) == VGPU_BACK_END_MDEV) {
                r = check_room(ctx, device, found, type);
                if (r < 0)
                        return r;
        }
        r = put_series_note(ctx, &type->type);
        return r < 0 ? r : check_params(ctx, device, &type->type);
}

int vgpu_check(PtContext *ctx, const PtDevice *device, const PtRequest *request) {
        char physfn[PCI_ADDRESS_SIZE];
        VgpuKind kind = vgpu_kind(ctx, device, physfn);
        int r = 0;

        if (kind == VGPU_NEITHER)
                return -ENODEV;
        if (kind == VGPU_GPU || kind == VGPU_PARENT)
                return check_provider(ctx, device, kind);
        if (vgpu_back_end(ctx, device) == VGPU_BACK_END_NONE)
                return put_not_offered(ctx, device, kind);
        /* A mediated device that is all software has an IOMMU of its own; a virtual function has the host's or none. */
        if (kind == VGPU_VF && device->iommu_group < 0)
                r = put(ctx, PT_SEVERITY_BLOCKER, "no-iommu-group",
                        "The virtual function has no IOMMU group: vGPUs on virtual functions need the host's IOMMU.", NULL,
                        "Switch on VT-d or AMD-Vi in the firmware setup, and add intel_iommu=on to the kernel command line on "
                        "Intel machines.");
        return r >= 0 && request ? check_profile(ctx, device, kind) : r;
}
