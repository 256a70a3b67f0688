/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the sriov module share. A physical function (PF) is a provider, a virtual one (VF) is what a guest is
 * given. Like the pci module, with which it shares all that concerns VFIO, it has no state. */

#include <passthroughd/module.h>

#include "sriov-vf.h"

/* Indices of the table in sriov.c. */
typedef enum SriovField {
        SRIOV_FIELD_NAME,
        SRIOV_FIELD_SLOT,
        SRIOV_FIELD_ROLE,
        SRIOV_FIELD_CLASS,
        SRIOV_FIELD_CLASS_HEX,
        SRIOV_FIELD_VENDOR,
        SRIOV_FIELD_DEVICE,
        SRIOV_FIELD_VENDOR_ID,
        SRIOV_FIELD_DEVICE_ID,
        SRIOV_FIELD_VENDOR_DEVICE,
        SRIOV_FIELD_DRIVER,
        SRIOV_FIELD_NUMA_NODE,
        SRIOV_FIELD_IOMMU_GROUP,
        SRIOV_FIELD_PHYSICAL_SLOT,
        SRIOV_FIELD_VF_INDEX,
        SRIOV_FIELD_TOTAL_VFS,
        SRIOV_FIELD_VFS,
        SRIOV_FIELD_OFFSET,
        SRIOV_FIELD_STRIDE,
        SRIOV_FIELD_VF_DEVICE_ID,
        SRIOV_FIELD_INTERFACE,
        SRIOV_FIELD_MAC,
        SRIOV_FIELD_LINK,
        SRIOV_FIELD_SPEED,
        SRIOV_FIELD_ESWITCH_MODE,
        SRIOV_FIELD_NOT_OFFERED,
        SRIOV_FIELD_DRIVER_REMARK,
        SRIOV_FIELD_PF_MAC,
        SRIOV_FIELD_VF_SETTINGS, /* the first of those of SriovKey, in its order */
        _SRIOV_FIELD_MAX = SRIOV_FIELD_VF_SETTINGS + _SRIOV_KEY_MAX,
} SriovField;

/* Group setting, and the value of the layout by the same name. */
#define SRIOV_SETTING_VFS "vfs"

#define SRIOV_CLASS_NETWORK 0x02u /* base class: only these have network settings */

typedef enum SriovKind {
        SRIOV_NEITHER,
        SRIOV_PF,
        SRIOV_VF,
} SriovKind;

/* sriov-describe.c */
/* `ret_physfn`: address of the PF of a VF, untouched otherwise. */
SriovKind sriov_kind(PtContext *ctx, const PtDevice *device, char ret_physfn[static PCI_ADDRESS_SIZE]);
/* Whether the PF makes network functions. */
bool sriov_is_network(PtContext *ctx, const PtDevice *device);
/* First network interface of the function in this network namespace. -ENOENT where there is none. */
int sriov_interface(PtContext *ctx, const PtDevice *device, char *ret, size_t size);

/* What the field eswitch-mode of a PF then is. */
#define SRIOV_SWITCHDEV "switchdev"

/* sriov-devlink.c: "legacy", "switchdev", or "" for a card without an embedded switch. In the worker. */
const char *sriov_eswitch_mode(const char *address);

/* The ops. */
int sriov_describe(PtContext *ctx, const PtDevice *device);
int sriov_observe(PtContext *ctx, const PtDevice *device);
int sriov_identity(PtContext *ctx, const PtDevice *device);
int sriov_check(PtContext *ctx, const PtDevice *device, const PtRequest *request);
int sriov_plan(PtContext *ctx, const PtRequest *request);
int sriov_guest(PtContext *ctx, const PtRequest *request);
int sriov_layout(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands);
int sriov_capacity(PtContext *ctx, const PtDevice *provider);
