/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Facts of the host that belong to no device, the same for the service and its worker. What cannot change while the
 * kernel runs is kept; whether a driver or module is there is looked up anew each time. */

#include "macro.h"
#include "sysfs.h"

typedef struct HostFacts HostFacts;

int host_facts_new(const Sysfs *sysfs, HostFacts **ret);
HostFacts *host_facts_free(HostFacts *facts);
DEFINE_CLEANUP(HostFacts *, host_facts_free)

/* "iommu": the IOMMU units, joined by blanks, or "none".
 * "iommu-table": the firmware's table of IOMMUs ("DMAR", "IVRS", "IORT", "VIOT"), "none", or NULL without
 * ACPI.
 * "kernel": the release.
 * "driver:BUS:NAME": "registered" when the driver is there now.
 * "driver-module:BUS:NAME": the kernel module of a registered driver; NULL also when it is built in.
 * "module:NAME": "loaded", "built-in" or "loadable".
 * "parameter:MODULE:NAME": what the parameter of a loaded module reads.
 * "vfio-variant:MODALIAS": the module of the driver made for this model, as modules.alias spells it
 * ("mlx5_vfio_pci").
 * NULL when unknown. The pointer is valid until the next call. */
const char *host_facts_get(HostFacts *facts, const char *name);
/* A new look at the host begins: which modules drivers belong to is asked again. */
void host_facts_new_turn(HostFacts *facts);
/* Forgets what it knows of modules and IOMMUs: after a rescan, an upgrade may have come between. */
void host_facts_forget(HostFacts *facts);

/* The VFIO variant driver for a PCI modalias, variant.c: the alias with the fewest wildcards wins.
 * `path`: of modules.alias below the root. The table belongs to the caller. */
typedef struct VariantTable VariantTable;
int variant_table_load(const Sysfs *sysfs, const char *path, VariantTable **ret);
VariantTable *variant_table_free(VariantTable *table);
DEFINE_CLEANUP(VariantTable *, variant_table_free)
/* The module's name, NULL for none; belongs to the table. */
const char *variant_table_find(const VariantTable *table, const char *modalias);
