/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NVIDIA's management library as far as it is needed, by prototypes of our own from its published interface ("NVML API
 * Reference", releases 470 to 595). It is opened at run time, in the worker only: its calls can hang with the driver. Every
 * function but those of the first group may be missing; nvml_has() says. */

#include "lib/macro.h"

typedef enum NvmlReturn {
        NVML_SUCCESS = 0,
        NVML_ERROR_UNINITIALIZED = 1,
        NVML_ERROR_INVALID_ARGUMENT = 2,
        NVML_ERROR_NOT_SUPPORTED = 3,
        NVML_ERROR_NO_PERMISSION = 4,
        NVML_ERROR_NOT_FOUND = 6,
        NVML_ERROR_INSUFFICIENT_SIZE = 7,
        NVML_ERROR_DRIVER_NOT_LOADED = 9,
        NVML_ERROR_LIBRARY_NOT_FOUND = 12,
        NVML_ERROR_FUNCTION_NOT_FOUND = 13,
        NVML_ERROR_GPU_IS_LOST = 15,
        NVML_ERROR_RESET_REQUIRED = 16,
        NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
        NVML_ERROR_IN_USE = 19,
        NVML_ERROR_MEMORY = 20,
        NVML_ERROR_INSUFFICIENT_RESOURCES = 23,
        NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
        NVML_ERROR_NOT_READY = 27,
        NVML_ERROR_GPU_NOT_FOUND = 28,
        NVML_ERROR_INVALID_STATE = 29,
        NVML_ERROR_UNKNOWN = 999,
} NvmlReturn;

typedef struct NvmlDevice *NvmlDeviceHandle;     /* opaque, like the next */
typedef struct NvmlGpuInstance *NvmlGpuInstanceHandle;
typedef struct NvmlComputeInstance *NvmlComputeInstanceHandle;

#define NVML_NAME_SIZE 96
#define NVML_TYPE_NAME_SIZE 64
#define NVML_LICENCE_SIZE 128
/* Structures that grow begin with their size and version. */
#define NVML_VERSION(type, version) ((uint32_t) (sizeof(type) | ((version) << 24)))

typedef struct NvmlPlacement {
        uint32_t start, size; /* memory slices */
} NvmlPlacement;

typedef struct NvmlInstanceProfile { /* nvmlGpuInstanceProfileInfo_v2_t */
        uint32_t version;
        uint32_t id;
        uint32_t peer_to_peer;
        uint32_t compute_slices;
        uint32_t count;
        uint32_t multiprocessors, copy_engines, decoders, encoders, jpeg_engines, optical_flow_engines;
        uint64_t memory_mib;
        char name[NVML_NAME_SIZE];
} NvmlInstanceProfile;

typedef struct NvmlInstanceInfo { /* nvmlGpuInstanceInfo_t */
        NvmlDeviceHandle device;
        uint32_t id;
        uint32_t profile;
        NvmlPlacement placement;
} NvmlInstanceInfo;

typedef struct NvmlComputeProfile { /* nvmlComputeInstanceProfileInfo_v2_t */
        uint32_t version;
        uint32_t id;
        uint32_t slices;
        uint32_t count;
        uint32_t multiprocessors, shared_copy_engines, shared_decoders, shared_encoders, shared_jpeg, shared_optical_flow;
        char name[NVML_NAME_SIZE];
} NvmlComputeProfile;

typedef struct NvmlMode { /* nvmlVgpuHeterogeneousMode_v1_t */
        uint32_t version;
        uint32_t mode;
} NvmlMode;

typedef struct NvmlPlacementList { /* nvmlVgpuPlacementList_v1_t */
        uint32_t version;
        uint32_t size;  /* units that one takes */
        uint32_t count; /* in: room in ids; out: how many */
        uint32_t *ids;
} NvmlPlacementList;

typedef struct NvmlSchedulerCapabilities { /* nvmlVgpuSchedulerCapabilities_t */
        uint32_t supported[3];
        uint32_t max_timeslice, min_timeslice;
        uint32_t arr_supported;
        uint32_t max_frequency, min_frequency;
        uint32_t max_average, min_average;
} NvmlSchedulerCapabilities;

typedef struct NvmlSchedulerState { /* nvmlVgpuSchedulerSetState_t */
        uint32_t policy;
        uint32_t arr; /* 0 default, 1 off, 2 on */
        uint32_t average_or_timeslice; /* ns where it is a time slice */
        uint32_t frequency;            /* set: Hz; nvmlDeviceGetVgpuSchedulerState() has the time slice in ns there */
} NvmlSchedulerState;

/* nvmlVgpuSchedulerState_v2_t and nvmlVgpuSchedulerStateInfo_v2_t, since release 595: strict round robin is always on. */
typedef struct NvmlSchedulerState2 {
        uint32_t engine; /* in */
        uint32_t policy;
        uint32_t average;
        uint32_t frequency_or_timeslice; /* set: Hz; get: ns */
} NvmlSchedulerState2;

typedef struct NvmlInstanceScheduler { /* nvmlVgpuSchedulerState_v1_t, nvmlVgpuSchedulerStateInfo_v1_t: of a GPU instance */
        uint32_t version;
        uint32_t engine;
        NvmlSchedulerState state;
} NvmlInstanceScheduler;

#define NVML_ENGINE_GRAPHICS 1u /* of the scheduler's calls */

typedef struct NvmlPlacementId { /* nvmlVgpuPlacementId_v1_t */
        uint32_t version;
        uint32_t id; /* 0xffff: none */
} NvmlPlacementId;

typedef struct NvmlUtilization {
        uint32_t gpu, memory; /* percent */
} NvmlUtilization;

typedef enum NvmlValueType { /* nvmlValueType_t */
        NVML_VALUE_DOUBLE = 0,
        NVML_VALUE_UINT = 1,
        NVML_VALUE_ULONG = 2,
        NVML_VALUE_ULONG_LONG = 3,
        NVML_VALUE_LONG_LONG = 4,
        NVML_VALUE_INT = 5,
        NVML_VALUE_USHORT = 6,
} NvmlValueType;

typedef union NvmlValue { /* nvmlValue_t */
        double d;
        int32_t i;
        uint32_t u;
        uint64_t t;
        int64_t x;
        uint16_t q;
} NvmlValue;

typedef struct NvmlVgpuSample { /* nvmlVgpuInstanceUtilizationSample_t: percent */
        uint32_t instance;
        uint64_t time; /* microseconds of the CPU's clock */
        NvmlValue gpu, memory, encoder, decoder;
} NvmlVgpuSample;

typedef struct NvmlVgpuUse { /* nvmlVgpuInstanceUtilizationInfo_v1_t, since release 550 */
        uint64_t time;
        uint32_t instance;
        NvmlValue gpu, memory, encoder, decoder, jpeg, optical_flow;
} NvmlVgpuUse;

typedef struct NvmlVgpuUseList { /* nvmlVgpuInstancesUtilizationInfo_v1_t */
        uint32_t version;
        uint32_t type;  /* out: NvmlValueType */
        uint32_t count; /* in: room; out: how many */
        uint64_t since;
        NvmlVgpuUse *items;
} NvmlVgpuUseList;

typedef struct NvmlLicenceExpiry { /* nvmlVgpuLicenseExpiry_t: UTC */
        uint32_t year;
        uint16_t month, day, hour, minute, second;
        uint8_t status; /* NvmlLicenceExpiryStatus */
} NvmlLicenceExpiry;

typedef enum NvmlLicenceExpiryStatus {
        NVML_LICENCE_EXPIRY_NOT_AVAILABLE = 0,
        NVML_LICENCE_EXPIRY_INVALID = 1,
        NVML_LICENCE_EXPIRY_VALID = 2,
        NVML_LICENCE_EXPIRY_NOT_APPLICABLE = 3,
        NVML_LICENCE_EXPIRY_PERMANENT = 4,
} NvmlLicenceExpiryStatus;

typedef struct NvmlLicence { /* nvmlVgpuLicenseInfo_t */
        uint8_t licensed;
        NvmlLicenceExpiry expiry;
        uint32_t state; /* index into the words of nvml-use.c */
} NvmlLicence;

typedef struct NvmlMemory { /* nvmlMemory_v2_t */
        uint32_t version;
        uint64_t total, reserved, free, used; /* bytes */
} NvmlMemory;

typedef struct NvmlPci { /* nvmlPciInfo_t */
        char legacy[16];
        uint32_t domain, bus, device, ids, subsystem;
        char address[32];
} NvmlPci;

/* clang-format off */
#define NVML_REQUIRED(X)                                                                                               \
        X(nvmlInit_v2, (void))                                                                                         \
        X(nvmlShutdown, (void))                                                                                        \
        X(nvmlSystemGetDriverVersion, (char *, uint32_t))                                                              \
        X(nvmlDeviceGetCount_v2, (uint32_t *))                                                                         \
        X(nvmlDeviceGetHandleByIndex_v2, (uint32_t, NvmlDeviceHandle *))                                               \
        X(nvmlDeviceGetHandleByPciBusId_v2, (const char *, NvmlDeviceHandle *))
#define NVML_OPTIONAL(X)                                                                                               \
        X(nvmlDeviceGetPciInfo_v3, (NvmlDeviceHandle, NvmlPci *))                                                      \
        X(nvmlDeviceGetName, (NvmlDeviceHandle, char *, uint32_t))                                                     \
        X(nvmlDeviceGetUUID, (NvmlDeviceHandle, char *, uint32_t))                                                     \
        X(nvmlDeviceGetVirtualizationMode, (NvmlDeviceHandle, uint32_t *))                                             \
        X(nvmlDeviceGetHostVgpuMode, (NvmlDeviceHandle, uint32_t *))                                                   \
        X(nvmlDeviceGetMigMode, (NvmlDeviceHandle, uint32_t *, uint32_t *))                                            \
        X(nvmlDeviceSetMigMode, (NvmlDeviceHandle, uint32_t, uint32_t *))                                              \
        X(nvmlDeviceGetGpuInstanceProfileInfoV, (NvmlDeviceHandle, uint32_t, NvmlInstanceProfile *))                   \
        X(nvmlDeviceGetGpuInstancePossiblePlacements_v2, (NvmlDeviceHandle, uint32_t, NvmlPlacement *, uint32_t *))    \
        X(nvmlDeviceCreateGpuInstanceWithPlacement, (NvmlDeviceHandle, uint32_t, const NvmlPlacement *,                \
                                                     NvmlGpuInstanceHandle *))                                         \
        X(nvmlDeviceGetGpuInstances, (NvmlDeviceHandle, uint32_t, NvmlGpuInstanceHandle *, uint32_t *))                \
        X(nvmlDeviceGetGpuInstanceById, (NvmlDeviceHandle, uint32_t, NvmlGpuInstanceHandle *))                         \
        X(nvmlGpuInstanceGetInfo, (NvmlGpuInstanceHandle, NvmlInstanceInfo *))                                         \
        X(nvmlGpuInstanceDestroy, (NvmlGpuInstanceHandle))                                                             \
        X(nvmlGpuInstanceGetComputeInstanceProfileInfoV, (NvmlGpuInstanceHandle, uint32_t, uint32_t,                   \
                                                          NvmlComputeProfile *))                                       \
        X(nvmlGpuInstanceCreateComputeInstance, (NvmlGpuInstanceHandle, uint32_t, NvmlComputeInstanceHandle *))        \
        X(nvmlGpuInstanceGetComputeInstances, (NvmlGpuInstanceHandle, uint32_t, NvmlComputeInstanceHandle *,           \
                                               uint32_t *))                                                            \
        X(nvmlComputeInstanceDestroy, (NvmlComputeInstanceHandle))                                                     \
        X(nvmlDeviceGetSupportedVgpus, (NvmlDeviceHandle, uint32_t *, uint32_t *))                                     \
        X(nvmlDeviceGetCreatableVgpus, (NvmlDeviceHandle, uint32_t *, uint32_t *))                                     \
        X(nvmlDeviceGetActiveVgpus, (NvmlDeviceHandle, uint32_t *, uint32_t *))                                        \
        X(nvmlVgpuTypeGetName, (uint32_t, char *, uint32_t *))                                                         \
        X(nvmlVgpuTypeGetClass, (uint32_t, char *, uint32_t *))                                                        \
        X(nvmlVgpuTypeGetLicense, (uint32_t, char *, uint32_t))                                                        \
        X(nvmlVgpuTypeGetFramebufferSize, (uint32_t, uint64_t *))                                                      \
        X(nvmlVgpuTypeGetNumDisplayHeads, (uint32_t, uint32_t *))                                                      \
        X(nvmlVgpuTypeGetResolution, (uint32_t, uint32_t, uint32_t *, uint32_t *))                                     \
        X(nvmlVgpuTypeGetFrameRateLimit, (uint32_t, uint32_t *))                                                       \
        X(nvmlVgpuTypeGetMaxInstances, (NvmlDeviceHandle, uint32_t, uint32_t *))                                       \
        X(nvmlVgpuTypeGetMaxInstancesPerVm, (uint32_t, uint32_t *))                                                    \
        X(nvmlVgpuTypeGetGpuInstanceProfileId, (uint32_t, uint32_t *))                                                 \
        X(nvmlDeviceGetVgpuHeterogeneousMode, (NvmlDeviceHandle, NvmlMode *))                                          \
        X(nvmlDeviceSetVgpuHeterogeneousMode, (NvmlDeviceHandle, const NvmlMode *))                                    \
        X(nvmlDeviceGetVgpuTypeSupportedPlacements, (NvmlDeviceHandle, uint32_t, NvmlPlacementList *))                 \
        X(nvmlDeviceGetVgpuTypeCreatablePlacements, (NvmlDeviceHandle, uint32_t, NvmlPlacementList *))                 \
        X(nvmlDeviceGetVgpuCapabilities, (NvmlDeviceHandle, uint32_t, uint32_t *))                                     \
        X(nvmlDeviceGetVgpuSchedulerCapabilities, (NvmlDeviceHandle, NvmlSchedulerCapabilities *))                     \
        X(nvmlDeviceSetVgpuSchedulerState, (NvmlDeviceHandle, NvmlSchedulerState *))                                   \
        X(nvmlDeviceGetVgpuSchedulerState, (NvmlDeviceHandle, NvmlSchedulerState *))                                   \
        X(nvmlDeviceGetVgpuSchedulerState_v2, (NvmlDeviceHandle, NvmlSchedulerState2 *))                               \
        X(nvmlDeviceSetVgpuSchedulerState_v2, (NvmlDeviceHandle, NvmlSchedulerState2 *))                               \
        X(nvmlGpuInstanceGetVgpuSchedulerState, (NvmlGpuInstanceHandle, NvmlInstanceScheduler *))                      \
        X(nvmlGpuInstanceSetVgpuSchedulerState, (NvmlGpuInstanceHandle, NvmlInstanceScheduler *))                      \
        X(nvmlGpuInstanceGetVgpuSchedulerState_v2, (NvmlGpuInstanceHandle, NvmlSchedulerState2 *))                     \
        X(nvmlGpuInstanceSetVgpuSchedulerState_v2, (NvmlGpuInstanceHandle, NvmlSchedulerState2 *))                     \
        X(nvmlVgpuInstanceGetType, (uint32_t, uint32_t *))                                                             \
        X(nvmlVgpuInstanceGetGpuInstanceId, (uint32_t, uint32_t *))                                                    \
        X(nvmlVgpuInstanceGetPlacementId, (uint32_t, NvmlPlacementId *))                                               \
        X(nvmlVgpuInstanceGetVmID, (uint32_t, char *, uint32_t, uint32_t *))                                           \
        X(nvmlVgpuInstanceGetMdevUUID, (uint32_t, char *, uint32_t))                                                   \
        X(nvmlVgpuInstanceGetGpuPciId, (uint32_t, char *, uint32_t *))                                                 \
        X(nvmlVgpuInstanceGetFbUsage, (uint32_t, uint64_t *))                                                          \
        X(nvmlVgpuInstanceGetVmDriverVersion, (uint32_t, char *, uint32_t))                                            \
        X(nvmlVgpuInstanceGetLicenseInfo_v2, (uint32_t, NvmlLicence *))                                                \
        X(nvmlDeviceGetVgpuUtilization, (NvmlDeviceHandle, uint64_t, uint32_t *, uint32_t *, NvmlVgpuSample *))        \
        X(nvmlDeviceGetVgpuInstancesUtilizationInfo, (NvmlDeviceHandle, NvmlVgpuUseList *))                            \
        X(nvmlDeviceGetUtilizationRates, (NvmlDeviceHandle, NvmlUtilization *))                                        \
        X(nvmlDeviceGetEncoderUtilization, (NvmlDeviceHandle, uint32_t *, uint32_t *))                                 \
        X(nvmlDeviceGetDecoderUtilization, (NvmlDeviceHandle, uint32_t *, uint32_t *))                                 \
        X(nvmlDeviceGetMemoryInfo_v2, (NvmlDeviceHandle, NvmlMemory *))                                                \
        X(nvmlDeviceGetTemperature, (NvmlDeviceHandle, uint32_t, uint32_t *))                                          \
        X(nvmlDeviceGetPowerUsage, (NvmlDeviceHandle, uint32_t *))
/* clang-format on */

/* An opened and initialised library. */
typedef struct Nvml {
        void *handle;
#define NVML_MEMBER(name, arguments) NvmlReturn(*name) arguments;
        NVML_REQUIRED(NVML_MEMBER)
        NVML_OPTIONAL(NVML_MEMBER)
#undef NVML_MEMBER
} Nvml;

/* True when the library has the function. */
#define nvml_has(nvml, function) ((nvml)->function != NULL)
/* Calls a function, or says that it is missing. */
#define nvml_call(nvml, function, ...)                                                                                 \
        (nvml_has(nvml, function) ? (nvml)->function(__VA_ARGS__) : NVML_ERROR_FUNCTION_NOT_FOUND)

/* `path`: NULL for "libnvidia-ml.so.1". -ENOENT when there is no such library, -ENOEXEC for one that lacks what every release
 * has, -EIO when it cannot be initialised: the driver is not loaded, or of another version. `ret_why` gets a new string. */
int nvml_open(const char *path, Nvml *ret, char **ret_why);
void nvml_close(Nvml *nvml);
#define _cleanup_nvml_ _cleanup_(nvml_close)

/* By its PCI address, "0000:3b:00.0". `ret_why` gets a new string. */
int nvml_find_gpu(const Nvml *nvml, const char *address, NvmlDeviceHandle *ret, char **ret_why);

/* For people: "in use", "not supported" …; never NULL. */
const char *nvml_error(NvmlReturn result);
int nvml_to_errno(NvmlReturn result);
