/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "fault.h"

static const char *const fault_code_table[_FAULT_MAX] = {
        [FAULT_NONE] = "None",
        [FAULT_ALLOCATION_EXISTS] = "AllocationExists",
        [FAULT_AUTHORIZATION_UNAVAILABLE] = "AuthorizationUnavailable",
        [FAULT_CANCELLED] = "Cancelled",
        [FAULT_DEGRADED] = "Degraded",
        [FAULT_DEVICE_BLOCKED] = "DeviceBlocked",
        [FAULT_DEVICE_BUSY] = "DeviceBusy",
        [FAULT_DEVICE_GONE] = "DeviceGone",
        [FAULT_DRIVER_MISSING] = "DriverMissing",
        [FAULT_DRIVER_STUCK] = "DriverStuck",
        [FAULT_GROUP_DISABLED] = "GroupDisabled",
        [FAULT_GROUP_EXISTS] = "GroupExists",
        [FAULT_GROUP_IN_USE] = "GroupInUse",
        [FAULT_INTERNAL] = "Internal",
        [FAULT_INVALID_ARGUMENT] = "InvalidArgument",
        [FAULT_INVALID_REGEX] = "InvalidRegex",
        [FAULT_INVALID_VALUE] = "InvalidValue",
        [FAULT_LAYOUT_CONFLICT] = "LayoutConflict",
        [FAULT_LIMIT_REACHED] = "LimitReached",
        [FAULT_MODULE_MISSING] = "ModuleMissing",
        [FAULT_NO_DEVICE_AVAILABLE] = "NoDeviceAvailable",
        [FAULT_NO_IOMMU] = "NoIommu",
        [FAULT_NO_MEMORY] = "NoMemory",
        [FAULT_NOT_AUTHORIZED] = "NotAuthorized",
        [FAULT_NOT_CONFIRMED] = "NotConfirmed",
        [FAULT_NOT_READY] = "NotReady",
        [FAULT_OUT_OF_SPACE] = "OutOfSpace",
        [FAULT_PLAN_CHANGED] = "PlanChanged",
        [FAULT_READ_ONLY_STATE] = "ReadOnlyState",
        [FAULT_REGEX_LIMIT] = "RegexLimit",
        [FAULT_RULE_EXISTS] = "RuleExists",
        [FAULT_STATE_DAMAGED] = "StateDamaged",
        [FAULT_STEP_FAILED] = "StepFailed",
        [FAULT_STORE_FAILED] = "StoreFailed",
        [FAULT_TIMED_OUT] = "TimedOut",
        [FAULT_TOO_LARGE] = "TooLarge",
        [FAULT_TOO_MANY_OBJECTS] = "TooManyObjects",
        [FAULT_UNKNOWN_ALLOCATION] = "UnknownAllocation",
        [FAULT_UNKNOWN_BOOT] = "UnknownBoot",
        [FAULT_UNKNOWN_DEVICE] = "UnknownDevice",
        [FAULT_UNKNOWN_FIELD] = "UnknownField",
        [FAULT_UNKNOWN_FORMAT] = "UnknownFormat",
        [FAULT_UNKNOWN_GROUP] = "UnknownGroup",
        [FAULT_UNKNOWN_JOB] = "UnknownJob",
        [FAULT_UNKNOWN_OPERATOR] = "UnknownOperator",
        [FAULT_UNKNOWN_OPTION] = "UnknownOption",
        [FAULT_UNKNOWN_RULE] = "UnknownRule",
        [FAULT_UNKNOWN_SETTING] = "UnknownSetting",
        [FAULT_UNKNOWN_TYPE] = "UnknownType",
        [FAULT_VOLATILE_IDENTITY] = "VolatileIdentity",
        [FAULT_WORKER_FAILED] = "WorkerFailed",
        [FAULT_WRONG_NODE] = "WrongNode",
        [FAULT_WRONG_STATE] = "WrongState",
};
DEFINE_STRING_TABLE(fault_code, FaultCode, fault_code_table)

void fault_done(Fault *fault) {
        if (!fault)
                return;
        free(fault->message);
        free(fault->object);
        *fault = (Fault){ 0 };
}

/* A fault without its text is still a fault: when memory is short the code alone must do. */
static void PRINTF_LIKE(4, 0)
        fault_fill(Fault *fault, FaultCode code, const char *object, const char *format, va_list arguments) {
        if (!fault || fault->code != FAULT_NONE)
                return;

        fault->code = code;
        if (vasprintf(&fault->message, format, arguments) < 0)
                fault->message = NULL;
        fault->object = object ? strdup(object) : NULL;
}

int fault_set(Fault *fault, int error, FaultCode code, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        fault_fill(fault, code, NULL, format, arguments);
        va_end(arguments);
        return error;
}

int fault_set_object(Fault *fault, int error, FaultCode code, const char *object, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        fault_fill(fault, code, object, format, arguments);
        va_end(arguments);
        return error;
}

int fault_oom(Fault *fault) {
        return fault_set(fault, -ENOMEM, FAULT_NO_MEMORY, "The service is out of memory");
}

void fault_move(Fault *to, Fault *from) {
        if (to && to != from && to->code == FAULT_NONE) {
                *to = *from;
                *from = (Fault){ 0 };
        } else if (to != from)
                fault_done(from);
}

int fault_copy(Fault *to, const Fault *from) {
        _cleanup_free_ char *message = NULL, *object = NULL;

        if (!to || to->code != FAULT_NONE)
                return 0;
        if (from->message && !(message = strdup(from->message)))
                return -ENOMEM;
        if (from->object && !(object = strdup(from->object)))
                return -ENOMEM;

        *to = (Fault){ .code = from->code, .message = TAKE_PTR(message), .object = TAKE_PTR(object) };
        return 0;
}
