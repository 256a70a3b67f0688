/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inventory over a tree, with the test module, without a loop. What it reports is written down as
 * words. */

#include "daemon/inventory.h"
#include "host-tree.h"

typedef struct InventoryRig {
        HostTree tree;
        Loader *loader;
        Breadcrumb *breadcrumb;
        Inventory *inventory;
        char events[4096]; /* "added ID; changed ID; scanned" */
        uint64_t fields;   /* of the last change */
} InventoryRig;

/* For cmocka. The host is empty, and nothing is loaded yet. */
int inventory_rig_set_up(void **state);
int inventory_rig_tear_down(void **state);
/* One more module beside device-module. */
void rig_add_module(InventoryRig *rig, const char *name);
void rig_start(InventoryRig *rig);
void rig_rescan(InventoryRig *rig);
/* As if the worker had read these fields. */
uint64_t rig_observe(InventoryRig *rig, Device *device, const char *text);

/* The field in text form; NULL: not known. */
void assert_field(const Device *device, const char *name, const char *expected);
uint64_t field_bit(const Device *device, const char *name);
/* Takes `json`. */
void assert_json(json_t *json, const char *expected);
