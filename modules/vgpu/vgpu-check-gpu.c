/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has to do with the GPU as a whole: its driver's version, a layout that is not made yet, parts that nobody can have. */

#include <stdio.h>

#include "lib/id.h"
#include "lib/parse.h"
#include "vgpu-board.h"
#include "vgpu-device.h"
#include "vgpu-layout.h"
#include "vgpu-provision.h"
#include "vgpu-release.h"
#include "vgpu-report.h"

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *remedy) {
        return ctx->services->put_finding(
                ctx, &(PtFinding){ .severity = severity, .code = code, .text = text, .remedy = remedy });
}

/* What NVIDIA's library said of the GPU of a virtual function, or of the device itself. -ENODATA while it is not known. */
static int load_gpu(PtContext *ctx, const PtDevice *device, const char *physfn, VgpuDevice **ret) {
        PtDevice provider = { .struct_size = sizeof(provider), .subsystem = "pci", .sysname = physfn, .place = physfn,
                              .iommu_group = -1 };
        char id[ID_SIZE];
        int r;

        if (isempty(physfn))
                return vgpu_device_load(ctx, device, ret);
        r = id_from_place("pci", physfn, id);
        if (r < 0)
                return r;
        provider.id = id;
        return vgpu_device_load(ctx, &provider, ret);
}

static int check_driver(PtContext *ctx, const PtDevice *device, const json_t *gpu) {
        char wanted[VGPU_VERSION_SIZE], text[2 * PCI_TEXT_SIZE], title[VGPU_VERSION_SIZE];
        const char *driver = json_string_value(json_object_get(gpu, "driver"));

        pci_setting_text(ctx, VGPU_SETTING_DRIVER_VERSION, "", wanted, sizeof(wanted));
        switch (vgpu_release_match(wanted, driver)) {
        case VGPU_RELEASE_YES:
                return 0;
        case VGPU_RELEASE_NO:
                vgpu_branch_title(vgpu_driver_branch(driver), title);
                (void) snprintf(text, sizeof(text), "The group wants the driver \"%s\"; that of %s is %s (%s).", wanted, device->sysname,
                                driver, title);
                return put(ctx, PT_SEVERITY_BLOCKER, "driver-version", text,
                           "Install that driver, or change the group's setting \"driver-version\".");
        case VGPU_RELEASE_UNKNOWN:
        default:
                (void) snprintf(text, sizeof(text), "The group wants the driver \"%s\"; whether that of %s%s%s is it, is not known.", wanted,
                                device->sysname, driver ? ", " : "", strempty(driver));
                return put(ctx, PT_SEVERITY_WARNING, "driver-version", text, NULL);
        }
}

/* Fewer than the instance holds, and more than one: what is left of it nobody can have. */
static int check_per_instance(PtContext *ctx, const char *profile) {
        const VgpuBoard *board;
        const MigType *type;
        char text[PCI_TEXT_SIZE];
        VgpuName name;
        PtValue per;

        if (ctx->services->get_setting(ctx, VGPU_SETTING_PER_INSTANCE, &per) < 0 || per.u < 2 ||
            vgpu_name_parse(profile, &name) < 0)
                return 0;
        board = vgpu_board_by_name(name.board);
        type = board && board->mig_types ? vgpu_board_mig_type(board, &name) : NULL;
        if (!type || per.u >= type->per_instance)
                return 0;
        (void) snprintf(text, sizeof(text), "The group puts %u vGPUs into each GPU instance, which holds %u: the rest is unused.", per.u,
                        type->per_instance);
        return put(ctx, PT_SEVERITY_WARNING, "unused-capacity", text, "Set vgpus-per-instance to 0, or take a larger profile.");
}

static int check_limiter(PtContext *ctx) {
        char scheduler[32];
        PtValue limit;

        pci_setting_text(ctx, VGPU_SETTING_SCHEDULER, "default", scheduler, sizeof(scheduler));
        if (streq(scheduler, "default") || streq(scheduler, "best-effort") ||
            ctx->services->setting_is_given(ctx, VGPU_SETTING_FRAME_RATE_LIMITER) <= 0 ||
            ctx->services->get_setting(ctx, VGPU_SETTING_FRAME_RATE_LIMITER, &limit) < 0 || limit.u == 0)
                return 0;
        return put(ctx, PT_SEVERITY_NOTE, "frame-rate-limiter-inactive",
                   "The frame-rate limiter works with the scheduler \"best-effort\" only; the group has another.", NULL);
}

int vgpu_check_gpu(PtContext *ctx, const PtDevice *device, const char *physfn, const char *profile) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        int r;

        r = load_gpu(ctx, device, physfn, &found);
        if (r < 0 && r != -ENODATA)
                return r;
        r = check_driver(ctx, device, found ? json_object_get(found->json, "gpu") : NULL);
        if (r >= 0)
                r = check_per_instance(ctx, profile);
        return r < 0 ? r : check_limiter(ctx);
}

/* ---- a profile that is not offered now ---- */

static const json_t *find_type(const json_t *gpu, const char *profile) {
        const json_t *type;
        uint32_t id;
        size_t i;

        json_array_foreach(json_object_get(gpu, "types"), i, type) {
                const char *name = json_string_value(json_object_get(type, "name"));

                if ((name && streq(vgpu_name_strip(name), vgpu_name_strip(profile))) ||
                    (parse_uint32(profile, &id) >= 0 && json_integer_value(json_object_get(type, "id")) == (json_int_t) id))
                        return type;
        }
        return NULL;
}

static VgpuMode made_mode(PtContext *ctx) {
        PtValue mode;

        if (!PT_HAS_SERVICE(ctx->services, get_made) || ctx->services->get_made(ctx, VGPU_VALUE_MODE, &mode) < 0 ||
            mode.type != PT_STRING)
                return VGPU_MODE_NONE;
        return vgpu_mode_from_string(strempty(mode.s));
}

/* Whether the layout that was made is for profiles of this kind. */
static bool is_made_for(VgpuMode made, bool mig) {
        return mig ? made == VGPU_MODE_MIG : made == VGPU_MODE_EQUAL || made == VGPU_MODE_MIXED;
}

int vgpu_check_missing(PtContext *ctx, const PtDevice *device, const char *physfn, const char *profile) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        const json_t *type;
        char text[2 * PCI_TEXT_SIZE];
        bool mig;
        int r;

        if (isempty(physfn) || load_gpu(ctx, device, physfn, &found) < 0)
                return 0;
        type = find_type(json_object_get(found->json, "gpu"), profile);
        if (!type)
                return 0;
        mig = json_is_integer(json_object_get(type, "instance-profile"));
        if (!is_made_for(made_mode(ctx), mig)) {
                (void) snprintf(text, sizeof(text), "%s can have \"%.96s\" once its GPU, %s, is set up for the group.", device->sysname, profile,
                                physfn);
                r = put(ctx, PT_SEVERITY_BLOCKER, "not-provisioned", text, "Provision the group (passthroughctl group provision).");
        } else {
                (void) snprintf(text, sizeof(text), "%s has no room for another \"%.96s\" now: %s.", physfn, profile,
                                mig ? "every GPU instance of its kind has as many vGPUs as it holds"
                                    : "other vGPUs take the place");
                r = put(ctx, PT_SEVERITY_BLOCKER, "no-room", text, "Release one of them, or use another GPU.");
        }
        return r < 0 ? r : 1;
}
