/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `vgpu_params`: what NVIDIA's driver takes for one vGPU, "key=value" joined by commas. Source: "Virtual GPU Software User
 * Guide" v17. */

#include <stdio.h>

#include "vgpu.h"

static const struct {
        const char *setting, *key;
        const char *on;
} switches[] = {
        { VGPU_SETTING_DISABLE_VNC, "disable_vnc", "console VNC" },
        { VGPU_SETTING_UNIFIED_MEMORY, "enable_uvm", "unified memory" },
        { VGPU_SETTING_DEBUGGERS, "enable_debugging", "CUDA debuggers" },
        { VGPU_SETTING_PROFILERS, "enable_profiling", "CUDA profilers" },
};

#define FIRST_THAT_PINS 1u /* of them: with these a guest can't move to another host */
#define LIMIT_DEFAULT 60u

static uint32_t frame_rate_limit(PtContext *ctx) {
        PtValue value;

        return ctx->services->get_setting(ctx, VGPU_SETTING_FRAME_RATE_LIMITER, &value) >= 0 ? value.u : LIMIT_DEFAULT;
}

static void append(char *text, const char *more) {
        size_t n = strlen(text);

        (void) snprintf(text + n, VGPU_PARAMS_SIZE - n, "%s%s", n > 0 ? "," : "", more);
}

void vgpu_params(PtContext *ctx, char ret[static VGPU_PARAMS_SIZE]) {
        char one[64];

        ret[0] = '\0';
        if (frame_rate_limit(ctx) == 0)
                append(ret, "frame_rate_limiter=0");
        for (size_t i = 0; i < ELEMENTSOF(switches); i++) {
                if (!pci_setting_bool(ctx, switches[i].setting, false))
                        continue;
                (void) snprintf(one, sizeof(one), "%s=1", switches[i].key);
                append(ret, one);
        }
}

static int put(PtContext *ctx, PtSeverity severity, const char *code, const char *text, const char *remedy) {
        return ctx->services->put_finding(
                ctx, &(PtFinding){ .severity = severity, .code = code, .text = text, .remedy = remedy });
}

int vgpu_params_findings(PtContext *ctx) {
        uint32_t limit = frame_rate_limit(ctx);
        char text[PCI_TEXT_SIZE];
        int r = 0;

        if (limit != 0 && limit != LIMIT_DEFAULT)
                r = put(ctx, PT_SEVERITY_NOTE, "frame-rate-limit-is-a-switch",
                        "The driver knows the frame-rate limiter as on or off only: on, at the limit of the profile.",
                        "Set frame-rate-limiter to 60 for on or 0 for off.");
        for (size_t i = FIRST_THAT_PINS; r >= 0 && i < ELEMENTSOF(switches); i++) {
                if (!pci_setting_bool(ctx, switches[i].setting, false))
                        continue;
                (void) snprintf(text, sizeof(text), "With %s the guest can neither be moved to another host nor suspended.",
                                switches[i].on);
                r = put(ctx, PT_SEVERITY_WARNING, "not-migratable", text, NULL);
        }
        return r;
}
