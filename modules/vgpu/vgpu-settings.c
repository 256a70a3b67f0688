/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vgpu-settings.h"

#include <stdio.h>

#include "modules/pci/pci.h"
#include "vgpu-name.h"
#include "vgpu-release.h"
#include "vgpu-scheduler.h"
#include "vgpu-types.h"
#include "vgpu.h"

#define PER_CONSUMER (PT_SETTING_GROUP | PT_SETTING_CONSUMER | PT_SETTING_OVERRIDE)

static const char *const SCHEDULERS[] = { "default", "best-effort", "equal-share", "fixed-share", NULL };
static const char *const ROUND_ROBINS[] = { "default", "on", "off", NULL };
static const char *const DISPLAYS[] = { "off", "on", "ramfb", NULL };

const PtSetting VGPU_SETTINGS[] = {
        {
                .name = VGPU_SETTING_PROFILE,
                .doc = "Profile of the vGPUs, by name (\"L40S-8Q\", with or without \"NVIDIA \"), or, not NVIDIA's, "
                       "the folder of the driver's type (\"mtty-1\"). A group may be made without one, while the driver is not there yet: nothing of it can be had until it is set.",
                .type = PT_STRING,
                .flags = PT_SETTING_GROUP,
                .default_text = "",
        },
        {
                .name = VGPU_SETTING_INSTANCES,
                .doc = "vGPUs that the group is to have of each GPU that its rules select: a setting that the GPU has no room for, "
                       "beside those of other groups, is refused. 0: as many as there is room for.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = VGPU_INSTANCES_MAX,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_GPU_INSTANCES,
                .doc = "MIG: GPU instances that the group is to have of each GPU; as many guests are served at the same time without a "
                       "part in common. 0: as many as the group's \"instances\" need.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = 7,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_PER_INSTANCE,
                .doc = "MIG: vGPUs that share one GPU instance. 0: as many as it holds; 1: each has one for itself. Other numbers leave "
                       "part of the instance unused. More than one only where the GPU can time-slice an instance.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = 64,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_SCHEDULER,
                .doc = "How the vGPUs of a GPU take turns: \"best-effort\"; \"equal-share\" among those that there are; "
                       "\"fixed-share\", as much as if all of them were there; \"default\": as the GPU is set. All groups of a GPU "
                       "have the same.",
                .type = PT_STRING,
                .flags = PT_SETTING_GROUP,
                .choices = SCHEDULERS,
                .default_text = "default",
        },
        {
                .name = VGPU_SETTING_ROUND_ROBIN,
                .doc = "Strict round robin, for equal and fixed share: turns are evened out over time. \"default\" is on. Drivers from "
                       "release R595 on can't switch it off.",
                .type = PT_STRING,
                .flags = PT_SETTING_GROUP,
                .choices = ROUND_ROBINS,
                .default_text = "default",
        },
        {
                .name = VGPU_SETTING_FREQUENCY,
                .unit = "Hz",
                .doc = "Turns a second with strict round robin, 63 to 960. 0: the driver's default, 480 or, with more than 8 vGPUs on the "
                       "GPU, 960.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = VGPU_FREQUENCY_MAX,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_AVERAGING,
                .doc = "Strict round robin evens out over this many turns, 1 to 60. 0: the driver's default, 33.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = VGPU_AVERAGE_MAX,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_TIME_SLICE,
                .unit = "ms",
                .doc = "Length of a turn without strict round robin, 1 to 30. 0: the driver's default, 2 or, with more than 8 vGPUs on the "
                       "GPU, 1.",
                .type = PT_UINT32,
                .flags = PT_SETTING_GROUP,
                .maximum = VGPU_TIME_SLICE_MAX_MS,
                .default_text = "0",
        },
        {
                .name = VGPU_SETTING_DRIVER_VERSION,
                .doc = "Driver that the group's GPUs are to have: a release of NVIDIA's vGPU software (\"17\", \"17.6\") or the beginning of "
                       "a driver's version (\"550.163\"), each also as \">= 17.2\". Empty: any.",
                .type = PT_STRING,
                .flags = PT_SETTING_GROUP,
                .default_text = "",
        },
        {
                .name = VGPU_SETTING_DISPLAY,
                .doc = "What the VM manager shows of the vGPU: \"off\"; \"on\": its screen, through the VM manager's own display; "
                       "\"ramfb\": its screen also before the guest's driver runs, for one vGPU of a guest.",
                .type = PT_STRING,
                .flags = PER_CONSUMER,
                .choices = DISPLAYS,
                .default_text = "off",
        },
        {
                .name = VGPU_SETTING_FRAME_RATE_LIMITER,
                .unit = "frames/s",
                .doc = "0 switches the frame-rate limiter off. Drivers know on and off only: any other value means on, at the limit "
                       "of the profile. It works with the scheduler \"best effort\" only.",
                .type = PT_UINT32,
                .flags = PER_CONSUMER,
                .maximum = 1000,
                .default_text = "60",
        },
        {
                .name = VGPU_SETTING_DISABLE_VNC,
                .doc = "No console VNC for the vGPU.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        {
                .name = VGPU_SETTING_UNIFIED_MEMORY,
                .doc = "CUDA unified memory. Such a guest can't be moved to another host.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        {
                .name = VGPU_SETTING_DEBUGGERS,
                .doc = "CUDA debuggers. Such a guest can't be moved to another host.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        {
                .name = VGPU_SETTING_PROFILERS,
                .doc = "CUDA profilers. Such a guest can't be moved to another host.",
                .type = PT_BOOL,
                .flags = PER_CONSUMER,
                .default_text = "false",
        },
        { 0 },
};

/* ---- what fits together ---- */

/* The scheduler's part of a group's settings. */
typedef struct Wish {
        VgpuScheduler scheduler;
        uint32_t instances, gpu_instances, per_instance;
        char profile[VGPU_TYPE_NAME_SIZE];
        char driver[VGPU_VERSION_SIZE];
} Wish;

static uint32_t number(PtContext *ctx, const char *setting) {
        PtValue value;

        return ctx->services->get_setting(ctx, setting, &value) >= 0 ? value.u : 0;
}

static void load(PtContext *ctx, Wish *ret) {
        char word[32];

        *ret = (Wish){
                .scheduler = { .frequency = number(ctx, VGPU_SETTING_FREQUENCY),
                               .average = number(ctx, VGPU_SETTING_AVERAGING),
                               .time_slice_ms = number(ctx, VGPU_SETTING_TIME_SLICE) },
                .instances = number(ctx, VGPU_SETTING_INSTANCES),
                .gpu_instances = number(ctx, VGPU_SETTING_GPU_INSTANCES),
                .per_instance = number(ctx, VGPU_SETTING_PER_INSTANCE),
        };
        pci_setting_text(ctx, VGPU_SETTING_SCHEDULER, "default", word, sizeof(word));
        ret->scheduler.policy = vgpu_policy_from_string(word);
        pci_setting_text(ctx, VGPU_SETTING_ROUND_ROBIN, "default", word, sizeof(word));
        ret->scheduler.round_robin = vgpu_round_robin_from_string(word);
        pci_setting_text(ctx, VGPU_SETTING_PROFILE, "", ret->profile, sizeof(ret->profile));
        pci_setting_text(ctx, VGPU_SETTING_DRIVER_VERSION, "", ret->driver, sizeof(ret->driver));
}

static int refuse(PtContext *ctx, const char *code, const char *setting, const char *text, const char *remedy) {
        return ctx->services->put_finding(ctx, &(PtFinding){
                                                       .severity = PT_SEVERITY_BLOCKER,
                                                       .code = code,
                                                       .text = text,
                                                       .culprit = setting,
                                                       .remedy = remedy,
                                               });
}

static int check_policy(PtContext *ctx, const VgpuScheduler *s) {
        const struct {
                const char *setting;
                bool given;
        } details[] = {
                { VGPU_SETTING_ROUND_ROBIN, s->round_robin != VGPU_ROUND_ROBIN_DEFAULT },
                { VGPU_SETTING_FREQUENCY, s->frequency > 0 },
                { VGPU_SETTING_AVERAGING, s->average > 0 },
                { VGPU_SETTING_TIME_SLICE, s->time_slice_ms > 0 },
        };
        char text[PCI_TEXT_SIZE];

        if (s->policy != VGPU_POLICY_DEFAULT && s->policy != VGPU_POLICY_BEST_EFFORT)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(details); i++) {
                if (!details[i].given)
                        continue;
                (void) snprintf(text, sizeof(text), "%s is a detail of the schedulers equal-share and fixed-share; the group's is \"%s\".",
                                details[i].setting, vgpu_policy_to_string(s->policy));
                return refuse(ctx, "scheduler-detail", details[i].setting, text,
                              "Set \"scheduler\" to equal-share or fixed-share, or leave the detail at its default.");
        }
        return 0;
}

static int check_scheduler(PtContext *ctx, const VgpuScheduler *s) {
        int r;

        if (s->frequency > 0 && s->frequency < VGPU_FREQUENCY_MIN)
                return refuse(ctx, "frequency-out-of-range", VGPU_SETTING_FREQUENCY,
                              "scheduler-frequency is 63 to 960 Hz, or 0 for the driver's default.", NULL);
        r = check_policy(ctx, s);
        if (r < 0)
                return r;
        if (s->round_robin == VGPU_ROUND_ROBIN_OFF && (s->frequency > 0 || s->average > 0))
                return refuse(ctx, "needs-round-robin", s->frequency > 0 ? VGPU_SETTING_FREQUENCY : VGPU_SETTING_AVERAGING,
                              "scheduler-frequency and scheduler-averaging are details of strict round robin, which is off.",
                              "Set \"time-slice\" instead, or strict-round-robin to on.");
        if (s->round_robin != VGPU_ROUND_ROBIN_OFF && s->time_slice_ms > 0)
                return refuse(ctx, "needs-no-round-robin", VGPU_SETTING_TIME_SLICE,
                              "With strict round robin, which is on unless it is switched off, the frequency says how long a turn is: "
                              "time-slice has no effect.",
                              "Set \"scheduler-frequency\" instead, or strict-round-robin to off.");
        return 0;
}

static int check_instances(PtContext *ctx, const Wish *wish) {
        char text[PCI_TEXT_SIZE];
        VgpuName name;

        if (wish->gpu_instances == 0 && wish->per_instance == 0)
                return 0;
        if (vgpu_name_parse(wish->profile, &name) >= 0 && name.slices == 0) {
                (void) snprintf(text, sizeof(text),
                                "The profile \"%.96s\" is no MIG-backed one: it has neither GPU instances nor vGPUs of one.",
                                wish->profile);
                return refuse(ctx, "not-mig-backed", wish->gpu_instances ? VGPU_SETTING_GPU_INSTANCES : VGPU_SETTING_PER_INSTANCE,
                              text, "Take a MIG-backed profile (\"H100-1-10C\"), or leave both settings at 0.");
        }
        if (wish->gpu_instances > 0 && wish->per_instance > 0 && wish->instances > wish->gpu_instances * wish->per_instance) {
                (void) snprintf(text, sizeof(text), "%u vGPUs do not fit into %u GPU instances with %u each.", wish->instances,
                                wish->gpu_instances, wish->per_instance);
                return refuse(ctx, "per-instance", VGPU_SETTING_INSTANCES, text,
                              "Raise gpu-instances or vgpus-per-instance, or lower instances.");
        }
        return 0;
}

int vgpu_check_settings(PtContext *ctx) {
        Wish wish;
        int r;

        load(ctx, &wish);
        if (vgpu_release_check(wish.driver) < 0)
                return refuse(ctx, "driver-version-syntax", VGPU_SETTING_DRIVER_VERSION,
                              "driver-version is a release of NVIDIA's vGPU software from 13 to 20 (\"17\", \"17.6\"), the beginning of a "
                              "driver's version (\"550\", \"550.163\"), or one of these after \">=\".",
                              NULL);
        r = check_scheduler(ctx, &wish.scheduler);
        return r < 0 ? r : check_instances(ctx, &wish);
}
