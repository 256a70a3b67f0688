/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a module says of settings that were just given, without a device: see PtModule.check_settings. */

#include "lib/limits.h"
#include "lib/parse.h"
#include "settings.h"

typedef struct CheckCall {
        PtContext context; /* first: what the op gets is a pointer to it */
        const SettingValues *values;
        Fault *fault;
        bool refused;
} CheckCall;

static CheckCall *call_of(PtContext *ctx) {
        return (CheckCall *) ctx;
}

static int service_get_setting(PtContext *ctx, const char *setting, PtValue *ret) {
        return settings_get(call_of(ctx)->values, setting, ret);
}

static int service_setting_is_given(PtContext *ctx, const char *setting) {
        return settings_is_given(call_of(ctx)->values, setting);
}

/* The first blocker is the answer. Only clean text goes to people. */
static int service_put_finding(PtContext *ctx, const PtFinding *finding) {
        CheckCall *call = call_of(ctx);

        if (finding->severity != PT_SEVERITY_BLOCKER || call->refused)
                return 0;
        if (!text_is_clean(strempty(finding->text), TEXT_MAX_BYTES) || !text_is_clean(strempty(finding->remedy), TEXT_MAX_BYTES))
                return -EINVAL;
        call->refused = true;
        fault_set(call->fault, -EINVAL, FAULT_INVALID_VALUE, "%s%s%s", strempty(finding->text),
                  isempty(finding->remedy) ? "" : " ", strempty(finding->remedy));
        return 0;
}

int settings_check(const PtModule *module, const SettingValues *values, Fault *fault) {
        static const PtServices services = {
                .struct_size = sizeof(PtServices),
                .abi_minor = PT_ABI_MINOR,
                .get_setting = service_get_setting,
                .put_finding = service_put_finding,
                .setting_is_given = service_setting_is_given,
        };
        CheckCall call = { .context.services = &services, .values = values, .fault = fault };
        int r;

        if (!module->check_settings)
                return 0;
        r = module->check_settings(&call.context);
        if (r < 0)
                return fault_set(fault, r, FAULT_INVALID_VALUE, "The module %s cannot judge these settings: %s", module->type,
                                 strerrordesc_np(-r));
        return call.refused ? -EINVAL : 0;
}
