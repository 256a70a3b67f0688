/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the device source share: source.c (the table of host devices), source-allow.c (what
 * may be read), source-read.c (reading it), source-scan.c (looking at what there is), source-slot.c (PCI
 * slots), source-monitor.c (following changes), source-property.c (udev's databases), host-facts.c (facts
 * that belong to no device). */

#include <dirent.h>
#include <libudev.h>
#include <sys/stat.h>

#include "lib/host-facts.h"
#include "lib/limits.h"
#include "source-allow.h"
#include "source.h"

/* Room for what one round reads of a device as text; more is read without being kept. */
#define ROUND_TEXT_SIZE 4096
#define UDEV_RECORD_MAX 16384
#define SOURCE_NAME_MAX 256

typedef struct Subsystem {
        const char *name; /* interned */
        const AllowEntry *allowed;
        int directory_fd; /* /sys/bus/NAME/devices or /sys/class/NAME; -EBADF while there is none */
        unsigned depth;   /* of that directory below /sys */
        struct Subsystem *next;
} Subsystem;

/* One look at one device: its directory stays open and nothing is read twice, however many ask. `depth`
 * counts those who are in it. */
typedef struct Round {
        const HostDevice *host; /* NULL: none under way */
        const Subsystem *subsystem;
        unsigned depth;
        int directory_fd;
        struct {
                bool known;
                int32_t result;  /* length or negative errno */
                uint32_t offset; /* in `text` */
        } values[ALLOW_MAX];
        char text[ROUND_TEXT_SIZE];
        size_t used;
        bool record_known; /* udev's record was read */
        ssize_t record_length;
        char record[UDEV_RECORD_MAX];
} Round;

/* What a model is called. Models repeat, and the hardware database is slow, so this is asked once for
 * each. */
typedef struct ModelNames ModelNames;

typedef struct Slot {
        const char *name; /* interned */
        UT_hash_handle hh;
        char address[]; /* "0000:3b:00", or "0000:3b" for a slot that holds a whole bus */
} Slot;

/* A device whose id is not made of its name. */
typedef struct NamedHost {
        HostDevice *host;
        UT_hash_handle hh;
} NamedHost;

/* The kernel gives numbers of IOMMU groups out from the lowest; should some lie far beyond, what is between costs nothing. */
#define IOMMU_PAGE_GROUPS 256u
typedef struct IommuPage {
        HostDevice *first[IOMMU_PAGE_GROUPS];
} IommuPage;

/* Events of one dispatch, the latest state of each device. */
typedef struct PendingEvent {
        Subsystem *subsystem;
        bool removed, added;
        char action[16];
        UT_hash_handle hh;
        char sysname[]; /* the key: with the subsystem's name after its NUL */
} PendingEvent;

typedef struct Scan {
        bool active, again;
        int error;            /* of a device that could not be looked at */
        uint32_t stamp;       /* of the present or last scan */
        Subsystem *subsystem; /* whose folder is being read */
        DIR *directory;
        sd_event_source *step;
} Scan;

struct Source {
        sd_event *event; /* NULL: no monitor, scans are done at once */
        Sysfs sysfs;
        Interner *interner;
        SourceEvents events;
        Subsystem *subsystems;
        HostDevice *hosts;         /* uthash by id */
        NamedHost *by_name;        /* uthash by sysname: USB devices */
        HostDevice *parts;         /* uthash by id: slots of providers */
        IommuPage **iommu_pages;   /* by number: the first member */
        size_t n_iommu_pages;
        Slot *slots;            /* uthash by address */
        struct stat slots_seen; /* their folder when it was read */
        Round round;
        Scan scan;
        struct udev *udev;
        struct udev_monitor *monitor;
        sd_event_source *monitor_source;
        PendingEvent *pending;
        uint64_t settle_by; /* by when the devices of the first pending event are looked at, in a storm too */
        sd_event_source *parents_timer; /* source-mdev.c */
        bool parents_seen;  /* once since a driver of mediated devices came or went */
        bool overflowed;    /* events were lost, and some that came before still wait to be read */
        sd_event_source *settle_source; /* when a batch took too long for one turn */
        struct udev_hwdb *hwdb;
        bool hwdb_tried;
        ModelNames *models;
        HostFacts *facts;
};

/* source.c */
/* Id of a host device: of its subsystem, as far as an id can hold its name ("mdevbus" for "mdev_bus"), and place. */
int source_make_id(const char *subsystem, const char *place, char ret[static ID_SIZE]);
Subsystem *source_subsystem(Source *source, const char *name);
HostDevice *host_device_new(const char *id);
/* Registers a new host device (its id set, its facts not). */
int source_link(Source *source, HostDevice *host);
void source_unlink(Source *source, HostDevice *host);
int source_join_iommu_group(Source *source, HostDevice *host, int32_t number);
HostDevice *host_device_free(Source *source, HostDevice *host);

/* source-read.c: as the functions of source.h, without the list of what is allowed. `name` is a constant
 * of ours. */
int source_open_subsystem(Source *source, Subsystem *subsystem);
void round_begin(Source *source, const Subsystem *subsystem, const HostDevice *host, int directory_fd);
ssize_t attribute_read(int directory_fd, const char *name, char *buffer, size_t size);
/* Values of the round under way; NULL when there is none or it cannot be read. */
const char *round_attribute(Source *source, const char *name);
const char *round_link(Source *source, const char *name);

/* source-mdev.c */
#define MDEV_PARENT_CLASS "mdev_bus"
bool source_is_parent_class(const Subsystem *subsystem);
/* One that is seen as a PCI function already. */
bool source_is_pci_parent(const Subsystem *subsystem, const char *sysname);
void source_reopen_parents(Source *source);
/* An event of the subsystem "mdev" or "drivers", of the device at `path` below /sys. True when it is a change of the parent. */
bool source_take_mdev_message(Source *source, const char *subsystem, const char *path,
                              char ret_parent[static SOURCE_NAME_MAX], Subsystem **ret_subsystem);
void source_forget_parents(Source *source);

/* source-slot.c */
/* Reads them, unless they look as they did before. */
void source_refresh_slots(Source *source);
const char *source_slot_of(Source *source, const char *address);
void source_clear_slots(Source *source);

/* source-scan.c */
uint64_t source_now_usec(void);
/* Looks at one device: reports it as added, changed or removed. `action` is passed on for changes. */
int source_visit(Source *source, Subsystem *subsystem, const char *sysname, const char *action);
void source_drop(Source *source, HostDevice *host);
int source_scan_all(Source *source, Fault *fault);
void source_stop_scan(Source *source);

/* source-monitor.c */
int source_open_monitor(Source *source, Fault *fault);
void source_close_monitor(Source *source);

/* source-property.c */
void source_close_databases(Source *source);
/* The hardware database is a mapped file of many megabytes: it is not kept for the next unknown model. */
void source_close_hwdb(Source *source);
