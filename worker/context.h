/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a module's op or custom step is given in the worker: PtServices over the devices of the request, and
 * the place where its results are collected. One context serves one call of one op; it ends with the call,
 * and everything that the services returned ends with it. */

#include <passthroughd/module.h>

#include "job.h"
#include "lib/limits.h"
#include "worker.h"

typedef enum ContextPhase {
        CONTEXT_READ,   /* observe(): reads and fields */
        CONTEXT_RECORD, /* a custom step's observe(): reads and put_observed() */
        CONTEXT_WRITE,  /* a custom step's run() and undo(): reads and writes */
        CONTEXT_HEALTH, /* health(): reads, findings and put_observed() */
        CONTEXT_USE,    /* use(): reads and put_use() */
} ContextPhase;

typedef struct WorkerContext {
        PtContext base; /* first: the modules' pointer is ours */
        Worker *worker;
        const DeviceList *devices;
        const PtModule *module;
        const PtDevice *device; /* what the op is called for */
        ContextPhase phase;
        bool describing, described;
        PtValue fields[FIELDS_MAX]; /* by observe() */
        PtValue described_fields
                [FIELDS_MAX]; /* by describe(), which is called when an op asks for one of them */
        char *observed, *error, *blob;
        const char *noted; /* health(): by the call before; borrowed, NULL for none */
        json_t *findings;  /* by health(); NULL for none */
        json_t *use;       /* by use(); NULL for none */
        json_t *properties; /* {id: {key: value}}, read when first asked for */
        json_t *facts;      /* {name: value} */
} WorkerContext;

int context_init(WorkerContext *ret, Worker *worker, const DeviceList *devices, const PtModule *module,
                 const PtDevice *device, ContextPhase phase);
void context_done(WorkerContext *context);
#define _cleanup_context_ _cleanup_(context_done)
