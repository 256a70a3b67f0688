/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory that looks like the root of a host with a few PCI devices and a USB device, and the kernel
 * that stands behind its attributes: the test programs are linked with --wrap=sysfs_write_at, so that every
 * write of the worker is answered here at once, as Linux 6.1 does (drivers/base/bus.c, dd.c, platform.c).
 * All state is in the directory, or in memory that forked processes share, so that a worker can die and
 * another one can go on. */

#include <stdbool.h>
#include <stddef.h>

#define FAKE_WRITES_MAX 64

typedef struct FakeKernel {
        unsigned n_writes;
        char writes[FAKE_WRITES_MAX][160]; /* "PATH=VALUE", path below the root */
        unsigned fail_at;                  /* number of the write that fails, from 1; 0: none */
        int fail_errno;
        unsigned die_at;    /* number of the write at which the writer dies */
        bool die_after;     /* after the write has had its effect, not before */
        bool unbind_stuck;  /* unbind returns success and does nothing */
        bool override_deaf; /* driver_override takes everything and keeps what it had */
        int probe_errno;    /* what a driver's probe answers; 0: it takes the device */
        const char *rival;  /* drivers_probe binds this one instead */
        unsigned vf_limit;  /* sriov_numvfs takes every number and makes so many at most; 0: all */
        bool mdev_full;         /* no mediated device more */
        bool mdev_without_node; /* made, but nothing appears in /dev */
        unsigned mdev_busy;     /* so many removals are refused */
        bool vfs_shy;       /* their links come a little after the number */
} FakeKernel;

typedef struct FakeHost {
        char root[64];
        FakeKernel *kernel; /* shared */
} FakeHost;

#define FAKE_NIC "0000:01:00.0"  /* e1000e, IOMMU group 17 */
#define FAKE_BARE "0000:02:00.0" /* no driver, no IOMMU group */
#define FAKE_USB "1-2"           /* usb, no driver_override */
#define FAKE_NIC_ID "pci-0000-01-00-0"
#define FAKE_BARE_ID "pci-0000-02-00-0"
#define FAKE_USB_ID "usb-1-2"

void fake_host_make(FakeHost *ret);
void fake_host_remove(FakeHost *host);
/* Starts counting writes from zero and injects nothing any more. */
void fake_kernel_reset(FakeHost *host);

/* `path` is below the root ("sys/bus/…"). */
void fake_write_file(const FakeHost *host, const char *path, const char *text);
void fake_remove_file(const FakeHost *host, const char *path);
void fake_make_directory(const FakeHost *host, const char *path); /* with its parents */
void fake_link(const FakeHost *host, const char *path, const char *target);
char *fake_read(const FakeHost *host, const char *path); /* trimmed; NULL when it cannot be read */

/* Path of an attribute of a device, in one of a few static buffers. */
const char *fake_attribute(const char *subsystem, const char *sysname, const char *attribute);
/* "" when none is bound. In a static buffer. */
const char *fake_driver(const FakeHost *host, const char *subsystem, const char *sysname);
/* "" when it is not set. In a static buffer. */
const char *fake_override(const FakeHost *host, const char *sysname);
/* Binds (NULL: unbinds) without the kernel's rules, as something that was so before the test. */
void fake_set_driver(const FakeHost *host, const char *subsystem, const char *sysname, const char *driver);
