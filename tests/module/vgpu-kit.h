/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The vgpu module in a test's own process: services that answer from what the test says, and note down what is put. The GPU is
 * 0000:3b:00.0; with a model, NVIDIA's library is the stand-in, in a state of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "modules/vgpu/vgpu.h"

#define KIT_ADDRESS "0000:3b:00.0"
#define KIT_LIST_MAX 64
#define KIT_FUNCTIONS 8u /* virtual functions that sriov-manage makes */

typedef struct KitPair {
        char name[64];
        char *text;
} KitPair;

typedef struct KitFinding {
        uint32_t severity;
        char code[64], text[1024], culprit[128], remedy[1024];
} KitFinding;

typedef struct KitStep {
        uint32_t flags;
        char name[64], value[512], sentence[512];
} KitStep;

typedef struct KitDemand {
        PtDemand demand; /* first */
        KitPair settings[8];
        size_t n_settings;
} KitDemand;

typedef struct Kit {
        PtContext ctx; /* first */
        PtServices services;
        const PtModule *module;
        PtDevice device;
        KitPair settings[KIT_LIST_MAX], layout[16], made[16], attributes[32];
        size_t n_settings, n_layout, n_made, n_attributes;
        KitFinding findings[KIT_LIST_MAX];
        size_t n_findings;
        KitStep steps[16];
        size_t n_steps;
        char observed[4096], error[2048];
        char *blob;
        unsigned functions; /* virtual functions that there are */
        /* sriov-manage */
        char helper_words[512]; /* every call: "-e 0000:3b:00.0;" */
        unsigned busy_times;    /* so often it cannot have the lock */
        int helper_result;      /* what it ends with; 0 */
        unsigned helper_msec;   /* so long it takes when it does not get its lock */
        bool idle_helper;       /* it ends well and does nothing */
        char state_file[64];
        PtValue value; /* what was asked for last */
        char rooms[1024];           /* "GROUP AVAILABLE/TOTAL NAME:SIZE; …" */
        json_t *capacity, *profiles; /* the test's own; NULL: what is put is forgotten */
} Kit;

/* `model`: name of a file of tests/fake-nvml/gpus, NULL for a host without NVIDIA's library. */
void kit_init(Kit *kit, const char *model);
void kit_done(Kit *kit);
#define _cleanup_kit_ __attribute__((cleanup(kit_done)))

/* "name=value" joined by blanks; a value may have "~" for a blank. */
void kit_settings(Kit *kit, const char *text);
/* The values of a layout that is to be made, or was: "name=value" joined by ";" (without a blank behind it). */
void kit_layout(Kit *kit, const char *text);
void kit_made(Kit *kit, const char *text);
void kit_set_attribute(Kit *kit, const char *name, const char *text);

/* What layout() says to the groups of `text`, "inference: profile=H100-1-10C instances=4; …" (in the order of creation; a value may
 * have "~" for a blank; "claimed=2" is what the group holds): its values, "mode=mig functions=true instances=19@0"; or "code culprit" of the blocker. */
void kit_lay_out(Kit *kit, const char *text, char *ret, size_t size);
/* The plan for the values, one line a step: "set-mig-mode on". */
void kit_plan(Kit *kit, const char *values, char *ret, size_t size);

/* The state of the stand-in's only GPU; a new reference, and written back by the other. */
json_t *kit_gpu(const Kit *kit);
void kit_put_gpu(const Kit *kit, json_t *gpu);
/* Lets the module read everything anew, as the service does after a change. */
void kit_observe(Kit *kit);

void kit_set_functions(Kit *kit, unsigned n);

const PtCustomStep *kit_step(const Kit *kit, const char *name);
/* What was put, forgotten. */
void kit_forget(Kit *kit);
