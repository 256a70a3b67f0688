/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The device source: the only place that looks at the host's devices on the service's thread.
 *
 * It scans /sys/bus/SUBSYSTEM/devices (or /sys/class/SUBSYSTEM) and /run/udev/data itself, because libudev costs seven times
 * as much, and follows changes through a libudev monitor. Only what is on the allow-list below is ever read: while a device
 * is being unbound, reading its uevent, driver_override or sriov_numvfs hangs in the kernel for as long as that takes.
 * When the monitor's buffer overflows it scans again and reports the differences. */

#include <systemd/sd-event.h>

#include "host-device.h"
#include "intern.h"
#include "lib/fault.h"
#include "lib/sysfs.h"

typedef struct Source Source;

#define SOURCE_ACTION_CHILDREN "children"

typedef struct SourceEvents {
        void *userdata;
        void (*added)(void *userdata, HostDevice *host);
        /* Driver, IOMMU group or properties may differ now. `action`: "change", "bind", "unbind", "move", "rescan", or
         * SOURCE_ACTION_CHILDREN: mediated devices were made or removed. */
        void (*changed)(void *userdata, HostDevice *host, const char *action);
        /* The host device is freed when this returns. */
        void (*removed)(void *userdata, HostDevice *host);
        /* A rescan came to its end. May be NULL. */
        void (*scanned)(void *userdata);
} SourceEvents;

/* `event` NULL: no changes are followed and rescans are done at once (tests). */
int source_new(sd_event *event, const Sysfs *sysfs, Interner *interner, const SourceEvents *events, Source **ret);
Source *source_free(Source *source);
DEFINE_CLEANUP(Source *, source_free)

/* Which subsystems are watched; called once for each distinct one of the modules' filters, before source_start(). */
int source_watch_subsystem(Source *source, const char *subsystem);
/* Opens the monitor, then scans, so that nothing falls between the two. */
int source_start(Source *source, Fault *fault);
/* Scans again and reports the differences, in slices of a few milliseconds from the event loop; `scanned` says when it is
 * done. Also begun when the monitor's buffer overflowed. */
int source_rescan(Source *source);

HostDevice *source_find(Source *source, const char *id);
/* Slots of a provider, see PtServices.put_slots; found by their id, but in no list, scan or IOMMU group. -EEXIST when the id is
 * taken. */
int source_add_part(Source *source, HostDevice *whole, uint32_t number, HostDevice **ret);
/* Takes over what may have changed about the provider; `differs` says whether it did. */
void source_follow_whole(Source *source, HostDevice *part);
void source_drop_part(Source *source, HostDevice *part);
HostDevice *source_find_by_name(Source *source, const char *subsystem, const char *sysname);
HostDevice *source_first(Source *source); /* iterate with host->hh.next */
/* The members of an IOMMU group, linked by next_in_iommu_group; NULL when empty. */
HostDevice *source_iommu_group(Source *source, int32_t number);

/* Reads for modules; -EPERM for names that are not on the allow-list (source-allow.c). Between source_begin_round() and
 * source_end_round() the device's directory stays open and no value is read twice; `added` and `changed` are within one. */
void source_begin_round(Source *source, const HostDevice *host);
void source_end_round(Source *source, const HostDevice *host);
ssize_t source_read_attribute(Source *source, const HostDevice *host, const char *name, char *buffer, size_t size);
ssize_t source_read_link(Source *source, const HostDevice *host, const char *name, char *buffer, size_t size);
int source_list(Source *source, const HostDevice *host, const char *name,
                void (*each)(void *userdata, const char *entry), void *userdata);
/* A property from udev's database file of the device, else from the hardware database by modalias; "PT_PHYSICAL_SLOT".
 * Names from the hardware database ("ID_…_FROM_DATABASE") are looked up once for each model. The pointer is valid until the
 * next call. */
const char *source_property(Source *source, const HostDevice *host, const char *key);
/* Facts of the host, see lib/host-facts.h. The pointer is valid until the next call. */
const char *source_host_fact(Source *source, const char *name);
