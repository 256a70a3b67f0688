/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An inventory and a loader without a host: devices are made by the test, field by field. Stands in for inventory.c and
 * loader.c where a test is about rules, groups and choices. */

#include "daemon/intern.h"
#include "daemon/inventory.h"

/* One field of each type, and one of each flag that matters to rules. */
typedef enum FakeField {
        FIELD_SLOT,
        FIELD_NAME,
        FIELD_VENDOR_ID,
        FIELD_DRIVER,
        FIELD_NUMA_NODE,  /* i */
        FIELD_TOTAL_VFS,  /* u */
        FIELD_OFFSET,     /* x */
        FIELD_MEMORY,     /* t */
        FIELD_BOOT_VGA,   /* b */
        FIELD_DRIVERS,    /* as */
        FIELD_SERIAL,     /* slow */
        FIELD_BUS_NUMBER, /* volatile */
        FIELD_SECRET,     /* not matchable */
        _FIELD_MAX,
} FakeField;

/* "test", with these fields and some settings; "other", which has a field `name`; "broken", which was refused. */
extern Module fake_module, fake_other, fake_broken;

Inventory *fake_inventory_new(void);
Inventory *fake_inventory_free(Inventory *inventory);
Loader *fake_loader(void);

/* A device without fields at /devices/pci0000:00/SYSNAME, alone in no IOMMU group. */
Device *fake_device(Inventory *inventory, Module *module, const char *subsystem, const char *sysname);
void fake_remove(Inventory *inventory, Device *device);
/* Values by the field's type. Texts are interned; `list`: joined by ','; NULL: not known. */
void fake_set_text(Inventory *inventory, Device *device, unsigned field, const char *value);
void fake_set_number(Device *device, unsigned field, int64_t value);
void fake_set_list(Device *device, unsigned field, const char *list);
void fake_set_unknown(Device *device, unsigned field);
void fake_set_iommu_group(Device *device, int32_t number);
void fake_set_place(Device *device, const char *syspath, const char *slot, int32_t numa_node);
/* What inventory_identities() answers, for every device: conditions with %s for its slot. Borrowed, ended by kind NULL. */
typedef struct FakeIdentity {
        const char *kind;
        int strength;
        const char *condition;
        const char *breaks;
} FakeIdentity;
void fake_set_identities(Inventory *inventory, const FakeIdentity *identities);
