/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a simulated host consists of, as read from a JSON file or made up by the generator.
 *
 * A PciSpec is one PCI function. Its strings and JSON parts belong to the Description and live as long as
 * it does. Everything a description leaves out has been filled in from the type, so the builder needs no
 * defaults. */

#include <jansson.h>

#include "util.h"

#define GROUP_OWN (-1)  /* an IOMMU group of its own, the next free number */
#define GROUP_NONE (-2) /* no IOMMU translates this device */

typedef struct SriovSpec {
        int total;
        int vfs; /* how many exist from the start */
        int offset, stride;
        int vf_device;
        const char *vf_driver; /* what VFs bind by themselves */
        const char *vf_name;
        int vf_net; /* their driver makes a network interface of each */
        const char *
                refuse; /* the errno with which the driver refuses sriov_numvfs: a tool of its own does it */
} SriovSpec;

typedef struct PciSpec {
        char bdf[PCI_ADDRESS_LENGTH + 1];
        PciAddress address;
        int vendor, device, subvendor, subdevice, class, revision;
        const char *vendor_name, *device_name;

        const char *driver;  /* bound from the start, or NULL */
        const char *natural; /* takes this device when it is probed without an override, or NULL */
        const char *reset;   /* reset_method, or NULL: no file */
        const char *slot;    /* name of the physical slot, or NULL */
        const char *link_speed;
        const char *label;
        const char *dsn;    /* device serial number, as lspci prints it: 00-11-22-ff-ff-33-44-55 */
        const char *parent; /* the bridge this is behind; the bridge's @bus says the same */
        const char *physfn; /* a VF: the PF's address */
        int link_width;
        int group, numa;
        int bus;        /* bridges: the bus behind it; otherwise -1 */
        int acpi_index; /* -1: none */
        int boot_vga;   /* -1: not a VGA device */
        int express;    /* has a PCI Express capability, so 4096 bytes of configuration space */
        int multifunction;
        SriovSpec sriov;

        json_t *vpd;        /* {"id": TEXT, "pn": TEXT, "sn": TEXT, ...} */
        json_t *net;        /* [{"name": TEXT, "mac": TEXT, ...}] */
        json_t *nvme;       /* {"model": TEXT, "serial": TEXT, "gib": N, "system": BOOL} */
        json_t *mdev;       /* [{"type": TEXT, "name": TEXT, "description": TEXT, "available": N}] */
        json_t *vgpu;       /* of a PF, for its VFs: [{"id": N, "name": TEXT, "gib": N, "available": N, "size": N, "placements": [N],
                             * "profile": N, "per-instance": N}] */
        json_t *nvml;       /* what its management library says, see gpu-model.h */
        json_t *usb;        /* [{"port": TEXT, "vendor": N, ...}] */
        json_t *attributes; /* {NAME: TEXT} further attributes, or others in place of the usual ones */
} PciSpec;

typedef struct NaturalSpec {
        int vendor, device;
        const char *driver;
} NaturalSpec;

typedef struct Description {
        json_t *root;
        const char *cmdline;
        const char *iommu; /* "intel", "amd" or "none" */
        const char *cpu;   /* "intel" or "amd": which flags /proc/cpuinfo shows; "none": no virtualisation */
        bool vfio;         /* the VFIO modules are loaded */
        json_t *drivers;   /* further drivers that are loaded though nothing is bound to them */
        json_t *files; /* {PATH: TEXT} beside what follows from the devices, or NULL */
        json_t *links; /* {PATH: PATH} */
        PciSpec *devices;
        size_t n_devices;
        NaturalSpec *natural;
        size_t n_natural;
} Description;

int description_load(const char *path, Description **ret);
int description_parse(json_t *root, Description **ret); /* takes over @root */
Description *description_free(Description *d);

static inline void description_freep(Description **d) {
        *d = description_free(*d);
}

/* An object of @json with strings only where @type has strings; NULL if absent. */
const char *json_text(json_t *object, const char *key, const char *otherwise);
int json_number(json_t *object, const char *key, int otherwise);
