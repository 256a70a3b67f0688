/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Virtual functions of NVIDIA's GPUs: the driver takes no number in sriov_numvfs, NVIDIA's own script has to be run. It binds
 * the physical function anew, so that GPU instances, mixed sizes and the scheduler are gone afterwards: whatever sets these
 * comes later, and is undone before. */

#include <stdio.h>
#include <time.h>

#include "lib/parse.h"
#include "lib/plan.h"
#include "vgpu-step.h"

#define HELPER "sriov-manage"
#define MANAGE_TIMEOUT_MSEC 60000u
#define OUTPUT_SIZE 512
#define BUSY_WORD "unbindLock" /* "Cannot obtain unbindLock": somebody looks at the GPU right now */
#define AGAIN_MSEC 500u
#define LINKS_AGAIN_MSEC 100u

static void note_virtual(void *userdata, const char *entry) {
        if (startswith(entry, "virtfn"))
                (*(unsigned *) userdata)++;
}

unsigned vgpu_count_functions(PtContext *ctx, const PtDevice *device) {
        unsigned n = 0;

        (void) ctx->services->list(ctx, device, ".", note_virtual, &n);
        return n;
}

static void pause_msec(unsigned msec) {
        const struct timespec pause = { .tv_sec = msec / 1000, .tv_nsec = (long) (msec % 1000) * 1000000L };

        (void) nanosleep(&pause, NULL);
}

static uint64_t now_msec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static int helper_failed(PtContext *ctx, const PtDevice *device, bool on, int result, const char *output) {
        const char *what = on ? "on" : "off";

        if (result == -ENOENT)
                return vgpu_step_fail(ctx, result, "The virtual functions of %s can't be switched %s: NVIDIA's sriov-manage is not "
                                      "installed; it comes with the vGPU host driver (Virtual GPU Manager)",
                                      device->sysname, what);
        if (result == -EPERM)
                return vgpu_step_fail(ctx, result, "The virtual functions of %s are not switched %s: others than root may write to "
                                      "NVIDIA's sriov-manage, or to a folder above it",
                                      device->sysname, what);
        if (result < 0)
                return vgpu_step_fail(ctx, result, "NVIDIA's sriov-manage did not switch the virtual functions of %s %s: %s",
                                      device->sysname, what, strerrordesc_np(-result));
        return vgpu_step_fail(ctx, -EIO, "NVIDIA's sriov-manage could not switch the virtual functions of %s %s (exit status %d)%s%s",
                              device->sysname, what, result, isempty(output) ? "" : ": ", output);
}

static int run_helper(PtContext *ctx, const PtDevice *device, bool on, uint32_t timeout_msec) {
        const char *const words[] = { on ? "-e" : "-d", device->sysname, NULL };
        uint64_t deadline = now_msec() + timeout_msec;
        char output[OUTPUT_SIZE] = "";
        int result;

        if (!PT_HAS_SERVICE(ctx->services, run_helper))
                return vgpu_step_fail(ctx, -EOPNOTSUPP, "This service can't run NVIDIA's sriov-manage: run "
                                      "/usr/lib/nvidia/sriov-manage %s %s by hand", words[0], device->sysname);
        /* By the clock: it waits for the lock itself before it gives up. */
        for (;;) {
                result = ctx->services->run_helper(ctx, HELPER, words, MANAGE_TIMEOUT_MSEC, output, sizeof(output));
                if (result <= 0 || !strstr(output, BUSY_WORD) || now_msec() >= deadline)
                        break;
                pause_msec(AGAIN_MSEC);
        }
        return result == 0 ? 0 : helper_failed(ctx, device, on, result, output);
}

static uint32_t stated_functions(PtContext *ctx, const PtDevice *device) {
        char text[PCI_ATTRIBUTE_SIZE];
        uint32_t n;

        return ctx->services->read_attribute(ctx, device, "sriov_numvfs", text, sizeof(text)) >= 0 && parse_uint32(text, &n) >= 0
                       ? n
                       : 0;
}

int vgpu_set_functions(PtContext *ctx, const PtDevice *device, bool on, uint32_t timeout_msec) {
        int r = run_helper(ctx, device, on, timeout_msec / 2);

        if (r < 0)
                return r;
        for (uint32_t waited = 0;; waited += LINKS_AGAIN_MSEC) {
                unsigned there = vgpu_count_functions(ctx, device);

                if (on ? there > 0 && there >= stated_functions(ctx, device) : there == 0)
                        return 0;
                if (waited >= timeout_msec / 2)
                        return vgpu_step_fail(ctx, -ETIMEDOUT, "NVIDIA's sriov-manage switched the virtual functions of %s %s, but there "
                                              "are %u after %u s; the kernel log says why",
                                              device->sysname, on ? "on" : "off", there, waited / 1000);
                pause_msec(LINKS_AGAIN_MSEC);
        }
}

int vgpu_functions_observe(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%u", vgpu_count_functions(ctx, device));
        return ctx->services->put_observed(ctx, text);
}

int vgpu_functions_run(PtContext *ctx, const PtDevice *device, const PtStep *step) {
        return vgpu_count_functions(ctx, device) > 0 ? 0 : vgpu_set_functions(ctx, device, true, step_timeout_msec(step));
}

int vgpu_functions_undo(PtContext *ctx, const PtDevice *device, const PtStep *step, const char *observed) {
        bool before = !streq(observed, "0"), now = vgpu_count_functions(ctx, device) > 0;

        if (before == now || vgpu_step_is_over(device))
                return 0;
        return vgpu_set_functions(ctx, device, before, step_timeout_msec(step));
}
