/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The fake kernel's hand: a process that mounts control files and makes device nodes for it.
 *
 * The fake kernel must never use its own file system: a thread that waits for an answer of its own
 * process keeps that process from dying, and everybody who waits for it with it. The hand may wait; when
 * the fake kernel is killed, its connection is cut and the hand is free again. */

#include "util.h"

typedef struct Hand Hand;

/* Forks. In the child, which becomes the hand, it does not return. */
int hand_start(Hand **ret);

int hand_mount(Hand *h, const char *what, const char *where); /* bind mount of one file or directory */
int hand_unmount(Hand *h, const char *where);
int hand_make_node(Hand *h, const char *path, unsigned mode);
int hand_remove_node(Hand *h, const char *path);
