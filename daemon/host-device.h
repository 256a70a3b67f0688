/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A device as the kernel names it: what the device source saw in sysfs. Owned by the source; pointers to it stay valid from
 * its `added` to the end of its `removed` event. One host device can be offered by several modules (a virtual function by
 * "pci" and by "sriov"). */

#include <jansson.h>
#include <passthroughd/module.h>
#include <uthash.h>

#include "lib/id.h"

typedef struct Device Device;

typedef struct HostDevice {
        const char *id;        /* of subsystem and place: "pci-0000-3b-00-0" */
        const char *subsystem; /* interned, like the next */
        const char *sysname;
        const char *place;     /* PtDevice.place; interned, may be the sysname */
        const char *above;     /* the folder that its own is in: "/devices/pci0000:3a/0000:3a:00.0" */
        const char *devtype;   /* NULL for none */
        const char *driver;    /* NULL for none */
        const char *slot;      /* physical slot of a PCI function, NULL for none */
        int32_t iommu_group;   /* -1 for none */
        int32_t numa_node;     /* -1 for none */
        uint32_t class_code;   /* PCI: 24 bits; 0 elsewhere */
        uint32_t vendor, product; /* PCI, USB */
        uint32_t instance;     /* USB: bus and address, which differ each time it is enumerated; 0 elsewhere */
        uint64_t appeared;     /* CLOCK_MONOTONIC, in microseconds; 0: it was there when the service started */
        bool bridge;           /* PCI bridge or host bridge: no member of a bundle */
        bool differs;          /* in a `changed` event: something above is not what it was */
        uint32_t scan;         /* the last scan that saw it */
        uint32_t slot_number;  /* from 1; 0 for what the kernel knows */
        struct HostDevice *next_in_iommu_group;
        struct HostDevice *whole; /* of a slot: the provider that could make it; NULL for what the kernel knows */
        struct HostDevice *slots; /* of a provider: by number, linked by next_slot; maintained by the inventory */
        struct HostDevice *next_slot;
        Device *slots_by;      /* the device that says how many; NULL for none */
        Device *offers;        /* the devices that modules made of it, linked by next_offer; maintained by the inventory */
        UT_hash_handle hh;     /* in the source, by id */
        char own_id[];         /* what `id` is */
} HostDevice;

/* Whose directory is read for it. */
static inline const HostDevice *host_device_whole(const HostDevice *host) {
        return host->whole ? host->whole : host;
}

/* "/devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0": new string, NULL without memory or where it has none. */
char *host_device_syspath(const HostDevice *host);

/* Fills the module interface's view; it borrows from `host`. */
void host_device_view(const HostDevice *host, PtDevice *ret);
/* The same for a job's DEVICE member (lib/protocol.h). `module_file` may be NULL. */
json_t *host_device_to_json(const HostDevice *host, const char *module_file);
