/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps that make a GPU's layout, in the one order that works: MIG mode can be changed only without virtual functions;
 * switching these resets everything that comes after; the scheduler can be set only before the first vGPU. Undone in reverse. */

#include "vgpu-provision.h"

#include <stdio.h>

#include "vgpu-device.h"
#include "vgpu-layout.h"
#include "vgpu-wants.h"

#define MIG_TIMEOUT_MSEC 120000u       /* with a reset of the GPU */
#define FUNCTIONS_TIMEOUT_MSEC 180000u /* dozens of functions, and whoever looks at the GPU meanwhile */
#define MODE_TIMEOUT_MSEC 60000u

typedef int (*GetValue)(PtContext *ctx, const char *name, PtValue *ret);

/* The values of a layout. */
typedef struct Values {
        VgpuMode mode;
        bool functions;
        char instances[VGPU_INSTANCES_TEXT_SIZE], scheduler[VGPU_TURNS_SIZE];
} Values;

static void get_text(PtContext *ctx, GetValue get, const char *name, char *ret, size_t size) {
        PtValue value;

        ret[0] = '\0';
        if (get(ctx, name, &value) >= 0 && value.type == PT_STRING)
                (void) snprintf(ret, size, "%s", strempty(value.s));
}

static int get_values(PtContext *ctx, GetValue get, Values *ret) {
        char mode[16];
        PtValue value;

        get_text(ctx, get, VGPU_VALUE_MODE, mode, sizeof(mode));
        ret->mode = vgpu_mode_from_string(mode);
        ret->functions = get(ctx, VGPU_VALUE_FUNCTIONS, &value) >= 0 && value.type == PT_BOOL && value.b;
        get_text(ctx, get, VGPU_VALUE_INSTANCES, ret->instances, sizeof(ret->instances));
        get_text(ctx, get, VGPU_VALUE_SCHEDULER, ret->scheduler, sizeof(ret->scheduler));
        return ret->mode <= VGPU_MODE_NONE ? -EINVAL : 0;
}

/* ---- the plan ---- */

static int put_step(PtContext *ctx, const PtDevice *device, const char *name, const char *value, uint32_t timeout_msec,
                    const char *sentence) {
        return ctx->services->put_step(ctx, &(PtStep){
                                                    .kind = PT_STEP_CUSTOM,
                                                    .flags = PT_STEP_IDEMPOTENT,
                                                    .device = device->id,
                                                    .name = name,
                                                    .value = value,
                                                    .sentence = sentence,
                                                    .timeout_ms = timeout_msec,
                                            });
}

static int put_mig_mode(PtContext *ctx, const PtDevice *device, bool on) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "switch MIG mode of %s %s", device->sysname, on ? "on" : "off");
        return put_step(ctx, device, VGPU_STEP_MIG_MODE, on ? "on" : "off", MIG_TIMEOUT_MSEC, sentence);
}

static int put_functions(PtContext *ctx, const PtDevice *device) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "switch the virtual functions of %s on", device->sysname);
        return put_step(ctx, device, VGPU_STEP_FUNCTIONS, "on", FUNCTIONS_TIMEOUT_MSEC, sentence);
}

static int put_mixed(PtContext *ctx, const PtDevice *device, bool on) {
        char sentence[PCI_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "let %s take vGPUs of %s", device->sysname, on ? "mixed sizes" : "one size only");
        return put_step(ctx, device, VGPU_STEP_MIXED_SIZES, on ? "on" : "off", MODE_TIMEOUT_MSEC, sentence);
}

static int put_instances(PtContext *ctx, const PtDevice *device, const char *instances) {
        char sentence[PCI_TEXT_SIZE + VGPU_INSTANCES_TEXT_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "divide %s into the GPU instances %s", device->sysname, instances);
        return put_step(ctx, device, VGPU_STEP_INSTANCES, instances, MIG_TIMEOUT_MSEC, sentence);
}

static int put_scheduler(PtContext *ctx, const PtDevice *device, const char *scheduler) {
        char sentence[PCI_TEXT_SIZE + VGPU_TURNS_SIZE];

        (void) snprintf(sentence, sizeof(sentence), "set the scheduler of %s to %s", device->sysname, scheduler);
        return put_step(ctx, device, VGPU_STEP_SCHEDULER, scheduler, MODE_TIMEOUT_MSEC, sentence);
}

/* What somebody else set and the layout can't do with is switched off; what nobody set needs no step. */
int vgpu_plan_provision(PtContext *ctx, const PtRequest *request) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        const PtDevice *device = request->device;
        const json_t *gpu, *mig;
        Values values;
        int r;

        r = get_values(ctx, ctx->services->get_setting, &values);
        if (r < 0)
                return r;
        r = vgpu_device_load(ctx, device, &found);
        if (r < 0 && r != -ENODATA)
                return r;
        gpu = found ? json_object_get(found->json, "gpu") : NULL;
        mig = json_object_get(gpu, "mig");

        r = 0;
        if (values.mode == VGPU_MODE_MIG)
                r = put_mig_mode(ctx, device, true);
        else if (json_is_true(json_object_get(mig, "current")) || json_is_true(json_object_get(mig, "pending")))
                r = put_mig_mode(ctx, device, false);
        if (r >= 0 && values.functions)
                r = put_functions(ctx, device);
        if (r >= 0 && values.mode == VGPU_MODE_MIXED)
                r = put_mixed(ctx, device, true);
        else if (r >= 0 && values.mode == VGPU_MODE_EQUAL && json_is_true(json_object_get(gpu, "mixed-sizes")))
                r = put_mixed(ctx, device, false);
        if (r >= 0 && values.mode == VGPU_MODE_MIG)
                r = put_instances(ctx, device, values.instances);
        return r >= 0 && !isempty(values.scheduler) ? put_scheduler(ctx, device, values.scheduler) : r;
}

/* ---- change ---- */

/* Instances with vGPUs keep theirs; of the others nobody is told anything. */
static bool same_turns(const char *before, const char *after) {
        VgpuTurnList a, b;

        if (vgpu_turns_from_text(before, &a) < 0 || vgpu_turns_from_text(after, &b) < 0)
                return false;
        for (size_t i = 0; i < a.n; i++)
                for (size_t k = 0; k < b.n; k++)
                        if (a.turns[i].profile == b.turns[k].profile && a.turns[i].start == b.turns[k].start &&
                            !vgpu_scheduler_same(&a.turns[i].scheduler, &b.turns[k].scheduler))
                                return false;
        return true;
}

/* An instance that was there and goes on must not get a scheduler that it did not have. */
static bool keeps_turns(const Values *before, const Values *after) {
        VgpuInstanceList had;
        VgpuTurnList b;

        if (after->mode != VGPU_MODE_MIG)
                return streq(before->scheduler, after->scheduler);
        if (!same_turns(before->scheduler, after->scheduler) || vgpu_turns_from_text(after->scheduler, &b) < 0 ||
            vgpu_instances_from_text(before->instances, &had) < 0)
                return false;
        for (size_t i = 0; i < b.n; i++) {
                VgpuTurnList a;
                bool found = false;

                if (!vgpu_instances_find(&had, b.turns[i].profile, b.turns[i].start))
                        continue;
                (void) vgpu_turns_from_text(before->scheduler, &a);
                for (size_t k = 0; k < a.n; k++)
                        found = found || (a.turns[k].profile == b.turns[i].profile && a.turns[k].start == b.turns[i].start);
                if (!found)
                        return false;
        }
        return true;
}

int vgpu_change(PtContext *ctx, const PtDevice *provider) {
        Values before, after;

        if (get_values(ctx, ctx->services->get_made, &before) < 0 || get_values(ctx, ctx->services->get_setting, &after) < 0)
                return 0;
        return before.mode == after.mode && before.functions == after.functions && keeps_turns(&before, &after);
}

/* ---- verify ---- */

static int put_gone(PtContext *ctx, const PtDevice *provider, const char *code, const char *what) {
        char text[2 * PCI_TEXT_SIZE + VGPU_INSTANCES_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%s %s.", provider->sysname, what);
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = PT_SEVERITY_BLOCKER,
                                                       .code = code,
                                                       .text = text,
                                                       .culprit = provider->sysname,
                                                       .remedy = "Provision the group again.",
                                               });
}

static int verify_instances(PtContext *ctx, const PtDevice *provider, const json_t *gpu, const Values *values) {
        char text[PCI_TEXT_SIZE];
        VgpuInstanceList wanted;
        int r = 0;

        if (vgpu_instances_from_text(values->instances, &wanted) < 0)
                return put_gone(ctx, provider, "gpu-instances-gone", "was given GPU instances that nobody can read");
        for (size_t i = 0; i < wanted.n && r >= 0; i++) {
                const json_t *instance;
                bool found = false;
                size_t k;

                json_array_foreach(json_object_get(gpu, "instances"), k, instance)
                        found = found ||
                                (json_integer_value(json_object_get(instance, "profile")) == (json_int_t) wanted.entries[i].profile &&
                                 json_integer_value(json_object_get(instance, "start")) == (json_int_t) wanted.entries[i].start);
                if (found)
                        continue;
                (void) snprintf(text, sizeof(text), "has no GPU instance %u@%u any more", wanted.entries[i].profile,
                                wanted.entries[i].start);
                r = put_gone(ctx, provider, "gpu-instances-gone", text);
        }
        return r;
}

/* What NVIDIA's library said of the scheduler; NULL when it did not. */
static const char *found_scheduler(const json_t *gpu, const VgpuTurn *turn) {
        const json_t *instance;
        size_t i;

        if (turn->profile == VGPU_WHOLE_GPU)
                return json_string_value(json_object_get(gpu, "scheduler-now"));
        json_array_foreach(json_object_get(gpu, "instances"), i, instance)
                if (json_integer_value(json_object_get(instance, "profile")) == (json_int_t) turn->profile &&
                    json_integer_value(json_object_get(instance, "start")) == (json_int_t) turn->start)
                        return json_string_value(json_object_get(instance, "scheduler-now"));
        return NULL;
}

static int verify_scheduler(PtContext *ctx, const PtDevice *provider, const json_t *gpu, const Values *values) {
        char text[PCI_TEXT_SIZE + VGPU_SCHEDULER_TEXT_SIZE], wanted[VGPU_SCHEDULER_TEXT_SIZE];
        VgpuTurnList list;
        int r = 0;

        if (vgpu_turns_from_text(values->scheduler, &list) < 0)
                return 0;
        for (size_t i = 0; i < list.n && r >= 0; i++) {
                const char *now = found_scheduler(gpu, &list.turns[i]);
                VgpuScheduler found;

                if (!now || vgpu_scheduler_from_text(now, &found) < 0 || vgpu_scheduler_holds(&list.turns[i].scheduler, &found))
                        continue;
                vgpu_scheduler_to_text(&list.turns[i].scheduler, wanted);
                (void) snprintf(text, sizeof(text), "has the scheduler \"%s\" and not \"%s\"", now, wanted);
                r = put_gone(ctx, provider, "scheduler-gone", text);
        }
        return r;
}

static int verify_report(PtContext *ctx, const PtDevice *provider, const json_t *gpu, const Values *values) {
        const json_t *mig = json_object_get(json_object_get(gpu, "mig"), "current"), *mixed = json_object_get(gpu, "mixed-sizes");
        int r = 0;

        if (values->mode == VGPU_MODE_MIG) {
                if (!json_is_true(mig))
                        return mig ? put_gone(ctx, provider, "mig-mode-gone", "is not in MIG mode any more") : 0;
                r = verify_instances(ctx, provider, gpu, values);
        } else if (json_is_true(mig))
                return put_gone(ctx, provider, "mig-mode-gone", "is in MIG mode, which somebody else switched on");
        else if (mixed && json_is_true(mixed) != (values->mode == VGPU_MODE_MIXED))
                r = put_gone(ctx, provider, "mixed-sizes-gone",
                             values->mode == VGPU_MODE_MIXED ? "does not take vGPUs of mixed sizes any more"
                                                             : "was set to mixed sizes by somebody else");
        return r < 0 ? r : verify_scheduler(ctx, provider, gpu, values);
}

static void note_virtual(void *userdata, const char *entry) {
        if (startswith(entry, "virtfn"))
                *(bool *) userdata = true;
}

int vgpu_verify(PtContext *ctx, const PtDevice *provider) {
        _cleanup_(vgpu_device_freep) VgpuDevice *found = NULL;
        bool has_functions = false;
        const json_t *gpu;
        Values values;
        int r;

        if (get_values(ctx, ctx->services->get_made, &values) < 0)
                return 0;
        if (values.functions) {
                (void) ctx->services->list(ctx, provider, ".", note_virtual, &has_functions);
                if (!has_functions)
                        return put_gone(ctx, provider, "functions-gone", "has no virtual functions any more");
        }
        r = vgpu_device_load(ctx, provider, &found);
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        gpu = json_object_get(found->json, "gpu");
        return gpu ? verify_report(ctx, provider, gpu, &values) : 0;
}
