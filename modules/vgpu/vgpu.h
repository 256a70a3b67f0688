/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the vgpu module share. A provider is a GPU, or any other parent of mediated devices; what a guest is given
 * is a slot of a parent (a mediated device that is not made yet) or a virtual function of a GPU that carries one vGPU. The
 * module has no state: what the worker read of a device comes back as its report (vgpu-device.h). */

#include <passthroughd/module.h>

#include "lib/macro.h"
#include "modules/pci/pci.h"
#include "vgpu-settings.h"

#define VGPU_VENDOR_NVIDIA 0x10de
#define VGPU_CLASS_DISPLAY 0x03u /* base class */
#define VGPU_CLASS_BRIDGE 0x06u
#define VGPU_TYPES_DIRECTORY "mdev_supported_types"
#define VGPU_INSTANCES_MAX 512u /* of one parent: more are not offered */

/* Indices of the table in vgpu.c. */
typedef enum VgpuField {
        VGPU_FIELD_NAME,
        VGPU_FIELD_SLOT,
        VGPU_FIELD_ROLE,
        VGPU_FIELD_BACK_END,
        VGPU_FIELD_NUMBER,
        VGPU_FIELD_VIRTUAL_FUNCTION,
        VGPU_FIELD_PHYSICAL_FUNCTION,
        VGPU_FIELD_VENDOR,
        VGPU_FIELD_DEVICE,
        VGPU_FIELD_VENDOR_ID,
        VGPU_FIELD_DEVICE_ID,
        VGPU_FIELD_VENDOR_DEVICE,
        VGPU_FIELD_DRIVER,
        VGPU_FIELD_NUMA_NODE,
        VGPU_FIELD_IOMMU_GROUP,
        VGPU_FIELD_PROFILES,
        VGPU_FIELD_TYPE_IDS,
        VGPU_FIELD_PROFILE,
        VGPU_FIELD_TYPE_ID,
        _VGPU_FIELD_MAX,
} VgpuField;

typedef enum VgpuKind {
        VGPU_NEITHER,
        VGPU_GPU,    /* a physical function whose virtual ones carry vGPUs; or one that could, with another driver */
        VGPU_PARENT, /* makes mediated devices itself */
        VGPU_SLOT,   /* one that a parent could make */
        VGPU_VF,     /* a virtual function of a GPU */
} VgpuKind;

/* How vGPUs come into being. */
typedef enum VgpuBackEnd {
        VGPU_BACK_END_NONE,
        VGPU_BACK_END_MDEV, /* a UUID is written to `create` of a type */
        VGPU_BACK_END_VFIO, /* the number of a type is written to the virtual function itself */
        _VGPU_BACK_END_MAX,
        _VGPU_BACK_END_INVALID = -EINVAL,
} VgpuBackEnd;
DECLARE_STRING_TABLE(vgpu_back_end, VgpuBackEnd); /* none, mdev, vfio */

/* Steps of its own. */
#define VGPU_STEP_SET_TYPE "set-vgpu-type"
#define VGPU_STEP_SET_PARAMS "set-vgpu-params"

/* vgpu-describe.c */
/* `ret_physfn`: address of the physical function of a virtual one, untouched otherwise. */
VgpuKind vgpu_kind(PtContext *ctx, const PtDevice *device, char ret_physfn[static PCI_ADDRESS_SIZE]);
VgpuBackEnd vgpu_back_end(PtContext *ctx, const PtDevice *device);
bool vgpu_is_nvidia(PtContext *ctx, const PtDevice *device);

/* vgpu-params.c */
#define VGPU_PARAMS_SIZE 384
/* "frame_rate_limiter=0,disable_vnc=1", from the settings of the request; "" when they are the driver's own. */
void vgpu_params(PtContext *ctx, char ret[static VGPU_PARAMS_SIZE]);
int vgpu_params_findings(PtContext *ctx);

/* vgpu-check-gpu.c; `physfn`: address of the GPU of a virtual function, "" otherwise */
int vgpu_check_gpu(PtContext *ctx, const PtDevice *device, const char *physfn, const char *profile);
/* Why a profile that the GPU has can't be made on the function now: 1 with a finding, 0 when nothing is known. */
int vgpu_check_missing(PtContext *ctx, const PtDevice *device, const char *physfn, const char *profile);

/* vgpu-steps.c */
extern const PtCustomStep VGPU_CUSTOM_STEPS[];

/* The ops. */
int vgpu_describe(PtContext *ctx, const PtDevice *device);
int vgpu_observe(PtContext *ctx, const PtDevice *device);
int vgpu_uses(PtContext *ctx, const PtDevice *device);
int vgpu_identity(PtContext *ctx, const PtDevice *device);
int vgpu_check(PtContext *ctx, const PtDevice *device, const PtRequest *request);
int vgpu_plan(PtContext *ctx, const PtRequest *request);
int vgpu_guest(PtContext *ctx, const PtRequest *request);
int vgpu_layout_op(PtContext *ctx, const PtDevice *provider, const PtDemand *const *demands);
int vgpu_use_op(PtContext *ctx, const PtDevice *provider);
int vgpu_capacity_op(PtContext *ctx, const PtDevice *provider);
