/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The nodes of the fake kernel's file system.
 *
 * Directories and the files of /dev/vfio are there once. A control file is a new node each time it is
 * looked up: the machine's kernel lets only one process at a time write to a node, while in sysfs a write
 * to a driver's unbind that hangs does not keep others from writing there. Links to the devices of a
 * driver are new nodes as well, as they come and go.
 *
 * Nothing here takes the big lock: while the fake kernel holds it, its hand may be looking up names. */

#include <sys/types.h>

#include "control-fs.h"

typedef enum FsKind {
        FS_DIRECTORY,
        FS_LINK,
        FS_CONTROL,
        FS_VFIO,
} FsKind;

typedef struct FsNode {
        struct FsNode *next; /* directories and VFIO nodes: in their list */
        FsKind kind;
        uint64_t lookups;   /* how often the machine's kernel knows it */
        const char *family; /* directories and control files */
        char key[128];
        const ControlFile *file; /* control files */
        char *target;            /* links */
        int group;               /* VFIO nodes */
        bool removed;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        size_t acl_size;
        void *acl;
} FsNode;

#define GROUP_CONTAINER (-1) /* /dev/vfio/vfio */

FsNode *fs_root(void);

/* -ENOENT, or a node that counts as known once more. */
int fs_lookup(Tree *t, FsNode *directory, const char *name, FsNode **ret);
void fs_forget(FsNode *n, uint64_t lookups);

/* Calls @add for each name in it. */
void fs_list(Tree *t, FsNode *directory, void (*add)(const char *name, void *userdata), void *userdata);

/* Only below /dev/vfio. */
int fs_make_node(FsNode *directory, const char *name, mode_t mode, FsNode **ret);
int fs_remove_node(FsNode *directory, const char *name);

/* The one access list that a VFIO node has. */
int fs_set_acl(FsNode *n, const char *attribute, const void *value, size_t size);
/* Its size, or a negative errno. */
ssize_t fs_get_acl(FsNode *n, const char *attribute, void *ret, size_t size);
