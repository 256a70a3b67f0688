/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service's objects, found by what a person calls them, and their properties. Properties come with
 * the names that fields have (OwnerUid is "owner-uid"), objects in them as ids. */

#include "cli.h"

typedef enum Kind {
        KIND_DEVICE,
        KIND_GROUP,
        KIND_RULE,
        KIND_ALLOCATION,
        KIND_JOB,
        KIND_MODULE,
        _KIND_MAX,
} Kind;

const char *kind_interface(Kind kind);
const char *kind_word(Kind kind); /* "device" */
/* Paths in new memory. */
int kind_path(Cli *cli, Kind kind, const char *id, char **ret);
/* The last element of a path of the service's as an id, in place of the text; other texts stay. */
json_t *id_of_path(json_t *path);

/* Device: id, place, path in /sys or on the bus. Group: id or name. Rule: id or unique name. Allocation:
 * UUID, its unique beginning, or the consumer where it has one only. Job: number. */
int find_object(Cli *cli, Kind kind, const char *name, char **ret_path);
/* All properties of one object. */
int get_object(Cli *cli, Kind kind, const char *path, json_t **ret);
/* The ids of all objects of the kind, in order. */
int list_ids(Cli *cli, Kind kind, json_t **ret);
/* Of all objects of the kind, in the order of their ids. Not for devices, of which there can be too many. */
int list_objects(Cli *cli, Kind kind, json_t **ret);
/* ListDevices, all pages: an array of objects. `fields` NULL: all that there are. `slow`: those that take long too. */
int list_devices(Cli *cli, const char *type, json_t *where, const char *group, json_t *fields, bool slow,
                 json_t **ret);
