/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fs-tree.h"

/* Makes mounts private, and a /proc and a /run of its own. */
int namespace_prepare(void);

/* Puts the host over /sys, /dev, /run and some files of /proc, in a mount namespace of its own. */
int namespace_mount(Tree *t);

/* What the fake kernel serves, once it does. */
int namespace_mount_kernel(void);
