/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One request of the service, read and checked as a whole before anything of it is done. The strings of a
 * job belong to the message that it was read from, which the job keeps a reference to. */

#include <jansson.h>
#include <passthroughd/module.h>

#include "lib/plan.h"

typedef struct JobDevice {
        PtDevice device;
        const char *module; /* file name of its module's object; NULL when the request names none */
} JobDevice;

typedef struct DeviceList {
        json_t *message; /* owns the strings */
        JobDevice *items;
        size_t n_items;
        const char *module_dir; /* NULL when the request names none */
} DeviceList;

typedef enum JobMode {
        JOB_EXECUTE,
        JOB_UNDO,
        _JOB_MODE_MAX,
} JobMode;

DECLARE_STRING_TABLE(job_mode, JobMode);

typedef struct Job {
        JobMode mode;
        DeviceList devices;
        Plan plan;
        bool note;             /* execute: modules note first what health() compares later */
        const char **observed; /* undo: as many as steps, NULL for what was never begun; execute: NULL */
} Job;

int device_list_from_message(json_t *message, DeviceList *ret, Fault *fault);
void device_list_done(DeviceList *list);
#define _cleanup_device_list_ _cleanup_(device_list_done)
/* The device with this id, or NULL. */
const JobDevice *device_list_find(const DeviceList *list, const char *id);

/* Refuses the whole job (-EPERM) when a step names a device that is not in its list. */
int job_from_message(json_t *message, Job *ret, Fault *fault);
void job_done(Job *job);
#define _cleanup_job_ _cleanup_(job_done)

/* A name that can stand for one entry of a directory: not empty, no '/', not "." or "..", no control
 * characters. */
bool entry_name_is_valid(const char *name);
