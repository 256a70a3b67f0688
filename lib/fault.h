/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A reason for people beside an errno for programs.
 *
 * A function that can fail for reasons a person must understand takes `Fault *fault` last and fills it when
 * it returns a negative errno. The first failure wins; NULL is accepted. One place (bus-error.c) turns
 * faults into D-Bus errors: the code's word is the last element of the error name,
 * org.passthroughd1.Error.WORD. */

#include "macro.h"

typedef enum FaultCode {
        FAULT_NONE,
        FAULT_ALLOCATION_EXISTS,
        FAULT_AUTHORIZATION_UNAVAILABLE,
        FAULT_CANCELLED,
        FAULT_DEGRADED,
        FAULT_DEVICE_BLOCKED,
        FAULT_DEVICE_BUSY,
        FAULT_DEVICE_GONE,
        FAULT_DRIVER_MISSING,
        FAULT_DRIVER_STUCK,
        FAULT_GROUP_DISABLED,
        FAULT_GROUP_EXISTS,
        FAULT_GROUP_IN_USE,
        FAULT_INTERNAL,
        FAULT_INVALID_ARGUMENT,
        FAULT_INVALID_REGEX,
        FAULT_INVALID_VALUE,
        FAULT_LAYOUT_CONFLICT,
        FAULT_LIMIT_REACHED,
        FAULT_MODULE_MISSING,
        FAULT_NO_DEVICE_AVAILABLE,
        FAULT_NO_IOMMU,
        FAULT_NO_MEMORY,
        FAULT_NOT_AUTHORIZED,
        FAULT_NOT_CONFIRMED,
        FAULT_NOT_READY,
        FAULT_OUT_OF_SPACE,
        FAULT_PLAN_CHANGED,
        FAULT_READ_ONLY_STATE,
        FAULT_REGEX_LIMIT,
        FAULT_RULE_EXISTS,
        FAULT_STATE_DAMAGED,
        FAULT_STEP_FAILED,
        FAULT_STORE_FAILED,
        FAULT_TIMED_OUT,
        FAULT_TOO_LARGE,
        FAULT_TOO_MANY_OBJECTS,
        FAULT_UNKNOWN_ALLOCATION,
        FAULT_UNKNOWN_BOOT,
        FAULT_UNKNOWN_DEVICE,
        FAULT_UNKNOWN_FIELD,
        FAULT_UNKNOWN_FORMAT,
        FAULT_UNKNOWN_GROUP,
        FAULT_UNKNOWN_JOB,
        FAULT_UNKNOWN_OPERATOR,
        FAULT_UNKNOWN_OPTION,
        FAULT_UNKNOWN_RULE,
        FAULT_UNKNOWN_SETTING,
        FAULT_UNKNOWN_TYPE,
        FAULT_VOLATILE_IDENTITY,
        FAULT_WORKER_FAILED,
        FAULT_WRONG_NODE,
        FAULT_WRONG_STATE,
        _FAULT_MAX,
        _FAULT_INVALID = -EINVAL,
} FaultCode;

typedef struct Fault {
        FaultCode code;
        char *message; /* whole sentences without a final full stop; owned */
        char *object;  /* id of the object it is about; owned; NULL for none */
} Fault;

/* The word of a code in CamelCase: "NoDeviceAvailable". */
DECLARE_STRING_TABLE(fault_code, FaultCode);

void fault_done(Fault *fault);
#define _cleanup_fault_ _cleanup_(fault_done)

/* Fills `fault` unless it is NULL or filled already. Returns `error` (a negative errno), so that it can
 * stand in a return. */
int fault_set(Fault *fault, int error, FaultCode code, const char *format, ...) PRINTF_LIKE(4, 5);
/* The same, and names the object. */
int fault_set_object(Fault *fault, int error, FaultCode code, const char *object, const char *format, ...)
        PRINTF_LIKE(5, 6);
/* -ENOMEM with its fault. */
int fault_oom(Fault *fault);
/* Moves `from` into `to` unless `to` is NULL or filled; empties `from`. */
void fault_move(Fault *to, Fault *from);
int fault_copy(Fault *to, const Fault *from);
