/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the pci module share. The module has no state: every op reads what it needs through the
 * services. */

#include <passthroughd/module.h>

#include "lib/macro.h"

#define PCI_VENDOR_AMD 0x1022
#define PCI_VENDOR_INTEL 0x8086

#define PCI_ATTRIBUTE_SIZE                                                                                  \
        256 /* the attributes read here are short; a longer one is nothing we understand */
#define PCI_ADDRESS_SIZE 32
#define PCI_TEXT_SIZE 512

/* Indices of the table in pci.c. */
typedef enum PciField {
        PCI_FIELD_NAME,
        PCI_FIELD_SLOT,
        PCI_FIELD_CLASS,
        PCI_FIELD_CLASS_HEX,
        PCI_FIELD_CLASS_TYPE,
        PCI_FIELD_VENDOR,
        PCI_FIELD_DEVICE,
        PCI_FIELD_VENDOR_ID,
        PCI_FIELD_DEVICE_ID,
        PCI_FIELD_VENDOR_DEVICE,
        PCI_FIELD_SUBSYSTEM_VENDOR_ID,
        PCI_FIELD_SUBSYSTEM_DEVICE_ID,
        PCI_FIELD_REVISION,
        PCI_FIELD_DRIVER,
        PCI_FIELD_MODULE,
        PCI_FIELD_PHYSICAL_SLOT,
        PCI_FIELD_SERIAL,
        PCI_FIELD_PART_NUMBER,
        PCI_FIELD_NUMA_NODE,
        PCI_FIELD_IOMMU_GROUP,
        PCI_FIELD_TOTAL_VFS,
        PCI_FIELD_VFS,
        PCI_FIELD_PHYSICAL_FUNCTION,
        PCI_FIELD_BOOT_VGA,
        PCI_FIELD_RESET_METHODS,
        PCI_FIELD_ROLE,
        PCI_FIELD_LINK_SPEED,
        PCI_FIELD_LINK_WIDTH,
        PCI_FIELD_MAC,
        _PCI_FIELD_MAX,
} PciField;

/* The ids of one function, as sysfs states them. Numbers are -1 where the attribute cannot be read. */
typedef struct PciFunction {
        const PtDevice *device; /* borrowed */
        int32_t vendor, product;
        int32_t subsystem_vendor, subsystem_product;
        int32_t class_code; /* 24 bits: base class, subclass, programming interface */
        int32_t revision;
        bool bridge_header; /* header type 1 */
        bool on_root_bus;   /* bus number 0 */
        PtRole role;
} PciFunction;

/* pci-function.c: reads through the services */
int pci_function_load(PtContext *ctx, const PtDevice *device, PciFunction *ret);
/* A number in hexadecimal ("0x10de"), -EINVAL when it is something else. */
int pci_read_number(PtContext *ctx, const PtDevice *device, const char *name, uint32_t max, int32_t *ret);
/* Address of the physical function of a virtual one; -ENOENT for any other. */
int pci_read_physfn(PtContext *ctx, const PtDevice *device, char ret[static PCI_ADDRESS_SIZE]);
/* How many virtual functions there can be and are. `ret_addresses` (may be NULL): the addresses of the first
 * few, for people. Never reads sriov_numvfs, which waits while the number changes. */
int pci_count_vfs(PtContext *ctx, const PtDevice *device, uint32_t *ret_total, uint32_t *ret_vfs,
                  char *ret_addresses, size_t size);
/* The words of reset_method; "" for none. Negative errno where even that is unknown. */
int pci_read_reset_methods(PtContext *ctx, const PtDevice *device, char *ret, size_t size);
/* Whether the kernel can reset the function alone. The method "bus" is listed when the first function of a
 * bus appears and refused (ENOTTY) once another one is beside it; the request's bundle shows those.
 * `request` may be NULL. */
bool pci_can_reset(PtContext *ctx, const PtDevice *device, const PtRequest *request);
#define PCI_RESET_METHOD_SIZE 32
/* The method that the group demands; false when any will do. */
bool pci_demanded_reset(PtContext *ctx, char ret[static PCI_RESET_METHOD_SIZE]);
/* Whether the kernel offers that one for the function, alone. */
bool pci_can_reset_by(PtContext *ctx, const PtDevice *device, const PtRequest *request, const char *method);
/* "0000:3b:00.0" up to and without the dot: functions of one card share it. */
bool pci_same_slot(const PtDevice *a, const PtDevice *b);
/* Function number, the digit after the dot; -EINVAL for a name that is no address. */
int pci_function_number(const PtDevice *device);
/* The setting of the request, a copy of it, or `fallback` where the service knows none (no request). */
void pci_setting_text(PtContext *ctx, const char *name, const char *fallback, char *ret, size_t size);
bool pci_setting_bool(PtContext *ctx, const char *name, bool fallback);

/* pci-driver.c */
typedef struct PciDriver {
        char name[64];   /* as in /sys/bus/pci/drivers */
        char module[64]; /* what modprobe calls it */
        bool registered; /* no module needs loading */
        bool loadable;
} PciDriver;

#define PCI_DRIVER_DEFAULT "vfio-pci"

/* The driver that hands `function` to a guest. `asked` is the one that the request names (may be the same):
 * a driver forced by the setting is meant for it and for functions of the same model. -EINVAL: the setting
 * is not the name of a VFIO driver. */
int pci_driver_choose(PtContext *ctx, const PciFunction *function, const PciFunction *asked, PciDriver *ret);
/* vfio-pci without regard to settings: for companions that are only kept. */
void pci_driver_generic(PtContext *ctx, PciDriver *ret);

/* The ops. */
int pci_describe(PtContext *ctx, const PtDevice *device);
int pci_observe(PtContext *ctx, const PtDevice *device);
int pci_uses(PtContext *ctx, const PtDevice *device);
int pci_identity(PtContext *ctx, const PtDevice *device);
int pci_health(PtContext *ctx, const PtDevice *device);
int pci_check(PtContext *ctx, const PtDevice *device, const PtRequest *request);
int pci_plan(PtContext *ctx, const PtRequest *request);
int pci_guest(PtContext *ctx, const PtRequest *request);
/* The same, with what libvirt's XML says of the device that was asked for: "mac=52:54:00:12:34:56". */
int pci_guest_with(PtContext *ctx, const PtRequest *request, const char *const *libvirt);
