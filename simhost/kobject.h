/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What makes a directory below sys/devices a device: a `subsystem` link, and links to it from its bus or
 * class, from sys/dev, from its IOMMU group. Nothing here sends events. */

#include "fs-tree.h"

typedef void (*KobjectVisit)(const char *path, void *userdata);

void kobject_register(Tree *t, const char *path);
void kobject_unregister(Tree *t, const char *path);

/* The subsystem's name, or -ENOENT where the directory is none of a device. */
int kobject_subsystem(Tree *t, const char *path, char *ret, size_t size);
/* Name of the device's file in run/udev/data. */
int kobject_udev_name(Tree *t, const char *path, char *ret, size_t size);

/* Every device at or below @path: parents first, or children first. */
void kobject_walk(Tree *t, const char *path, bool children_first, KobjectVisit visit, void *userdata);

/* Subdirectories of a PCI function that its driver made: net, nvme, drm, usb1, mdev_supported_types ... */
bool kobject_made_by_driver(const char *name);
