/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two halves of the demo share. */

#include "cli.h"

#define DEMO_DIRECTORY "PASSTHROUGHD_DEMO_DIRECTORY"
#define DEMO_TOUR "PASSTHROUGHD_DEMO_TOUR"

typedef enum DemoPart {
        DEMO_SIMHOST,
        DEMO_DAEMON,
        DEMO_WORKER,
        DEMO_MODULES,
        DEMO_HOSTS,
        _DEMO_PART_MAX,
} DemoPart;

/* Where it is, in new memory. */
int demo_part(Cli *cli, DemoPart part, char **ret);

/* One command of a tour. */
typedef struct DemoStep {
        const char *text;        /* what is shown, or NULL */
        const char *command[10]; /* arguments of passthroughctl */
        int status;              /* that it must end with */
} DemoStep;

typedef struct DemoTour {
        const char *name;
        const DemoStep *steps;
        const char *device; /* whose driver must be the same at the end; NULL: none */
} DemoTour;

/* The one of that name; one that fits any host for another name. */
const DemoTour *demo_tour(const char *name);
