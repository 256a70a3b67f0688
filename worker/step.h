/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How one kind of step is observed, run and undone. A family of steps lives in a file of its own and offers
 * a StepOps; the executor finds it by the kind.
 *
 * observe  changes nothing and returns what undo needs, as a JSON object; it is recorded durably before
 *          run() begins.
 * run      makes the host as the step says, writes nothing where it is so already, and succeeds only if it
 *          reads back.
 * undo     makes the host as it was observed. It must work after run() was interrupted at any point, when
 *          run again, and when the device has vanished, which leaves nothing to restore. */

#include <sys/types.h>

#include "job.h"
#include "worker.h"

typedef struct StepCall {
        Worker *worker;
        const DeviceList *devices;
        const JobDevice *device; /* NULL for load-module */
        const PtStep *step;
        Fault fault;
        json_t *report; /* what the service keeps of it; owned; NULL for none */
        char *text; /* what was found afterwards where that is worth knowing; owned; NULL for none */
} StepCall;

typedef struct StepOps {
        int (*observe)(StepCall *call, json_t **ret);
        int (*run)(StepCall *call);
        int (*undo)(StepCall *call, json_t *observed);
} StepOps;

extern const StepOps step_ops_attribute;
extern const StepOps step_ops_driver;
extern const StepOps step_ops_reset;
extern const StepOps step_ops_node;
extern const StepOps step_ops_wait;
extern const StepOps step_ops_custom;
extern const StepOps step_ops_vf_count;
extern const StepOps step_ops_mdev;

/* The kernel's name of the device: what messages call it. */
const char *step_sysname(const StepCall *call);
/* Opens the device's sysfs directory. -ENODEV with a fault when it is gone. */
int step_open_device(StepCall *call, int *ret_fd);
/* The same for undo: 0 and -EBADF in `ret_fd` when it is gone, which is noted in the call's text. */
int step_open_device_for_undo(StepCall *call, int *ret_fd);

/* Fills the fault of the call; returns `error`. */
int step_fail(StepCall *call, int error, FaultCode code, const char *format, ...) PRINTF_LIKE(4, 5);
/* The note of what was found. */
void step_note(StepCall *call, const char *format, ...) PRINTF_LIKE(2, 3);

/* Writes to `path` below `dir_fd`. On failure the fault says device, attribute, value, the kernel's reason
 * and what usually lies behind it. `attribute` is what the file is called for people. */
int step_write(StepCall *call, int dir_fd, const char *path, const char *attribute, const char *value);
/* A text member of an observed object; -EBADMSG with a fault when it is missing. NULL for JSON null. */
int step_get_observed(StepCall *call, json_t *observed, const char *key, const char **ret);
