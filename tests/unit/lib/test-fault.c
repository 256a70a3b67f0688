/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

/* The words are part of the bus interface: literally, in the order of the enumeration. */
static const char *const words[] = {
        "None",          "AllocationExists",  "AuthorizationUnavailable",
        "Cancelled",     "Degraded",          "DeviceBlocked",
        "DeviceBusy",    "DeviceGone",        "DriverMissing",
        "DriverStuck",   "GroupDisabled",     "GroupExists",
        "GroupInUse",    "Internal",          "InvalidArgument",
        "InvalidRegex",  "InvalidValue",      "LayoutConflict",
        "LimitReached",
        "ModuleMissing", "NoDeviceAvailable", "NoIommu",
        "NoMemory",      "NotAuthorized",     "NotConfirmed", "NotReady",
        "OutOfSpace",    "PlanChanged",       "ReadOnlyState",
        "RegexLimit",    "RuleExists",        "StateDamaged",
        "StepFailed",    "StoreFailed",       "TimedOut",
        "TooLarge",      "TooManyObjects",    "UnknownAllocation",
        "UnknownBoot", "UnknownDevice", "UnknownField",      "UnknownFormat",
        "UnknownGroup",  "UnknownJob",        "UnknownOperator",
        "UnknownOption", "UnknownRule",       "UnknownSetting",
        "UnknownType",   "VolatileIdentity",  "WorkerFailed",
        "WrongNode",     "WrongState",
};

static void test_words(void **state) {
        assert_int_equal(ELEMENTSOF(words), _FAULT_MAX);
        for (int i = 0; i < _FAULT_MAX; i++) {
                assert_string_equal(fault_code_to_string((FaultCode) i), words[i]);
                assert_int_equal(fault_code_from_string(words[i]), i);
        }

        assert_null(fault_code_to_string(_FAULT_MAX));
        assert_null(fault_code_to_string(_FAULT_INVALID));
        assert_int_equal(fault_code_from_string("NoSuchWord"), _FAULT_INVALID);
        assert_int_equal(fault_code_from_string(""), _FAULT_INVALID);
        assert_int_equal(fault_code_from_string(NULL), _FAULT_INVALID);
}

static void test_set(void **state) {
        _cleanup_fault_ Fault fault = { 0 };

        assert_int_equal(fault_set(&fault, -EBUSY, FAULT_DEVICE_BUSY, "pid %d has it open", 17), -EBUSY);
        assert_int_equal(fault.code, FAULT_DEVICE_BUSY);
        assert_string_equal(fault.message, "pid 17 has it open");
        assert_null(fault.object);

        /* The first failure is the cause, what follows a consequence. */
        assert_int_equal(fault_set_object(&fault, -EIO, FAULT_STEP_FAILED, "pci-0", "later"), -EIO);
        assert_int_equal(fault.code, FAULT_DEVICE_BUSY);
        assert_string_equal(fault.message, "pid 17 has it open");
        assert_null(fault.object);

        fault_done(&fault);
        assert_int_equal(fault.code, FAULT_NONE);
        assert_null(fault.message);

        assert_int_equal(fault_set_object(&fault, -EIO, FAULT_STEP_FAILED, "pci-0", "no %s", "answer"),
                         -EIO);
        assert_int_equal(fault.code, FAULT_STEP_FAILED);
        assert_string_equal(fault.message, "no answer");
        assert_string_equal(fault.object, "pci-0");
}

static void test_null(void **state) {
        assert_int_equal(fault_set(NULL, -EBUSY, FAULT_DEVICE_BUSY, "text"), -EBUSY);
        assert_int_equal(fault_set_object(NULL, -EIO, FAULT_STEP_FAILED, "pci-0", "text"), -EIO);
        assert_int_equal(fault_oom(NULL), -ENOMEM);
        fault_done(NULL);
}

static void test_oom(void **state) {
        _cleanup_fault_ Fault fault = { 0 };

        assert_int_equal(fault_oom(&fault), -ENOMEM);
        assert_fault(&fault, FAULT_NO_MEMORY, "memory");
}

static void test_move(void **state) {
        _cleanup_fault_ Fault from = { 0 }, to = { 0 };
        char *message;

        (void) fault_set_object(&from, -EIO, FAULT_STEP_FAILED, "pci-0", "first");
        message = from.message;
        fault_move(&to, &from);
        assert_int_equal(to.code, FAULT_STEP_FAILED);
        assert_ptr_equal(to.message, message);
        assert_string_equal(to.object, "pci-0");
        assert_int_equal(from.code, FAULT_NONE);
        assert_null(from.message);
        assert_null(from.object);

        /* Into a filled one: dropped. */
        (void) fault_set(&from, -EIO, FAULT_TIMED_OUT, "second");
        fault_move(&to, &from);
        assert_int_equal(to.code, FAULT_STEP_FAILED);
        assert_string_equal(to.message, "first");
        assert_int_equal(from.code, FAULT_NONE);

        (void) fault_set(&from, -EIO, FAULT_TIMED_OUT, "third");
        fault_move(NULL, &from);
        assert_int_equal(from.code, FAULT_NONE);

        fault_move(&to, &to);
        assert_string_equal(to.message, "first");
}

static void test_copy(void **state) {
        _cleanup_fault_ Fault from = { 0 }, to = { 0 };

        assert_int_equal(fault_copy(&to, &from), 0);
        assert_int_equal(to.code, FAULT_NONE);

        (void) fault_set_object(&from, -EIO, FAULT_STEP_FAILED, "pci-0", "first");
        assert_int_equal(fault_copy(NULL, &from), 0);
        assert_int_equal(fault_copy(&to, &from), 0);
        assert_int_equal(to.code, FAULT_STEP_FAILED);
        assert_string_equal(to.message, "first");
        assert_string_equal(to.object, "pci-0");
        assert_ptr_not_equal(to.message, from.message);

        fault_done(&from);
        (void) fault_set(&from, -EIO, FAULT_TIMED_OUT, "second");
        assert_int_equal(fault_copy(&to, &from), 0);
        assert_string_equal(to.message, "first");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words), cmocka_unit_test(test_set),  cmocka_unit_test(test_null),
                cmocka_unit_test(test_oom),   cmocka_unit_test(test_move), cmocka_unit_test(test_copy),
        };

        return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
