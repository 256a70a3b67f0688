/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file system that holds nothing but control files, the directories of drivers, and /dev/vfio.
 *
 *   {pci,usb}/drivers/X/   bind, unbind, ...: mounted over the directory of all drivers
 *   {pci,usb}/NAME         drivers_probe, rescan: each mounted over the plain file of that name, as are
 *   device/BDF/NAME        those of a device, so that they are where programs expect them and no symbolic
 *   mdev-type/BDF,TYPE/..  link leads out of the device's directory
 *   mdev/UUID/remove
 *   vgpu/BDF/NAME
 *   usb-device/NAME/..
 *   control/NAME           what tests order
 *   vfio/                  mounted over /dev/vfio
 *
 * Whatever device is named, its files are there; writing them answers ENODEV if there is no such device. */

#include <sys/types.h>

#include "fake-kernel.h"

extern const char *const control_device_files[];
extern const size_t control_device_files_count;

typedef struct ControlFile {
        const char *family, *name;
        mode_t mode;
        /* Called with the big lock held; return 0 or a negative errno. @text ends without newline. */
        int (*read)(Kernel *k, const char *key, char *ret, size_t size);
        int (*write)(Kernel *k, const char *key, const char *text);
} ControlFile;

extern const ControlFile control_files[];
extern const size_t control_files_count;
