/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-error.h"

#include <stdio.h>

/* What reading a message answers (bus-json.h): the caller's mistakes, not the service's. */
static const char *misread(int result) {
        switch (result) {
        case -ELOOP:
                return "the values are nested too deeply";
        case -EPROTOTYPE:
                return "a value has a type that is not taken here: a file descriptor, a number that is none, or a dictionary "
                       "without texts as keys and variants as values";
        default:
                return NULL;
        }
}

int bus_error_from_fault(sd_bus_error *error, int result, const Fault *fault) {
        char name[sizeof(BUS_ERROR_PREFIX) + 64];
        bool named = fault && fault->code != FAULT_NONE;

        snprintf(name, sizeof(name), BUS_ERROR_PREFIX "%s",
                 fault_code_to_string(named               ? fault->code
                                      : misread(result)   ? FAULT_INVALID_ARGUMENT
                                      : result == -ENOMEM ? FAULT_NO_MEMORY
                                                          : FAULT_INTERNAL));
        return sd_bus_error_set(error, name,
                                named && fault->message ? fault->message
                                : misread(result)       ? misread(result)
                                                        : strerror(result < 0 ? -result : EIO));
}

int bus_reply_fault(sd_bus_message *message, int result, const Fault *fault) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        (void) bus_error_from_fault(&error, result, fault);
        r = sd_bus_reply_method_error(message, &error);
        sd_bus_error_free(&error);
        return r;
}
