/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"

/* Sends uevents into this network namespace, before the write that caused them returns. */

typedef struct Uevents Uevents;

typedef enum UeventFormat {
        UEVENT_UDEV = 1 << 0, /* as udev sends them on after its rules: what libudev's "udev" monitors get */
        UEVENT_KERNEL = 1 << 1, /* as the kernel sends them: what a real systemd-udevd gets */
} UeventFormat;

int uevents_open(Tree *t, UeventFormat formats, Uevents **ret);

/* Tells of the device @path, with the properties of its uevent file and its udev database entry. @extra
 * is one more KEY=VALUE, or NULL. */
void uevents_send(Uevents *u, const char *action, const char *path, const char *extra);

/* The next @n events get lost; 0: no more. */
void uevents_lose(Uevents *u, unsigned n);
uint64_t uevents_sent(const Uevents *u);
