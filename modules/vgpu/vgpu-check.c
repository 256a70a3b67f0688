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

#define HOST_DRIVER "NVIDIA's vGPU host driver (Virtual GPU Manager)"

static int put_other_driver(PtContext *ctx, const PtDevice *device, const char *what) {
        bool none = isempty(device->driver);
        char text[PCI_TEXT_SIZE], remedy[PCI_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "The %s %s%.64s; only NVIDIA's vGPU host driver makes vGPUs.", what,
                        none ? "has no driver" : "is bound to ", none ? "" : device->driver);
        (void) snprintf(remedy, sizeof(remedy), "Install and load " HOST_DRIVER ", and bind the %s to it.",
                        streq(what, "GPU") ? what : "function");
        return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered", text, device->driver, remedy);
}

static int put_not_offered(PtContext *ctx, const PtDevice *device) {
        if (!streq_null(device->driver, "nvidia"))
                return put_other_driver(ctx, device, "virtual function");
        return put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered", "The driver offers no vGPU types on this function.",
                   device->driver, "Install NVIDIA's vGPU host driver; with MIG switched on, make GPU instances first.");
}

/* ---- a GPU ---- */

/* The virtual functions tell whether the driver offers any. */
static void note_virtual(void *userdata, const char *entry) {
        if (startswith(entry, "virtfn"))
                *(bool *) userdata = true;
}

/* What the library says against it: 1 where it is the driver for compute. */
static int check_library(PtContext *ctx, const PtDevice *device, const VgpuDevice *found) {
        const json_t *gpu = json_object_get(found->json, "gpu");
        const char *mode = json_string_value(json_object_get(gpu, "virtualization"));
        const char *why = json_string_value(json_object_get(found->json, "library"));
        char text[2 * PCI_TEXT_SIZE];
        int r;

        if (!gpu) {
                (void) snprintf(text, sizeof(text), "What the driver can do with the GPU is not known: %.300s.",
                                why ? why : "NVIDIA's management library does not answer");
                return put(ctx, PT_SEVERITY_WARNING, "library-unavailable", text, device->driver,
                           "Install the package of the vGPU host driver with its libnvidia-ml.so.1; both are of one version.");
        }
        if (!mode || streq(mode, "host-vgpu"))
                return 0;
        (void) snprintf(text, sizeof(text), "The driver %s %.32s of this GPU is not the vGPU host driver: its virtualization mode is "
                                            "\"%.32s\".",
                        device->driver, strempty(json_string_value(json_object_get(gpu, "driver"))), mode);
        r = put(ctx, PT_SEVERITY_BLOCKER, "vgpu-not-offered", text, device->driver,
                streq(mode, "guest") ? "This machine is a guest with a vGPU itself; vGPUs are made on its host."
                                     : "Install " HOST_DRIVER " in place of the one for compute; both cannot be loaded.");
        return r < 0 ? r : 1;
}

/* What is half done, or to be done before there can be a vGPU. */
static int check_mig(PtContext *ctx, const PtDevice *device, const VgpuDevice *found) {
        const json_t *gpu = json_object_get(found->json, "gpu"), *mig = json_object_get(gpu, "mig");
        bool current = json_is_true(json_object_get(mig, "current")), pending = json_is_true(json_object_get(mig, "pending"));
        char text[PCI_TEXT_SIZE], remedy[PCI_TEXT_SIZE];

        if (mig && current != pending) {
                (void) snprintf(text, sizeof(text), "MIG mode is %s and is to be %s once the GPU is reset: it was in use when that was "
                                                    "asked for.",
                                current ? "on" : "off", pending ? "on" : "off");
                (void) snprintf(remedy, sizeof(remedy), "Stop what uses the GPU (DCGM, nvidia-persistenced, programs), then "
                                                        "nvidia-smi --gpu-reset -i %.16s, or restart the host.",
                                device->sysname);
                return put(ctx, PT_SEVERITY_WARNING, "mig-pending", text, device->driver, remedy);
        }
        if (!current || json_array_size(json_object_get(gpu, "instances")) > 0)
                return 0;
        return put(ctx, PT_SEVERITY_NOTE, "no-gpu-instances",
                   "MIG mode is on and there are no GPU instances: no vGPU can be made now.", device->driver,
                   "Make a group with a MIG-backed profile, for which the instances are made; or switch MIG mode off.");
}

static int check_gpu(PtContext *ctx, const PtDevice *device) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        bool has_functions = false;
        int r;

        if (!streq_null(device->driver, "nvidia"))
                return put_other_driver(ctx, device, "GPU");
        r = vgpu_device_load(ctx, device, &found);
        if (r < 0)
                return r == -ENODATA ? 0 : r; /* it is being read */
        r = check_library(ctx, device, found);
        if (r != 0)
                return r < 0 ? r : 0;
        (void) ctx->services->list(ctx, device, ".", note_virtual, &has_functions);
        if (!has_functions)
                r = put(ctx, PT_SEVERITY_NOTE, "functions-off", "The virtual functions that would carry vGPUs are switched off.",
                        device->driver, "Make a group with a profile: they are switched on for it (sriov-manage -e).");
        return r < 0 ? r : check_mig(ctx, device, found);
}

/* ---- the profile ---- */

static int put_incomplete(PtContext *ctx, const VgpuDevice *found) {
        char titles[TITLES_SIZE], remedy[TITLES_SIZE + 64];

        vgpu_device_titles(found, titles, sizeof(titles));
        if (found->n_types > 0)
                (void) snprintf(remedy, sizeof(remedy), "Set the group's \"profile\" to one of: %s", titles);
        else
                (void) snprintf(remedy, sizeof(remedy), "Set the group's \"profile\"; passthroughctl shows those of each GPU.");
        return put(ctx, PT_SEVERITY_BLOCKER, "incomplete", "The group has no profile: which vGPU to make is not said.", NULL,
                   remedy);
}

static int put_no_such_profile(PtContext *ctx, const PtDevice *device, const VgpuDevice *found, const char *profile) {
        char titles[TITLES_SIZE], remedy[TITLES_SIZE + 64], text[PCI_TEXT_SIZE];
        VgpuName name;

        vgpu_device_titles(found, titles, sizeof(titles));
        (void) snprintf(text, sizeof(text), "%s offers no \"%.96s\"%s.", device->sysname, profile,
                        found->n_types > 0 ? "" : " now, nor anything else");
        if (found->n_types > 0)
                (void) snprintf(remedy, sizeof(remedy), "It offers: %s", titles);
        else
                (void) snprintf(remedy, sizeof(remedy), "%s",
                                vgpu_name_parse(profile, &name) >= 0 && name.slices > 0
                                        ? "A MIG-backed type needs MIG mode and a free GPU instance of its size: provision the group."
                                        : "The GPU may be full, or divided otherwise: release vGPUs, or provision the group.");
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

static int check_profile(PtContext *ctx, const PtDevice *device, const char *physfn) {
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
        r = vgpu_check_gpu(ctx, device, physfn, profile);
        if (r < 0)
                return r;
        type = vgpu_device_find(found, profile);
        if (!type) {
                r = vgpu_check_missing(ctx, device, physfn, profile);
                return r != 0 ? MIN_OF(r, 0) : put_no_such_profile(ctx, device, found, profile);
        }
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
                return kind == VGPU_GPU ? check_gpu(ctx, device) : 0;
        if (vgpu_back_end(ctx, device) == VGPU_BACK_END_NONE)
                return put_not_offered(ctx, device);
        /* A mediated device that is all software has an IOMMU of its own; a virtual function has the host's or none. */
        if (kind == VGPU_VF && device->iommu_group < 0)
                r = put(ctx, PT_SEVERITY_BLOCKER, "no-iommu-group",
                        "The virtual function has no IOMMU group: vGPUs on virtual functions need the host's IOMMU.", NULL,
                        "Switch on VT-d or AMD-Vi in the firmware setup, and add intel_iommu=on to the kernel command line on "
                        "Intel machines.");
        return r >= 0 && request ? check_profile(ctx, device, kind == VGPU_VF ? physfn : "") : r;
}
