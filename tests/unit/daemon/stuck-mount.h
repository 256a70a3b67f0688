/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file system that takes requests and does not answer them: whoever looks a name up in it waits in the
 * kernel where no signal reaches, SIGKILL neither, exactly as in a driver that hangs. */

typedef struct StuckMount StuckMount;

/* Mounts it over `directory`; needs private_mounts(). NULL where the kernel has no FUSE. */
StuckMount *stuck_mount_new(const char *directory);
/* Answers all that wait, and everything from now on: there is no such file. */
void stuck_mount_release(StuckMount *mount);
/* Unmounts; who still waits is let go. */
void stuck_mount_free(StuckMount *mount);
