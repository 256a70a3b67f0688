/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Fixture trees: a part of a host's /sys in one text file, unpacked below a temporary directory that is
 * removed with the Tree. The text:
 *
 *   # a comment
 *   fact NAME = VALUE            what PtServices.host_fact() answers
 *   setting NAME = VALUE         what PtServices.get_setting() answers, in text form
 *   demand GROUP = NAME=VALUE …  what a group demands of providers, see providers.c
 *   noted ID = TEXT              the device is looked after, as before an activation and as after one that noted TEXT
 *   path /sys/… = VALUE          a file outside of devices
 *   path /sys/… -> TARGET        a link outside of devices
 *   device SUBSYSTEM /devices/…  begins a device; its links in /sys/bus and its `subsystem` link are made
 *     NAME = VALUE               an attribute; the newline of sysfs is added
 *     NAME : HEX… @OFFSET HEX…   a binary attribute; "@100" goes on at byte 0x100
 *     NAME -> TARGET             a link; a target with a leading '/' is meant from the top, made if need be
 *     NAME/                      an empty directory
 *     udev KEY = VALUE           a property in udev's database
 *
 * In values \n, \\ and \xNN stand for a byte. Indentation has no meaning. */

#include "lib/macro.h"

typedef struct TreePair {
        char *key, *value;
        struct TreePair *next;
} TreePair;

typedef struct Tree {
        char *root;    /* absolute */
        bool borrowed; /* a directory that was there before: never written to, never removed */
        TreePair *facts, *settings, *noted, *demands;
} Tree;

/* Complaints go to standard error with file and line. A directory in the place of a file is taken as it is: "/"
 * is the host itself. */
int tree_unpack(const char *file, Tree *ret);
void tree_done(Tree *tree);
#define _cleanup_tree_ _cleanup_(tree_done)

const char *tree_pair(const TreePair *pairs, const char *key); /* NULL for none */
