/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The directory that holds a simulated host: sys/, dev/, proc/, run/udev/ and what the fake kernel keeps
 * to itself.
 *
 * All paths are relative to that directory. Everything below a Tree is plain files, links and directories
 * of one file system, so that reading an attribute costs no more than on the real sysfs.
 *
 * Equal read-only attributes are hard links to one file, which makes a host of 10,000 devices fit into
 * memory. So no such file is ever written in place: a changed one is a new file that is moved over the
 * old one.
 *
 * Writers return nothing. The first failure is remembered and reported by tree_failed(), as stdio does
 * it: a build makes hundreds of thousands of files, and what a caller does about any failure is the same. */

#include <sys/types.h>

#include "util.h"

typedef struct Tree Tree;

int tree_open(const char *directory, Tree **ret);
Tree *tree_free(Tree *t);
int tree_fd(const Tree *t);
int tree_failed(const Tree *t); /* 0, or the negative errno of the first failure, which has been reported */
size_t tree_count(const Tree *t); /* names made so far */

static inline void tree_freep(Tree **t) {
        *t = tree_free(*t);
}

void tree_make_directory(Tree *t, const char *path);
void tree_write(Tree *t, const char *path, mode_t mode, const void *data, size_t size);
void tree_share(Tree *t, const char *path, const void *data, size_t size);
void tree_put(Tree *t, const char *directory, const char *name, mode_t mode, const char *format, ...)
        _printf_(5, 6);
void tree_attribute(Tree *t, const char *directory, const char *name, const char *format, ...)
        _printf_(4, 5);
/* A link as sysfs makes them: relative, up to the deepest common directory. @target is a path in the
 * tree. */
void tree_symlink(Tree *t, const char *target, const char *directory, const char *name);

bool tree_has(Tree *t, const char *directory, const char *name);
/* The file without a trailing newline. -ENOENT and so on are returned, not remembered. */
int tree_read(Tree *t, const char *directory, const char *name, char *buffer, size_t size);
/* Up to @size bytes as they are; returns how many. */
int tree_read_bytes(Tree *t, const char *directory, const char *name, void *buffer, size_t size);
int tree_read_number(Tree *t, const char *directory, const char *name, int base, uint64_t *ret);
/* The link as it is; what it points at, as a path in the tree; and only the last part of it. */
int tree_link_text(Tree *t, const char *directory, const char *name, char *ret, size_t size);
int tree_follow(Tree *t, const char *directory, const char *name, Path *ret);
int tree_follow_name(Tree *t, const char *directory, const char *name, char *ret, size_t size);
DIR *tree_list(Tree *t, const char *path);

/* The subdirectories of @path, sorted, because every file system lists them in an order of its own. */
typedef struct Names {
        char **list;
        size_t count;
} Names;

void tree_subdirectories(Tree *t, const char *path, Names *ret);
void names_free(Names *n);
#define _cleanup_names_ _cleanup_(names_free)

void tree_remove(Tree *t, const char *directory, const char *name); /* a file or a link; absent is fine */
/* The same for a link whose inode number must not be another's later: sysfs gives none out again, file systems on disks do at
 * once. It is kept where nobody looks. */
void tree_bury(Tree *t, const char *directory, const char *name);
void tree_remove_all(Tree *t, const char *path);
int tree_move(Tree *t, const char *from, const char *to);
