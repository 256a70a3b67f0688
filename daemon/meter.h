/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much of providers is used: measured by a worker while somebody watches, and only then. Watchers of one provider share
 * its samples, at the shortest of their intervals. One worker measures at a time, all providers that are due together; what
 * is due while it is still at work is skipped and counted. The history stays in memory when nobody watches any more. */

#include "manager.h"

typedef struct MeterWatch MeterWatch;

/* Whether devices of the type can be measured at all. */
static inline bool meter_can(const Device *provider) {
        return provider->role == PT_ROLE_PROVIDER && provider->module->descriptor && provider->module->descriptor->use;
}

/* `gone`: the provider is not there any more; the watch is over and freed when it returns. Refuses an interval out of range,
 * types that can't be measured, and one watch too many of all or of `uid`. */
int meter_watch(Manager *m, Device *provider, uid_t uid, unsigned interval_msec, void (*gone)(void *userdata), void *userdata,
                MeterWatch **ret, Fault *fault);
void meter_unwatch(MeterWatch *watch);
/* The last sample, as Provider.Use has it but with ids in place of paths; {} while nobody watches. New reference. */
json_t *meter_use(Manager *m, Device *provider);
/* `of`: the provider ("") or one of its devices, by id; `minutes`: by minute; later than `since_msec`. New reference. */
int meter_history(Manager *m, Device *provider, const char *of, bool minutes, int64_t since_msec, json_t **ret, Fault *fault);
/* Sees to it that the provider was measured lately. `done` comes when it was, or could not be; maybe before this returns. */
void meter_ask(Manager *m, Device *provider, void (*done)(void *userdata), void *userdata);
/* What the last sample says is wrong with the device, as PtModule.use has it; borrowed; NULL for nothing, or when the sample is
 * old. */
json_t *meter_findings(Manager *m, const Device *device);
/* A device goes, or is a provider no more. */
void meter_forget(Manager *m, const Device *device);
/* At the end: whoever waits is told. */
void meter_answer(Manager *m);
void meter_free(Manager *m);
