/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file system that holds nothing but control files and /dev/vfio. Each file appears in sysfs as a bind mount over
 * the plain file of the same name, so that it is where programs expect it, and no symbolic link leads out of the
 * device's directory.
 *
 *   device/BDF/NAME   driver/DRIVER/NAME   bus/pci/NAME   mdev-type/BDF,TYPE/create   mdev/UUID/remove
 *   control/NAME      what tests order
 *   vfio/             /dev/vfio
 *
 * Names are not looked up anywhere: whatever device is named, the file is there, and writing it answers ENODEV if there
 * is no such device. */

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

