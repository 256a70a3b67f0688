/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files below /dev/vfio: who owns them and who may open them. They have a lock of their own, because they are made
 * and removed by the hand while the fake kernel holds its big lock. */

#include <fuse.h>
#include <sys/stat.h>

#include "util.h"

#define VFIO_NODE_NONE (-1)
#define VFIO_NODE_CONTAINER (-2)        /* /dev/vfio/vfio, which is always there */

/* The group number of "/vfio/N". */
int vfio_node_number(const char *path);

int vfio_nodes_make(int number, mode_t mode);
int vfio_nodes_remove(int number);
int vfio_nodes_stat(int number, struct stat *ret);
void vfio_nodes_list(void *buffer, fuse_fill_dir_t fill);
int vfio_nodes_set_mode(int number, mode_t mode);
int vfio_nodes_set_owner(int number, uid_t uid, gid_t gid);
int vfio_nodes_set_acl(int number, const char *name, const char *value, size_t size);
int vfio_nodes_get_acl(int number, const char *name, char *ret, size_t size);
