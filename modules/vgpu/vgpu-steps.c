/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Steps of NVIDIA's drivers. A type is looked up by its name when the step runs: numbers differ between drivers, and the type
 * may have gone since the plan was made. A vGPU goes some time after its guest has closed it, and until then the driver
 * refuses to take the type off. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/parse.h"
#include "lib/plan.h"
#include "vgpu-name.h"
#include "vgpu-placement.h"
#include "vgpu-step.h"
#include "vgpu-types.h"
#include "vgpu.h"

#define FILE_SIZE 8192
#define CREATABLE "nvidia/creatable_vgpu_types"
#define CURRENT "nvidia/current_vgpu_type"
#define AGAIN_MSEC 100u

static int fail(PtContext *ctx, int error, const char *text) {
        ctx->services->set_error(ctx, text);
        return error;
}

static int read_current(PtContext *ctx, const PtDevice *device, uint32_t *ret) {
        char text[64], error[PCI_TEXT_SIZE];
        ssize_t n = ctx->services->read_attribute(ctx, device, CURRENT, text, sizeof(text));

        if (n == -ENOENT || n == -ENODEV) {
                (void) snprintf(error, sizeof(error), "%s has no vGPU types any more: its driver was changed or reloaded",
                                device->sysname);
                return fail(ctx, (int) n, error);
        }
        if (n < 0 || vgpu_parse_current(text, ret) < 0) {
                (void) snprintf(error, sizeof(error), "Which vGPU %s has can't be read: %s", device->sysname,
                                n < 0 ? strerrordesc_np((int) -n) : "no number");
                return fail(ctx, n < 0 ? (int) n : -EBADMSG, error);
        }
        return 0;
}

/* ---- set type ---- */

static int observe_type(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[PCI_TEXT_SIZE];
        uint32_t current = 0;
        int r;

        r = read_current(ctx, device, &current);
        if (r < 0)
                return r;
        if (current > 0) {
                (void) snprintf(text, sizeof(text), "%s has a vGPU already (type %u), which this service did not make",
                                device->sysname, current);
                return fail(ctx, -EBUSY, text);
        }
        return ctx->services->put_observed(ctx, "0");
}

static int find_type(PtContext *ctx, const PtDevice *device, const char *profile, uint32_t *ret) {
        _cleanup_free_ VgpuType *types = calloc(VGPU_TYPES_MAX, sizeof(*types));
        _cleanup_free_ char *text = malloc(FILE_SIZE);
        char error[PCI_TEXT_SIZE];
        size_t n = 0;
        ssize_t length;

        if (!types || !text)
                return -ENOMEM;
        length = ctx->services->read_attribute(ctx, device, CREATABLE, text, FILE_SIZE);
        if (length >= 0)
                n = vgpu_parse_creatable(text, types, VGPU_TYPES_MAX, NULL);
        for (size_t i = 0; i < n; i++)
                if (streq(vgpu_name_strip(types[i].name), vgpu_name_strip(profile)))
                        return parse_uint32(types[i].id, ret);
        (void) snprintf(error, sizeof(error),
                        "%s can't be made on %s now: the driver offers %zu other type%s there%s. While a GPU has vGPUs of one "
                        "size it offers no other, unless it is set to mixed sizes",
                        profile, device->sysname, n, n == 1 ? "" : "s", n == 0 ? " (none at all)" : "");
        return fail(ctx, -ENOENT, error);
}

static int run_type(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char id[16], error[PCI_TEXT_SIZE];
        uint32_t wanted = 0, found = 0;
        int r;

        r = find_type(ctx, device, strempty(step->value), &wanted);
        if (r < 0)
                return r;
        (void) snprintf(id, sizeof(id), "%u", wanted);
        r = ctx->services->write_attribute(ctx, device, CURRENT, id);
        if (r < 0) {
                (void) snprintf(error, sizeof(error), "The driver does not make a %s on %s: %s%s", step->value, device->sysname,
                                strerrordesc_np(-r),
                                r == -EIO     ? " (there is no room for it on the GPU; see the kernel log)"
                                : r == -EPERM ? " (there is a vGPU already)"
                                              : "");
                return fail(ctx, r, error);
        }
        r = read_current(ctx, device, &found);
        if (r < 0 || found == wanted)
                return r;
        (void) snprintf(error, sizeof(error), "%s was given the vGPU type %u but reads %u", device->sysname, wanted, found);
        return fail(ctx, -EIO, error);
}

static int undo_type(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        const struct timespec pause = { .tv_nsec = AGAIN_MSEC * 1000000L };
        char error[PCI_TEXT_SIZE];
        uint32_t current = 0;
        int r, last = 0;

        for (uint32_t waited = 0;; waited += AGAIN_MSEC) {
                r = read_current(ctx, device, &current);
                /* Without its driver there is no vGPU either. */
                if (r == -ENOENT || r == -ENODEV || (r >= 0 && current == 0))
                        return 0;
                if (r < 0)
                        return r;
                if (waited >= step_timeout_msec(step))
                        break;
                last = ctx->services->write_attribute(ctx, device, CURRENT, "0");
                /* It may be taken and done later, or refused for now. */
                if (read_current(ctx, device, &current) < 0 || current > 0)
                        (void) nanosleep(&pause, NULL);
        }
        (void) snprintf(error, sizeof(error), "The driver keeps the vGPU of %s (type %u) for more than %u ms after its guest: %s",
                        device->sysname, current, step_timeout_msec(step), last < 0 ? strerrordesc_np(-last) : "no reason given");
        return fail(ctx, last < 0 ? last : -ETIMEDOUT, error);
}

/* ---- set parameters ---- */

/* "UUID key=value,…" of a mediated device, "- key=value,…" of a virtual function. They go with the vGPU. */
static int run_params(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        const char *blank = strchr(strempty(step->value), ' ');
        char path[PCI_ATTRIBUTE_SIZE], error[2 * PCI_TEXT_SIZE];
        int r;

        if (!blank)
                return fail(ctx, -EINVAL, "A step for vGPU parameters says none");
        if (step->value[0] == '-')
                (void) snprintf(path, sizeof(path), "nvidia/vgpu_params");
        else
                (void) snprintf(path, sizeof(path), "%.*s/nvidia/vgpu_params", (int) (blank - step->value), step->value);
        if (vgpu_has_choice(blank + 1)) {
                r = vgpu_write_with_choice(ctx, device, path, blank + 1);
                if (r >= 0)
                        return 0;
                (void) snprintf(error, sizeof(error), "None of the places that the layout has for this profile is free for %s (%s): %s",
                                device->sysname, blank + 1, strerrordesc_np(-r));
                return fail(ctx, r, error);
        }
        r = ctx->services->write_attribute(ctx, device, path, blank + 1);
        if (r >= 0)
                return 0;
        (void) snprintf(error, sizeof(error), "The driver does not take the vGPU parameters \"%s\" on %s: %s", blank + 1,
                        device->sysname, strerrordesc_np(-r));
        return fail(ctx, r, error);
}

#define STEP(step_name, function)                                                                                      \
        { .name = (step_name),                                                                                         \
          .observe = vgpu_##function##_observe,                                                                        \
          .run = vgpu_##function##_run,                                                                                \
          .undo = vgpu_##function##_undo }

const PtCustomStep VGPU_CUSTOM_STEPS[] = {
        { .name = VGPU_STEP_SET_TYPE, .observe = observe_type, .run = run_type, .undo = undo_type },
        { .name = VGPU_STEP_SET_PARAMS, .run = run_params },
        STEP(VGPU_STEP_MIG_MODE, mig_mode),
        STEP(VGPU_STEP_FUNCTIONS, functions),
        STEP(VGPU_STEP_MIXED_SIZES, mixed_sizes),
        STEP(VGPU_STEP_INSTANCES, instances),
        STEP(VGPU_STEP_SCHEDULER, scheduler),
        { 0 },
};
