/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Runs one module over a fixture tree, as service and worker would, and writes down what it says. What
 * breaks the rules of the module interface (a read that is not allowed on the service's thread, a field of
 * the wrong type, a step that the service would refuse) is a failure, whatever the golden text says. */

#include <passthroughd/module.h>
#include <stdio.h>

#include "lib/id.h"
#include "lib/plan.h"
#include "lib/sysfs.h"
#include "lib/value-util.h"
#include "tree.h"

/* A device of the tree. */
typedef struct HarnessDevice {
        PtDevice device;
        char id[ID_SIZE], provider[ID_SIZE], subsystem[64], sysname[128], devtype[64], driver[64], place[128];
        int dir_fd;
        PtValue *fields; /* owned, as many as the module has */
        char *blob;      /* what observe() put beside them */
        uint32_t role;
        bool offered; /* passes a filter of the module */
} HarnessDevice;

typedef enum HarnessMode {
        HARNESS_SERVICE, /* describe, uses, identity, check, plan, guest: quick reads from the list only */
        HARNESS_WORKER,  /* observe, custom steps */
} HarnessMode;

#define HARNESS_LAYOUT_MAX 16

typedef struct HarnessLayout {
        char name[64];
        PtValue value; /* owned */
} HarnessLayout;

typedef struct Harness {
        PtContext ctx; /* first: services get it back from the module */
        PtServices services;
        const PtModule *module;
        const Tree *tree;
        Sysfs sysfs;
        HarnessDevice *devices;
        size_t n_devices;

        HarnessMode mode;
        HarnessDevice *current;
        const char *op;
        const char *indent;
        uint32_t last_strength;
        bool named;
        char *observed;                  /* of a custom step, and of health() */
        const char *noted;               /* what health() is given */
        Plan plan;                       /* the steps of the last plan() */
        HarnessLayout layout[HARNESS_LAYOUT_MAX]; /* what layout() put */
        size_t n_layout;
        char property[4096], fact[4096]; /* what the last call returned */
        PtValue setting;
        unsigned reads;                  /* by the op that is under way */
        unsigned vanish_at;              /* of these reads, one fails or all from it on; 0: none */
        bool vanish_for_good;
        int vanish_error;
        FILE *out;
        unsigned failures;
} Harness;

/* services.c */
void harness_fill_services(Harness *harness);
/* providers.c */
void harness_fill_provider_services(Harness *harness);
/* What the device would be made into by the demands of the tree. */
void harness_provide(Harness *harness, HarnessDevice *device);
/* Switches between what the service and what the worker offers. */
void harness_enter(Harness *harness, HarnessMode mode, const char *op, HarnessDevice *device);
void harness_fail(Harness *harness, const char *format, ...) PRINTF_LIKE(2, 3);
HarnessDevice *harness_find(Harness *harness, const char *id);
/* A property of the udev database in the tree, or one that the service adds; NULL for none. */
const char *harness_property(Harness *harness, const HarnessDevice *device, const char *key);

/* vanish.c: every op again and again, with the device or one thing about it vanishing before each of its reads. */
int harness_vanish(Harness *harness);

/* devices.c: fills harness->devices with all of the module's subsystems, in order of their names. */
int harness_scan(Harness *harness);
void harness_forget(Harness *harness);
