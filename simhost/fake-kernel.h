/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel's side of a simulated host: it answers what is written to the control files, changes the
 * tree, sends the uevents, and returns Linux's errors.
 *
 * One thread per request. The big lock is held by whoever runs, and given away while waiting. Beside it
 * every device has a lock of its own, as in Linux: it is held for as long as an operation on the device
 * takes, and everything that needs it (binding, driver_override, reset, sriov_numvfs, reading uevent)
 * waits without limit.
 *
 * Functions that take a Kernel are called with the big lock held, unless they say otherwise. Devices are
 * named by their path in the tree. */

#include <pthread.h>

#include "class-device.h"
#include "hand.h"
#include "uevent.h"

/* Where the fake kernel's file system is mounted. */
#define SIMHOST_RUN "/run/passthroughd-simhost"
#define SIMHOST_CONTROL SIMHOST_RUN "/control"
#define SIMHOST_FS SIMHOST_RUN "/kernel"

typedef struct Lock {
        struct Lock *next;
        char name[64];
        const char *holder; /* the operation */
} Lock;

/* Somebody who waits, for the list in the control file `waiting`. */
typedef struct Waiter {
        struct Waiter *next;
        const char *operation, *why;
        char name[64];
} Waiter;

typedef struct Injection Injection;

typedef struct Gpu Gpu;

/* A vGPU that the driver has not let go of. */
typedef struct LingeringVgpu {
        struct LingeringVgpu *next;
        char bdf[PCI_ADDRESS_LENGTH + 1];
        struct timespec until;
} LingeringVgpu;

typedef struct OpenGroup {
        struct OpenGroup *next;
        int group;
        unsigned count;
} OpenGroup;

/* A line of a driver's ID table. */
typedef struct DriverId {
        struct DriverId *next;
        int vendor, device;
        bool dynamic; /* came by new_id, and can go by remove_id */
        char driver[64];
} DriverId;

typedef struct Kernel {
        pthread_mutex_t big_lock;
        pthread_cond_t changed; /* something another thread may wait for */
        Tree *tree;
        Description *description;
        Counters counters;
        Uevents *events;
        Hand *hand;
        Lock *locks;
        Waiter *waiters;
        Injection *injections;
        OpenGroup *open_groups;
        DriverId *ids;
        json_t *vf_records; /* network settings of virtual functions, see vf-settings.c; NULL: none was touched */
        Gpu *gpus;           /* see gpu.c */
        LingeringVgpu *lingering;
        json_t *creatable_texts; /* {GPU: TEXT}, see vgpu.c; NULL */
        char *controlled; /* which devices have their control files answered */
        bool touched;     /* the tree is no longer what `make` left */
} Kernel;

void kernel_enter(Kernel *k); /* takes the big lock */
void kernel_leave(Kernel *k);
void kernel_touch(Kernel *k); /* something is about to change */

/* Gives the big lock away until something changes. */
void kernel_wait(Kernel *k, const char *operation, const char *name, const char *why);
void kernel_notify(Kernel *k);

void device_lock(Kernel *k, const char *name, const char *operation);
void device_unlock(Kernel *k, const char *name);

/* -ENODEV if there is no such PCI device. */
int device_find(Kernel *k, const char *bdf, Path *ret);
/* The driver it is bound to; -ENOENT: none. */
int device_driver(Kernel *k, const char *path, char *ret, size_t size);
/* Its description; NULL for VFs and for what did not come from it. */
const PciSpec *device_spec(Kernel *k, const char *bdf);

/* Makes a device known and tells of it; and the other way round. Their directories stay. */
void device_appear(Kernel *k, const char *path);
void device_disappear(Kernel *k, const char *path);

/* All devices below @path that its driver made. */
void children_appear(Kernel *k, const char *path);
void children_disappear(Kernel *k, const char *path);

/* The control files in the device's directory begin to be answered, if the device is a controlled one. */
void device_take_control(Kernel *k, const char *path);
void device_drop_control(Kernel *k, const char *path);
bool kernel_controls(Kernel *k, const char *bdf);
/* The order `control`: some more devices. */
int control_more_write(Kernel *k, const char *key, const char *text);
int control_mount(Kernel *k, const char *family, const char *key, const char *name, const char *directory);

/* Everything that has to be in place before anybody looks at this host. Called without the lock, and
 * while the file system is being served already: the hand's mounts go through it. */
void kernel_boot(Kernel *k);

/* Serves until the file system is unmounted. Writes a byte to @ready_fd once everything is in place.
 * Called in a process of its own, without the lock. */
int kernel_run(Kernel *k, int ready_fd);
int kernel_new(Tree *t, Description *d, Hand *hand, UeventFormat formats, const char *controlled,
               Kernel **ret);
