/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A host directory as a whole: what it was made from, and whether it still is what was made. */

#include "fs-tree.h"
#include "host-description.h"

/* Builds the host of a description into @directory, in place of whatever host was there. Takes over
 * @root. */
int host_make(const char *directory, json_t *root);

/* Where to run the host of this directory. A described host is built anew in memory for every run: *@ret
 * is what it is made from. A generated one may be large, so it is used where it lies, *@ret is NULL, and
 * only if a run has changed it it is built anew first. */
int host_boot(const char *directory, json_t **ret);

/* What the host in this directory was made from. */
int host_description(Tree *t, Description **ret);
