/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fake-kernel.h"

/* Mediated devices below a PCI function: Linux 6.1 drivers/vfio/mdev. The types behave as NVIDIA's
 * equal-size mode: once there is an instance of one type, no other type has any left. */

int mdev_create_write(Kernel *k, const char *parent_and_type, const char *text);
int mdev_remove_write(Kernel *k, const char *uuid, const char *text);

/* The parent loses its driver. */
void mdev_remove_all(Kernel *k, const char *parent);

/* `create` of each type is answered from now on, or no longer. */
void mdev_take_control(Kernel *k, const char *parent);
void mdev_drop_control(Kernel *k, const char *parent);
