/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rig.h"

#include "lib/fault.h"

static void test_statuses(void **state) {
        static const struct {
                const char *word;
                int status;
        } words[] = {
                { "UnknownDevice", STATUS_NOT_FOUND },      { "UnknownObject", STATUS_NOT_FOUND },
                { "NotAuthorized", STATUS_NOT_AUTHORIZED }, { "NoDeviceAvailable", STATUS_UNAVAILABLE },
                { "WrongState", STATUS_UNAVAILABLE },       { "UnknownField", STATUS_USAGE },
                { "ServiceUnknown", STATUS_NO_SERVICE },    { "StepFailed", STATUS_FAILED },
                { "NeverHeardOf", STATUS_FAILED },          { "", STATUS_FAILED },
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                assert_int_equal(status_of_error(words[i].word), words[i].status);
}

/* Every error of the service has been thought about: those that are plain failures stand here. */
static void test_every_fault_has_a_status(void **state) {
        static const char *const failures[] = {
                "None",        "AllocationExists", "Cancelled",      "GroupExists",      "Internal",
                "NoMemory",    "NotConfirmed",     "OutOfSpace",    "RuleExists",       "StateDamaged",
                "StepFailed",  "StoreFailed",      "TimedOut",      "TooManyObjects",   "VolatileIdentity",
                "WorkerFailed",
        };

        for (int code = 0; code < _FAULT_MAX; code++) {
                const char *word = fault_code_to_string((FaultCode) code);
                bool failure = false;

                for (size_t i = 0; i < ELEMENTSOF(failures); i++)
                        failure = failure || streq(failures[i], word);
                if (failure != (status_of_error(word) == STATUS_FAILED))
                        fail_msg("%s has status %d", word, status_of_error(word));
        }
}

typedef struct Report {
        Cli cli;
        sd_bus_error error;
} Report;

static void report(void *userdata) {
        Report *r = userdata;

        assert_true(cli_fail_bus(&r->cli, -EIO, &r->error) < 0);
}

static void test_bus_errors(void **state) {
        static const struct {
                const char *name, *message, *text;
                int status;
        } errors[] = {
                { "org.passthroughd1.Error.DeviceBusy", "it is used",
                  "passthroughctl: DeviceBusy: it is used\n", STATUS_UNAVAILABLE },
                { SD_BUS_ERROR_SERVICE_UNKNOWN, "The name was not provided", "passthroughd is not running",
                  STATUS_NO_SERVICE },
                { SD_BUS_ERROR_NO_REPLY, "x", "did not answer", STATUS_NO_SERVICE },
                { SD_BUS_ERROR_UNKNOWN_OBJECT, "x", "no such object", STATUS_NOT_FOUND },
                { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "a password",
                  "InteractiveAuthorizationRequired: a password", STATUS_NOT_AUTHORIZED },
        };

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                Report r = { .error = SD_BUS_ERROR_MAKE_CONST(errors[i].name, errors[i].message) };
                _cleanup_free_ char *text = capture(stderr, report, &r);

                assert_contains(text, errors[i].text);
                assert_int_equal(r.cli.status, errors[i].status);
        }
}

static void test_json_errors(void **state) {
        Report r = { .cli.json = true,
                     .error = SD_BUS_ERROR_MAKE_CONST("org.passthroughd1.Error.DeviceBusy",
                                                      "a \"quoted\" text") };
        _cleanup_free_ char *text = capture(stderr, report, &r), *quiet = NULL;

        assert_json(json_of(text),
                    "{\"error\": \"DeviceBusy\", \"message\": \"a \\\"quoted\\\" text\", \"status\": 5}");

        r.cli = (Cli){ .quiet = true };
        quiet = capture(stderr, report, &r);
        assert_string_equal(quiet, "");
        assert_int_equal(r.cli.status, STATUS_UNAVAILABLE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_statuses),
                cmocka_unit_test(test_every_fault_has_a_status),
                cmocka_unit_test(test_bus_errors),
                cmocka_unit_test(test_json_errors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
