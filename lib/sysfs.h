/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Access to sysfs (and /dev, /proc, /run beside it) below one root directory, which is "/" but in unit
 * tests. Devices are opened as directories once; what is below them is reached with
 * openat2(RESOLVE_BENEATH), so that a name can never lead out of the device. Reads are capped. */

#include <sys/types.h>

#include "macro.h"

typedef struct Sysfs {
        int root_fd;
} Sysfs;

int sysfs_init(Sysfs *ret, const char *root);
void sysfs_done(Sysfs *sysfs);

/* Opens /sys/bus/SUBSYSTEM/devices/SYSNAME or /sys/class/SUBSYSTEM/SYSNAME as a directory (O_PATH); the
 * symbolic link must end below /sys/devices. `ret_path` (may be NULL): the path below /sys
 * ("/devices/pci0000:00/…"), new memory. */
int sysfs_open_device(const Sysfs *sysfs, const char *subsystem, const char *sysname, int *ret_fd,
                      char **ret_path);

/* The target of a device link is relative: as many "../" as the link is deep below /sys, then the canonical
 * path. Returns what follows "/sys", or NULL for a link that leads anywhere but below /sys/devices. */
const char *sysfs_device_path(const char *target, unsigned depth);

/* Reads a text attribute below the directory, trailing white space removed, NUL added. Returns its length;
 * -E2BIG when it does not fit. `name` may hold '/' but never leads outside. */
ssize_t sysfs_read_at(int dir_fd, const char *name, char *buffer, size_t size);
/* Bytes of a binary attribute from `offset`. */
ssize_t sysfs_pread_at(int dir_fd, const char *name, void *buffer, size_t size, uint64_t offset);
/* Writes with one write(2), without creating or truncating anything. Returns 0 or the kernel's errno. */
int sysfs_write_at(int dir_fd, const char *name, const char *value);
/* Last component of a symbolic link's target. */
ssize_t sysfs_link_at(int dir_fd, const char *name, char *buffer, size_t size);
int sysfs_list_at(int dir_fd, const char *name, void (*each)(void *userdata, const char *entry),
                  void *userdata);
bool sysfs_exists_at(int dir_fd, const char *name);

/* The same with a path below the root, for what is no device: "/sys/module/vfio_pci", "/proc/cmdline". */
ssize_t sysfs_read(const Sysfs *sysfs, const char *path, char *buffer, size_t size);
ssize_t sysfs_link(const Sysfs *sysfs, const char *path, char *buffer, size_t size);
int sysfs_list(const Sysfs *sysfs, const char *path, void (*each)(void *userdata, const char *entry),
               void *userdata);
bool sysfs_exists(const Sysfs *sysfs, const char *path);
/* Follows all symbolic links of the path, without leaving the root directory: the canonical path below the root, new memory.
 * -ENOENT where nothing is, -ELOOP for links that go in circles, -EXDEV for one that leads out. */
int sysfs_resolve(const Sysfs *sysfs, const char *path, char **ret);
