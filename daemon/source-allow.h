/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What may be read of a device on the service's thread, by subsystem.
 *
 * While a device is bound, unbound, reset or gets its virtual functions, the kernel holds the device's lock,
 * and a read of an attribute that takes it hangs, in D state, for as long as that lasts: `uevent`,
 * `driver_override`, `sriov_numvfs`; for USB the strings and everything about the active configuration
 * (drivers/usb/core/sysfs.c). Others wake the device or wait for its configuration space: `config`, `vpd`,
 * link speeds, `power/`. So what is not on the list is refused. */

#include "lib/macro.h"

typedef enum AllowKind {
        ALLOW_ATTRIBUTE,
        ALLOW_LINK,
        ALLOW_DIRECTORY,
} AllowKind;

/* Entries of one list are numbered below this, for tables indexed by them. */
#define ALLOW_MAX 56

typedef struct AllowEntry {
        AllowKind kind;
        /* '#' stands for digits, one or more, '@' for an interface of a USB device, '%' for a UUID, '*' for any one entry. */
        const char *name;
} AllowEntry;

/* A list ended by name NULL; never NULL itself: subsystems without one of their own get the general one. */
const AllowEntry *allow_list(const char *subsystem);
/* The number of the entry that allows the read, -EPERM when none does. Names with digits in a pattern
 * share one number, so `ret_pattern` says that what was read must not be remembered under it. */
int allow_find(const AllowEntry *list, AllowKind kind, const char *name, bool *ret_pattern);
